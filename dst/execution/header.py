"""The execution block header (Prague, 21 fields) and the block hash that a payload claims.

Source: execution-specs prague `Header`; EIP-1559, 4399, 4788, 4844, 4895, 7685.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from dst.crypto.keccak import keccak256
from dst.execution.state.trie import EMPTY_ROOT, ordered_root
from dst.spec import rlp
from dst.spec.beacon import ExecutionPayload, Withdrawal
from dst.spec.primitives import ZERO_ADDRESS, ZERO_HASH, Address, Hash32

EMPTY_OMMERS_HASH: Final = keccak256(rlp.encode_list())
EMPTY_REQUESTS_HASH: Final = Hash32(hashlib.sha256(b"").digest())
EMPTY_BLOOM: Final = bytes(256)
INITIAL_BASE_FEE: Final = 1_000_000_000
BASE_FEE_MAX_CHANGE_DENOMINATOR: Final = 8
ELASTICITY_MULTIPLIER: Final = 2
GAS_LIMIT_BOUND_DIVISOR: Final = 1_024
MIN_GAS_LIMIT: Final = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Field order is the encoding's."""

    parent_hash: Hash32 = ZERO_HASH
    ommers_hash: Hash32 = EMPTY_OMMERS_HASH
    fee_recipient: Address = ZERO_ADDRESS
    state_root: Hash32
    transactions_root: Hash32 = EMPTY_ROOT
    receipts_root: Hash32 = EMPTY_ROOT
    logs_bloom: bytes = EMPTY_BLOOM
    difficulty: int = 0
    number: int
    gas_limit: int
    gas_used: int = 0
    timestamp: int
    extra_data: bytes = b""
    prev_randao: Hash32 = ZERO_HASH
    nonce: bytes = bytes(8)
    base_fee_per_gas: int
    withdrawals_root: Hash32 = EMPTY_ROOT
    blob_gas_used: int = 0
    excess_blob_gas: int = 0
    parent_beacon_block_root: Hash32 = ZERO_HASH
    requests_hash: Hash32 = EMPTY_REQUESTS_HASH

    def encode(self) -> bytes:
        values = (getattr(self, name) for name in _FIELD_NAMES)
        return rlp.encode_list(
            *[
                rlp.encode_int(value) if isinstance(value, int) else rlp.encode_bytes(value)
                for value in values
            ]
        )

    @property
    def hash(self) -> Hash32:
        return keccak256(self.encode())


_FIELD_NAMES: Final = tuple(field.name for field in fields(Header))
_INT_FIELDS: Final = frozenset(field.name for field in fields(Header) if field.type is int)


def decode_header(data: bytes) -> Header:
    """Raises: InvalidInput."""
    items = rlp.to_list(rlp.decode(data), len(_FIELD_NAMES), what="header")
    values: dict[str, Any] = {
        name: rlp.to_int(item, what=name) if name in _INT_FIELDS else rlp.to_bytes(item, what=name)
        for name, item in zip(_FIELD_NAMES, items, strict=True)
    }
    return Header(**values)


_BLOOM_AT: Final = 3 + 33 + 33 + 21 + 33 + 33 + 33 + 3
"""In an encoded header: what comes before the bloom filter has a fixed length, the list's and the
filter's own prefixes too."""


def bloom_of(data: bytes | memoryview) -> int:
    """The bloom filter of a header encoded by us, without decoding the rest."""
    return int.from_bytes(data[_BLOOM_AT : _BLOOM_AT + 256], "big")


