"""What all files of ours have in common: bounded, each key once, one line for what is wrong; and no
error of a command that looks like a broken invariant."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from devnet.chaos_cli import main
from devnet.model.command import Exit
from devnet.model.reading import shown
from devnet.scenarios.catalogue import load_file
from devnet.scenarios.document import MAX_BYTES, MAX_COMPLAINT
from devnet.scenarios.matrix import load_matrix
from devnet.scenarios.slo import load_service_levels
from dst.spec.errors import BadConfig

READERS: dict[str, Callable[[Path], object]] = {
    "scenario": load_file,
    "campaign": load_matrix,
    "slo": load_service_levels,
}
BOMB = "about:\n  - &a0 [zzzzzzzz, zzzzzzzz]\n" + "".join(
    f"  - &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
)
BAD = {
    "aliases": (BOMB, "anchors and aliases are not read (line 2)"),
    "flow": ("name: " + "[" * 600, "more than 16 levels deep"),
    "blocks": ("name:\n  " + "- " * 20_000 + "x", "more than 16 levels deep"),
    "brackets": ("name: [" + "[]," * 3000 + "]", "more than 2048 brackets"),
    "twice": ("name: a\nname: b\n", "the key 'name' is there twice (line 2)"),
    "twice within": ("name: {x: 1, y: 2, x: 3}\n", "the key 'x' is there twice (line 1)"),
    "size": ("name: " + "x" * MAX_BYTES, "longer than 65536 bytes"),
    "no date": ("name: 2001-13-45\n", "not YAML that we read"),
    "a huge number": ("? 1" + ":1" * 9000 + "\n: x\n", "unknown key 'a huge int'"),
    "a long key": ("? " + "x" * 3000 + "\n: x\n", "unknown key 'xxx"),
    "a long value": ("scenario: 1\ncampaign: 1\nslo: 1\nname: " + "x" * 60_000, "name"),
    "no text": ("\x00\x01", "not YAML that we read"),
    "nothing": ("", "expected a mapping"),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("kind", READERS)
def test_a_file_that_is_none_is_refused_in_one_short_error(
    kind: str, bad: str, tmp_path: Path
) -> None:
    text, words = BAD[bad]
    path = tmp_path / "it.yaml"
    path.write_text(text)
    with pytest.raises(BadConfig) as caught:
        READERS[kind](path)
    said = str(caught.value)
    assert said.startswith(str(path))
    if bad != "a long value":  # the other two know no `scenario`, or no `slo`
        assert words in said
    assert len(said) <= MAX_COMPLAINT + 10


@pytest.mark.parametrize("kind", READERS)
def test_not_more_of_a_file_is_read_than_it_may_have(kind: str, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="longer than 65536 bytes"):
        READERS[kind](Path("/dev/zero"))
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadConfig, match="cannot read the"):
        READERS[kind](tmp_path / "x.yaml")


def test_values_are_quoted_as_far_as_needed() -> None:
    assert shown("op9") == "'op9'"
    assert shown([4, 5]) == "[4, 5]"
    assert len(shown("x" * 10_000)) < 130
    assert len(shown({str(i): ["y" * 999] * 50 for i in range(50)})) < 3000


CAMPAIGN = "campaign: 1\nname: small\nscenarios: [leader-kill]\nseeds: 1\n"


def test_a_disk_that_is_full_is_no_broken_invariant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Within a group of tasks, too."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text(CAMPAIGN)
    (tmp_path / "campaigns" / "small").mkdir(parents=True)
    (tmp_path / "campaigns" / "small" / "scenarios").write_text("")
    assert main(["campaign", "c.yaml", "--backend", "process"]) == Exit.HARNESS
    said = capsys.readouterr().err
    assert "error: [Errno" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "words",
    [
        ["random", "--n", "5", "--write", "x.yaml"],
        ["random", "--budget", "1", "--write", "x.yaml"],
        ["random", "--write", "/dev/null/x.yaml"],
        ["judge", "nowhere"],
        ["shrink", "nowhere.yaml"],
        ["run", "nowhere.yaml"],
        ["run", "leader-kill", "--out", "/dev/null/x", "--operators", "5"],
        ["campaign", "nowhere.yaml"],
        ["show", "nowhere.yaml"],
    ],
)
def test_what_cannot_be_ends_with_three_and_one_line(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(words) == Exit.HARNESS
    said = capsys.readouterr()
    assert said.err.startswith("error: ")
    assert len(said.err.splitlines()) == 1
    assert not said.out


def test_a_defect_of_ours_is_no_broken_invariant_either(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def odd(_: object) -> None:
        raise ExceptionGroup("tasks", [ZeroDivisionError("odd"), OSError(errno.ENOSPC, "full")])

    monkeypatch.setattr("devnet.chaos_cli.sentences", odd)
    assert main(["show", "leader-kill"]) == Exit.HARNESS
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "error: odd\n" in said
    assert "error: [Errno 28] full\n" in said
