"""How loud a misbehaving peer may make this node: bounded log lines, evidence and events.

Metrics count every refusal; this is about what costs disk, or a place in the rollup node's event
buffer, which observers of honest events need.
"""

from collections.abc import Callable
from typing import Final

from dst.spec.primitives import Height, OperatorIndex

LINE_INTERVAL_S: Final = 10.0
"""Between two log lines about one peer and reason."""
MAX_REMEMBERED: Final = 1024
"""Offences remembered as told: each reason for each height that is open for sealing, for several
culprits."""


class Accusations:
    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._said: dict[tuple[OperatorIndex | None, str], float] = {}
        self._kept: dict[tuple[OperatorIndex, Height | None, str], None] = {}

    def may_say(self, peer: OperatorIndex | None, reason: str) -> bool:
        """`reason` is one of a closed set."""
        now = self._now()
        last = self._said.get((peer, reason))
        if last is not None and now - last < LINE_INTERVAL_S:
            return False
        self._said[peer, reason] = now
        return True

    def is_first(self, culprit: OperatorIndex, height: Height | None, reason: str) -> bool:
        """The first offence of its kind at a height convicts; more of them prove nothing more."""
        key = (culprit, height, reason)
        if key in self._kept:
            return False
        self._kept[key] = None
        while len(self._kept) > MAX_REMEMBERED:
            del self._kept[next(iter(self._kept))]
        return True
