"""What links and liars may cost: bounds on round changes that no timer asked for. Pure.

- Nobody is taken beyond the round after the one where an honest operator is.
- Links alone take an operator one round beyond where a quorum is, and to round f at most.
- Each round is hurried to once, in order.
- One peer is reported lost a few times in any ten seconds, however its link behaves.
- Once all is healed, nobody passes over an honest leader that has not passed its lead on.
- Only what a leader signed counts as its pass, and only for its own round.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from devnet.model.verdict import Violation
from dst.p2p.reachability import FORGIVEN_AFTER_S, FREE_LOSSES
from dst.spec.primitives import Height, Round, faults_tolerated, leader_of, quorum

LOSSES: Final = FREE_LOSSES + 4
"""Of one peer, told to one process, within WINDOW_S: the holds of 0.5, 1, 2 and 4 s fit in, the
next does not."""
WINDOW_S: Final = FORGIVEN_AFTER_S
SETTLED_AFTER_S: Final = 6.0
"""After the heal: reconnects are made, and the longest hold is over."""


@dataclass
class Haste:
    """healed_at: seconds; None while there is trouble."""

    n: int
    liars: frozenset[int]
    healed_at: float | None = None
    _places: dict[int, tuple[Height, Round]] = field(default_factory=dict)
    _hurried: dict[object, tuple[Height, Round]] = field(default_factory=dict)
    _passed: set[tuple[int, Height, int]] = field(default_factory=set)
    _losses: dict[tuple[object, int], deque[float]] = field(default_factory=dict)

    def decided(self, index: int, height: Height) -> None:
        self._reach(index, (Height(height + 1), Round(0)))

    def spoke(self, index: int, height: Height, round_: Round) -> None:
        """Whoever signs for a round is there, told or not."""
        self._reach(index, (height, round_))

    def passed(self, index: int, height: Height, round_: Round) -> None:
        """A pass that operator `index` signed, sent to anybody."""
        self._passed.add((index, height, round_))

    def entered(
        self,
        life: object,
        index: int,
        height: Height,
        round_: Round,
        *,
        by_loss: bool,
        now: float,
        by_pass: bool = False,
    ) -> Violation | None:
        """`life` is one start of operator `index`."""
        leader = leader_of(height, Round(round_ - 1), self.n)
        has_passed = (leader, height, round_ - 1) in self._passed
        if by_pass and not has_passed:
            text = f"op{index + 1} left round {round_ - 1} of {height}, not passed by its leader"
            return _violation(height, text)
        by_loss = by_loss or by_pass
        place = (height, round_)
        is_led_on = round_ > 1 and not self._at(height, Round(round_ - 1))
        self._reach(index, place)
        if not by_loss and is_led_on:
            text = f"op{index + 1} went to round {round_} of {height}, where no honest operator is"
            return _violation(height, text)
        if not by_loss:
            return None
        before, self._hurried[life] = self._hurried.get(life), place
        if before is not None and place <= before:
            return _violation(height, f"op{index + 1} hurried to {place} after {before}")
        if round_ > faults_tolerated(self.n):
            return _violation(height, f"op{index + 1} hurried to round {round_} of {height}")
        if round_ > 1 and self._at(height, Round(round_ - 1)) < quorum(self.n) - len(self.liars):
            text = f"op{index + 1} left round {round_ - 1} of {height}, where no quorum was"
            return _violation(height, text)
        is_settled = self.healed_at is not None and now >= self.healed_at + SETTLED_AFTER_S
        if is_settled and leader not in self.liars and not by_pass:
            text = f"op{index + 1} passed over op{leader + 1} at {height}, though all is healed"
            return _violation(height, text)
        return None

    def lost(self, life: object, index: int, peer: int, now: float) -> Violation | None:
        recent = self._losses.setdefault((life, peer), deque())
        recent.append(now)
        while recent[0] <= now - WINDOW_S:
            recent.popleft()
        if len(recent) <= LOSSES:
            return None
        text = f"op{index + 1} was told {len(recent)} times in {WINDOW_S:.0f} s: op{peer + 1} lost"
        return _violation(None, text)

    def _reach(self, index: int, place: tuple[Height, Round]) -> None:
        self._places[index] = max(place, self._places.get(index, place))

    def _at(self, height: Height, round_: Round) -> int:
        return sum(
            1
            for index, place in self._places.items()
            if index not in self.liars and place >= (height, round_)
        )


def _violation(height: Height | None, text: str) -> Violation:
    return Violation(checker="L12 bounded haste", summary=text, height=height)
