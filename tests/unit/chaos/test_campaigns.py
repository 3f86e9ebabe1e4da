"""Campaigns: the matrix and the service levels as files, runs that are not repeated, figures from
records alone, verdicts that say when there are too few runs, and what became worse."""

import argparse
import asyncio
import json
import math
import random
import re
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import msgspec
import pytest
import yaml

from devnet.chaos_cli import add_commands, main
from devnet.checkers import gap
from devnet.injector.hit import Phase
from devnet.model.cluster import ClusterKind
from devnet.model.command import Exit
from devnet.model.history import (
    Answer,
    BlockRead,
    Event,
    EventKind,
    FaultReceipt,
    History,
    MachineSeen,
    Record,
    Setup,
    TransactionSubmitted,
    history_of,
)
from devnet.model.shape import Shape
from devnet.model.terms import Duration
from devnet.model.topology import compute_topology
from devnet.model.verdict import Outcome
from devnet.report import statistics
from devnet.report.against import Comparison, change_told, compare
from devnet.report.campaign import CampaignReport, exit_of, render_report
from devnet.report.campaign_page import PHASES, render_campaign_page
from devnet.report.cells import CellFigures, Injected, RunFigures, figures_of
from devnet.report.levels import Said, judge_levels, level_note
from devnet.report.measures import Measures, measures_of
from devnet.report.progress import _Lines
from devnet.report.statistics import (
    censored_quantile,
    holm,
    least_chance,
    more_often,
    quantile,
    runs_needed,
    seldom_enough,
    too_often,
    worse,
)
from devnet.report.summary import summarise
from devnet.runner.batch import Batch, Place
from devnet.runner.folder import RunFolder
from devnet.runner.journal import Journal
from devnet.runner.judging import pack
from devnet.runner.matrix_report import Earlier, report_of, require_about, write_report
from devnet.runner.matrix_run import MatrixRun
from devnet.runner.plan import require_fits
from devnet.runner.stages import Run, Runner
from devnet.scenarios import catalogue
from devnet.scenarios import matrix as matrix_file
from devnet.scenarios import slo as slo_file
from devnet.scenarios.matrix import Matrix, batches, load_matrix
from devnet.scenarios.scenario import Scenario
from devnet.scenarios.schema import MATRIX_FILE, SLO_FILE
from devnet.scenarios.slo import ServiceLevels, load_service_levels, parse_service_levels
from dst.spec.errors import BadConfig
from tests.unit.chaos.fake_network import FakeNetwork, in_virtual_time

SMALL = """\
campaign: 1
name: small
scenarios: [leader-kill, all-restart]
operators: [4, 7]
seeds: 3
"""


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


# The files.


