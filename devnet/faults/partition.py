from dataclasses import dataclass
from typing import Any, ClassVar, Self

from devnet.faults import keys
from devnet.faults.base import Sight, Site
from devnet.faults.cut_links import Parted
from devnet.faults.dice import Dice
from devnet.faults.targets import (
    draw_groups,
    how_many,
    is_follower,
    isolate,
    links_between,
    misfit_of,
)
from devnet.model.cut import CutMode
from devnet.model.reading import read_target
from devnet.model.terms import Target
from devnet.model.topology import Topology
from dst.spec.errors import BadConfig

_GROUPS_SHAPE = "expected lists of operators such as [[op1, op2], [op3, op4]]"
_SPLIT_SHAPE = "expected sizes of the groups such as [2, 2]"


def read_split(value: object, where: str) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(item) is int and item > 0 for item in value):
        raise BadConfig(f"{where}: {_SPLIT_SHAPE}, got {value!r}")
    if len(value) == 1:
        raise BadConfig(f"{where}: {_SPLIT_SHAPE}: one group is no partition")
    return tuple(value)


def read_groups(value: object, where: str) -> tuple[tuple[str, ...], ...]:
    if not isinstance(value, list) or len(value) < 2:
        raise BadConfig(f"{where}: {_GROUPS_SHAPE}, got {value!r}")
    groups = []
    for group in value:
        if not isinstance(group, list) or not group:
            raise BadConfig(f"{where}: {_GROUPS_SHAPE}, got {value!r}")
        groups.append(tuple(str(read_target(name, where)) for name in group))
    return tuple(groups)


_GROUPS: dict[str, Any] = {
    "type": "array",
    "minItems": 2,
    "items": {"type": "array", "minItems": 1, "items": {"type": "string"}},
}
_SPLIT: dict[str, Any] = {
    "type": "array",
    "minItems": 2,
    "items": {"type": "integer", "minimum": 1},
}


@dataclass(frozen=True, kw_only=True)
class Partition(Parted):
    """Consensus links between groups of operators cut, both directions."""

    name: ClassVar = "partition"
    weight: ClassVar = 6
    proof: ClassVar = (
        "every cut link is reported down by the end that dials it"
        " (each pair has a link in either direction)"
    )

    target: Target | None = keys.target("the operator that is cut off alone", default=None)
    split: tuple[int, ...] = keys.key(
        read_split, _SPLIT, "sizes of the groups, members drawn; instead of `target`", default=()
    )
    groups: tuple[tuple[str, ...], ...] = keys.key(
        read_groups, _GROUPS, "operators by name; instead of `target` or `split`", default=()
    )

    @classmethod
    def drawn(cls, dice: Dice) -> Self:
        """One is cut off, or two halves of a drawn size are."""
        mode, n = dice.one_of(list(CutMode)), len(dice.operators)
        if dice.most < n:
            return cls(target=dice.victims(), mode=mode)
        first = dice.integer(1, n - 1)
        return cls(split=(first, n - first), mode=mode)

    def nonsense(self) -> str:
        given = [self.target is not None, bool(self.split), bool(self.groups)]
        if sum(given) != 1:
            return "needs either target (isolated alone) or split, or groups"
        return ""

    def misfit(self, topology: Topology) -> str:
        operators = len(topology.operator_names)
        if self.split and sum(self.split) != operators:
            wanted = f"split {list(self.split)} is for {sum(self.split)} operators"
            return f"{wanted}, the network has {operators}"
        if self.groups and sorted(sum(self.groups, ())) != sorted(topology.operator_names):
            names = ", ".join(topology.operator_names)
            return f"groups must name each operator once; the network has {names}"
        if is_follower(self.target, topology):
            return f"target {self.target} has no consensus links; give an operator"
        if self.target is not None and how_many(self.target, topology) >= operators:
            return f"target {self.target} leaves nobody to be cut off from; give split, or fewer"
        return misfit_of(self.target, topology)

    def aim(self, sight: Sight) -> Site:
        targets: tuple[str, ...] = ()
        if self.groups:
            groups = self.groups
        elif self.target is None:
            groups = draw_groups(self.split, sight.operators, sight.rng)
        else:
            targets = sight.resolve(self.target)
            groups = isolate(targets, sight.operators)
        return Site(targets=targets, groups=groups, links=links_between(sight.topology, groups))
