"""A terminal that knows ASCII alone: every command says what it has to say, and its exit code is
its answer's."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

HERE = str(Path(__file__).parents[3])
ASCII = {**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONPATH": HERE}
MINE = """
scenario: 1
name: mine
about: Zürich verliert ein Kabel… für zehn Sekunden.
faults:
  - {id: cut, do: cut, links: l1, until: {hold: 10s}}
"""


def asked(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=cwd, env=ASCII, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize("program", [["devnet", "chaos"], ["devnet.chaos_cli"]])
def test_what_a_command_prints_is_escaped(program: list[str], tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(MINE, encoding="utf-8")
    shown = asked(*program, "show", str(file), cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith(r"mine: Z\xfcrich verliert ein Kabel\u2026 f\xfcr zehn")


def test_the_simulator_answers_with_its_exit_code(tmp_path: Path) -> None:
    """It prints what breaks, in the scenario's own words, and is 1 then, not 3."""
    file = tmp_path / "grün.yaml"
    bound = "expect: {gap: 100ms, settle_in: 0}\n"
    cut = "cut, do: kill, target: leader, until: {hold: 2s}"
    file.write_text(MINE.replace("cut, do: cut, links: l1, until: {hold: 10s}", cut) + bound)
    found = asked("devnet.sim.variations", str(file), "--budget", "1", cwd=tmp_path)
    assert (found.returncode, r"gr\xfcn.yaml" in found.stdout) == (1, True), found.stderr


def test_a_dealer_names_its_folder(tmp_path: Path) -> None:
    words = ["--dir", str(tmp_path / "Zürich"), "--operators", "4"]
    dealt = asked("dst", "cluster", "create", *words, cwd=tmp_path)
    assert dealt.returncode == 0, dealt.stderr
    assert r"Z\xfcrich/cluster-lock.json" in dealt.stdout


ESCAPED = """
from devnet.model.command import escape_what_cannot_be_shown
escape_what_cannot_be_shown()
"""
BARS = """
import sys
from devnet.report.progress import shown_progress
from devnet.sim.progress import progress
with shown_progress(sys.stderr) as told:
    told(1, 3)
with progress("rehearsal…", "variations", 3) as advance:
    advance(2, 0)
print("done…")
"""


def test_bars_are_drawn_with_what_there_is() -> None:
    ours, theirs = pty.openpty()
    code = f"{ESCAPED}{BARS}"
    with os.fdopen(theirs, "wb") as terminal:
        env = {**ASCII, "TERM": "xterm"}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=env, stdout=terminal, stderr=terminal, check=False, timeout=60,
        )  # fmt: skip
    drawn = b""
    while chunk := _read(ours):
        drawn += chunk
    os.close(ours)
    assert done.returncode == 0, drawn
    assert b"2/3" in drawn
    assert rb"done\u2026" in drawn
    assert max(drawn) < 128


def _read(terminal: int) -> bytes:
    """Empty when the other end is closed and all is read."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""
