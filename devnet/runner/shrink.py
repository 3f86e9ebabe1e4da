"""Make a failing schedule small: leave out what the failure does not need, and play it again each
time.

Faults are left out in halves, then quarters, down to one; then repetitions, lengths and waits are
halved; at last drawn targets get the names that they had. What counts is the same checker: a
candidate that fails in another one, or shows nothing, is kept apart from those that pass, and none
of them is taken. One that asks for more than a correct product has the time for is not even asked
about. Every answer is written down before the next is asked for, so that a shrinking that was
broken off goes on where it was; what comes out in the end is played once more whatever is written.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import msgspec

from devnet.faults.base import Fault
from devnet.model.history import FaultReceipt
from devnet.model.terms import Aim, At, Count, Delay, Duration, Moment, Repeat, Several, Until
from devnet.model.whole import write_whole
from devnet.scenarios.scenario import Scenario, Scheduled
from devnet.scenarios.write import scenario_yaml, written
from dst.spec.errors import BadConfig

MAX_RUNS: Final = 40
MINUTES: Final = 60.0
LEAST_S: Final = 0.5
"""Shorter lengths and waits are not halved any more."""
OWN_END: Final = Duration(seconds=10.0)
"""Of a fault whose end was that of others, when none of them is left."""
SLOTS_BESIDE: Final = 2
SLOTS_A_HEIGHT: Final = 2
"""What a correct product needs while a fault stands, at most: for the round that it costs, and for
each height, whose leader may be gone."""
SECOND_LOOKS: Final = 1
"""How often a candidate that showed nothing is played again."""


class Fit(StrEnum):
    SAME = "same"
    """It fails in the checker that is asked for."""
    OTHER = "other"
    """It fails, but not there."""
    PASSED = "passed"
    NOTHING = "nothing"
    """Inconclusive or vacuous, or the harness failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What a run of a candidate said.

    failed: checkers that failed, the first one first. shown: whether it showed anything.
    """

    failed: tuple[str, ...] = ()
    shown: bool = True
    receipts: tuple[FaultReceipt, ...] = ()

    def fit(self, checker: str) -> Fit:
        if checker in self.failed:
            return Fit.SAME
        if self.failed:
            return Fit.OTHER
        return Fit.PASSED if self.shown else Fit.NOTHING


Play = Callable[[Scenario], Awaitable[Played]]


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    fit: Fit
    receipts: tuple[FaultReceipt, ...] = ()


class Memory(msgspec.Struct, forbid_unknown_fields=True):
    """What was asked already. `start`: digest of what is shrunk; setting: on which network, with
    which seed and product; checker: in which it fails."""

    start: str
    setting: str
    checker: str = ""
    answers: dict[str, Answer] = {}
    version: int = 2


@dataclass(slots=True)
class Shrinking:
    """scenario: the smallest so far. checker: in which it fails; empty: the first run tells. fits:
    says why a candidate cannot run, or nothing. passes: how often one must pass to count as
    passing. setting: what else an answer depends on, in words."""

    scenario: Scenario
    checker: str
    play: Play
    fits: Callable[[Scenario], str]
    clock: Callable[[], float]
    memory: Path | None = None
    setting: str = ""
    slot_seconds: float = 1.0
    runs: int = MAX_RUNS
    minutes: float = MINUTES
    passes: int = 1
    say: Callable[[str], None] = lambda _: None
    dropped: list[str] = field(default_factory=list)
    met: Counter[Fit] = field(default_factory=Counter)
    played: int = 0
    ended: str = ""
    """Why it stopped before nothing more could be left out."""
    _start: Scenario | None = None
    _known: Memory | None = None
    _receipts: tuple[FaultReceipt, ...] = ()
    _deadline: float = 0.0

    async def run(self) -> Scenario:
        """Raises: BadConfig when it does not fail to begin with or in the end, or the memory is of
        another."""
        if self.scenario.expect.fails:
            raise BadConfig(
                f"{self.scenario.name} is made to fail in {self.scenario.expect.fails}, and did "
                "not: with less of what should break it, it would not either; nothing to shrink"
            )
        self._start = self.scenario
        self._deadline = self.clock() + 60 * self.minutes
        self._known = self._remembered()
        self._known.checker = self.checker = self.checker or await self._learned()
        self.say(f"shrinking what fails in {self.checker}")
        if not await self._try(self.scenario, ""):
            told = (
                ", ".join(f"{fit} {count}" for fit, count in self.met.items()) or "no run was left"
            )
            raise BadConfig(
                f"{self.scenario.name} did not fail in {self.checker!r} again ({told}): "
                "there is nothing to shrink; a failure that comes and goes needs --passes"
            )
        before = None
        while before != self.scenario and not self.ended:
            before = self.scenario
            await self._fewer_faults()
            for smaller in (_less_often, _shorter, _sooner):
                await self._smaller(smaller)
        await self._fixed()
        await self._confirm()
        return self.scenario

    async def _confirm(self) -> None:
        """What was remembered, or seen once, may be so no more. Raises: BadConfig."""
        self.say("playing what is left once more")
        answer = await self._played(self.scenario, bounded=False)
        assert answer is not None, "asked without a bound"
        if answer.fit is not Fit.SAME:
            where = f"; remove {self.memory} to begin anew" if self.memory else ""
            raise BadConfig(
                f"what is left of {self.scenario.name} did not fail in {self.checker!r} again "
                f"({answer.fit}), and is not written: a failure that comes and goes needs "
                f"--passes{where}"
            )

    async def _try(self, candidate: Scenario, what: str) -> bool:
        """Whether it fails the same; then it is the smallest so far."""
        assert self._start is not None, "tried while it runs"
        if self.ended or self.fits(candidate):
            return False
        if not is_long_enough(candidate, self._start, self.slot_seconds):
            return False
        answer = await self._ask(candidate)
        if answer is None:
            return False
        self.met[answer.fit] += 1
        self.say(f"{answer.fit}: {what or 'as it is'}")
        if answer.fit is not Fit.SAME:
            return False
        self.scenario, self._receipts = candidate, answer.receipts
        if what:
            self.dropped.append(what)
        return True

    async def _ask(self, candidate: Scenario) -> Answer | None:
        """None when there is no run or no time left."""
        assert self._known is not None, "asked while it runs"
        digest = _digest(scenario_yaml(candidate))
        if digest in self._known.answers:
            return self._known.answers[digest]
        answer = await self._played(candidate)
        return answer and self._note(digest, answer)

    async def _played(self, candidate: Scenario, *, bounded: bool = True) -> Answer | None:
        """As often as it takes; the first failure says which one is looked for. None when there is
        no run or no time left."""
        passes = looks = 0
        while True:
            if bounded and (self.played >= self.runs or self.clock() > self._deadline):
                self.ended = "no run was left" if self.played >= self.runs else "time was up"
                return None
            self.played += 1
            played = await self.play(candidate)
            self.checker = self.checker or next(iter(played.failed), "")
            fit = played.fit(self.checker)
            passes += fit is Fit.PASSED
            looks += fit is Fit.NOTHING
            again = (fit is Fit.PASSED and passes < self.passes) or (
                fit is Fit.NOTHING and looks <= SECOND_LOOKS
            )
            if not again:
                return Answer(fit, played.receipts)

    async def _learned(self) -> str:
        """Raises: BadConfig when it does not fail."""
        self.say("playing it as it is, to see in which checker it fails")
        answer = await self._played(self.scenario)
        if answer is None or answer.fit is not Fit.SAME:
            passed = answer is not None and answer.fit is Fit.PASSED
            what = "it passed" if passed else "the run showed nothing"
            raise BadConfig(f"{self.scenario.name}: {what}: there is nothing to shrink")
        assert self._known is not None
        self._known.checker = self.checker
        self._note(_digest(scenario_yaml(self.scenario)), answer)
        return self.checker

    def _remembered(self) -> Memory:
        """With the checker, if that is known there."""
        start = _digest(scenario_yaml(self.scenario))
        if self.memory is None or not self.memory.exists():
            return Memory(start, self.setting)
        try:
            found = msgspec.json.decode(self.memory.read_bytes(), type=Memory)
        except (OSError, msgspec.MsgspecError) as error:
            raise BadConfig(f"{self.memory}: {error}; remove it to begin anew") from error
        if found.start != start or (self.checker and found.checker != self.checker):
            raise BadConfig(f"{self.memory} is of another shrinking; remove it to begin anew")
        if found.setting != self.setting:
            raise BadConfig(
                f"{self.memory} is of {found.setting}, and this shrinking of {self.setting}: "
                "remove it to begin anew"
            )
        self.checker = found.checker
        return found

    def _note(self, digest: str, answer: Answer) -> Answer:
        assert self._known is not None
        self._known.answers[digest] = answer
        if self.memory is not None:
            write_whole(self.memory, msgspec.json.encode(self._known))
        return answer

    async def _fewer_faults(self) -> None:
        size = (len(self.scenario.faults) + 1) // 2
        while size and not self.ended:
            at = 0
            while at < len(self.scenario.faults) and len(self.scenario.faults) > 1:
                gone = [fault.id for fault in self.scenario.faults[at : at + size]]
                told = f"left out {', '.join(gone)}"
                if len(gone) == len(self.scenario.faults) or not await self._try(
                    without(self.scenario, gone), told
                ):
                    at += size
            size //= 2

    async def _smaller(self, smaller: "_Smaller") -> None:
        """Of each fault, as often as it still fails."""
        for name in [fault.id for fault in self.scenario.faults]:
            going = True
            while going and not self.ended:
                going = False
                fault = _named(self.scenario, name)
                for changed, told in smaller(fault, len(self._operators)):
                    if await self._try(_with(self.scenario, changed), f"{name}: {told}"):
                        going = True
                        break

    @property
    def _operators(self) -> range:
        return range(self.scenario.operators)

    async def _fixed(self) -> None:
        """Names for aims and draws, as they were when it last failed."""
        receipts = {receipt.id: receipt for receipt in self._receipts}
        for name in [fault.id for fault in self.scenario.faults]:
            fault, receipt = _named(self.scenario, name), receipts.get(name)
            if receipt is None or (do := fixed(fault.do, receipt)) is None:
                continue
            told = f"{name}: {receipt.where} for what was drawn"
            await self._try(_with(self.scenario, replace(fault, do=do)), told)


_Smaller = Callable[[Scheduled, int], Iterator[tuple[Scheduled, str]]]


def without(scenario: Scenario, gone: Sequence[str]) -> Scenario:
    """Those that waited for a fault that is gone wait for what it waited for."""
    left = [fault for fault in scenario.faults if fault.id not in gone]
    before = {fault.id: fault.at.after for fault in scenario.faults}

    def instead(moment: Moment | None) -> Moment | None:
        while moment is not None and moment.fault in gone:
            moment = before[moment.fault]
        return moment

    def ending(until: Until) -> Until:
        after = until.after if until.after and until.after.fault not in gone else None
        alone = until.forever and all(other.until.forever for other in left)
        kept = replace(until, after=after, forever=until.forever and not alone)
        return _ended(kept)

    faults = (
        replace(
            fault, at=replace(fault.at, after=instead(fault.at.after)), until=ending(fault.until)
        )
        for fault in left
    )
    return replace(scenario, faults=tuple(faults))


def _ended(until: Until) -> Until:
    """With an end of its own, where nothing else ends it any more."""
    bare = replace(until, timeout=Until().timeout) == Until()
    return replace(until, hold=OWN_END) if bare else until


def is_long_enough(candidate: Scenario, start: Scenario, slot_seconds: float) -> bool:
    """Whether a correct product surely makes the progress that it expects while its faults stand:
    with less time every product would fail. What was asked too much of from the start is not made
    worse."""
    wanted = candidate.expect.progress.for_operators(candidate.operators)
    return _heights_in(candidate, slot_seconds) >= min(wanted, _heights_in(start, slot_seconds))


def _heights_in(scenario: Scenario, slot_seconds: float) -> int:
    """Sure to be sealed while the longest of its faults stands; what stands around all of them is
    none (L9)."""
    return max(
        (
            max(
                fault.until.heights.for_operators(scenario.operators),
                int((fault.until.hold.in_seconds(slot_seconds) / slot_seconds - SLOTS_BESIDE))
                // SLOTS_A_HEIGHT,
            )
            for fault in scenario.faults
            if not fault.until.forever
        ),
        default=0,
    )


def fixed(do: Fault, receipt: FaultReceipt) -> Fault | None:
    """The same fault with the names that it had; None when it has them, or there is no way to write
    them."""
    own = {each.name for each in fields(do)}  # type: ignore[arg-type]  # every kind is a dataclass
    changes: dict[str, Any] = {}
    if isinstance(getattr(do, "target", None), Aim | Several) and len(receipt.targets) == 1:
        changes["target"] = receipt.targets[0]
    if own >= {"split", "groups"} and getattr(do, "split", None) and receipt.components:
        changes |= {"split": (), "groups": receipt.components}
    return replace(do, **changes) if changes else None  # type: ignore[type-var]


def _less_often(fault: Scheduled, operators: int) -> Iterator[tuple[Scheduled, str]]:
    times = fault.at.repeat.times // 2
    if times >= 1:
        repeat = replace(fault.at.repeat, times=times) if times > 1 else Repeat()
        told = f"{times} times" if times > 1 else "once"
        yield replace(fault, at=replace(fault.at, repeat=repeat)), told


def _shorter(fault: Scheduled, operators: int) -> Iterator[tuple[Scheduled, str]]:
    until = fault.until
    if until.forever:
        own = replace(until, forever=False, hold=max(until.hold, OWN_END, key=_seconds))
        yield replace(fault, until=own), f"stands for {written(own.hold)}, not for ever"
    if half := _half(until.hold):
        changed = replace(until, hold=half)
        yield replace(fault, until=changed), f"stands for {written(half)}"
    if half := _half(until.total):
        changed = replace(until, total=half)
        yield replace(fault, until=changed), f"stands for {written(half)} in all"
    if fewer := _fewer(until.heights, operators):
        changed = replace(until, heights=fewer)
        yield replace(fault, until=changed), f"stands for {written(fewer)} heights"
    if until.heights != Count() and until.hold != Duration():
        yield replace(fault, until=replace(until, heights=Count())), "waits for no heights"
    if until.trigger is not None:
        anytime = _ended(replace(until, trigger=None, leader=""))
        yield replace(fault, until=anytime), f"waits for no {until.trigger}"


def _sooner(fault: Scheduled, operators: int) -> Iterator[tuple[Scheduled, str]]:
    at = fault.at
    if at == At(after=at.after, repeat=at.repeat):
        return
    yield replace(fault, at=At(after=at.after, repeat=at.repeat)), "begins at once"
    if at.delay.upto is not None and (half := _half(at.delay.upto)):
        sooner = replace(at, delay=Delay(upto=half))
        yield replace(fault, at=sooner), f"begins up to {written(half)} later"
    if half := _half(at.delay.fixed):
        sooner = replace(at, delay=Delay(fixed=half))
        yield replace(fault, at=sooner), f"begins {written(half)} later"
    if fewer := _fewer(at.heights, operators):
        yield (
            replace(fault, at=replace(at, heights=fewer)),
            f"begins {written(fewer)} heights later",
        )


def _seconds(duration: Duration) -> float:
    return duration.in_seconds(1.0)


def _half(duration: Duration) -> Duration | None:
    if _seconds(duration) < 2 * LEAST_S:
        return None
    return Duration(seconds=round(duration.seconds / 2, 3), slots=round(duration.slots / 2, 3))


def _fewer(count: Count, operators: int) -> Count | None:
    half = count.for_operators(operators) // 2
    return Count(plain=half) if half else None


def _named(scenario: Scenario, name: str) -> Scheduled:
    return next(fault for fault in scenario.faults if fault.id == name)


def _with(scenario: Scenario, changed: Scheduled) -> Scenario:
    faults: Iterable[Scheduled] = (
        changed if fault.id == changed.id else fault for fault in scenario.faults
    )
    return replace(scenario, faults=tuple(faults))


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()


def told_of(met: Mapping[Fit, int]) -> str:
    """`12 failed the same, 3 passed, 1 failed in another checker, 2 showed nothing`."""
    words = {
        Fit.SAME: "failed the same",
        Fit.PASSED: "passed",
        Fit.OTHER: "failed in another checker",
        Fit.NOTHING: "showed nothing",
    }
    return ", ".join(f"{met[fit]} {told}" for fit, told in words.items() if met.get(fit))
