"""Whole blocks as RLP, one after the other in a file: what geth exports and imports.

    block = [header, [transaction ...], [ommer ...], [withdrawal ...]]
A legacy transaction is a list in place, a typed one the string of its EIP-2718 bytes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final

from dst.execution.header import (
    EMPTY_OMMERS_HASH,
    Header,
    decode_header,
    encode_withdrawal,
    withdrawals_root,
)
from dst.execution.state.trie import ordered_root
from dst.spec import rlp
from dst.spec.beacon import Withdrawal
from dst.spec.errors import InvalidInput
from dst.spec.primitives import Address, Gwei

MAX_BLOCK_BYTES: Final = 32 * 2**20
"""More than any gas limit in use allows; a longer item is not a block."""
_MAX_PREFIX: Final = 9
_LIST: Final = 0xC0


@dataclass(frozen=True, slots=True, kw_only=True)
class RawBlock:
    header: Header
    transactions: tuple[bytes, ...]
    withdrawals: tuple[Withdrawal, ...]


def encode_block(
    header: Header, transactions: Sequence[bytes], withdrawals: Sequence[Withdrawal]
) -> bytes:
    return rlp.encode_list(
        header.encode(),
        rlp.encode_list(
            *[raw if raw[0] >= _LIST else rlp.encode_bytes(raw) for raw in transactions]
        ),
        rlp.encode_list(),
        rlp.encode_list(*[encode_withdrawal(each) for each in withdrawals]),
    )


def decode_block(data: bytes) -> RawBlock:
    """A block whose parts are those that its header names. Raises: InvalidInput."""
    header, transactions, ommers, withdrawals = rlp.to_list(rlp.decode(data), 4, what="block")
    if ommers != []:
        raise InvalidInput("block: has ommers: this chain never had proof of work")
    block = RawBlock(
        header=decode_header(rlp.encode(header)),
        transactions=tuple(
            rlp.encode(each) if isinstance(each, list) else each
            for each in rlp.to_list(transactions, what="transactions")
        ),
        withdrawals=tuple(
            _withdrawal(each) for each in rlp.to_list(withdrawals, what="withdrawals")
        ),
    )
    fault = _fault(block)
    if fault is not None:
        raise InvalidInput(f"block {block.header.number}: {fault}")
    return block


def read_blocks(file: BinaryIO) -> Iterator[bytes]:
    """The items of a file, one in memory at a time. Raises: InvalidInput naming the offset."""
    offset = 0
    while prefix := file.read(_MAX_PREFIX):
        length = _item_length(prefix, offset)
        data = prefix[:length] + file.read(max(0, length - len(prefix)))
        if len(data) < length:
            raise InvalidInput(f"offset {offset}: the file ends inside a block")
        offset += length
        file.seek(offset)
        yield data


def _item_length(prefix: bytes, offset: int) -> int:
    first = prefix[0]
    if first < _LIST:
        raise InvalidInput(f"offset {offset}: not a block: expected an RLP list")
    if first < 0xF8:
        return 1 + first - _LIST
    size = first - 0xF7
    length = 1 + size + int.from_bytes(prefix[1 : 1 + size], "big")
    if length > MAX_BLOCK_BYTES:
        raise InvalidInput(f"offset {offset}: a block of {length} bytes is too long")
    return length


def _withdrawal(item: rlp.Item) -> Withdrawal:
    index, validator, address, amount = rlp.to_list(item, 4, what="withdrawal")
    return Withdrawal(
        index=rlp.to_int(index, bits=64, what="index"),
        validator_index=rlp.to_int(validator, bits=64, what="validator index"),
        address=Address(rlp.to_bytes(address, 20, what="address")),
        amount=Gwei(rlp.to_int(amount, bits=64, what="amount")),
    )


def _fault(block: RawBlock) -> str | None:
    """Why header and parts cannot be one block of this chain; the rest is up to execution."""
    header = block.header
    if header.transactions_root != ordered_root(block.transactions):
        return "transactions root differs from the header's"
    if header.withdrawals_root != withdrawals_root(block.withdrawals):
        return "withdrawals root differs from the header's"
    if header.ommers_hash != EMPTY_OMMERS_HASH or header.difficulty or any(header.nonce):
        return "ommers hash, difficulty and nonce must be those of a block without proof of work"
    return None
