"""Many runs of one scenario on one network: seeds, folders, progress, and the summary at the
end."""

import asyncio
import shlex
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from devnet.checkers.base import counted
from devnet.model.clock import now
from devnet.model.descriptor import Descriptor, read_descriptor
from devnet.model.history import History, RunBroken, Setup
from devnet.model.topology import compute_topology
from devnet.model.verdict import Outcome, Violation
from devnet.network.bring_up import choose_backend
from devnet.network.claim import is_claimed
from devnet.network.means import require_means
from devnet.network.versions import require_versions
from devnet.report.summary import (
    CampaignSummary,
    RunSummary,
    summarise,
    summarise_campaign,
    worst_outcome,
)
from devnet.runner.attach import Wanted, network_for, require_same, surroundings_of
from devnet.runner.folder import RunFolder
from devnet.runner.journal import CannotRecord, Journal
from devnet.runner.judging import verdicts_of
from devnet.runner.plan import needs_of, require_fits, versions_of
from devnet.runner.product import product
from devnet.runner.stages import HarnessError, Run, Runner
from devnet.runner.surroundings import LiveNetwork
from devnet.scenarios import catalogue
from devnet.scenarios.scenario import Scenario
from dst.spec.errors import BadConfig, DstError


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """What `devnet chaos run` was asked for.

    Args:
        source: the scenario's name or path, as given: it goes into the replay command.
        runs: how many; run i (from 0) has seed `seed + i`.
        root: where run folders go.
        say: told one line per stage; goes to stderr, so that `--json` on stdout stays clean.
    """

    scenario: Scenario
    source: str
    wanted: Wanted
    runs: int
    seed: int
    root: Path
    say: Callable[[str], None]


async def run_campaign(campaign: Campaign) -> CampaignSummary:
    """Raises: BadConfig; HarnessError, when a run could not be carried out, and nothing broke in it
    or before (runs before it are written). A network whose chain stands still serves no other
    run."""
    scenario = campaign.scenario
    product()  # as it is now: later it may be another
    attached = require_possible(campaign)
    for version in require_versions(versions_of(scenario)):
        campaign.say(version.told())
    summaries: list[RunSummary] = []
    try:
        async with network_for(
            campaign.wanted,
            default_operators=scenario.operators,
            followers=scenario.followers,
            say=campaign.say,
        ) as network:
            descriptor = network.descriptor
            require_fits(scenario, network.topology, descriptor.backend)
            async with surroundings_of(network) as surroundings:
                for index in range(campaign.runs):
                    seed = campaign.seed + index
                    campaign.say(f"run {index + 1} of {campaign.runs}, seed {seed}")
                    try:
                        run, summary = await _one_run(campaign, seed, descriptor, surroundings)
                    except HarnessError as error:
                        if worst_outcome([each.outcome for each in summaries]) is not Outcome.FAIL:
                            raise
                        campaign.say(f"error: {error}")
                        break
                    summaries.append(summary)
                    left = campaign.runs - index - 1
                    if left and (run.spent or run.error):
                        campaign.say(
                            f"the chain does not go on: {counted(left, 'run{s}')} not carried out; "
                            f"go on with --seed {seed + 1} --runs {left} on a fresh network"
                        )
                        break
    except asyncio.CancelledError:
        where = campaign.wanted.directory
        campaign.say(
            f"the network in {where} goes on"
            if attached
            else f"the network in {where} was this command's own and is stopped"
        )
        raise
    return summarise_campaign(
        summaries,
        scenario=campaign.scenario.name,
        backend=descriptor.backend,
        operators=len(descriptor.operators),
        slot_seconds=float(descriptor.slot_seconds),
        cluster=descriptor.cluster,
    )


def require_possible(campaign: Campaign) -> bool:
    """Refuse what cannot run before anything starts; True when a network runs in the folder and
    will be used.

    Raises: BadConfig.
    """
    wanted, scenario = campaign.wanted, campaign.scenario
    if campaign.runs > 1 and scenario.expect.fails:
        raise BadConfig(
            f"{scenario.name} is made to break its network (expect.fails), so {campaign.runs} runs "
            "cannot share one: run it once, on a new network each time"
        )
    if is_claimed(wanted.directory):
        found = read_descriptor(wanted.directory)
        require_same(wanted, found)
        require_fits(scenario, found.topology, found.backend)
        require_means(needs_of(scenario), found.backend, campaign.say)
        require_versions(versions_of(scenario))
        return True
    try:
        topology = compute_topology(
            operators=wanted.size(scenario.operators),
            followers=scenario.followers,
            cluster=wanted.kind,
        )
    except ValueError as error:
        raise BadConfig(str(error)) from error
    backend = choose_backend(wanted.backend, wanted.kind)
    require_fits(scenario, topology, backend)
    require_means(needs_of(scenario), backend, campaign.say)
    require_versions(versions_of(scenario))
    return False


