"""From a scenario's fault to a `PlannedFault`: roles resolved, random draws made, all from the
run's seed. Pure."""

import random
from collections.abc import Sequence
from typing import Any

import yaml

from devnet.injector.injector import PlannedFault
from devnet.injector.surface import Links
from devnet.injector.targets import draw_groups, isolate, resolve_target
from devnet.model.fault import FaultKind
from devnet.model.scenario import Delay, Fault, LinkClass, Scenario
from dst.spec.errors import BadConfig


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
    """Raises: BadConfig when the network is too small for the scenario."""
    if operators < scenario.min_operators:
        raise BadConfig(
            f"{scenario.name} needs at least {scenario.min_operators} operators, "
            f"the network has {operators}"
        )
    for fault in scenario.faults:
        if fault.split and sum(fault.split) != operators:
            raise BadConfig(
                f"{scenario.name}: split {list(fault.split)} is for {sum(fault.split)} operators, "
                f"the network has {operators}"
            )
        if fault.target == "follower" and followers < 1:
            raise BadConfig(f"{scenario.name} needs a follower, the network has none")


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
    document = {"name": scenario.name, "seed": seed, "faults": faults}
    return yaml.safe_dump(document, sort_keys=False, width=100)
