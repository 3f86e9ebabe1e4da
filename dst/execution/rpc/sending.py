"""Transactions on their way in: `eth_sendRawTransaction`, and its form that waits for the
receipt."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from dst.apis.jsonrpc import INVALID_PARAMS, REFUSED, Outcome, RpcError
from dst.apis.quantity import parse_count
from dst.execution.chain import Chain
from dst.execution.events import Events
from dst.execution.pool.service import Source, TransactionPool
from dst.execution.rpc import views
from dst.execution.rpc.dispatch import Threads, Where, rpc
from dst.execution.rpc.parameters import DataParam, MillisecondsParam
from dst.execution.slots import SlotClock
from dst.spec.errors import InvalidInput
from dst.spec.primitives import Hash32, parse_hex, to_hex
from dst.transactions.transaction import InvalidTransaction

SYNC_TIMEOUT_MS: Final = 20_000
"""geth's figures, default and most, of eth_sendRawTransactionSync (EIP-7966)."""
MAX_SYNC_TIMEOUT_MS: Final = 60_000
MAX_WAITING: Final = 1_024
"""Callers that wait for a receipt at a time."""
TIMED_OUT: Final = 4
"""Error code of EIP-7966: in the pool, not yet in a block. The data is the hash."""

REFUSALS: Final = (
    "-32000: what the pool refuses, in geth's words: already known, nonce too low, insufficient "
    "funds for gas * price + value, replacement transaction underpriced, …; the data names the "
    "reason",
)


class Submitter:
    """Gives transactions of one kind of caller to the pool."""

    def __init__(self, pool: TransactionPool, source: Source) -> None:
        self._pool, self._source = pool, source

    async def submit(self, raw: bytes) -> Hash32:
        """Raises: RpcError, in geth's words and with the reason's name; Unavailable."""
        (outcome,) = await self.submit_all([raw])
        if isinstance(outcome, RpcError):
            raise outcome
        return outcome

    async def submit_all(self, raws: Sequence[bytes]) -> list[Hash32 | RpcError]:
        """Each on its own merits, the answers in their order. Raises: Unavailable."""
        outcomes = await self._pool.submit_all(raws, self._source)
        return [
            RpcError(REFUSED, str(each), {"reason": str(each.reason)})
            if isinstance(each, InvalidTransaction)
            else each
            for each in outcomes
        ]


class Sending:
    def __init__(
        self,
        submitter: Submitter,
        chain: Chain,
        events: Events,
        threads: Threads,
        clock: SlotClock,
    ) -> None:
        self._submitter, self._chain, self._threads = submitter, chain, threads
        self._events, self._clock = events, clock
        self._waiting = 0

    @rpc("eth_sendRawTransaction", where=Where.LOOP, errors=REFUSALS, together=True)
    async def send_raw(self, raw: Sequence[DataParam]) -> list[Outcome]:
        """Give a signed transaction to the pool; answers its hash."""
        # One visit to the pool for all of a batch: a task and a lock each cost more than the rest.
        raws = [_raw_or_error(each) for each in raw]
        outcomes = iter(
            await self._submitter.submit_all([each for each in raws if isinstance(each, bytes)])
        )
        return [_shown(next(outcomes)) if isinstance(each, bytes) else each for each in raws]

    @rpc(
        "eth_sendRawTransactionSync",
        where=Where.LOOP,
        errors=(*REFUSALS, "4: taken, but in no block in time; the data is the hash"),
        limits=(
            f"{SYNC_TIMEOUT_MS} ms unless told, at most {MAX_SYNC_TIMEOUT_MS}",
            f"{MAX_WAITING} callers at a time",
        ),
    )
    async def send_raw_sync(
        self, raw: DataParam, timeout: MillisecondsParam = None
    ) -> dict[str, object]:
        """Give a signed transaction to the pool and answer its receipt once it is in a block
        (EIP-7966)."""
        limit_ms = _parse_timeout(timeout)
        if self._waiting >= MAX_WAITING:
            raise RpcError(REFUSED, f"too many callers wait for receipts: at most {MAX_WAITING}")
        self._waiting += 1
        try:
            transaction_hash = await self._submitter.submit(_parse_raw(raw))
            return await self._receipt_of(transaction_hash, limit_ms)
        finally:
            self._waiting -= 1

    async def _receipt_of(self, transaction_hash: Hash32, limit_ms: int) -> dict[str, object]:
        """Raises: RpcError at the end of the time."""
        moved = asyncio.Event()
        end = time.monotonic() + limit_ms / 1_000
        with self._events.heads.listening(lambda _: moved.set()):
            while True:
                moved.clear()
                found = await self._threads.on_read(self._find, transaction_hash)
                if found is not None:
                    return found
                try:
                    async with asyncio.timeout(end - time.monotonic()):
                        await moved.wait()
                except TimeoutError:
                    raise RpcError(
                        TIMED_OUT, self._timeout_words(limit_ms), to_hex(transaction_hash)
                    ) from None

    def _find(self, transaction_hash: Hash32) -> dict[str, object] | None:
        return views.receipt_of(self._chain, transaction_hash)

    def _timeout_words(self, limit_ms: int) -> str:
        head = self._chain.heads.head
        words = (
            "The transaction was added to the transaction pool but wasn't processed in "
            f"{limit_ms / 1_000:g}s"
        )
        if self._clock.is_stale(head):
            words += f": no block came for {self._clock.age(head):.0f}s"
        return words


def _parse_raw(value: object) -> bytes:
    """Raises: InvalidInput."""
    return parse_hex(value, what="raw transaction")


def _raw_or_error(value: object) -> bytes | InvalidInput:
    try:
        return _parse_raw(value)
    except InvalidInput as error:
        return error


def _shown(outcome: Hash32 | RpcError) -> str | RpcError:
    return outcome if isinstance(outcome, RpcError) else to_hex(outcome)


def _parse_timeout(value: object) -> int:
    """Raises: InvalidInput, RpcError."""
    if value is None:
        return SYNC_TIMEOUT_MS
    wanted = parse_count(value, what="timeout")
    if wanted == 0:
        raise RpcError(INVALID_PARAMS, "timeout: must be above 0")
    return min(wanted, MAX_SYNC_TIMEOUT_MS)
