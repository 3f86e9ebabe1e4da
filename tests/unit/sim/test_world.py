"""What a run owes after the heal."""

import pytest

from devnet.model.history import EventKind
from devnet.sim.loop import VirtualLoop, play
from devnet.sim.params import Loss, Params
from devnet.sim.world import LOSS_ABOVE, World
from dst.spec.primitives import Height, Root


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_missing_seal_is_excused_where_a_disk_was_lost_and_not_where_it_was_drawn(
    is_lost: bool,
) -> None:
    """Most seeds that draw a loss lose nothing: their cluster is too young until the heal."""
    top = Height(LOSS_ABOVE)

    async def owed(loop: VirtualLoop) -> dict[str, str]:
        world = World(loop, 1, 4, params=Params(n=4, loss=Loss.REJOIN))
        world.top = top
        if is_lost:
            world._lose_a_disk(world.honest[1])
        for node in world.honest:
            for kind in (EventKind.DECIDED, EventKind.SEALED):
                world._record(world._event(node, kind, top, None, Root(bytes(32))))
        return world._owed.missing(top)

    lacks = f"has no seal of {[*range(1, top)]}"
    assert play(owed) == ({} if is_lost else {f"op{each}": lacks for each in range(1, 5)})
