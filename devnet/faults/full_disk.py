from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from devnet.faults import keys, lost
from devnet.faults.base import Site
from devnet.faults.on_disks import OnDisks
from devnet.faults.surface import World
from devnet.model.terms import Target


class Keeping(StrEnum):
    """All of an operator's."""

    EXECUTION = "execution"
    ROLLUP = "rollup"
    MIDDLEWARE = "middleware"
    VALIDATOR = "validator"


@dataclass(frozen=True, kw_only=True)
class FullDisk(OnDisks):
    """The disk takes nothing more, while the program runs: SQLite's stores refuse each commit as on
    a full disk, the file of the execution layer may not grow. The program waits, says so, and goes
    on when there is room; until then its operator promises nothing, and where it is the validator's
    disk, signs nothing. No other fault may stop or start it meanwhile: one that starts on a full
    disk ends."""

    name: ClassVar = "full-disk"
    proof: ClassVar = (
        "the program says in its `/healthz` that it waits for room on its disk; a validator, which"
        " listens nowhere, says it in its log"
    )
    seen_within_s: ClassVar = 30.0
    """It shows with the next write that needs room."""

    target: Target = keys.target("the node")
    role: Keeping = keys.choice(Keeping, "whose disk", default=Keeping.MIDDLEWARE)

    def whose(self) -> tuple[Target, str]:
        return self.target, self.role

    async def inject(self, site: Site, world: World) -> None:
        await world.machines.change(site.programs, full=True)

    async def missing(self, site: Site, world: World) -> str:
        return await world.machines.not_full(site.programs)

    async def take_back(self, site: Site, world: World) -> None:
        await world.machines.change(site.programs, full=False)

    async def remaining(self, site: Site, world: World) -> str:
        return await world.machines.not_roomy(site.programs)

    async def not_back(self, site: Site, world: World, busy: frozenset[str]) -> tuple[str, ...]:
        """Who says that it waits for the room that it has again."""
        stuck = [name for name in site.programs if not await world.machines.not_full((name,))]
        return lost.nodes_of(stuck)

    def claims(self, site: Site) -> frozenset[str]:
        """The program too: one that is started on a full disk does not wait for room, but ends."""
        return super().claims(site) | frozenset(site.programs)

    def silences(self, site: Site, operators: Sequence[str]) -> tuple[str, ...]:
        return () if self.role is Keeping.VALIDATOR else site.targets
