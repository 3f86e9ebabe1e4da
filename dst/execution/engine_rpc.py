"""The Engine API as JSON-RPC: parameters decoded, values shown. Prague is this chain's only fork:
what belongs to an earlier one is refused by name (-38005)."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from itertools import pairwise
from typing import Any, Final, TypeVar

import msgspec

from dst import __version__
from dst.apis.engine import (
    CAPABILITIES,
    INVALID_PAYLOAD_ATTRIBUTES,
    MAX_BODIES,
    TOO_LARGE_REQUEST,
    UNSUPPORTED_FORK,
    ForkchoiceState,
    PayloadAttributes,
)
from dst.apis.engine_wire import (
    ClientVersionV1,
    ExecutionPayloadBodyV1,
    ExecutionPayloadV3,
    ForkchoiceStateV1,
    ForkchoiceUpdatedResult,
    GetPayloadV4Result,
    PayloadAttributesV3,
    PayloadStatusV1,
    attributes_from_wire,
    built_to_wire,
    payload_from_wire,
    status_to_wire,
    withdrawal_to_wire,
)
from dst.apis.jsonrpc import Method, RpcError
from dst.apis.quantity import parse_quantity
from dst.execution.chain import Chain
from dst.execution.engine_service import EngineService, NewPayload, invalid_status
from dst.spec.errors import InvalidInput
from dst.spec.primitives import Hash32, parse_hex, to_hex

CLIENT_CODE: Final = "DS"
"""Two letters of our own; the registry of identification.md has none for this client."""
UNKNOWN_COMMIT: Final = "0x00000000"
_OF_EARLIER_FORKS: Final = (
    "engine_newPayloadV1",
    "engine_newPayloadV2",
    "engine_newPayloadV3",
    "engine_getPayloadV1",
    "engine_getPayloadV2",
    "engine_getPayloadV3",
)

T = TypeVar("T")


def engine_methods(service: EngineService, chain: Chain, read: Executor) -> Mapping[str, Method]:
    """`read`: where the store is read."""
    binding = _Binding(service, chain, read)
    return {
        "engine_exchangeCapabilities": binding.exchange_capabilities,
        "engine_newPayloadV4": binding.new_payload_v4,
        "engine_forkchoiceUpdatedV3": binding.forkchoice_updated_v3,
        "engine_getPayloadV4": binding.get_payload_v4,
        "engine_getPayloadBodiesByHashV1": binding.get_payload_bodies_by_hash_v1,
        "engine_getPayloadBodiesByRangeV1": binding.get_payload_bodies_by_range_v1,
        "engine_getClientVersionV1": binding.get_client_version_v1,
        "engine_forkchoiceUpdatedV1": binding.forkchoice_updated_earlier,
        "engine_forkchoiceUpdatedV2": binding.forkchoice_updated_earlier,
        **{name: _unsupported(name) for name in _OF_EARLIER_FORKS},
    }


class _Binding:
    def __init__(self, service: EngineService, chain: Chain, read: Executor) -> None:
        self._service, self._chain, self._read = service, chain, read

    async def exchange_capabilities(self, params: Sequence[Any]) -> list[str]:
        _expect_params(params, 1)
        msgspec.convert(params[0], list[str])
        return list(CAPABILITIES)

    async def new_payload_v4(self, params: Sequence[Any]) -> PayloadStatusV1:
        _expect_params(params, 4)
        payload = payload_from_wire(msgspec.convert(params[0], ExecutionPayloadV3))
        hashes = [parse_hex(each, 32) for each in msgspec.convert(params[1], list[str])]
        root = Hash32(parse_hex(params[2], 32, what="parentBeaconBlockRoot"))
        requests = _requests(params[3])
        if hashes:
            refusal = invalid_status(None, "blob transactions are refused on this chain")
            return status_to_wire(refusal)
        request = NewPayload(payload=payload, parent_beacon_block_root=root, requests=requests)
        return status_to_wire(await self._service.new_payload(request))

    async def forkchoice_updated_v3(self, params: Sequence[Any]) -> ForkchoiceUpdatedResult:
        state, given = _forkchoice(params)
        try:
            attributes = None if given is None else _attributes(given)
        except (InvalidInput, msgspec.ValidationError) as error:
            await self._service.move(state)
            raise RpcError(
                INVALID_PAYLOAD_ATTRIBUTES, f"Invalid payload attributes: {error}"
            ) from None
        status, payload_id = await self._service.forkchoice_updated(state, attributes)
        return ForkchoiceUpdatedResult(
            payload_status=status_to_wire(status),
            payload_id=None if payload_id is None else to_hex(payload_id),
        )

    async def forkchoice_updated_earlier(self, params: Sequence[Any]) -> ForkchoiceUpdatedResult:
        """V1 and V2 move the pointers; their attributes are of earlier forks (cancun.md)."""
        state, given = _forkchoice(params)
        status, _ = await self._service.forkchoice_updated(state)
        if given is not None:
            raise RpcError(UNSUPPORTED_FORK, "Unsupported fork: use engine_forkchoiceUpdatedV3")
        return ForkchoiceUpdatedResult(payload_status=status_to_wire(status))

    async def get_payload_v4(self, params: Sequence[Any]) -> GetPayloadV4Result:
        _expect_params(params, 1)
        return built_to_wire(
            await self._service.get_payload(parse_hex(params[0], 8, what="payloadId"))
        )

    async def get_payload_bodies_by_hash_v1(
        self, params: Sequence[Any]
    ) -> list[ExecutionPayloadBodyV1 | None]:
        _expect_params(params, 1)
        wanted = msgspec.convert(params[0], list[str])
        _expect_at_most(len(wanted))
        hashes = [parse_hex(each, 32, what="block hash") for each in wanted]
        return await self._on_read(lambda: [self._body(each) for each in hashes])

    async def get_payload_bodies_by_range_v1(
        self, params: Sequence[Any]
    ) -> list[ExecutionPayloadBodyV1 | None]:
        """Canonical blocks; none beyond the head (shanghai.md)."""
        _expect_params(params, 2)
        start = parse_quantity(params[0], what="start")
        count = parse_quantity(params[1], what="count")
        if start < 1 or count < 1:
            raise InvalidInput("start and count must be at least 1")
        _expect_at_most(count)
        return await self._on_read(lambda: self._bodies(start, count))

    async def get_client_version_v1(self, params: Sequence[Any]) -> list[ClientVersionV1]:
        _expect_params(params, 1)
        msgspec.convert(params[0], ClientVersionV1)
        return [
            ClientVersionV1(
                code=CLIENT_CODE, name="dst", version=f"v{__version__}", commit=UNKNOWN_COMMIT
            )
        ]

    def _bodies(self, start: int, count: int) -> list[ExecutionPayloadBodyV1 | None]:
        end = min(start + count - 1, self._chain.heads.head.number)
        hashes = (self._chain.canonical_hash(number) for number in range(start, end + 1))
        return [None if each is None else self._body(each) for each in hashes]

    def _body(self, block_hash: bytes) -> ExecutionPayloadBodyV1 | None:
        if self._chain.header(block_hash) is None:
            return None
        body = self._chain.body(block_hash)
        return ExecutionPayloadBodyV1(
            transactions=[to_hex(each) for each in body.transactions],
            withdrawals=[withdrawal_to_wire(each) for each in body.payload_withdrawals()],
        )

    async def _on_read(self, run: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._read, run)


def _unsupported(name: str) -> Callable[[Sequence[Any]], Awaitable[object]]:
    async def method(params: Sequence[Any]) -> object:
        raise RpcError(UNSUPPORTED_FORK, f"Unsupported fork: {name} is of a fork before Prague")

    return method


def _forkchoice(params: Sequence[Any]) -> tuple[ForkchoiceState, object]:
    """The state and the attributes as they came. Raises: InvalidInput, msgspec.ValidationError."""
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
    return state, params[1]


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


def _expect_at_most(count: int) -> None:
    if count > MAX_BODIES:
        raise RpcError(TOO_LARGE_REQUEST, f"Too large request: at most {MAX_BODIES} bodies")
