"""A scenario as a person would say it: a sentence a fault, and what must hold."""

from collections.abc import Iterator
from typing import Final

from devnet.checkers.base import counted
from devnet.model.expect import RoundChanges
from devnet.model.terms import At, Count, Delay, Duration, Edge, Moment, Trigger
from devnet.scenarios.scenario import Scenario, Scheduled
from devnet.scenarios.write import keys_written, written

_EVENTS: Final = {
    Trigger.PROPOSAL: "when the next block is proposed",
    Trigger.PREPARED: "when the next block is prepared",
    Trigger.DECIDED: "when the next block is decided",
    Trigger.SEALED: "when the next block is sealed",
    Trigger.ROUND_CHANGE: "when somebody next changes round",
}
_ROUND_CHANGES: Final = {
    RoundChanges.REQUIRED: "somebody changes round (else nothing was shown)",
    RoundChanges.FORBIDDEN: "nobody changes round",
    RoundChanges.FORBIDDEN_FOR_OTHERS: "nobody changes round where no target leads",
}


def sentences(scenario: Scenario) -> str:
    return "\n".join(_lines(scenario))


def _lines(scenario: Scenario) -> Iterator[str]:
    yield f"{scenario.name}: {scenario.about}"
    operators = counted(scenario.operators, "operator{s}")
    followers = counted(scenario.followers, "follower{s}")
    yield (
        f"{operators} (unless told otherwise, {scenario.min_operators} at least), {followers}; "
        f"{scenario.load.rate:g} transactions a second; {_heights(scenario.start)} before anything "
        "is done."
    )
    for fault in scenario.faults:
        yield f"- {fault.id}: {_fault(fault)}."
    if (hostile := scenario.hostile) is not None:
        kinds = counted(len(hostile.kinds), "kind{s}") if hostile.kinds else "every kind"
        yield f"- Hostile transactions of {kinds}, {hostile.gas} gas each, one after another."
    must = [
        "no safety check fails",
        f"every node catches up within {_time(scenario.settle_timeout)}",
    ]
    if broken := scenario.expect.fails:
        yield f"It passes when this breaks, whatever else does: {broken}."
        return
    yield f"It passes when {'; '.join((*must, *_expected(scenario)))}."


def _fault(fault: Scheduled) -> str:
    what = [f"{key.replace('_', ' ')} {value}" for key, value in keys_written(fault.do).items()]
    does = f"{fault.do.name} ({', '.join(what)})" if what else fault.do.name
    return f"{_begins(fault.at)}: {does}, {_ends(fault)}{_again(fault.at)}"


def _begins(at: At) -> str:
    parts = [_after(at.after)] if at.after else []
    if at.heights != Count():
        parts.append(f"when {_decided(at.heights, more=' more')}")
    if at.trigger is not Trigger.START:
        parts.append(_EVENTS[at.trigger])
    if at.leader:
        parts.append(f"with {at.leader} to lead next")
    if at.delay.upto is not None:
        parts.append(f"up to {_time(at.delay.upto)} later (drawn)")
    elif at.delay != Delay():
        parts.append(f"{_time(at.delay.fixed)} later")
    return ", ".join(parts) or "at once"


def _after(moment: Moment) -> str:
    return f"when {_comes(moment)}"


def _comes(moment: Moment) -> str:
    match moment.edge:
        case Edge.INJECT:
            return f"{moment.fault} stands"
        case Edge.HEAL:
            return f"{moment.fault} is healed"
        case Edge.REJOIN:
            return f"whom {moment.fault} silenced is back"


def _ends(fault: Scheduled) -> str:
    until = fault.until
    parts = []
    if until.heights != Count():
        parts.append(f"{_decided(until.heights)} (or {_time(until.timeout)} are over)")
    if until.hold != Duration():
        parts.append(f"it has stood for {_time(until.hold)}")
    if until.total != Duration():
        parts.append(f"{_time(until.total)} after it was asked for")
    if until.after is not None:
        parts.append(_comes(until.after))
    if until.forever:
        parts.append("all others that have an end are healed")
    if until.trigger is not None:
        event = _EVENTS[until.trigger].removeprefix("when ")
        after = f"after that {event}" if parts else event
        next_up = f", with {until.leader} to lead next" if until.leader else ""
        parts.append(f"{after}{next_up} (within {_time(until.timeout)})")
    return f"until {' and '.join(parts)}"


def _again(at: At) -> str:
    repeat = at.repeat
    if repeat.times == 1:
        return ""
    every = _heights(repeat.heights) if repeat.heights != Count() else _time(repeat.pause)
    return f"; {repeat.times} times, every {every}"


def _expected(scenario: Scenario) -> Iterator[str]:
    expect = scenario.expect
    if expect.round_changes is not RoundChanges.ANY:
        forgiven = f" after {_heights(expect.settle_in)}" if expect.settle_in != Count() else ""
        yield f"{_ROUND_CHANGES[expect.round_changes]}{forgiven}"
    if expect.no_progress:
        yield "nothing is decided while there is no quorum"
    if expect.progress != Count():
        yield f"at least {_heights(expect.progress)} sealed while faults stand"
    if expect.gap is not None:
        yield f"blocks are sealed no more than {_time(expect.gap)} apart"
    if expect.rejoin is not None:
        yield f"every target votes again within {_time(expect.rejoin)} of its heal"


def _heights(count: Count) -> str:
    text = str(written(count))
    return f"{text} height" if text == "1" else f"{text} heights"


def _decided(count: Count, more: str = "") -> str:
    verb = "is" if count == Count(plain=1) else "are"
    return f"{_heights(count)}{more} {verb} decided"


def _time(duration: Duration) -> str:
    text: str = written(duration)
    return text
