"""Up to which height all blocks are sealed: asked of this node's rollup node, for `dst_finality`.

Nobody but who asks that waits for a rollup node that is slow or gone, and it is not asked more
often than it can bear: one question at a time, whose answer serves everybody who asks meanwhile
and shortly after.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, Protocol, TypeAlias

from dst.apis.dst_v1 import DstClient, Status
from dst.spec.errors import DstError

TIMEOUT_S: Final = 1.0
"""No answer about finality waits longer for the rollup node."""
FRESH_S: Final = 0.05
"""An answer serves so long: blocks are sealed once a slot, and what is sealed stays so."""
QUIET_S: Final = 2.0
"""After a question without an answer none is put for so long: a batch of a thousand waits for a
dead rollup node once. A rollup node needs longer to start."""

SealedHeight: TypeAlias = Callable[[], Awaitable[int | None]]
"""The height up to which all blocks are sealed, None when nobody here knows."""


async def nobody_knows() -> int | None:
    return None


class RollupNode(Protocol):
    """`DstClient` satisfies it. Raises: DstError when there is no answer."""

    async def status(self, *, timeout_seconds: float) -> Status: ...


class SealedHeights:
    """On one event loop. `now` is monotonic, in seconds."""

    def __init__(self, rollup: RollupNode, now: Callable[[], float] = time.monotonic) -> None:
        self._rollup, self._now = rollup, now
        self._asking = asyncio.Lock()
        self._known: int | None = None
        self._good_until = float("-inf")

    async def ask(self) -> int | None:
        """None when the rollup node does not answer, or just now did not."""
        async with self._asking:
            if self._now() >= self._good_until:
                self._known = await self._put()
                self._good_until = self._now() + (QUIET_S if self._known is None else FRESH_S)
            return self._known

    async def _put(self) -> int | None:
        try:
            status = await self._rollup.status(timeout_seconds=TIMEOUT_S)
        except DstError:
            return None
        # Seals come newest first: below the lowest gap all are sealed, above it some.
        gap = status.lowest_unsealed_height
        return status.sealed_height if gap is None else min(gap - 1, status.sealed_height)


@asynccontextmanager
async def sealed_height_of(rollup: str | None) -> AsyncIterator[SealedHeight]:
    """Asks the rollup node at this URL; nobody when there is none."""
    if rollup is None:
        yield nobody_knows
        return
    async with DstClient(rollup) as client:
        yield SealedHeights(client).ask
