"""The Engine API in JSON: camelCase keys, 0x hex, and the way from there to values and back.

Source: execution-apis, engine/prague.md and what it builds on.
"""

import msgspec

from dst.apis.engine import BuiltPayload, PayloadAttributes, PayloadStatus, PayloadStatusKind
from dst.apis.quantity import parse_quantity
from dst.spec.beacon import ExecutionPayload, Withdrawal
from dst.spec.errors import InvalidInput
from dst.spec.primitives import Address, Gwei, Hash32, parse_hex, to_hex


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