def test_the_matrix_is_every_place_but_those_left_out(tmp_path: Path) -> None:
    text = SMALL + "regions: [none, world]\nexcept: [{scenario: all-restart, regions: world}]\n"
    jsonschema.validate(yaml.safe_load(text), matrix_file.schema())
    found = load_matrix(written(tmp_path / "c.yaml", text))
    assert Counter((cell.name, cell.regions) for cell in found.cells) == {
        ("leader-kill", "none"): 2,
        ("leader-kill", "world"): 2,
        ("all-restart", "none"): 2,
    }
    assert found.seeds == (1, 2, 3)
    for cell in found.cells:
        topology = compute_topology(operators=cell.operators, followers=1)
        require_fits(cell.scenario, topology, "process")
    (far, *_) = (cell for cell in found.cells if cell.regions == "world")
    assert far.scenario.name == "leader-kill-world"
    assert [str(fault.at.after) for fault in far.scenario.faults] == ["None", "inject of regions"]
    assert len({cell.digests([1], "process", "x")[1] for cell in found.cells}) == 6
    products = [(kind, which) for kind in ("process", "docker") for which in ("x", "y")]
    assert len({each for one in products for each in far.digests([1, 2], *one).values()}) == 8


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SMALL + "operatrs: [4]\n", ":6: : unknown key 'operatrs'"),
        (SMALL.replace("[4, 7]", "[5]"), ":4: operators: expected some of 1, 4, 7, 10; got 5"),
        (SMALL.replace("all-restart", "no-such"), ":3: scenarios[1]: no scenario 'no-such'"),
        (SMALL.replace("seeds: 3", "seeds: [1, 1]"), ":5: seeds: expected each once"),
        (SMALL + "regions: [moon]\n", ":6: regions: expected some of none, continent"),
        (SMALL.replace("leader-kill, all-restart", "hostile-transactions") + "regions: [world]\n",
         ":6: regions: hostile-transactions has no faults"),
        ("campaign: 1\nname: x\nscenarios: [leader-kill]\n", ": : the key 'seeds' is missing"),
    ],
)  # fmt: skip
def test_a_campaign_that_cannot_be_read_says_where(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(BadConfig) as caught:
        load_matrix(written(tmp_path / "c.yaml", text))
    assert f"c.yaml{words}" in str(caught.value)


LEVELS = """\
slo: 1
name: ours
objectives:
  - {name: failover, measure: gap, percentile: 95, at_most: 4s, scenarios: ["leader-*"]}
  - {name: passes, measure: passes, at_least: 0.9, operators: [4]}
  - {name: idle, measure: cpu, percentile: 50, at_most: 0.8}
"""


def test_service_levels_are_read_and_the_schemas_are_the_readers(tmp_path: Path) -> None:
    jsonschema.validate(yaml.safe_load(LEVELS), slo_file.schema())
    levels = load_service_levels(written(tmp_path / "slo.yaml", LEVELS))
    assert [each.told() for each in levels.objectives] == [
        "gap: 95 % of runs within 4 s",
        "90 % of runs pass",
        "cpu: 50 % of runs within 0.8",
    ]
    assert json.loads(SLO_FILE.read_text()) == slo_file.schema()
    assert json.loads(MATRIX_FILE.read_text()) == matrix_file.schema()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("percentile: 95", "percentile: 100", ":4: objectives[0].percentile: expected a share"),
        ("at_most: 4s", "at_most: 4", ":4: objectives[0].at_most: expected a duration"),
        ("at_most: 4s", "at_most: 4 slots", "expected seconds, not slots"),
        ("measure: gap", "measure: luck", ":4: objectives[0].measure: expected one of gap"),
        ("at_least: 0.9", "at_most: 0.9", ":5: objectives[1].at_most: of passes give at_least"),
        ("name: idle", "name: passes", ":6: objectives[2].name: 'passes' is used twice"),
        ("at_least: 0.9", "at_least: 1", "which no number of runs can show"),
        ("at_most: 0.8", "at_most: .inf", ":6: objectives[2].at_most: expected a number from 0"),
        ("at_most: 0.8", "at_most: .nan", "expected a number from 0"),
        ("at_most: 0.8", f"at_most: {10**400}", "expected a number from 0"),
        ("percentile: 95", "percentile: .nan", "expected a number such as 95"),
    ],
)
def test_service_levels_that_cannot_be_kept_are_refused(
    old: str, new: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(BadConfig) as caught:
        load_service_levels(written(tmp_path / "slo.yaml", LEVELS.replace(old, new)))
    assert words in str(caught.value)


# Statistics.


def test_the_pages_numbers_of_runs_are_right() -> None:
    """Of docs/campaigns.md: how many runs close both ends."""
    for q, needed in ((0.5, 6), (0.95, 72), (0.99, 368)):
        for n, closed in ((needed - 1, False), (needed, True)):
            found = quantile([float(i) for i in range(n)], q)
            assert (None not in (found.low, found.high)) is closed, (q, n)
    assert runs_needed(0.01) == 299
    thousands = quantile([float(i) for i in range(5000)], 0.99)
    assert thousands.low is not None
    assert thousands.high is not None
    assert thousands.value is not None
    assert 4930 < thousands.low < thousands.value < thousands.high < 4970


def test_the_examples_of_the_documentation_go_together() -> None:
    folder = Path(__file__).parents[3] / "docs" / "examples"
    found = load_matrix(folder / "campaign.yaml")
    MatrixRun(matrix=found, folder=folder, backend="process").require_possible()
    require_about(load_service_levels(folder / "slo.yaml"), found)


def test_the_standard_campaign_on_containers_has_every_kind_of_fault_and_every_liar() -> None:
    examples = Path(__file__).parents[3] / "docs" / "examples"

    def kinds(names: Sequence[str]) -> set[str]:
        faults = [fault.do for name in names for fault in catalogue.load(name).faults]
        return {str(getattr(do, "strategy", type(do).__name__)) for do in faults}

    played = {cell.name for cell in load_matrix(examples / "standard-docker.yaml").cells}
    assert kinds(sorted(played)) == kinds(catalogue.names())


def test_intervals_are_those_of_the_published_tables() -> None:
    """Conover, order statistics of the median: ranks 6 and 15 of 20, 2 and 9 of 10."""
    twenty = quantile([float(i) for i in range(1, 21)], 0.5)
    assert (twenty.value, twenty.low, twenty.high) == (10.0, 6.0, 15.0)
    ten = quantile([float(i) for i in range(1, 11)], 0.5)
    assert (ten.low, ten.high) == (2.0, 9.0)
    five = quantile([1.0, 2.0, 3.0, 4.0, 5.0], 0.5)
    assert (five.value, five.low, five.high) == (3.0, None, None)
    tail = quantile([float(i) for i in range(100)], 0.99)
    assert (tail.value, tail.high) == (98.0, None)


def test_an_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = random.Random(7)
    held = 0
    for _ in range(200):
        found = quantile(sorted(rng.expovariate(1.0) for _ in range(25)), 0.5)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0.6931 <= found.high
    assert 0.94 <= held / 200 <= 0.99


def test_how_many_runs_show_something() -> None:
    """Tolerance limits 95/95 of Wilks: 59 without one beyond, 93 with one, 124 with two."""
    assert [runs_needed(0.05, beyond) for beyond in (0, 1, 2)] == [59, 93, 124]
    assert seldom_enough(0, 59, 0.05)
    assert not seldom_enough(0, 58, 0.05)
    assert not seldom_enough(0, 0, 0.05)
    assert too_often(2, 3, 0.05)
    assert not too_often(1, 20, 0.05)
    assert not too_often(0, 20, 0.05)


def test_worse_is_told_from_noise() -> None:
    assert worse([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]) == pytest.approx(1 / 20)
    assert worse([4.0, 5.0, 6.0], [1.0, 2.0, 3.0]) == 1.0
    assert worse([1.0] * 5, [1.0] * 5) == 1.0
    assert worse([1.0, 2.0, math.inf], [math.inf] * 3) == pytest.approx(4 / 20)
    assert worse([1.0] * 60, [1.0] * 57 + [2.0] * 3) == pytest.approx(more_often((0, 60), (3, 60)))
    rng = random.Random(1)
    many = [rng.random() for _ in range(15)]
    assert worse(many, [value + 0.5 for value in many]) < 0.001
    assert more_often((0, 10), (5, 10)) == pytest.approx(252 / 15504)
    assert more_often((3, 10), (0, 10)) == 1.0
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_the_normal_approximation_meets_what_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(4)
    for shift in (0.0, 0.1, 0.2, 0.3):
        before = [rng.random() for _ in range(20)]
        after = [round(rng.random() + shift, 2) for _ in range(20)]
        counted = worse(before, after)
        with monkeypatch.context() as patched:
            patched.setattr(statistics, "EXACT_BITS", 0)
            # Far out in the tail it says less than is so, never more.
            assert 0.9 * counted <= worse(before, after) <= counted + 0.01
    many = [rng.random() for _ in range(200)]
    assert worse(many, [value + 9 for value in many]) < 1e-60
    assert worse([1.0] * 5, [2.0] * 5) == least_chance(5, 5) == more_often((0, 5), (5, 5))


def test_a_wait_that_goes_on_is_not_one_that_ended() -> None:
    """Kaplan and Meier's own rule; without censored values the nearest rank."""
    waits = [float(i) for i in range(1, 101)]
    assert censored_quantile(waits, [], 0.95) == 95.0
    assert censored_quantile(waits[:90], waits[90:], 0.95) is None
    assert censored_quantile(waits, [0.5] * 50, 0.95) == 95.0  # they waited too short to count
    assert censored_quantile([1.0, 3.0, 4.0], [2.0], 0.5) == 3.0
    assert censored_quantile([], [9.0], 0.95) is None


def test_noise_alone_is_seldom_called_worse() -> None:
    rng = random.Random(3)
    called = 0
    for _ in range(30):
        before, after = cell(rng, gap=1.0), cell(rng, gap=1.0)
        called += any(change.worse for change in compare([before], [after]).changes)
    assert called <= 4


# Verdicts.


def cell(
    rng: random.Random, *, gap: float, runs: int = 7, failed: int = 0, silent: int = 0
) -> CellFigures:
    def outcome(number: int) -> Outcome:
        if number < failed:
            return Outcome.FAIL
        return Outcome.INCONCLUSIVE if number >= runs - silent else Outcome.PASS

    found = [
        RunFigures(
            seed=number, outcome=outcome(number), reason="why", folder=f"runs/x/{number}",
            measures=Measures(
                gap=gap + rng.random(), recovery=rng.random(), rounds=1.0, cpu=rng.random()
            ),
        )
        for number in range(runs)
    ]  # fmt: skip
    return figures_of(("leader-kill", 4, "none", 1, ClusterKind.DST), found)


def run_of(
    seed: int, outcome: Outcome = Outcome.PASS, network: str = "", **measured: Any
) -> RunFigures:
    return RunFigures(
        seed=seed, outcome=outcome, folder=f"runs/x/{seed}", network=network,
        measures=Measures(**measured),
    )  # fmt: skip


def place(
    scenario: str, runs: Sequence[RunFigures], *, operators: int = 4, missing: int = 0
) -> CellFigures:
    return figures_of((scenario, operators, "none", 1, ClusterKind.DST), runs, missing)


def quick(scenario: str, runs: int = 60, *, operators: int = 4) -> CellFigures:
    return place(scenario, [run_of(s, gap=1.0) for s in range(runs)], operators=operators)


def levels_of(**objective: Any) -> ServiceLevels:
    value = {"slo": 1, "name": "ours", "objectives": [{"name": "it", **objective}]}
    return parse_service_levels(value)


@pytest.mark.parametrize(
    ("runs", "gap", "failed", "said"),
    [
        (59, 1.0, 0, Said.MET),
        (58, 1.0, 0, Said.TOO_FEW),
        (3, 9.0, 0, Said.MISSED),
        (1, 1.0, 0, Said.TOO_FEW),
        (0, 1.0, 0, Said.TOO_FEW),
    ],
)
def test_a_level_is_met_missed_or_not_shown(runs: int, gap: float, failed: int, said: Said) -> None:
    levels = levels_of(measure="gap", percentile=95, at_most="4s")
    (verdict,) = judge_levels(levels, [cell(random.Random(1), gap=gap, runs=runs, failed=failed)])
    assert verdict.said is said
    if said is Said.TOO_FEW:
        assert verdict.note.endswith("with 0 beyond it takes 59 runs to be shown")
        assert ("nothing was measured in leader-kill, n = 4, 1 s" in verdict.note) is (runs == 0)


def test_what_showed_nothing_is_in_no_figure_and_told() -> None:
    half = cell(random.Random(1), gap=1.0, runs=60, silent=10)
    (verdict,) = judge_levels(levels_of(measure="gap", at_most="4s"), [half])
    assert (verdict.runs, verdict.silent, verdict.said) == (50, 10, Said.TOO_FEW)
    assert half.statistics["gap"].count == 50


def test_a_run_that_failed_without_a_figure_is_beyond_any_limit() -> None:
    there = place("leader-kill", [run_of(seed, Outcome.FAIL) for seed in range(3)])
    (verdict,) = judge_levels(levels_of(measure="recovery", at_most="9s"), [there])
    assert (verdict.beyond, verdict.said) == (3, Said.MISSED)
    (verdict,) = judge_levels(levels_of(measure="passes", at_least=0.9), [there])
    assert verdict.said is Said.MISSED


SHORT = levels_of(measure="gap", percentile=95, at_most="4s")


def test_a_run_that_failed_is_beyond_whatever_its_figures_say() -> None:
    """The chain died while it stood: the figure is what had passed until then."""
    dead = place("leader-kill", [run_of(s, Outcome.FAIL, gap=2.0, cpu=0.1) for s in range(60)])
    for measure, limit in (("gap", "4s"), ("cpu", 0.9), ("rounds", 9)):
        (verdict,) = judge_levels(levels_of(measure=measure, at_most=limit), [dead])
        assert (verdict.said, verdict.beyond) == (Said.MISSED, 60)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"silent": 30}, "30 runs showed nothing: counted as beyond"),
        ({"unmeasured": 30}, "30 runs had nothing to measure: counted as beyond"),
        ({"missing": 30}, "30 runs missing: counted as beyond"),
        ({"silent": 1, "unmeasured": 1, "missing": 1}, "with 3 beyond it takes 153 runs"),
    ],
)
def test_what_was_not_shown_may_have_been_beyond(changes: dict[str, int], words: str) -> None:
    """Ninety-nine that keep it are enough with one beyond, and not with three."""
    silent, unmeasured = changes.get("silent", 0), changes.get("unmeasured", 0)
    runs = [run_of(s, gap=1.0) for s in range(99)]
    runs += [run_of(s, Outcome.INCONCLUSIVE, gap=9.0) for s in range(100, 100 + silent)]
    runs += [run_of(s) for s in range(200, 200 + unmeasured)]
    there = place("leader-kill", runs, missing=changes.get("missing", 0))
    (verdict,) = judge_levels(SHORT, [there])
    assert (verdict.said, verdict.runs, verdict.beyond) == (Said.TOO_FEW, 99, 0)
    assert words in level_note(verdict)
    assert exit_of(report([there], levels=(verdict,))) is Exit.NOTHING_SHOWN
    (verdict,) = judge_levels(SHORT, [place("leader-kill", runs[:99], missing=1)])
    assert verdict.said is Said.MET


