"""`python -m devnet.sim.variations RUN|SCENARIO --runs 1000`: one schedule of faults in many
variations, each with other delays; what `devnet chaos replay --simulated` is.

Of a run's folder the schedule is the one that its record tells, the same in every variation; of a
scenario it is drawn anew with each seed, as by `devnet chaos run`. The first variation that fails
is shrunk to what the failure needs, and told.
"""

import argparse
import multiprocessing
import os
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import msgspec

from devnet.model.command import Exit, escape_what_cannot_be_shown
from devnet.model.verdict import Outcome, exit_code
from devnet.report.summary import (
    CampaignSummary,
    RunSummary,
    percentile,
    summarise_campaign,
)
from devnet.report.table import render_columns, seconds_text
from devnet.runner.recorded import Schedule, schedule_of
from devnet.runner.shrink import without
from devnet.scenarios.parse import parse_text
from devnet.scenarios.scenario import Scenario
from devnet.scenarios.write import scenario_yaml
from devnet.sim.findings import RUNS, show_shrinking, shrunk_to
from devnet.sim.mutants import MUTANTS, mutated
from devnet.sim.progress import progress
from devnet.sim.rehearsal import SLOT_SECONDS, rehearse, require_playable, without_counterpart
from devnet.sim.replay import record_schedule
from devnet.sim.tape import Schedule as TapeSchedule
from dst.spec.errors import BadConfig

SCHEMA_VERSION: Final = 1
BATCH: Final = 8
"""Variations that go to a process at once: a second or two of work."""
BUDGET: Final = 300
"""Replays to shrink with: half a minute to a minute."""
TOLD: Final = 5
"""Of the variations that did not pass."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` prints. live: the run whose schedule it is. left_out: fault -> why."""

    version: int = SCHEMA_VERSION
    live: RunSummary | None
    simulated: CampaignSummary
    left_out: dict[str, str]
    again: str
    """The command that plays the first variation that did not pass; empty when all passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """text: the scenario, YAML. drawn_from: seed of its draws; None: the variation's own."""

    text: str
    drawn_from: int | None
    mutant: str | None = None

    def play(self, seed: int) -> RunSummary:
        scenario = parse_text(self.text, what="the schedule")
        drawn_from = seed if self.drawn_from is None else self.drawn_from
        with mutated(self.mutant):
            return rehearse(scenario, seed, drawn_from=drawn_from).summary


def main(argv: Sequence[str] | None = None) -> int:
    escape_what_cannot_be_shown()
    arguments = _parser().parse_args(argv)
    try:
        schedule = schedule_of(arguments.what)
        scenario, left_out = _playable(schedule, arguments)
    except BadConfig as error:
        print(f"error: {error}", file=sys.stderr)
        return Exit.HARNESS
    variation = Variation(
        text=scenario_yaml(scenario), drawn_from=schedule.seed, mutant=arguments.mutant
    )
    first: int = arguments.seed
    try:
        runs = _played(variation, range(first, first + arguments.runs), arguments.jobs)
    except KeyboardInterrupt:
        print("broken off", file=sys.stderr)
        return Exit.HARNESS
    report = _report(schedule, scenario, runs, left_out, arguments)
    print(msgspec.json.encode(report).decode() if arguments.json else rendered(report))
    if not arguments.json and (failed := _first(report, Outcome.FAIL)) is not None:
        print(_explained(variation, scenario, failed.seed, arguments.budget))
    return exit_code(report.simulated.outcome)


def _playable(schedule: Schedule, arguments: argparse.Namespace) -> tuple[Scenario, dict[str, str]]:
    """Without what is to be left out. Raises: BadConfig."""
    scenario, drawn_from = schedule.scenario, schedule.seed
    if schedule.slot_seconds not in (None, SLOT_SECONDS):
        raise BadConfig(f"that run had slots of {schedule.slot_seconds:g} s, the simulator of 1 s")
    if arguments.operators is not None:
        if drawn_from is not None and arguments.operators != scenario.operators:
            raise BadConfig(f"operators: that run had {scenario.operators}")
        scenario = replace(scenario, operators=arguments.operators)
    draws = arguments.seed if drawn_from is None else drawn_from
    if not arguments.leave_out:
        require_playable(scenario, draws)
        return scenario, {}
    wrong = without_counterpart(scenario, draws)
    scenario = replace(without(scenario, tuple(wrong)), hostile=None)
    if not scenario.faults:
        raise BadConfig(f"{scenario.name}: nothing is left: {'; '.join(wrong.values())}")
    require_playable(scenario, draws)
    return scenario, wrong


def _played(variation: Variation, seeds: range, jobs: int) -> list[RunSummary]:
    found: list[RunSummary] = []
    with _mapped(jobs if len(seeds) > BATCH else 1) as mapped:
        if len(seeds) <= BATCH:
            return [variation.play(seed) for seed in seeds]
        with progress("rehearsal", "variations", len(seeds)) as advance:
            for summary in mapped(variation.play, seeds):
                found.append(summary)
                advance(len(found), sum(run.outcome is Outcome.FAIL for run in found))
    return found


