"""Is our wall clock right? Found out from the peers' clocks, which every pong carries.

A pong tells the peer's clock at some moment between our ping and its arrival, so one exchange knows
the offset to half a round trip; the quickest of the last few counts (as RFC 5905 filters). What the
path may have added is taken off before anybody is accused: a slow link is no wrong clock.

Peers lie and clocks are wrong, but of any f + 1 peers one is honest. So this operator believes as
much of an offset as f + 1 peers show in the same direction; of 2f + 1 peers that is the median.
Nothing is decided by it: slots go by the own clock. No clock here but those that are passed in.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import copysign
from typing import Final

from dst.runtime.log import Logger, Ration
from dst.runtime.metrics import Metrics
from dst.spec.primitives import OperatorIndex, faults_tolerated

RESOLUTION_S: Final = 0.001
"""Of a clock as a pong tells it."""
SAMPLES: Final = 8
"""Exchanges remembered of a peer: four seconds' worth."""
WARN_SLOTS: Final = 0.25
"""An offset above so much of a slot is told: half of what progress can bear."""
CALM_SLOTS: Final = WARN_SLOTS / 2
"""Below it, all is well again."""
TO_NAME_A_PEER: Final = 4
"""Exchanges in a row. Where the own clock was set, it shows with the first of one peer and the next
of the others: by then it is known whose fault it is."""


@dataclass(frozen=True, slots=True)
class Offset:
    """The peer's clock minus ours, seconds; wrong by `error_s` at most, whatever the path."""

    offset_s: float
    error_s: float

    @property
    def certain_s(self) -> float:
        """What no path explains."""
        return copysign(max(0.0, abs(self.offset_s) - self.error_s), self.offset_s)

    def contradicts(self, other: "Offset") -> bool:
        """One of the clocks was set between the two."""
        return abs(self.offset_s - other.offset_s) > self.error_s + other.error_s


def believed(offsets: Iterable[float], liars: int) -> float:
    """The offset that more peers than there may be `liars` show, in one direction; else 0."""
    ranked = sorted(offsets)
    if len(ranked) <= liars:
        return 0.0
    at_least, at_most = ranked[-1 - liars], ranked[liars]
    return at_least if at_least > 0 else min(at_most, 0.0)


class Clocks:
    """`now`: Unix seconds of the own clock."""

    def __init__(
        self, *, n: int, slot_s: float, now: Callable[[], float], log: Logger, metrics: Metrics
    ) -> None:
        self._liars, self._slot_s, self._now = faults_tolerated(n), slot_s, now
        self._log, self._metrics = log, metrics
        self._samples: dict[OperatorIndex, deque[Offset]] = {}
        self._is_off = False
        self._peers_off: dict[OperatorIndex, int] = {}
        """Exchanges in a row that showed it."""
        self._named: set[OperatorIndex] = set()
        self._rations: dict[OperatorIndex, Ration] = {}

    # ------------------------------------------------------------------- what the links tell

    def told(self, peer: OperatorIndex, clock_s: float, round_trip_s: float) -> None:
        """`peer` read `clock_s` (Unix seconds) within the last `round_trip_s`."""
        half_s = round_trip_s / 2
        sample = Offset(clock_s - (self._now() - half_s), half_s + RESOLUTION_S)
        kept = self._samples.setdefault(peer, deque(maxlen=SAMPLES))
        if kept and sample.contradicts(_quickest(kept)):
            kept.clear()
        kept.append(sample)
        self._judge(peer)

    def forget(self, peer: OperatorIndex) -> None:
        """The link to it is down: what it told grows old."""
        self._samples.pop(peer, None)
        self._calm(peer)
        self._judge_own()

    # ----------------------------------------------------------------------- what follows

    def offsets(self) -> Mapping[OperatorIndex, Offset]:
        return {peer: _quickest(kept) for peer, kept in self._samples.items()}

    @property
    def ahead_s(self) -> float:
        """How far the own clock is ahead of the others'; below 0: behind."""
        return -believed((each.offset_s for each in self.offsets().values()), self._liars)

    def waits_for(self) -> str | None:
        """For a person; None while the own clock is right as far as known."""
        if not self._is_off:
            return None
        by = self.ahead_s
        way = "ahead of" if by > 0 else "behind"
        return f"its own clock to be set: it is {abs(by):.1f} s {way} the other operators' clocks"

    # -------------------------------------------------------------------------- judgement

    def _judge(self, peer: OperatorIndex) -> None:
        self._judge_own()
        offset = _quickest(self._samples[peer])
        name = f"op{peer + 1}"
        self._metrics.set("peer_clock_offset_seconds", offset.offset_s, peer=name)
        shown = self._peers_off.get(peer, 0)
        if self._is_off or not self._exceeds(offset.certain_s, was_off=bool(shown)):
            self._calm(peer)
            return
        self._peers_off[peer] = shown + 1
        if shown + 1 >= TO_NAME_A_PEER and self._may_name(peer):
            self._named.add(peer)
            self._log.warning("peer_clock_off", peer=name, offset_s=offset.offset_s)

    def _calm(self, peer: OperatorIndex) -> None:
        self._peers_off.pop(peer, None)
        self._named.discard(peer)

    def _may_name(self, peer: OperatorIndex) -> bool:
        """Once until it is calm again."""
        if peer not in self._rations:
            self._rations[peer] = Ration(self._now, at_once=1)
        return peer not in self._named and self._rations[peer].may_say()

    def peers_off(self) -> frozenset[OperatorIndex]:
        """Whose clocks are off, while the own one is right."""
        return frozenset(p for p, shown in self._peers_off.items() if shown >= TO_NAME_A_PEER)

    def _judge_own(self) -> None:
        ahead_s = self.ahead_s
        self._metrics.set("clock_offset_seconds", ahead_s)
        certain = believed((each.certain_s for each in self.offsets().values()), self._liars)
        was_off, self._is_off = self._is_off, self._exceeds(certain, was_off=self._is_off)
        if self._is_off and not was_off:
            self._log.warning(
                "clock_off", ahead_s=ahead_s, peers=len(self._samples), do="set this clock (NTP)"
            )
        elif was_off and not self._is_off:
            self._log.info("clock_right_again", ahead_s=ahead_s)

    def _exceeds(self, offset_s: float, *, was_off: bool) -> bool:
        return abs(offset_s) > (CALM_SLOTS if was_off else WARN_SLOTS) * self._slot_s


def _quickest(kept: deque[Offset]) -> Offset:
    """The latest of the best known."""
    return min(reversed(kept), key=lambda each: each.error_s)