def test_a_level_is_met_only_where_every_place_showed_something() -> None:
    shown, blind = quick("leader-kill", 600), [run_of(1, Outcome.INCONCLUSIVE)]
    (verdict,) = judge_levels(SHORT, [shown, place("leader-freeze", blind)])
    assert verdict.said is Said.TOO_FEW
    assert "nothing was measured in leader-freeze, n = 4, 1 s" in verdict.note
    (verdict,) = judge_levels(SHORT, [shown, place("leader-freeze", [run_of(1, gap=1.0)])])
    assert verdict.said is Said.MET


def test_one_place_that_never_keeps_it_does_not_disappear_among_others() -> None:
    others = [quick(f"s{number}") for number in range(30)]
    bad = place("bad", [run_of(s, gap=90.0) for s in range(60)], operators=7)
    (verdict,) = judge_levels(SHORT, [*others, bad])
    assert verdict.said is Said.MISSED
    assert verdict.note == "missed by bad, n = 7, 1 s (60 of 60 beyond)"
    unlucky = place("unlucky", [run_of(s, gap=9.0 if s < 2 else 1.0) for s in range(9)])
    assert judge_levels(SHORT, [unlucky, quick("x")])[0].said is Said.TOO_FEW
    many = [msgspec.structs.replace(unlucky, scenario=f"unlucky-{n}") for n in range(2)]
    assert judge_levels(SHORT, [*many, *others])[0].said is Said.MET


