"""What cannot work, seen before anything starts: faults that surely take hold of the same thing at
one time, and progress expected where no quorum is left. Pure.

Only what is sure is refused: a fault whose target is drawn, or known only when it fires, may hit
what another has, and then its receipt says so.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any, Final, NoReturn

from devnet.faults.base import Fault, Sight, Site
from devnet.model.terms import At, Duration, Edge, Moment
from devnet.model.topology import Topology
from devnet.scenarios.order import Order, heaviest_together
from devnet.scenarios.scenario import Scenario, Scheduled
from dst.spec.errors import BadConfig
from dst.spec.primitives import faults_tolerated, quorum

DRAWS: Final = 4
"""Of each height: what holds in all of them counts as sure where sizes, not names, matter."""


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


def possible_sites(do: Fault, topology: Topology) -> list[Site]:
    """For every leader, and some draws."""
    return [
        do.aim(Sight(topology=topology, next_height=height, rng=random.Random(f"{height}/{draw}")))
        for height in range(1, len(topology.operator_names) + 1)
        for draw in range(DRAWS)
    ]


def require_sense(scenario: Scenario, topology: Topology) -> None:
    """Raises: BadConfig, naming the fault. Every fault has something to hit there."""
    _require_own_claims(scenario, topology)
    if not scenario.expect.fails:
        _require_promises_kept(scenario)
        _require_tolerated(scenario, topology)
    for fault in scenario.faults:
        _require_quorum(scenario, fault, topology)


def _require_own_claims(scenario: Scenario, topology: Topology) -> None:
    order = Order.of(scenario.faults)
    sites = {fault.id: sure_site(fault.do, topology) for fault in scenario.faults}
    for one, other in combinations(scenario.faults, 2):
        mine, theirs = sites[one.id], sites[other.id]
        if mine is None or theirs is None or not _meet(one, other, order):
            continue
        if both := one.do.claims(mine) & other.do.claims(theirs):
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


def _require_tolerated(scenario: Scenario, topology: Topology) -> None:
    """Whoever leads and whatever is drawn, as long as no wait keeps two apart."""
    operators, order = topology.operator_names, Order.of(scenario.faults)
    weights = {
        fault.id: min(len(fault.do.doubtful(s)) for s in possible_sites(fault.do, topology))
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


def _require_quorum(scenario: Scenario, fault: Scheduled, topology: Topology) -> None:
    operators = topology.operator_names
    if fault.do.repeats or not leaves_no_quorum(fault.do, topology):
        return
    n, expect = len(operators), scenario.expect
    lost = f"leaves no quorum of {quorum(n)} among {n} operators"
    if fault.until.heights.for_operators(n) and not expect.no_progress:
        _refuse(scenario, fault, f"{lost}: the heights of its until cannot be decided; give hold")
    if expect.progress.for_operators(n) and len(scenario.faults) == 1:
        _refuse(scenario, fault, f"{lost}, and progress is expected while it stands")
    if expect.gap is not None and _longer(fault.until.hold, expect.gap):
        _refuse(scenario, fault, f"{lost} for longer than the gap that is expected")


def leaves_no_quorum(do: Fault, topology: Topology) -> bool:
    """Whoever leads and whatever is drawn."""
    operators = topology.operator_names
    silent = (do.silences(site, operators) for site in possible_sites(do, topology))
    return all(_lost(names, operators) for names in silent)


def _lost(silent: Iterable[str], operators: Sequence[str]) -> bool:
    return len(set(operators) - set(silent)) < quorum(len(operators))


def _longer(one: Duration, other: Duration) -> bool:
    """Whatever a slot is: slots are whole seconds."""
    return all(one.in_seconds(slot) > other.in_seconds(slot) for slot in (1.0, 12.0))


def _refuse(scenario: Scenario, fault: Scheduled, why: str) -> Any:
    raise BadConfig(f"{fault.where or scenario.name}: fault {fault.id}: {why}")
