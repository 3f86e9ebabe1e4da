"""python -m tests.benchmarks.execution: worst blocks and import throughput as tables.

--write puts them into docs/benchmarks-execution.md; --quick takes fewer blocks, a tenth of the
loops, and no more than 10^4 accounts.
"""

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.benchmarks.execution import page
from tests.benchmarks.execution.accounts import cost_among
from tests.benchmarks.execution.importing import throughput, transfers_by_size
from tests.benchmarks.execution.inclusion import CADENCES, inclusion
from tests.benchmarks.execution.loads import LOADS
from tests.benchmarks.execution.worst_blocks import (
    all_loops,
    time_loops,
    whole_block,
    worst_of_each,
)

PAGE: Final = Path("docs/benchmarks-execution.md")
BLOCK: Final = 200
SIZES: Final = (10, 100, 400, 1_000)
ACCOUNTS: Final = (10**3, 10**4, 10**5, 10**6)
ACCOUNTS_SIZES: Final = (200, 1_000)
SLOW_S: Final = 0.5
"""Loops that take longer for a block are timed again with a whole block's gas."""


def main() -> int:
    options = _options()
    warnings.filterwarnings("ignore", message="SELFDESTRUCT")
    sections = []
    if options.only in (None, "import"):
        sections += _import_sections(2 if options.quick else 5)
    if options.only in (None, "inclusion"):
        sections.append(_inclusion_section(1 if options.quick else 5))
    if options.only in (None, "accounts"):
        sections += _accounts_sections(*((2, ACCOUNTS[:2]) if options.quick else (5, ACCOUNTS)))
    if options.only in (None, "worst"):
        sections += _worst_sections(10 if options.quick else 1)
    text = page.document(sections)
    print(text)
    if options.write:
        PAGE.write_text(text)
    return 0


def _import_sections(blocks: int) -> list[page.Section]:
    _note("import throughput beside stock py-evm")
    loads = {name: throughput(make, size=BLOCK, blocks=blocks) for name, make in LOADS.items()}
    _note("cost by block size")
    return [
        page.import_section(loads, BLOCK),
        page.series_section("block size", transfers_by_size(SIZES, blocks)),
    ]


def _inclusion_section(rounds: int) -> page.Section:
    found = {}
    for cadence, every_s in CADENCES.items():
        _note(f"JSON-RPC to inclusion beside anvil, a block {cadence}")
        found[cadence] = inclusion(rounds, every_s)
    return page.inclusion_section(found)


def _accounts_sections(blocks: int, counts: Sequence[int]) -> list[page.Section]:
    costs = {}
    for count in counts:
        _note(f"cost among {count:,} accounts")
        costs[count] = cost_among(count, ACCOUNTS_SIZES, blocks)
    return [page.accounts_section(costs)]


def _worst_sections(every: int) -> list[page.Section]:
    _note("loops")
    worst = worst_of_each(time_loops(all_loops()[::every], _note))
    _note("the worst again, with a whole block's gas")
    again = [
        whole_block(each) for each in worst if each.seconds_per_block > SLOW_S or each is worst[0]
    ]
    return [page.worst_section(worst, again)]


def _note(text: str) -> None:
    print(text, file=sys.stderr)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.execution")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE}")
    parser.add_argument("--quick", action="store_true", help="fewer blocks and loops")
    parts = ("import", "inclusion", "accounts", "worst")
    parser.add_argument("--only", choices=parts, help="one of the parts")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