def test_a_censored_figure_is_beyond_or_says_nothing() -> None:
    def seen(seconds: float) -> CellFigures:
        return place(
            "x", [run_of(s, detection=seconds, censored=("detection",)) for s in range(600)]
        )

    levels = levels_of(measure="detection", at_most="4s")
    assert judge_levels(levels, [seen(4.1)])[0].said is Said.MISSED
    (verdict,) = judge_levels(levels, [seen(3.9)])
    assert (verdict.said, verdict.unmeasured) == (Said.TOO_FEW, 600)
    found = seen(3.9).statistics["detection"]
    assert (found.count, found.censored, found.p50.value, found.max) == (600, 600, None, None)


def shared(each: int, gaps: Sequence[float]) -> CellFigures:
    """Networks of so many runs, each with a gap of its own."""
    return place(
        "x",
        [
            run_of(each * n + k, network=f"net-{n}", gap=gap)
            for n, gap in enumerate(gaps)
            for k in range(each)
        ],
    )


def test_runs_that_shared_a_network_are_one_word() -> None:
    together, alone = shared(10, [1.0] * 6), shared(1, [1.0] * 60)
    (verdict,) = judge_levels(SHORT, [together])
    assert (verdict.said, verdict.runs, verdict.networks) == (Said.TOO_FEW, 60, 6)
    assert "60 runs shared 6 networks, each of which counts once" in level_note(verdict)
    assert judge_levels(SHORT, [alone])[0].said is Said.MET
    assert judge_levels(SHORT, [shared(10, [9.0] + [1.0] * 19)])[0].said is Said.TOO_FEW
    steps = [float(step) for step in range(8)]
    median = shared(10, steps).statistics["gap"].p50
    assert (median.low, median.high) == (0.0, 7.0)  # as of eight values, not of eighty
    apart = compare([shared(10, steps)], [shared(10, [step + 0.5 for step in steps])])
    assert next(c.chance for c in apart.changes if c.measure == "gap") > 0.2
    assert compare([shared(10, steps[:4])], [shared(10, steps)]).too_few == ("x, n = 4, 1 s",)


def test_noise_of_networks_is_seldom_called_worse() -> None:
    rng = random.Random(5)

    def many() -> CellFigures:
        return place(
            "x",
            [
                run_of(10 * n + k, network=str(n), gap=offset + rng.gauss(0, 1))
                for n in range(6)
                for offset in [9 + rng.gauss(0, 1)]
                for k in range(10)
            ],
        )

    called = sum(bool(compare([many()], [many()]).worse) for _ in range(100))
    assert called <= 8


def test_many_places_and_few_runs_are_not_taken_for_no_change() -> None:
    rng = random.Random(1)

    def many(cells: int, runs: int, factor: float) -> list[CellFigures]:
        return [
            place(
                f"s{n}",
                [run_of(s, gap=factor * (1 + rng.random()), rounds=factor) for s in range(runs)],
            )
            for n in range(cells)
        ]

    found = compare(many(72, 20, 1.0), many(72, 20, 10.0))
    assert len(found.worse) == 144
    assert not found.is_unclear
    found = compare(many(72, 5, 1.0), many(72, 5, 10.0))
    assert not found.worse
    assert found.blind == 216
    told = report(many(72, 5, 10.0), comparison=found, against="before")
    assert "too few runs for so many comparisons: in 216 of 216 comparisons" in render_report(told)
    assert "too few runs for so many comparisons" in render_campaign_page(told)
    assert exit_of(told) is Exit.NOTHING_SHOWN
    assert exit_of(report(many(1, 5, 1.0), comparison=Comparison())) is Exit.OK


def test_what_cannot_be_compared_is_said() -> None:
    old = [quick("both"), quick("gone")]
    lost = place("both", [run_of(s, Outcome.INCONCLUSIVE, gap=9.0) for s in range(60)])
    found = compare(old, [lost, quick("new")])
    assert found.too_few == ("both, n = 4, 1 s",)
    assert found.left_out == ("gone, n = 4, 1 s: only earlier", "new, n = 4, 1 s: only now")
    assert exit_of(report([quick("both")], comparison=found)) is Exit.NOTHING_SHOWN
    nothing = compare([quick("gone")], [quick("new")])
    told = report([quick("new")], comparison=nothing, against="before")
    assert exit_of(told) is Exit.NOTHING_SHOWN
    unmeasured = place("both", [run_of(s) for s in range(60)])
    found = compare([quick("both")], [unmeasured])
    assert found.too_few == ("both, n = 4, 1 s: gap (60 and 0)",)
    seldom = place("both", [run_of(s, detection=1.0 if s < 3 else None) for s in range(60)])
    found = compare([unmeasured], [seldom])
    assert (found.too_few, found.left_out) == ((), ("both, n = 4, 1 s: detection (0 and 3)",))


def test_recoveries_that_no_longer_come_are_worse() -> None:
    before = place("x", [run_of(s, recovery=1.0 + s / 100) for s in range(20)])
    never = [run_of(s, recovery=60.0, censored=("recovery",)) for s in range(20)]
    found = compare([before], [place("x", never)])
    assert [change.measure for change in found.worse] == ["recovery"]
    assert "recovery 1.09 s -> without end" in change_told(found.worse[0])


