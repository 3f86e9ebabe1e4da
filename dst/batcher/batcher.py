"""Posts sealed blocks to the inbox on L1 when it is this operator's turn.

No single point of failure: every node sees on L1 what is missing, and the next interval's poster
starts from there. Two posters that overlap cost gas and nothing else.
"""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from dst.batcher.plan import BatchBlock, is_interval_end, poster_of, split
from dst.l1.tx_manager import TxManager
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.spec.cluster import ClusterLock
from dst.spec.errors import Unavailable
from dst.spec.primitives import OperatorIndex

MAX_BLOCKS_PER_TURN: Final = 1024
"""After a long L1 outage the gap is closed over several turns, about 16 frames each."""


class BlockSource(Protocol):
    """What the batcher reads of the rollup node."""

    @property
    def safe_height(self) -> int:
        """Last block found on L1 (held here or not)."""

    @property
    def sealed_height(self) -> int: ...

    def decided_round(self, height: int) -> int | None:
        """Round in which a height was decided, None when it is not known here."""

    def blocks(self, first: int, last: int) -> Sequence[BatchBlock]:
        """Decided blocks of heights first..last."""


class Batcher:
    """`run` posts. sealed: set when the newest sealed block moved; cleared here."""

    def __init__(
        self,
        *,
        lock: ClusterLock,
        operator: OperatorIndex,
        source: BlockSource,
        sealed: asyncio.Event,
        sender: TxManager,
        log: Logger,
        metrics: Metrics,
    ) -> None:
        self._lock, self._operator, self._source = lock, operator, source
        self._sealed, self._sender, self._log, self._metrics = sealed, sender, log, metrics
        self._considered = source.sealed_height
        """Heights up to here have had their turn; what an earlier run missed, others cover."""

    async def run(self) -> None:
        while True:
            await self._sealed.wait()
            self._sealed.clear()
            if self.is_my_turn():
                await self._post()

    def is_my_turn(self) -> bool:
        """Whether an interval ended since the last look for which this operator posts."""
        first, last = self._considered + 1, self._source.sealed_height
        self._considered = max(last, self._considered)
        interval = self._lock.chain.batch_interval
        return any(
            self._is_poster(height)
            for height in range(max(first, last - 4 * interval), last + 1)
            if is_interval_end(height, interval)
        )

    def _is_poster(self, height: int) -> bool:
        round_ = self._source.decided_round(height)
        if round_ is None:
            return False
        interval, n = self._lock.chain.batch_interval, self._lock.n
        return poster_of(height, round_, self._source.safe_height, interval, n) == self._operator

    async def _post(self) -> None:
        first = self._source.safe_height + 1
        last = min(self._source.sealed_height, first + MAX_BLOCKS_PER_TURN - 1)
        # Compressing and hashing megabytes is not for the event loop.
        frames = await asyncio.to_thread(
            split, self._lock.chain.chain_id, self._source.blocks(first, last)
        )
        for frame in frames:
            try:
                mined = await self._sender.send(self._lock.chain.batch_inbox, frame)
            except Unavailable as error:
                self._metrics.inc("batches_failed_total")
                self._log.warning("batch_not_posted", first_height=first, error=str(error))
                return
            self._metrics.inc("batches_posted_total")
            self._metrics.inc("batch_bytes_total", len(frame))
            self._log.info(
                "batch_posted", first_height=first, to=last, bytes=len(frame), l1_block=mined
            )
