"""What cannot work, seen before anything starts: faults that surely take hold of the same thing at
one time, and progress expected where no quorum is left. Pure.

Only what is sure is refused: a fault whose target is drawn, or known only when it fires, may hit
what another has, and then its receipt says so.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain, combinations, product
from typing import Any, Final, NoReturn, TypeAlias

from devnet.faults.base import Fault, Sight, Site
from devnet.model.expect import RoundChanges
from devnet.model.terms import Aim, At, Count, Duration, Edge, Moment, Trigger
from devnet.model.topology import Topology
from devnet.scenarios.order import Order, heaviest_together
from devnet.scenarios.scenario import Scenario, Scheduled
from dst.spec.errors import BadConfig
from dst.spec.primitives import faults_tolerated, quorum

DRAWS: Final = 4
"""Of each height: what holds in all of them counts as sure where sizes, not names, matter."""


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


def _leaves_no_quorum(do: Fault, topology: Topology, liars: Sequence[Liars]) -> bool:
    """Whoever leads and whatever is drawn."""
    operators = topology.operator_names
    silent = (do.silences(site, operators) for site in possible_sites(do, topology, liars))
    return all(_lost(names, operators) for names in silent)


def _lost(silent: Iterable[str], operators: Sequence[str]) -> bool:
    return len(set(operators) - set(silent)) < quorum(len(operators))


def _longer(one: Duration, other: Duration) -> bool:
    """Whatever a slot is: slots are whole seconds."""
    return all(one.in_seconds(slot) > other.in_seconds(slot) for slot in (1.0, 12.0))


def _refuse(scenario: Scenario, fault: Scheduled, why: str) -> Any:
    raise BadConfig(f"{fault.where or scenario.name}: fault {fault.id}: {why}")
