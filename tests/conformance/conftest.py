"""Outside judges: the served role they ask, and the counts printed at the end of a run."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conformance import record
from tests.conformance.role import RoleHost
from tests.conformance.tally import Tally


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", type=Path, help="conformance: add the counts to this file")


@pytest.fixture(scope="session")
def role_host(tmp_path_factory: pytest.TempPathFactory) -> RoleHost:
    return RoleHost(tmp_path_factory.mktemp("role"))


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Tally]]:
    """Makes tallies whose lines stand at the end of the run, whatever the verdict."""
    made: list[Tally] = []

    def make(leg: str) -> Tally:
        made.append(Tally(leg))
        return made[-1]

    yield make
    path: Path | None = request.config.getoption("--record")
    if path is not None:
        record.append(path, (_counts(each) for each in made))
    for each in made:
        request.node.user_properties.append(("conformance", each.lines()))


def _counts(tally: Tally) -> record.Record:
    return record.record_of(tally, "gate", record.committed_source(tally.leg))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    told = [
        lines
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", None) == "teardown"
        for name, lines in report.user_properties
        if name == "conformance"
    ]
    if told:
        terminalreporter.section("conformance: outside judges")
        for line in (line for lines in told for line in lines):
            terminalreporter.write_line(line)
