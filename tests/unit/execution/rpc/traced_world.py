"""The trace scenario mined in two blocks, behind the JSON-RPC."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from dst.execution.genesis import prague_genesis, read_genesis
from tests.unit.execution.rpc.bench import Rpc, running
from tests.unit.execution.trace_scenario import CODES, genesis_alloc, transactions
from tests.unit.execution.worlds import ADDRESSES, CHAIN_ID, GENESIS_TIME, RICH, World

GAS_LIMIT: Final = 30_000_000
FIRST_BLOCK: Final = 10
"""Transactions in block 1; the others are in block 2."""


def genesis() -> dict[str, Any]:
    return genesis_alloc(
        prague_genesis(
            chain_id=CHAIN_ID,
            timestamp=GENESIS_TIME,
            gas_limit=GAS_LIMIT,
            balances=dict.fromkeys(ADDRESSES, RICH),
            codes=CODES,
        )
    )


@contextmanager
def traced_world(folder: Path) -> Iterator[Rpc]:
    world = World(folder, read_genesis(genesis()))
    with running(world) as bench:
        sent = transactions()
        bench.extend(sent[:FIRST_BLOCK])
        bench.extend(sent[FIRST_BLOCK:])
        yield bench
    world.store.close()
