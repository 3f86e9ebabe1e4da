"""What this operator waits for, for a person: one list for log, health, status and board.

Each part knows what it lacks itself and says so in `waits_for`; here it is asked, now and then, and
believed once it has said so for a while: every block waits a moment for something.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

from dst.runtime.log import Logger

WaitsFor: TypeAlias = Callable[[], str | None]
"""What somebody lacks, now; None: nothing."""

LOOK_S: Final = 0.25
PATIENCE_S: Final = 3.0
"""So long a part must have lacked something before it is told; longer than any round 0."""
SAY_AGAIN_S: Final = 10.0
"""A wait that lasts is logged at least this often, so that who looks later finds it."""


class Waiting:
    """`monotonic` in seconds."""

    def __init__(
        self, parts: Sequence[WaitsFor], *, log: Logger, monotonic: Callable[[], float]
    ) -> None:
        self._parts, self._log, self._monotonic = tuple(parts), log, monotonic
        self._since: dict[int, float] = {}
        self._said_at: float | None = None

    def told(self) -> tuple[str, ...]:
        """In the order of the parts."""
        told_from = self._monotonic() - PATIENCE_S
        lasting = [each for each, since in sorted(self._since.items()) if since <= told_from]
        return _said_by(self._parts[each] for each in lasting)

    def lacks(self) -> tuple[str, ...]:
        """Now, for however short a while."""
        return _said_by(self._parts)

    async def run(self) -> None:
        """Look and log, until cancelled."""
        while True:
            self._look()
            self._say()
            await asyncio.sleep(LOOK_S)

    def _look(self) -> None:
        now = self._monotonic()
        for number, part in enumerate(self._parts):
            if part() is None:
                self._since.pop(number, None)
            else:
                self._since.setdefault(number, now)

    def _say(self) -> None:
        now, told = self._monotonic(), self.told()
        if not told:
            if self._said_at is not None:
                self._log.info("waits_for_nothing")
            self._said_at = None
        elif self._said_at is None or now - self._said_at >= SAY_AGAIN_S:
            self._log.warning("waiting", waits_for="; ".join(told))
            self._said_at = now


def _said_by(parts: Iterable[WaitsFor]) -> tuple[str, ...]:
    return tuple(text for part in parts if (text := part()) is not None)
