"""What becomes of a failure: a short tape in a file, its steps as sentences, a command."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from devnet.sim.replay import Played, play, record
from devnet.sim.shrink import BUDGET, Shrinking, shrink
from devnet.sim.story import Story
from devnet.sim.tape import Tape

CORPUS: Final = Path(__file__).parents[2] / "fixtures/tapes"
"""Tapes of failures that were mended, and of mutants; `tests/simulation` replays each."""
RUNS: Final = Path("runs/tapes")
"""Of failures that are wanted: those of mutants."""


def explain(
    generator: str,
    seed: int,
    n: int,
    mutant: str | None = None,
    *,
    budget: int = BUDGET,
    shown: Callable[[Shrinking], None] | None = None,
) -> str:
    """Shrink the failure of a seed and keep its tape: in the corpus, unless it is a mutant's."""
    whole = record(generator, seed, n, mutant)
    if not whole.failure:
        return f"seed {seed} passes now"
    folder = RUNS if mutant or not CORPUS.is_dir() else CORPUS
    file = folder / "-".join([generator, f"n{n}", str(seed), *([mutant] if mutant else [])])
    return shrunk_to(file.with_suffix(".json"), whole.tape, f"seed {seed}", budget, shown)


def shrunk_to(
    file: Path,
    tape: Tape,
    whose: str,
    budget: int = BUDGET,
    shown: Callable[[Shrinking], None] | None = None,
) -> str:
    """What a tape comes down to: told, and kept in a file."""
    short = shrink(tape, budget=budget, shown=shown)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(short.written())
    shrunk = f"{len(tape)} choices of {whose} shrunk to {len(short)}:"
    return "\n".join([shrunk, retold(short)[1], f"again: {command(file)}"])


def retold(tape: Tape) -> tuple[Played, str]:
    """Play a tape, and what happened."""
    story = Story()
    played = play(tape, story)
    return played, "\n".join([setting(tape), *story.lines(), played.failure or "passed"])


def setting(tape: Tape) -> str:
    """`n = 4, mutant quorum-2f; byzantine: {'0': 'hoarder'}; loss_rate: 0.1`."""
    first = f"{tape.generator}, n = {tape.n}" + (f", mutant {tape.mutant}" if tape.mutant else "")
    return "; ".join([first, *(f"{name}: {value}" for name, value in tape.params.items())])


def command(file: Path) -> str:
    return f"python -m devnet.sim --tape {file}"


def show_shrinking(shrinking: Shrinking) -> None:
    """On a terminal."""
    if sys.stderr.isatty():
        text = f"shrinking: {len(shrinking.tape)} choices left after {shrinking.replays} replays"
        print(f"\r{text:<78}\r", end="", file=sys.stderr, flush=True)
