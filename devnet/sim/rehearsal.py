"""A scenario of the harness, rehearsed: the runner, the injector, the faults and the checkers of
running networks, in virtual time on the shipped shells.

What differs is the network (`surface`): no execution, no followers, no transactions, so that
nothing is said of what only those show. One scenario and one seed are one run, whatever the
machine does; the seed draws the delays of messages, answers, writes and starts, and nothing of the
schedule, whose own draws have a seed of their own.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final
from unittest.mock import patch

from devnet.faults.base import Fault, Sight
from devnet.faults.surface import CannotInject
from devnet.faults.surface import World as Surface
from devnet.model.clock import now
from devnet.model.history import History, Record, RunBroken, Setup
from devnet.model.topology import compute_topology
from devnet.model.verdict import Outcome, Verdict, Violation
from devnet.report.summary import RunSummary, summarise
from devnet.runner.journal import Journal
from devnet.runner.judging import verdicts_of
from devnet.runner.plan import require_fits, rng_for
from devnet.runner.stages import HarnessError, Run, Runner
from devnet.scenarios.scenario import Scenario
from devnet.sim.haste import Haste
from devnet.sim.loop import VirtualLoop, play
from devnet.sim.operator import Operator, crash_point
from devnet.sim.params import SLOT_US
from devnet.sim.recovery import BOUND_US, CALM, WARM_UP
from devnet.sim.story import Story
from devnet.sim.surface import (
    Cluster,
    NoCounterpart,
    SimBends,
    SimFirewalls,
    SimHosts,
    SimL1,
    SimLinks,
    SimMachines,
    SimPrograms,
    SimStores,
    SimTelling,
)
from devnet.sim.tape import stream
from devnet.sim.world import Breach, World
from dst.middleware import consensus, sealing
from dst.middleware.wire_messages import WireMessage
from dst.spec.errors import BadConfig

SLOT_SECONDS: Final = SLOT_US / 1e6


class Rehearsal(World):
    """The cluster of one run. What it records goes to `sink`, once there is one, and is judged
    there: by the checkers of running networks."""

    sink: Callable[[Record], None] | None = None

    def __init__(
        self,
        loop: VirtualLoop,
        seed: int,
        n: int,
        *,
        rng: Random | None = None,
        story: Story | None = None,
    ) -> None:
        super().__init__(loop, seed, n, params=replace(CALM, n=n), rng=rng)
        self._untold = story
        self._live = []
        self._haste = Haste(n, frozenset())
        self.cluster = Cluster(
            topology=compute_topology(operators=n, followers=0),
            loop=loop,
            network=self.network,
            l1=self.l1,
            nodes=self._all(),
            rng=stream(self.rng, "programs"),
            boot=self._boot,
            liar=self._lies_from_now_on,
        )

    async def warm_up(self) -> None:
        """Until the cluster knows how fast it is; nothing is told of that. Raises: Breach."""
        for operator in self._all():
            self.loop.after(self.rng.randrange(SLOT_US), self._boot, operator)
        if not await self._until(lambda: self.top >= WARM_UP, BOUND_US):
            raise Breach([self._stuck(WARM_UP)])
        self._story = self._untold

    def breach(self) -> tuple[Violation, ...]:
        """What the simulator's own checkers saw: bounded haste (L12)."""
        return () if self._breach is None else self._breach.violations

    def _lies_from_now_on(self, node: Operator) -> None:
        self._haste.liars |= {node.index}

    def _record(self, record: Record) -> None:
        super()._record(record)
        if self.sink is not None:
            self.sink(record)

    def crashed(self, node: Operator) -> None:
        """It stays down: who killed it starts it again."""
        self._count("crash")
        self.tell(f"{node.name} ends")
        if not self.is_there(node.index):
            self.network.process_ended(node.index)
        self._say(f"crash {node.name}")

    def struck(self, index: int) -> None:
        """No liar of a running network can do that."""

    def lied(
        self,
        node: Operator,
        target: int,
        instead_of: WireMessage | None,
        words: tuple[WireMessage, ...],
    ) -> None:
        self.cluster.lies[node.name] += 1
        super().lied(node, target, instead_of, words)


class SimNetwork:
    """`Surroundings` of a simulated cluster."""

    is_read_at_end = False

    def __init__(self, cluster: Cluster) -> None:
        self.topology = cluster.topology
        self.programs = SimPrograms(cluster)
        self.links = SimLinks(cluster)
        self.bends = SimBends(cluster)
        self.telling = SimTelling(cluster)
        self.l1 = SimL1(cluster)
        self.stores = SimStores(cluster)
        self.machines = SimMachines(cluster)
        self.hosts = SimHosts()
        self.firewalls = SimFirewalls()

    def tails(self, journal: Journal) -> list[Coroutine[Any, Any, None]]:
        """The world tells the journal itself."""
        return []

    async def load(self, journal: Journal, scenario: Scenario, seed: int) -> None:
        await asyncio.Event().wait()

    async def hostile(
        self, journal: Journal, scenario: Scenario, say: Callable[[str], None]
    ) -> None:
        raise AssertionError("refused before")

    async def standing(self) -> Mapping[str, str]:
        return {}

    async def crashes(self) -> dict[str, tuple[int, str, float]]:
        """A shell that raises has told the journal."""
        return {}

    async def read_end_state(self, journal: Journal, first: int, last: int) -> dict[str, str]:
        """Blocks and signatures were recorded as they came."""
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """trace: checksum over every record, for the determinism check."""

    summary: RunSummary
    verdicts: tuple[Verdict, ...]
    history: History
    trace: int

    @property
    def failure(self) -> str:
        """`L2 gap between sealed blocks: ...` of a run that failed; else empty."""
        return self.summary.reason if self.summary.outcome is Outcome.FAIL else ""


