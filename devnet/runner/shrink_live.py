"""What is to be shrunk, a file or the folder of a run that failed, and how a candidate is played:
each on a network of its own, for a failure may leave one hurt."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec

from devnet.model.clock import now
from devnet.model.cluster import ClusterKind
from devnet.model.reading import MAX_NAME
from devnet.model.topology import compute_topology
from devnet.model.verdict import Outcome, worst
from devnet.network.bring_up import choose_backend
from devnet.network.claim import is_claimed
from devnet.runner.attach import Wanted
from devnet.runner.campaign import Campaign, run_campaign
from devnet.runner.judging import SCENARIO, judge_folder
from devnet.runner.plan import require_fits
from devnet.runner.product import product
from devnet.runner.shrink import Play, Played, Shrinking
from devnet.runner.stages import HarnessError
from devnet.scenarios.catalogue import load_file
from devnet.scenarios.scenario import Scenario
from devnet.scenarios.write import scenario_yaml
from dst.spec.errors import BadConfig, DstError

SMALL: Final = "-small"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """checker: in which it fails; empty: not known yet."""

    scenario: Scenario
    seed: int | None = None
    checker: str = ""
    operators: int | None = None
    slot_seconds: int | None = None
    backend: str | None = None


class _Network(msgspec.Struct):
    backend: str
    operators: int
    slot_seconds: int
    cluster: ClusterKind = ClusterKind.DST


class _Manifest(msgspec.Struct):
    seed: int
    network: _Network


def failing_of(path: Path) -> Failing:
    """Of a run, what its record says. Raises: BadConfig when that run did not fail."""
    if not path.is_dir():
        return Failing(scenario=load_file(path))
    played = played_of(path)
    if not played.failed:
        raise BadConfig(f"{path}: no checker failed in that run: there is nothing to shrink")
    try:
        manifest = msgspec.json.decode((path / "manifest.json").read_bytes(), type=_Manifest)
    except (OSError, msgspec.MsgspecError) as error:
        raise BadConfig(f"{path}: no manifest of a run that can be read: {error}") from error
    if manifest.network.cluster.is_baseline:
        raise BadConfig(f"{path}: a run on a baseline, which is measured and not mended")
    return Failing(
        scenario=load_file(path / SCENARIO),
        seed=manifest.seed,
        checker=played.failed[0],
        operators=manifest.network.operators,
        slot_seconds=manifest.network.slot_seconds,
        backend=manifest.network.backend,
    )


def played_of(folder: Path) -> Played:
    """Raises: BadConfig for a folder without a record."""
    _, history, verdicts = judge_folder(folder)
    failed = tuple(v.checker for v in verdicts if v.outcome is Outcome.FAIL)
    shown = worst(verdicts) in (Outcome.PASS, Outcome.FAIL)
    return Played(failed=failed, shown=shown, receipts=history.faults)


def small_name(name: str) -> str:
    """A name that can be read back: it has no more letters than any."""
    return f"{name[: MAX_NAME - len(SMALL)].rstrip('-')}{SMALL}"


def written_to(path: Path, scenario: Scenario) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(scenario_yaml(scenario), encoding="utf-8")
    return path


def player(wanted: Wanted, seed: int, root: Path, say: Callable[[str], None]) -> Play:
    """Runs go to `root`."""

    async def play(candidate: Scenario) -> Played:
        file = written_to(root / "candidate.yaml", candidate)
        campaign = Campaign(
            scenario=candidate, source=str(file), wanted=wanted, runs=1, seed=seed, root=root,
            say=lambda _: None,
        )  # fmt: skip
        try:
            summary = await run_campaign(campaign)
            return played_of(Path(summary.runs[0].folder))
        except (HarnessError, DstError) as error:
            say(f"not carried out: {error}")
            return Played(shown=False)

    return play


async def shrink(
    failing: Failing,
    *,
    wanted: Wanted,
    seed: int,
    root: Path,
    memory: Path,
    say: Callable[[str], None],
    play: Play | None = None,
    **limits: Any,
) -> Shrinking:
    """The finished shrinking. wanted: the network of each run. limits: `runs`, `minutes`, `passes`
    of `Shrinking`.

    Raises: BadConfig.
    """
    if is_claimed(wanted.directory):
        raise BadConfig(
            f"a network runs in {wanted.directory}; shrinking starts a fresh one for each run: "
            "give another --dir (and --port-offset)"
        )
    scenario = failing.scenario
    if wanted.operators is not None:
        scenario = replace(scenario, operators=wanted.operators)
    topology = compute_topology(operators=scenario.operators, followers=scenario.followers)
    backend = choose_backend(wanted.backend)
    require_fits(scenario, topology, backend)
    play = player(wanted, seed, root, say) if play is None else play

    def misfit(candidate: Scenario) -> str:
        try:
            require_fits(candidate, topology, backend)
        except BadConfig as error:
            return str(error)
        return ""

    slot = wanted.slot_seconds or 1
    setting = (
        f"seed {seed}, {scenario.operators} operators, {slot} s slots, {backend}, "
        f"product {product().digest}"
    )
    shrinking = Shrinking(
        scenario=scenario, checker=failing.checker, play=play, fits=misfit, clock=now,
        memory=memory, setting=setting, slot_seconds=float(slot), say=say, **limits,
    )  # fmt: skip
    await shrinking.run()
    return shrinking
