"""`python -m devnet.sim --seeds A:B --n 4 [--generator lockstep] [--mutant NAME] [--jobs 2]`, or
`--tape FILE` to play a tape again.

A seed that fails is shrunk to a short tape and told as sentences; `--verbose` tells all of a single
seed. Exit codes: 0 no failure, 1 a seed failed (with a mutant: it was killed), 2 wrong arguments.
"""

import argparse
import sys
from pathlib import Path
from typing import Final

from devnet.checkers.base import counted
from devnet.model.command import escape_what_cannot_be_shown
from devnet.sim.campaign import BATCH, SIZES, reproduction, run_campaign
from devnet.sim.findings import explain, retold, show_shrinking
from devnet.sim.minority import run_minority
from devnet.sim.mutants import MUTANTS, mutated
from devnet.sim.progress import progress
from devnet.sim.shrink import BUDGET
from devnet.sim.tape import Tape
from devnet.sim.world import Outcome, run_seed
from dst.spec.errors import InvalidInput
from dst.spec.primitives import faults_tolerated

IN_TIME: Final = ("chaos", "minority")
"""They have records to tell; the others' story is that of their tape."""


def main() -> int:
    escape_what_cannot_be_shown()
    parser = _parser()
    arguments = parser.parse_args()
    if arguments.tape is not None:
        try:
            played, text = retold(Tape.read(arguments.tape.read_bytes()))
        except (OSError, InvalidInput) as error:
            parser.error(str(error))
        print(text)
        return 1 if played.failure else 0
    if arguments.seeds is None:
        parser.error("which --seeds, or which --tape?")
    if arguments.generator.startswith("twins") and not faults_tolerated(arguments.n):
        parser.error(f"a twin is a fault, and {arguments.n} operators bear none")
    if arguments.verbose and len(arguments.seeds) == 1 and arguments.generator in IN_TIME:
        return _whole_story(arguments)
    return _campaign(arguments)


def _whole_story(arguments: argparse.Namespace) -> int:
    seed = arguments.seeds[0]
    with mutated(arguments.mutant):
        if arguments.generator == "chaos":
            outcome = run_seed(seed, arguments.n, verbose=True)
        else:
            outcome, _ = run_minority(seed, arguments.n, verbose=True)
    print(one_line(outcome))
    if not outcome.failure:
        return 0
    print(_explained(arguments, seed))
    return 1


def _explained(arguments: argparse.Namespace, seed: int) -> str:
    return explain(
        arguments.generator,
        seed,
        arguments.n,
        arguments.mutant,
        budget=arguments.budget,
        shown=show_shrinking,
    )


def _campaign(arguments: argparse.Namespace) -> int:
    seeds: range = arguments.seeds
    with progress(arguments.generator, "seeds", len(seeds)) as advance:
        tally = run_campaign(
            seeds,
            arguments.n,
            generator=arguments.generator,
            jobs=arguments.jobs,
            mutant=arguments.mutant,
            stop_at_failure=arguments.mutant is not None,
            shown=lambda tally: advance(tally.seeds, len(tally.failures)),
        )
    for failure in tally.failures:
        print(f"seed {failure.seed}: {failure.failure}")
        print(f"  again: {reproduction(failure, arguments.mutant, arguments.generator)}")
    print(tally.summary())
    print(" ".join(f"{name}={count}" for name, count in sorted(tally.counts.items())))
    if arguments.generator in IN_TIME and (missing := tally.never_reached()):
        print(f"never reached: {', '.join(missing)}")
    if not tally.failures:
        return 0
    print(_explained(arguments, tally.failures[0].seed))
    return 1


def one_line(outcome: Outcome) -> str:
    """`seed 7: passed, 4 heights, 5 crashes`."""
    verdict = f"failed: {outcome.failure}" if outcome.failure else "passed"
    heights = counted(outcome.heights, "height{s}")
    crashes = counted(outcome.counts.get("crash", 0), "crash{es}")
    return f"seed {outcome.seed}: {verdict}, {heights}, {crashes}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="devnet.sim", description="Simulate seeds A to B-1.")
    parser.add_argument("--seeds", type=_seeds, metavar="A:B")
    parser.add_argument("--tape", type=Path, metavar="FILE", help="play this again")
    parser.add_argument("--generator", default="chaos", choices=sorted(BATCH))
    parser.add_argument("--n", type=int, default=4, choices=SIZES)
    parser.add_argument("--mutant", choices=sorted(MUTANTS))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--budget", type=int, default=BUDGET, help="replays to shrink with")
    parser.add_argument("--verbose", action="store_true", help="the whole story of a single seed")
    return parser


def _seeds(text: str) -> range:
    """A:B, half open; a single number is that seed alone."""
    first, _, last = text.partition(":")
    try:
        seeds = range(int(first), int(last) if last else int(first) + 1)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected A:B, got {text!r}") from None
    if not seeds:
        raise argparse.ArgumentTypeError(f"no seeds in {text!r}")
    return seeds


if __name__ == "__main__":
    sys.exit(main())
