"""The flat base on disk: a block's change applied, and undone.

A record (of a change, or of what undoes one) is msgpack: accounts as (address, packed account or
nothing), slots as (address and slot, value; empty: none), wiped addresses.
"""

from typing import Final

import msgspec

from dst.execution.state.account import pack_account, unpack_account
from dst.execution.state.commit import StateDiff
from dst.runtime.tables import Writer
from dst.spec.rlp import int_to_bytes

ACCOUNTS: Final = "accounts"
SLOTS: Final = "slots"


class _Record(msgspec.Struct, array_like=True, frozen=True):
    accounts: list[tuple[bytes, bytes]]
    slots: list[tuple[bytes, bytes]]
    wiped: list[bytes] = []


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Record).decode


def encode_diff(diff: StateDiff) -> bytes:
    return _encode(_record(diff))


def decode_diff(data: bytes) -> StateDiff:
    record = _decode(data)
    return StateDiff(
        accounts={
            address: unpack_account(packed) if packed else None
            for address, packed in record.accounts
        },
        slots={
            (key[:20], int.from_bytes(key[20:], "big")): int.from_bytes(value, "big")
            for key, value in record.slots
        },
        wiped=frozenset(record.wiped),
    )


def apply_diff(writer: Writer, diff: StateDiff) -> bytes:
    """Move the base over one block; returns the record that undoes it."""
    record = _record(diff)
    wiped = [entry for address in record.wiped for entry in list(writer.scan(SLOTS, address))]
    for key, _ in wiped:
        writer.delete(SLOTS, key)
    accounts = [(key, writer.get(ACCOUNTS, key) or b"") for key, _ in record.accounts]
    slots = [(key, writer.get(SLOTS, key) or b"") for key, _ in record.slots]
    _write(writer, ACCOUNTS, record.accounts)
    _write(writer, SLOTS, record.slots)
    return _encode(_Record(accounts, [*slots, *wiped]))


def undo_block(writer: Writer, record: bytes) -> None:
    """Give the base back what a block took; wiped slots come last and win."""
    undo = _decode(record)
    _write(writer, ACCOUNTS, undo.accounts)
    _write(writer, SLOTS, undo.slots)


def write_base(writer: Writer, diff: StateDiff) -> None:
    """Fill an empty base."""
    record = _record(diff)
    writer.put_sorted(ACCOUNTS, [each for each in record.accounts if each[1]])
    writer.put_sorted(SLOTS, [each for each in record.slots if each[1]])


def _record(diff: StateDiff) -> _Record:
    """In the order of keys, which is the order of pages."""
    return _Record(
        accounts=sorted(
            (address, pack_account(account) if account else b"")
            for address, account in diff.accounts.items()
        ),
        slots=sorted(
            (address + slot.to_bytes(32, "big"), int_to_bytes(value))
            for (address, slot), value in diff.slots.items()
        ),
        wiped=sorted(diff.wiped),
    )


def _write(writer: Writer, table: str, entries: list[tuple[bytes, bytes]]) -> None:
    """Nothing as a value deletes."""
    for key, value in entries:
        if value:
            writer.put(table, key, value)
        else:
            writer.delete(table, key)
