"""How far a campaign is: lines where there is no terminal, a bar where there is one."""

import io
import sys

import pytest

from devnet.sim import progress as shown
from devnet.sim.progress import progress, rated


def test_a_line_now_and_then_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress("chaos", "heights", 1000) as advance:
        advance(100, 0)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(shown, "LINE_EVERY_S", 0.0)
    with progress("chaos", "heights", 1000) as advance:
        advance(250, 1)
    said = capsys.readouterr().err
    assert said.startswith("chaos: 250 of 1000 heights, ")
    assert said.endswith("heights/s, 1 failures\n")


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "120")
    with progress("lockstep", "schedules", 400) as advance:
        advance(200, 0)
        advance(600, 2)
    said = terminal.getvalue()
    assert "lockstep" in said
    assert "400/400" in said, "a last batch may go beyond"
    assert "schedules/s, 2 failures" in said


def test_a_rate_is_of_all_that_was_done() -> None:
    assert rated("seeds", 90, 3.0, 0) == "30 seeds/s, 0 failures"
