from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from devnet.faults import keys, lost
from devnet.faults.base import Site
from devnet.faults.connectivity import components, silenced
from devnet.faults.cut_links import answered
from devnet.faults.dice import Dice
from devnet.faults.on_links import Shaping, consensus_of, ends_of
from devnet.faults.surface import World
from devnet.model.cut import CutMode
from devnet.model.terms import Duration


@dataclass(frozen=True, kw_only=True)
class Timeout(Shaping):
    """What is sent is swallowed, and a connection ends after so long a silence: a firewall that
    forgets it. New ones are accepted, and fare no better. Taken back, all that hang end. A cut
    swallows too (`blackhole`): there connections outlive the fault."""

    name: ClassVar = "timeout"
    weight: ClassVar = 2
    toxic: ClassVar = "timeout"
    proof: ClassVar = (
        f"{Shaping.listed}; where it acts on all connections, every consensus link is reported down"
        " by the end that dials it, and others are looked at as in a cut"
    )
    seen_within_s: ClassVar = 10.0
    """Diallers miss three seconds of pings first."""
    healed_within_s: ClassVar = 15.0

    after: Duration = keys.duration(
        "without anything sent; `0s`: it does not end before the heal", default=Duration()
    )

    @classmethod
    def drawn(cls, dice: Dice) -> Self:
        return cls(target=dice.victims(), after=dice.milliseconds(0, 2000, 100))

    def attributes(self) -> Mapping[str, int]:
        return {"timeout": round(self.after.seconds * 1000)}

    async def unfelt(self, site: Site, world: World) -> str:
        if self.spares:
            return ""
        reported = await world.links.not_cut(consensus_of(site, world), CutMode.BLACKHOLE)
        return reported or await answered(site, world)

    async def remaining(self, site: Site, world: World) -> str:
        return await super().remaining(site, world) or await world.links.not_whole(site.links)

    async def not_back(self, site: Site, world: World, busy: frozenset[str]) -> tuple[str, ...]:
        if await super().remaining(site, world):
            return ()
        return await lost.not_dialled(site.links, world, busy)

    def witness(self, site: Site) -> str:
        """Of those that dial no consensus link."""
        return super().witness(site) if self.spares else site.felt.words

    def claims(self, site: Site) -> frozenset[str]:
        """It is a cut, too."""
        return super().claims(site) | {f"{link} (cut)" for link in site.links}

    def silences(self, site: Site, operators: Sequence[str]) -> tuple[str, ...]:
        return () if self.spares else silenced(site.links, operators)

    def components(self, site: Site, operators: Sequence[str]) -> tuple[tuple[str, ...], ...]:
        return () if self.spares else components(site.links, operators)

    def disturbs(self, site: Site, operators: Sequence[str]) -> tuple[str, ...]:
        if self.spares:
            return ends_of(site.links, operators)
        return tuple(dict.fromkeys((*site.targets, *self.silences(site, operators))))

    def shape_told(self) -> str:
        return f"silence, ended after {self.after.seconds:g} s" if self.after.seconds else "silence"
