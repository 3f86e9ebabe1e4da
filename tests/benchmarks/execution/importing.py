"""How fast blocks are imported, beside unmodified py-evm in the same minute.

Import: bytes of a block to the stored head, signatures recovered; CPU seconds of the process.
"""

import gc
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from dst.execution.block.executed import ExecutedBlock
from dst.execution.interrupts import never
from dst.spec.primitives import ZERO_HASH
from dst.transactions.decoded import forget_decoded
from dst.transactions.transaction import Transaction
from tests.benchmarks.execution.loads import CODES, Make, Sending, preparation, sender, transfer
from tests.stock_pyevm import open_stock, to_stock
from tests.unit.execution.worlds import World, genesis_file, make_world

GAS_LIMIT: Final = 200_000_000
"""Room for 1,000 of anything: the figures are per gas and per transaction."""
BALANCE: Final = 10**24


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """Medians over blocks."""

    transactions: int
    gas: int
    seconds: float
    stock_seconds: float | None

    @property
    def per_second(self) -> float:
        return self.transactions / self.seconds

    @property
    def mgas_per_second(self) -> float:
        return self.gas / self.seconds / 1e6

    @property
    def ratio(self) -> float | None:
        return None if self.stock_seconds is None else self.stock_seconds / self.seconds


class Bench:
    """A chain that builds blocks, a second that imports them, and stock py-evm as a third."""

    def __init__(self, folder: Path, senders: int, with_stock: bool) -> None:
        balances = {sender(number)[1]: BALANCE for number in range(senders)}
        options: dict[str, Any] = {"balances": balances, "gas_limit": GAS_LIMIT}
        self._senders = senders
        self.sending = Sending()
        self._builder = _make(folder / "builder", options)
        self._importer = _make(folder / "importer", options)
        self._stock: Any = self._open_stock(options) if with_stock else None

    def _open_stock(self, options: dict[str, Any]) -> Any:
        stock = open_stock(genesis_file(CODES, **options))
        assert stock.get_canonical_head().hash == self._importer.genesis.header.hash
        return stock

    def close(self) -> None:
        self._builder.store.close()
        self._importer.store.close()

    def prepare(self) -> None:
        for candidates in preparation(self.sending, self._senders):
            self._through(candidates)

    def measure(self, make: Make, size: int, blocks: int) -> Throughput:
        """The first block, which makes new accounts and slots, does not count."""
        ours, stock, gas = [], [], 0
        for number in range(blocks + 1):
            block, seconds, stock_seconds = self._through(
                [make(self.sending, each, number) for each in range(size)]
            )
            gas = block.header.gas_used
            if number:
                ours.append(seconds)
                stock.append(stock_seconds)
        slow = [each for each in stock if each is not None]
        return Throughput(
            transactions=size,
            gas=gas,
            seconds=median(ours),
            stock_seconds=median(slow) if slow else None,
        )

    def _through(
        self, candidates: Sequence[Transaction]
    ) -> tuple[ExecutedBlock, float, float | None]:
        block = self._builder.build(candidates).block
        self._builder.chain.insert(block)
        self._builder.chain.set_forkchoice(block.hash, ZERO_HASH, ZERO_HASH)
        assert len(block.transactions) == len(candidates), "the builder left some out"
        assert all(each.succeeded for each in block.result.receipts), "a transaction failed"
        seconds = _cpu(lambda: self._import(block))
        stock = self._stock
        if stock is None:
            return block, seconds, None
        encoded = to_stock(block)
        return block, seconds, _cpu(lambda: stock.import_block(encoded))

    def _import(self, block: ExecutedBlock) -> None:
        forget_decoded()  # the builder has met these bytes already
        chain = self._importer.chain
        raws = [each.raw for each in block.transactions]
        executed = chain.execute(block.header, raws, block.withdrawals, never)
        chain.insert(executed)
        chain.set_forkchoice(executed.hash, ZERO_HASH, ZERO_HASH)


@contextmanager
def bench(*, senders: int, with_stock: bool = False) -> Iterator[Bench]:
    with tempfile.TemporaryDirectory() as folder:
        made = Bench(Path(folder), senders, with_stock)
        try:
            yield made
        finally:
            made.close()


def throughput(make: Make, *, size: int, blocks: int) -> Throughput:
    with bench(senders=size, with_stock=True) as made:
        made.prepare()
        return made.measure(make, size, blocks)


def transfers_by_size(sizes: Sequence[int], blocks: int) -> dict[int, Throughput]:
    with bench(senders=max(sizes)) as made:
        return {size: made.measure(transfer, size, blocks) for size in sizes}


def _make(folder: Path, options: dict[str, Any]) -> World:
    folder.mkdir()
    return make_world(folder, CODES, **options)


def _cpu(run: Callable[[], Any]) -> float:
    gc.collect()
    started = time.process_time()
    run()
    return time.process_time() - started
