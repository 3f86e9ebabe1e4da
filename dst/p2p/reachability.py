"""Is what one peer says arriving? Judged from both connections with it and a clock. Sans-I/O.

What counts is *their* connection, the one that the peer dials: it alone carries what the peer says.
Ours tells whether the peer is there at all. So a peer is lost

- at once, when both are closed (its process ended, or its host refuses);
- when theirs has brought nothing for longer than usual, though it may look open (a frozen process,
  a black hole), or has been closed for so long while ours stands (a one-way cut).

It is heard again with the first byte on a connection of theirs. None of this closes anything: a
wrong judgement costs an early request for the next round, and each one that is taken back makes the
next one slower, so that neither a flapping link nor a peer that closes its connections on purpose
can have the others change rounds more often than the round timer would.
"""

from enum import StrEnum
from typing import Final

from dst.runtime.estimate import Estimate

LEAST_PATIENCE_S: Final = 0.25
"""Of pings each 100 ms two and a half: less would take a busy machine for a dead one."""
MOST_PATIENCE_S: Final = 2.0
"""However irregular the path: from here on the round timers are quicker anyway."""
FIRST_PATIENCE_S: Final = 1.0
PINGS_TO_KNOW: Final = 8
"""Until so many pings have come, the first patience holds."""

FREE_LOSSES: Final = 2
"""Losses in a row that count at once: a process that ends, is started, and ends again."""
FIRST_HOLD_S: Final = 0.5
MOST_HOLD_S: Final = 4.0
"""How long one after those must last before it counts: 0.5 s, then twice that each time. The round
timer of half a slot is no slower, so more flapping gains nothing."""
FORGIVEN_AFTER_S: Final = 10.0
"""One loss is forgotten for each such time without another."""
MOST_STRIKES: Final = FREE_LOSSES + 4


class Verdict(StrEnum):
    LOST = "lost"
    HEARD = "heard"


class Reachability:
    """One peer. Tell what happened, then `judge`; `now` is monotonic, seconds."""

    __slots__ = (
        "_gap",
        "_heard_at",
        "_is_lost",
        "_ours",
        "_pinged_at",
        "_silent_since",
        "_strikes",
        "_struck_at",
        "_theirs",
    )

    def __init__(self) -> None:
        self._ours: bool | None = None
        self._theirs = False
        self._heard_at: float | None = None
        self._pinged_at: float | None = None
        self._gap = Estimate()
        self._silent_since: float | None = None
        self._is_lost = False
        self._strikes = 0
        self._struck_at = 0.0

    @property
    def is_lost(self) -> bool:
        return self._is_lost

    # ------------------------------------------------------------------- what happened

    def ours_is(self, up: bool, now: float) -> None:
        """The connection that we dial: established, or ended or refused."""
        self._ours = up
        if up and self._heard_at is None:
            self._heard_at = now  # it is there and may now dial us

    def theirs_is(self, up: bool, now: float) -> None:
        self._theirs = up
        self._pinged_at = None
        if up:
            self._heard_at = now

    def heard(self, now: float) -> None:
        """Bytes came on their connection."""
        self._heard_at = now

    def pinged(self, now: float) -> None:
        """A ping came on their connection; they are sent at regular times."""
        if self._pinged_at is not None and not self._is_lost:
            self._gap.add(now - self._pinged_at)
        self._pinged_at = self._heard_at = now

    def excuse(self, now: float) -> None:
        """We did not listen ourselves until now: silence begins anew."""
        if self._heard_at is not None and not self._is_lost:
            self._heard_at, self._pinged_at = now, None

    # ----------------------------------------------------------------------- judgement

    def judge(self, now: float) -> Verdict | None:
        """The verdict, when it changed."""
        if not self._is_silent(now):
            return self._note_heard(now)
        if self._silent_since is None:
            self._silent_since = now
        if self._is_lost or now < self._silent_since + self._hold_s(now):
            return None
        self._is_lost = True
        return Verdict.LOST

    def looks_again_at(self, now: float) -> float | None:
        """When time alone may change the verdict; None: it cannot."""
        if self._is_lost:
            return None
        if self._silent_since is not None:
            return self._silent_since + self._hold_s(now)
        return None if self._heard_at is None else self._heard_at + self._patience_s()

    def _is_silent(self, now: float) -> bool:
        if not self._theirs and self._ours is False:
            return True
        return self._heard_at is not None and now >= self._heard_at + self._patience_s()

    def _patience_s(self) -> float:
        if self._gap.samples < PINGS_TO_KNOW:
            return FIRST_PATIENCE_S
        one_may_be_missing_s = self._gap.bound_s + self._gap.mean_s
        return min(max(one_may_be_missing_s, LEAST_PATIENCE_S), MOST_PATIENCE_S)

    def _note_heard(self, now: float) -> Verdict | None:
        if self._silent_since is not None:
            self._silent_since = None
            self._strikes = min(self._standing_strikes(now) + 1, MOST_STRIKES)
            self._struck_at = now
        was_lost, self._is_lost = self._is_lost, False
        return Verdict.HEARD if was_lost else None

    def _standing_strikes(self, now: float) -> int:
        return max(0, self._strikes - int((now - self._struck_at) / FORGIVEN_AFTER_S))

    def _hold_s(self, now: float) -> float:
        beyond = self._standing_strikes(now) - FREE_LOSSES
        return 0.0 if beyond < 0 else min(FIRST_HOLD_S * 2.0**beyond, MOST_HOLD_S)
