"""Blocks, receipts and logs as JSON-RPC shows them; pure functions over what the chain stores."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dst.apis.eth import show_transaction
from dst.execution.block_rlp import encode_block
from dst.execution.chain import Chain
from dst.execution.header import EMPTY_OMMERS_HASH, Header
from dst.execution.receipts import Log, Receipt
from dst.execution.store import Body
from dst.spec.primitives import Hash32, to_hex
from dst.transactions.decoded import decode_once
from dst.transactions.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """What a receipt and its logs say of their block."""

    header: Header
    hash: Hash32


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockView(_Place):
    body: Body

    def transactions(self) -> list[Transaction]:
        return [decode_once(raw) for raw in self.body.transactions]


def load_block(chain: Chain, block_hash: bytes) -> BlockView | None:
    header = chain.header(block_hash)
    if header is None:
        return None
    return BlockView(header=header, hash=Hash32(block_hash), body=chain.body(block_hash))


def show_block(block: BlockView, *, full: bool) -> dict[str, object]:
    transactions: list[Any] = (
        [
            show_transaction_at(block.header, block.hash, index, each)
            for index, each in enumerate(block.transactions())
        ]
        if full
        else [to_hex(each) for each in block.body.transaction_hashes]
    )
    return {
        **show_whole_header(block.header, block.hash),
        "size": hex(len(block_bytes(block))),
        "transactions": transactions,
        "uncles": [],
        "withdrawals": [
            {
                "index": hex(each.index),
                "validatorIndex": hex(each.validator_index),
                "address": to_hex(each.address),
                "amount": hex(each.amount),
            }
            for each in block.body.payload_withdrawals()
        ],
    }


def block_bytes(block: BlockView) -> bytes:
    body = block.body
    return encode_block(block.header, body.transactions, body.payload_withdrawals())


def show_transaction_at(
    header: Header, block_hash: bytes, index: int, transaction: Transaction
) -> dict[str, object]:
    return show_transaction(
        transaction,
        block_hash=block_hash,
        block_number=header.number,
        block_timestamp=header.timestamp,
        index=index,
        base_fee_per_gas=header.base_fee_per_gas,
    )


def show_pending_block(
    header: Header, offered: Sequence[Transaction], *, full: bool
) -> dict[str, object]:
    """The next block as far as anybody knows it: what it will hold is decided by consensus, not
    here."""
    shown = [show_transaction(each) if full else to_hex(each.hash) for each in offered]
    return {
        **unsealed(show_header(header)),
        "size": "0x0",
        "transactions": shown,
        "uncles": [],
        "withdrawals": [],
    }


def unsealed(header: dict[str, object]) -> dict[str, object]:
    """A pending header: no hash and no nonce, as geth shows it. Its bloom is empty, where geth has
    none: Rust clients take no null there."""
    return {**header, "hash": None, "nonce": None, "logsBloom": to_hex(bytes(256))}


def show_whole_header(header: Header, block_hash: bytes) -> dict[str, object]:
    return {**show_header(header), "hash": to_hex(block_hash)}


def show_header(header: Header) -> dict[str, object]:
    return {
        "number": hex(header.number),
        "parentHash": to_hex(header.parent_hash),
        "sha3Uncles": to_hex(EMPTY_OMMERS_HASH),
        "miner": to_hex(header.fee_recipient),
        "stateRoot": to_hex(header.state_root),
        "transactionsRoot": to_hex(header.transactions_root),
        "receiptsRoot": to_hex(header.receipts_root),
        "logsBloom": to_hex(header.logs_bloom),
        "difficulty": "0x0",
        "gasLimit": hex(header.gas_limit),
        "gasUsed": hex(header.gas_used),
        "timestamp": hex(header.timestamp),
        "extraData": to_hex(header.extra_data),
        "mixHash": to_hex(header.prev_randao),
        "nonce": to_hex(header.nonce),
        "baseFeePerGas": hex(header.base_fee_per_gas),
        "withdrawalsRoot": to_hex(header.withdrawals_root),
        "blobGasUsed": hex(header.blob_gas_used),
        "excessBlobGas": hex(header.excess_blob_gas),
        "parentBeaconBlockRoot": to_hex(header.parent_beacon_block_root),
        "requestsHash": to_hex(header.requests_hash),
    }


def receipt_of(chain: Chain, transaction_hash: bytes) -> dict[str, object] | None:
    """The receipt of a transaction in a canonical block, whatever the block's size; None while it
    is in none."""
    location = chain.location(transaction_hash)
    if location is None:
        return None
    block_hash, index = location
    header, placed = chain.header(block_hash), chain.receipt_at(block_hash, index)
    if header is None or placed is None:
        return None
    block = _Place(header=header, hash=block_hash)
    return _show_receipt(block, index, transaction_hash, placed.receipt, placed.first_log)


def show_receipts(block: BlockView, receipts: Sequence[Receipt]) -> list[dict[str, object]]:
    shown: list[dict[str, object]] = []
    first_log = 0
    hashes = block.body.transaction_hashes
    for index, (each, receipt) in enumerate(zip(hashes, receipts, strict=True)):
        shown.append(_show_receipt(block, index, each, receipt, first_log))
        first_log += len(receipt.logs)
    return shown


def _show_receipt(
    block: _Place, index: int, transaction_hash: bytes, receipt: Receipt, first_log: int
) -> dict[str, object]:
    created = receipt.contract_address
    return {
        "type": hex(receipt.type_id),
        "status": hex(int(receipt.succeeded)),
        "transactionHash": to_hex(transaction_hash),
        "transactionIndex": hex(index),
        "blockHash": to_hex(block.hash),
        "blockNumber": hex(block.header.number),
        "from": to_hex(receipt.sender),
        "to": to_hex(receipt.to) if receipt.to else None,
        "contractAddress": None if created is None else to_hex(created),
        "cumulativeGasUsed": hex(receipt.cumulative_gas_used),
        "gasUsed": hex(receipt.gas_used),
        "effectiveGasPrice": hex(receipt.effective_gas_price),
        "logsBloom": to_hex(receipt.bloom().to_bytes(256, "big")),
        "logs": [
            show_log(block, index, transaction_hash, first_log + offset, log)
            for offset, log in enumerate(receipt.logs)
        ],
    }


def show_log(
    block: _Place,
    index: int,
    transaction_hash: bytes,
    log_index: int,
    log: Log,
    *,
    removed: bool = False,
) -> dict[str, object]:
    return {
        "address": to_hex(log.address),
        "topics": [to_hex(topic) for topic in log.topics],
        "data": to_hex(log.data),
        "blockNumber": hex(block.header.number),
        "blockHash": to_hex(block.hash),
        "blockTimestamp": hex(block.header.timestamp),
        "transactionHash": to_hex(transaction_hash),
        "transactionIndex": hex(index),
        "logIndex": hex(log_index),
        "removed": removed,
    }
