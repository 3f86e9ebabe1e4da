"""`devnet chaos COMMAND`: flags in, table or JSON out, exit code.

0 every run passed, 1 an invariant broke, 2 nothing was shown (inconclusive or vacuous), 3 the
harness failed. `python -m devnet.chaos_cli all` runs the whole catalogue.
"""

import argparse
import asyncio
import os
import secrets
import shlex
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Coroutine, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from devnet.checkers.base import counted
from devnet.model.cluster import ClusterKind
from devnet.model.command import DEFAULT_DIR, Exit, escape_what_cannot_be_shown
from devnet.model.descriptor import read_descriptor
from devnet.model.means import Means
from devnet.model.reading import MAX_SECONDS
from devnet.model.topology import compute_topology
from devnet.model.verdict import Outcome, exit_code, worst
from devnet.network.bring_up import choose_backend
from devnet.network.claim import is_claimed
from devnet.network.means import require_means
from devnet.report.campaign import exit_of, render_report
from devnet.report.comparison import compares, render_comparison
from devnet.report.progress import shown_progress
from devnet.report.summary import CampaignSummary, RunSummary, worst_outcome
from devnet.report.table import render_campaign, render_verdicts
from devnet.runner.attach import Wanted
from devnet.runner.campaign import Campaign, require_possible, run_campaign
from devnet.runner.elsewhere import OUT, Workers
from devnet.runner.journal import CannotRecord
from devnet.runner.judging import judge_folder, judged_anew, said_before
from devnet.runner.matrix_report import (
    Earlier,
    report_of,
    require_about,
    require_comparable,
    write_report,
)
from devnet.runner.matrix_run import BATCH, MatrixRun, networks_that_fit, newest_product
from devnet.runner.plan import needs_of, require_fits
from devnet.runner.product import product
from devnet.runner.recorded import Schedule, schedule_of
from devnet.runner.shrink import MAX_RUNS, MINUTES, Shrinking
from devnet.runner.shrink_live import Failing, failing_of, shrink, small_name, written_to
from devnet.runner.small import SIMULATOR, Small, rehearsed, rendered, small_of
from devnet.runner.stages import HarnessError
from devnet.scenarios import catalogue
from devnet.scenarios.baselines import as_on
from devnet.scenarios.draw import BUDGET_S, LEAST_OPERATORS, draw_schedule
from devnet.scenarios.matrix import load_matrix
from devnet.scenarios.scenario import Scenario
from devnet.scenarios.sentences import sentences
from devnet.scenarios.slo import load_service_levels
from devnet.scenarios.write import scenario_yaml
from dst.spec.errors import BadConfig, DstError

