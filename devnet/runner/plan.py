"""From a scenario's fault to a `PlannedFault`: roles resolved, random draws made, all from the
run's seed. Pure."""

import random
from collections.abc import Sequence
from typing import Any, Final

import yaml

from devnet.injector.injector import PlannedFault
from devnet.injector.surface import Links
from devnet.injector.targets import draw_groups, isolate, resolve_target
from devnet.model.fault import FaultKind
from devnet.model.scenario import Delay, Fault, Hostile, LinkClass, Role, Scenario
from devnet.workload.hostile.catalogue import CATALOGUE
from dst.spec.errors import BadConfig

MAX_SENDERS_BESIDE_HOSTILE: Final = 8
"""Of ten accounts: a hostile transaction whose fate is not known blocks its account, so one account
would not do."""


def rng_for(seed: int, fault_id: str, purpose: str) -> random.Random:
    """A generator of its own for each draw: adding a fault to a scenario leaves the draws of the
    others alone."""
    return random.Random(f"{seed}/{fault_id}/{purpose}")


def draw_delay(delay: Delay, slot_seconds: float, rng: random.Random) -> float:
    """Seconds; evenly from [0, upto) when the delay is random."""
    if delay.upto is not None:
        return rng.random() * delay.upto.in_seconds(slot_seconds)
    return delay.fixed.in_seconds(slot_seconds)


def require_fits(scenario: Scenario, operators: int, followers: int) -> None:
    """Whether every fault has something to hit on a network of this size.

    Raises: BadConfig with one line that names the fault and what the network has.
    """
    if operators < scenario.min_operators:
        raise BadConfig(
            f"{scenario.name} needs at least {scenario.min_operators} operators, "
            f"the network has {operators}"
        )
    if scenario.hostile is not None:
        _require_known_kinds(scenario.name, scenario.hostile)
        if scenario.load.senders > MAX_SENDERS_BESIDE_HOSTILE:
            raise BadConfig(
                f"{scenario.name}: load.senders {scenario.load.senders}: hostile transactions need "
                f"accounts of their own; at most {MAX_SENDERS_BESIDE_HOSTILE} beside them"
            )
    for fault in scenario.faults:
        if complaint := _misfit(fault, operators, followers):
            raise BadConfig(f"{scenario.name}: fault {fault.id}: {complaint}")


def _require_known_kinds(name: str, hostile: Hostile) -> None:
    unknown = [kind for kind in hostile.kinds if kind not in CATALOGUE]
    if unknown:
        raise BadConfig(
            f"{name}: hostile.kinds: no {', '.join(unknown)}; known: {', '.join(CATALOGUE)}"
        )


def _misfit(fault: Fault, operators: int, followers: int) -> str:
    if fault.split and sum(fault.split) != operators:
        wanted = sum(fault.split)
        return f"split {list(fault.split)} is for {wanted} operators, the network has {operators}"
    target = fault.target
    on_links = fault.kind is FaultKind.PARTITION or (
        fault.kind is FaultKind.LATENCY and fault.links is LinkClass.CONSENSUS
    )
    match target:
        case None | Role.LEADER | Role.RANDOM:
            return ""
        case Role.FOLLOWER if followers < 1:
            return "its target is a follower, the network has none"
        case Role.NOT_LEADER if operators < 3:
            return f"target not-leader needs at least 3 operators, the network has {operators}"
        case Role.ALL_OPERATORS if fault.kind is FaultKind.PARTITION:
            return "target all-operators leaves nobody to be cut off from; give split, or one node"
    ops, fs = _names("op", operators), _names("f", followers)
    if on_links and (target is Role.FOLLOWER or target in fs):
        return f"target {target} has no consensus links; give an operator"
    if not isinstance(target, Role) and target not in (*ops, *fs):
        return f"target {target}: the network has {', '.join((*ops, *fs))}"
    return ""


def _names(prefix: str, count: int) -> tuple[str, ...]:
    return tuple(f"{prefix}{number}" for number in range(1, count + 1))


def plan_fault(
    fault: Fault,
    *,
    seed: int,
    operators: Sequence[str],
    followers: Sequence[str],
    links: Links,
    next_height: int,
    delay_seconds: float,
) -> PlannedFault:
    """Resolve one fault at the moment it fires.

    Raises: BadConfig when the network has no such node or another number of operators.
    """
    rng = rng_for(seed, fault.id, "target")
    targets: tuple[str, ...] = ()
    if fault.target is not None:
        targets = resolve_target(
            fault.target, operators=operators, followers=followers, next_height=next_height, rng=rng
        )
    groups: tuple[tuple[str, ...], ...] = ()
    if fault.kind is FaultKind.PARTITION:
        groups = (
            draw_groups(fault.split, operators, rng) if fault.split else isolate(targets, operators)
        )
    return PlannedFault(
        id=fault.id,
        kind=fault.kind,
        targets=targets,
        groups=groups,
        links=_links_of(fault, targets, groups, operators, links),
        mode=fault.mode,
        one_way_ms=round(fault.one_way.seconds * 1000),
        aimed_height=next_height,
        delay_seconds=delay_seconds,
    )


def _links_of(
    fault: Fault,
    targets: tuple[str, ...],
    groups: tuple[tuple[str, ...], ...],
    operators: Sequence[str],
    links: Links,
) -> tuple[str, ...]:
    match fault.kind:
        case FaultKind.KILL | FaultKind.FREEZE:
            return ()
        case FaultKind.PARTITION:
            return links.consensus_between(groups)
        case FaultKind.LATENCY if fault.links is LinkClass.ENGINE:
            return tuple(name for node in targets for name in links.engine_of(node))
        case FaultKind.LATENCY:
            alone = isolate(targets, operators) if targets else [(name,) for name in operators]
            return links.consensus_between(alone)


def resolved_yaml(scenario: Scenario, seed: int, planned: Sequence[PlannedFault]) -> str:
    """What really ran: names for roles, seconds for draws. For a person and for comparison of
    runs."""
    faults: list[dict[str, Any]] = []
    for fault in planned:
        entry: dict[str, Any] = {
            "id": fault.id,
            "do": str(fault.kind),
            "aimed_height": fault.aimed_height,
            "delay_seconds": round(fault.delay_seconds, 6),
        }
        if fault.targets:
            entry["targets"] = list(fault.targets)
        if fault.groups:
            entry["groups"] = [list(group) for group in fault.groups]
            entry["mode"] = str(fault.mode)
        if fault.links:
            entry["links"] = list(fault.links)
        if fault.one_way_ms:
            entry["one_way_ms"] = fault.one_way_ms
        faults.append(entry)
    document: dict[str, Any] = {"name": scenario.name, "seed": seed, "faults": faults}
    if scenario.hostile is not None:
        kinds = scenario.hostile.kinds or tuple(CATALOGUE)
        document["hostile"] = {"gas": scenario.hostile.gas, "kinds": list(kinds)}
    return yaml.safe_dump(document, sort_keys=False, width=100)
