"""Brings networks up, takes the figures, takes the networks down. Every figure is a `Figure`; the
page prints them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Final

import aiohttp

from devnet.bench.phases import PHASES, BlockTimes, all_times
from devnet.bench.resources import cpu_by_role, wire_bytes
from devnet.bench.throughput import Throughput, measure_throughput
from devnet.model.history import Setup
from devnet.model.terms import Duration, Until
from devnet.network.bring_up import Network, NetworkOptions, choose_backend, running
from devnet.probes.events import EventTail
from devnet.report.summary import RunSummary, percentile
from devnet.runner.attach import Wanted
from devnet.runner.campaign import Campaign, run_campaign
from devnet.runner.journal import Journal
from devnet.runner.stages import background
from devnet.scenarios import catalogue
from devnet.scenarios.scenario import Scenario
from dst.spec.errors import DstError

BLOCK_TIMEOUT: Final = 120.0
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much of everything; `quick` is for trying the benches themselves."""

    directory: Path
    root: Path
    blocks: int = 60
    kills: int = 20
    heals: int = 3
    port_offset: int = 2000
    docker: bool = True

    def quick(self) -> "Plan":
        return replace(self, blocks=10, kills=2, heals=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table. `baseline` is the same figure at n = 1 in the same session, where
    there is one."""

    what: str
    value: float
    unit: str
    baseline: float | None = None
    target: str = ""

    @property
    def ratio(self) -> float | None:
        return None if not self.baseline else self.value / self.baseline


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Figures of one network under no fault."""

    started_in: float
    times: tuple[BlockTimes, ...]
    cpu_per_block: dict[str, float]
    bytes_per_block: float
    flood: Throughput | None = None


def options_of(plan: Plan, operators: int, backend: str) -> NetworkOptions:
    return NetworkOptions(
        directory=plan.directory,
        operators=operators,
        backend=backend,
        port_offset=plan.port_offset,
    )


async def measure_session(plan: Plan, operators: int, say: Say) -> Session:
    """Latency, CPU and bytes over `plan.blocks` idle blocks, then the flood. On processes."""
    options = options_of(plan, operators, "process")
    say(f"n = {operators}: {plan.blocks} blocks without load, then as many transactions as go in")
    async with running(options, say, _complain(say)) as network, aiohttp.ClientSession() as session:
        idle = await _measure_idle(plan, network, session)
        return replace(idle, flood=await measure_throughput(network.descriptor, session))


def _complain(say: Say) -> Callable[[str, str], None]:
    return lambda name, detail: say(f"CRASH {name}: {detail}")


async def _measure_idle(plan: Plan, network: Network, session: aiohttp.ClientSession) -> Session:
    names = network.topology.operator_names
    followers = network.topology.follower_names
    slot = float(network.descriptor.slot_seconds)
    journal = Journal(Setup(operators=names, followers=followers, slot_seconds=slot))
    tails = [
        EventTail(name, network.probe_url(name), journal.record).run() for name in network.nodes
    ]
    async with background(tails):
        await _blocks(journal, 2)
        cpu_before, bytes_before = await cpu_by_role(network), await wire_bytes(network, session)
        first = journal.heights.newest_sealed
        await _blocks(journal, plan.blocks)
        blocks = journal.heights.newest_sealed - first
        cpu_after, bytes_after = await cpu_by_role(network), await wire_bytes(network, session)
    return Session(
        started_in=network.started_in_s,
        times=tuple(all_times(journal.events(), names, followers)),
        cpu_per_block=_per_block(cpu_before, cpu_after, blocks),
        bytes_per_block=(bytes_after - bytes_before) / blocks,
    )


async def _blocks(journal: Journal, count: int) -> None:
    goal = journal.heights.newest_sealed + count
    if not await journal.until(lambda: journal.heights.newest_sealed >= goal, BLOCK_TIMEOUT):
        raise DstError(f"height {goal} was not sealed within {BLOCK_TIMEOUT:.0f} s")


def _per_block(
    before: Mapping[str, float], after: Mapping[str, float], blocks: int
) -> dict[str, float]:
    return {role: (value - before.get(role, 0.0)) / blocks for role, value in after.items()}


async def measure_start(plan: Plan, backend: str, say: Say) -> float:
    """Seconds from nothing to the first block sealed on every node."""
    async with running(options_of(plan, 4, backend), say, _complain(say)) as network:
        return network.started_in_s


async def measure_faults(plan: Plan, scenario: Scenario, runs: int, say: Say) -> list[RunSummary]:
    """Runs of one scenario on a network of its own."""
    wanted = Wanted(directory=plan.directory, backend="process", port_offset=plan.port_offset)
    summary = await run_campaign(
        Campaign(
            scenario=scenario,
            source=scenario.name,
            wanted=wanted,
            runs=runs,
            seed=1,
            root=plan.root,
            say=say,
        )
    )
    return list(summary.runs)


def held_split(seconds: float) -> Scenario:
    """split-2-2 with the cut held for so long."""
    scenario = catalogue.load("split-2-2")
    (fault,) = scenario.faults
    until = Until(hold=Duration(seconds=seconds))
    return replace(scenario, faults=(replace(fault, until=until),))


async def measure_all(plan: Plan, say: Say) -> list[Figure]:
    """Everything, one network at a time."""
    alone = await measure_session(plan, 1, say)
    four = await measure_session(plan, 4, say)
    figures = [*latency_figures(alone, four), *cost_figures(alone, four)]
    assert alone.flood is not None
    assert four.flood is not None
    figures += flood_figures(alone.flood, four.flood)
    figures += await _start_figures(plan, alone, four, say)
    kills = await measure_faults(plan, catalogue.load("leader-kill"), plan.kills, say)
    figures += gap_figures(kills)
    for seconds in (5.0, 30.0):
        heals = await measure_faults(plan, held_split(seconds), plan.heals, say)
        figures += recovery_figures(heals, seconds)
    return figures


async def _start_figures(plan: Plan, alone: Session, four: Session, say: Say) -> list[Figure]:
    figures = [
        Figure(
            what="start, processes, n = 4", value=four.started_in, unit="s",
            baseline=alone.started_in, target="<= 10 s",
        )
    ]  # fmt: skip
    if plan.docker and await asyncio.to_thread(choose_backend, None) == "docker":
        seconds = await measure_start(plan, "docker", say)
        figures.append(
            Figure(what="start, containers, n = 4", value=seconds, unit="s", target="<= 20 s")
        )
    return figures


def latency_figures(alone: Session, four: Session) -> list[Figure]:
    """Payload ready to sealed everywhere, and the phases' medians."""
    found: list[Figure] = []
    targets = {50: "<= 60 ms", 99: "<= 200 ms"}
    for percent in (50, 90, 99):
        for what, pick in (("operators", _at_operators), ("nodes", _total)):
            found += _millis(
                f"payload ready to sealed at all {what}, p{percent} of {len(four.times)} blocks",
                [pick(times) for times in four.times],
                [pick(times) for times in alone.times],
                percent,
                targets.get(percent, "") if what == "operators" else "",
            )
    for index, phase in enumerate(PHASES):
        found += _millis(
            f"phase {phase}, p50",
            [times.phases[index] for times in four.times],
            [times.phases[index] for times in alone.times],
            50,
        )
    return found


def _total(times: BlockTimes) -> float:
    return times.total


def _at_operators(times: BlockTimes) -> float:
    return times.at_operators


def _millis(
    what: str, values: Sequence[float], baseline: Sequence[float], percent: float, target: str = ""
) -> list[Figure]:
    """A percentile in milliseconds; no line when nothing was measured."""
    value, base = percentile(values, percent), percentile(baseline, percent)
    if value is None:
        return []
    scaled = None if base is None else base * 1000
    return [Figure(what=what, value=value * 1000, unit="ms", baseline=scaled, target=target)]


def cost_figures(alone: Session, four: Session) -> list[Figure]:
    """CPU, bytes and transactions."""
    found = [
        Figure(
            what=f"CPU per block, {role} (all operators)", value=value * 1000, unit="ms",
            baseline=alone.cpu_per_block.get(role, 0.0) * 1000,
        )
        for role, value in sorted(four.cpu_per_block.items())
    ]  # fmt: skip
    found.append(
        Figure(
            what="bytes between operators per empty block", value=four.bytes_per_block, unit="B",
            target="block once per peer, votes <= 300 B",
        )
    )  # fmt: skip
    return found


def flood_figures(alone: Throughput, four: Throughput) -> list[Figure]:
    """What blocks held under more transfers than they could."""
    found = [
        Figure(
            what="transfers included per second", value=four.included_per_second, unit="tx/s",
            baseline=alone.included_per_second, target="476, the gas limit",
        ),
        Figure(
            what="blocks filled by them", value=100 * four.fullness, unit="%",
            baseline=100 * alone.fullness,
        ),
        Figure(
            what="slots without a block meanwhile", value=four.missed_slots, unit="slots",
            baseline=alone.missed_slots, target="0",
        ),
    ]  # fmt: skip
    for percent in (50, 100):
        found += _millis(
            f"a better paying transfer meanwhile, sent to included, p{percent}",
            four.probe_seconds,
            alone.probe_seconds,
            percent,
        )
    return found


def gap_figures(runs: Sequence[RunSummary]) -> list[Figure]:
    gaps = [run.gap for run in runs if run.gap is not None]
    return _seconds(f"leader-kill, gap between sealed blocks, {len(gaps)} kills", gaps, "<= 2 s")


def recovery_figures(runs: Sequence[RunSummary], held: float) -> list[Figure]:
    recoveries = [run.recovery for run in runs if run.recovery is not None]
    what = f"2|2 held {held:.0f} s, heal to next sealed block, {len(recoveries)} heals"
    return _seconds(what, recoveries, "<= 6 s")


def _seconds(what: str, values: Sequence[float], target: str) -> list[Figure]:
    if not values:
        return []
    return [
        Figure(what=f"{what}, mean", value=fmean(values), unit="s"),
        Figure(what=f"{what}, p50", value=percentile(values, 50) or 0.0, unit="s"),
        Figure(what=f"{what}, p99", value=percentile(values, 99) or 0.0, unit="s", target=target),
    ]
