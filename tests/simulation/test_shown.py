"""What a person sees of these tests: asked in a terminal of its own, and with workers."""

import os
import pty
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")


def on_a_terminal(*words: str, **env: str) -> str:
    """All that a command writes there."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        words, cwd=ROOT, env={**os.environ, **env}, stdin=theirs, stdout=theirs, stderr=theirs
    ):
        os.close(theirs)
        said = b""
        while chunk := _read(ours):
            said += chunk
    os.close(ours)
    return said.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # Linux says so that nobody writes there any more
        return b""


def test_a_campaign_shows_how_far_it_is() -> None:
    test = "tests/simulation/test_campaign.py::test_no_seed_breaks_an_invariant[2-2]"
    said = on_a_terminal(*PYTEST, test, SIM_SEEDS_OTHER="2", SIM_JOBS="1", COLUMNS="120")
    assert "1 passed" in said
    assert "n = 2" in said
    assert "2/2" in said
    assert "seeds/s, 0 failures" in said


def test_the_kill_table_is_printed_wherever_it_is_played() -> None:
    test = "tests/simulation/test_mutants.py::test_the_mutant_dies[quorum-2f]"
    words = (*PYTEST, "-n", "1", test)
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("quorum-2f ")]
    assert line.split()[1] == "S1"
