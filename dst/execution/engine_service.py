"""The rules of the Engine API (execution-apis, engine/prague.md), over a chain, a pool and one
worker thread.

newPayload executes, stores and never moves the head. One validation runs at a time: the same
payload joins it, another one aborts it, and so does the last waiting client that goes away; an
aborted one answers SYNCING. forkchoiceUpdated moves the pointers and may start a build; getPayload
waits for it.
"""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final, TypeVar

import msgspec

from dst.apis.engine import (
    CAPABILITIES,
    INVALID_FORKCHOICE_STATE,
    INVALID_PAYLOAD_ATTRIBUTES,
    UNKNOWN_PAYLOAD,
    BuiltPayload,
    ExecutionPayloadV3,
    ForkchoiceState,
    ForkchoiceStateV1,
    ForkchoiceUpdatedResult,
    GetPayloadV4Result,
    PayloadAttributes,
    PayloadAttributesV3,
    PayloadStatus,
    PayloadStatusKind,
    PayloadStatusV1,
    attributes_from_wire,
    built_to_wire,
    payload_from_wire,
    status_to_wire,
)
from dst.apis.jsonrpc import Method, RpcError
from dst.execution.block.builder import Build, BuilderLimits, build_block
from dst.execution.chain import (
    Chain,
    ExecutedBlock,
    HeadChange,
    UnknownBlock,
    UnknownParent,
    decode_once,
    payload_of,
)
from dst.execution.environment import ExecutionAborted, InvalidBlock
from dst.execution.header import header_of_payload, next_base_fee
from dst.execution.interrupts import AbortFlag
from dst.execution.pool.service import TransactionPool
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.spec.beacon import ExecutionPayload
from dst.spec.errors import InvalidInput, Unavailable
from dst.spec.primitives import ZERO_HASH, Address, Hash32, parse_hex, to_hex
from dst.transactions.transaction import InvalidTransaction

MAX_BUILDS: Final = 8
"""Payload ids remembered; a build is asked for once, within its slot."""
MAX_INVALID: Final = 256
"""Invalid block hashes remembered, so that their descendants are refused without execution."""
PAYLOAD_VERSION: Final = b"\x03"
"""First byte of a payload id, as other clients do: the version of its attributes."""

T = TypeVar("T")
log = Logger("engine")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPayload:
    payload: ExecutionPayload
    parent_beacon_block_root: Hash32
    requests: tuple[bytes, ...]


@dataclass(slots=True, kw_only=True, eq=False)
class _Validation:
    request: NewPayload
    flag: AbortFlag
    future: "asyncio.Future[PayloadStatus]"
    waiting: int = 0

    def can_be_joined(self, request: NewPayload) -> bool:
        """Not one that was aborted and has not noticed yet: whoever asks again wants it executed,
        not its SYNCING."""
        return self.request == request and not self.future.done() and not self.flag.aborted


@dataclass(slots=True, kw_only=True)
class _Memory:
    """What the service remembers; bounded."""

    builds: "OrderedDict[bytes, asyncio.Future[Build]]" = field(default_factory=OrderedDict)
    built: OrderedDict[bytes, ExecutedBlock] = field(default_factory=OrderedDict)
    invalid: OrderedDict[bytes, tuple[Hash32, str]] = field(default_factory=OrderedDict)
    """hash -> (newest valid ancestor, why)."""


