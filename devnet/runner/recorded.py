"""The schedule that a run came to, as a scenario that can be played again: what was drawn has its
name, what was waited for its time.

Draws are made again from the run's own seed, under the same ids, and come out the same; where the
coming leader was aimed at, or avoided, the schedule waits for that operator's turn. Times are those
of the receipts, told from the last proof or heal before, or else from the decision before the first
fault; a fault that was never injected is left out. What it leaves to chance is the machine's.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from devnet.faults.targets import leader_name
from devnet.model.history import Event, EventKind, FaultReceipt, History
from devnet.model.terms import Aim, At, Delay, Duration, Edge, Moment, Trigger, Until
from devnet.model.verdict import Verdict
from devnet.report.summary import RunSummary, summarise
from devnet.runner.judging import judge_folder
from devnet.runner.shrink import fixed
from devnet.scenarios.catalogue import load
from devnet.scenarios.parse import MAX_FAULTS
from devnet.scenarios.scenario import Scenario, Scheduled
from dst.spec.errors import BadConfig

SUFFIX: Final = "-again"
_BY_TURN: Final = (Aim.LEADER, Aim.NOT_LEADER)
"""Who is meant depends on whose turn it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """seed: of its draws; None: a scenario's, of which nothing is drawn yet. The network of the
    run, and what it said; None of a scenario."""

    scenario: Scenario
    seed: int | None = None
    slot_seconds: float | None = None
    backend: str | None = None
    summary: RunSummary | None = None
    verdicts: tuple[Verdict, ...] = ()


class _Network(msgspec.Struct):
    backend: str


class _Manifest(msgspec.Struct):
    network: _Network


def schedule_of(what: str) -> Schedule:
    """Of a run's folder what its record says, else the scenario of that name or file. Raises:
    BadConfig."""
    folder = Path(what)
    if not folder.is_dir():
        return Schedule(scenario=load(what))
    scenario, history, verdicts = judge_folder(folder)
    return Schedule(
        scenario=recorded(scenario, history),
        seed=history.setup.seed,
        slot_seconds=history.setup.slot_seconds,
        backend=_backend(folder),
        summary=summarise(
            history, verdicts, scenario=scenario.name, seed=history.setup.seed, folder=str(folder)
        ),
        verdicts=verdicts,
    )


def _backend(folder: Path) -> str | None:
    """None of a run that was broken off."""
    try:
        text = (folder / "manifest.json").read_bytes()
        return msgspec.json.decode(text, type=_Manifest).network.backend
    except (OSError, msgspec.MsgspecError):
        return None


def recorded(scenario: Scenario, history: History) -> Scenario:
    """Raises: BadConfig for a run whose schedule is not in its record."""
    if scenario.hostile is not None:
        raise BadConfig(f"{scenario.name}: hostile transactions come one after another's fate: run")
    asked = {name: fault for fault in scenario.faults for name in fault.occurrences}
    done = [fault for fault in history.faults if fault.applied is not None and fault.id in asked]
    if not 1 <= len(done) <= MAX_FAULTS:
        raise BadConfig(
            f"{scenario.name}: {len(done)} faults were injected in that run; a schedule has 1 to "
            f"{MAX_FAULTS}"
        )
    done.sort(key=lambda fault: fault.requested)
    anchor = _decided_before(history, done[0].requested)
    ends = any(not fault.forever for fault in done)
    return replace(
        scenario,
        name=scenario.name.removesuffix(SUFFIX) + SUFFIX,
        operators=len(history.setup.operators),
        followers=len(history.setup.followers),
        faults=tuple(
            _again(asked[fault.id], fault, done[:index], anchor, history, ends)
            for index, fault in enumerate(done)
        ),
    )


def _again(
    asked: Scheduled,
    fault: FaultReceipt,
    earlier: Sequence[FaultReceipt],
    anchor: float,
    history: History,
    ends: bool,
) -> Scheduled:
    """ends: whether another one comes to an end, for one that stands around all of them: for judges
    it is the surroundings, and no fault that is over."""
    ended = max((event.monotonic for event in history.events), default=fault.requested)
    stood = (fault.revert_requested or ended) - fault.requested
    return Scheduled(
        id=fault.id,
        do=fixed(asked.do, fault) or asked.do,
        at=_at(asked, fault, earlier, anchor, history),
        until=Until(forever=True)
        if fault.forever and ends
        else Until(total=_seconds(max(0.001, stood))),
    )


def _at(
    asked: Scheduled,
    fault: FaultReceipt,
    earlier: Sequence[FaultReceipt],
    anchor: float,
    history: History,
) -> At:
    at_liars = getattr(fixed(asked.do, fault) or asked.do, "target", None) is Aim.BYZANTINE
    before = [each for each in earlier if each.lying] if at_liars else earlier
    since, after = max(_moments(before, fault.requested), default=(anchor, None), key=_first)
    by_turn = getattr(asked.do, "target", None) in _BY_TURN and fault.aimed_height is not None
    if by_turn:
        assert fault.aimed_height is not None
        leader = leader_name(history.setup.operators, fault.aimed_height)
        decided = _first_decided(history.events, fault.aimed_height - 1)
        since = fault.requested if decided is None else decided
        at = At(after=after, trigger=Trigger.DECIDED, leader=leader)
    elif after is not None:
        at = At(after=after)
    else:
        at = At(trigger=Trigger.DECIDED)
    return replace(at, delay=Delay(fixed=_seconds(max(0.0, fault.requested - since))))


def _first(moment: tuple[float, Moment | None]) -> float:
    return moment[0]


def _moments(
    earlier: Iterable[FaultReceipt], before: float
) -> Iterable[tuple[float, Moment | None]]:
    """When others were proven or healed."""
    for fault in earlier:
        for at, edge in ((fault.verified, Edge.INJECT), (fault.healed, Edge.HEAL)):
            if at is not None and at <= before:
                yield at, Moment(fault=fault.id, edge=edge)


def _decided_before(history: History, moment: float) -> float:
    """The newest decision by then, as it was first heard of."""
    first: dict[int, float] = {}
    for event in history.events:
        if event.kind is EventKind.DECIDED and event.monotonic <= moment:
            first.setdefault(event.height, event.monotonic)
    return max(first.values(), default=moment)


def _first_decided(events: Iterable[Event], height: int) -> float | None:
    times = (e.monotonic for e in events if e.kind is EventKind.DECIDED and e.height == height)
    return min(times, default=None)


def _seconds(value: float) -> Duration:
    return Duration(seconds=round(value, 3))