def test_a_level_about_nothing_is_refused() -> None:
    levels = levels_of(measure="gap", at_most="4s", scenarios=["leader-*"], operators=[7])
    with pytest.raises(BadConfig, match="service level it: this campaign has no such place"):
        judge_levels(levels, [cell(random.Random(1), gap=1.0)])


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("scenarios", ["leader-*", "no-such-*"]),
        ("operators", [4, 7]),
        ("regions", ["none", "world"]),
        ("slot_seconds", [1, 2]),
    ],
)
def test_a_selector_that_selects_nothing_is_refused(key: str, values: list[object]) -> None:
    levels = levels_of(measure="gap", at_most="4s", **{key: values})
    with pytest.raises(BadConfig) as caught:
        judge_levels(levels, [quick("leader-kill")])
    assert f"service level it: {key}: {values[1]} is no place" in str(caught.value)


def test_what_became_worse_is_named_and_what_did_not_is_not() -> None:
    rng = random.Random(2)
    before, after = cell(rng, gap=1.0), cell(rng, gap=3.0)
    found = compare([before], [after])
    assert [change.measure for change in found.worse] == ["gap"]
    assert not found.is_unclear
    assert not compare([after], [before]).worse
    broken = cell(rng, gap=1.0, failed=7)
    assert "passes" in {c.measure for c in compare([before], [broken]).worse}
    assert compare([before], [cell(rng, gap=9.0, runs=4)]).too_few == ("leader-kill, n = 4, 1 s",)


def report(cells: list[CellFigures], **changes: Any) -> CampaignReport:
    bare = CampaignReport(name="c", about="a", backend="process", cells=tuple(cells), missing=0)
    return msgspec.structs.replace(bare, **changes)


def test_the_page_counts_what_was_proven_by_where_it_fell() -> None:
    def run(seed: int, *faults: Injected) -> RunFigures:
        return msgspec.structs.replace(run_of(seed, gap=1.0), faults=faults)

    kill = Injected(kind="kill", phase="prepared", proven=True)
    runs = [
        run(1, kill, Injected(kind="cut", phase="idle", proven=True)),
        run(2, kill, msgspec.structs.replace(kill, phase="")),
        run(3, msgspec.structs.replace(kill, proven=False)),
    ]
    page = render_campaign_page(report([place("x", runs)]))
    rows = re.findall(r"<tr[^>]*><td>(cut|kill)</td>(.*?)</tr>", page)
    cells = {kind: re.findall(r"<td>(.*?)</td>", row) for kind, row in rows}
    assert cells["cut"] == ["1", "1", "-", "-", "-", "-", "-", "-"]
    assert cells["kill"] == ["3", "-", "-", "-", "2", "-", "1", "1"]
    assert set(PHASES) == {*map(str, Phase), ""}


def test_exit_codes() -> None:
    rng = random.Random(1)
    good, failed = cell(rng, gap=1.0, runs=60), cell(rng, gap=1.0, runs=60, failed=1)
    levels = levels_of(measure="gap", at_most="4s")
    met, few = (judge_levels(levels, [each]) for each in (good, cell(rng, gap=1.0, runs=9)))
    missed = judge_levels(levels, [cell(rng, gap=9.0)])
    assert exit_of(report([good])) is Exit.OK
    assert exit_of(report([failed])) is Exit.FAILED
    assert exit_of(report([failed], levels=met)) is Exit.OK
    assert exit_of(report([good], levels=few)) is Exit.NOTHING_SHOWN
    assert exit_of(report([good], levels=missed)) is Exit.FAILED
    assert exit_of(report([good], missing=1)) is Exit.HARNESS
    assert exit_of(report([cell(rng, gap=1.0, silent=1)])) is Exit.NOTHING_SHOWN
    unsafe = msgspec.structs.replace(failed.runs[0], unsafe=True)
    assert exit_of(report([figures_of(failed.key, [unsafe])], levels=met)) is Exit.FAILED


# Figures of records.


class Dying(FakeNetwork):
    """Seals nothing from then on."""

    def __init__(self, dead: Callable[[FakeNetwork, Journal], bool]) -> None:
        super().__init__()
        self._dead = dead

    def tails(self, journal: Journal) -> list[Coroutine[Any, Any, None]]:
        self._journal = journal
        return super().tails(journal)

    def _largest_group(self) -> set[str]:
        return set() if self._dead(self, self._journal) else super()._largest_group()


def played(network: FakeNetwork, scenario: Scenario) -> History:
    async def work() -> Run:
        journal = Journal(network.setup(scenario.name))
        return await Runner(scenario, 7, network, journal, lambda _: None).run()

    run: Run = in_virtual_time(work)
    assert run.history is not None
    return run.history


def healed(_: FakeNetwork, journal: Journal) -> bool:
    return any(fault.healed for fault in journal.history().faults)


def at_height_10(network: FakeNetwork, _: Journal) -> bool:
    return network.height >= 10


@pytest.mark.parametrize("dead", [healed, at_height_10])
def test_a_chain_that_never_came_back_has_waited_to_the_end(
    dead: Callable[[FakeNetwork, Journal], bool],
) -> None:
    history = played(Dying(dead), catalogue.load("leader-kill"))
    figures = measures_of(history)
    for name in ("gap", "recovery", "inclusion"):
        assert getattr(figures, name) > 50, name
        assert name in figures.censored
    assert gap.check(history, Duration(seconds=20.0)).outcome is Outcome.FAIL


def test_a_run_as_it_should_be_has_nothing_censored() -> None:
    figures = measures_of(played(FakeNetwork(), catalogue.load("leader-kill")))
    assert figures.censored == ()
    assert None not in (figures.gap, figures.detection, figures.recovery, figures.inclusion)


SETUP = Setup(operators=("op1", "op2", "op3", "op4"), slot_seconds=1.0)


def sealed(height: int, at: float) -> list[Record]:
    block = BlockRead(
        node="op1", height=height, block_hash="0x", parent_hash="0x", state_root="0x",
        transactions=(f"0x{height}",),
    )  # fmt: skip
    kind = EventKind.SEALED
    return [Event(kind=kind, node="op1", height=height, monotonic=at, wall=0.0), block]


def sent(number: object, at: float, answer: Answer) -> Record:
    answered = None if answer is Answer.UNKNOWN else at + 0.1
    return TransactionSubmitted(
        via="op1", hash=f"0x{number}", sent=at, answered=answered, answer=answer
    )


def inclusion_of(records: Sequence[Record]) -> tuple[float | None, bool]:
    figures = measures_of(history_of(SETUP, list(records)))
    return figures.inclusion, "inclusion" in figures.censored


