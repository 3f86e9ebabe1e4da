"""From a scenario's fault to a planned one: aims resolved, random draws made, all from the run's
seed. Pure."""

import random
from collections.abc import Sequence
from typing import Any, Final

import yaml

from devnet.faults.base import Sight
from devnet.injector.planned import Planned
from devnet.model.means import Means
from devnet.model.terms import Delay
from devnet.model.topology import Topology
from devnet.model.work import MAX_SENDERS, Hostile
from devnet.scenarios.scenario import Scenario, Scheduled
from devnet.scenarios.sense import require_sense
from devnet.scenarios.write import keys_written
from devnet.workload.hostile.catalogue import CATALOGUE
from dst.spec.errors import BadConfig

MAX_SENDERS_BESIDE_HOSTILE: Final = MAX_SENDERS - 2
"""A hostile transaction whose fate is not known blocks its account, so one account
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


def require_fits(scenario: Scenario, topology: Topology, backend: str | None) -> None:
    """Whether every fault has something to hit on this network, and this backend (None: some
    backend) can do it.

    Raises: BadConfig with one line that names the fault and what the network has.
    """
    operators = len(topology.operator_names)
    if operators < scenario.min_operators:
        raise BadConfig(
            f"{scenario.name} needs at least {scenario.min_operators} operators, "
            f"the network has {operators}"
        )
    if scenario.load.senders > MAX_SENDERS:
        raise BadConfig(
            f"{scenario.name}: load.senders {scenario.load.senders}: at most {MAX_SENDERS}, the "
            "other accounts write register and bank"
        )
    if scenario.hostile is not None:
        _require_known_kinds(scenario.name, scenario.hostile)
        if scenario.load.senders > MAX_SENDERS_BESIDE_HOSTILE:
            raise BadConfig(
                f"{scenario.name}: load.senders {scenario.load.senders}: hostile transactions need "
                f"accounts of their own; at most {MAX_SENDERS_BESIDE_HOSTILE} beside them"
            )
    for fault in scenario.faults:
        if complaint := _misfit(fault, topology, backend):
            raise BadConfig(f"{fault.where or scenario.name}: fault {fault.id}: {complaint}")
    require_sense(scenario, topology)


def needs_of(scenario: Scenario) -> frozenset[Means]:
    """Of all its faults."""
    return frozenset[Means]().union(*(fault.do.needs for fault in scenario.faults))


def versions_of(scenario: Scenario) -> frozenset[str]:
    """Of the code, that its faults run nodes from."""
    return frozenset(version for fault in scenario.faults for version in fault.do.versions())


def _misfit(fault: Scheduled, topology: Topology, backend: str | None) -> str:
    if backend is not None and backend not in fault.do.backends:
        able = " and ".join(fault.do.backends)
        return f"{fault.do.name} cannot be done on the {backend} backend, only on {able}"
    for leader in (fault.at.leader, fault.until.leader):
        if leader and leader not in topology.operator_names:
            return f"leader {leader}: the network has {', '.join(topology.operator_names)}"
    return fault.do.misfit(topology)


def _require_known_kinds(name: str, hostile: Hostile) -> None:
    unknown = [kind for kind in hostile.kinds if kind not in CATALOGUE]
    if unknown:
        raise BadConfig(
            f"{name}: hostile.kinds: no {', '.join(unknown)}; known: {', '.join(CATALOGUE)}"
        )


def plan_fault(
    fault: Scheduled,
    *,
    seed: int,
    topology: Topology,
    next_height: int,
    delay_seconds: float,
    leader: str | None = None,
    liars: tuple[str, ...] = (),
) -> Planned:
    """Resolve one fault at the moment it fires. leader, liars: see `Sight`.

    Raises: BadConfig when the network has no such node or another number of operators.
    """
    rng = rng_for(seed, fault.id, "target")
    return Planned(
        id=fault.id,
        do=fault.do,
        site=fault.do.aim(
            Sight(
                topology=topology,
                next_height=next_height,
                rng=rng,
                leader=leader,
                liars=liars,
            )
        ),
        aimed_height=next_height,
        delay_seconds=delay_seconds,
        forever=fault.until.forever,
    )


def resolved_yaml(scenario: Scenario, seed: int, planned: Sequence[Planned]) -> str:
    """What really ran: names for aims, seconds for draws. For a person and for comparison of
    runs."""
    faults = [_resolved(fault) for fault in planned]
    document: dict[str, Any] = {"name": scenario.name, "seed": seed, "faults": faults}
    if scenario.hostile is not None:
        kinds = scenario.hostile.kinds or tuple(CATALOGUE)
        document["hostile"] = {"gas": scenario.hostile.gas, "kinds": list(kinds)}
    return yaml.safe_dump(document, sort_keys=False, width=100)


def _resolved(fault: Planned) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": fault.id,
        "do": fault.do.name,
        "aimed_height": fault.aimed_height,
        "delay_seconds": round(fault.delay_seconds, 6),
        "asked": keys_written(fault.do),
    }
    site = fault.site
    if site.targets:
        entry["targets"] = list(site.targets)
    if site.groups:
        entry["groups"] = [list(group) for group in site.groups]
    if site.links:
        entry["links"] = list(site.links)
    return entry
