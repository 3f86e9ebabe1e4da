"""`python -m devnet.sim.long [--heights 1000000] [--schedules 1000000] [--n 4] [--jobs 2]
[--workers tcp://HOST:8786] [--first-seed 0]`: the long campaign, on this machine or many.

Swarm chaos until so many heights are decided, and so many lock-step schedules. Exit codes: 0 no
failure, 1 a failure (shrunk and told), 2 no workers or wrong arguments, 130 interrupted (the tally
of what was played is printed all the same, with the command that goes on from there).
"""

import argparse
import os
import sys
from collections.abc import Mapping
from concurrent.futures import Executor
from contextlib import ExitStack
from typing import Final

from devnet.model.command import escape_what_cannot_be_shown
from devnet.runner.workers import NoWorkers
from devnet.sim.campaign import Tally, reproduction, run_campaign
from devnet.sim.findings import explain, show_shrinking
from devnet.sim.machines import connected
from devnet.sim.progress import progress

UNBOUNDED: Final = 10**12
"""Seeds: more than any number of heights takes."""
INTERRUPTED: Final = 130
REPORTED: Final = 20
"""Failures that are listed; all are counted, the first is shrunk."""


def main() -> int:
    escape_what_cannot_be_shown()
    arguments = _parser().parse_args()
    try:
        with ExitStack() as stack:
            executor, jobs = None, arguments.jobs
            if arguments.workers:
                machines = stack.enter_context(connected(arguments.workers))
                executor, jobs = machines.executor, machines.workers
            tallies = campaigns(
                arguments.n,
                heights=arguments.heights,
                schedules=arguments.schedules,
                first=arguments.first_seed,
                jobs=jobs,
                executor=executor,
            )
    except NoWorkers as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for generator, tally in tallies.items():
        print(told(generator, tally, jobs))
        for failure in tally.failures[:REPORTED]:
            print(f"seed {failure.seed}: {failure.failure}")
            print(f"  again: {reproduction(failure, None, generator)}")
        if tally.failures:
            print(explain(generator, tally.failures[0].seed, tally.n, shown=show_shrinking))
    if any(tally.failures for tally in tallies.values()):
        return 1
    if any(tally.interrupted for tally in tallies.values()):
        print(f"interrupted; go on: {rest(tallies, arguments)}")
        return INTERRUPTED
    return 0


def campaigns(
    n: int,
    *,
    heights: int,
    schedules: int,
    first: int = 0,
    jobs: int = 2,
    executor: Executor | None = None,
) -> dict[str, Tally]:
    """Both generators, one after the other; the same tallies with any executor. An interrupted
    one is the last."""
    with progress("chaos", "heights", heights) as advance:
        chaos = run_campaign(
            range(first, first + UNBOUNDED if heights else first),
            n,
            jobs=jobs,
            heights=heights,
            executor=executor,
            shown=lambda tally: advance(tally.heights, len(tally.failures)),
        )
    if chaos.interrupted:
        return {"chaos": chaos}
    with progress("lockstep", "schedules", schedules) as advance:
        lockstep = run_campaign(
            range(first, first + schedules),
            n,
            generator="lockstep",
            jobs=jobs,
            executor=executor,
            shown=lambda tally: advance(tally.seeds, len(tally.failures)),
        )
    return {"chaos": chaos, "lockstep": lockstep}


def rest(tallies: Mapping[str, Tally], arguments: argparse.Namespace) -> str:
    """The command that plays what an interrupt left out."""
    heights = max(0, arguments.heights - tallies["chaos"].heights)
    lockstep = tallies.get("lockstep")
    schedules = arguments.schedules - (lockstep.seeds if lockstep else 0)
    played = (lockstep or tallies["chaos"]).seeds
    command = f"make sim-long N={arguments.n} HEIGHTS={heights} SCHEDULES={schedules}"
    workers = f" WORKERS={arguments.workers}" if arguments.workers else ""
    return f"{command} SEED={arguments.first_seed + played}{workers}"


def told(generator: str, tally: Tally, workers: int) -> str:
    """One line: what was played, and how fast a worker is."""
    each = f"for each of {workers} workers: {tally.rate(tally.seeds) / workers:.1f} seeds/s"
    if tally.heights:
        each += f", {tally.rate(tally.heights) / workers:.0f} heights/s"
        return f"{generator} {tally.summary()}; {each}"
    played = f"{generator} n={tally.n}: {tally.seeds} schedules in {tally.seconds:.1f} s"
    return f"{played}; {len(tally.failures)} failures; {each}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="devnet.sim.long", description="The long campaign.")
    parser.add_argument("--heights", type=int, default=10**6)
    parser.add_argument("--schedules", type=int, default=10**6)
    parser.add_argument("--n", type=int, default=4)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes here")
    parser.add_argument("--workers", default="", metavar="tcp://HOST:PORT", help="a Dask scheduler")
    parser.add_argument("--first-seed", type=int, default=0)
    return parser


if __name__ == "__main__":
    sys.exit(main())