class EngineService:
    def __init__(
        self,
        chain: Chain,
        pool: TransactionPool,
        worker: Executor,
        limits: BuilderLimits,
        metrics: Metrics,
    ) -> None:
        self._chain, self._pool, self._worker = chain, pool, worker
        self._limits, self._metrics = limits, metrics
        self._memory = _Memory()
        self._running: _Validation | None = None
        self.on_head: list[Callable[[HeadChange], None]] = []

    def close(self) -> None:
        """Abort a running validation, so that the process can end."""
        if self._running is not None:
            self._running.flag.abort()

    def methods(self) -> Mapping[str, Method]:
        return {
            "engine_exchangeCapabilities": self._exchange_capabilities,
            "engine_newPayloadV4": self._new_payload_v4,
            "engine_forkchoiceUpdatedV3": self._forkchoice_updated_v3,
            "engine_getPayloadV4": self._get_payload_v4,
        }

    # newPayload

    async def new_payload(self, request: NewPayload) -> PayloadStatus:
        """Execute and store, or say why not. Cancelling the last caller aborts the execution."""
        running = self._running
        if running is None or not running.can_be_joined(request):
            if running is not None:
                running.flag.abort()
            running = self._running = self._start(request)
        running.waiting += 1
        try:
            return await asyncio.shield(running.future)
        except asyncio.CancelledError:
            if running.waiting == 1:
                running.flag.abort()
            raise
        finally:
            running.waiting -= 1

    def _start(self, request: NewPayload) -> _Validation:
        flag = AbortFlag()
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._worker, self._validate, request, flag)
        return _Validation(request=request, flag=flag, future=future)

    def _validate(self, request: NewPayload, flag: AbortFlag) -> PayloadStatus:
        """Runs on the worker."""
        started = time.monotonic()
        try:
            status = self._judge(request, flag)
        except (Unavailable, UnknownParent):  # the disk is full, or the parent's state is pruned
            status = _syncing()
        self._metrics.observe("engine_new_payload", time.monotonic() - started)
        self._metrics.inc("engine_new_payload_total", status=status.status)
        return status

    def _judge(self, request: NewPayload, flag: AbortFlag) -> PayloadStatus:
        payload, memory = request.payload, self._memory
        if flag.aborted:
            return _syncing()
        header = header_of_payload(payload, request.parent_beacon_block_root, request.requests)
        block_hash = Hash32(payload.block_hash)
        if header.hash != block_hash:
            return _invalid(
                None, f"blockhash mismatch: claimed {to_hex(block_hash)}, is {to_hex(header.hash)}"
            )
        if self._chain.header(block_hash) is not None:
            return _valid(block_hash)
        known_bad = memory.invalid.get(block_hash) or memory.invalid.get(header.parent_hash)
        if known_bad is not None:
            self._remember_invalid(block_hash, *known_bad)
            return _invalid(*known_bad)
        if self._chain.header(header.parent_hash) is None:
            return _syncing()
        built = memory.built.get(block_hash)
        if built is not None:
            self._chain.insert(built)
            return _valid(block_hash)
        try:
            block = self._chain.execute(
                header, payload.transactions, payload.withdrawals, flag.check
            )
        except UnknownParent:
            return _syncing()
        except ExecutionAborted:
            return _syncing()
        except InvalidBlock as error:
            self._remember_invalid(block_hash, header.parent_hash, str(error))
            log.warning("invalid_payload", number=header.number, hash=block_hash, reason=error)
            return _invalid(header.parent_hash, str(error))
        self._chain.insert(block)
        return _valid(block_hash)

    def _remember_invalid(self, block_hash: Hash32, ancestor: Hash32, reason: str) -> None:
        self._memory.invalid[block_hash] = (ancestor, reason)
        _bound(self._memory.invalid, MAX_INVALID)

    # forkchoiceUpdated

    async def forkchoice_updated(
        self, state: ForkchoiceState, attributes: PayloadAttributes | None = None
    ) -> tuple[PayloadStatus, bytes | None]:
        """Move the pointers; with attributes start a build on the head.

        Raises: RpcError -38002 when safe or finalized are not ancestors of the head, -38003 for
        attributes that cannot follow it (the pointers have moved all the same).
        """
        status = await self._move(state)
        if status.status is not PayloadStatusKind.VALID or attributes is None:
            return status, None
        head = self._chain.heads.head
        if attributes.timestamp <= head.timestamp:
            raise RpcError(
                INVALID_PAYLOAD_ATTRIBUTES,
                f"Invalid payload attributes: timestamp {attributes.timestamp} "
                f"is not above the head's {head.timestamp}",
            )
        return status, self._start_build(state.head_block_hash, attributes)

    async def _move(self, state: ForkchoiceState) -> PayloadStatus:
        known_bad = self._memory.invalid.get(state.head_block_hash)
        if known_bad is not None:
            return _invalid(*known_bad)
        if state.head_block_hash == ZERO_HASH:
            raise RpcError(INVALID_FORKCHOICE_STATE, "Invalid forkchoice state: zero head")
        try:
            change = await self._on_worker(self._set_forkchoice, state)
        except (Unavailable, UnknownBlock):  # the disk is full, or the head's state is pruned
            return _syncing()
        if change is None:
            return _syncing()
        moved, nonces, orphans = change
        self._pool.on_head(nonces, orphans)
        for listener in self.on_head:
            listener(moved)
        return _valid(state.head_block_hash)

    def _set_forkchoice(
        self, state: ForkchoiceState
    ) -> tuple[HeadChange, dict[Address, int], list[bytes]] | None:
        """Runs on the worker: what moved, the nonces of senders met on the way, transactions of
        removed blocks."""
        chain = self._chain
        head = chain.header(state.head_block_hash)
        if head is None:
            return None
        for name, named in (
            ("finalized", state.finalized_block_hash),
            ("safe", state.safe_block_hash),
        ):
            if named != ZERO_HASH and not chain.is_ancestor(named, head, state.head_block_hash):
                raise RpcError(
                    INVALID_FORKCHOICE_STATE,
                    f"Invalid forkchoice state: {name} block is not an ancestor of the head",
                )
        moved = chain.set_forkchoice(
            state.head_block_hash, state.safe_block_hash, state.finalized_block_hash
        )
        senders: set[Address] = set()
        orphans: list[bytes] = []
        for block_hash in (*moved.added, *moved.removed):
            raws = chain.body(block_hash).transactions
            senders.update(decode_once(raw).sender for raw in raws)
            if block_hash in moved.removed:
                orphans.extend(raws)
        reader = chain.reader(head.state_root)
        return moved, {sender: reader.get_nonce(sender) for sender in senders}, orphans

    # builds

    def _start_build(self, parent_hash: Hash32, attributes: PayloadAttributes) -> bytes:
        payload_id = _payload_id(parent_hash, attributes)
        builds = self._memory.builds
        if payload_id in builds:
            return payload_id
        for raw in attributes.transactions:
            try:
                decode_once(raw)
            except InvalidTransaction as error:
                raise RpcError(
                    INVALID_PAYLOAD_ATTRIBUTES, f"Invalid payload attributes: transactions: {error}"
                ) from None
        head = self._chain.heads.head
        base_fee = next_base_fee(head)
        candidates = () if attributes.no_tx_pool else self._pool.best(base_fee, head.gas_limit)
        loop = asyncio.get_running_loop()
        builds[payload_id] = loop.run_in_executor(
            self._worker, self._build, parent_hash, attributes, candidates
        )
        _bound(builds, MAX_BUILDS)
        return payload_id

    def _build(self, parent_hash: Hash32, attributes: PayloadAttributes, candidates: Any) -> Build:
        """Runs on the worker."""
        build = build_block(self._chain, parent_hash, attributes, candidates, self._limits)
        self._memory.built[build.block.hash] = build.block
        _bound(self._memory.built, MAX_BUILDS)
        self._metrics.observe("engine_build", build.seconds)
        if build.out_of_time:
            self._metrics.inc("engine_build_out_of_time_total")
        return build

    async def get_payload(self, payload_id: bytes) -> BuiltPayload:
        """Raises: RpcError -38001."""
        future = self._memory.builds.get(payload_id)
        if future is None:
            raise RpcError(UNKNOWN_PAYLOAD, "Unknown payload")
        build = await asyncio.shield(future)
        self._pool.evict(build.evicted)
        return BuiltPayload(
            payload=payload_of(build.block),
            block_value=build.block.result.fees,
            execution_requests=build.block.result.requests,
        )

    async def _on_worker(self, run: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, run, *args)

    # JSON-RPC binding

    async def _exchange_capabilities(self, params: Sequence[Any]) -> list[str]:
        _expect_params(params, 1)
        msgspec.convert(params[0], list[str])
        return list(CAPABILITIES)

    async def _new_payload_v4(self, params: Sequence[Any]) -> PayloadStatusV1:
        _expect_params(params, 4)
        payload = payload_from_wire(msgspec.convert(params[0], ExecutionPayloadV3))
        hashes = [parse_hex(each, 32) for each in msgspec.convert(params[1], list[str])]
        root = Hash32(parse_hex(params[2], 32, what="parentBeaconBlockRoot"))
        requests = _requests(params[3])
        if hashes:
            return status_to_wire(_invalid(None, "blob transactions are refused on this chain"))
        request = NewPayload(payload=payload, parent_beacon_block_root=root, requests=requests)
        return status_to_wire(await self.new_payload(request))

    async def _forkchoice_updated_v3(self, params: Sequence[Any]) -> ForkchoiceUpdatedResult:
        if len(params) == 1:
            params = [*params, None]
        _expect_params(params, 2)
        wire = msgspec.convert(params[0], ForkchoiceStateV1)
        state = ForkchoiceState(
            head_block_hash=Hash32(parse_hex(wire.head_block_hash, 32, what="headBlockHash")),
            safe_block_hash=Hash32(parse_hex(wire.safe_block_hash, 32, what="safeBlockHash")),
            finalized_block_hash=Hash32(
                parse_hex(wire.finalized_block_hash, 32, what="finalizedBlockHash")
            ),
        )
        try:
            attributes = None if params[1] is None else _attributes(params[1])
        except (InvalidInput, msgspec.ValidationError) as error:
            await self._move(state)
            raise RpcError(
                INVALID_PAYLOAD_ATTRIBUTES, f"Invalid payload attributes: {error}"
            ) from None
        status, payload_id = await self.forkchoice_updated(state, attributes)
        return ForkchoiceUpdatedResult(
            payload_status=status_to_wire(status),
            payload_id=None if payload_id is None else to_hex(payload_id),
        )

    async def _get_payload_v4(self, params: Sequence[Any]) -> GetPayloadV4Result:
        _expect_params(params, 1)
        return built_to_wire(await self.get_payload(parse_hex(params[0], 8, what="payloadId")))


