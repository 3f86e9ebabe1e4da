"""Chains as files: blocks out and in as RLP, the whole store as a snapshot and back."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from dst.execution.block_rlp import RawBlock, decode_block, encode_block, read_blocks
from dst.execution.chain import Chain, UnknownBlock
from dst.execution.config import ExecutionConfig, retention_of
from dst.execution.environment import InvalidBlock
from dst.execution.evm.messages import EVM_STACK_BYTES
from dst.execution.genesis import load_genesis
from dst.execution.interrupts import never
from dst.execution.store import STORE_FOLDER, BlockStore, open_store
from dst.runtime.config import load_json, resolve
from dst.spec.errors import BadConfig, InvalidInput
from dst.spec.primitives import to_hex

BLOCKS_A_HEAD: Final = 64
"""Blocks imported between two moves of the head; a killed import goes on from there."""


def export_blocks(config_path: Path, file: Path, *, first: int = 0, last: int | None = None) -> str:
    """Write canonical blocks `first` to `last` (default: the head), also while the role runs.

    Raises: BadConfig.
    """
    store = _open_to_look(config_path)
    try:
        head = store.header(store.pointers().head)
        assert head is not None, "the head is stored"
        end = head.number if last is None else last
        if not 0 <= first <= end <= head.number:
            raise BadConfig(f"blocks {first} to {end}: the chain has 0 to {head.number}")
        with file.open("xb") as out:
            for number in range(first, end + 1):
                out.write(_block(store, number))
    except OSError as error:
        raise BadConfig(f"{file}: {error.strerror}") from None
    finally:
        store.close()
    return f"wrote blocks {first} to {end} to {file}"


def import_blocks(config_path: Path, file: Path) -> str:
    """Execute and store the blocks of a file; the last becomes the head. The role must be stopped.
    Blocks that are here are passed over, so an interrupted import goes on.

    Raises: BadConfig naming the block at fault; the blocks before it stay.
    """
    threading.stack_size(EVM_STACK_BYTES)
    with ThreadPoolExecutor(1) as evm:
        return evm.submit(_import_blocks, config_path, file).result()


def snapshot(config_path: Path, folder: Path) -> str:
    """Copy the store as of one moment, also while the role runs. Raises: BadConfig."""
    store = _open_to_look(config_path)
    try:
        store.tables.copy_to(folder / STORE_FOLDER)
    finally:
        store.close()
    return f"wrote {folder}: {_describe(folder)}"


def restore(config_path: Path, folder: Path) -> str:
    """Make the data directory from a snapshot; it must not hold a chain. Raises: BadConfig."""
    data_dir = _data_dir(config_path)
    target = data_dir / STORE_FOLDER
    if target.exists():
        raise BadConfig(f"{data_dir} holds a chain: move it away first")
    store = open_store(folder, read_only=True)
    try:
        store.tables.copy_to(target)
    finally:
        store.close()
    return f"restored {data_dir}: {_describe(data_dir)}"


def _import_blocks(config_path: Path, file: Path) -> str:
    config = _config(config_path)
    genesis = load_genesis(resolve(config_path, config.genesis))
    store = open_store(resolve(config_path, config.data_dir))
    try:
        importer = _Importer(Chain(store, genesis, retention_of(config)))
        with file.open("rb") as source:
            for data in read_blocks(source):
                importer.add(decode_block(data))
        importer.move_head()
        return importer.summary()
    except OSError as error:
        raise BadConfig(f"{file}: {error.strerror}") from None
    except InvalidInput as error:
        raise BadConfig(f"{file}: {error}") from None
    finally:
        store.close()


class _Importer:
    """Brings a chain forward block by block."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._last = chain.genesis_hash
        self._executed = 0

    def add(self, block: RawBlock) -> None:
        """Raises: InvalidInput."""
        chain, header, block_hash = self._chain, block.header, block.header.hash
        if header.number == 0 and block_hash != chain.genesis_hash:
            raise InvalidInput(
                f"its genesis is {to_hex(block_hash)}, this chain's {to_hex(chain.genesis_hash)}"
            )
        if chain.header(block_hash) is None:
            try:
                executed = chain.execute(header, block.transactions, block.withdrawals, never)
            except (InvalidBlock, UnknownBlock) as error:
                raise InvalidInput(f"block {header.number}: {error}") from None
            chain.insert(executed)
            self._executed += 1
        self._last = block_hash
        if header.number % BLOCKS_A_HEAD == 0:
            self.move_head()

    def move_head(self) -> None:
        """To the last block, unless the head is further on the same chain."""
        chain, heads = self._chain, self._chain.heads
        header = chain.header(self._last)
        assert header is not None, "it was just stored"
        if chain.is_ancestor(self._last, heads.head, heads.head_hash):
            return
        if not chain.is_ancestor(heads.finalized_hash, header, self._last):
            raise InvalidInput(f"block {header.number} leaves the chain below the finalized block")
        chain.set_forkchoice(self._last, heads.safe_hash, heads.finalized_hash)

    def summary(self) -> str:
        heads = self._chain.heads
        head = f"head {heads.head.number} {to_hex(heads.head_hash)}"
        return f"executed {self._executed} blocks; {head}"


def _block(store: BlockStore, number: int) -> bytes:
    block_hash = store.canonical_hash(number)
    assert block_hash is not None, f"no canonical block {number}"
    header = store.header(block_hash)
    assert header is not None, f"store lacks block {number}"
    body = store.body(block_hash)
    return encode_block(header, body.transactions, body.payload_withdrawals())


def _describe(data_dir: Path) -> str:
    """Opens what was written, so that a copy that cannot be read is told now."""
    store = open_store(data_dir, read_only=True)
    try:
        pointers = store.pointers()
        header = store.header(pointers.head)
        assert header is not None, "the head is stored"
        return f"head {header.number} {to_hex(pointers.head)}"
    finally:
        store.close()


def _config(config_path: Path) -> ExecutionConfig:
    return load_json(config_path, ExecutionConfig, what="execution config")


def _data_dir(config_path: Path) -> Path:
    return resolve(config_path, _config(config_path).data_dir)


def _open_to_look(config_path: Path) -> BlockStore:
    return open_store(_data_dir(config_path), read_only=True)
