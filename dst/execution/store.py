"""Blocks, state and indices on disk. One write holds a block with all that belongs to it, another
moves the pointers with the indices and the flat base, so a kill leaves the old chain or the new.

Tables (keys; numbers and versions are big-endian, so that neighbours in time are neighbours in the
file):
    meta          format, genesis, pointers, base, versions, pruned
    blocks        hash -> version, header             siblings   number, hash -> version
    bodies        version                             receipts   version
    numbers       number -> canonical hash            transactions   hash -> block hash, index
    states        root, block hash -> version of the root's node; there while the state is
    nodes, stale  see `state.nodes`; version -> keys  codes      hash; never deleted
    accounts, slots   the flat base                   diffs, undo    version; number (`state.flat`)
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from dst.execution.block_format import (
    Body,
    PlacedReceipt,
    decode_body,
    decode_receipt_at,
    decode_receipts,
    decode_transaction_at,
    encode_body,
    encode_receipts,
)
from dst.execution.flat_store import apply_diff, encode_diff, undo_block, write_base
from dst.execution.header import Header, bloom_of, decode_header
from dst.execution.receipts import Receipt
from dst.execution.state.account import Account, unpack_account
from dst.execution.state.commit import StateCommit, StateDiff
from dst.execution.state.flat import Position
from dst.execution.state.nodes import Ref
from dst.runtime.tables import Tables, Writer
from dst.spec.errors import BadConfig
from dst.spec.primitives import Hash32

__all__ = ["BlockStore", "Body", "PlacedReceipt", "Pointers", "open_store"]

FORMAT: Final = b"3"
"""1 was SQLite, content-addressed nodes, a blob of receipts a block. The receipts of 2 did not name
sender and recipient."""
FORMAT_1_FILE: Final = "chain.sqlite"
STORE_FOLDER: Final = "chain"
TABLES: Final = (
    "meta blocks siblings bodies receipts numbers transactions states nodes stale codes accounts "
    "slots diffs undo"
).split()

_FORMAT_KEY: Final = b"format"
_GENESIS_KEY: Final = b"genesis"
_POINTERS_KEY: Final = b"pointers"
_BASE_KEY: Final = b"base"
_VERSIONS_KEY: Final = b"versions"
_PRUNED_KEY: Final = b"pruned"


class Pointers(msgspec.Struct, array_like=True, frozen=True):
    """Zero hashes: none yet."""

    head: bytes
    safe: bytes = bytes(32)
    finalized: bytes = bytes(32)


def open_store(data_dir: Path, *, read_only: bool = False) -> "BlockStore":
    """The store in a data directory. Raises: BadConfig when it is in use or of another format."""
    if (data_dir / FORMAT_1_FILE).exists():
        raise BadConfig(
            f"{data_dir} holds {FORMAT_1_FILE}, the store of format 1; this version writes format "
            f"{FORMAT.decode()}: use an empty data_dir (blocks come again from the other operators)"
        )
    folder = data_dir / STORE_FOLDER
    if read_only and not folder.exists():
        raise BadConfig(f"{data_dir} holds no chain")
    return BlockStore(Tables(folder, TABLES, read_only=read_only))


class BlockStore:
    """Any thread reads; one writes."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self._decode_pointers = msgspec.msgpack.Decoder(Pointers).decode

    def open(self, genesis: Header, state: StateCommit) -> Pointers:
        """Write the genesis block into an empty store; return the pointers of a used one.

        Raises: BadConfig when the store is of another chain or format.
        """
        stored, written_as = self._meta(_GENESIS_KEY), self._meta(_FORMAT_KEY)
        if written_as not in (None, FORMAT):
            raise BadConfig(
                f"the data directory has format {written_as.decode(errors='replace')}, this "
                f"version reads format {FORMAT.decode()}: use an empty data_dir"
            )
        if stored is None:
            self.write_genesis(genesis, state)
        elif stored != genesis.hash:
            raise BadConfig(
                f"the data directory belongs to a chain with genesis 0x{stored.hex()}, "
                f"the genesis file makes 0x{genesis.hash.hex()}: use another data_dir"
            )
        return self.pointers()

    def waits_for(self) -> str | None:
        """For a person; None while the disk takes writes."""
        return self.tables.waits_for()

    def close(self) -> None:
        self.tables.close()

    # blocks

    def header(self, block_hash: bytes) -> Header | None:
        data = self.tables.get("blocks", block_hash)
        return None if data is None else decode_header(data[4:])

    def bloom(self, block_hash: bytes) -> int | None:
        """Of the logs of a block, at a tenth of the price of its header."""
        return self.tables.view("blocks", block_hash, lambda data: bloom_of(data[4:]))

    def body(self, block_hash: bytes) -> Body:
        body = self.tables.view("bodies", self._version_of(block_hash), decode_body)
        assert body is not None, f"store lacks the body of 0x{block_hash.hex()}"
        return body

    def transaction_at(self, block_hash: bytes, index: int) -> bytes | None:
        return self.tables.view(
            "bodies", self._version_of(block_hash), lambda data: decode_transaction_at(data, index)
        )

    def receipts(self, block_hash: bytes) -> tuple[Receipt, ...]:
        receipts = self.tables.view("receipts", self._version_of(block_hash), decode_receipts)
        assert receipts is not None, f"store lacks the receipts of 0x{block_hash.hex()}"
        return receipts

    def receipt_at(self, block_hash: bytes, index: int) -> PlacedReceipt | None:
        return self.tables.view(
            "receipts", self._version_of(block_hash), lambda data: decode_receipt_at(data, index)
        )

    def canonical_hash(self, number: int) -> Hash32 | None:
        data = self.tables.get("numbers", number_key(number))
        return None if data is None else Hash32(data)

    def location(self, transaction_hash: bytes) -> tuple[Hash32, int] | None:
        """(block hash, index) of a transaction on the canonical chain."""
        data = self.tables.get("transactions", transaction_hash)
        if data is None:
            return None
        return Hash32(data[:32]), int.from_bytes(data[32:], "big")

    def pointers(self) -> Pointers:
        data = self._meta(_POINTERS_KEY)
        assert data is not None, "the store was opened"
        return self._decode_pointers(data)

    # state

    def node(self, key: bytes) -> bytes | None:
        return self.tables.get("nodes", key)

    def code(self, code_hash: bytes) -> bytes:
        code = self.tables.get("codes", code_hash)
        assert code is not None, f"store lacks code 0x{code_hash.hex()}"
        return code

    def states(self, root: bytes) -> list[tuple[bytes, Ref]]:
        """(block hash, reference to the root) of the blocks whose state this is and is kept."""
        return [
            (key[32:], Ref(Hash32(root), int.from_bytes(value, "big")))
            for key, value in self.tables.scan("states", root)
        ]

    def state_of(self, block_hash: bytes, root: bytes) -> Ref | None:
        """None when the block's state is not kept."""
        data = self.tables.get("states", root + block_hash)
        return None if data is None else Ref(Hash32(root), int.from_bytes(data, "big"))

    def account(self, address: bytes) -> Account | None:
        """At the flat base."""
        data = self.tables.get("accounts", address)
        return None if data is None else unpack_account(data)

    def slot(self, address: bytes, slot: int) -> int:
        """At the flat base."""
        data = self.tables.get("slots", address + slot.to_bytes(32, "big"))
        return 0 if data is None else int.from_bytes(data, "big")

    def diff(self, block_hash: bytes) -> bytes | None:
        """What the block changed, encoded (`flat_store`); None when it is too old."""
        return self.tables.get("diffs", self._version_of(block_hash))

    def base(self) -> Position:
        data = self._meta(_BASE_KEY)
        assert data is not None, "the store was opened"
        return Position(data[8:], int.from_bytes(data[:8], "big"))

    def can_undo(self, number: int) -> bool:
        """Whether the base can go back over the canonical block of that number."""
        return self.tables.get("undo", number_key(number)) is not None

    def next_version(self) -> int:
        return int.from_bytes(self._meta(_VERSIONS_KEY) or b"", "big") + 1

    def oldest_state(self) -> int:
        """Number of the oldest canonical block whose state is kept."""
        return int.from_bytes(self._meta(_PRUNED_KEY) or b"", "big")

    # writes; all raise StoreUnavailable and then changed nothing

    def put_block(
        self, header: Header, body: Body, receipts: Sequence[Receipt], state: StateCommit
    ) -> None:
        """Write one executed block with its state, whole or not at all."""
        with self.tables.write("block") as writer:
            _put_block(writer, header, body, receipts, state)

    def set_canonical(
        self, added: Iterable[tuple[int, bytes]], removed: Iterable[tuple[int, bytes]], to: Pointers
    ) -> None:
        """Move the pointers and the indices with them: `removed` blocks out, `added` in (number,
        hash). The base goes back with them where it stands on a removed block."""
        removed = list(removed)
        with self.tables.write("head") as writer:
            if removed:
                _turn_back(writer, self.base(), removed[0][0] - 1)
            for number, block_hash in removed:
                writer.delete("numbers", number_key(number))
                for each in self.body(block_hash).transaction_hashes:
                    writer.delete("transactions", each)
            for number, block_hash in added:
                writer.put("numbers", number_key(number), block_hash)
                writer.put_sorted("transactions", self._locations(block_hash))
            writer.put("meta", _POINTERS_KEY, msgspec.msgpack.encode(to))

    def advance_base(self, blocks: Sequence[tuple[Position, StateDiff]]) -> None:
        """Move the flat base over the next canonical blocks, oldest first."""
        with self.tables.write("base") as writer:
            for position, diff in blocks:
                writer.put("undo", number_key(position.number), apply_diff(writer, diff))
                _put_base(writer, position)

    def write_genesis(self, genesis: Header, state: StateCommit) -> None:
        """Block 0, its state and the pointers to it."""
        position = Position(genesis.hash, 0)
        with self.tables.write() as writer:
            _put_block(writer, genesis, Body((), (), (), (), ()), (), state)
            write_base(writer, state.diff)
            _put_base(writer, position)
            writer.delete("diffs", version_key(state.version))
            writer.put("numbers", number_key(0), genesis.hash)
            writer.put("meta", _FORMAT_KEY, FORMAT)
            writer.put("meta", _GENESIS_KEY, genesis.hash)
            writer.put("meta", _POINTERS_KEY, msgspec.msgpack.encode(Pointers(genesis.hash)))

    def _locations(self, block_hash: bytes) -> list[tuple[bytes, bytes]]:
        return sorted(
            (each, block_hash + index.to_bytes(4, "big"))
            for index, each in enumerate(self.body(block_hash).transaction_hashes)
        )

    def _version_of(self, block_hash: bytes) -> bytes:
        version = self.tables.view("blocks", block_hash, lambda data: bytes(data[:4]))
        assert version is not None, f"store lacks block 0x{block_hash.hex()}"
        return version

    def _meta(self, key: bytes) -> bytes | None:
        return self.tables.get("meta", key)


