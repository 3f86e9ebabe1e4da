"""Blocks, state and indices on disk: one key-value table, one transaction a write.

Trie nodes and codes are content-addressed and never deleted (every state stays readable); a block
is written whole with its state, the three pointers move together with the number and transaction
indices. After a kill the store is at the old block or at the new one.
"""

import threading
from collections.abc import Iterable
from typing import Final

import msgspec

from dst.execution.header import Header, decode_header
from dst.execution.receipts import Receipt
from dst.execution.state.commit import StateCommit
from dst.runtime.kv import KeyValueStore
from dst.spec.beacon import Withdrawal
from dst.spec.errors import BadConfig
from dst.spec.primitives import Address, Gwei, Hash32

FORMAT: Final = b"1"
_FORMAT_KEY: Final = b"format"
_GENESIS_KEY: Final = b"genesis"
_POINTERS_KEY: Final = b"pointers"
_NODE: Final = b"n"
_CODE: Final = b"c"
_HEADER: Final = b"h"
_BODY: Final = b"b"
_RECEIPTS: Final = b"r"
_NUMBER: Final = b"#"
_TRANSACTION: Final = b"t"


class Body(msgspec.Struct, array_like=True, frozen=True):
    """A block but for its header: raw transactions and their hashes, withdrawals as (index,
    validator, address, gwei), EIP-7685 requests."""

    transactions: tuple[bytes, ...]
    transaction_hashes: tuple[bytes, ...]
    withdrawals: tuple[tuple[int, int, bytes, int], ...]
    requests: tuple[bytes, ...]

    def payload_withdrawals(self) -> tuple[Withdrawal, ...]:
        return tuple(
            Withdrawal(
                index=index, validator_index=validator, address=Address(address), amount=Gwei(gwei)
            )
            for index, validator, address, gwei in self.withdrawals
        )


class Pointers(msgspec.Struct, array_like=True, frozen=True):
    """Zero hashes: none yet."""

    head: bytes
    safe: bytes = bytes(32)
    finalized: bytes = bytes(32)


class BlockStore:
    """Safe for threads: one connection behind a lock, held for one read or one write."""

    def __init__(self, kv: KeyValueStore) -> None:
        self._kv, self._lock = kv, threading.Lock()
        self._decode_body = msgspec.msgpack.Decoder(Body).decode
        self._decode_receipts = msgspec.msgpack.Decoder(tuple[Receipt, ...]).decode
        self._decode_pointers = msgspec.msgpack.Decoder(Pointers).decode

    def open(self, genesis: Header, state: StateCommit) -> Pointers:
        """Write the genesis block into an empty store; return the pointers of a used one.

        Raises: BadConfig when the store is of another chain or format.
        """
        stored = self._get(_GENESIS_KEY)
        if stored is None:
            self._write_genesis(genesis, state)
        elif stored != genesis.hash:
            raise BadConfig(
                f"the data directory belongs to a chain with genesis 0x{stored.hex()}, "
                f"the genesis file makes 0x{genesis.hash.hex()}: use another data_dir"
            )
        if self._get(_FORMAT_KEY) != FORMAT:
            raise BadConfig("the data directory has another format: use an empty data_dir")
        return self.pointers()

    def close(self) -> None:
        with self._lock:
            self._kv.close()

    def node(self, node_hash: bytes) -> bytes:
        return self._require(_NODE, node_hash)

    def code(self, code_hash: bytes) -> bytes:
        return self._require(_CODE, code_hash)

    def header(self, block_hash: bytes) -> Header | None:
        data = self._get(_HEADER + block_hash)
        return None if data is None else decode_header(data)

    def body(self, block_hash: bytes) -> Body:
        return self._decode_body(self._require(_BODY, block_hash))

    def receipts(self, block_hash: bytes) -> tuple[Receipt, ...]:
        return self._decode_receipts(self._require(_RECEIPTS, block_hash))

    def canonical_hash(self, number: int) -> Hash32 | None:
        data = self._get(_number_key(number))
        return None if data is None else Hash32(data)

    def location(self, transaction_hash: bytes) -> tuple[Hash32, int] | None:
        """(block hash, index) of a transaction on the canonical chain."""
        data = self._get(_TRANSACTION + transaction_hash)
        if data is None:
            return None
        return Hash32(data[:32]), int.from_bytes(data[32:], "big")

    def pointers(self) -> Pointers:
        data = self._get(_POINTERS_KEY)
        assert data is not None, "the store was opened"
        return self._decode_pointers(data)

    def put_block(
        self,
        header: Header,
        body: Body,
        receipts: tuple[Receipt, ...],
        state: StateCommit,
    ) -> None:
        """Write one executed block with its state, whole or not at all."""
        self._write(_block_entries(header, body, receipts, state))

    def set_canonical(
        self, added: Iterable[tuple[int, bytes]], removed: Iterable[tuple[int, bytes]], to: Pointers
    ) -> None:
        """Move the pointers and the indices with them: `removed` blocks out, `added` in (number,
        hash)."""
        deletes: list[bytes] = []
        for number, block_hash in removed:
            deletes.append(_number_key(number))
            deletes += [_TRANSACTION + each for each in self.body(block_hash).transaction_hashes]
        puts = [(_POINTERS_KEY, msgspec.msgpack.encode(to))]
        for number, block_hash in added:
            puts.append((_number_key(number), block_hash))
            puts += [
                (_TRANSACTION + each, block_hash + index.to_bytes(4, "big"))
                for index, each in enumerate(self.body(block_hash).transaction_hashes)
            ]
        self._write(puts, deletes)

    def _write_genesis(self, genesis: Header, state: StateCommit) -> None:
        body = Body((), (), (), ())
        entries = _block_entries(genesis, body, (), state)
        entries += [
            (_FORMAT_KEY, FORMAT),
            (_GENESIS_KEY, genesis.hash),
            (_number_key(0), genesis.hash),
            (_POINTERS_KEY, msgspec.msgpack.encode(Pointers(genesis.hash))),
        ]
        self._write(entries)

    def _get(self, key: bytes) -> bytes | None:
        with self._lock:
            return self._kv.get(key)

    def _require(self, prefix: bytes, key: bytes) -> bytes:
        data = self._get(prefix + key)
        assert data is not None, f"store lacks {prefix.decode()} 0x{key.hex()}"
        return data

    def _write(self, puts: Iterable[tuple[bytes, bytes]], deletes: Iterable[bytes] = ()) -> None:
        with self._lock:
            self._kv.write(puts, deletes)


def _block_entries(
    header: Header, body: Body, receipts: tuple[Receipt, ...], state: StateCommit
) -> list[tuple[bytes, bytes]]:
    block_hash = header.hash
    return [
        *((_NODE + key, value) for key, value in state.nodes.items()),
        *((_CODE + key, value) for key, value in state.codes.items()),
        (_HEADER + block_hash, header.encode()),
        (_BODY + block_hash, msgspec.msgpack.encode(body)),
        (_RECEIPTS + block_hash, msgspec.msgpack.encode(receipts)),
    ]


def _number_key(number: int) -> bytes:
    return _NUMBER + number.to_bytes(8, "big")
