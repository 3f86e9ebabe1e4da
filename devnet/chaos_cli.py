"""`devnet chaos list` and `devnet chaos run NAME`: flags in, table or JSON out, exit code.

0 every run passed, 1 an invariant broke, 2 nothing was shown (inconclusive or vacuous), 3 the
harness failed. `python -m devnet.chaos_cli all` runs the whole catalogue.
"""

import argparse
import asyncio
import secrets
import signal
import sys
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from devnet.checkers.base import counted
from devnet.model.command import DEFAULT_DIR, Exit
from devnet.model.reading import MAX_SECONDS
from devnet.model.topology import compute_topology
from devnet.model.verdict import Outcome, exit_code, worst
from devnet.network.bring_up import choose_backend
from devnet.report.campaign import exit_of, render_report
from devnet.report.progress import shown_progress
from devnet.report.summary import CampaignSummary, worst_outcome
from devnet.report.table import render_campaign, render_verdicts
from devnet.runner.attach import Wanted
from devnet.runner.campaign import Campaign, require_possible, run_campaign
from devnet.runner.judging import judge_folder, said_before
from devnet.runner.matrix_report import (
    Earlier,
    report_of,
    require_about,
    require_comparable,
    write_report,
)
from devnet.runner.matrix_run import BATCH, MatrixRun, networks_that_fit
from devnet.runner.plan import require_fits
from devnet.runner.shrink import MAX_RUNS, MINUTES, told_of
from devnet.runner.shrink_live import failing_of, shrink, written_to
from devnet.runner.stages import HarnessError
from devnet.scenarios import catalogue
from devnet.scenarios.draw import BUDGET_S, LEAST_OPERATORS, draw_schedule
from devnet.scenarios.matrix import load_matrix
from devnet.scenarios.scenario import Scenario
from devnet.scenarios.sentences import sentences
from devnet.scenarios.slo import load_service_levels
from devnet.scenarios.write import scenario_yaml
from dst.spec.errors import BadConfig, DstError

