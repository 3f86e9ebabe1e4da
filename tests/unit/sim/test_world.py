"""What a run owes after the heal."""

import pytest

from devnet.sim import ideal
from devnet.sim.chain import TERM
from devnet.sim.loop import VirtualLoop, play
from devnet.sim.params import Loss, Params
from devnet.sim.world import LOSS_ABOVE, World
from dst.sealing.messages import GroupSignature
from dst.sealing.records import SealRecord
from dst.spec.primitives import BLSSignature, Height, Root


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_missing_seal_is_excused_where_a_disk_was_lost_and_not_where_it_was_drawn(
    is_lost: bool,
) -> None:
    """Most seeds that draw a loss lose nothing: their cluster is too young until the heal."""
    top = Height(LOSS_ABOVE)
    root = ideal.signing_root(Root(bytes(32)))
    seal = GroupSignature(term=TERM, height=top, root=root, signature=BLSSignature(bytes(96)))

    async def owed(loop: VirtualLoop) -> list[int]:
        world = World(loop, 1, 4, params=Params(n=4, loss=Loss.REJOIN))
        node, other, *_ = world.honest
        world.top = top
        if is_lost:
            world._lose_a_disk(other)
        node.disk.append_sealing(SealRecord(message=seal))
        node.disk.sync()
        return world._unsealed(node, top)

    assert play(owed) == ([] if is_lost else [*range(1, top)])
