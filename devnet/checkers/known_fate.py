"""L11 known fate: whatever is sent, its sender learns what became of it.

For scenarios with hostile transactions. A transaction is included, or refused at once with a
reason, or given up later with a reason that `dst_transactionStatus` tells: never a hash and then
nothing. Those that the run had no time for were not shown to be known. A refusal for something
else than the transaction's weight is the harness's own mistake, and shows nothing. Nor does a wait
in vain while this machine stood still for long enough to be why.
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


def check(history: History) -> Verdict:
    mistaken = [item for item in history.hostile if _is_our_mistake(item)]
    if mistaken:
        first = mistaken[0]
        note = f"{first.kind} was refused for the harness's mistake: {first.reason}"
        return Verdict(checker=NAME, outcome=Outcome.INCONCLUSIVE, note=note)
    late = {item: _late(history, item) for item in history.hostile if not _is_known(item)}
    blamed = [item for item in late if not late[item]] or list(late)
    found = [_violation(item) for item in blamed]
    verdict = judge(NAME, found, looked_at=len(history.hostile), what="hostile transaction{s}")
    if late and all(late.values()):
        return excused(verdict, max(late.values()))
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
    amounts = {fate: sum(item.fate is fate for item in history.hostile) for fate in Fate}
    return ", ".join(f"{amount} {fate}" for fate, amount in amounts.items() if amount) or "none"


def _is_our_mistake(item: HostileFate) -> bool:
    words = item.reason.lower()
    return item.fate is Fate.REFUSED and any(mistake in words for mistake in OUR_MISTAKES)


def _is_known(item: HostileFate) -> bool:
    match item.fate:
        case Fate.INCLUDED:
            return True
        case Fate.REFUSED | Fate.DROPPED:
            return bool(item.reason)
        case Fate.UNKNOWN | Fate.UNSENT:
            return False


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
        case _:
            summary = f"{item.kind} ({item.hash}) via {item.via} was {item.fate} without a reason"
    return Violation(checker=NAME, summary=summary, monotonic=item.settled, witness=(item,))