MOST_RUNS: Final = 1000
_T = TypeVar("_T")


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Give `devnet chaos` its commands; each sets `call`, a function from arguments to an exit
    code."""
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="names of the scenarios, a line about each")
    listing.set_defaults(call=list_scenarios)
    run = commands.add_parser("run", help="run one scenario, on the network in DIR or on its own")
    run.add_argument("name", metavar="NAME", help="a scenario's name, or the path of a YAML file")
    _add_flags(run)
    run.set_defaults(call=run_named)
    show = commands.add_parser("show", help="say in sentences what a scenario does")
    show.add_argument("name", metavar="NAME")
    show.add_argument("--yaml", action="store_true", help="print it as it is read instead")
    show.set_defaults(call=show_scenario)
    validate = commands.add_parser("validate", help="read scenario files and say what is wrong")
    validate.add_argument("files", metavar="FILE", nargs="+", type=Path)
    validate.set_defaults(call=validate_files)
    judge = commands.add_parser("judge", help="judge a run again, from its folder alone")
    judge.add_argument("folder", metavar="RUN", type=Path)
    judge.set_defaults(call=judge_run)
    draw = commands.add_parser("random", help="draw a schedule from a seed, and run or write it")
    draw.add_argument("--n", type=int, default=None, metavar="N", help="the same as --operators")
    draw.add_argument(
        "--budget",
        type=_budget,
        default=BUDGET_S,
        metavar="SECONDS",
        help="that faults stand, all together (default: %(default)g)",
    )
    draw.add_argument(
        "--beyond-f", action="store_true", help="disturb more operators at once than are survived"
    )
    draw.add_argument("--write", type=Path, metavar="FILE", help="write it, and run nothing")
    _add_flags(draw)
    draw.set_defaults(call=run_random)
    small = commands.add_parser("shrink", help="make a failing schedule small, by playing it again")
    small.add_argument("what", metavar="FILE|RUN", type=Path, help="a scenario, or a run's folder")
    small.add_argument("--most-runs", type=_runs, default=MAX_RUNS, metavar="N", dest="most_runs")
    small.add_argument("--minutes", type=float, default=MINUTES, help="(default: %(default)g)")
    small.add_argument(
        "--passes",
        type=_runs,
        default=1,
        metavar="N",
        help="runs that a candidate must pass, for a failure that comes and goes",
    )
    small.add_argument(
        "--write", type=Path, metavar="FILE", help="the small one (default: NAME-small.yaml)"
    )
    small.add_argument("--seed", type=int, default=None, metavar="S")
    _add_network_flags(small)
    small.set_defaults(call=shrink_schedule)
    many = commands.add_parser(
        "campaign", help="run scenario x size x regions x slot x seed, and judge what was promised"
    )
    many.add_argument("file", metavar="FILE", type=Path)
    many.add_argument("--slo", type=Path, metavar="FILE", help="service levels to judge it by")
    many.add_argument(
        "--against", type=Path, metavar="EARLIER", help="folder of a campaign to compare with"
    )
    many.add_argument(
        "--jobs",
        type=_runs,
        default=networks_that_fit(),
        metavar="N",
        help="networks side by side (default here: %(default)s)",
    )
    many.add_argument(
        "--runs-per-network",
        type=_runs,
        default=None,
        metavar="N",
        help=f"most of them, which then count as one (default: {BATCH}; with --slo, --against: 1)",
    )
    many.add_argument(
        "--no-runs", action="store_true", help="report on what is there, and run nothing"
    )
    many.add_argument("--json", action="store_true", help="print campaign.json, not the table")
    many.add_argument("--backend", choices=("docker", "process"), default=None)
    many.add_argument(
        "--port-offset", type=int, default=0, metavar="K", help="of the first network"
    )
    many.add_argument(
        "--out",
        type=Path,
        default=Path("campaigns"),
        help="where its folder goes (default: %(default)s)",
    )
    many.set_defaults(call=run_matrix)
    every = commands.add_parser("all", help="run every scenario of the catalogue in turn")
    _add_flags(every)
    every.set_defaults(call=run_all)


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runs", type=_runs, default=1, metavar="N", help="repeat with seeds S, S+1, ..."
    )
    parser.add_argument(
        "--seed", type=int, default=None, metavar="S", help="default: drawn and printed"
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object instead of the table"
    )
    _add_network_flags(parser)


def _add_network_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--backend", choices=("docker", "process"), default=None)
    parser.add_argument("--operators", type=int, default=None, metavar="N")
    parser.add_argument("--slot-seconds", type=int, default=None, metavar="SECONDS")
    parser.add_argument("--port-offset", type=int, default=None, metavar="K")
    parser.add_argument(
        "--dir", type=Path, default=Path(DEFAULT_DIR),
        help="folder of the network (default: %(default)s); a running one there is used",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, default=Path("runs"), help="where reports go (default: %(default)s)"
    )


def _runs(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if not 1 <= value <= MOST_RUNS:
        raise argparse.ArgumentTypeError(f"expected a number from 1 to {MOST_RUNS}, got {text!r}")
    return value


def _budget(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= MAX_SECONDS:
        raise argparse.ArgumentTypeError(f"expected seconds up to {MAX_SECONDS:g}, got {text!r}")
    return value


def list_scenarios(_arguments: argparse.Namespace) -> int:
    names = catalogue.names()
    width = max(len(name) for name in names)
    for name in names:
        print(f"{name.ljust(width)}  {catalogue.load(name).about}")
    return 0


def show_scenario(arguments: argparse.Namespace) -> int:
    try:
        scenario = catalogue.load(arguments.name)
        print(scenario_yaml(scenario) if arguments.yaml else sentences(scenario) + "\n", end="")
    except BadConfig as error:
        print(f"error: {error}", file=sys.stderr)
        return Exit.HARNESS
    return Exit.OK


def validate_files(arguments: argparse.Namespace) -> int:
    """Every file is read, so that one look shows all that is wrong."""
    code = Exit.OK
    for path in arguments.files:
        try:
            scenario = catalogue.load_file(path)
            _require_work(scenario)
            print(f"{path}: {scenario.name}, {counted(len(scenario.faults), 'fault{s}')}")
        except BadConfig as error:
            print(f"error: {error}", file=sys.stderr)
            code = Exit.HARNESS
    return code


def _require_work(scenario: Scenario) -> None:
    """On the network that it asks for itself, on any backend. Raises: BadConfig."""
    topology = compute_topology(operators=scenario.operators, followers=scenario.followers)
    require_fits(scenario, topology, backend=None)


def judge_run(arguments: argparse.Namespace) -> int:
    try:
        _, _, verdicts = judge_folder(arguments.folder)
        before = said_before(arguments.folder)
    except BadConfig as error:
        print(f"error: {error}", file=sys.stderr)
        return Exit.HARNESS
    print(render_verdicts(verdicts))
    if before and before != verdicts:
        print("not what the run said: its verdicts.json is of another version of the checkers")
    return exit_code(worst(verdicts))


def run_named(arguments: argparse.Namespace) -> int:
    return _guarded(arguments, [arguments.name])


def run_all(arguments: argparse.Namespace) -> int:
    return _guarded(arguments, list(catalogue.names()))


def run_random(arguments: argparse.Namespace) -> int:
    """The file is written first: what runs, and runs again, is what stands there."""
    if arguments.seed is None:
        arguments.seed = secrets.randbelow(1_000_000)
    if arguments.operators is None:
        arguments.operators = LEAST_OPERATORS if arguments.n is None else arguments.n
    try:
        scenario = draw_schedule(
            arguments.seed,
            operators=arguments.operators,
            budget=arguments.budget,
            beyond_f=arguments.beyond_f,
        )
        path = arguments.write or arguments.out / scenario.name / f"{scenario.name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(scenario_yaml(scenario), encoding="utf-8")
    except (BadConfig, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return Exit.HARNESS
    _say(sentences(scenario))
    _say(f"written to {path}")
    return Exit.OK if arguments.write else _guarded(arguments, [str(path)])


def shrink_schedule(arguments: argparse.Namespace) -> int:
    """A breaking-off costs nothing: the same command goes on."""
    try:
        failing = failing_of(arguments.what)
        name = f"{failing.scenario.name}-small"
        target = arguments.write or Path(f"{name}.yaml")
        seed = next(s for s in (arguments.seed, failing.seed, 0) if s is not None)
        for flag in ("operators", "slot_seconds", "backend"):
            if getattr(arguments, flag) is None:
                setattr(arguments, flag, getattr(failing, flag))
        shrinking = asyncio.run(
            _stoppable(
                shrink(
                    failing,
                    wanted=_wanted(arguments),
                    seed=seed,
                    root=arguments.out / name,
                    memory=target.with_suffix(".shrinking.json"),
                    say=_say,
                    runs=arguments.most_runs,
                    minutes=arguments.minutes,
                    passes=arguments.passes,
                )
            )
        )
        written_to(target, replace(shrinking.scenario, name=name))
    except (BadConfig, DstError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return Exit.HARNESS
    except asyncio.CancelledError:
        _say("broken off; the same command goes on from here")
        return Exit.HARNESS
    for line in shrinking.dropped:
        print(f"- {line}")
    ended = f" (not to the end: {shrinking.ended})" if shrinking.ended else ""
    print(f"{counted(shrinking.played, 'run{s}')}: {told_of(shrinking.met)}{ended}")
    print(f"fails in {shrinking.checker}: devnet chaos run {target} --seed {seed}")
    return Exit.OK


def run_matrix(arguments: argparse.Namespace) -> int:
    """What is there already is not run again. All that was asked for is read before anything
    starts."""
    try:
        matrix = load_matrix(arguments.file)
        levels = load_service_levels(arguments.slo) if arguments.slo else None
        earlier = Earlier.of(arguments.against) if arguments.against else None
        with shown_progress(sys.stderr) as shown:
            run = MatrixRun(
                matrix=matrix,
                folder=(arguments.out / matrix.name).resolve(),
                backend=choose_backend(arguments.backend),
                jobs=arguments.jobs,
                port_offset=arguments.port_offset,
                shown=shown,
                most_on_one=arguments.runs_per_network or (1 if levels or earlier else BATCH),
            )
            run.require_possible()
            require_about(levels, matrix)
            require_comparable(earlier, matrix, run.backend)
            if not arguments.no_runs:
                asyncio.run(_stoppable(run.run()))
        report = report_of(run, levels, earlier)
        page = write_report(report, run.folder)
    except (BadConfig, DstError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return Exit.HARNESS
    except asyncio.CancelledError:
        _say("broken off; the same command goes on from here")
        return Exit.HARNESS
    print(msgspec.json.encode(report).decode() if arguments.json else render_report(report))
    _say(f"report: {page}")
    return exit_of(report)


def _guarded(arguments: argparse.Namespace, names: Sequence[str]) -> int:
    """Turn errors into one line and exit code 3."""
    try:
        campaigns = [_campaign(arguments, name) for name in names]
        return _print(arguments, asyncio.run(_stoppable(_run_each(campaigns))))
    except (BadConfig, HarnessError, DstError) as error:
        print(f"error: {error}", file=sys.stderr)
        return Exit.HARNESS
    except asyncio.CancelledError:
        # The campaign has told what became of the fault and of the network.
        return Exit.HARNESS


def _campaign(arguments: argparse.Namespace, name: str) -> Campaign:
    # Small enough to be read aloud and typed again.
    seed = secrets.randbelow(1_000_000) if arguments.seed is None else arguments.seed
    return Campaign(
        scenario=catalogue.load(name),
        source=name,
        wanted=_wanted(arguments),
        runs=arguments.runs,
        seed=seed,
        root=arguments.out,
        say=_say,
    )


def _wanted(arguments: argparse.Namespace) -> Wanted:
    return Wanted(
        directory=arguments.dir.resolve(),
        backend=arguments.backend,
        operators=arguments.operators,
        slot_seconds=arguments.slot_seconds,
        port_offset=arguments.port_offset,
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


async def _stoppable(work: Coroutine[Any, Any, _T]) -> _T:
    """SIGTERM ends it as Ctrl-C does, with clean-up."""
    task = asyncio.current_task()
    assert task is not None, "runs inside a task"
    stop = _Stop(task)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.ask)
    return await work


async def _run_each(campaigns: Sequence[Campaign]) -> list[CampaignSummary]:
    """One after another. What cannot run is refused before the first starts."""
    for campaign in campaigns:
        require_possible(campaign)
    summaries = []
    for campaign in campaigns:
        _say(f"scenario {campaign.scenario.name}: {campaign.scenario.about}")
        summaries.append(await run_campaign(campaign))
    return summaries


@dataclass(slots=True)
class _Stop:
    """Cancels the task once: a second time would break off the heal and leave the network hurt."""

    task: asyncio.Task[Any]
    asked: bool = False

    def ask(self) -> None:
        if self.asked:
            _say("still cleaning up; this ends by itself")
            return
        self.asked = True
        _say("stopping: taking back what stands")
        self.task.cancel()


def _print(arguments: argparse.Namespace, summaries: Sequence[CampaignSummary]) -> int:
    for summary in summaries:
        if arguments.json:
            print(msgspec.json.encode(summary).decode())
        else:
            print(render_campaign(summary))
    outcome: Outcome = worst_outcome([summary.outcome for summary in summaries])
    return exit_code(outcome)


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m devnet.chaos_cli COMMAND`; the same commands as `devnet chaos`."""
    parser = argparse.ArgumentParser(prog="devnet chaos", description=__doc__)
    add_commands(parser)
    arguments = parser.parse_args(argv)
    result: int = arguments.call(arguments)
    return result


if __name__ == "__main__":
    sys.exit(main())
