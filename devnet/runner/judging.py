"""Verdicts from a record: of the run that has just ended, or of a folder that one left behind."""

import gzip
from pathlib import Path
from typing import Final

import msgspec

from devnet.checkers import check_all, must_fail
from devnet.checkers.expectations import checkers_for
from devnet.model.history import History, Setup, decode_record, history_of
from devnet.model.verdict import Verdict
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


def read_history(folder: Path) -> History:
    """Raises: BadConfig for a folder that holds no record that can be read."""
    packed = folder / PACKED
    try:
        if packed.exists():
            with gzip.open(packed, "rb") as file:
                lines = file.read().splitlines()
        else:
            lines = (folder / HISTORY).read_bytes().splitlines()
        setup, *records = [decode_record(line) for line in lines]
    except (OSError, EOFError, ValueError, msgspec.MsgspecError) as error:
        raise BadConfig(f"{folder}: no record of a run that can be read: {error}") from error
    if not isinstance(setup, Setup):
        raise BadConfig(f"{folder}: its record does not begin with the network under test")
    return history_of(setup, records)


def judge_folder(folder: Path) -> tuple[Scenario, History, tuple[Verdict, ...]]:
    """What the record says, whatever was said before. Raises: BadConfig."""
    scenario = load_file(folder / SCENARIO)
    history = read_history(folder)
    return scenario, history, verdicts_of(scenario, history)


def said_before(folder: Path) -> tuple[Verdict, ...]:
    """Of the run itself; empty when it did not come to that. Raises: BadConfig."""
    try:
        text = (folder / VERDICTS).read_bytes()
    except FileNotFoundError:
        return ()
    try:
        return msgspec.json.decode(text, type=tuple[Verdict, ...])
    except msgspec.MsgspecError as error:
        raise BadConfig(f"{folder / VERDICTS}: {error}") from error


def pack(folder: Path) -> None:
    """A record is kept for ever, and a tenth of its size says the same."""
    plain, packed = folder / HISTORY, folder / PACKED
    packed.write_bytes(gzip.compress(plain.read_bytes(), compresslevel=6, mtime=0))
    plain.unlink()
