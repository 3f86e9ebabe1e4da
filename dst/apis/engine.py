"""The Engine API: wire forms, JWT, and the client the rollup node drives its execution layer with.

Standard Prague methods (execution-apis, engine/prague.md), bodies and client version, and nothing
else; the one extension is OP's: payload attributes may carry `transactions` and `noTxPool`.
Values inside the program are bytes and ints; hex lives here alone. No decisions: the rules are in
`dst.execution.engine_service`.
"""

import base64
import hashlib
import hmac
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import aiohttp
import msgspec

from dst.runtime.files import read_secret
from dst.spec.beacon import ExecutionPayload, Withdrawal
from dst.spec.errors import BadConfig, InvalidInput, Unavailable
from dst.spec.primitives import (
    ZERO_ADDRESS,
    Address,
    Gwei,
    Hash32,
    parse_hex,
    to_hex,
)

UNKNOWN_PAYLOAD: Final = -38001
INVALID_FORKCHOICE_STATE: Final = -38002
INVALID_PAYLOAD_ATTRIBUTES: Final = -38003
TOO_LARGE_REQUEST: Final = -38004
UNSUPPORTED_FORK: Final = -38005

CAPABILITIES: Final = (
    "engine_exchangeCapabilities",
    "engine_newPayloadV4",
    "engine_forkchoiceUpdatedV3",
    "engine_getPayloadV4",
    "engine_getPayloadBodiesByHashV1",
    "engine_getPayloadBodiesByRangeV1",
    "engine_getClientVersionV1",
)
MAX_BODIES: Final = 1_024
"""Payload bodies of one request; shanghai.md asks for at least 32."""

JWT_SECRET_BYTES: Final = 32
JWT_MAX_DRIFT_S: Final = 60
"""engine/authentication.md: a token is good for 60 seconds on either side of its `iat`."""

CALL_TIMEOUT_S: Final = 8.0
"""Default bound of one call, the figure of the Engine API for newPayload and forkchoiceUpdated."""


