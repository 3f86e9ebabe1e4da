"""Random schedules: whatever the seed, valid, read back as written, and never more than f operators
disturbed at once, by what the file says and by what a run's receipts say."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from devnet.chaos_cli import main
from devnet.checkers.no_quorum_no_progress import NAME as NO_PROGRESS
from devnet.checkers.quorum import has_quorum, spans_without_quorum
from devnet.faults import KINDS
from devnet.faults.base import Fault
from devnet.faults.dice import Dice
from devnet.faults.kill import Kill
from devnet.model.history import FaultReceipt
from devnet.model.terms import Trigger
from devnet.model.topology import compute_topology
from devnet.model.verdict import Outcome
from devnet.runner.journal import Journal
from devnet.runner.plan import require_fits
from devnet.runner.stages import Run, Runner
from devnet.scenarios.draw import draw_schedule
from devnet.scenarios.parse import parse_text
from devnet.scenarios.schema import schema
from devnet.scenarios.write import scenario_yaml
from dst.spec.errors import BadConfig
from dst.spec.primitives import faults_tolerated
from tests.unit.chaos.fake_network import FakeNetwork, in_virtual_time

SCHEMA = schema()
SEEDS = st.integers(0, 1_000_000)
SIZES = st.sampled_from([4, 7, 10])


@settings(deadline=None, max_examples=30)
@given(SEEDS, SIZES, st.booleans(), st.sampled_from([20.0, 60.0, 200.0]))
def test_every_schedule_is_valid_and_read_back(
    seed: int, operators: int, beyond_f: bool, budget: float
) -> None:
    drawn = draw_schedule(seed, operators=operators, beyond_f=beyond_f, budget=budget)
    assert drawn == draw_schedule(seed, operators=operators, beyond_f=beyond_f, budget=budget)
    text = scenario_yaml(drawn)
    assert parse_text(text, what="x") == drawn
    jsonschema.validate(yaml.safe_load(text), SCHEMA)
    for backend in ("process", "docker"):
        require_fits(drawn, compute_topology(operators=operators, followers=1), backend)
    assert sum(fault.until.hold.seconds for fault in drawn.faults) <= budget


def most_at_once(receipts: Mapping[str, FaultReceipt], operators: tuple[str, ...]) -> int:
    """From request to proven heal: whoever is in two faults counts once."""
    faults = receipts.values()
    return max(
        len(
            {
                name
                for fault in faults
                if fault.requested <= moment.requested < (fault.healed or 0.0)
                for name in fault.targets
                if name in operators
            }
        )
        for moment in faults
    )


def play(
    seed: int, operators: int, *, beyond_f: bool = False, bugs: frozenset[str] = frozenset()
) -> tuple[Run, int]:
    network = FakeNetwork(operators=operators, bugs=bugs)
    scenario = draw_schedule(seed, operators=operators, beyond_f=beyond_f, budget=100.0)

    async def work() -> Run:
        journal = Journal(network.setup("random"), checkers=[])
        return await Runner(scenario, seed, network, journal, lambda _: None).run()

    run: Run = in_virtual_time(work)
    assert run.history is not None
    receipts = {fault.id: fault for fault in run.history.faults}
    assert len(receipts) == len(scenario.faults)
    assert not [fault.error for fault in receipts.values() if fault.error]
    return run, most_at_once(receipts, network.operators)


@settings(deadline=None, max_examples=8)
@given(SEEDS, st.sampled_from([4, 7]))
def test_a_run_never_has_more_than_f_disturbed_and_no_two_faults_meet(
    seed: int, operators: int
) -> None:
    _, most = play(seed, operators)
    assert most <= faults_tolerated(operators)


def test_f_is_made_use_of_and_beyond_f_is_more() -> None:
    assert max(play(seed, 7)[1] for seed in range(6)) == 2
    assert max(play(seed, 4, beyond_f=True)[1] for seed in range(3)) > 1


def test_faults_end_in_every_phase_and_at_any_time() -> None:
    faults = [fault for seed in range(20) for fault in draw_schedule(seed).faults]
    met = {fault.until.trigger for fault in faults}
    assert met == {None, Trigger.PREPARED, Trigger.DECIDED, Trigger.SEALED}
    beyond = (fault for seed in range(20) for fault in draw_schedule(seed, beyond_f=True).faults)
    assert {fault.until.trigger for fault in beyond} == {None}, "no quorum, no phase"


def stood_still_together(run: Run) -> bool:
    """Whether faults that each leave a quorum left none."""
    assert run.history is not None
    operators = run.history.setup.operators
    tolerable = [fault for fault in run.history.faults if has_quorum([fault], operators)]
    return bool(spans_without_quorum(tolerable, operators))


def test_beyond_f_faults_meet_that_leave_no_quorum_together() -> None:
    """And nobody is accused for that; whoever decides all the same is."""
    runs = {seed: play(seed, 4, beyond_f=True)[0] for seed in range(3)}
    together = [seed for seed, run in runs.items() if stood_still_together(run)]
    assert together
    assert {runs[seed].outcome for seed in together} == {Outcome.PASS}
    bug = frozenset({"decides-without-quorum"})
    verdicts = play(together[0], 4, beyond_f=True, bugs=bug)[0].verdicts
    assert NO_PROGRESS in [each.checker for each in verdicts if each.outcome is Outcome.FAIL]


def test_every_kind_that_says_how_is_drawn() -> None:
    met = {
        fault.do.name
        for seed in range(60)
        for beyond_f in (False, True)
        for fault in draw_schedule(seed, operators=7, beyond_f=beyond_f, budget=300.0).faults
    }
    topology = compute_topology(operators=7, followers=1)
    dice = Dice(rng=random.Random(1), topology=topology, most=7)
    assert met == {name for name, kind in KINDS.items() if kind.weight and kind.drawn(dice)}


@dataclass(frozen=True, kw_only=True)
class Often(Kill):
    """A kind of somebody else's."""

    name: ClassVar = "often"
    weight: ClassVar = 1000

    @classmethod
    def drawn(cls, dice: Dice) -> Self:
        return cls(target=dice.victims())


