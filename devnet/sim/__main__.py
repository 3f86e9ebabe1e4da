"""`python -m devnet.sim --seeds A:B --n 4 [--mutant NAME] [--jobs 2] [--verbose]`.

Exit codes: 0 no failure, 1 a seed failed (with a mutant: it was killed), 2 wrong arguments.
"""

import argparse
import sys

from devnet.checkers.base import counted
from devnet.sim.campaign import SIZES, reproduction, run_campaign
from devnet.sim.mutants import MUTANTS, mutated
from devnet.sim.world import Outcome, run_seed


def main() -> int:
    arguments = _parser().parse_args()
    seeds: range = arguments.seeds
    if arguments.verbose and len(seeds) == 1:
        with mutated(arguments.mutant):
            outcome = run_seed(seeds[0], arguments.n, verbose=True)
        print(one_line(outcome))
        return 1 if outcome.failure else 0
    tally = run_campaign(
        seeds,
        arguments.n,
        jobs=arguments.jobs,
        mutant=arguments.mutant,
        stop_at_failure=arguments.mutant is not None,
        progress=sys.stderr.isatty() or arguments.verbose,
    )
    for failure in tally.failures:
        print(f"seed {failure.seed}: {failure.failure}")
        print(f"  again: {reproduction(failure, arguments.mutant)}")
    print(tally.summary())
    print(" ".join(f"{name}={count}" for name, count in sorted(tally.counts.items())))
    if missing := tally.never_reached():
        print(f"never reached: {', '.join(missing)}")
    return 1 if tally.failures else 0


def one_line(outcome: Outcome) -> str:
    """`seed 7: passed, 4 heights, 5 crashes`."""
    verdict = f"failed: {outcome.failure}" if outcome.failure else "passed"
    heights = counted(outcome.heights, "height{s}")
    crashes = counted(outcome.counts.get("crash", 0), "crash{es}")
    return f"seed {outcome.seed}: {verdict}, {heights}, {crashes}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="devnet.sim", description="Simulate seeds A to B-1.")
    parser.add_argument("--seeds", type=_seeds, required=True, metavar="A:B")
    parser.add_argument("--n", type=int, default=4, choices=SIZES)
    parser.add_argument("--mutant", choices=sorted(MUTANTS))
    parser.add_argument("--jobs", type=int, default=2)
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