def _attributes(value: object) -> PayloadAttributes:
    return attributes_from_wire(msgspec.convert(value, PayloadAttributesV3))


def _requests(value: object) -> tuple[bytes, ...]:
    """EIP-7685: ascending types, none empty. Raises: InvalidInput (-32602)."""
    requests = tuple(
        parse_hex(each, what="execution request") for each in msgspec.convert(value, list[str])
    )
    types = [each[0] if len(each) > 1 else -1 for each in requests]
    if -1 in types or any(left >= right for left, right in pairwise(types)):
        raise InvalidInput("executionRequests: must be non-empty, types strictly ascending")
    return requests


def _expect_params(params: Sequence[Any], count: int) -> None:
    if len(params) != count:
        raise InvalidInput(f"expected {count} parameters, got {len(params)}")


def _payload_id(parent_hash: Hash32, attributes: PayloadAttributes) -> bytes:
    digest = hashlib.sha256(parent_hash + repr(attributes).encode()).digest()
    return PAYLOAD_VERSION + digest[:7]


def _bound(table: "OrderedDict[Any, Any]", limit: int) -> None:
    while len(table) > limit:
        table.popitem(last=False)


def _valid(block_hash: Hash32) -> PayloadStatus:
    return PayloadStatus(status=PayloadStatusKind.VALID, latest_valid_hash=block_hash)


def _invalid(ancestor: Hash32 | None, reason: str) -> PayloadStatus:
    return PayloadStatus(
        status=PayloadStatusKind.INVALID, latest_valid_hash=ancestor, validation_error=reason
    )


def _syncing() -> PayloadStatus:
    return PayloadStatus(status=PayloadStatusKind.SYNCING)