def test_a_transaction_waits_from_when_it_was_first_sent() -> None:
    again = [sent(5, at, Answer.UNKNOWN) for at in (10.0, 12.2)]
    records = [*again, sent(5, 19.0, Answer.OK), *sealed(5, 20.0)]
    assert inclusion_of(records) == (10.0, False)
    assert inclusion_of([sent(5, 9.0, Answer.REFUSED), *records]) == (10.0, False)
    assert inclusion_of([*again, *sealed(5, 20.0)]) == (10.0, False)
    assert inclusion_of([sent(5, 9.0, Answer.REFUSED)]) == (None, False)


def test_a_transaction_that_is_in_no_block_is_not_left_out() -> None:
    kept = [record for n in range(90) for record in (*sealed(n, n + 1.0), sent(n, n, Answer.OK))]
    lost = [sent(f"lost{n}", 1.0, Answer.OK) for n in range(10)]
    assert inclusion_of(kept) == (1.0, False)
    assert inclusion_of([*kept, *lost[:4]]) == (1.0, False)
    assert inclusion_of([*kept, *lost]) == (89.0, True)


def test_a_transaction_sent_when_nobody_read_blocks_any_more_says_nothing() -> None:
    kept = [record for n in range(9) for record in (*sealed(n, n + 1.0), sent(n, n, Answer.OK))]
    later = Event(kind=EventKind.SEALED, node="op1", height=9, monotonic=10.0, wall=0.0)
    late = [sent(f"late{n}", 9.5, Answer.OK) for n in range(5)]
    assert inclusion_of([*kept, later, *late]) == (1.0, False)
    still = MachineSeen(monotonic=60.0, late=0.0, steal=None, pressure=None, free_bytes=None)
    assert inclusion_of([*kept, *late, still]) == (50.5, True)


def test_a_silence_that_nobody_noticed_lasted_to_its_heal() -> None:
    def silenced(at: float, healed: float) -> Record:
        return FaultReceipt(
            id=f"kill-{at}", kind="kill", targets=("op3",), silenced=("op3",), requested=at,
            applied=at, verified=at, revert_requested=healed, reverted=healed, healed=healed,
        )  # fmt: skip

    change = Event(
        kind=EventKind.ROUND_CHANGE, node="op1", height=2, round=1, monotonic=11.5, wall=0.0
    )
    figures = measures_of(history_of(SETUP, [silenced(10.0, 14.0), change]))
    assert (figures.detection, figures.censored) == (1.5, ("recovery",))
    both = history_of(SETUP, [silenced(10.0, 14.0), change, silenced(20.0, 28.0)])
    figures = measures_of(both)
    assert (figures.detection, figures.censored) == (8.0, ("detection", "recovery"))


def test_a_place_far_apart_recovers_under_its_distances(tmp_path: Path) -> None:
    """Taken away one by one, they would be gone when the chain is back."""

    class Slow(FakeNetwork):
        def __init__(self) -> None:
            super().__init__()
            real = self.links.shape

            async def shape(links: Sequence[str], toxic: str, shape: Shape | None) -> None:
                if shape is None:
                    await asyncio.sleep(1.5)
                await real(links, toxic, shape)

            self.links.shape = shape  # type: ignore[method-assign]

    text = SMALL.replace("leader-kill, all-restart", "split-2-2").replace("[4, 7]", "[4]")
    text += "regions: [none, continent]\n"
    near, far = load_matrix(written(tmp_path / "c.yaml", text)).cells
    found = [measures_of(played(Slow(), cell.scenario)).recovery for cell in (near, far)]
    assert found[0] == found[1]
    history = played(Slow(), far.scenario)
    heals = {fault.id: (fault.revert_requested, fault.healed) for fault in history.faults}
    asked, split = heals["regions"][0], heals["split"][1]
    assert asked is not None
    assert split is not None
    seen = {e.height for e in history.events if e.kind is EventKind.SEALED}
    under = {
        e.height
        for e in history.events
        if e.kind is EventKind.SEALED and split < e.monotonic <= asked
    }
    assert len(under) >= far.scenario.settle.for_operators(4)
    assert max(seen) > max(under)


# Runs.


def record_run(root: Path, batch: Batch, seed: int) -> None:
    """What a real run leaves, of a fake cluster; played once."""
    scenario, n = batch.cell.scenario, batch.cell.operators
    if kept := _KEPT.get((scenario.name, n, seed)):
        path = RunFolder.create(root, scenario, seed).path
        for name, data in kept.items():
            (path / name).write_bytes(data)
        return
    network = FakeNetwork(operators=n)
    folder = RunFolder.create(root, scenario, seed)
    journal = Journal(network.setup(scenario.name), folder.history)

    async def work() -> Run:
        return await Runner(scenario, seed, network, journal, lambda _: None).run()

    run: Run = in_virtual_time(work)
    journal.close()
    summary = summarise(run.history, run.verdicts, scenario=scenario.name, seed=seed)
    descriptor = SimpleNamespace(
        backend="process", operators=[None] * n, followers=[None], slot_seconds=1, chain_id=901,
        genesis_time=0, group_public_key="0x", cluster=ClusterKind.DST,
    )  # fmt: skip
    folder.write(run, summary, descriptor, "replay")  # type: ignore[arg-type]
    pack(folder.path)
    found = {file.name: file.read_bytes() for file in folder.path.iterdir()}
    _KEPT[scenario.name, n, seed] = found


_KEPT: dict[tuple[str, int, int], dict[str, bytes]] = {}


class FakeLaunch:
    """Keeps account; `breaks_at`: the n-th run is cut off, with half a folder; `never`: seeds that
    the harness cannot carry out."""

    def __init__(self, run: MatrixRun, *, breaks_at: int = 0, never: tuple[int, ...] = ()) -> None:
        self.run = run
        self.done: list[tuple[str, int, int]] = []
        self.places: set[Place] = set()
        self.now = self.most = 0
        self._breaks_at = breaks_at
        self._never = never

    async def __call__(self, batch: Batch, place: Place) -> None:
        self.places.add(place)
        self.now += 1
        self.most = max(self.most, self.now)
        for seed in batch.seeds:
            if len(self.done) + 1 == self._breaks_at:
                RunFolder.create(self.run.runs(batch.cell), batch.cell.scenario, seed)
                raise KeyError("killed")
            if seed in self._never:
                break
            await asyncio.to_thread(record_run, self.run.runs(batch.cell), batch, seed)
            self.done.append((batch.cell.name, batch.cell.operators, seed))
        self.now -= 1


