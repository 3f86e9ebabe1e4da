"""Which log subscriptions a log belongs to, at a price that does not grow with their number.

Equal filters are one group. A group stands in a table of its shape (how many topics it needs, at
which positions it asks for some, does it ask for an address) under every combination of values it
takes, so that a log is looked up once a shape: at most 62 times, and only in shapes that somebody
uses. Groups that stand at one place are one audience, and a log is answered with audiences: what it
costs does not grow with the groups it belongs to either.

A filter with too many combinations stands under some of its constraints alone and is checked
against each log found there, an audience of its own; those are few, because they weigh much.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from itertools import chain, product
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
_Shape: TypeAlias = tuple[int, tuple[int, ...]]
"""The topics that a log must have, and the positions that are looked up."""
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

    wanted: LogFilter
    is_exact: bool
    """A log found where it stands is one it wants."""
    shape: _Shape
    members: dict[M, None] = field(default_factory=dict)

    @property
    def criteria(self) -> Criteria:
        return Criteria.of(self.wanted)

    def holds(self, log: Log) -> bool:
        return matches(log, self.wanted)


@dataclass(slots=True, eq=False)
class Audience(Generic[M]):
    """Groups that want the same logs: those of one place in a table, or one that is checked. No two
    audiences of a log share a group."""

    groups: dict[Group[M], None] = field(default_factory=dict)
    checked: "dict[Group[M], Audience[M]] | None" = None
    """Who stands at the same place and must be checked, each an audience of its own."""

    def members(self) -> Iterator[M]:
        """Whoever is among them now."""
        return chain.from_iterable(group.members for group in self.groups)


class LogIndex(Generic[M]):
    """Safe for threads: logs are matched on one, members come and go on another."""

    def __init__(self) -> None:
        self._groups: dict[Criteria, Group[M]] = {}
        self._tables: dict[_Shape, dict[_Values, Audience[M]]] = {}
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
                alone = Audience({group: None})
                for values in _values_of(group):
                    place = table.get(values)
                    if place is None:
                        place = table[values] = Audience()
                    if group.is_exact:
                        place.groups[group] = None
                    else:
                        place.checked = (place.checked or {}) | {group: alone}
            group.members[member] = None

    def remove(self, wanted: LogFilter, member: M) -> None:
        with self._lock:
            group = self._groups.get(Criteria.of(wanted))
            if group is None:
                return
            group.members.pop(member, None)
            if not group.members:
                self._forget(group)

    def matching(self, log: Log) -> list[Audience[M]]:
        """Who wants this log."""
        with self._lock:
            found: list[Audience[M]] = []
            for shape, table in self._tables.items():
                values = _look_up(shape, log)
                place = None if values is None else table.get(values)
                if place is None:
                    continue
                if place.groups:
                    found.append(place)
                if place.checked:
                    found.extend(alone for each, alone in place.checked.items() if each.holds(log))
            return found

    def members(self) -> Iterator[M]:
        for group in self._groups.values():
            yield from group.members

    def _forget(self, group: Group[M]) -> None:
        del self._groups[group.criteria]
        table = self._tables[group.shape]
        for values in _values_of(group):
            place = table[values]
            if group.is_exact:
                del place.groups[group]
            elif place.checked:
                del place.checked[group]
            if not (place.groups or place.checked):
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
        wanted=LogFilter(addresses=criteria.addresses, topics=criteria.topics),
        is_exact=len(taken) == len(constraints),
        shape=(len(criteria.topics), tuple(sorted(taken))),
    )


def _values_of(group: Group[M]) -> Iterator[_Values]:
    choices = dict(group.criteria.constraints())
    _, positions = group.shape
    return product(*(choices[at] for at in positions))


def _look_up(shape: _Shape, log: Log) -> _Values | None:
    """Where a log stands in the table of a shape; None when it has too few topics."""
    topics, positions = shape
    if len(log.topics) < topics:
        return None
    return tuple([log.address if at == _ADDRESS else log.topics[at] for at in positions])
