"""S13 no unjustified vote: whoever locks, decides, or takes a proposal of a later round could have
seen a quorum that allows it.

Links are encrypted, so votes are known by what each operator tells of itself when it happens: that
it took a proposal (and prepares it), that it locked (and commits), that it entered a round (and
asks for it). A quorum must have told the first before anybody locks, the second before anybody
decides, the third before anybody takes a proposal of that round. The same clock stamps them all.
Who lied, or was ended about that time, may have done it and not told.
"""

from collections.abc import Iterator
from typing import Final, TypeAlias

from devnet.checkers.base import judge
from devnet.model.history import Event, EventKind, FaultReceipt, History
from devnet.model.verdict import Verdict, Violation
from dst.spec.primitives import quorum

NAME: Final = "S13 no unjustified vote"
NEEDS: Final = {
    EventKind.PREPARED: EventKind.PROPOSAL,
    EventKind.DECIDED: EventKind.PREPARED,
    EventKind.PROPOSAL: EventKind.ROUND_CHANGE,
}
"""What a quorum must have told before."""
WORDS: Final = {
    EventKind.PREPARED: ("locked", "had taken that proposal"),
    EventKind.DECIDED: ("decided", "had locked on that block"),
    EventKind.PROPOSAL: ("took a proposal", "had entered that round"),
}
UNTOLD_SECONDS: Final = 2.0
"""Events that were not delivered yet when their process was killed, or when the run ended."""

Key: TypeAlias = tuple[EventKind, int, int, int, str | None]


def check(history: History) -> Verdict:
    told: dict[Key, dict[str, float]] = {}
    for event in history.events:
        if event.round is not None and event.kind in NEEDS.values():
            told.setdefault(_key(event.kind, event), {}).setdefault(event.node, event.monotonic)
    judged = list(_judged(history))
    found = [
        violation
        for event in judged
        if (violation := _unjustified(history, event, told)) is not None
    ]
    return judge(NAME, found, looked_at=len(judged), what="vote{s} and decision{s}")


def _judged(history: History) -> Iterator[Event]:
    """Of heights that every operator's events were heard of from their beginning on."""
    operators = history.setup.operators
    heard: dict[str, int] = {}
    for event in history.events:
        heard.setdefault(event.node, event.height)
    if any(name not in heard for name in operators):
        return
    first = max(heard[name] for name in operators) + 1
    end = max(event.monotonic for event in history.events) - UNTOLD_SECONDS
    for event in history.events:
        due = event.kind in NEEDS and event.round is not None and event.node in operators
        if due and event.height >= first and event.monotonic <= end:
            if event.kind is not EventKind.PROPOSAL or event.round:
                yield event


def _unjustified(
    history: History, event: Event, told: dict[Key, dict[str, float]]
) -> Violation | None:
    needed = NEEDS[event.kind]
    who = told.get(_key(needed, event), {})
    before = {name for name, moment in who.items() if moment <= event.monotonic}
    silent = [
        name
        for name in history.setup.operators
        if name not in before and _may_not_have_told(name, event.monotonic, history.faults)
    ]
    wanted = quorum(len(history.setup.operators))
    if len(before) + len(silent) >= wanted:
        return None
    did, others = WORDS[event.kind]
    return Violation(
        checker=NAME,
        summary=f"{event.node} {did} in round {event.round} of height {event.height} when "
        f"{len(before)} of the {wanted} that it takes {others}",
        monotonic=event.monotonic,
        height=event.height,
        witness=(event,),
    )


def _key(kind: EventKind, event: Event) -> Key:
    assert event.round is not None, "sorted out by the caller"
    root = None if kind is EventKind.ROUND_CHANGE else event.root
    return kind, event.term, event.height, event.round, root


def _may_not_have_told(name: str, moment: float, faults: tuple[FaultReceipt, ...]) -> bool:
    """Whether it lied, or was ended by a fault: who was only cut off tells all the same."""
    return any(
        (name in fault.lying or (name in fault.targets and not _lives_on(name, fault)))
        and fault.requested - UNTOLD_SECONDS <= moment
        and (fault.healed is None or moment <= fault.healed + UNTOLD_SECONDS)
        for fault in faults
    )


def _lives_on(name: str, fault: FaultReceipt) -> bool:
    return any(name in component for component in fault.components)
