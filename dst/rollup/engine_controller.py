"""Drives the execution layer: one call at a time, in an order that never hurts a decided block.

Executions come in two kinds. *Fresh* ones (a proposal being validated) end with their asker: when
all who wait for one are gone it is cancelled, which closes its connection and so aborts it in the
engine; a decided block or a build also aborts a fresh one of another block. Those *to the end* are
never aborted by this side. Two askers for one block share one call, and every call is asked again
until it is answered: a link that swallowed it must not hold the chain after it is healed.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from dst.apis.engine import (
    BlockRef,
    BuiltPayload,
    ForkchoiceState,
    ForkchoiceUpdated,
    PayloadAttributes,
    PayloadStatus,
    PayloadStatusKind,
)
from dst.apis.engine_client import EngineClient
from dst.rollup.asking import ask_until_answered
from dst.rollup.chain import Chain
from dst.rollup.wrapping import encode_requests
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.spec import ssz
from dst.spec.beacon import BeaconBlock
from dst.spec.errors import BadConfig, InvalidInput, Unavailable
from dst.spec.primitives import Hash32

EXECUTE_TIMEOUT_S: Final = 60.0
"""One block executed to the end, however often it is asked for; 10 Mgas of CALLs take py-evm 12 s
on a busy core. At its end the engine is let go, which aborts; the caller begins anew."""
CALL_TIMEOUT_S: Final = 5.0
"""The other calls, which execute nothing beyond the builder's part of the round
(docs/heavy-transactions.md); with what is asked again."""
KEEP_ANNOUNCED_S: Final = 0.5
"""How often a missed announcement, or a moved safe head, is noticed."""
REFILL_FORKCHOICE_EVERY: Final = 64
"""While refilling, the engine is told its head this often, so that a crash loses little."""
MAX_EXECUTED_KNOWN: Final = 256
"""Hashes known VALID in this engine, to skip a call for a block that was validated a moment ago."""

T = TypeVar("T")


class InvalidPayload(InvalidInput):
    """The engine found a block INVALID."""


class Aborted(Unavailable):
    """A fresh execution made way for one that matters more; ask again."""


@dataclass(slots=True)
class _Running:
    block_hash: Hash32
    task: "asyncio.Task[PayloadStatus]"
    to_the_end: bool
    waiters: int = 0


class EngineController:
    """The one user of the engine. Raises Unavailable from any call while the engine is out of
    reach."""

    def __init__(self, client: EngineClient, chain: Chain, log: Logger, metrics: Metrics) -> None:
        self._client, self._chain, self._log, self._metrics = client, chain, log, metrics
        self._calls = asyncio.Lock()
        self._running: _Running | None = None
        self._valid: dict[Hash32, None] = {}
        self._announced: ForkchoiceState | None = None
        self._failure: str | None = None

    def waits_for(self) -> str | None:
        """For a person; None while the engine answers."""
        return None if self._failure is None else f"its execution layer: {self._failure}"

    async def keep_announced(self) -> None:
        """Repeat what an engine that was away did not hear; until cancelled. Raises: BadConfig."""
        while True:
            await asyncio.sleep(KEEP_ANNOUNCED_S)
            if self._heads() == self._announced and self._failure is None:
                continue
            try:
                await self.announce()
            except BadConfig:
                raise
            except (Unavailable, InvalidInput) as error:
                self._log.debug("announce_failed", error=str(error))

    async def validate(self, block: BeaconBlock) -> PayloadStatus:
        """Execute a fresh proposal on the decided head; cancel to abort. Raises: Aborted,
        Unavailable."""
        status = await self._execute(block, to_the_end=False)
        if _is_missing_parent(status):
            await self._refill()
            status = await self._execute(block, to_the_end=False)
        return status

    async def execute(self, block: BeaconBlock) -> None:
        """Execute to the end a block on the head. Raises: InvalidPayload, Unavailable."""
        status = await self._execute(block, to_the_end=True)
        if _is_missing_parent(status):
            await self._refill()
            status = await self._execute(block, to_the_end=True)
        if status.status is PayloadStatusKind.INVALID:
            raise InvalidPayload(f"execution: {status.validation_error or 'invalid'}")
        if status.status is not PayloadStatusKind.VALID:
            raise Unavailable(describe(status))

    async def announce(self) -> None:
        """Tell the engine head, safe and finalized; refill it when it does not know the head.

        Raises: Unavailable.
        """
        async with self._calls:
            heads = self._heads()
            answer = await self._point(heads)
            self._announced = heads
        if _is_missing_parent(answer.payload_status):
            self._valid.clear()
            await self._refill()

    async def build(self, attributes: PayloadAttributes) -> BuiltPayload:
        """Build on the head. Raises: Unavailable."""
        self._abort_fresh()
        for attempt in range(2):
            async with self._calls:
                answer = await self._point(self._heads(), attributes)
            if answer.payload_id is not None:
                # Outside the lock: a decided block must not wait for a build; it ends the build.
                return await self._built(answer.payload_id)
            if attempt == 0 and _is_missing_parent(answer.payload_status):
                await self._refill()
        raise Unavailable(f"execution layer starts no build: {describe(answer.payload_status)}")

    # --- one execution at a time ---

    async def _execute(self, block: BeaconBlock, *, to_the_end: bool) -> PayloadStatus:
        block_hash = block.body.execution_payload.block_hash
        if block_hash in self._valid:
            return PayloadStatus(status=PayloadStatusKind.VALID, latest_valid_hash=block_hash)
        running = await self._join_or_start(block, block_hash, to_the_end=to_the_end)
        running.waiters += 1
        try:
            await asyncio.wait({running.task})
        finally:
            running.waiters -= 1
            if running.waiters == 0 and not running.to_the_end:
                running.task.cancel()
        if running.task.cancelled():
            raise Aborted("validation made way for a decided block")
        return running.task.result()

    async def _join_or_start(
        self, block: BeaconBlock, block_hash: Hash32, *, to_the_end: bool
    ) -> _Running:
        while (running := self._running) is not None and not running.task.done():
            if running.block_hash == block_hash:
                running.to_the_end |= to_the_end
                return running
            if to_the_end:
                self._abort_fresh()
            await asyncio.wait({running.task})
        task = asyncio.get_running_loop().create_task(self._new_payload(block))
        # Whoever waits reads the outcome; when all are gone nobody has to.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._running = _Running(block_hash=block_hash, task=task, to_the_end=to_the_end)
        return self._running

    def _abort_fresh(self) -> None:
        if self._running is not None and not self._running.to_the_end:
            self._running.task.cancel()

    async def _new_payload(self, block: BeaconBlock) -> PayloadStatus:
        async with self._calls:
            status = await self._send(block)
        if status.status is PayloadStatusKind.VALID:
            self._note_valid(block.body.execution_payload.block_hash)
        return status

    def _note_valid(self, block_hash: Hash32) -> None:
        self._valid[block_hash] = None
        while len(self._valid) > MAX_EXECUTED_KNOWN:
            del self._valid[next(iter(self._valid))]

    def _heads(self) -> ForkchoiceState:
        chain = self._chain
        return ForkchoiceState(
            head_block_hash=chain.head.execution_hash,
            safe_block_hash=chain.execution_hash_at(chain.safe_height),
            finalized_block_hash=chain.execution_hash_at(chain.finalized_height),
        )

    # --- refill ---

    async def _refill(self) -> None:
        """Give a lost head back to the engine, block by block from our store. Raises:
        Unavailable."""
        async with self._calls:
            start = await self._common_height()
            head = self._chain.head.height
            if start < head:
                self._log.warning("engine_refill", from_height=start + 1, to_height=head)
                self._metrics.inc("engine_refilled_blocks_total", head - start)
            for height in range(start + 1, head + 1):
                await self._replay(height)
            await self._point(self._heads())

    async def _common_height(self) -> int:
        """Highest block that engine and store share. Raises: BadConfig when not even genesis is."""
        latest = await self._block("latest")
        height = min(self._chain.head.height, 0 if latest is None else latest.number)
        while height >= 0:
            theirs = await self._block(height)
            if theirs is not None and theirs.hash == self._chain.execution_hash_at(height):
                return height
            height -= 1
        raise BadConfig(
            "the execution layer has another genesis than the cluster lock: start it with the "
            "genesis.json of this cluster"
        )

    async def _replay(self, height: int) -> None:
        stored = self._chain.store.by_height(height)
        assert stored is not None, f"height {height} is at most the head"
        block = ssz.decode(BeaconBlock, stored.block)
        status = await self._send(block)
        if status.status is not PayloadStatusKind.VALID:
            raise Unavailable(f"decided block {height} is not taken: {describe(status)}")
        if height % REFILL_FORKCHOICE_EVERY == 0:
            genesis = self._chain.execution_hash_at(0)
            state = ForkchoiceState(
                head_block_hash=stored.execution_hash,
                safe_block_hash=genesis,
                finalized_block_hash=genesis,
            )
            await self._point(state)

    # --- single calls, asked again until answered; all of them may be repeated ---

    async def _ask(self, ask: Callable[[], Coroutine[Any, Any, T]], *, limit: float) -> T:
        try:
            answer = await ask_until_answered(ask, limit=limit)
        except Unavailable as error:
            self._failure = str(error)
            raise
        self._failure = None
        return answer

    async def _send(self, block: BeaconBlock) -> PayloadStatus:
        payload = block.body.execution_payload
        requests = encode_requests(block.body.execution_requests)

        def ask() -> Coroutine[Any, Any, PayloadStatus]:
            return self._client.new_payload_v4(
                payload,
                parent_beacon_block_root=block.l1_origin.hash,
                execution_requests=requests,
                timeout=EXECUTE_TIMEOUT_S,
            )

        return await self._ask(ask, limit=EXECUTE_TIMEOUT_S)

    async def _point(
        self, heads: ForkchoiceState, attributes: PayloadAttributes | None = None
    ) -> ForkchoiceUpdated:
        return await self._ask(
            lambda: self._client.forkchoice_updated_v3(heads, attributes, timeout=CALL_TIMEOUT_S),
            limit=CALL_TIMEOUT_S,
        )

    async def _built(self, payload_id: bytes) -> BuiltPayload:
        return await self._ask(
            lambda: self._client.get_payload_v4(payload_id, timeout=CALL_TIMEOUT_S),
            limit=CALL_TIMEOUT_S,
        )

    async def _block(self, number_or_tag: int | str) -> BlockRef | None:
        return await self._ask(
            lambda: self._client.block(number_or_tag, timeout=CALL_TIMEOUT_S), limit=CALL_TIMEOUT_S
        )


def describe(status: PayloadStatus) -> str:
    """Of an execution layer that did not find a block valid, for a person."""
    why = f": {status.validation_error}" if status.validation_error else ""
    return f"execution layer is {status.status.value}{why}"


def _is_missing_parent(status: PayloadStatus) -> bool:
    return status.status in (PayloadStatusKind.SYNCING, PayloadStatusKind.ACCEPTED)
