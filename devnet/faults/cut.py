from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from devnet.faults.base import Site
from devnet.faults.cut_links import CutLinks
from devnet.faults.dice import Dice
from devnet.faults.on_links import OnLinks
from devnet.faults.which import Direction
from devnet.model.cut import CutMode


@dataclass(frozen=True, kw_only=True)
class Cut(CutLinks, OnLinks):
    """Links cut: of a class, of one node, in one direction, or by name."""

    name: ClassVar = "cut"
    weight: ClassVar = 8
    proof: ClassVar = (
        "every consensus link is reported down by the end that dials it; of other links the"
        " Toxiproxies report the state of the cut; where rollup nodes, middlewares and execution"
        " layers count the calls that they make over one, none is answered, and whoever is cut off"
        " from L1 counts some without an answer (of other calls the receipt has how many)"
    )

    @classmethod
    def drawn(cls, dice: Dice) -> Self:
        """One operator's links to the others, or everybody's to L1."""
        mode = dice.one_of(list(CutMode))
        if dice.chance(0.2):
            return cls(links="l1", mode=mode)
        return cls(target=dice.victims(), direction=dice.one_of(list(Direction)), mode=mode)

    def disturbs(self, site: Site, operators: Sequence[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*site.targets, *self.silences(site, operators))))

    def told(self, site: Site) -> str:
        return f"{super().told(site)}, {self.mode}"
