"""How a block's body and receipts lie in the store: one value each, with a table of offsets in
front, so that one transaction or receipt is found without reading the others.

    body      count · end of each transaction · hash of each · transactions · withdrawals, requests,
              addresses touched
    receipts  count · (end, index of the first log) of each · receipts
Counts, ends and indices are 4 bytes, big-endian; ends count from the first byte after the tables.
"""

from collections.abc import Sequence
from struct import Struct
from typing import Final, NamedTuple

import msgspec

from dst.execution.receipts import Receipt
from dst.spec.beacon import Withdrawal
from dst.spec.primitives import Address, Gwei

_COUNT: Final = Struct(">I")
_PAIR: Final = Struct(">II")
_HASH_BYTES: Final = 32


class Body(msgspec.Struct, array_like=True, frozen=True):
    """A block but for its header: raw transactions and their hashes, withdrawals as (index,
    validator, address, gwei), EIP-7685 requests."""

    transactions: tuple[bytes, ...]
    transaction_hashes: tuple[bytes, ...]
    withdrawals: tuple[tuple[int, int, bytes, int], ...]
    requests: tuple[bytes, ...]
    touched: tuple[bytes, ...]
    """By transaction: addresses that it met on its way, one behind the other."""

    def payload_withdrawals(self) -> tuple[Withdrawal, ...]:
        return tuple(
            Withdrawal(
                index=index, validator_index=validator, address=Address(address), amount=Gwei(gwei)
            )
            for index, validator, address, gwei in self.withdrawals
        )


class _Rest(msgspec.Struct, array_like=True, frozen=True):
    """What of a body is read only whole."""

    withdrawals: tuple[tuple[int, int, bytes, int], ...]
    requests: tuple[bytes, ...]
    touched: tuple[bytes, ...]


class PlacedReceipt(NamedTuple):
    """A receipt and what its view needs of the ones before it."""

    receipt: Receipt
    first_log: int
    """Index in the block of its first log."""


_decode_rest: Final = msgspec.msgpack.Decoder(_Rest).decode
_decode_receipt: Final = msgspec.msgpack.Decoder(Receipt).decode
_encode: Final = msgspec.msgpack.Encoder().encode


def encode_body(body: Body) -> bytes:
    ends = _ends(body.transactions)
    return b"".join(
        (
            _COUNT.pack(len(ends)),
            *map(_COUNT.pack, ends),
            *body.transaction_hashes,
            *body.transactions,
            _encode(_Rest(body.withdrawals, body.requests, body.touched)),
        )
    )


def decode_body(data: memoryview) -> Body:
    (count,) = _COUNT.unpack_from(data)
    hashes = _COUNT.size * (1 + count)
    start = hashes + _HASH_BYTES * count
    ends = [start + end for (end,) in _COUNT.iter_unpack(data[_COUNT.size : hashes])]
    rest = _decode_rest(data[ends[-1] if ends else start :])
    return Body(
        transactions=tuple(
            bytes(data[begin:end]) for begin, end in zip([start, *ends], ends, strict=False)
        ),
        transaction_hashes=tuple(
            bytes(data[at : at + _HASH_BYTES]) for at in range(hashes, start, _HASH_BYTES)
        ),
        withdrawals=rest.withdrawals,
        requests=rest.requests,
        touched=rest.touched,
    )


def decode_transaction_at(data: memoryview, index: int) -> bytes | None:
    """The raw transaction at `index`, None when the block has no such."""
    (count,) = _COUNT.unpack_from(data)
    if not 0 <= index < count:
        return None
    start = _COUNT.size * (1 + count) + _HASH_BYTES * count
    begin = _COUNT.unpack_from(data, _COUNT.size * index)[0] if index else 0
    (end,) = _COUNT.unpack_from(data, _COUNT.size * (index + 1))
    return bytes(data[start + begin : start + end])


def encode_receipts(receipts: Sequence[Receipt]) -> bytes:
    encoded = [_encode(each) for each in receipts]
    table: list[bytes] = []
    first_log = 0
    for receipt, end in zip(receipts, _ends(encoded), strict=True):
        table.append(_PAIR.pack(end, first_log))
        first_log += len(receipt.logs)
    return b"".join((_COUNT.pack(len(encoded)), *table, *encoded))


def decode_receipts(data: memoryview) -> tuple[Receipt, ...]:
    (count,) = _COUNT.unpack_from(data)
    start = _COUNT.size + _PAIR.size * count
    ends = [start + end for end, _ in _PAIR.iter_unpack(data[_COUNT.size : start])]
    return tuple(
        _decode_receipt(data[begin:end]) for begin, end in zip([start, *ends], ends, strict=False)
    )


def decode_receipt_at(data: memoryview, index: int) -> PlacedReceipt | None:
    """The receipt at `index`, None when the block has no such."""
    (count,) = _COUNT.unpack_from(data)
    if not 0 <= index < count:
        return None
    start, at = _COUNT.size + _PAIR.size * count, _COUNT.size + _PAIR.size * index
    begin = _PAIR.unpack_from(data, at - _PAIR.size)[0] if index else 0
    end, first_log = _PAIR.unpack_from(data, at)
    return PlacedReceipt(_decode_receipt(data[start + begin : start + end]), first_log)


def _ends(parts: Sequence[bytes]) -> list[int]:
    ends: list[int] = []
    end = 0
    for part in parts:
        end += len(part)
        ends.append(end)
    return ends
