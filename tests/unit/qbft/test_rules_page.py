"""`docs/consensus-rules.md` is true: every rule is there, what it names exists, and nothing in the
tree cites a rule that it does not have."""

import ast
import re
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "consensus-rules.md"
RULES = 55


class Row(NamedTuple):
    """One rule: code by dotted names below `dst`, tests as `end of path::name`."""

    number: int
    code: tuple[str, ...]
    tests: tuple[str, ...]


def rows() -> list[Row]:
    found = []
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0].isdigit():
            assert len(cells) == 5, line
            found.append(Row(int(cells[0]), names(cells[3]), names(cells[4])))
    return found


def names(cell: str) -> tuple[str, ...]:
    found = tuple(re.findall(r"`([^`]+)`", cell))
    assert ", ".join(f"`{each}`" for each in found) == cell, f"names and nothing else: {cell}"
    return found


def test_every_rule_has_one_row_in_order() -> None:
    assert [row.number for row in rows()] == list(range(1, RULES + 1))


@pytest.mark.parametrize("row", rows(), ids=lambda row: str(row.number))
def test_the_code_is_there(row: Row) -> None:
    assert row.code
    for name in row.code:
        assert resolves(f"dst.{name}"), name


def resolves(name: str) -> bool:
    """A module, or what a module defines (and not only imports), at any depth."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        module = ".".join(parts[:length])
        try:
            found: object = import_module(module)
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part, None)
        return length == len(parts) or (
            found is not None and getattr(found, "__module__", module) == module
        )
    return False


def test_every_rule_has_a_test() -> None:
    """That they exist, `tests/unit/test_citations.py` sees."""
    assert all(row.tests for row in rows())
    assert all(re.fullmatch(r"[\w/]+\.py::test_\w+", name) for row in rows() for name in row.tests)


@cache
def modules() -> tuple[str, ...]:
    return tuple(
        sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py"))
    )


@cache
def collected(path: str) -> frozenset[str]:
    """What pytest collects: functions of the module that are named so."""
    return frozenset(
        each.name
        for each in ast.parse((ROOT / path).read_text()).body
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
        and each.name.startswith("test_")
    )


def test_a_test_named_after_a_rule_stands_in_its_row() -> None:
    told = {(row.number, name.partition("::")[2]) for row in rows() for name in row.tests}
    named = {
        (int(match[1]), name)
        for path in modules()
        for name in collected(path)
        if (match := re.match(r"test_rule_(\d\d)_", name))
    }
    assert named - told == set()


def test_no_other_rule_is_cited() -> None:
    """By number, as `rule 33` or `rules 9 to 12`, in code and pages alike."""
    cited = {
        int(number)
        for path in sources()
        for match in re.finditer(r"\brules? (\d+)(?: (?:to|and) (\d+))?\b", path.read_text())
        for number in match.groups()
        if number is not None
    }
    assert cited <= set(range(1, RULES + 1))
    assert 33 in cited, "it looks where rules are cited"


def sources() -> list[Path]:
    code = [path for top in ("dst", "devnet", "tests") for path in (ROOT / top).rglob("*.py")]
    return [*code, *(ROOT / "docs").rglob("*.md")]