class EngineError(InvalidInput):
    """The execution layer answered with a JSON-RPC error: `code` is one of the -38xxx or -326xx
    family."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"engine error {code}: {message}")
        self.code = code


# ── values ──────────────────────────────────────────────────────────────────────────────────────


class PayloadStatusKind(StrEnum):
    VALID = "VALID"
    INVALID = "INVALID"
    SYNCING = "SYNCING"
    """Parent unknown here, or the validation was aborted: ask again."""
    ACCEPTED = "ACCEPTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadStatus:
    status: PayloadStatusKind
    latest_valid_hash: Hash32 | None = None
    validation_error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkchoiceState:
    """Zero hashes for safe and finalized mean "none yet"."""

    head_block_hash: Hash32
    safe_block_hash: Hash32
    finalized_block_hash: Hash32


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadAttributes:
    """PayloadAttributesV3 plus OP's two fields."""

    timestamp: int
    prev_randao: Hash32
    suggested_fee_recipient: Address = ZERO_ADDRESS
    withdrawals: tuple[Withdrawal, ...] = ()
    parent_beacon_block_root: Hash32
    transactions: tuple[bytes, ...] = ()
    """Raw transactions the payload begins with, in this order; one that is invalid there is left
    out."""
    no_tx_pool: bool = False
    """True: nothing from the pool; the payload is a function of parent and attributes alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkchoiceUpdated:
    payload_status: PayloadStatus
    payload_id: bytes | None = None
    """8 bytes; None when no attributes were given or no build was started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltPayload:
    payload: ExecutionPayload
    block_value: int
    """Priority fees the block pays its fee recipient, in wei."""
    execution_requests: tuple[bytes, ...] = ()
    """EIP-7685: type byte and data, ascending types, empty ones left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockRef:
    """A block as the rollup node needs it after a restart."""

    number: int
    hash: Hash32
    parent_hash: Hash32
    timestamp: int


# ── wire forms: camelCase keys, 0x hex ──────────────────────────────────────────────────────────


class WithdrawalV1(msgspec.Struct, rename="camel", frozen=True):
    index: str
    validator_index: str
    address: str
    amount: str


class ExecutionPayloadV3(msgspec.Struct, rename="camel", frozen=True):
    parent_hash: str
    fee_recipient: str
    state_root: str
    receipts_root: str
    logs_bloom: str
    prev_randao: str
    block_number: str
    gas_limit: str
    gas_used: str
    timestamp: str
    extra_data: str
    base_fee_per_gas: str
    block_hash: str
    transactions: list[str]
    withdrawals: list[WithdrawalV1]
    blob_gas_used: str
    excess_blob_gas: str


class ForkchoiceStateV1(msgspec.Struct, rename="camel", frozen=True):
    head_block_hash: str
    safe_block_hash: str
    finalized_block_hash: str


class PayloadAttributesV3(msgspec.Struct, rename="camel", frozen=True, omit_defaults=True):
    timestamp: str
    prev_randao: str
    suggested_fee_recipient: str
    withdrawals: list[WithdrawalV1]
    parent_beacon_block_root: str
    transactions: list[str] | None = None
    no_tx_pool: bool | None = msgspec.field(default=None, name="noTxPool")


class PayloadStatusV1(msgspec.Struct, rename="camel", frozen=True):
    status: PayloadStatusKind
    latest_valid_hash: str | None = None
    validation_error: str | None = None


class ForkchoiceUpdatedResult(msgspec.Struct, rename="camel", frozen=True):
    payload_status: PayloadStatusV1
    payload_id: str | None = None


class BlobsBundleV1(msgspec.Struct, rename="camel", frozen=True):
    """Always empty: blob transactions are refused everywhere."""

    commitments: list[str] = []
    proofs: list[str] = []
    blobs: list[str] = []


class GetPayloadV4Result(msgspec.Struct, rename="camel", frozen=True):
    execution_payload: ExecutionPayloadV3
    block_value: str
    blobs_bundle: BlobsBundleV1
    should_override_builder: bool
    execution_requests: list[str]


class ExecutionPayloadBodyV1(msgspec.Struct, frozen=True):
    transactions: list[str]
    withdrawals: list[WithdrawalV1]


class ClientVersionV1(msgspec.Struct, frozen=True):
    """identification.md: a two-letter code, a name, a version, the first four bytes of a commit."""

    code: str
    name: str
    version: str
    commit: str


class _BlockHead(msgspec.Struct, rename="camel", frozen=True):
    number: str
    hash: str
    parent_hash: str
    timestamp: str


class _RpcError(msgspec.Struct, frozen=True):
    code: int
    message: str


class _RpcAnswer(msgspec.Struct, frozen=True):
    id: Any = None
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: _RpcError | None = None


def parse_quantity(text: object, *, what: str = "quantity", bits: int = 64) -> int:
    """Decode a JSON-RPC QUANTITY: 0x, no leading zeros, below 2**bits.

    Raises: InvalidInput, naming `what`.
    """
    if not isinstance(text, str) or not text.startswith("0x") or len(text) < 3:
        raise InvalidInput(f"{what}: expected a 0x-prefixed quantity, got {str(text)[:80]!r}")
    digits = text[2:]
    if digits[0] == "0" and len(digits) > 1:
        raise InvalidInput(f"{what}: quantity with leading zeros: {text[:80]!r}")
    if len(digits) * 4 > bits + 3 or not digits.isalnum():
        raise InvalidInput(f"{what}: not a quantity of {bits} bits: {text[:80]!r}")
    try:
        value = int(digits, 16)
    except ValueError:
        raise InvalidInput(f"{what}: not hex: {text[:80]!r}") from None
    if value >> bits:
        raise InvalidInput(f"{what}: above 2**{bits}: {text[:80]!r}")
    return value


def withdrawal_to_wire(withdrawal: Withdrawal) -> WithdrawalV1:
    return WithdrawalV1(
        index=hex(withdrawal.index),
        validator_index=hex(withdrawal.validator_index),
        address=to_hex(withdrawal.address),
        amount=hex(withdrawal.amount),
    )


def withdrawal_from_wire(wire: WithdrawalV1) -> Withdrawal:
    """Raises: InvalidInput."""
    return Withdrawal(
        index=parse_quantity(wire.index, what="withdrawal index"),
        validator_index=parse_quantity(wire.validator_index, what="withdrawal validatorIndex"),
        address=Address(parse_hex(wire.address, 20, what="withdrawal address")),
        amount=Gwei(parse_quantity(wire.amount, what="withdrawal amount")),
    )


def payload_to_wire(payload: ExecutionPayload) -> ExecutionPayloadV3:
    return ExecutionPayloadV3(
        parent_hash=to_hex(payload.parent_hash),
        fee_recipient=to_hex(payload.fee_recipient),
        state_root=to_hex(payload.state_root),
        receipts_root=to_hex(payload.receipts_root),
        logs_bloom=to_hex(payload.logs_bloom),
        prev_randao=to_hex(payload.prev_randao),
        block_number=hex(payload.block_number),
        gas_limit=hex(payload.gas_limit),
        gas_used=hex(payload.gas_used),
        timestamp=hex(payload.timestamp),
        extra_data=to_hex(payload.extra_data),
        base_fee_per_gas=hex(payload.base_fee_per_gas),
        block_hash=to_hex(payload.block_hash),
        transactions=[to_hex(raw) for raw in payload.transactions],
        withdrawals=[withdrawal_to_wire(each) for each in payload.withdrawals],
        blob_gas_used=hex(payload.blob_gas_used),
        excess_blob_gas=hex(payload.excess_blob_gas),
    )


def payload_from_wire(wire: ExecutionPayloadV3) -> ExecutionPayload:
    """Check shapes and decode. Raises: InvalidInput, naming the field."""
    return ExecutionPayload(
        parent_hash=_hash(wire.parent_hash, "parentHash"),
        fee_recipient=Address(parse_hex(wire.fee_recipient, 20, what="feeRecipient")),
        state_root=_hash(wire.state_root, "stateRoot"),
        receipts_root=_hash(wire.receipts_root, "receiptsRoot"),
        logs_bloom=parse_hex(wire.logs_bloom, 256, what="logsBloom"),
        prev_randao=_hash(wire.prev_randao, "prevRandao"),
        block_number=parse_quantity(wire.block_number, what="blockNumber"),
        gas_limit=parse_quantity(wire.gas_limit, what="gasLimit"),
        gas_used=parse_quantity(wire.gas_used, what="gasUsed"),
        timestamp=parse_quantity(wire.timestamp, what="timestamp"),
        extra_data=_extra_data(wire.extra_data),
        base_fee_per_gas=parse_quantity(wire.base_fee_per_gas, what="baseFeePerGas", bits=256),
        block_hash=_hash(wire.block_hash, "blockHash"),
        transactions=tuple(parse_hex(raw, what="transaction") for raw in wire.transactions),
        withdrawals=tuple(withdrawal_from_wire(each) for each in wire.withdrawals),
        blob_gas_used=parse_quantity(wire.blob_gas_used, what="blobGasUsed"),
        excess_blob_gas=parse_quantity(wire.excess_blob_gas, what="excessBlobGas"),
    )


def attributes_to_wire(attributes: PayloadAttributes) -> PayloadAttributesV3:
    """OP's two fields appear only when used, so that a stock execution client takes the rest."""
    return PayloadAttributesV3(
        timestamp=hex(attributes.timestamp),
        prev_randao=to_hex(attributes.prev_randao),
        suggested_fee_recipient=to_hex(attributes.suggested_fee_recipient),
        withdrawals=[withdrawal_to_wire(each) for each in attributes.withdrawals],
        parent_beacon_block_root=to_hex(attributes.parent_beacon_block_root),
        transactions=[to_hex(raw) for raw in attributes.transactions] or None,
        no_tx_pool=attributes.no_tx_pool or None,
    )


