"""One run: start, load, inject, heal, settle, check. Setup and clean-up of the network are the
campaign's.

The stages share a `Journal`; each waits for conditions with a deadline, never for a duration (the
scenario's own holds and delays excepted). Whatever happens, faults that still stand are reverted
before a run ends.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from devnet.checkers import votes_again
from devnet.checkers.base import counted
from devnet.faults.surface import CannotInject, World
from devnet.faults.targets import leader_name
from devnet.injector.injector import Injector
from devnet.injector.planned import Planned
from devnet.model.clock import now
from devnet.model.history import (
    Event,
    EventKind,
    FaultReceipt,
    History,
    NodeUnread,
    ProgramEnded,
    RunEnded,
    WaitedInVain,
)
from devnet.model.terms import Aim, Duration, Edge, Moment, Trigger, Until
from devnet.model.timeline import IN_A_ROW, Span, keeps_up
from devnet.model.verdict import Outcome, Verdict, worst
from devnet.runner.journal import Journal
from devnet.runner.judging import verdicts_of
from devnet.runner.plan import draw_delay, plan_fault, rng_for
from devnet.scenarios.scenario import Scenario, Scheduled

START_TIMEOUT: Final = Duration(seconds=55.0, slots=5.0)
"""Until the first height, and those before the first fault, are sealed everywhere."""
TRIGGER_TIMEOUT: Final = Duration(seconds=20.0, slots=10.0)
"""To wait for an event to fire on."""
TURNS: Final = 3
"""Of an operator that a fault waits for: where two heights are heard of at once, one is missed."""
SLOTS_A_HEIGHT: Final = 10
"""Time for a height that is waited for, while others stand."""
CRASH_LOOK_SECONDS: Final = 1.0
"""Between looks at what has ended; the backend knows the moment."""
REJOIN_POLL_SECONDS: Final = 0.3
"""Between looks at the whole history, which cost milliseconds each."""


class HarnessError(Exception):
    """The run could not be carried out (exit code 3); the message is for a person."""


class Surroundings(World, Protocol):
    """The network as a run sees it."""

    is_read_at_end: bool
    """Every node serves its blocks then. Of a simulated one they are recorded as they come."""

    def tails(self, journal: Journal) -> list[Coroutine[Any, Any, None]]:
        """What looks on: one event tail per node, and the machine's own health; to be run until
        cancelled."""

    def load(self, journal: Journal, scenario: Scenario, seed: int) -> Coroutine[Any, Any, None]:
        """The load, to be run until cancelled."""

    def hostile(
        self, journal: Journal, scenario: Scenario, say: Callable[[str], None]
    ) -> Coroutine[Any, Any, None]:
        """The hostile transactions of the scenario, one after another, to the last one's fate."""

    async def standing(self) -> Mapping[str, str]:
        """Links, programs and machines that something is done to -> what; of a Toxiproxy that does
        not answer, too. Raises: CannotInject."""

    async def crashes(self) -> dict[str, tuple[int, str, float]]:
        """Program -> how often it ended on its own in the network's life, what is known about the
        last time, and when that was; of those that did. Raises: HarnessError."""

    async def read_end_state(self, journal: Journal, first: int, last: int) -> dict[str, str]:
        """Blocks, group signatures and receipts of heights first..last into the journal; node ->
        why it could not be read."""


@dataclass(slots=True)
class Run:
    """What one run left behind."""

    scenario: Scenario
    seed: int
    planned: list[Planned] = field(default_factory=list)
    verdicts: tuple[Verdict, ...] = ()
    history: History | None = None
    error: str = ""
    """Why it could not be carried out."""
    spent: bool = False
    """The chain did not come to the height that the end asks for: the network serves no other
    run."""

    @property
    def outcome(self) -> Outcome:
        return worst(self.verdicts)


Progress = Callable[[str], None]
"""Told one short line per stage."""