def number_key(number: int) -> bytes:
    return number.to_bytes(8, "big")


def version_key(version: int) -> bytes:
    return version.to_bytes(4, "big")


def put_oldest_state(writer: Writer, number: int) -> None:
    writer.put("meta", _PRUNED_KEY, number_key(number))


def _put_block(
    writer: Writer, header: Header, body: Body, receipts: Sequence[Receipt], state: StateCommit
) -> None:
    block_hash, version = header.hash, version_key(state.version)
    writer.put("blocks", block_hash, version + header.encode())
    writer.put("siblings", number_key(header.number) + block_hash, version)
    writer.put_sorted("bodies", [(version, encode_body(body))])
    writer.put_sorted("receipts", [(version, encode_receipts(receipts))])
    writer.put("states", state.root + block_hash, version_key(state.root_version))
    writer.put_sorted("nodes", sorted(state.nodes.items()))
    writer.put_sorted("stale", [(version, msgspec.msgpack.encode(state.stale))])
    writer.put_sorted("diffs", [(version, encode_diff(state.diff))])
    for code_hash, code in state.codes.items():
        writer.put("codes", code_hash, code)
    used = int.from_bytes(writer.get("meta", _VERSIONS_KEY) or b"", "big")
    writer.put("meta", _VERSIONS_KEY, version_key(max(used, state.version)))


def _put_base(writer: Writer, position: Position) -> None:
    writer.put("meta", _BASE_KEY, number_key(position.number) + position.hash)


def _turn_back(writer: Writer, base: Position, to: int) -> None:
    """Undo the base's blocks above number `to`. The caller has checked that they can be."""
    for number in range(base.number, to, -1):
        undo = writer.get("undo", number_key(number))
        assert undo is not None, f"no undo record of block {number}"
        undo_block(writer, undo)
        writer.delete("undo", number_key(number))
    if to < base.number:
        block_hash = writer.get("numbers", number_key(to))
        assert block_hash is not None, f"no canonical block {to}"
        _put_base(writer, Position(block_hash, to))
