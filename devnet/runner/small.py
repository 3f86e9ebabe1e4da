"""What a shrinking left: the file, what was left out, and the line that plays it again; and what
the simulator says of it, where its faults have a counterpart."""

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from devnet.checkers.base import counted
from devnet.model.verdict import Outcome
from devnet.report.summary import CampaignSummary, rehearsal_command
from devnet.runner.shrink import Shrinking, told_of

SIMULATOR: Final = "devnet.sim.variations"
"""Run as a program of its own: nothing here imports the simulator."""
REHEARSALS: Final = 20
REHEARSAL_S: Final = 600.0
"""A variation takes about a second of one processor."""
SIMULATED_SLOT_S: Final = 1


class Small(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What `--json` prints. again, simulated: commands. rehearsed: how the simulator's variations
    of it ended, in words; empty: it was not asked."""

    checker: str
    file: str
    dropped: list[str]
    played: int
    met: dict[str, int]
    ended: str
    again: str
    simulated: str
    rehearsed: str = ""


def small_of(shrinking: Shrinking, file: Path, seed: int, network: Sequence[str] = ()) -> Small:
    """network: flags of one like that on which it fails."""
    words = ["devnet", "chaos", "run", str(file), "--seed", str(seed), *network]
    return Small(
        checker=shrinking.checker,
        file=str(file),
        dropped=shrinking.dropped,
        played=shrinking.played,
        met={str(fit): count for fit, count in shrinking.met.items()},
        ended=shrinking.ended,
        again=shlex.join(words),
        simulated=f"{rehearsal_command(str(file))} --seed {seed}",
    )


def rendered(small: Small, shrinking: Shrinking) -> str:
    lines = [f"- {line}" for line in small.dropped]
    ended = f" (not to the end: {small.ended})" if small.ended else ""
    lines.append(f"{counted(small.played, 'run{s}')}: {told_of(shrinking.met)}{ended}")
    lines.append(f"fails in {small.checker}: {small.again}")
    told = f" ({small.rehearsed})" if small.rehearsed else ""
    lines.append(f"in the simulator: {small.simulated}{told}")
    return "\n".join(lines)


class _Report(msgspec.Struct):
    simulated: CampaignSummary


def rehearsed(file: str, seed: int, slot_seconds: int) -> str:
    """How the simulator's variations of a scenario ended: `18 of 20 fail: ...`, or why there are
    none."""
    if slot_seconds != SIMULATED_SLOT_S:
        return f"not played: its slots are of {SIMULATED_SLOT_S} s, these of {slot_seconds} s"
    words = [file, "--runs", str(REHEARSALS), "--seed", str(seed), "--json"]
    try:
        done = subprocess.run(
            [sys.executable, "-m", SIMULATOR, *words],
            check=False,
            capture_output=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
            timeout=REHEARSAL_S,
        )
        runs = msgspec.json.decode(done.stdout, type=_Report).simulated.runs
    except subprocess.TimeoutExpired:
        return f"not played to the end: {REHEARSAL_S:.0f} s were over"
    except msgspec.MsgspecError:
        said = done.stderr.strip().splitlines() or ["no answer"]
        return f"not played: {said[-1].removeprefix('error: ')}"
    failed = [run for run in runs if run.outcome is Outcome.FAIL]
    if failed:
        return f"{len(failed)} of {len(runs)} variations fail: {failed[0].reason}"
    passed = sum(run.outcome is Outcome.PASS for run in runs)
    return f"{passed} of {len(runs)} variations pass, none fails"
