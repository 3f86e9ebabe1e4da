"""What faults on disks have in common: whose, while their programs run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from devnet.faults.base import Fault, Plane, Sight, Site
from devnet.faults.targets import misfit_of_program
from devnet.model.terms import Target
from devnet.model.topology import Topology


@dataclass(frozen=True, kw_only=True)
class OnDisks(Fault):
    plane: ClassVar = Plane.STORAGE
    healed_within_s: ClassVar = 30.0

    def whose(self) -> tuple[Target, str]:
        """Node and role."""
        raise NotImplementedError

    def misfit(self, topology: Topology) -> str:
        target, role = self.whose()
        return misfit_of_program(target, role, topology)

    def aim(self, sight: Sight) -> Site:
        target, role = self.whose()
        found = sight.resolve(target)
        return Site(targets=found, programs=tuple(f"{node}.{role}" for node in found))

    def silences(self, site: Site, operators: Sequence[str]) -> tuple[str, ...]:
        return ()

    def claims(self, site: Site) -> frozenset[str]:
        return frozenset(f"{name} (disk)" for name in site.programs)

    def told(self, site: Site) -> str:
        return ", ".join(site.programs)
