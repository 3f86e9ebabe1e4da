"""The client that a rollup node drives its execution layer with."""

from collections.abc import Sequence
from typing import Any, Final

import aiohttp
import msgspec

from dst.apis.engine import (
    CAPABILITIES,
    BlockRef,
    BuiltPayload,
    EngineError,
    ForkchoiceState,
    ForkchoiceUpdated,
    PayloadAttributes,
    PayloadStatus,
)
from dst.apis.engine_wire import (
    ForkchoiceStateV1,
    ForkchoiceUpdatedResult,
    GetPayloadV4Result,
    PayloadStatusV1,
    attributes_to_wire,
    payload_from_wire,
    payload_to_wire,
    status_from_wire,
)
from dst.apis.jsonrpc import RpcError
from dst.apis.jsonrpc.client import BadStatus, JsonRpcClient
from dst.apis.jwt import make_jwt
from dst.apis.quantity import parse_quantity
from dst.runtime.machine import wall_clock
from dst.runtime.metrics import Metrics
from dst.spec.beacon import ExecutionPayload
from dst.spec.errors import BadConfig
from dst.spec.primitives import Hash32, parse_hex, to_hex

CALL_TIMEOUT_S: Final = 8.0
"""Default bound of one call, the figure of the Engine API for newPayload and forkchoiceUpdated."""


class _BlockHead(msgspec.Struct, rename="camel", frozen=True):
    number: str
    hash: str
    parent_hash: str
    timestamp: str


class EngineClient:
    """Drives one execution layer. Cancelling a call closes its connection, which aborts a
    validation there.

    Raises (every call): EngineError for a JSON-RPC error; Unavailable when it cannot be reached or
    does not answer in `timeout` seconds; BadConfig when it refuses our JWT.
    """

    def __init__(
        self, url: str, jwt_secret: bytes, session: aiohttp.ClientSession | None = None
    ) -> None:
        self._rpc = JsonRpcClient(
            url,
            session,
            what="engine",
            headers=lambda: {"Authorization": f"Bearer {make_jwt(jwt_secret, wall_clock())}"},
        )

    async def close(self) -> None:
        await self._rpc.close()

    def count_in(self, metrics: Metrics) -> None:
        self._rpc.count_in(metrics)

    async def exchange_capabilities(self, *, timeout: float = CALL_TIMEOUT_S) -> tuple[str, ...]:
        supported: list[str] = await self.call(
            "engine_exchangeCapabilities", [list(CAPABILITIES)], list[str], timeout=timeout
        )
        return tuple(supported)

    async def new_payload_v4(
        self,
        payload: ExecutionPayload,
        *,
        parent_beacon_block_root: bytes,
        execution_requests: Sequence[bytes] = (),
        versioned_hashes: Sequence[bytes] = (),
        timeout: float | None = CALL_TIMEOUT_S,
    ) -> PayloadStatus:
        """timeout None: wait as long as execution takes (a decided block runs to its end)."""
        params = [
            payload_to_wire(payload),
            [to_hex(each) for each in versioned_hashes],
            to_hex(parent_beacon_block_root),
            [to_hex(each) for each in execution_requests],
        ]
        wire = await self.call("engine_newPayloadV4", params, PayloadStatusV1, timeout=timeout)
        return status_from_wire(wire)

    async def forkchoice_updated_v3(
        self,
        state: ForkchoiceState,
        attributes: PayloadAttributes | None = None,
        *,
        timeout: float | None = CALL_TIMEOUT_S,
    ) -> ForkchoiceUpdated:
        """With attributes: start a build on the head; its id is in the answer."""
        params = [
            ForkchoiceStateV1(
                head_block_hash=to_hex(state.head_block_hash),
                safe_block_hash=to_hex(state.safe_block_hash),
                finalized_block_hash=to_hex(state.finalized_block_hash),
            ),
            None if attributes is None else attributes_to_wire(attributes),
        ]
        wire = await self.call(
            "engine_forkchoiceUpdatedV3", params, ForkchoiceUpdatedResult, timeout=timeout
        )
        payload_id = None if wire.payload_id is None else parse_hex(wire.payload_id, 8)
        return ForkchoiceUpdated(
            payload_status=status_from_wire(wire.payload_status), payload_id=payload_id
        )

    async def get_payload_v4(
        self, payload_id: bytes, *, timeout: float | None = CALL_TIMEOUT_S
    ) -> BuiltPayload:
        """Wait for the build to end (the builder is bounded by wall clock) and return it.

        Raises: EngineError with code -38001 when the id is unknown or forgotten.
        """
        wire = await self.call(
            "engine_getPayloadV4", [to_hex(payload_id)], GetPayloadV4Result, timeout=timeout
        )
        return BuiltPayload(
            payload=payload_from_wire(wire.execution_payload),
            block_value=parse_quantity(wire.block_value, bits=256),
            execution_requests=tuple(parse_hex(each) for each in wire.execution_requests),
        )

    async def block(
        self, number_or_tag: int | str, *, timeout: float = CALL_TIMEOUT_S
    ) -> BlockRef | None:
        """The canonical block of a number or tag (`latest`, `safe`, `finalized`, `earliest`)."""
        key = hex(number_or_tag) if isinstance(number_or_tag, int) else number_or_tag
        wire = await self.call(
            "eth_getBlockByNumber", [key, False], _BlockHead | None, timeout=timeout
        )
        if wire is None:
            return None
        return BlockRef(
            number=parse_quantity(wire.number),
            hash=Hash32(parse_hex(wire.hash, 32, what="hash")),
            parent_hash=Hash32(parse_hex(wire.parent_hash, 32, what="parentHash")),
            timestamp=parse_quantity(wire.timestamp),
        )

    async def call(
        self, method: str, params: Sequence[Any], kind: Any, *, timeout: float | None
    ) -> Any:
        """Any JSON-RPC call, its result decoded as `kind` (a type msgspec knows)."""
        try:
            return await self._rpc.call(method, params, kind, timeout_s=timeout)
        except RpcError as error:
            raise EngineError(error.code, error.message) from error
        except BadStatus as error:
            if error.status == 401:
                raise BadConfig(f"engine {self._rpc.url} refused our JWT: {error.said}") from error
            raise
