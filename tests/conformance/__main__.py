"""`make conformance`: all that can be had, printed as it goes; exit code 1 when anything failed.

    python -m tests.conformance [--eest DIR] [--tests DIR] [--geth FILE] [--minutes N] [--seed N]
                                [--only LEG ...]

Legs: eest (every Prague case of the fixtures, in process), vectors (ethereum/tests), stock and geth
(random blocks). Without folders the committed fixtures are used; without a geth its leg says so.
"""

import argparse
import itertools
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.conformance import vectors
from tests.conformance.differential import campaign
from tests.conformance.differential.geth import GETH_VERSION, find_geth
from tests.conformance.eest import Case, in_process, read_cases, read_slice
from tests.conformance.evm_thread import on_evm_thread
from tests.conformance.paths import EEST_SLICE, ETHEREUM_TESTS
from tests.conformance.sources import read_files
from tests.conformance.tally import Tally

EEST_FOLDER = "blockchain_tests"
SAID_EVERY_S = 30.0


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    warnings.filterwarnings("ignore", message="SELFDESTRUCT")
    tallies: list[Tally] = []

    def make(leg: str) -> Tally:
        tallies.append(Tally(leg))
        return tallies[-1]

    legs: dict[str, Callable[[], object]] = {
        "vectors": lambda: vectors.run_all(options.tests or ETHEREUM_TESTS, make),
        "stock": lambda: _random(options, make, "stock"),
        "geth": lambda: _random(options, make, "geth"),
        "eest": lambda: _eest(options.eest, make("EEST Prague, in process")),
    }
    for name in options.only or legs:
        print(f"==> {name}", flush=True)
        before = len(tallies)
        on_evm_thread(lambda run=legs[name]: run())  # type: ignore[misc]
        for each in tallies[before:]:
            print("\n".join(each.lines()), flush=True)
    return int(any(each.failures for each in tallies))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make conformance")
    parser.add_argument("--eest", type=Path, help="eest-fixtures: a folder or a git repository")
    parser.add_argument("--tests", type=Path, help="ethereum/tests: a folder or a git repository")
    parser.add_argument("--geth", type=Path, default=find_geth(), help=f"geth {GETH_VERSION}")
    parser.add_argument("--minutes", type=float, default=5.0, help="for each random leg")
    parser.add_argument("--seed", type=int, help="one plan again")
    parser.add_argument("--only", nargs="+", choices=("eest", "vectors", "stock", "geth"))
    return parser


def _random(options: argparse.Namespace, make: Callable[[str], Tally], against: str) -> None:
    tally = make(f"random blocks against {against}")
    if against == "geth" and options.geth is None:
        tally.skip(f"no geth {GETH_VERSION}: make geth, or GETH=FILE")
        return
    seeds = itertools.count() if options.seed is None else (options.seed,)
    seconds = options.minutes * 60
    if against == "geth":
        campaign.run(campaign.against_geth(options.geth, seeds, seconds), tally)
    else:
        campaign.run(campaign.against_stock(seeds, seconds), tally)


def _eest(source: Path | None, tally: Tally) -> None:
    said = time.monotonic()
    for path, case in _cases(source, tally):
        reason = case.reason_to_skip
        if reason is not None:
            tally.skip(reason)
            continue
        try:
            in_process(case, tally)
        except Exception as error:  # a crash is a finding, and the others still run
            tally.fail(case.name, f"{type(error).__name__}: {str(error)[:300]}")
        if time.monotonic() - said > SAID_EVERY_S:
            said = time.monotonic()
            done = f"{tally.passed} passed, {len(tally.failures)} failed"
            print(f"    {done}, at {path}", flush=True)


def _cases(source: Path | None, tally: Tally) -> Iterator[tuple[str, Case]]:
    if source is None:
        yield from (("committed slice", case) for case in read_slice(EEST_SLICE))
        return
    for path, data in read_files(source, EEST_FOLDER):
        if data is None:
            tally.skip("file whose content is absent (Git LFS, or left out of the clone)")
            continue
        yield from ((path, case) for case in read_cases(data))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
