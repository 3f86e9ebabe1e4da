"""Which log subscriptions a log belongs to, at a price that does not grow with their number.

Equal filters are one group. A group stands in a table of its shape (does it ask for an address, for
which topic positions) under every combination of values it takes, so that a log is looked up once a
shape: at most 2^5 times, and only in shapes that somebody uses. A filter with too many combinations
stands under some of its constraints alone and is checked against each log found there; those are
few, because they weigh much.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from itertools import product
from math import prod
from threading import Lock
from typing import Final, Generic, TypeAlias, TypeVar

from dst.apis.eth import LogFilter
from dst.execution.receipts import Log
from dst.execution.rpc.block_logs import matches

MAX_COMBINATIONS: Final = 1_024
"""A filter of more is checked log by log, and weighs as much as this."""
LEAST_WEIGHT: Final = 16
"""Of any subscription: what it costs to hold and to tell."""

_ADDRESS: Final = -1
"""In a shape: the address; else the position of a topic."""

M = TypeVar("M", bound=Hashable)
_Shape: TypeAlias = tuple[int, ...]
_Values: TypeAlias = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Criteria:
    """What of a filter matters to a subscription: not its blocks."""

    addresses: frozenset[bytes]
    topics: tuple[frozenset[bytes] | None, ...]

    @classmethod
    def of(cls, wanted: LogFilter) -> "Criteria":
        return cls(wanted.addresses, wanted.topics)

    def constraints(self) -> list[tuple[int, frozenset[bytes]]]:
        """The fewest alternatives first."""
        found = [(at, each) for at, each in enumerate(self.topics) if each is not None]
        if self.addresses:
            found.append((_ADDRESS, self.addresses))
        return sorted(found, key=lambda pair: (len(pair[1]), pair[0]))


def weight_of(wanted: LogFilter) -> int:
    """What a filter takes of the room that all subscriptions share: about its entries here."""
    combinations = prod(len(each) for _, each in Criteria.of(wanted).constraints())
    return min(max(combinations, LEAST_WEIGHT), MAX_COMBINATIONS)


@dataclass(slots=True, eq=False)
class Group(Generic[M]):
    """Members that asked for the same."""

    criteria: Criteria
    is_exact: bool
    """Whoever is found in the table matches, if the log has enough topics."""
    shape: _Shape
    members: dict[M, None] = field(default_factory=dict)

    def holds(self, log: Log) -> bool:
        if self.is_exact:
            return len(log.topics) >= len(self.criteria.topics)
        criteria = self.criteria
        return matches(log, LogFilter(addresses=criteria.addresses, topics=criteria.topics))


class LogIndex(Generic[M]):
    """Safe for threads: logs are matched on one, members come and go on another."""

    def __init__(self) -> None:
        self._groups: dict[Criteria, Group[M]] = {}
        self._tables: dict[_Shape, dict[_Values, dict[Group[M], None]]] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        """Groups."""
        return len(self._groups)

    def add(self, wanted: LogFilter, member: M) -> None:
        criteria = Criteria.of(wanted)
        with self._lock:
            group = self._groups.get(criteria)
            if group is None:
                group = self._groups[criteria] = _group_of(criteria)
                table = self._tables.setdefault(group.shape, {})
                for values in _values_of(group):
                    table.setdefault(values, {})[group] = None
            group.members[member] = None

    def remove(self, wanted: LogFilter, member: M) -> None:
        with self._lock:
            group = self._groups.get(Criteria.of(wanted))
            if group is None:
                return
            group.members.pop(member, None)
            if not group.members:
                self._forget(group)

    def matching(self, log: Log) -> list[Group[M]]:
        """Groups that want this log."""
        with self._lock:
            found: list[Group[M]] = []
            for shape, table in self._tables.items():
                values = _look_up(shape, log)
                if values is not None:
                    found.extend(group for group in table.get(values, ()) if group.holds(log))
            return found

    def members(self) -> Iterator[M]:
        for group in self._groups.values():
            yield from group.members

    def _forget(self, group: Group[M]) -> None:
        del self._groups[group.criteria]
        table = self._tables[group.shape]
        for values in _values_of(group):
            del table[values][group]
            if not table[values]:
                del table[values]
        if not table:
            del self._tables[group.shape]


def _group_of(criteria: Criteria) -> Group[M]:
    constraints = criteria.constraints()
    taken: list[int] = []
    combinations = 1
    for at, choices in constraints:
        combinations *= len(choices)
        if combinations > MAX_COMBINATIONS:
            break
        taken.append(at)
    return Group(
        criteria=criteria,
        is_exact=len(taken) == len(constraints),
        shape=tuple(sorted(taken)),
    )


def _values_of(group: Group[M]) -> Iterator[_Values]:
    choices = dict(group.criteria.constraints())
    return product(*(choices[at] for at in group.shape))


def _look_up(shape: _Shape, log: Log) -> _Values | None:
    """Where a log stands in the table of a shape; None when it has too few topics."""
    if shape and shape[-1] >= len(log.topics):
        return None
    return tuple([log.address if at == _ADDRESS else log.topics[at] for at in shape])
