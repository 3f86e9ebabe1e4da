from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from devnet.faults import keys
from devnet.faults.base import Fault, Plane, Sight, Site
from devnet.faults.rise import note_each, told_by
from devnet.faults.surface import World

_REORGS = "dst_l1_reorgs_total"
_HEAD = "dst_l1_head"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reorged(Site):
    blind: set[str] = field(default_factory=set, compare=False)
    """Who may never have seen a block that it dropped, and has nothing to count."""


@dataclass(frozen=True, kw_only=True)
class L1Reorg(Fault):
    """L1 replaces its newest blocks, for everybody and for good. Origins lie `l1_confirmations` (4)
    below its head: down to there nobody must notice. A deeper one halts the cluster with no way
    back; `l1-answers` with `other-fork` at `all-operators` shows that, and ends."""

    name: ClassVar = "l1-reorg"
    plane: ClassVar = Plane.DEPENDENCIES
    proof: ClassVar = (
        "L1 shows other blocks than before at every height of the reorg, and goes on doing so;"
        " every operator counts one"
    )
    seen_within_s: ClassVar = 15.0

    depth: int = keys.integer(1, 4, "blocks below the head that are replaced, the head included")

    def aim(self, sight: Sight) -> Site:
        return Reorged(targets=sight.operators)

    async def inject(self, site: Site, world: World) -> None:
        assert isinstance(site, Reorged), "aimed by this kind"
        await note_each(site.rise, world, site.targets, _REORGS)
        seen = await told_by(world, site.targets, _HEAD)
        # A block that comes before the reorg does spares the lowest that it is asked to drop.
        second = await world.l1.head() - self.depth + 2
        site.blind.update(node for node in site.targets if seen.get(node, 0.0) < second)
        await world.l1.reorg(self.depth)

    async def take_back(self, site: Site, world: World) -> None:
        """L1 stays on its new blocks."""

    async def missing(self, site: Site, world: World) -> str:
        if back := await world.l1.not_reorged():
            return back
        seen = site.rise.look(await told_by(world, site.targets, _REORGS))
        blind = [node for node in site.targets if node not in seen]
        return f"no reorg seen by {', '.join(blind)}" if blind else ""

    async def unmoved(self, site: Site, world: World) -> tuple[str, ...]:
        """Who had blocks that L1 shows no more, answers, and has counted no reorg."""
        assert isinstance(site, Reorged), "aimed by this kind"
        if await world.l1.not_reorged():
            return ()
        told = await told_by(world, site.targets, _REORGS)
        seen = site.rise.look(told)
        return tuple(node for node in told if node not in seen and node not in site.blind)

    async def remaining(self, site: Site, world: World) -> str:
        """Nothing of it goes away; whole is who follows the new blocks."""
        head = await world.l1.head()
        seen = {node: await world.telling.metric(node, _HEAD) for node in site.targets}
        late = [node for node, at in seen.items() if at is None or at < head - 1]
        return f"{', '.join(late)} does not follow L1" if late else ""

    async def not_back(self, site: Site, world: World, busy: frozenset[str]) -> tuple[str, ...]:
        head = await world.l1.head()
        seen = await told_by(world, site.targets, _HEAD)
        return tuple(node for node, at in seen.items() if at < head - 1)

    def claims(self, site: Site) -> frozenset[str]:
        return frozenset({"the blocks of L1"})

    def disturbs(self, site: Site, operators: Sequence[str]) -> tuple[str, ...]:
        return ()

    def told(self, site: Site) -> str:
        return f"{self.depth} blocks"