def replay_command(campaign: Campaign, seed: int, descriptor: Descriptor) -> str:
    """The command that runs the same plan on a network like this one (interleavings are the
    machine's). A file of the user's is named by its absolute path."""
    in_catalogue = campaign.source in catalogue.names()
    source = campaign.source if in_catalogue else str(Path(campaign.source).resolve())
    return (
        f"devnet chaos run {shlex.quote(source)} --seed {seed} --backend {descriptor.backend} "
        f"{f'--cluster {descriptor.cluster} ' if descriptor.cluster.is_baseline else ''}"
        f"--operators {len(descriptor.operators)} --slot-seconds {descriptor.slot_seconds}"
        f"{f' --port-offset {descriptor.port_offset}' if descriptor.port_offset else ''}"
    )


def _alarm(campaign: Campaign) -> Callable[[Violation], None]:
    def tell(violation: Violation) -> None:
        campaign.say(f"BREACH {violation.checker}: {violation.summary}")

    return tell


async def _one_run(
    campaign: Campaign, seed: int, descriptor: Descriptor, network: LiveNetwork
) -> tuple[Run, RunSummary]:
    try:
        folder = RunFolder.create(campaign.root, campaign.scenario, seed)
    except OSError as error:
        raise HarnessError(f"no folder for the run in {campaign.root}: {error.strerror}") from error
    setup = Setup(
        operators=network.topology.operator_names,
        followers=network.topology.follower_names,
        slot_seconds=float(descriptor.slot_seconds),
        chain_id=descriptor.chain_id,
        scenario=campaign.scenario.name,
        seed=seed,
        genesis=network.genesis,
        cluster=descriptor.cluster,
        product=product().digest,
        load=campaign.scenario.load.rate,
        backend=descriptor.backend,
    )
    try:
        journal = Journal(setup, folder.history, _alarm(campaign))
    except CannotRecord as error:
        raise HarnessError(str(error)) from error
    try:
        return await _recorded_run(campaign, seed, descriptor, network, journal, folder)
    except asyncio.CancelledError:
        campaign.say(told_when_stopped(journal.history()))
        campaign.say(f"what was recorded so far: {folder.history}")
        raise
    finally:
        with suppress(CannotRecord):  # it was said
            journal.close()


def told_when_stopped(history: History) -> str:
    """What became of the faults of a run that was broken off."""
    left = [fault for fault in history.faults if fault.healed is None]
    if left:
        detail = "; ".join(f"{fault.id}: {fault.error or 'not taken back'}" for fault in left)
        return f"stopped, but a heal is not proven: {detail}; see `devnet status`"
    if not history.faults:
        return "stopped before any fault was injected"
    return f"stopped; {counted(len(history.faults), 'fault{s}')} taken back, heal verified"


async def _recorded_run(
    campaign: Campaign,
    seed: int,
    descriptor: Descriptor,
    network: LiveNetwork,
    journal: Journal,
    folder: RunFolder,
) -> tuple[Run, RunSummary]:
    started = now()
    run = Run(scenario=campaign.scenario, seed=seed)
    try:
        runner = Runner(campaign.scenario, seed, network, journal, campaign.say)
        run = await runner.run()
    except* Exception as errors:
        run.error = "; ".join(_told(error, campaign.say) for error in _leaves(errors))
        journal.record(RunBroken(why=run.error, monotonic=now()))
        run.history = journal.history()
        run.verdicts = verdicts_of(campaign.scenario, run.history)
    try:
        journal.close()
        return run, _finish(campaign, run, folder, descriptor, now() - started)
    except (CannotRecord, OSError) as error:
        complaint = f"the report of this run cannot be written: {error}"
        if run.outcome is not Outcome.FAIL:
            raise HarnessError(complaint) from error
        campaign.say(f"error: {complaint}")
        run.error = run.error or complaint
        return run, _summary(campaign, run, folder, now() - started)


def _summary(campaign: Campaign, run: Run, folder: RunFolder, seconds: float) -> RunSummary:
    return summarise(
        run.history,
        run.verdicts,
        scenario=campaign.scenario.name,
        seed=run.seed,
        error=run.error,
        folder=str(folder.path),
        seconds=seconds,
    )


def _finish(
    campaign: Campaign, run: Run, folder: RunFolder, descriptor: Descriptor, seconds: float
) -> RunSummary:
    summary = _summary(campaign, run, folder, seconds)
    replay = replay_command(campaign, run.seed, descriptor)
    folder.write(run, summary, descriptor, replay)
    folder.put_away(summary.outcome, campaign.wanted.directory / "logs")
    reason = f": {summary.reason}" if summary.reason else ""
    campaign.say(f"verdict: {summary.outcome.value}{reason}")
    if run.error and summary.outcome is not Outcome.FAIL:
        raise HarnessError(f"{run.error} (kept in {folder.path})")
    return summary


def _told(error: Exception, say: Callable[[str], None]) -> str:
    """What is no failure that somebody thought of is told with its place."""
    if not isinstance(error, HarnessError | CannotRecord | DstError | OSError):
        say("".join(traceback.format_exception(error)))
        return f"a defect of the harness: {type(error).__name__}: {error}"
    return str(error)


def _leaves(group: BaseExceptionGroup[Exception]) -> list[Exception]:
    found: list[Exception] = []
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            found += _leaves(error)
        else:
            found.append(error)
    return found
