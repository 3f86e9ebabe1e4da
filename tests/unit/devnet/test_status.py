"""One look: who leads next, and a table that a pipe can read."""

from typing import Any

from devnet.status import _table, lines_of, next_duty, with_lag

OPERATORS = ("op1", "op2", "op3", "op4")


def test_the_next_height_is_above_the_highest_decided_and_has_its_leader() -> None:
    nodes: list[dict[str, Any]] = [
        {"name": "op1", "answers": True, "decided_height": 4},
        {"name": "op2", "answers": False},
        {"name": "f1", "answers": True, "decided_height": 5},
    ]
    assert next_duty(nodes, OPERATORS) == {"height": 6, "round": 0, "leader": "op3"}


def test_nobody_answers_nobody_leads() -> None:
    assert next_duty([{"name": "op1", "answers": False}], OPERATORS) is None


def test_a_node_that_lags_shows_by_how_much() -> None:
    nodes: list[dict[str, Any]] = [
        {"name": "op1", "answers": True, "sealed_height": 30},
        {"name": "f1", "answers": True, "sealed_height": 5},
        {"name": "op2", "answers": False},
    ]
    assert [node.get("behind") for node in with_lag(nodes)] == [0, 25, None]
    assert any("25" in line for line in lines_of(_table(with_lag(nodes))))


def test_the_piped_table_has_no_trailing_spaces_and_one_line_a_node() -> None:
    nodes: list[dict[str, Any]] = [
        {"name": "op1", "answers": True, "decided_height": 4, "sealed_height": 4, "peers": "3/3"},
        {"name": "op2", "answers": False, "peers": "-"},
    ]
    lines = lines_of(_table(nodes))
    assert lines == [line.rstrip() for line in lines]
    assert [line for line in lines if "op2" in line and "no answer" in line and "-" in line]
    assert len(lines) == 6