def rehearse(
    scenario: Scenario,
    seed: int,
    *,
    drawn_from: int,
    rng: Random | None = None,
    story: Story | None = None,
) -> Rehearsed:
    """Play it; the outcome never depends on anything but the arguments.

    Args:
        drawn_from: seed of the schedule's own draws, as of `devnet chaos run --seed`.
        rng: instead of the seed's.
    """

    async def run(loop: VirtualLoop) -> Rehearsed:
        world = Rehearsal(loop, seed, scenario.operators, rng=rng, story=story)
        return await _carried_out(world, scenario, seed, drawn_from)

    with _quiet(), _drilling():
        return play(run)


async def _carried_out(
    world: Rehearsal, scenario: Scenario, seed: int, drawn_from: int
) -> Rehearsed:
    await world.warm_up()
    setup = Setup(
        operators=world.cluster.topology.operator_names,
        slot_seconds=SLOT_SECONDS,
        scenario=scenario.name,
        seed=drawn_from,
    )
    journal = Journal(setup)
    world.sink = journal.record
    run, started = Run(scenario=scenario, seed=drawn_from), now()
    network = SimNetwork(world.cluster)
    try:
        run = await Runner(scenario, drawn_from, network, journal, world.tell).run()
    except* HarnessError as errors:
        why = "; ".join(str(error) for error in _leaves(errors))
        journal.record(RunBroken(why=why, monotonic=now()))
    history = journal.history()
    verdicts = (*_own(world), *(run.verdicts or verdicts_of(scenario, history)))
    summary = summarise(
        history, verdicts, scenario=scenario.name, seed=seed, seconds=now() - started
    )
    return Rehearsed(summary=summary, verdicts=verdicts, history=history, trace=world.trace)


def _own(world: Rehearsal) -> Iterator[Verdict]:
    for violation in world.breach():
        yield Verdict(checker=violation.checker, outcome=Outcome.FAIL, violations=(violation,))


def _leaves(group: BaseExceptionGroup[Any]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


@contextmanager
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


@contextmanager
def _drilling() -> Iterator[None]:
    """The shipped code asks the simulated operator at its crash points."""
    with ExitStack() as stack:
        for module in (consensus, sealing):
            stack.enter_context(patch.object(module, "crash_point", crash_point))
        yield


# -------------------------------------------------------------------- what has no counterpart


def without_counterpart(scenario: Scenario, drawn_from: int) -> dict[str, str]:
    """Fault (or `hostile`, or empty for all of it) -> why the simulator cannot play it: tried out,
    each on a cluster that is thrown away, so that no list has to be kept true."""
    topology = compute_topology(operators=scenario.operators, followers=0)
    found = {}
    if scenario.hostile is not None:
        found["hostile"] = "hostile transactions: the simulator executes none"
    for fault in scenario.faults:
        if why := fault.do.misfit(topology):
            found[fault.id] = f"{why} (the simulator has operators only)"
        elif why := _tried(fault.do, scenario.operators, rng_for(drawn_from, fault.id, "target")):
            found[fault.id] = f"the simulator has no counterpart of {why}"
    return found


def _tried(do: Fault, n: int, rng: Random) -> str:
    async def attempt(loop: VirtualLoop) -> str:
        world = Rehearsal(loop, 0, n)
        for node in world.cluster.nodes:
            world.cluster.boot(node)  # so that it answers
        network = SimNetwork(world.cluster)
        sight = Sight(
            topology=network.topology,
            next_height=int(WARM_UP),
            rng=rng,
            liars=network.topology.operator_names[-1:],
        )
        return await _refused(do, sight, network)

    with _quiet():
        return play(attempt)


async def _refused(do: Fault, sight: Sight, network: Surface) -> str:
    try:
        site = do.aim(sight)
        await do.inject(site, network)
        await do.missing(site, network)
        await do.take_back(site, network)
    except NoCounterpart as error:
        return str(error)
    except CannotInject:
        return ""  # of a cluster that does not run
    return ""


def require_playable(scenario: Scenario, drawn_from: int) -> None:
    """Raises: BadConfig, naming each fault that cannot be played."""
    if wrong := without_counterpart(scenario, drawn_from):
        told = "; ".join(f"{name}: {why}" for name, why in wrong.items())
        raise BadConfig(f"{scenario.name}: {told}; --leave-out plays it without")
    require_fits(scenario, compute_topology(operators=scenario.operators, followers=0), None)
