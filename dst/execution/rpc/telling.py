"""How subscribers are told without holding others up: the logs of a block are read in slices, and
whoever walks through listeners rests when a slice of the event loop is over.

What a block holds here grows with its logs and with the entries of the index, never with their
product: a log knows its audiences, and who is in an audience is looked up when it is told.
"""

import asyncio
import time
from collections.abc import Hashable, Iterator
from typing import Final, Generic, TypeVar

import msgspec

from dst.execution.chain import Chain
from dst.execution.header import EMPTY_BLOOM
from dst.execution.rpc import views
from dst.execution.rpc.block_logs import BlockLogs
from dst.execution.rpc.dispatch import HOLD_S
from dst.execution.rpc.log_index import Audience, LogIndex
from dst.spec.primitives import Hash32

TOLD_AT_A_TIME: Final = 128
"""Notifications queued before others have their turn on the event loop: below a millisecond."""
SLICE_S: Final = 0.002
"""Of the event loop, whether anybody is told or not."""
LOGS_BETWEEN_LOOKS: Final = 16
"""At the clock, on the reading thread: no more than a millisecond."""

_KIB: Final = 1_024

M = TypeVar("M", bound=Hashable)


class Pace:
    """Of a walk on the event loop: who rests whenever it is due leaves others their turn."""

    def __init__(self) -> None:
        self._rested, self._told = time.monotonic(), 0

    def is_due(self, told: int = 0) -> bool:
        self._told += told
        return self._told >= TOLD_AT_A_TIME or time.monotonic() - self._rested >= SLICE_S

    async def rest(self) -> None:
        await asyncio.sleep(0)
        self._rested, self._told = time.monotonic(), 0


class BlockReading(Generic[M]):
    """What to tell of a block, read once whoever listens. Works on the reading thread."""

    def __init__(
        self,
        chain: Chain,
        index: LogIndex[M],
        block_hash: Hash32,
        *,
        removed: bool,
        with_head: bool,
        with_logs: bool,
    ) -> None:
        self._chain, self._index, self._hash = chain, index, block_hash
        self._removed, self._with_head, self._with_logs = removed, with_head, with_logs
        self._reading: Iterator[None] | None = None
        self.head: bytes | None = None
        self.logs: list[tuple[bytes, tuple[Audience[M], ...]]] = []
        self.prices: dict[Audience[M], int] = {}
        """What one listener of an audience is owed of all logs, see `price_of`."""

    def go_on(self) -> bool:
        """Read for a client's share of the thread; whether there is more."""
        if self._reading is None:
            self._reading = self._read()
        end = time.monotonic() + HOLD_S
        for _ in self._reading:
            if time.monotonic() > end:
                return True
        return False

    def _read(self) -> Iterator[None]:
        """Yields often."""
        header = self._chain.header(self._hash)
        assert header is not None, "blocks of a change are here"
        if self._with_head:
            self.head = msgspec.json.encode(views.show_whole_header(header, self._hash))
        if not self._with_logs or header.logs_bloom == EMPTY_BLOOM:
            return
        of_block = BlockLogs(self._chain, self._hash, header, removed=self._removed)
        for position, log in of_block:
            audiences = tuple(self._index.matching(log))
            if audiences:
                result = of_block.encoded(position)
                self.logs.append((result, audiences))
                for each in audiences:
                    self.prices[each] = self.prices.get(each, 0) + price_of(result)
            if position % LOGS_BETWEEN_LOOKS == 0:
                yield


def price_of(result: bytes) -> int:
    """Of one notification: as many as it has KiB, begun ones too."""
    return 1 + len(result) // _KIB
