"""Tallies on disk, so that a long run may be had in pieces and its page written at the end: a file
of JSON lines, one for each tally."""

import subprocess
from collections import Counter
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal

import msgspec

from tests.conformance.differential.geth import GETH_VERSION
from tests.conformance.sources import git_dir
from tests.conformance.tally import Tally

Run = Literal["gate", "full"]
PYEVM: Final = f"py-evm {version('py-evm')}"
COMMITTED: Final = {
    "EEST": "eest-fixtures ec66995f0 (execution-spec-tests v5.4.0), a slice",
    "rpc-compat d08382ae": "execution-apis d08382ae",
    "rpc-compat 97723808": "execution-apis 97723808",
    "rpc-compat newer": "execution-apis 033ca6e69",
    "ethereum/tests": "ethereum/tests 4c87ebbf0, a slice",
    "random blocks against stock": PYEVM,
    "random blocks against geth": f"geth {GETH_VERSION}",
    "forged blocks, Engine": "made here, each breaks one rule",
    "forged blocks, as geth": f"geth {GETH_VERSION}",
    "bad input": "execution-apis' structures",
}
"""Beginning of a leg's name -> what its committed fixtures are; their READMEs say more."""


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    run: Run
    leg: str
    source: str
    passed: int
    failed: dict[str, str]
    """case -> what was wrong."""
    skipped: dict[str, int]
    """reason -> cases."""
    notes: dict[str, int]


def record_of(tally: Tally, run: Run, source: str) -> Record:
    return Record(
        run=run,
        leg=tally.leg,
        source=source,
        passed=tally.passed,
        failed=dict(tally.failures),
        skipped=dict(tally.skipped),
        notes=dict(tally.notes),
    )


def append(path: Path, records: Iterable[Record]) -> None:
    with path.open("ab") as lines:
        for each in records:
            lines.write(msgspec.json.encode(each) + b"\n")


def load(path: Path) -> tuple[Record, ...]:
    """Pieces of one leg are one record."""
    merged: dict[tuple[str, str, str], Record] = {}
    for line in path.read_bytes().splitlines():
        record = msgspec.json.decode(line, type=Record)
        key = (record.run, record.leg, record.source)
        merged[key] = _sum(merged[key], record) if key in merged else record
    return tuple(merged.values())


def _sum(first: Record, second: Record) -> Record:
    return msgspec.structs.replace(
        first,
        passed=first.passed + second.passed,
        failed=first.failed | second.failed,
        skipped=dict(Counter(first.skipped) + Counter(second.skipped)),
        notes=dict(Counter(first.notes) + Counter(second.notes)),
    )


def committed_source(leg: str) -> str:
    return next(source for name, source in COMMITTED.items() if leg.startswith(name))


def source_name(source: Path, what: str) -> str:
    """`what` at the commit that is read."""
    folder = git_dir(source)
    if folder is None:
        return f"{what}, a folder without git"
    command = ["git", f"--git-dir={folder}", "rev-parse", "--short=9", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return f"{what} {done.stdout.strip()}"