def attributes_from_wire(wire: PayloadAttributesV3) -> PayloadAttributes:
    """Raises: InvalidInput."""
    return PayloadAttributes(
        timestamp=parse_quantity(wire.timestamp, what="timestamp"),
        prev_randao=_hash(wire.prev_randao, "prevRandao"),
        suggested_fee_recipient=Address(
            parse_hex(wire.suggested_fee_recipient, 20, what="suggestedFeeRecipient")
        ),
        withdrawals=tuple(withdrawal_from_wire(each) for each in wire.withdrawals),
        parent_beacon_block_root=_hash(wire.parent_beacon_block_root, "parentBeaconBlockRoot"),
        transactions=tuple(parse_hex(raw, what="transaction") for raw in wire.transactions or ()),
        no_tx_pool=bool(wire.no_tx_pool),
    )


def status_to_wire(status: PayloadStatus) -> PayloadStatusV1:
    return PayloadStatusV1(
        status=status.status,
        latest_valid_hash=None
        if status.latest_valid_hash is None
        else to_hex(status.latest_valid_hash),
        validation_error=status.validation_error,
    )


def status_from_wire(wire: PayloadStatusV1) -> PayloadStatus:
    return PayloadStatus(
        status=wire.status,
        latest_valid_hash=None
        if wire.latest_valid_hash is None
        else _hash(wire.latest_valid_hash, "latestValidHash"),
        validation_error=wire.validation_error,
    )


def built_to_wire(built: BuiltPayload) -> GetPayloadV4Result:
    return GetPayloadV4Result(
        execution_payload=payload_to_wire(built.payload),
        block_value=hex(built.block_value),
        blobs_bundle=BlobsBundleV1(),
        should_override_builder=False,
        execution_requests=[to_hex(each) for each in built.execution_requests],
    )


def _hash(text: object, what: str) -> Hash32:
    return Hash32(parse_hex(text, 32, what=what))


def _extra_data(text: object) -> bytes:
    data = parse_hex(text, what="extraData")
    if len(data) > 32:
        raise InvalidInput(f"extraData: at most 32 bytes, got {len(data)}")
    return data


# ── JWT (RFC 7519, HS256 only) ──────────────────────────────────────────────────────────────────

_JWT_HEADER: Final = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=")


