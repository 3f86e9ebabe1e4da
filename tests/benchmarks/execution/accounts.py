"""What a transfer costs among many accounts, and what a node holds in memory then.

Blocks are made on one store and imported into a copy of it, in a process of its own: what that
holds is what a node holds. The state is seeded, because 10^6 accounts in a genesis file would stay
in memory. Enough blocks go before those that count for the flat base to follow (`state.flat`).
"""

import gc
import pickle
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import msgspec

from dst.execution.block.executed import ExecutedBlock
from dst.execution.bulk import seed
from dst.execution.genesis import Genesis, read_genesis
from dst.execution.interrupts import never
from dst.execution.state.flat import LAYERS_KEPT
from dst.execution.store import open_store
from dst.spec.primitives import ZERO_HASH, Address, Hash32
from tests.benchmarks.execution.importing import BALANCE, GAS_LIMIT
from tests.benchmarks.execution.loads import Sending, sender, transfer
from tests.unit.execution.worlds import World, genesis_file

_BLOCKS: Final = "blocks"
_GENESIS: Final = "genesis"
_MEGABYTE: Final = 2**20


class Cost(msgspec.Struct, frozen=True):
    """Of a transfer, by block size; and of the process."""

    seconds: dict[int, float]
    resident_mb: int


@dataclass(frozen=True, slots=True)
class _Plain:
    """What a block's import needs."""

    header: Any
    raws: list[bytes]
    withdrawals: Any


def cost_among(accounts: int, sizes: Sequence[int], blocks: int) -> Cost:
    """Among so many accounts; medians over `blocks` blocks of each size."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        genesis = _seed(folder, accounts, max(sizes))
        _write_blocks(folder, genesis, sizes, blocks)
        command = [sys.executable, "-m", __name__, name, str(blocks), *map(str, sizes)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        return msgspec.json.decode(done.stdout, type=Cost)


def _seed(folder: Path, accounts: int, senders: int) -> Genesis:
    """Two equal stores, and their genesis beside them."""
    balances = {sender(number)[1]: BALANCE for number in range(senders)}
    base = read_genesis(genesis_file(balances=balances, gas_limit=GAS_LIMIT))
    store = open_store(folder / "builder")
    genesis = seed(store, base, ((_idle(number), 1) for number in range(accounts)))
    store.close()
    shutil.copytree(folder / "builder", folder / "importer")
    (folder / _GENESIS).write_bytes(pickle.dumps(genesis))
    return genesis


def _write_blocks(folder: Path, genesis: Genesis, sizes: Sequence[int], blocks: int) -> None:
    world, sending = World(folder / "builder", genesis), Sending()
    with (folder / _BLOCKS).open("wb") as file:
        for size in sizes:
            for number in range(LAYERS_KEPT + 2 + blocks):
                block = world.build([transfer(sending, each, number) for each in range(size)]).block
                assert len(block.transactions) == size, "the builder left some out"
                world.chain.insert(block)
                world.chain.set_forkchoice(block.hash, ZERO_HASH, ZERO_HASH)
                pickle.dump(_plain(block), file)
    world.store.close()


def _plain(block: ExecutedBlock) -> _Plain:
    return _Plain(block.header, [each.raw for each in block.transactions], block.withdrawals)


def _idle(number: int) -> Address:
    return Address((0x1D1E << 64 | number).to_bytes(20, "little"))


# the process that imports


def _import_all(folder: Path, sizes: Sequence[int], blocks: int) -> Cost:
    world = World(folder / "importer", pickle.loads((folder / _GENESIS).read_bytes()))
    stored = _read_blocks(folder)
    seconds: dict[int, float] = {}
    for size in sizes:
        taken = [_import(world, next(stored)) for _ in range(LAYERS_KEPT + 2 + blocks)]
        seconds[size] = median(taken[-blocks:]) / size
    return Cost(seconds, _resident_bytes() // _MEGABYTE)


def _import(world: World, block: _Plain) -> float:
    """CPU seconds."""
    gc.collect()
    started = time.process_time()
    executed = world.chain.execute(block.header, block.raws, block.withdrawals, never)
    world.chain.insert(executed)
    world.chain.set_forkchoice(Hash32(executed.hash), ZERO_HASH, ZERO_HASH)
    return time.process_time() - started


def _read_blocks(folder: Path) -> Iterator[_Plain]:
    with (folder / _BLOCKS).open("rb") as file:
        while True:
            yield pickle.load(file)


def _resident_bytes() -> int:
    """Anonymous memory: pages of the store's file are the system's to take back."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


def main() -> None:
    folder, blocks, *sizes = sys.argv[1:]
    cost = _import_all(Path(folder), [int(each) for each in sizes], int(blocks))
    sys.stdout.buffer.write(msgspec.json.encode(cost))


if __name__ == "__main__":
    main()
