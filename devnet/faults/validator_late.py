from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from devnet.faults import keys
from devnet.faults.base import Site
from devnet.faults.bent import Bent, present
from devnet.faults.surface import World
from devnet.model.bend import Bend, Late
from devnet.model.terms import Duration
from devnet.model.topology import Topology


@dataclass(frozen=True, kw_only=True)
class ValidatorLate(Bent):
    """The validator hears late which block to sign, so its partial signature comes late. It votes
    in time all the same: while a quorum of the others signs, nobody waits; beyond f late ones every
    seal comes as late as they do, and none is lost."""

    name: ClassVar = "validator-late"
    proof: ClassVar = "the bender counts the answers that it holds back"

    by: Duration = keys.duration("how late", default=Duration(seconds=3.0))

    def nonsense(self) -> str:
        return "" if self.by.seconds > 0 else "by: longer than nothing, in seconds"

    def bends(self) -> tuple[Bend, ...]:
        duties = ("GET /eth/v?/validator/blocks/*",)
        return (Bend(questions=duties, form=Late(seconds=self.by.seconds)),)

    def links_of(self, topology: Topology, node: str) -> tuple[str, ...]:
        return present(topology, f"{node}.validator>{node}.middleware")

    async def unfelt(self, site: Site, world: World) -> str:
        """A validator serves nothing that it could say it on."""
        return ""

    async def felt(self, site: Site, world: World) -> str:
        return ""

    def disturbs(self, site: Site, operators: Sequence[str]) -> tuple[str, ...]:
        return site.targets

    def told(self, site: Site) -> str:
        return f"{', '.join(site.targets)} by {self.by.seconds:g} s"
