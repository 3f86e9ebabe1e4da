"""What a person sees of these tests beside their verdicts: how far a campaign is, and what each
mutant died of."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, TypeAlias

import pytest

from devnet.sim.progress import Advance, progress

FATE: Final = "fate of a mutant"
"""A property of tests: the line that `pytest_terminal_summary` prints, wherever they ran."""

Bar: TypeAlias = Callable[[str, str, int], AbstractContextManager[Advance]]


@pytest.fixture
def bar(request: pytest.FixtureRequest) -> Bar:
    """`devnet.sim.progress`, whatever is captured; nothing in a worker of pytest-xdist, whose
    terminal is another's."""
    plugins = request.config.pluginmanager
    terminal, capture = plugins.getplugin("terminalreporter"), plugins.getplugin("capturemanager")

    @contextmanager
    def shown(title: str, unit: str, wanted: int) -> Iterator[Advance]:
        if terminal is None:
            yield lambda done, failures: None
            return
        with capture.global_and_fixture_disabled():
            terminal.ensure_newline()
            with progress(title, unit, wanted) as advance:
                yield advance

    return shown


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    played = [each for reports in terminalreporter.stats.values() for each in reports]
    for report in played:
        if getattr(report, "when", "") == "call":
            for name, line in report.user_properties:
                if name == FATE:
                    terminalreporter.write_line(line)
