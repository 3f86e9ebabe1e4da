"""`make conformance`: all that can be had, printed as it goes; exit code 1 when anything failed.

    python -m tests.conformance [--eest DIR] [--part K/N] [--tests DIR] [--geth FILE] [--minutes N]
                                [--seed N] [--only LEG ...] [--record FILE] [--page FILE]

Legs: eest (every Prague case of the fixtures, in process), vectors (ethereum/tests), stock and geth
(random blocks). Without folders the committed fixtures are used; without a geth its leg says so.
A run in pieces: `--part 1/4 --record FILE` and so on, then `--only page --record FILE --page FILE`.
"""

import argparse
import itertools
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.conformance import page, record, vectors
from tests.conformance.differential import campaign
from tests.conformance.differential.geth import GETH_VERSION, find_geth
from tests.conformance.eest import Case, in_process, read_cases, read_slice
from tests.conformance.evm_thread import on_evm_thread
from tests.conformance.paths import EEST_SLICE, ETHEREUM_TESTS
from tests.conformance.sources import read_files
from tests.conformance.tally import Tally

EEST_FOLDER = "blockchain_tests"
EEST = "execution-spec-tests v5.4.0, eest-fixtures"
TESTS = "ethereum/tests"
LEGS = ("vectors", "stock", "geth", "eest")
SAID_EVERY_S = 30.0


@dataclass(frozen=True, slots=True)
class Part:
    """The files whose place in the list is `number` of every `of`; 1-based."""

    number: int = 1
    of: int = 1

    def has(self, place: int) -> bool:
        return place % self.of == self.number - 1

    @classmethod
    def read(cls, text: str) -> "Part":
        """Raises: ValueError."""
        number, of = map(int, text.split("/"))
        if not 1 <= number <= of:
            raise ValueError(text)
        return cls(number, of)


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    warnings.filterwarnings("ignore", message="SELFDESTRUCT")
    done: list[record.Record] = []
    for name in options.only or LEGS:
        if name != "page":
            done += _leg(name, options)
    if options.record is not None:
        record.append(options.record, done)
        records = record.load(options.record)
    else:
        records = tuple(done)
    print(page.table(records), end="")
    if options.page is not None:
        options.page.write_text(page.document(records))
    return int(any(each.failed for each in done))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make conformance")
    parser.add_argument("--eest", type=Path, help="eest-fixtures: a folder or a git repository")
    parser.add_argument("--part", type=Part.read, default=Part(), help="of --eest: K/N")
    parser.add_argument("--tests", type=Path, help="ethereum/tests: a folder or a git repository")
    parser.add_argument("--geth", type=Path, default=find_geth(), help=f"geth {GETH_VERSION}")
    parser.add_argument("--minutes", type=float, default=5.0, help="for each random leg")
    parser.add_argument("--seed", type=int, help="one plan again")
    parser.add_argument("--only", nargs="+", choices=(*LEGS, "page"))
    parser.add_argument("--record", type=Path, help="add the counts to this file")
    parser.add_argument("--page", type=Path, help="write all recorded counts as this page")
    return parser


def _leg(name: str, options: argparse.Namespace) -> list[record.Record]:
    print(f"==> {name}", flush=True)
    tallies: list[Tally] = []

    def make(leg: str) -> Tally:
        tallies.append(Tally(leg))
        return tallies[-1]

    runs: dict[str, Callable[[], object]] = {
        "vectors": lambda: vectors.run_all(options.tests or ETHEREUM_TESTS, make),
        "stock": lambda: _random(options, make, "stock"),
        "geth": lambda: _random(options, make, "geth"),
        "eest": lambda: _eest(options.eest, options.part, make("EEST Prague, in process")),
    }
    given = {"vectors": (options.tests, TESTS), "eest": (options.eest, EEST)}
    on_evm_thread(lambda: (runs[name](), None)[1])
    for each in tallies:
        print("\n".join(each.lines()), flush=True)
    folder, what = given.get(name, (None, ""))
    return [
        record.record_of(
            each,
            "full",
            record.committed_source(each.leg)
            if folder is None
            else record.source_name(folder, what),
        )
        for each in tallies
    ]


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


def _eest(source: Path | None, part: Part, tally: Tally) -> None:
    said = time.monotonic()
    for path, case in _cases(source, part, tally):
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


def _cases(source: Path | None, part: Part, tally: Tally) -> Iterator[tuple[str, Case]]:
    if source is None:
        yield from (("committed slice", case) for case in read_slice(EEST_SLICE))
        return
    for place, (path, data) in enumerate(read_files(source, EEST_FOLDER)):
        if not part.has(place):
            continue
        if data is None:
            tally.skip("file whose content is absent (Git LFS, or left out of the clone)")
            continue
        yield from ((path, case) for case in read_cases(data))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