@dataclass(frozen=True, kw_only=True)
class Never(Often):
    """One that does not say how."""

    name: ClassVar = "never"

    @classmethod
    def drawn(cls, dice: Dice) -> None:  # type: ignore[override]
        return None


def test_a_kind_joins_by_saying_how_it_is_drawn_and_by_its_weight() -> None:
    kinds: dict[str, type[Fault]] = {**KINDS, "often": Often, "never": Never}
    names = [
        fault.do.name
        for seed in range(10)
        for fault in draw_schedule(seed, kinds=kinds, budget=200.0).faults
    ]
    assert names.count("often") > len(names) / 3
    assert "never" not in names
    assert Fault.drawn.__func__(Kill, None) is None  # type: ignore[attr-defined]


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(BadConfig, match="needs 4, 7, 10 operators, not 1"):
        draw_schedule(1, operators=1)
    with pytest.raises(BadConfig, match="needs 4, 7, 10 operators, not 5"):
        draw_schedule(1, operators=5)
    with pytest.raises(BadConfig, match="nothing was drawn for 4 operators in 3 s"):
        draw_schedule(1, budget=3.0)


def test_the_command_writes_the_same_file_for_a_seed(tmp_path: Path) -> None:
    one, two = tmp_path / "a" / "one.yaml", tmp_path / "two.yaml"
    for path in (one, two):
        assert main(["random", "--seed", "5", "--n", "7", "--write", str(path)]) == 0
    assert one.read_text() == two.read_text()
    assert parse_text(one.read_text(), what="x") == draw_schedule(5, operators=7)
    assert main(["random", "--seed", "5", "--n", "1", "--write", str(one)]) == 3


def test_other_schedules_have_other_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs is the file, and goes where its name says."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("devnet.chaos_cli._carried_out", lambda *_: None)
    asked: tuple[list[str], ...] = (
        [],
        ["--beyond-f"],
        ["--n", "7"],
        ["--budget", "200"],
        ["--budget", "20.5"],
    )
    for words in asked:
        assert main(["random", "--seed", "7", *words]) == 3, "nothing ran"
    found = sorted(path.stem for path in tmp_path.glob("runs/*/*.yaml"))
    names = ["", "-20-5s", "-200s", "-beyond-f", "-n7"]
    assert found == [f"random-7{name}" for name in names]
    for path in tmp_path.glob("runs/*/*.yaml"):
        assert parse_text(path.read_text(), what="x").name == path.stem
    full = draw_schedule(2**31, operators=10, budget=3599.123456789, beyond_f=True)
    assert parse_text(scenario_yaml(full), what="x") == full
