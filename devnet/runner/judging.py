"""Verdicts from a record: of the run that has just ended, or of a folder that one left behind."""

import gzip
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from devnet.checkers import check_all, must_fail
from devnet.checkers.expectations import checkers_for
from devnet.model.history import (
    RECORD_VERSION,
    History,
    RunBroken,
    RunEnded,
    Setup,
    decode_record,
    history_of,
)
from devnet.model.verdict import Outcome, Verdict
from devnet.model.whole import write_whole
from devnet.scenarios.catalogue import load_file
from devnet.scenarios.scenario import Scenario
from dst.spec.errors import BadConfig

HISTORY: Final = "history.ndjson"
PACKED: Final = "history.ndjson.gz"
SCENARIO: Final = "scenario.yaml"
VERDICTS: Final = "verdicts.json"


def verdicts_of(scenario: Scenario, history: History) -> tuple[Verdict, ...]:
    operators = len(history.setup.operators)
    hostile = scenario.hostile is not None
    verdicts = check_all(history, checkers_for(scenario.expect, operators, hostile=hostile))
    wanted = scenario.expect.fails
    return must_fail.judged(verdicts, wanted, history) if wanted else verdicts


class _Head(msgspec.Struct):
    """Of the first record, whatever else stands there."""

    version: int = 1


class Said(msgspec.Struct, frozen=True):
    """What a verdict comes down to; the rest of it may be of another version's."""

    checker: str
    outcome: str


def _lines(folder: Path) -> list[bytes]:
    """The plain record as long as it is there: the packed one is made from it.

    Raises: BadConfig.
    """
    try:
        with suppress(FileNotFoundError):
            return (folder / HISTORY).read_bytes().splitlines()
        with gzip.open(folder / PACKED, "rb") as file:
            return file.read().splitlines()
    except (OSError, EOFError, zlib.error) as error:
        raise BadConfig(f"{folder}: no record of a run that can be read: {error}") from error


def read_history(folder: Path) -> History:
    """Raises: BadConfig for a folder that holds no record that can be read."""
    lines = _lines(folder)
    try:
        setup, *records = [decode_record(line) for line in lines]
    except (ValueError, msgspec.MsgspecError) as error:
        raise BadConfig(
            f"{folder}: no record of a run that can be read: {error}{_of_another(lines)}"
        ) from error
    if not isinstance(setup, Setup):
        raise BadConfig(f"{folder}: its record does not begin with the network under test")
    return history_of(setup, records)


def _of_another(lines: list[bytes]) -> str:
    try:
        version = msgspec.json.decode(lines[0], type=_Head).version
    except (IndexError, msgspec.MsgspecError):
        return ""
    known = f"; the record is of format {version}, this reader knows {RECORD_VERSION}"
    return known if version != RECORD_VERSION else ""


def not_to_its_end(folder: Path) -> str:
    """Why the record is not that of a whole run; empty when it is. Only its last line is read as a
    record."""
    try:
        lines = _lines(folder)
        last = decode_record(lines[-1]) if lines else None
    except (BadConfig, msgspec.MsgspecError) as error:
        return f"its record cannot be read: {error}"
    if isinstance(last, RunEnded | RunBroken):
        return ""
    return f"its record does not come to the end of the run{_of_another(lines)}"


def setup_of(folder: Path) -> Setup | None:
    """None where nothing can be read."""
    try:
        first = decode_record(_lines(folder)[0])
    except (BadConfig, IndexError, msgspec.MsgspecError):
        return None
    return first if isinstance(first, Setup) else None


def judge_folder(folder: Path) -> tuple[Scenario, History, tuple[Verdict, ...]]:
    """What the record says, whatever was said before. Raises: BadConfig."""
    scenario = load_file(folder / SCENARIO)
    history = read_history(folder)
    return scenario, history, verdicts_of(scenario, history)


def said_before(folder: Path) -> tuple[Said, ...]:
    """Of the run itself; empty when it did not come to that. Raises: BadConfig."""
    try:
        text = (folder / VERDICTS).read_bytes()
    except FileNotFoundError:
        return ()
    try:
        return msgspec.json.decode(text, type=tuple[Said, ...])
    except msgspec.MsgspecError as error:
        raise BadConfig(f"{folder / VERDICTS}: {error}") from error


def judged_anew(before: tuple[Said, ...], verdicts: tuple[Verdict, ...]) -> str:
    """`S1 agreement was fail, is pass`: where the same record says something else to the checkers
    of today; empty when they agree, or nothing was said before."""
    now = {verdict.checker: verdict.outcome.value for verdict in verdicts}
    was = {said.checker: said.outcome for said in before}
    none = "not asked"
    return "; ".join(
        f"{checker} was {was.get(checker, none)}, is {now.get(checker, none)}"
        for checker in dict.fromkeys((*was, *now))
        if was and was.get(checker) != now.get(checker)
    )


def is_unsafe(said: Iterable[Said | Verdict]) -> bool:
    """Whether an invariant of safety broke."""
    return any(each.outcome == Outcome.FAIL and each.checker.startswith("S") for each in said)


def pack(folder: Path) -> None:
    """A record is kept for ever, and a tenth of its size says the same. One of the two is whole at
    any moment. Raises: OSError; then the plain one stays."""
    plain = folder / HISTORY
    packed = gzip.compress(plain.read_bytes(), compresslevel=6, mtime=0)
    write_whole(folder / PACKED, packed, durable=True)
    plain.unlink()