def load_jwt_secret(path: Path, *, what: str = "JWT secret") -> bytes:
    """Read a 32-byte hex secret (with or without 0x). Raises: BadConfig."""
    text = read_secret(path, what=what).decode("ascii", "replace").strip()
    try:
        secret = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raise BadConfig(f"{what} {path}: not hex") from None
    if len(secret) != JWT_SECRET_BYTES:
        raise BadConfig(f"{what} {path}: expected 32 bytes, got {len(secret)}")
    return secret


def make_jwt(secret: bytes, now: float) -> str:
    """A token issued at `now` (unix seconds)."""
    claims = base64.urlsafe_b64encode(b'{"iat":%d}' % int(now)).rstrip(b"=")
    signed = _JWT_HEADER + b"." + claims
    return (signed + b"." + _sign(secret, signed)).decode()


def check_jwt(secret: bytes, authorization: str | None, now: float) -> str | None:
    """Why this `Authorization` header is refused, or None when it is good.

    The words never tell what the signature should have been.
    """
    if not authorization or not authorization.startswith("Bearer "):
        return "missing token: send Authorization: Bearer <JWT>"
    parts = authorization.removeprefix("Bearer ").strip().encode("ascii", "replace").split(b".")
    if len(parts) != 3:
        return "token is not a JWT"
    if not hmac.compare_digest(_sign(secret, parts[0] + b"." + parts[1]), parts[2]):
        return "token signature does not match: the two sides hold different JWT secrets"
    try:
        header = msgspec.json.decode(_unbase64(parts[0]), type=_JwtHeader)
        claims = msgspec.json.decode(_unbase64(parts[1]), type=_JwtClaims)
    except (msgspec.DecodeError, ValueError):
        return "token is malformed or has no integer iat claim"
    if header.alg != "HS256":
        return "token must use HS256"
    if abs(now - claims.iat) > JWT_MAX_DRIFT_S:
        return f"token is more than {JWT_MAX_DRIFT_S} s off this node's time: check the clocks"
    return None


class _JwtHeader(msgspec.Struct):
    alg: str


class _JwtClaims(msgspec.Struct):
    iat: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    """Seconds; the bound keeps it a number that a float clock can be compared with."""


def _sign(secret: bytes, data: bytes) -> bytes:
    digest = hmac.new(secret, data, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=")


def _unbase64(data: bytes) -> bytes:
    return base64.urlsafe_b64decode(data + b"=" * (-len(data) % 4))


# ── client ──────────────────────────────────────────────────────────────────────────────────────


class EngineClient:
    """Drives one execution layer. Cancelling a call closes its connection, which aborts a
    validation there.

    Raises (every call): EngineError for a JSON-RPC error; Unavailable when it cannot be reached or
    does not answer in `timeout` seconds; BadConfig when it refuses our JWT.
    """

    def __init__(
        self, url: str, jwt_secret: bytes, session: aiohttp.ClientSession | None = None
    ) -> None:
        self._url, self._secret = url, jwt_secret
        self._session, self._owns_session = session, session is None
        self._next_id = 0

    async def close(self) -> None:
        if self._session is not None and self._owns_session:
            await self._session.close()

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
            hash=_hash(wire.hash, "hash"),
            parent_hash=_hash(wire.parent_hash, "parentHash"),
            timestamp=parse_quantity(wire.timestamp),
        )

    async def call(
        self, method: str, params: Sequence[Any], kind: Any, *, timeout: float | None
    ) -> Any:
        """Any JSON-RPC call, its result decoded as `kind` (a type msgspec knows)."""
        self._next_id += 1
        request = {"jsonrpc": "2.0", "id": self._next_id, "method": method, "params": params}
        body = await self._post(msgspec.json.encode(request), timeout)
        try:
            answer = msgspec.json.decode(body, type=_RpcAnswer)
            if answer.error is not None:
                raise EngineError(answer.error.code, answer.error.message)
            return msgspec.json.decode(answer.result, type=kind)
        except msgspec.DecodeError as error:
            raise Unavailable(
                f"engine {self._url}: {method}: unreadable answer: {error}"
            ) from error

    async def _post(self, body: bytes, timeout: float | None) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        headers = {
            "Authorization": f"Bearer {make_jwt(self._secret, time.time())}",
            "Content-Type": "application/json",
        }
        try:
            async with self._session.post(
                self._url,
                data=body,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=timeout, sock_connect=timeout),
            ) as response:
                answer = await response.read()
                if response.status == 401:
                    reason = answer.decode(errors="replace")[:200]
                    raise BadConfig(f"engine {self._url} refused our JWT: {reason}")
                if response.status != 200:
                    raise Unavailable(f"engine {self._url}: HTTP {response.status}")
                return answer
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unavailable(
                f"engine {self._url}: {type(error).__name__}: {str(error)[:200]}"
            ) from error