@pytest.fixture
def small(tmp_path: Path) -> Matrix:
    return load_matrix(written(tmp_path / "c.yaml", SMALL.replace("[4, 7]", "[4]")))


def campaign(matrix: Matrix, folder: Path, **changes: Any) -> tuple[MatrixRun, FakeLaunch]:
    limits = {key: changes.pop(key) for key in ("breaks_at", "never") if key in changes}
    run = MatrixRun(matrix=matrix, folder=folder, backend="process", **changes)
    run.launch = launch = FakeLaunch(run, **limits)
    return run, launch


def test_a_campaign_that_was_killed_goes_on_and_repeats_nothing(
    small: Matrix, tmp_path: Path
) -> None:
    first, cut_off = campaign(small, tmp_path / "x", breaks_at=5)
    with pytest.raises(ExceptionGroup):
        asyncio.run(first.run())
    shown: list[tuple[int, int]] = []
    second, rest = campaign(small, tmp_path / "x", shown=lambda *told: shown.append(told))
    asyncio.run(second.run())
    every = {(name, 4, seed) for name in ("leader-kill", "all-restart") for seed in (1, 2, 3)}
    assert len(cut_off.done) == 4
    assert set(rest.done) == every - set(cut_off.done)
    assert shown[0] == (4, 6)
    assert shown[-1] == (6, 6)
    third, nothing = campaign(small, tmp_path / "x")
    asyncio.run(third.run())
    assert nothing.done == []
    figures, _ = third.figures()
    assert [len(each.runs) for each in figures] == [3, 3]
    kill = figures[0]
    assert {run.outcome for run in kill.runs} == {Outcome.PASS}
    assert (kill.statistics["gap"].max or 0) >= 1.0
    assert (kill.statistics["detection"].p50.value or 0) > 0
    assert (kill.statistics["rounds"].max or 0) >= 1
    page = write_report(report_of(third, None, None), third.folder)
    assert Earlier.of(third.folder, tmp_path).report.cells == figures
    assert "leader-kill, n = 4, 1 s" in page.read_text()


def test_another_network_or_scenario_is_another_run(small: Matrix, tmp_path: Path) -> None:
    one, _ = campaign(small, tmp_path / "x")
    asyncio.run(one.run())
    docker = MatrixRun(matrix=small, folder=tmp_path / "x", backend="docker")
    assert docker.done() == {}
    assert len(one.done()) == 6
    assert len(campaign(small, tmp_path / "x")[0].done()) == 6
    changed = next(iter(one.done().values())) / "scenario.yaml"
    changed.write_text(changed.read_text().replace("about: ", "about: not "))
    one, _ = campaign(small, tmp_path / "x")
    assert len(one.done()) == 5
    assert one.others() == 1
    other, _ = campaign(small, tmp_path / "x", product="of yesterday")
    assert other.done() == {}
    broken = next(iter(one.done().values())) / "manifest.json"
    broken.write_text(broken.read_text().replace('"error": ""', '"error": "no network"'))
    one, _ = campaign(small, tmp_path / "x")
    assert len(one.done()) == 4
    assert [each.reason for each in one.broken()] == ["no network"]


def test_what_the_harness_cannot_do_is_tried_again_and_then_missing(
    small: Matrix, tmp_path: Path
) -> None:
    run, launch = campaign(small, tmp_path / "x", never=(3,))
    asyncio.run(run.run())
    told = report_of(run, None, None)
    assert told.missing == 2
    assert exit_of(told) is Exit.HARNESS
    assert len(launch.done) == 4
    assert "2 runs could not be carried out" in render_report(told)


def test_networks_side_by_side_share_neither_folder_nor_ports(
    small: Matrix, tmp_path: Path
) -> None:
    run, launch = campaign(small, tmp_path / "x", jobs=2, port_offset=1000)
    asyncio.run(run.run())
    assert launch.most == 2
    assert {place.port_offset for place in launch.places} == {1000, 3000}
    assert len({place.directory for place in launch.places}) == 2
    with pytest.raises(BadConfig, match="there are ports for 6 networks side by side, not for 7"):
        MatrixRun(matrix=small, folder=tmp_path, backend="process", jobs=7).require_possible()


def test_a_batch_is_a_command_that_is_stopped_with_its_clean_up(
    small: Matrix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, stopped = tmp_path / "told", tmp_path / "stopped"
    fake = written(
        tmp_path / "python",
        f"#!/bin/sh\ntrap 'echo yes > {stopped}; exit 3' TERM\necho \"$@\" > {told}.new\n"
        f"mv {told}.new {told}\nwhile :; do sleep 0.05; done\n",
    )
    fake.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(fake))
    run = MatrixRun(matrix=small, folder=tmp_path / "x", backend="process", port_offset=500)

    async def work() -> None:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(run.run())
            async with asyncio.timeout(60):
                while not await asyncio.to_thread(told.exists):
                    await asyncio.sleep(0.02)
            task.cancel()
        assert task.cancelled()

    asyncio.run(work())
    assert stopped.read_text() == "yes\n"
    words = told.read_text().split()
    assert words[:2] == ["-m", "devnet.chaos_cli"]
    parser = argparse.ArgumentParser()
    add_commands(parser)
    asked = parser.parse_args(words[2:])
    assert (asked.command, asked.seed, asked.runs, asked.operators) == ("run", 1, 3, 4)
    assert (asked.backend, asked.port_offset, asked.slot_seconds) == ("process", 500, 1)
    assert catalogue.load(asked.name) == small.cells[0].scenario
    assert asked.dir == tmp_path / "x" / "network-1"
    assert asked.out == run.runs(small.cells[0])


def test_two_campaigns_do_not_share_a_folder(small: Matrix, tmp_path: Path) -> None:
    one, launch = campaign(small, tmp_path / "x")
    two, _ = campaign(small, tmp_path / "x")

    async def both() -> None:
        async def meanwhile(batch: Batch, place: Place) -> None:
            with pytest.raises(BadConfig, match="another campaign is at work"):
                await two.run()

        one.launch = meanwhile
        await one.run()

    asyncio.run(both())
    assert launch.done == []


