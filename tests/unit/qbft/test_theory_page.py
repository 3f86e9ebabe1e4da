"""The transitions in `docs/consensus.md` are those of the core: every input, effect, message and
record has its place in the table, and nothing else is named there."""

import re
from pathlib import Path
from typing import Any, get_args

from dst.qbft import effects, inputs, messages, records

PAGE = Path(__file__).parents[3] / "docs" / "consensus.md"


def names(union: Any) -> set[str]:
    return {each.__name__ for each in get_args(union)}


INPUTS = names(inputs.Input)
MESSAGES = names(messages.Message)
EFFECTS = names(effects.Effect)
RECORDS = names(records.Record)


def rows() -> list[list[str]]:
    """State, event, guard, effects."""
    section = PAGE.read_text().partition("### Transitions\n")[2].partition("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    found = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table[2:]]
    assert all(len(row) == 4 for row in found)
    return found


def quoted(cell: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", cell))


def test_every_input_and_message_is_an_event() -> None:
    found = set().union(*(quoted(event) for _, event, *_ in rows()))
    assert found == INPUTS | MESSAGES


def test_every_effect_message_and_record_is_an_outcome() -> None:
    found = set().union(*(quoted(outcome) for *_, outcome in rows()))
    assert found == EFFECTS | MESSAGES | RECORDS


def test_what_is_left_to_another_row_has_one() -> None:
    events = set().union(*(set(re.findall(r"\*(\w+)\*", event)) for _, event, *_ in rows()))
    left = {name.lower() for *_, outcome in rows() for name in re.findall(r"\*(\w+)\*", outcome)}
    assert left - {"propose"} == events, "proposing is told where it happens"
