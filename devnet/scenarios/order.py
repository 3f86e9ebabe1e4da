"""What comes after what in a schedule: the moments of its faults, and which wait for which. Pure.

The order is what the file says, not what a run happens to do: of two moments that no chain of
waiting joins, nothing is known. `Timetable` adds the seconds that it says.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from devnet.model.terms import At, Edge, Moment, Until
from devnet.scenarios.scenario import Scheduled


@dataclass(frozen=True, slots=True)
class Order:
    """waits: moment -> those that must have come before it."""

    waits: Mapping[Moment, tuple[Moment, ...]]
    at_once: frozenset[str]
    """Faults that nothing holds back: their injection comes before any heal."""
    repeated: frozenset[str]

    @classmethod
    def of(cls, faults: Sequence[Scheduled]) -> "Order":
        waits: dict[Moment, tuple[Moment, ...]] = {}
        ending = [fault.id for fault in faults if not fault.until.forever]
        for fault in faults:
            inject, heal = _edges(fault.id)
            waits[inject] = (fault.at.after,) if fault.at.after else ()
            last = [fault.until.after] if fault.until.after else []
            if fault.until.forever:
                last += [Moment(fault=other) for other in ending]
            waits[heal] = (inject, *last)
            waits[Moment(fault=fault.id, edge=Edge.REJOIN)] = (heal,)
        return cls(
            waits,
            at_once=frozenset(fault.id for fault in faults if fault.at == At()),
            repeated=frozenset(fault.id for fault in faults if len(fault.occurrences) > 1),
        )

    def circle(self) -> tuple[Moment, ...]:
        """Moments that wait for each other, the first one again at the end; empty when there are
        none."""
        done: set[Moment] = set()
        for first in self.waits:
            if found := self._circle_from(first, (), done):
                return found
        return ()

    def _circle_from(
        self, moment: Moment, way: tuple[Moment, ...], done: set[Moment]
    ) -> tuple[Moment, ...]:
        if moment in way:
            return (*way[way.index(moment) :], moment)
        if moment in done:
            return ()
        for before in self.waits.get(moment, ()):
            if found := self._circle_from(before, (*way, moment), done):
                return found
        done.add(moment)
        return ()

    def before(self, moment: Moment) -> frozenset[Moment]:
        """All that must have come by then."""
        found: set[Moment] = set()
        edge = list(self.waits[moment])
        while edge:
            if (one := edge.pop()) not in found:
                found.add(one)
                edge += self.waits[one]
        return frozenset(found)

    def apart(self, one: str, other: str) -> bool:
        """Whether one of them is healed before the other begins."""
        return self._healed_first(one, other) or self._healed_first(other, one)

    def together(self, one: str, other: str) -> bool:
        """Whether both stand at some time, however long each lasts. Of one that repeats nothing is
        known: it is often healed in between."""
        if {one, other} & self.repeated:
            return False
        return self._begins_first(one, other) and self._begins_first(other, one)

    def _healed_first(self, one: str, other: str) -> bool:
        return Moment(fault=one) in self.before(Moment(fault=other, edge=Edge.INJECT))

    def _begins_first(self, one: str, other: str) -> bool:
        """Whether `one` begins before `other` is healed."""
        inject, _ = _edges(one)
        return one in self.at_once or inject in self.before(Moment(fault=other))


def _edges(fault: str) -> tuple[Moment, Moment]:
    return Moment(fault=fault, edge=Edge.INJECT), Moment(fault=fault)


def heaviest_together(weights: Mapping[str, int], order: Order, names: Iterable[str]) -> int:
    """The most weight that may stand at one time: of faults that are not kept apart."""
    names = list(names)
    if not names:
        return 0
    first, rest = names[0], names[1:]
    beside = [name for name in rest if not order.apart(first, name)]
    with_it = weights[first] + heaviest_together(weights, order, beside)
    if len(beside) == len(rest):
        return with_it  # it gets in nobody's way
    return max(with_it, heaviest_together(weights, order, rest))


@dataclass(frozen=True, slots=True)
class Time:
    """Seconds after `origin`: the start of all faults (empty), or what nobody knows the time of.
    Not `exact`: it comes then or later."""

    origin: str
    seconds: float
    exact: bool = True

    def later(self, seconds: float) -> "Time":
        return replace(self, seconds=self.seconds + seconds)


class Timetable:
    """When faults begin and end by the seconds that a file gives, proofs and heals taken for
    instantaneous. Times of one origin compare."""

    def __init__(self, faults: Sequence[Scheduled], slot_seconds: float) -> None:
        """They do not wait for each other in a circle."""
        self._faults = {fault.id: fault for fault in faults}
        self._slot = slot_seconds

    def begins(self, fault: str) -> Time:
        at = self._faults[fault].at
        unknown = Time(fault, 0.0)
        if replace(at, after=None) != At(delay=at.delay) or at.delay.upto is not None:
            return unknown
        delay = at.delay.fixed.in_seconds(self._slot)
        if at.after is None:
            return Time("", delay)
        base = self._time_of(at.after)
        return base.later(delay) if base is not None and base.exact else unknown

    def ends(self, fault: str) -> Time:
        until, begins = self._faults[fault].until, self.begins(fault)
        if len(self._faults[fault].occurrences) > 1:
            return replace(begins, exact=False)
        hold, total = (each.in_seconds(self._slot) for each in (until.hold, until.total))
        in_time = Until(
            hold=until.hold,
            total=until.total,
            after=until.after,
            forever=until.forever,
            timeout=until.timeout,
        )
        end = replace(begins.later(max(hold, total)), exact=until == in_time)
        others = [until.after] if until.after else []
        if until.forever:
            others += [Moment(fault=f.id) for f in self._faults.values() if not f.until.forever]
        for moment in others:
            end = _not_before(end, self._time_of(moment))
        return end

    def _time_of(self, moment: Moment) -> Time | None:
        match moment.edge:
            case Edge.INJECT:
                return self.begins(moment.fault)
            case Edge.HEAL:
                return self.ends(moment.fault)
            case Edge.REJOIN:
                return None


def _not_before(end: Time, other: Time | None) -> Time:
    if other is None or other.origin != end.origin:
        return replace(end, exact=False)
    seconds = max(end.seconds, other.seconds)
    return Time(end.origin, seconds, exact=end.exact and other.exact)
