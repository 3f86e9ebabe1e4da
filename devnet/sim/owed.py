"""L4 as the simulator promises it: after the heal every honest operator decides new heights, and
has a seal for each. Pure: fed with records, as the checkers of `devnet.checkers` are.

The one of live networks asks for the next sealed block within seconds, after one fault. Here liars
go on, and many things are healed at once: more is owed, later.
"""

from collections.abc import Iterable
from typing import Final

from devnet.checkers.recovery import NAME
from devnet.model.history import Event, EventKind, FaultReceipt, Record
from devnet.model.verdict import Violation

HEIGHTS: Final = 3
"""New ones that every honest operator must reach."""
BOUND_S: Final = 30.0
"""For them; generous against slow leaders, yet no livelock fits in."""
DISK_LOST: Final = "disk lost"
"""Kind of a fault, told by its receipt."""


class Owed:
    """Of these operators; `heal` is a fault's receipt that says so, and opens the debt."""

    def __init__(self, honest: Iterable[str]) -> None:
        self._heads = dict.fromkeys(honest, 0)
        self._seals: dict[str, set[int]] = {node: set() for node in self._heads}
        self._somebody_forgot = False
        self._heal: FaultReceipt | None = None
        self._target = 0
        self._paid_at: float | None = None

    def feed(self, record: Record) -> list[Violation]:
        match record:
            case FaultReceipt(kind=kind) if kind == DISK_LOST:
                self._somebody_forgot = True
            case FaultReceipt(healed=healed) if healed is not None and self._heal is None:
                self._heal, self._target = record, max(self._heads.values()) + HEIGHTS
            case Event(kind=EventKind.DECIDED, node=node, height=height) if node in self._heads:
                self._heads[node] = max(self._heads[node], height)
            case Event(kind=EventKind.SEALED, node=node, height=height) if node in self._heads:
                self._seals[node].add(height)
            case _:
                return []
        is_due = self._heal is not None and self._paid_at is None
        if is_due and isinstance(record, Event) and not self.missing():
            self._paid_at = record.monotonic
        return []

    @property
    def is_paid(self) -> bool:
        return self._paid_at is not None

    def missing(self, target: int | None = None) -> dict[str, str]:
        """What each operator lacks up to that height; by default up to what the heal owes."""
        wanted = self._target if target is None else target
        return {node: text for node in self._heads if (text := self._lacks(node, wanted))}

    def _lacks(self, node: str, target: int) -> str:
        """A rejoined operator signs nothing from before its loss, so heights at which others had
        failed too stay without a seal of their own."""
        head, seals = self._heads[node], self._seals[node]
        if head < target:
            return f"is at {head}"
        lowest = max(seals | {target}) if self._somebody_forgot else 1
        unsealed = [height for height in range(lowest, target + 1) if height not in seals]
        return f"has no seal of {unsealed}" if unsealed else ""

    def overdue(self, now: float) -> Violation | None:
        """Monotonic seconds; None while nothing is, and for ever once all was had in time."""
        if self._heal is None or self._heal.healed is None:
            return None
        due = self._heal.healed + BOUND_S
        if (now if self._paid_at is None else self._paid_at) < due:
            return None
        late = self.missing() or "it came later"
        summary = f"height {self._target} not decided and sealed everywhere {BOUND_S:.0f} s after "
        summary += f"the heal: {late}"
        return Violation(
            checker=NAME,
            summary=summary,
            monotonic=due,
            height=self._target,
            witness=(self._heal,),
        )
