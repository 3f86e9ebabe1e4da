"""The `eth_` JSON-RPC: request forms decoded into values, and values shown as clients expect them.

Source: execution-apis, `src/eth` and `src/schemas`. No decisions: what a method does is in
`dst.execution.rpc`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeAlias

from dst.apis.fields import a_list, an_object
from dst.apis.quantity import parse_quantity
from dst.spec.errors import InvalidInput
from dst.spec.primitives import Address, Hash32, parse_hex, to_hex
from dst.transactions.transaction import (
    DYNAMIC_FEE_TYPE,
    LEGACY_TYPE,
    SET_CODE_TYPE,
    AccessList,
    Transaction,
)

MAX_TOPICS: Final = 4
MAX_FILTER_CHOICES: Final = 1_000
"""Addresses or topic alternatives in one filter."""


class BlockTag(StrEnum):
    LATEST = "latest"
    SAFE = "safe"
    FINALIZED = "finalized"
    EARLIEST = "earliest"
    PENDING = "pending"


BlockId: TypeAlias = "BlockTag | int | Hash32"
"""A tag, a canonical number, or a hash (EIP-1898)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFilter:
    """Which logs: empty addresses match all; each topic position is None (any) or alternatives."""

    from_block: BlockId = BlockTag.LATEST
    to_block: BlockId = BlockTag.LATEST
    block_hash: Hash32 | None = None
    addresses: frozenset[bytes] = frozenset()
    topics: tuple[frozenset[bytes] | None, ...] = ()


def parse_block_id(value: object) -> BlockId:
    """Raises: InvalidInput."""
    if isinstance(value, dict):
        if "blockHash" in value:
            return Hash32(parse_hex(value["blockHash"], 32, what="blockHash"))
        if "blockNumber" in value:
            return parse_quantity(value["blockNumber"], what="blockNumber")
        raise InvalidInput("block: expected blockHash or blockNumber")
    if isinstance(value, str) and len(value) == 66:
        return Hash32(parse_hex(value, 32, what="block hash"))
    if isinstance(value, str) and value in list(BlockTag):
        return BlockTag(value)
    return parse_quantity(value, what="block number")


def parse_address(value: object, what: str = "address") -> Address:
    return Address(parse_hex(value, 20, what=what))


def parse_hash(value: object, what: str = "hash") -> Hash32:
    return Hash32(parse_hex(value, 32, what=what))


def parse_log_filter(value: object) -> LogFilter:
    """Raises: InvalidInput."""
    fields = an_object(value, "filter")
    block_hash = fields.get("blockHash")
    from_block, to_block = fields.get("fromBlock"), fields.get("toBlock")
    if block_hash is not None and (from_block is not None or to_block is not None):
        raise InvalidInput(
            "cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other"
        )
    topics = fields.get("topics")
    topics = [] if topics is None else topics
    if not isinstance(topics, list) or len(topics) > MAX_TOPICS:
        raise InvalidInput(f"topics: expected a list of at most {MAX_TOPICS}")
    addresses = _choices(fields.get("address"), 20, "address") or frozenset()
    return LogFilter(
        from_block=BlockTag.LATEST if from_block is None else parse_block_id(from_block),
        to_block=BlockTag.LATEST if to_block is None else parse_block_id(to_block),
        block_hash=None if block_hash is None else parse_hash(block_hash, "blockHash"),
        addresses=addresses,
        topics=tuple(_choices(each, 32, "topic") for each in topics),
    )


def parse_bool(value: object, what: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidInput(f"{what}: expected true or false")
    return value


def show_transaction(
    transaction: Transaction,
    *,
    block_hash: bytes | None = None,
    block_number: int | None = None,
    block_timestamp: int | None = None,
    index: int | None = None,
    base_fee_per_gas: int | None = None,
) -> dict[str, object]:
    """Without block fields: a waiting transaction."""
    shown: dict[str, object] = {
        "type": hex(transaction.type_id),
        "hash": to_hex(transaction.hash),
        "from": to_hex(transaction.sender),
        "to": to_hex(transaction.to) if transaction.to else None,
        "nonce": hex(transaction.nonce),
        "gas": hex(transaction.gas),
        "value": hex(transaction.value),
        "input": to_hex(transaction.data),
        "gasPrice": hex(
            transaction.max_fee_per_gas
            if base_fee_per_gas is None
            else transaction.effective_gas_price(base_fee_per_gas)
        ),
        "blockHash": None if block_hash is None else to_hex(block_hash),
        "blockNumber": None if block_number is None else hex(block_number),
        "blockTimestamp": None if block_timestamp is None else hex(block_timestamp),
        "transactionIndex": None if index is None else hex(index),
        "v": hex(transaction.v),
        "r": hex(transaction.r),
        "s": hex(transaction.s),
    }
    if transaction.chain_id is not None:
        shown["chainId"] = hex(transaction.chain_id)
    if transaction.type_id != LEGACY_TYPE:
        shown["yParity"] = hex(transaction.v)
        shown["accessList"] = [
            {"address": to_hex(address), "storageKeys": [show_word(slot) for slot in slots]}
            for address, slots in transaction.access_list
        ]
    if transaction.type_id >= DYNAMIC_FEE_TYPE:
        shown["maxFeePerGas"] = hex(transaction.max_fee_per_gas)
        shown["maxPriorityFeePerGas"] = hex(transaction.max_priority_fee_per_gas)
    if transaction.type_id == SET_CODE_TYPE:
        shown["authorizationList"] = [
            {
                "chainId": hex(each.chain_id),
                "address": to_hex(each.address),
                "nonce": hex(each.nonce),
                "yParity": hex(each.y_parity),
                "r": hex(each.r),
                "s": hex(each.s),
            }
            for each in transaction.authorization_list
        ]
    return shown


def show_word(value: int) -> str:
    """As 32 bytes."""
    return f"0x{value:064x}"


def _choices(value: Any, length: int, what: str) -> frozenset[bytes] | None:
    """One value, a list of alternatives, or None (any)."""
    if value is None:
        return None
    values = value if isinstance(value, list) else [value]
    if len(values) > MAX_FILTER_CHOICES:
        raise InvalidInput(f"{what}: at most {MAX_FILTER_CHOICES} alternatives")
    choices = frozenset(parse_hex(each, length, what=what) for each in values)
    return choices or None


def parse_access_list(value: object) -> AccessList:
    """Raises: InvalidInput."""
    entries = []
    for each in a_list(value, "accessList"):
        entry = an_object(each, "accessList entry")
        keys = a_list(entry.get("storageKeys") or [], "storageKeys")
        slots = tuple(int.from_bytes(parse_hex(key, 32, what="storageKeys"), "big") for key in keys)
        entries.append((parse_address(entry.get("address"), "accessList address"), slots))
    return tuple(entries)