MOST_RUNS: Final = 1000
MOST_VARIATIONS: Final = 100_000
MINUTES_AFTER_RANDOM: Final = 20.0
"""A schedule that failed is shrunk on the way, as far as that gets."""
_FORESEEN: Final = (DstError, HarnessError, CannotRecord, OSError)
_T = TypeVar("_T")


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Give `devnet chaos` its commands; each sets `call`, a function from arguments to an exit
    code, whatever happens."""
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="names of the scenarios, a line about each")
    _add_json(listing, "a JSON array of names and lines")
    listing.set_defaults(call=answered(list_scenarios))
    run = commands.add_parser("run", help="run one scenario, on the network in DIR or on its own")
    run.add_argument("name", metavar="NAME", help="a scenario's name, or the path of a YAML file")
    _add_flags(run)
    _add_cluster_flag(run)
    run.add_argument(
        "--stop-with-stdin",
        action="store_true",
        help="end, with clean-up, when standard input does: for programs that start this one",
    )
    run.set_defaults(call=answered(run_named))
    show = commands.add_parser("show", help="say in sentences what a scenario does")
    show.add_argument("name", metavar="NAME")
    show.add_argument("--yaml", action="store_true", help="print it as it is read instead")
    show.set_defaults(call=answered(show_scenario))
    validate = commands.add_parser("validate", help="read scenario files and say what is wrong")
    validate.add_argument("files", metavar="FILE", nargs="+", type=Path)
    _add_json(validate, "a JSON array, an object for each file")
    validate.set_defaults(call=answered(validate_files))
    judge = commands.add_parser("judge", help="judge a run again, from its folder alone")
    judge.add_argument("folder", metavar="RUN", type=Path)
    _add_json(judge, "a JSON array of verdicts")
    judge.set_defaults(call=answered(judge_run))
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
    draw.add_argument(
        "--no-shrink", action="store_true", help="leave a schedule that fails as it is"
    )
    _add_limits(draw, MINUTES_AFTER_RANDOM)
    _add_flags(draw)
    draw.set_defaults(call=answered(run_random))
    again = commands.add_parser(
        "replay",
        help="play a run's schedule again, on a network or in the simulator",
    )
    again.add_argument(
        "what", metavar="RUN|SCENARIO", help="a run's folder; or a scenario's name or file"
    )
    again.add_argument(
        "--simulated",
        action="store_true",
        help="in the simulator; --runs are variations, with other delays",
    )
    again.add_argument(
        "--leave-out",
        action="store_true",
        help="with --simulated: play it without the faults that have no counterpart there",
    )
    again.add_argument("--write", type=Path, metavar="FILE", help="write it, and run nothing")
    _add_flags(again, most=MOST_VARIATIONS)
    again.set_defaults(call=answered(replay))
    small = commands.add_parser("shrink", help="make a failing schedule small, by playing it again")
    small.add_argument("what", metavar="FILE|RUN", type=Path, help="a scenario, or a run's folder")
    _add_limits(small, MINUTES)
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
    _add_json(small, "one JSON object")
    _add_network_flags(small)
    small.set_defaults(call=answered(shrink_schedule))
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
        default=None,
        metavar="N",
        help=f"networks side by side (default here: {networks_that_fit()})",
    )
    many.add_argument(
        "--workers",
        default="",
        metavar="tcp://HOST:PORT",
        help="a Dask scheduler: a network for each thread of its workers, on their machines",
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
    _add_json(many, "campaign.json")
    many.add_argument(
        "--cluster",
        type=ClusterKind,
        choices=list(ClusterKind),
        action="append",
        default=[],
        dest="clusters",
        help="instead of the file's; may be given several times",
    )
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
    many.set_defaults(call=answered(run_matrix))
    every = commands.add_parser("all", help="run every scenario of the catalogue in turn")
    _add_flags(every)
    _add_cluster_flag(every)
    every.set_defaults(call=answered(run_all))


def answered(call: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """Turns errors into a line each and exit code 3: a traceback would end with 1, which says that
    an invariant broke."""

    def answer(arguments: argparse.Namespace) -> int:
        try:
            return call(arguments)
        except Exception as error:
            found = _leaves(error)
            if not all(isinstance(one, _FORESEEN) for one in found):
                traceback.print_exception(error)
                print("a defect of the harness; please report it", file=sys.stderr)
            for one in found:
                print(f"error: {one}", file=sys.stderr)
            return Exit.HARNESS

    return answer


def _leaves(error: BaseException) -> list[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for each in error.exceptions for leaf in _leaves(each)]


def _add_flags(parser: argparse.ArgumentParser, most: int = MOST_RUNS) -> None:
    parser.add_argument(
        "--runs",
        type=partial(_runs, most=most),
        default=1,
        metavar="N",
        help="repeat with seeds S, S+1, ...",
    )
    parser.add_argument(
        "--seed", type=int, default=None, metavar="S", help="default: drawn and printed"
    )
    _add_json(parser, "a JSON object for each scenario")
    _add_network_flags(parser)


def _add_limits(parser: argparse.ArgumentParser, minutes: float) -> None:
    parser.add_argument(
        "--most-runs",
        type=_runs,
        default=MAX_RUNS,
        metavar="N",
        help="to shrink with (default: %(default)s)",
    )
    parser.add_argument(
        "--minutes", type=float, default=minutes, help="to shrink in (default: %(default)g)"
    )


def _add_json(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--json", action="store_true", help=f"print {what} instead")


def _add_cluster_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cluster",
        type=ClusterKind,
        choices=list(ClusterKind),
        default=None,
        help="a baseline suffers the same faults; nothing but safety is promised there",
    )


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


def _runs(text: str, most: int = MOST_RUNS) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if not 1 <= value <= most:
        raise argparse.ArgumentTypeError(f"expected a number from 1 to {most}, got {text!r}")
    return value


def _budget(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= MAX_SECONDS:
        raise argparse.ArgumentTypeError(f"expected seconds up to {MAX_SECONDS:g}, got {text!r}")
    return value


def list_scenarios(arguments: argparse.Namespace) -> int:
    names = catalogue.names()
    if arguments.json:
        _print_json([{"name": name, "about": catalogue.load(name).about} for name in names])
        return Exit.OK
    width = max(len(name) for name in names)
    for name in names:
        print(f"{name.ljust(width)}  {catalogue.load(name).about}")
    return Exit.OK


def _print_json(value: object) -> None:
    print(msgspec.json.encode(value).decode())


def show_scenario(arguments: argparse.Namespace) -> int:
    scenario = catalogue.load(arguments.name)
    print(scenario_yaml(scenario) if arguments.yaml else sentences(scenario) + "\n", end="")
    return Exit.OK


def validate_files(arguments: argparse.Namespace) -> int:
    """Every file is read, so that one look shows all that is wrong."""
    code, found = Exit.OK, []
    for path in arguments.files:
        try:
            scenario = catalogue.load_file(path)
            _require_work(scenario)
            line = f"{path}: {scenario.name}, {counted(len(scenario.faults), 'fault{s}')}"
            found.append({"file": str(path), "name": scenario.name, "error": ""})
        except BadConfig as error:
            line, code = "", Exit.HARNESS
            print(f"error: {error}", file=sys.stderr)
            found.append({"file": str(path), "name": "", "error": str(error)})
        if line and not arguments.json:
            print(line)
    if arguments.json:
        _print_json(found)
    return code


def _require_work(scenario: Scenario) -> None:
    """On the network that it asks for itself, on any backend. Raises: BadConfig."""
    topology = compute_topology(operators=scenario.operators, followers=scenario.followers)
    require_fits(scenario, topology, backend=None)


def judge_run(arguments: argparse.Namespace) -> int:
    _, _, verdicts = judge_folder(arguments.folder)
    changed = judged_anew(said_before(arguments.folder), verdicts)
    if arguments.json:
        _print_json(verdicts)
    else:
        print(render_verdicts(verdicts))
    if changed:
        _say(f"not what the run said, to the checkers of its day: {changed}")
    return exit_code(worst(verdicts))


def run_named(arguments: argparse.Namespace) -> int:
    return _guarded(arguments, [arguments.name])


def run_all(arguments: argparse.Namespace) -> int:
    """All that the backend can do here; the others are named, for they were not tried."""
    try:
        backend = _backend_of(arguments)
    except DstError as error:
        print(f"error: {error}", file=sys.stderr)
        return Exit.HARNESS
    possible = catalogue.possible_on(backend)
    if others := [name for name in catalogue.names() if name not in possible]:
        _say(f"not on the {backend} backend, and so not run: {', '.join(others)}")
    lacking = _lacking(possible, backend)
    for name, why in lacking.items():
        _say(f"{name} is not run: {why}")
    chosen = [name for name in possible if name not in lacking]
    return _guarded(arguments, chosen, controls_once=True)


def _lacking(names: Sequence[str], backend: str) -> dict[str, str]:
    """Scenario -> what this machine has not that it needs."""
    needs = {name: needs_of(catalogue.load(name)) for name in names}
    reasons: dict[Means, str] = {}
    for means in frozenset[Means]().union(*needs.values()):
        try:
            require_means({means}, backend, _say)
        except DstError as error:
            reasons[means] = str(error)
    return {
        name: "; ".join(reasons[each] for each in sorted(needed & reasons.keys()))
        for name, needed in needs.items()
        if needed & reasons.keys()
    }


def _backend_of(arguments: argparse.Namespace) -> str:
    """That of the network in DIR, else the one that a new one would have. Raises: DstError."""
    directory = arguments.dir.resolve()
    if is_claimed(directory):
        return read_descriptor(directory).backend
    return choose_backend(arguments.backend)


def run_random(arguments: argparse.Namespace) -> int:
    """The file is written first: what runs, and runs again, is what stands there."""
    if arguments.seed is None:
        arguments.seed = secrets.randbelow(1_000_000)
    if arguments.operators is None:
        arguments.operators = LEAST_OPERATORS if arguments.n is None else arguments.n
    scenario = draw_schedule(
        arguments.seed,
        operators=arguments.operators,
        budget=arguments.budget,
        beyond_f=arguments.beyond_f,
    )
    path = arguments.write or arguments.out / scenario.name / f"{scenario.name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(scenario_yaml(scenario), encoding="utf-8")
    _say(sentences(scenario))
    _say(f"written to {path}")
    if arguments.write:
        return Exit.OK
    summaries = _carried_out(arguments, [str(path)])
    if summaries is None:
        return Exit.HARNESS
    code = _print(arguments, summaries)
    failed = [run for each in summaries for run in each.runs if run.outcome is Outcome.FAIL]
    if failed and not arguments.no_shrink:
        _shrink_after(arguments, failed[0])
    return code


def replay(arguments: argparse.Namespace) -> int:
    """The schedule is written first, as a scenario: what runs is what stands there."""
    try:
        if arguments.simulated:
            return _simulated(arguments)
        if arguments.runs > MOST_RUNS or arguments.leave_out:
            wrong = "--leave-out" if arguments.leave_out else f"--runs above {MOST_RUNS}"
            raise BadConfig(f"{wrong}: with --simulated only")
        schedule = schedule_of(arguments.what)
        name = f"{schedule.scenario.name}.yaml"
        path = arguments.write or arguments.out / schedule.scenario.name / name
        written_to(path, schedule.scenario)
    except (BadConfig, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return Exit.HARNESS
    if arguments.seed is None:
        arguments.seed = schedule.seed
    _say(sentences(schedule.scenario))
    seed = "" if arguments.seed is None else f", to be run with --seed {arguments.seed}"
    _say(f"written to {path}{seed}")
    if arguments.write:
        return Exit.OK
    if not is_claimed(arguments.dir):
        _as_in(arguments, schedule)
    return _guarded(arguments, [str(path)])


def _as_in(arguments: argparse.Namespace, schedule: Schedule) -> None:
    """A network of its own is like that of the run, but for what was asked for."""
    if arguments.backend is None:
        arguments.backend = schedule.backend
    if arguments.slot_seconds is None and schedule.slot_seconds is not None:
        arguments.slot_seconds = int(schedule.slot_seconds)


def _simulated(arguments: argparse.Namespace) -> int:
    """Raises: BadConfig for what only a network has."""
    for flag in ("backend", "slot_seconds", "port_offset", "write"):
        if getattr(arguments, flag) is not None:
            raise BadConfig(f"--{flag.replace('_', '-')}: not with --simulated")
    words = [arguments.what, "--runs", str(arguments.runs)]
    for flag in ("seed", "operators"):
        if (value := getattr(arguments, flag)) is not None:
            words += [f"--{flag}", str(value)]
    words += ["--leave-out"] if arguments.leave_out else []
    words += ["--json"] if arguments.json else []
    try:
        return subprocess.run([sys.executable, "-m", SIMULATOR, *words], check=False).returncode
    except KeyboardInterrupt:
        return Exit.HARNESS


def shrink_schedule(arguments: argparse.Namespace) -> int:
    """A breaking-off costs nothing: the same command goes on."""
    try:
        failing = failing_of(arguments.what)
        target = arguments.write or Path(f"{small_name(failing.scenario.name)}.yaml")
        small, shrinking = _shrunk(arguments, failing, target)
    except asyncio.CancelledError:
        _say("broken off; the same command goes on from here")
        return Exit.HARNESS
    if arguments.json:
        _print_json(small)
    else:
        print(rendered(small, shrinking))
    return Exit.OK


def _shrunk(
    arguments: argparse.Namespace, failing: Failing, target: Path
) -> tuple[Small, Shrinking]:
    """Written to `target`. The network of each run is that of the failing one, but for what was
    asked for."""
    seed: int = next(s for s in (arguments.seed, failing.seed, 0) if s is not None)
    for flag in ("operators", "slot_seconds", "backend"):
        if getattr(arguments, flag) is None:
            setattr(arguments, flag, getattr(failing, flag))
    name = small_name(failing.scenario.name)
    work = shrink(
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
    shrinking = asyncio.run(_stoppable(work))
    written_to(target, replace(shrinking.scenario, name=name))
    flags = {"backend": arguments.backend, "slot-seconds": arguments.slot_seconds}
    network = [word for key, value in flags.items() if value for word in (f"--{key}", str(value))]
    return small_of(shrinking, target, seed, network), shrinking


def _shrink_after(arguments: argparse.Namespace, run: RunSummary) -> None:
    """What failed, made small and rehearsed, unless that cannot be; the verdict stands."""
    by_hand = f"devnet chaos shrink {shlex.quote(run.folder)}"
    folder, arguments.seed, arguments.passes = Path(run.folder), run.seed, 1
    try:
        failing = failing_of(folder)
        small, shrinking = _shrunk(
            arguments, failing, folder / f"{small_name(failing.scenario.name)}.yaml"
        )
        _say("playing what is left in the simulator")
        said = rehearsed(small.file, run.seed, arguments.slot_seconds or 1)
        small = msgspec.structs.replace(small, rehearsed=said)
    except _FORESEEN as error:
        _say(f"not shrunk: {error}; by hand: {by_hand}")
        return
    except (asyncio.CancelledError, KeyboardInterrupt):
        _say(f"shrinking is broken off; by hand: {by_hand}")
        return
    if arguments.json:
        _print_json(small)
    else:
        print(rendered(small, shrinking))


def run_matrix(arguments: argparse.Namespace) -> int:
    """What is there already is not run again. All that was asked for is read before anything
    starts."""
    try:
        if arguments.workers and arguments.jobs:
            raise BadConfig("--jobs: not with --workers, whose threads say how many")
        matrix = load_matrix(arguments.file, arguments.clusters)
        levels = load_service_levels(arguments.slo) if arguments.slo else None
        folder = (arguments.out / matrix.name).resolve()
        earlier = Earlier.of(arguments.against, folder) if arguments.against else None
        with shown_progress(sys.stderr) as shown:
            run = MatrixRun(
                matrix=matrix,
                folder=folder,
                backend=_backend_of_matrix(arguments),
                jobs=OUT if arguments.workers else arguments.jobs or networks_that_fit(),
                port_offset=arguments.port_offset,
                shown=shown,
                product=(arguments.no_runs and newest_product(folder)) or product().digest,
                most_on_one=arguments.runs_per_network or (1 if levels or earlier else BATCH),
            )
            workers = Workers(run, arguments.workers, _say) if arguments.workers else None
            run.launch = workers
            run.require_possible()
            require_about(levels, matrix)
            require_comparable(earlier, matrix, run.backend)
            if not arguments.no_runs:
                asyncio.run(_stoppable(_run_on(workers, run)))
        report = report_of(run, levels, earlier)
        page = write_report(report, run.folder)
    except asyncio.CancelledError:
        _say("broken off; the same command goes on from here")
        return Exit.HARNESS
    if arguments.json:
        print(msgspec.json.encode(report).decode())
    else:
        print(render_report(report))
        if compares(report.cells):
            print(f"\n{render_comparison(report.cells)}")
    _say(f"report: {page}")
    return exit_of(report)


def _backend_of_matrix(arguments: argparse.Namespace) -> str:
    """What this machine has says nothing of those of workers, which are asked for themselves."""
    if arguments.workers:
        return arguments.backend or "process"
    return choose_backend(arguments.backend)


async def _run_on(workers: Workers | None, run: MatrixRun) -> None:
    async with workers.ready() if workers else nullcontext():
        await run.run()


def _guarded(
    arguments: argparse.Namespace, names: Sequence[str], *, controls_once: bool = False
) -> int:
    summaries = _carried_out(arguments, names, controls_once=controls_once)
    return Exit.HARNESS if summaries is None else _print(arguments, summaries)


def _carried_out(
    arguments: argparse.Namespace, names: Sequence[str], *, controls_once: bool = False
) -> list[CampaignSummary] | None:
    """None when it was broken off. controls_once: however many runs are asked of the others, since
    none can have the network that a control broke."""
    try:
        campaigns = [_campaign(arguments, name) for name in names]
        if controls_once:
            campaigns = [
                replace(each, runs=1) if each.scenario.expect.fails else each for each in campaigns
            ]
        leashed = getattr(arguments, "stop_with_stdin", False)
        return asyncio.run(_stoppable(_run_each(campaigns), with_stdin=leashed))
    except asyncio.CancelledError:
        # The campaign has told what became of the fault and of the network.
        return None


def _campaign(arguments: argparse.Namespace, name: str) -> Campaign:
    # Small enough to be read aloud and typed again.
    seed = secrets.randbelow(1_000_000) if arguments.seed is None else arguments.seed
    wanted = _wanted(arguments)
    return Campaign(
        scenario=as_on(wanted.kind, catalogue.load(name)),
        source=name,
        wanted=wanted,
        runs=arguments.runs,
        seed=seed,
        root=arguments.out,
        say=_say,
    )


def _wanted(arguments: argparse.Namespace) -> Wanted:
    return Wanted(
        directory=arguments.dir.resolve(),
        backend=arguments.backend,
        cluster=getattr(arguments, "cluster", None),
        operators=arguments.operators,
        slot_seconds=arguments.slot_seconds,
        port_offset=arguments.port_offset,
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


async def _stoppable(work: Coroutine[Any, Any, _T], *, with_stdin: bool = False) -> _T:
    """SIGTERM ends it as Ctrl-C does, with clean-up, and so does the end of its terminal, unless
    whoever started it wants that ignored (`nohup`). with_stdin: so does that of standard input."""
    task = asyncio.current_task()
    assert task is not None, "runs inside a task"
    stop = _Stop(task)
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    for number in numbers:
        asyncio.get_running_loop().add_signal_handler(number, stop.ask)
    if with_stdin:
        _end_with_stdin(stop)
    return await work


def _end_with_stdin(stop: "_Stop") -> None:
    """A pipe ends when whoever holds its other end does, however that ended."""
    loop, stdin = asyncio.get_running_loop(), sys.stdin.fileno()

    def read() -> None:
        if not os.read(stdin, 4096):
            loop.remove_reader(stdin)
            stop.ask()

    try:
        loop.add_reader(stdin, read)
    except OSError:  # a file is always ready, and is not waited for
        stop.ask()


async def _run_each(campaigns: Sequence[Campaign]) -> list[CampaignSummary]:
    """One after another. What cannot run is refused before the first starts."""
    for campaign in campaigns:
        require_possible(campaign)
    summaries: list[CampaignSummary] = []
    for campaign in campaigns:
        _say(f"scenario {campaign.scenario.name}: {campaign.scenario.about}")
        try:
            summaries.append(await run_campaign(campaign))
        except (DstError, HarnessError) as error:
            if worst_outcome([summary.outcome for summary in summaries]) is not Outcome.FAIL:
                raise
            _say(f"error: {error}; what broke before is the answer")
            break
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
    escape_what_cannot_be_shown()
    parser = argparse.ArgumentParser(prog="devnet chaos", description=__doc__)
    add_commands(parser)
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as left:  # argparse ends with 2, which says "inconclusive" here
        return Exit.HARNESS if left.code else Exit.OK
    result: int = arguments.call(arguments)
    return result


if __name__ == "__main__":
    sys.exit(main())