def test_places_that_cannot_run_are_all_named_before_anything_starts(tmp_path: Path) -> None:
    text = SMALL.replace("leader-kill, all-restart", "leader-kill, split-2-2").replace("7", "1")
    run = MatrixRun(
        matrix=load_matrix(written(tmp_path / "c.yaml", text)), folder=tmp_path / "x",
        backend="process",
    )  # fmt: skip
    with pytest.raises(BadConfig) as caught:
        run.require_possible()
    assert "leader-kill, n = 1, 1 s: " in str(caught.value)
    assert "split-2-2, n = 1, 1 s: " in str(caught.value)
    assert not (tmp_path / "x").exists()


def test_seeds_that_follow_each_other_share_a_network() -> None:
    assert list(batches(iter([1, 2, 3, 5, 9, 10]), 2)) == [(1, 2), (3, 1), (5, 1), (9, 2)]


def test_a_run_says_which_network_it_was_on(small: Matrix, tmp_path: Path) -> None:
    run, _ = campaign(small, tmp_path / "x")
    asyncio.run(run.run())
    file = next(iter(run.done().values())) / "manifest.json"
    file.write_text(file.read_text().replace('"genesis_time": 0', '"genesis_time": 7'))
    assert Counter(each.network for cell in run.figures()[0] for each in cell.runs) == {
        "0-0x": 5, "7-0x": 1,
    }  # fmt: skip
    alone, _ = campaign(small, tmp_path / "y", most_on_one=1)
    assert [batch.count for batch in alone._missing()] == [1] * 6
    pairs, _ = campaign(small, tmp_path / "y", most_on_one=2)
    assert [batch.count for batch in pairs._missing()] == [2, 1] * 2
    assert [batch.count for batch in pairs._missing(1)] == [1] * 6


@pytest.mark.parametrize(
    ("words", "most"),
    [([], 10), (["--slo", "slo.yaml"], 1), (["--against", "x"], 1),
     (["--slo", "slo.yaml", "--runs-per-network", "4"], 4)],
)  # fmt: skip
def test_what_is_judged_shares_no_network_unless_told(
    words: list[str], most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "slo.yaml", LEVELS)
    written(tmp_path / "c.yaml", SMALL)
    (tmp_path / "x").mkdir()
    earlier = report([quick("leader-kill")], backend="process")
    (tmp_path / "x" / "campaign.json").write_bytes(msgspec.json.encode(earlier))
    asked: list[int] = []

    async def noted(run: MatrixRun) -> None:
        asked.append(run.most_on_one)

    monkeypatch.setattr(MatrixRun, "run", noted)
    main(["campaign", "c.yaml", "--backend", "process", *words])
    assert asked == [most]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"backend": "docker"}, "ran on docker, this campaign runs on process"),
        ({"cells": (quick("other"),)}, "this campaign have no place in common"),
        ({"version": 1}, "figures of version 1, and this program knows 2: report on that"),
    ],
)
def test_what_cannot_be_compared_at_all_is_refused_before_anything_runs(
    changes: dict[str, Any], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    earlier = msgspec.structs.replace(report([quick("leader-kill")]), **changes)
    file = tmp_path / "campaign.json"
    file.write_bytes(msgspec.json.encode(earlier))
    asked = ["campaign", str(written(tmp_path / "c.yaml", SMALL)), "--against", str(file)]
    asked += ["--backend", "process", "--out", str(tmp_path / "out")]
    assert main(asked) == Exit.HARNESS
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_network_that_a_scenario_breaks_serves_one_run(tmp_path: Path) -> None:
    text = "campaign: 1\nname: x\nscenarios: [beyond-f-silent, leader-kill]\nseeds: 3\n"
    matrix = load_matrix(written(tmp_path / "c.yaml", text))
    run = MatrixRun(matrix=matrix, folder=tmp_path / "x", backend="process")
    shared = [(batch.cell.name, batch.count) for batch in run._missing()]
    assert shared == [("beyond-f-silent", 1)] * 3 + [("leader-kill", 3)]


def test_the_command_reports_on_what_is_there(
    small: Matrix, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, _ = campaign(small, tmp_path / "campaigns" / "small")
    asyncio.run(run.run())
    levels = written(
        tmp_path / "slo.yaml", LEVELS.split("  - {name: passes")[0].replace("95", "50")
    )
    words = ["campaign", str(tmp_path / "c.yaml"), "--no-runs", "--backend", "process"]
    words += ["--out", str(tmp_path / "campaigns")]
    assert main(words) == 0
    assert main([*words, "--against", str(run.folder)]) == 3
    assert "is this campaign itself" in capsys.readouterr().err
    before = written(tmp_path / "before.json", (run.folder / "campaign.json").read_text())
    assert main([*words, "--slo", str(levels), "--against", str(before)]) == 2
    said = capsys.readouterr().out
    assert "failover       not enough runs to say  gap: 50 % of runs within 4 s" in said
    assert "too few runs to compare: leader-kill, n = 4, 1 s; all-restart" in said
    assert main([*words, "--slo", str(tmp_path / "none.yaml")]) == 3


def test_the_page_is_one_file_and_says_what_the_table_says() -> None:
    rng = random.Random(1)
    cells = [cell(rng, gap=1.0, failed=1, silent=1)]
    levels = judge_levels(levels_of(measure="gap", at_most="4s"), cells)
    page = render_campaign_page(report(cells, levels=levels, slo="ours", against="before"))
    for words in ("not enough runs to say", "Runs that did not pass", "leader-kill, n = 4, 1 s"):
        assert words in page
    assert page.count("<circle") == 6 * 4
    assert not any(outside in page for outside in ("<script", "src=", "http"))


def test_progress_elsewhere_than_on_a_terminal_tells_the_time_left() -> None:
    class Kept:
        text = ""

        def write(self, more: str) -> None:
            self.text += more

        def flush(self) -> None: ...

    kept, ticks = Kept(), iter([0.0, 0.0, 60.0, 120.0])
    lines = _Lines(kept, clock=lambda: next(ticks))  # type: ignore[arg-type]
    for done in (2, 2, 3, 4, 10):
        lines(done, 10)
    assert kept.text.splitlines()[:3] == [
        "2 of 10 runs",
        "3 of 10 runs, 0 s left",
        "4 of 10 runs, 3 min left",
    ]
