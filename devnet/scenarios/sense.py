"""What cannot work, seen before anything starts: faults that surely take hold of the same thing at
one time, and progress expected where no quorum is left, by one fault or by those that surely stand
together. Pure.

Only what is sure is refused: a fault whose target is drawn, or known only when it fires, may hit
what another has, and then its receipt says so.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations, pairwise, product
from typing import Any, Final, NoReturn, TypeAlias

from devnet.faults.base import Fault, Sight, Site
from devnet.faults.connectivity import has_quorum
from devnet.model.expect import RoundChanges
from devnet.model.terms import Aim, At, Count, Duration, Edge, Moment, Trigger
from devnet.model.topology import Topology
from devnet.scenarios.order import Order, Timetable, heaviest_together
from devnet.scenarios.scenario import Scenario, Scheduled
from dst.spec.errors import BadConfig
from dst.spec.primitives import faults_tolerated, quorum

DRAWS: Final = 4
"""Of each height: what holds in all of them counts as sure where sizes, not names, matter."""
SLOTS_S: Final = (1.0, 12.0)
"""Slots are whole seconds: what holds for the shortest and for a long one holds for all."""


Liars: TypeAlias = tuple[str, ...]
"""Operators that lie together."""
_TAKE_A_QUORUM: Final = (Trigger.PREPARED, Trigger.DECIDED, Trigger.SEALED)
"""Events that do not come without one."""


class _Drawn(Exception):
    """It takes a draw to know."""


class _NoDice(random.Random):
    def random(self) -> NoReturn:
        raise _Drawn

    def getrandbits(self, k: int, /) -> NoReturn:
        raise _Drawn


def sure_site(do: Fault, topology: Topology) -> Site | None:
    """Where it falls whoever leads and whatever is drawn; None when that depends."""
    try:
        sites = [
            do.aim(Sight(topology=topology, next_height=height, rng=_NoDice()))
            for height in range(1, len(topology.operator_names) + 1)
        ]
    except _Drawn:
        return None
    return sites[0] if all(site == sites[0] for site in sites) else None


def possible_sites(do: Fault, topology: Topology, liars: Sequence[Liars] = ()) -> list[Site]:
    """For every leader, and some draws. liars: of each."""
    chances = list(product(range(1, len(topology.operator_names) + 1), range(DRAWS)))
    return [
        do.aim(
            Sight(
                topology=topology,
                next_height=height,
                rng=random.Random(f"{height}/{draw}"),
                liars=lying,
            )
        )
        for (height, draw), lying in zip(chances, liars or [()] * len(chances), strict=True)
    ]


def _liars(scenario: Scenario, topology: Topology) -> list[Liars]:
    """Whom its faults make lie, in each of the possible sites."""
    told = [
        [fault.do.lies(site) for site in possible_sites(fault.do, topology)]
        for fault in scenario.faults
        if not _is_at_liars(fault)
    ]
    return [tuple(chain.from_iterable(each)) for each in zip(*told, strict=True)]


def _is_at_liars(fault: Scheduled) -> bool:
    return getattr(fault.do, "target", None) is Aim.BYZANTINE


def require_sense(scenario: Scenario, topology: Topology) -> None:
    """Raises: BadConfig, naming the fault. Every fault has something to hit there."""
    _require_liars(scenario, topology)
    liars = _liars(scenario, topology)
    _require_own_claims(scenario, topology, liars)
    if not scenario.expect.fails:
        _require_promises_kept(scenario)
        _require_tolerated(scenario, topology, liars)
    for fault in scenario.faults:
        _require_quorum(scenario, fault, topology, liars)
        _require_end(scenario, fault)
    if len(scenario.faults) > 1:
        _require_quorum_together(scenario, topology)


def _require_liars(scenario: Scenario, topology: Topology) -> None:
    """Where liars are the target, somebody lies before."""
    order = Order.of(scenario.faults)
    lying = [
        Moment(fault=fault.id, edge=Edge.INJECT)
        for fault in scenario.faults
        if not _is_at_liars(fault)
        and any(fault.do.lies(site) for site in possible_sites(fault.do, topology))
    ]
    for fault in filter(_is_at_liars, scenario.faults):
        if not lying:
            _refuse(scenario, fault, "target byzantine: nobody lies here (do: byzantine)")
        if not order.before(Moment(fault=fault.id, edge=Edge.INJECT)).intersection(lying):
            _refuse(
                scenario,
                fault,
                "target byzantine: nobody lies by then; let it wait for one that does "
                f"(at: {{after: {{inject: {lying[0].fault}}}}})",
            )


def _require_own_claims(scenario: Scenario, topology: Topology, liars: Sequence[Liars]) -> None:
    order = Order.of(scenario.faults)
    for one, other in combinations(scenario.faults, 2):
        if not _meet(one, other, order):
            continue
        if both := _both_claim(one, other, topology, liars):
            _refuse(
                scenario,
                other,
                f"{min(both)} is under the fault {one.id} at that time: they would undo each "
                "other; let one wait for the other's heal (at: {after: ...})",
            )


def _require_promises_kept(scenario: Scenario) -> None:
    for fault in scenario.faults:
        if fault.do.breaks:
            _refuse(
                scenario,
                fault,
                f"a {fault.do.name} breaks what is promised: say what has to break (expect: "
                "{fails: S18})",
            )


def _both_claim(
    one: Scheduled, other: Scheduled, topology: Topology, liars: Sequence[Liars]
) -> frozenset[str]:
    """What both surely take hold of."""
    if _is_at_liars(one) or _is_at_liars(other):  # the same ones for both, whoever that is
        mine, theirs = (possible_sites(each.do, topology, liars) for each in (one, other))
        pairs = zip(mine, theirs, strict=True)
        met = [one.do.claims(here) & other.do.claims(there) for here, there in pairs]
        return met[0] if all(met) else frozenset()
    here, there = sure_site(one.do, topology), sure_site(other.do, topology)
    if here is None or there is None:
        return frozenset()
    return one.do.claims(here) & other.do.claims(there)


def _require_tolerated(scenario: Scenario, topology: Topology, liars: Sequence[Liars]) -> None:
    """Whoever leads and whatever is drawn, as long as no wait keeps two apart."""
    operators, order = topology.operator_names, Order.of(scenario.faults)
    weights = {
        fault.id: min(
            len(fault.do.doubtful(site)) for site in possible_sites(fault.do, topology, liars)
        )
        for fault in scenario.faults
    }
    guilty = [fault for fault in scenario.faults if weights[fault.id]]
    most = heaviest_together(weights, order, [fault.id for fault in guilty])
    if most > (bound := faults_tolerated(len(operators))):
        _refuse(
            scenario,
            guilty[-1],
            f"{most} of {len(operators)} operators lie or lack what they promised at one time, and "
            f"no more than {bound} are survived: let faults wait for each other's heal, or say "
            "what is to break (expect: {fails: S1})",
        )


def _meet(one: Scheduled, other: Scheduled, order: Order) -> bool:
    if order.together(one.id, other.id):
        return True
    return _begins_within(one, other) or _begins_within(other, one)


def _begins_within(other: Scheduled, one: Scheduled) -> bool:
    """Whether `other` begins while `one` stands, by the seconds that the file gives."""
    mine, theirs = _delay(one), _delay(other)
    if theirs is None:
        return False
    if other.at.after == Moment(fault=one.id, edge=Edge.INJECT):
        return theirs < one.until.hold.seconds
    if mine is None or one.at.after is not None or other.at.after is not None:
        return False
    return mine <= theirs < mine + one.until.hold.seconds


def _delay(fault: Scheduled) -> float | None:
    """Seconds that it waits after what it waits for, if that is all it does."""
    at = fault.at
    fixed = replace(at, after=None) == At(delay=at.delay) and at.delay.upto is None
    return at.delay.fixed.seconds if fixed and not at.delay.fixed.slots else None


def _require_quorum(
    scenario: Scenario, fault: Scheduled, topology: Topology, liars: Sequence[Liars]
) -> None:
    operators = topology.operator_names
    if fault.do.repeats or not _leaves_no_quorum(fault.do, topology, liars):
        return
    n, expect = len(operators), scenario.expect
    lost = f"leaves no quorum of {quorum(n)} among {n} operators"
    if fault.until.heights.for_operators(n) and not expect.no_progress:
        _refuse(scenario, fault, f"{lost}: the heights of its until cannot be decided; give hold")
    if fault.until.trigger in _TAKE_A_QUORUM:
        _refuse(scenario, fault, f"{lost}: no {fault.until.trigger} event comes to end it")
    if expect.progress.for_operators(n) and len(scenario.faults) == 1:
        _refuse(scenario, fault, f"{lost}, and progress is expected while it stands")
    if expect.gap is not None and _longer(fault.until.hold, expect.gap):
        _refuse(scenario, fault, f"{lost} for longer than the gap that is expected")


def _require_end(scenario: Scenario, fault: Scheduled) -> None:
    expect = scenario.expect
    never = expect.round_changes is RoundChanges.FORBIDDEN and expect.settle_in == Count()
    if fault.until.trigger is Trigger.ROUND_CHANGE and never:
        _refuse(scenario, fault, "it ends with a round change, and none is to be (round_changes)")


@dataclass(frozen=True, slots=True)
class _Lost:
    """A time in which faults together surely leave no quorum."""

    seconds: float
    by: tuple[Scheduled, ...]
    """In the order in which they begin."""
    is_all: bool
    """No fault of the scenario stands at any other time."""


def _require_quorum_together(scenario: Scenario, topology: Topology) -> None:
    """By the seconds that the file gives, whatever a slot is."""
    n, expect = len(topology.operator_names), scenario.expect
    losses = {fault.id: _sure_loss(fault, topology) for fault in scenario.faults}
    none = f"no quorum of {quorum(n)} among {n} operators"
    for fault in () if expect.no_progress else scenario.faults:
        if stuck := _kept_from_its_heights(fault, scenario, losses, topology):
            lost = f"{_together((*stuck, fault))} {none}"
            _refuse(
                scenario, fault, f"{lost}: the heights of its until cannot be decided; give hold"
            )
    quick, slow = (_lost_together(scenario, losses, topology, slot) for slot in SLOTS_S)
    if quick is None or slow is None:
        return
    lost, last = f"{_together(quick.by)} {none}", quick.by[-1]
    is_all = quick.is_all and slow.is_all and scenario.hostile is None
    if expect.progress.for_operators(n) and is_all:
        _refuse(scenario, last, f"{lost}, and progress is expected while they stand")
    stall = zip((quick, slow), SLOTS_S, strict=True)
    if expect.gap is not None and all(
        each.seconds > expect.gap.in_seconds(slot) for each, slot in stall
    ):
        _refuse(scenario, last, f"{lost} for longer than the gap that is expected")


def _together(faults: Sequence[Scheduled]) -> str:
    others = ", ".join(fault.id for fault in faults[:-1])
    return f"with {others} it leaves" if others else "it leaves"


def _kept_from_its_heights(
    fault: Scheduled, scenario: Scenario, losses: "_Losses", topology: Topology
) -> list[Scheduled]:
    """Faults that began by then and stand until this one ends, or wait for heights as it does;
    none where they leave it a quorum."""
    n, table = len(topology.operator_names), Timetable(scenario.faults, SLOTS_S[0])
    if not fault.until.heights.for_operators(n) or losses[fault.id] is None:
        return []
    order, begins, heal = Order.of(scenario.faults), table.begins(fault.id), Moment(fault=fault.id)
    beside = []
    for other in scenario.faults:
        theirs = table.begins(other.id)
        if other is fault or losses[other.id] is None or theirs.origin != begins.origin:
            continue
        waits = other.until.heights.for_operators(n) and theirs.seconds == begins.seconds
        outlasts = heal in order.before(Moment(fault=other.id))
        if waits or (outlasts and theirs.seconds <= begins.seconds):
            beside.append(other)
    return beside if _none_left([losses[each.id] for each in (*beside, fault)], topology) else []


def _lost_together(
    scenario: Scenario, losses: "_Losses", topology: Topology, slot: float
) -> _Lost | None:
    """The longest such time. Of a fault that is drawn, goes on and off or repeats, only that it
    stands is known, unless it leaves no quorum whatever is drawn."""
    table = Timetable(scenario.faults, slot)
    spans = {fault.id: (table.begins(fault.id), table.ends(fault.id)) for fault in scenario.faults}
    longest: _Lost | None = None
    for origin in dict.fromkeys(begins.origin for begins, _ in spans.values()):
        here = [fault for fault in scenario.faults if spans[fault.id][0].origin == origin]
        here.sort(key=lambda fault: spans[fault.id][0].seconds)
        moments = sorted({time.seconds for fault in here for time in spans[fault.id]})
        whole = len(here) == len(spans) and all(ends.exact for _, ends in spans.values())
        start, by = None, tuple[Scheduled, ...]()
        for one, other in pairwise(moments):
            standing = tuple(
                fault
                for fault in here
                if spans[fault.id][0].seconds <= one and other <= spans[fault.id][1].seconds
            )
            if _none_left([losses[fault.id] for fault in standing], topology):
                start = one if start is None else start
                by = tuple(dict.fromkeys((*by, *(f for f in standing if losses[f.id]))))
                is_all = whole and (start, other) == (moments[0], moments[-1])
                if longest is None or other - start > longest.seconds:
                    longest = _Lost(other - start, by, is_all)
            else:
                start, by = None, ()
    return longest


@dataclass(frozen=True, slots=True)
class _Loss:
    """What a fault surely takes: groups that it leaves and links that it cuts; `all`: the quorum,
    whoever leads and whatever is drawn."""

    groups: tuple[tuple[str, ...], ...] = ()
    links: tuple[str, ...] = ()
    all: bool = False


_Losses: TypeAlias = Mapping[str, _Loss | None]
"""By fault; None: nothing is sure."""


def _sure_loss(fault: Scheduled, topology: Topology) -> _Loss | None:
    if fault.do.repeats or len(fault.occurrences) > 1 or _is_at_liars(fault):
        return None
    if _leaves_no_quorum(fault.do, topology, ()):
        return _Loss(all=True)
    site = sure_site(fault.do, topology)
    if site is None:
        return None
    groups, links = fault.do.components(site, topology.operator_names), fault.do.cuts(site)
    return _Loss(groups, links) if groups or links else None


def _none_left(losses: Sequence[_Loss | None], topology: Topology) -> bool:
    known = [loss for loss in losses if loss is not None]
    if any(loss.all for loss in known):
        return True
    links = [link for loss in known for link in loss.links]
    return not has_quorum([loss.groups for loss in known], links, topology.operator_names)


def _leaves_no_quorum(do: Fault, topology: Topology, liars: Sequence[Liars]) -> bool:
    """Whoever leads and whatever is drawn."""
    operators = topology.operator_names
    silent = (do.silences(site, operators) for site in possible_sites(do, topology, liars))
    return all(_lost(names, operators) for names in silent)


def _lost(silent: Iterable[str], operators: Sequence[str]) -> bool:
    return len(set(operators) - set(silent)) < quorum(len(operators))


def _longer(one: Duration, other: Duration) -> bool:
    """Whatever a slot is."""
    return all(one.in_seconds(slot) > other.in_seconds(slot) for slot in SLOTS_S)


def _refuse(scenario: Scenario, fault: Scheduled, why: str) -> Any:
    raise BadConfig(f"{fault.where or scenario.name}: fault {fault.id}: {why}")
