"""The Engine API: what its methods take and give, as values of this program.

Standard Prague methods (execution-apis, engine/prague.md), bodies and client version, and nothing
else; the one extension is OP's: payload attributes may carry `transactions` and `noTxPool`. The
same in JSON is in `engine_wire`, who asks is `engine_client`, who may ask is `jwt`. No decisions:
the rules are in `dst.execution.engine_service`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from dst.spec.beacon import ExecutionPayload, Withdrawal
from dst.spec.errors import InvalidInput
from dst.spec.primitives import ZERO_ADDRESS, Address, Hash32

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


class EngineError(InvalidInput):
    """The execution layer answered with a JSON-RPC error: `code` is one of the -38xxx or -326xx
    family."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"engine error {code}: {message}")
        self.code = code


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