class Runner:
    """Carries one scenario out once."""

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        surroundings: Surroundings,
        journal: Journal,
        progress: Progress,
    ) -> None:
        self._scenario = scenario
        self._seed = seed
        self._net = surroundings
        self._journal = journal
        self._say = progress
        self._slot = journal.setup.slot_seconds
        topology = surroundings.topology
        self._n = len(topology.operator_names)
        self._everywhere = (*topology.operator_names, *topology.follower_names)
        self._run = Run(scenario=scenario, seed=seed)
        self._goal = 0
        """The height that every node must have in the end."""
        self._settled: Span = (0.0, 0.0)
        """When it was waited for."""
        self._crashes: dict[str, int] = {}
        """That are known."""
        self._come: dict[Moment, asyncio.Event] = {
            Moment(fault=fault.id, edge=edge): asyncio.Event()
            for fault in scenario.faults
            for edge in Edge
        }
        self._injector = Injector(world=surroundings, events=journal.events, record=journal.record)

    async def run(self) -> Run:
        """Raises: HarnessError when the network does not get as far as the first fault, or cannot
        be read."""
        self._crashes = {name: times for name, (times, *_) in (await self._net.crashes()).items()}
        async with background([*self._net.tails(self._journal), self._watch_programs()]):
            first = await self._start()
            load = self._net.load(self._journal, self._scenario, self._seed)
            async with background([load]):
                await self._start_heights()
                await self._disturb()
                await self._settle()
            await self._check(first)
        return self._run

    async def _start(self) -> int:
        """The first height of this run: everything from there on is judged."""
        if await self._standing():  # no time heals it
            await self._require_whole()
        self._say("start: waiting for a sealed block on every node")
        heights, began = self._journal.heights, now()
        timeout = START_TIMEOUT.in_seconds(self._slot)
        came = await self._journal.until(
            lambda: all(name in heights.sealed for name in self._everywhere), timeout
        )
        await self._require_whole()
        if not came:
            silent = tuple(name for name in self._everywhere if name not in heights.sealed)
            complaint = f"no sealed block at {', '.join(silent)} within {timeout:.0f} s"
            raise self._in_vain(complaint, "a first block", began, silent)
        return min(heights.sealed.values())

    async def _start_heights(self) -> None:
        count, began = self._scenario.start.for_operators(self._n), now()
        timeout = START_TIMEOUT.in_seconds(self._slot) + SLOTS_A_HEIGHT * count * self._slot
        if not await self._reach(count, timeout):
            behind = tuple(name for name in self._everywhere if self._sealed(name) < self._goal)
            what = f"height {self._goal}, before the first fault"
            raise self._in_vain(self._behind(timeout), what, began, behind)

    def _in_vain(
        self, complaint: str, what: str, since: float, nodes: tuple[str, ...] = ()
    ) -> "HarnessError":
        """The run cannot go on; whose doing that is, the record tells."""
        self._record_wait(what, since, nodes)
        return HarnessError(complaint)

    def _record_wait(self, what: str, since: float, nodes: tuple[str, ...] = ()) -> None:
        wait = WaitedInVain(what=what, nodes=nodes, since=since, monotonic=now())
        self._journal.record(wait)

    async def _require_whole(self) -> None:
        """Raises: HarnessError when something was done to the network already."""
        programs = [program for pod in self._net.topology.pods for program in pod.programs]
        missing = await self._net.programs.not_up(programs)
        left = [f"{where} {what}" for where, what in (await self._standing()).items()]
        if missing or left:
            told = "; ".join([missing] * bool(missing) + left)
            raise HarnessError(
                f"the network is not whole before the first fault: {told}; start it anew"
            )

    async def _standing(self) -> Mapping[str, str]:
        """Raises: HarnessError when nobody can tell."""
        try:
            return await self._net.standing()
        except CannotInject as error:
            raise HarnessError(str(error)) from error

    async def _reach(self, count: int, timeout: float) -> bool:
        """Whether `count` more heights come on every node."""
        goal = self._goal = self._journal.heights.newest_sealed + count
        return await self._journal.until(
            lambda: all(self._sealed(name) >= goal for name in self._everywhere), timeout
        )

    def _sealed(self, node: str) -> int:
        return self._journal.heights.sealed.get(node, 0)

    def _behind(self, timeout: float) -> str:
        there = {name: self._sealed(name) for name in self._everywhere}
        return f"height {self._goal} not sealed everywhere within {timeout:.0f} s: {there}"

    async def _disturb(self) -> None:
        """All that the scenario does to the network: faults and hostile transactions, side by
        side."""
        async with asyncio.TaskGroup() as tasks:
            if self._scenario.faults:
                tasks.create_task(self._inject(), name="faults")
            if self._scenario.hostile is not None:
                work = self._net.hostile(self._journal, self._scenario, self._say)
                tasks.create_task(work, name="hostile")

    async def _inject(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                for fault in self._scenario.faults:
                    tasks.create_task(self._one_fault(fault), name=f"fault-{fault.id}")
        finally:
            await self._injector.restore()

    async def _one_fault(self, fault: Scheduled) -> None:
        if fault.at.after is not None:
            await self._come[fault.at.after].wait()
        heights, repeat = self._journal.heights, fault.at.repeat
        goal, due = 0, 0.0
        for name in fault.occurrences:
            await self._wait_decided(goal, name)
            await asyncio.sleep(max(0.0, due - now()))
            goal = heights.newest_decided + repeat.heights.for_operators(self._n)
            due = now() + repeat.pause.in_seconds(self._slot)
            await self._occurrence(replace(fault, id=name), of=fault.id)
        self._come[Moment(fault=fault.id)].set()
        returned = Moment(fault=fault.id, edge=Edge.REJOIN)
        if any(returned in (each.at.after, each.until.after) for each in self._scenario.faults):
            timeout = self._scenario.settle_timeout.in_seconds(self._slot)
            await self._rejoined(fault.occurrences, now() + timeout)
        self._come[returned].set()

    async def _occurrence(self, fault: Scheduled, *, of: str) -> None:
        planned = await self._fire(fault)
        self._run.planned.append(planned)
        self._say(f"inject: {describe(planned, fault)}")
        receipt = await self._injector.apply(planned)
        self._come[Moment(fault=of, edge=Edge.INJECT)].set()
        if receipt.error:
            self._say(f"inject: {fault.id} failed: {receipt.error}")
        else:
            self._say(f"inject: fault verified{where(receipt)}; {self._holding(fault)}")
            await self._stand(fault, planned, receipt)
        receipt = await self._injector.revert(planned)
        self._say(f"heal: {fault.id} {receipt.error or 'taken back, heal verified'}")

    async def _wait_decided(self, height: int, fault: str) -> None:
        """Raises: HarnessError when it does not come."""
        heights, began = self._journal.heights, now()
        slots = SLOTS_A_HEIGHT * max(0, height - heights.newest_decided)
        timeout = TRIGGER_TIMEOUT.in_seconds(self._slot) + slots * self._slot
        if not await self._journal.until(lambda: heights.newest_decided >= height, timeout):
            what = f"height {height}, for which {fault} waits"
            raise self._in_vain(f"{what}, was not decided within {timeout:.0f} s", what, began)

    async def _fire(self, fault: Scheduled) -> Planned:
        """Wait for heights and event, aim, wait the drawn delay."""
        wanted = fault.at.heights.for_operators(self._n)
        await self._wait_decided(self._journal.heights.newest_decided + wanted, fault.id)
        timeout, began = TRIGGER_TIMEOUT.in_seconds(self._slot), now()
        match fault.at.trigger:
            case Trigger.START:
                come: object = True
            case Trigger.DECIDED:
                come = await self._decided_before(fault.at.leader, timeout)
            case other:
                come = await self._journal.next_event(EventKind(other.value), timeout)
        if come is None:
            what = f"a {fault.at.trigger} event, for which {fault.id} waits"
            complaint = f"no {fault.at.trigger} event for {timeout:.0f} s before fault {fault.id}"
            raise self._in_vain(complaint, what, began)
        next_height = self._journal.heights.newest_decided + 1
        delay = draw_delay(fault.at.delay, self._slot, rng_for(self._seed, fault.id, "delay"))
        planned = plan_fault(
            fault,
            seed=self._seed,
            topology=self._net.topology,
            next_height=next_height,
            delay_seconds=delay,
            leader=self._leader(),
            liars=tuple(name for receipt in self._journal.faults() for name in receipt.lying),
        )
        await asyncio.sleep(delay)
        return planned

    async def _decided_before(self, leader: str, timeout: float) -> int | None:
        """The next height decided after which that operator leads, or the next one at all. None
        when none comes in time, or its turn does not."""
        operators, heights = self._net.topology.operator_names, self._journal.heights
        for _ in range(TURNS * self._n):
            come = await self._journal.next_decided(timeout)
            if come is None or leader in ("", leader_name(operators, heights.newest_decided + 1)):
                return come
        return None

    def _leader(self) -> str | None:
        """Of a baseline whoever made the newest block; in our cluster each height has its own."""
        if not self._net.topology.cluster.is_baseline:
            return None
        made = (e for e in reversed(self._journal.events()) if e.kind is EventKind.PROPOSAL)
        newest = next(made, None)
        return None if newest is None else newest.node

    async def _stand(self, fault: Scheduled, planned: Planned, receipt: FaultReceipt) -> None:
        """To its end, looked at all the while; one that lapsed is not waited for."""
        async with asyncio.TaskGroup() as tasks:
            hold = tasks.create_task(self._hold(fault, planned, receipt), name=f"hold-{fault.id}")
            watch = tasks.create_task(self._injector.watch(planned), name=f"watch-{fault.id}")
            going = tasks.create_task(self._injector.keep_up(planned), name=f"keep-up-{fault.id}")
            await asyncio.wait((hold, watch, going), return_when=asyncio.FIRST_COMPLETED)
            for looking in (watch, going):
                if looking.done():
                    self._say(f"inject: {fault.id}: {looking.result().error}")
                looking.cancel()
            hold.cancel()

    def _holding(self, fault: Scheduled) -> str:
        wanted = fault.until.heights.for_operators(self._n)
        hold = fault.until.hold.in_seconds(self._slot)
        parts = [counted(wanted, "height{s}")] if wanted else []
        parts += [f"{hold:g} s"] if hold else []
        total = fault.until.total.in_seconds(self._slot)
        parts += [f"{total:g} s from its request on"] if total else []
        holding = [f"for {' and at least '.join(parts)}"] if parts else []
        holding += [f"to the {fault.until.after}"] if fault.until.after else []
        holding += ["to the end of all others"] if fault.until.forever else []
        holding += [f"to the next {fault.until.trigger}"] if fault.until.trigger else []
        return f"holding {' and '.join(holding)}"

    async def _hold(self, fault: Scheduled, planned: Planned, receipt: FaultReceipt) -> None:
        """Until enough heights are decided from the hit on, and its time is over."""
        wanted = fault.until.heights.for_operators(self._n)
        hold = fault.until.hold.in_seconds(self._slot)
        timeout = fault.until.timeout.in_seconds(self._slot)
        started = receipt.verified or now()
        if wanted:
            goal = (receipt.height or 0) + wanted
            await self._ending_height(fault, goal, timeout)
        total = fault.until.total.in_seconds(self._slot)
        ends = max(started + hold, receipt.requested + total)
        await asyncio.sleep(max(0.0, ends - now()))
        for moment in self._ends_after(fault):
            await self._come[moment].wait()
        if fault.until.trigger is not None:
            alone = replace(fault.until, trigger=None, leader="", timeout=Until().timeout)
            since = receipt.applied if alone == Until() else None
            await self._ending_event(fault, planned, now() if since is None else since)
        if fault.until.forever and not self._is_in_the_way(planned):
            await self._settle()  # as the others ended under it, their ends are felt under it

    async def _ending_height(self, fault: Scheduled, goal: int, timeout: float) -> None:
        """The height that its end waits for. One that does not come is no failure of the fault,
        which stands meanwhile; whether the chain had to go on, the record tells."""
        heights, began = self._journal.heights, now()
        if await self._journal.until(lambda: heights.newest_decided >= goal, timeout):
            return
        # A baseline promises nobody when it goes on: what it took is a figure.
        if not self._net.topology.cluster.is_baseline:
            self._record_wait(f"height {goal}, for which the end of {fault.id} waits", began)

    async def _ending_event(self, fault: Scheduled, planned: Planned, since: float) -> None:
        """The event that its end waits for; one that does not come is told in its receipt."""
        trigger, began = fault.until.trigger, now()
        timeout = fault.until.timeout.in_seconds(self._slot)
        assert trigger is not None, "asked where there is one"
        kind, operators = EventKind(trigger.value), self._net.topology.operator_names
        decided = (e for e in self._journal.events() if e.kind is EventKind.DECIDED)
        known = max((e.height for e in decided if e.monotonic <= since), default=0)

        def fits(event: Event) -> bool:
            if event.kind is not kind:
                return False
            if kind is not EventKind.DECIDED:
                return True
            leads = leader_name(operators, event.height + 1)
            return event.height > known and fault.until.leader in ("", leads)

        if await self._journal.event_since(since, fits, timeout) is None:
            self._record_wait(f"a {trigger} event, for which the end of {fault.id} waits", began)
            self._injector.did_not_end(planned, f"no {trigger} event to end it in {timeout:.0f} s")

    def _is_in_the_way(self, planned: Planned) -> bool:
        """Of nodes that settle: by what it is in our cluster, for the same time on a baseline."""
        do, site, operators = planned.do, planned.site, self._net.topology.operator_names
        silenced, lying = do.silences(site, operators), do.lies(site)
        return bool(silenced or lying or do.components(site, operators))

    def _ends_after(self, fault: Scheduled) -> list[Moment]:
        """Moments of others: they are bounded, and never wait for this one's heal."""
        others = [fault.until.after] if fault.until.after else []
        if fault.until.forever:
            ending = (each for each in self._scenario.faults if not each.until.forever)
            others += [Moment(fault=each.id) for each in ending]
        return others

    async def _settle(self) -> None:
        """Heights on every node after the heal, and every target back. Too late is a verdict, not a
        harness error."""
        scenario = self._scenario
        timeout = scenario.settle_timeout.in_seconds(self._slot)
        self._say("settle: waiting for every node to catch up")
        began, deadline = now(), now() + timeout
        # Each of them is a look at every node: one may be its last.
        heights = max(IN_A_ROW, scenario.settle.for_operators(self._n))
        there = await self._reach(heights, timeout)
        self._settled = (began, now())
        # The last settle decides: one under distances may be late, and the end not.
        self._run.spent = not there and self._journal.heights.newest_sealed < self._goal
        if not there:
            self._say(f"settle: {self._behind(timeout)}")
            return
        if not self._net.topology.cluster.is_baseline:  # nobody votes there
            faults = {fault.id for fault in self._journal.history().faults}
            await self._rejoined(faults, deadline)
            await _poll(lambda: not votes_again.silent(self._journal.history()), deadline)

    async def _rejoined(self, faults: Collection[str], deadline: float) -> None:
        """Back, and seen to stay so. Too late is a verdict."""
        await _poll(lambda: self._are_back(faults), deadline)

    def _are_back(self, faults: Collection[str]) -> bool:
        history = self._journal.history()
        return all(
            keeps_up(history, fault, node)
            for fault in history.faults
            if fault.id in faults and fault.healed is not None
            for node in fault.returning
        )

    async def _check(self, first: int) -> None:
        self._say("check: reading the end state of every node")
        sealed, journal = self._journal.heights.sealed, self._journal
        last = max(first, min(self._goal, max(sealed.values(), default=0)))
        began = now()
        unread = await self._net.read_end_state(journal, first, last)
        for node, why in unread.items():
            journal.record(NodeUnread(node=node, why=why, monotonic=now(), since=began))
        since, until = self._settled
        for node in self._everywhere:
            missing = self._goal - sealed.get(node, 0)
            if missing > 0 and node not in unread:
                why = f"it is at height {sealed.get(node, 0)}, {self._goal} was waited for"
                late = NodeUnread(node=node, why=why, monotonic=until, since=since, missing=missing)
                journal.record(late)
        await self._note_crashes()
        if self._net.is_read_at_end:
            journal.record(RunEnded(monotonic=now(), first=first, last=last))
        else:
            journal.record(RunEnded(monotonic=now()))
        history = self._run.history = journal.history()
        self._run.verdicts = verdicts_of(self._scenario, history)

    async def _watch_programs(self) -> None:
        """One that ends on its own is told when it does, not when the run is over."""
        while True:
            await asyncio.sleep(CRASH_LOOK_SECONDS)
            with suppress(HarnessError):  # asked again, and at the end in earnest
                await self._note_crashes()

    async def _note_crashes(self) -> None:
        for program, (times, detail, moment) in (await self._net.crashes()).items():
            if times > self._crashes.get(program, 0):
                self._crashes[program] = times
                self._journal.record(ProgramEnded(program=program, detail=detail, monotonic=moment))


@asynccontextmanager
async def background(work: Sequence[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run endless tasks beside the block and cancel them after it; one that fails ends the
    block."""
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(item) for item in work]
        try:
            yield
        finally:
            for task in running:
                task.cancel()


def describe(fault: Planned, asked: Scheduled) -> str:
    """`kill op3 (aimed at the leader of height 17, after 0.42 s)`: what was aimed at."""
    if getattr(asked.do, "target", None) is Aim.LEADER:
        aim = f"aimed at the leader of height {fault.aimed_height}"
    else:
        aim = f"with height {fault.aimed_height} to come"
    return f"{fault.told()} ({aim}, after {fault.delay_seconds:.2f} s)"


def where(receipt: FaultReceipt) -> str:
    """`, it fell in h16 decided`: during the delay after aiming the chain goes on, and a height
    that is decided but not sealed counts as the current one."""
    return f", it fell in h{receipt.height} {receipt.phase}" if receipt.phase else ""


async def _poll(done: Callable[[], bool], deadline: float) -> None:
    """Until it is, or too late. What takes the whole history to tell is not asked at each record,
    as `Journal.until` would."""
    while True:
        if done() or now() >= deadline:
            return
        await asyncio.sleep(REJOIN_POLL_SECONDS)