@contextmanager
def _mapped(jobs: int) -> Iterator[partial[Iterator[RunSummary]]]:
    if jobs == 1:
        yield partial(map)
        return
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, spawn, initializer=_leave_interrupts)
    try:
        yield partial(pool.map, chunksize=BATCH)
    finally:
        pool.shutdown(cancel_futures=True)


def _leave_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _report(
    schedule: Schedule,
    scenario: Scenario,
    runs: Sequence[RunSummary],
    left_out: dict[str, str],
    arguments: argparse.Namespace,
) -> Report:
    simulated = summarise_campaign(
        runs,
        scenario=scenario.name,
        backend="simulator",
        operators=scenario.operators,
        slot_seconds=SLOT_SECONDS,
    )
    bad = next((run for run in runs if run.outcome is simulated.outcome), None)
    passed = simulated.outcome is Outcome.PASS or bad is None
    again = "" if passed or bad is None else command(arguments.what, bad.seed, arguments)
    return Report(live=schedule.summary, simulated=simulated, left_out=left_out, again=again)


def command(what: str, seed: int, arguments: argparse.Namespace) -> str:
    """That plays one variation again."""
    words = ["devnet", "chaos", "replay", what, "--simulated", "--seed", str(seed)]
    words += ["--operators", str(arguments.operators)] if arguments.operators else []
    words += ["--leave-out"] if arguments.leave_out else []
    return shlex.join(words)


def _first(report: Report, outcome: Outcome) -> RunSummary | None:
    return next((run for run in report.simulated.runs if run.outcome is outcome), None)


_HEAD: Final = ("", "verdict", "target", "fell in", "gap", "most", "recovery", "most")


def rendered(report: Report) -> str:
    """The live run beside its variations, and of those that did not pass why."""
    rows: list[tuple[str, ...]] = [_HEAD]
    if report.live is not None:
        rows.append(_live_row(report.live))
    rows.append(_simulated_row(report.simulated))
    lines = [render_columns(rows), ""]
    lines += [f"left out: {name}: {why}" for name, why in report.left_out.items()]
    wrong = [run for run in report.simulated.runs if run.outcome is not Outcome.PASS]
    lines += [f"seed {run.seed}: {run.outcome}: {run.reason}" for run in wrong[:TOLD]]
    lines += [f"... and {len(wrong) - TOLD} more"] if len(wrong) > TOLD else []
    lines += [f"again: {report.again}"] if report.again else []
    return "\n".join(lines).rstrip()


def _live_row(run: RunSummary) -> tuple[str, ...]:
    gap, recovery = seconds_text(run.gap), seconds_text(run.recovery)
    return ("live", run.outcome.value, run.target, run.hit, gap, "", recovery, "")


def _simulated_row(campaign: CampaignSummary) -> tuple[str, ...]:
    """Medians, and the largest."""
    runs = campaign.runs
    counts = [
        f"{count} {outcome}"
        for outcome in Outcome
        if (count := sum(run.outcome is outcome for run in runs))
    ]
    gaps = [run.gap for run in runs if run.gap is not None]
    recoveries = [run.recovery for run in runs if run.recovery is not None]
    return (
        "simulated",
        ", ".join(counts) if len(runs) > 1 else campaign.outcome.value,
        _same([run.target for run in runs]),
        _same([run.hit for run in runs]),
        seconds_text(percentile(gaps, 50)),
        seconds_text(max(gaps, default=None)) if len(runs) > 1 else "",
        seconds_text(percentile(recoveries, 50)),
        seconds_text(max(recoveries, default=None)) if len(runs) > 1 else "",
    )


def _same(words: Sequence[str]) -> str:
    """What all say, or how many things they say."""
    found = dict.fromkeys(words)
    return next(iter(found)) if len(found) == 1 else f"{len(found)} places"


def _explained(variation: Variation, scenario: Scenario, seed: int, budget: int) -> str:
    drawn_from = seed if variation.drawn_from is None else variation.drawn_from
    schedule = TapeSchedule(text=variation.text, seed=drawn_from)
    whole = record_schedule(schedule, seed, scenario.operators, variation.mutant)
    file = RUNS / f"{scenario.name}-n{scenario.operators}-{seed}.json"
    return shrunk_to(file, whole.tape, f"seed {seed}", budget, show_shrinking)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="devnet.sim.variations", description=__doc__)
    parser.add_argument("what", metavar="RUN|SCENARIO", help="a run's folder, a name, or a file")
    parser.add_argument("--runs", type=int, default=1, metavar="N", help="variations")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the first one")
    parser.add_argument("--operators", type=int, default=None, metavar="N")
    parser.add_argument("--leave-out", action="store_true", help="what has no counterpart")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="one rule of the code left out")
    parser.add_argument("--budget", type=int, default=BUDGET, help="replays to shrink with")
    parser.add_argument("--json", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main())
