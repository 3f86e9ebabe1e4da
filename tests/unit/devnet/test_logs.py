"""Logs are printed as they are; that there are none is said too."""

from pathlib import Path

import pytest

from devnet.views.logs import show_logs
from dst.spec.errors import BadConfig


def _log(directory: Path, name: str, text: str) -> None:
    (directory / "logs").mkdir(exist_ok=True)
    (directory / "logs" / f"{name}.log").write_text(text)


def test_lines_of_several_programs_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _log(tmp_path, "op1.rollup", "ready\n")
    _log(tmp_path, "op1.validator", "")
    assert show_logs(tmp_path, "op1", follow=False) == 0
    told = capsys.readouterr()
    assert told.out == "op1.rollup       ready\n"
    assert told.err == ""


def test_empty_logs_are_said_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _log(tmp_path, "op1.rollup", "ready\n")
    _log(tmp_path, "op1.validator", "")
    assert show_logs(tmp_path, "op1.validator", follow=False) == 0
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "op1.validator has logged nothing yet\n")


def test_those_of_the_network_before_are_shown_when_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _log(tmp_path, "op1.rollup", "new\n")
    with pytest.raises(BadConfig, match=r"no logs of op1 in .*previous"):
        show_logs(tmp_path, "op1", previous=True)
    (tmp_path / "logs" / "previous").mkdir()
    (tmp_path / "logs" / "previous" / "op1.rollup.log").write_text("old\n")
    assert show_logs(tmp_path, "op1", previous=True) == 0
    assert capsys.readouterr().out == "old\n"


def test_an_unknown_node_is_refused_with_those_that_are(tmp_path: Path) -> None:
    _log(tmp_path, "op1.rollup", "ready\n")
    with pytest.raises(BadConfig, match=r"there are op1\.rollup"):
        show_logs(tmp_path, "op9", follow=False)
