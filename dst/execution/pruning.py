"""Letting go of old states. Reference-safe by construction: every node has one creator and, along
the canonical chain, one block that replaces it (`state.nodes`).

Moving the boundary from block n-1 to block n, in one write:
- the nodes that canonical block n replaced go: only states older than n had them;
- a branch that left the canonical chain below n goes whole, with the nodes that its blocks wrote:
  only its own descendants refer to them, and they go too;
- the state records of all these go, so that whoever asks is told "pruned" and never meets a hole,
  and with them what moves the flat base over the block, to and fro.
Blocks, receipts and indices stay. The boundary never passes the finalized block: up to there a
reorg may lead back, and it needs the state.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from dst.execution.header import Header
from dst.execution.store import BlockStore, number_key, put_oldest_state
from dst.runtime.tables import Writer
from dst.spec.errors import BadConfig

MIN_HISTORY_BLOCKS: Final = 64
"""The flat base lies 16 blocks behind the head and must never meet the boundary."""
BATCH_BLOCKS: Final = 8
"""Blocks a write prunes: their lists overlap in the upper nodes, which lie side by side."""
MAX_BATCHES: Final = 2
"""Writes a call makes: a long backlog (an archive that becomes a pruned node) is worked off at 16
blocks a block."""
_decode_keys: Final = msgspec.msgpack.Decoder(tuple[bytes, ...]).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Which states stay: the newest `history_blocks`, or all (None: archive)."""

    history_blocks: int | None = None

    def __post_init__(self) -> None:
        if self.history_blocks is not None and self.history_blocks < MIN_HISTORY_BLOCKS:
            raise BadConfig(f"history_blocks: at least {MIN_HISTORY_BLOCKS}")

    def boundary(self, head: int, finalized: int) -> int:
        """The oldest block whose state must stay."""
        if self.history_blocks is None:
            return 0
        return max(0, min(finalized, head - self.history_blocks))


ARCHIVE: Final = Retention()


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneStep:
    oldest_state: int
    nodes: int = 0


def prune(store: BlockStore, boundary: int) -> PruneStep:
    """Work towards `boundary` for a bounded time. Raises: StoreUnavailable."""
    oldest, nodes = store.oldest_state(), 0
    for _ in range(MAX_BATCHES):
        if boundary - oldest < BATCH_BLOCKS:
            break
        oldest += BATCH_BLOCKS
        nodes += _prune_to(store, oldest)
    return PruneStep(oldest_state=oldest, nodes=nodes)


def _prune_to(store: BlockStore, oldest: int) -> int:
    doomed: list[bytes] = []
    with store.tables.write("pruning") as writer:
        for number in range(oldest - BATCH_BLOCKS + 1, oldest + 1):
            doomed += _pass_block(store, writer, number)
        for key in sorted(doomed):
            writer.delete("nodes", key)
        put_oldest_state(writer, oldest)
    return len(doomed)


def _pass_block(store: BlockStore, writer: Writer, number: int) -> list[bytes]:
    """Keys of nodes that nothing needs when block `number` holds the oldest state."""
    canonical = store.canonical_hash(number)
    assert canonical is not None, f"no canonical block {number} below the head"
    doomed: list[bytes] = []
    writer.delete("undo", number_key(number))
    for block_hash, version in _blocks_at(writer, number):
        writer.delete("diffs", version)
        if block_hash == canonical:
            doomed += _stale_nodes(writer, version)
            header = _header(store, block_hash)
            _forget_state(store, writer, header.parent_hash)
        else:
            doomed += _drop_branch(store, writer, block_hash, number)
    return doomed


def _drop_branch(
    store: BlockStore, writer: Writer, block_hash: bytes, number: int
) -> Iterator[bytes]:
    """The nodes that a block off the canonical chain and its descendants wrote."""
    branch = {block_hash}
    while branch:
        for each, version in _blocks_at(writer, number):
            if each in branch:
                _stale_nodes(writer, version)
                _forget_state(store, writer, each)
                yield from [key for key, _ in writer.scan("nodes", version)]
        number += 1
        branch = {
            each
            for each, _ in _blocks_at(writer, number)
            if _header(store, each).parent_hash in branch
        }


def _blocks_at(writer: Writer, number: int) -> list[tuple[bytes, bytes]]:
    """(hash, version key) of all blocks of a number, canonical or not."""
    return [(key[8:], version) for key, version in writer.scan("siblings", number_key(number))]


def _stale_nodes(writer: Writer, version: bytes) -> tuple[bytes, ...]:
    """What a block replaced; the record goes."""
    data = writer.get("stale", version)
    writer.delete("stale", version)
    return () if data is None else _decode_keys(data)


def _forget_state(store: BlockStore, writer: Writer, block_hash: bytes) -> None:
    writer.delete("states", _header(store, block_hash).state_root + block_hash)


def _header(store: BlockStore, block_hash: bytes) -> Header:
    header = store.header(block_hash)
    assert header is not None, f"store lacks block 0x{block_hash.hex()}"
    return header
