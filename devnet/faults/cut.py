from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from devnet.faults.base import Site
from devnet.faults.cut_links import CutLinks
from devnet.faults.on_links import OnLinks


@dataclass(frozen=True, kw_only=True)
class Cut(CutLinks, OnLinks):
    """Links cut: of a class, of one node, in one direction, or by name."""

    name: ClassVar = "cut"
    proof: ClassVar = (
        "every consensus link is reported down by the end that dials it; of other links the"
        " Toxiproxies report the state of the cut"
    )

    def disturbs(self, site: Site, operators: Sequence[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*site.targets, *self.silences(site, operators))))

    def told(self, site: Site) -> str:
        return f"{super().told(site)}, {self.mode}"
