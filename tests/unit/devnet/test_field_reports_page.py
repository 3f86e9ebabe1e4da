"""docs/field-reports.md names tests that exist: one that was renamed or lost is found here."""

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "field-reports.md"
ABOUT_THE_HARNESS = "X1 X2 B12 B13 B16 B17 B18 B43 B45 B46 B49".split()


@cache
def functions_of(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in tree.body if isinstance(node, functions))


def rows() -> list[list[str]]:
    lines = [line for line in PAGE.read_text().splitlines() if re.match(r"\| [BOX]\d+ \|", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def named(cell: str) -> list[tuple[str, str]]:
    """(file, test); `::test` is of the file named before it."""
    found, path = [], ""
    for here, test in re.findall(r"`([\w/.]*)::(\w+)`", cell):
        path = here or path
        found.append((path, test))
    return found


def test_every_row_has_tests_that_exist() -> None:
    for row in rows():
        on_a_network, in_parts = named(row[3]), named(row[4])
        if row[0] in ABOUT_THE_HARNESS:
            assert on_a_network or in_parts, row[0]
        else:
            assert on_a_network, f"{row[0]}: nobody tries it as a user would"
            assert in_parts, row[0]
        assert all(path.startswith("tests/e2e/") for path, _ in on_a_network), row[0]
        missing = [each for each in on_a_network + in_parts if each[1] not in functions_of(each[0])]
        assert not missing, f"{row[0]}: {missing}"


def test_every_report_is_there() -> None:
    about_the_chain = "B01 B02 B03 B04 B05 B06 B07 B14 B15 B20 B31 B32 B33 B35 B47".split()
    about_operators = "B36 B40 B41 B42 O1 O2".split()
    assert [row[0] for row in rows()] == about_the_chain + about_operators + ABOUT_THE_HARNESS
