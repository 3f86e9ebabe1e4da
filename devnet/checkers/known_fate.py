"""L11 known fate: whatever is sent, its sender learns what became of it.

For scenarios with hostile transactions. A transaction is included, or refused at once with a
reason, or given up later with a reason that `dst_transactionStatus` tells: never a hash and then
nothing. Each of the catalogue ends well: one that is included and failed was not executed as it
should be, and where none was executed at all, nothing was shown. Those that the run had no time for
were not shown to be known. A refusal for something else than the transaction's weight is the
harness's own mistake, and shows nothing. Nor does a wait in vain while this machine stood still for
long enough to be why.
"""

from typing import Final

import msgspec

from devnet.checkers.base import judge
from devnet.checkers.sound_machine import excused, may_explain
from devnet.model.history import Fate, History, HostileFate
from devnet.model.verdict import Outcome, Verdict, Violation

NAME: Final = "L11 known fate"
OUR_MISTAKES: Final = (
    "nonce too low",
    "nonce too high",
    "insufficient funds",
    "underpriced",
    "already known",
    "intrinsic gas",
    "invalid sender",
    "fee cap",
    "oversized",
)
"""Words of refusals that a well-made transaction does not get."""
ENOUGH_GAS: Final = 10_000_000
"""With which every kind of the catalogue ends well; some need more than a million."""


def check(history: History) -> Verdict:
    mistaken = [item for item in history.hostile if _is_our_mistake(item)]
    if mistaken:
        first = mistaken[0]
        note = f"{first.kind} was refused for the harness's mistake: {first.reason}"
        return Verdict(checker=NAME, outcome=Outcome.INCONCLUSIVE, note=note)
    late = {item: _late(history, item) for item in history.hostile if _is_wrong(item)}
    blamed = [item for item in late if not late[item]] or list(late)
    found = [_violation(item) for item in blamed]
    executed = any(_is_executed(item) for item in history.hostile)
    looked_at = len(history.hostile) if executed or found else 0
    verdict = judge(NAME, found, looked_at=looked_at, what="hostile transaction{s}")
    if late and all(late.values()):
        return excused(verdict, max(late.values()))
    if history.hostile and not looked_at:
        note = f"no hostile transaction was executed: {told(history)}"
        return msgspec.structs.replace(verdict, note=note)
    return msgspec.structs.replace(verdict, note=f"{verdict.note}: {told(history)}")


def _late(history: History, item: HostileFate) -> float:
    """Seconds of stalls that may be why its sender waited in vain; what was not sent waited for all
    of those before it."""
    match item.fate:
        case Fate.UNKNOWN:
            return may_explain(history, (item.sent, item.settled))
        case Fate.UNSENT:
            first = min(each.sent for each in history.hostile)
            return may_explain(history, (first, item.settled))
        case _:
            return 0.0


def told(history: History) -> str:
    """`60 included, 7 refused`."""
    amounts: dict[str, int] = {
        fate: sum(item.fate is fate for item in history.hostile) for fate in Fate
    }
    amounts["of the included failed"] = sum(_is_failed(item) for item in history.hostile)
    return ", ".join(f"{amount} {fate}" for fate, amount in amounts.items() if amount) or "none"


def _is_our_mistake(item: HostileFate) -> bool:
    words = item.reason.lower()
    return item.fate is Fate.REFUSED and any(mistake in words for mistake in OUR_MISTAKES)


def _is_failed(item: HostileFate) -> bool:
    """Not where nobody told."""
    return item.fate is Fate.INCLUDED and item.succeeded is False


def _is_executed(item: HostileFate) -> bool:
    return item.fate is Fate.INCLUDED and not _is_failed(item)


def _is_wrong(item: HostileFate) -> bool:
    match item.fate:
        case Fate.INCLUDED:
            return _is_failed(item) and item.gas >= ENOUGH_GAS
        case Fate.REFUSED | Fate.DROPPED:
            return not item.reason
        case Fate.UNKNOWN | Fate.UNSENT:
            return True


def _violation(item: HostileFate) -> Violation:
    waited = item.settled - item.sent
    match item.fate:
        case Fate.UNSENT:
            summary = f"{item.kind} was never sent: the time for all of them was over"
        case Fate.UNKNOWN:
            summary = (
                f"{item.kind} ({item.hash}) via {item.via}: no receipt and no reason "
                f"after {waited:.0f} s"
            )
        case Fate.INCLUDED:
            summary = (
                f"{item.kind} ({item.hash}) via {item.via} failed in height {item.height}, "
                f"with {item.gas_used} of {item.gas} gas"
            )
        case _:
            summary = f"{item.kind} ({item.hash}) via {item.via} was {item.fate} without a reason"
    return Violation(checker=NAME, summary=summary, monotonic=item.settled, witness=(item,))
