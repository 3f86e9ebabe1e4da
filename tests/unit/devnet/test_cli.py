"""The front door: an expected error is one line, however deep it was raised."""

import argparse
from pathlib import Path

import pytest

from devnet import cli
from devnet.model.command import Exit
from dst.spec.errors import BadConfig


def _run(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    def fail(_: argparse.Namespace) -> int:
        raise error

    class Parser:
        def parse_args(self, _: object) -> argparse.Namespace:
            return argparse.Namespace(call=fail)

    monkeypatch.setattr(cli, "_parser", lambda _: Parser())
    return cli.main([])


def test_an_expected_error_inside_task_groups_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = ExceptionGroup("outer", [ExceptionGroup("inner", [BadConfig("no operator op9")])])
    assert _run(monkeypatch, error) == Exit.HARNESS
    assert capsys.readouterr().err == "error: no operator op9\n"


def test_an_unexpected_error_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    error = ExceptionGroup("outer", [BadConfig("expected"), ZeroDivisionError()])
    with pytest.raises(ExceptionGroup):
        _run(monkeypatch, error)


def test_the_l2_may_not_have_the_chain_id_of_the_l1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["up", "--chain-id", "900", "--dir", str(tmp_path / "net")]) == 3
    assert "--chain-id 900: the L1 has that number" in capsys.readouterr().err


def test_a_detached_network_has_the_gas_limit_that_was_asked_for(tmp_path: Path) -> None:
    words = ["up", "--detach", "--gas-limit", "43008000", "--dir", str(tmp_path)]
    again = cli._supervisor_words(cli._parser(words).parse_args(words), tmp_path)
    assert cli._parser(again).parse_args(again).gas_limit == 43_008_000


def test_a_detached_network_has_the_versions_that_were_asked_for(tmp_path: Path) -> None:
    words = ["up", "-d", "--version", "v1", "--version", "op2=./old", "--dir", str(tmp_path)]
    again = cli._supervisor_words(cli._parser(words).parse_args(words), tmp_path)
    assert cli._parser(again).parse_args(again).versions == ["v1", "op2=./old"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (
            ["--version", "op9=copy"],
            "--version op9=copy: no node op9; there are op1, op2, op3, op4, f1",
        ),
        (["--version", "op2="], "--version: expected a revision of this repository"),
        (["--version", "copy", "--cluster", "single"], "no other versions of a baseline"),
        (["--version", "./gone"], "no wheel, and no folder that holds dst/__init__.py"),
    ],
)
def test_versions_that_cannot_be_are_refused_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], complaint: str
) -> None:
    folder = tmp_path / "net"
    assert cli.main(["up", "--dir", str(folder), "--backend", "process", *words]) == 3
    assert complaint in capsys.readouterr().err
    assert not folder.exists()