def header_of_payload(
    payload: ExecutionPayload, parent_beacon_block_root: bytes, requests: Sequence[bytes]
) -> Header:
    """The header a payload stands for; its hash must be the payload's `block_hash`."""
    return Header(
        parent_hash=Hash32(payload.parent_hash),
        fee_recipient=Address(payload.fee_recipient),
        state_root=Hash32(payload.state_root),
        transactions_root=ordered_root(payload.transactions),
        receipts_root=Hash32(payload.receipts_root),
        logs_bloom=payload.logs_bloom,
        number=payload.block_number,
        gas_limit=payload.gas_limit,
        gas_used=payload.gas_used,
        timestamp=payload.timestamp,
        extra_data=payload.extra_data,
        prev_randao=Hash32(payload.prev_randao),
        base_fee_per_gas=payload.base_fee_per_gas,
        withdrawals_root=withdrawals_root(payload.withdrawals),
        blob_gas_used=payload.blob_gas_used,
        excess_blob_gas=payload.excess_blob_gas,
        parent_beacon_block_root=Hash32(parent_beacon_block_root),
        requests_hash=requests_hash(requests),
    )


def payload_of_header(
    header: Header, transactions: Iterable[bytes], withdrawals: Iterable[Withdrawal]
) -> ExecutionPayload:
    return ExecutionPayload(
        parent_hash=header.parent_hash,
        fee_recipient=header.fee_recipient,
        state_root=header.state_root,
        receipts_root=header.receipts_root,
        logs_bloom=header.logs_bloom,
        prev_randao=header.prev_randao,
        block_number=header.number,
        gas_limit=header.gas_limit,
        gas_used=header.gas_used,
        timestamp=header.timestamp,
        extra_data=header.extra_data,
        base_fee_per_gas=header.base_fee_per_gas,
        block_hash=header.hash,
        transactions=tuple(transactions),
        withdrawals=tuple(withdrawals),
        blob_gas_used=header.blob_gas_used,
        excess_blob_gas=header.excess_blob_gas,
    )


def encode_withdrawal(withdrawal: Withdrawal) -> bytes:
    return rlp.encode_list(
        rlp.encode_int(withdrawal.index),
        rlp.encode_int(withdrawal.validator_index),
        rlp.encode_bytes(withdrawal.address),
        rlp.encode_int(withdrawal.amount),
    )


def withdrawals_root(withdrawals: Iterable[Withdrawal]) -> Hash32:
    return ordered_root([encode_withdrawal(each) for each in withdrawals])


def requests_hash(requests: Iterable[bytes]) -> Hash32:
    """EIP-7685; `requests` holds no empty ones."""
    return Hash32(
        hashlib.sha256(b"".join(hashlib.sha256(each).digest() for each in requests)).digest()
    )


def next_base_fee(parent: Header) -> int:
    """EIP-1559."""
    target = parent.gas_limit // ELASTICITY_MULTIPLIER
    base_fee = parent.base_fee_per_gas
    if parent.gas_used == target:
        return base_fee
    change = base_fee * abs(parent.gas_used - target) // target // BASE_FEE_MAX_CHANGE_DENOMINATOR
    return base_fee + max(change, 1) if parent.gas_used > target else base_fee - change


def header_fault(header: Header, parent: Header) -> str | None:
    """Why `header` cannot follow `parent`, judged without execution; None when it can."""
    if header.number != parent.number + 1:
        return f"block number {header.number} does not follow parent's {parent.number}"
    if header.timestamp <= parent.timestamp:
        return f"timestamp {header.timestamp} is not above parent's {parent.timestamp}"
    if abs(header.gas_limit - parent.gas_limit) >= parent.gas_limit // GAS_LIMIT_BOUND_DIVISOR:
        return f"gas limit {header.gas_limit} is too far from parent's {parent.gas_limit}"
    if header.gas_limit < MIN_GAS_LIMIT:
        return f"gas limit {header.gas_limit} below {MIN_GAS_LIMIT}"
    if header.gas_used > header.gas_limit:
        return f"gas used {header.gas_used} above the limit {header.gas_limit}"
    if header.base_fee_per_gas != next_base_fee(parent):
        return f"base fee {header.base_fee_per_gas}, expected {next_base_fee(parent)}"
    if header.blob_gas_used or header.excess_blob_gas:
        return "blob gas must be zero: blob transactions are refused"
    return None
