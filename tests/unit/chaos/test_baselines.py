"""A baseline suffers the same faults for the same time, is judged for safety, and stands beside the
cluster in one table: what it costs, what it buys."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from devnet.chaos_cli import main
from devnet.checkers import LiveTrueEvidence, check_all
from devnet.model.cluster import ClusterKind
from devnet.model.command import Exit
from devnet.model.history import (
    CpuSeen,
    Event,
    EventKind,
    FaultReceipt,
    GroupSignatureSeen,
    History,
    Setup,
)
from devnet.model.terms import Count, Duration, Until
from devnet.model.topology import compute_topology
from devnet.model.verdict import Outcome
from devnet.report.against import Comparison, compare
from devnet.report.campaign import BrokenRun, CampaignReport, exit_of
from devnet.report.campaign_page import render_campaign_page
from devnet.report.cells import RunFigures, figures_of
from devnet.report.comparison import ENDLESS, NO_SUCH_FAULT, comparison_rows, render_comparison
from devnet.report.levels import judge_levels
from devnet.report.measures import Measures, measures_of
from devnet.runner.journal import Journal
from devnet.runner.matrix_run import MatrixRun
from devnet.runner.plan import plan_fault, require_fits
from devnet.runner.shrink_live import failing_of
from devnet.runner.stages import Runner
from devnet.scenarios import catalogue
from devnet.scenarios.baselines import as_on
from devnet.scenarios.matrix import load_matrix
from devnet.scenarios.parse import parse_scenario, parse_text
from devnet.scenarios.slo import parse_service_levels
from devnet.scenarios.write import scenario_yaml
from dst.spec.errors import BadConfig
from tests.unit.chaos.fake_network import FakeNetwork

SINGLE = ClusterKind.SINGLE
ONE = compute_topology(operators=1, cluster=SINGLE)


# The scenario.


def test_the_same_faults_for_the_same_time_and_no_promise() -> None:
    asked = catalogue.load("leader-kill")
    there = as_on(SINGLE, asked)
    assert [each.do for each in there.faults] == [each.do for each in asked.faults]
    (kill,) = there.faults
    assert (kill.until.heights, kill.until.hold) == (Count(), Duration(slots=4.0))
    assert there.expect == type(there.expect)()
    assert as_on(ClusterKind.DST, asked) is asked
    ends = "{id: a, do: kill, target: op1, until: {hold: 2s, event: decided, leader: op1}}"
    text = f"scenario: 1\nname: mine\nabout: x\nfaults:\n  - {ends}\n"
    (phase,) = as_on(SINGLE, parse_text(text, what="mine")).faults
    assert phase.until == Until(hold=Duration(seconds=2.0, slots=1.0)), "nobody tells it there"


@pytest.mark.parametrize("name", catalogue.names())
def test_what_a_baseline_plays_is_a_scenario_that_stays_what_it_is(name: str) -> None:
    there = as_on(SINGLE, catalogue.load(name))
    assert as_on(SINGLE, there) == there
    import yaml

    assert parse_scenario(yaml.safe_load(scenario_yaml(there))) == there


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("leader-isolated", "target leader leaves nobody to be cut off from"),
        ("wan-50ms", "links consensus: no link of this network is called so"),
        ("byzantine-equivocate", "a single operator has nobody to lie to"),
        ("execution-killed", "op1 has no validator"),
        ("operator-restart", "target not-leader needs at least 3 operators"),
    ],
)
def test_what_one_sequencer_cannot_suffer_is_refused(name: str, why: str) -> None:
    with pytest.raises(BadConfig, match=why):
        require_fits(as_on(SINGLE, catalogue.load(name)), ONE, "process")


# The verdict.


def history(cluster: ClusterKind, *, second_root: str = "", operators: int = 1) -> History:
    """Two blocks, a leader killed and back; perhaps another block in the place of the second."""
    roots = [("0xaa", 1.0), ("0xbb", 2.0)]
    names = tuple(f"op{i}" for i in range(1, operators + 1))
    events = [
        Event(kind=kind, node="op1", height=height, root=root, monotonic=at, wall=at)
        for height, (root, at) in enumerate(roots, 1)
        for kind in (EventKind.DECIDED, EventKind.SEALED)
    ]
    seals = [
        GroupSignatureSeen(height=2, root=root, signature="0x", source="f1.beacon", monotonic=9.0)
        for root in ("0xbb", second_root)
        if root
    ]
    kill = FaultReceipt(
        id="kill", kind="kill", targets=("op1",), silenced=("op1",), components=((),),
        requested=1.1, applied=1.2, verified=1.3, revert_requested=20.0, reverted=20.1,
        healed=20.2, hits_leader=True, aimed_height=2, height=2,
    )  # fmt: skip
    return History(
        setup=Setup(operators=names, followers=("f1",), slot_seconds=1.0, cluster=cluster),
        events=tuple(events),
        group_signatures=tuple(seals),
        faults=(kill,),
    )


def verdicts(history: History) -> dict[str, Outcome]:
    return {verdict.checker: verdict.outcome for verdict in check_all(history)}


def test_safety_is_judged_on_a_baseline_and_what_supposes_a_quorum_is_not() -> None:
    there = verdicts(history(SINGLE))
    assert there["S1 agreement"] is Outcome.PASS
    assert there["the faults happened"] is Outcome.PASS
    ours = verdicts(history(ClusterKind.DST))
    for absent in (
        "S14 no progress without quorum",
        "S15 evidence is true",
    ):
        assert absent not in there
        assert absent in ours
    assert ours["the faults happened"] is Outcome.VACUOUS  # no round changed


def test_nobody_votes_on_a_baseline_before_it_decides() -> None:
    late = tuple(
        Event(
            kind=EventKind.DECIDED, node="op1", height=h, round=0, root="0xcc", monotonic=h, wall=h
        )
        for h in range(3, 9)
    )
    there, ours = history(SINGLE), history(ClusterKind.DST)
    there = msgspec.structs.replace(there, events=there.events + late, faults=())
    ours = msgspec.structs.replace(ours, events=ours.events + late, faults=())
    assert "S13 no unjustified vote" not in verdicts(there)
    assert verdicts(ours)["S13 no unjustified vote"] is Outcome.FAIL


def test_evidence_accuses_nobody_where_there_is_one_key() -> None:
    """Live, too: followers of two chains keep both blocks as evidence."""
    evidence = Event(kind=EventKind.EVIDENCE, node="f1", height=2, monotonic=3.0, wall=3.0)
    told = {}
    for cluster in (SINGLE, ClusterKind.DST):
        live = LiveTrueEvidence()
        live.feed(history(cluster).setup)
        told[cluster] = len(live.feed(evidence))
    assert told == {SINGLE: 0, ClusterKind.DST: 1}


def test_two_blocks_at_one_height_fail_on_a_baseline_too() -> None:
    forked = history(SINGLE, second_root="0xcc")
    there = verdicts(forked)
    assert there["S1 agreement"] is Outcome.FAIL
    assert there["S2 one group signature"] is Outcome.FAIL
    assert measures_of(forked).lost == 1.0
    assert measures_of(history(SINGLE)).lost == 0.0
    assert measures_of(history(SINGLE)).detection is None  # where nobody could change the round
    assert measures_of(history(ClusterKind.DST)).censored == ("gap", "detection", "recovery")


def test_cpu_is_counted_before_the_fault_alone() -> None:
    looks = [(0.0, 0.0), (1.0, 0.1), (3.0, 0.3), (5.0, 9.0)]
    quiet = msgspec.structs.replace(
        history(SINGLE), cpu=tuple(CpuSeen(monotonic=at, seconds=used) for at, used in looks)
    )
    late = msgspec.structs.replace(
        quiet, faults=(msgspec.structs.replace(quiet.faults[0], requested=4.0),)
    )
    assert measures_of(late).cpu_block == pytest.approx(0.1)
    assert measures_of(quiet).cpu_block is None  # one slot is no span


# The campaign.

TEXT = """\
campaign: 1
name: cmp
scenarios: [leader-kill, leader-isolated]
clusters: [dst, single]
operators: [4, 7]
seeds: 2
except: [{scenario: leader-isolated, cluster: single}]
"""


def loaded(tmp_path: Path, text: str = TEXT) -> MatrixRun:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    return MatrixRun(matrix=load_matrix(path), folder=tmp_path / "x", backend="process")


def test_a_baseline_is_one_more_place_at_its_own_size(tmp_path: Path) -> None:
    run = loaded(tmp_path)
    run.require_possible()
    assert [cell.told() for cell in run.matrix.cells] == [
        "leader-kill, n = 4, 1 s",
        "leader-kill, n = 7, 1 s",
        "leader-kill, single, 1 s",
        "leader-isolated, n = 4, 1 s",
        "leader-isolated, n = 7, 1 s",
    ]
    assert len({cell.digests([1], "process", "")[1] for cell in run.matrix.cells}) == 5
    assert len({run.runs(cell) for cell in run.matrix.cells}) == 3


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[dst, single]", "[dst, raft]", r":4: clusters: expected some of dst, single"),
        ("except: [{scenario: leader-isolated, cluster: single}]", "",
         "leader-isolated, single, 1 s: .* leaves nobody to be cut off from"),
    ],
)  # fmt: skip
def test_a_baseline_that_cannot_be_says_so(old: str, new: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=words):
        loaded(tmp_path, TEXT.replace(old, new)).require_possible()


def test_the_flag_is_instead_of_the_files(tmp_path: Path) -> None:
    loaded(tmp_path)
    matrix = load_matrix(tmp_path / "c.yaml", [SINGLE])
    assert [cell.told() for cell in matrix.cells] == ["leader-kill, single, 1 s"]


def test_the_example_can_run_and_plays_the_same_faults_on_each() -> None:
    matrix = load_matrix(Path(__file__).parents[3] / "docs" / "examples" / "compare.yaml")
    run = MatrixRun(matrix=matrix, folder=Path("nowhere"), backend="process")
    run.require_possible()
    played: dict[str, set[str]] = {}
    for cell in matrix.cells:
        faults = [(each.do, each.at, each.until) for each in cell.scenario.faults]
        played.setdefault(cell.name, set()).add(repr(faults))
    assert {name: len(each) for name, each in played.items()} == dict.fromkeys(played, 1)
    assert {cell.cluster for cell in matrix.cells} == set(ClusterKind)


def runs(n: int, *, unsafe: bool = False, **measures: Any) -> list[RunFigures]:
    outcome = Outcome.FAIL if unsafe else Outcome.PASS
    made = Measures(**measures)
    return [
        RunFigures(seed=i, outcome=outcome, unsafe=unsafe, folder=str(i), measures=made)
        for i in range(n)
    ]


def report(**changes: Any) -> CampaignReport:
    cells = (
        figures_of(
            ("kill", 4, "none", 1, ClusterKind.DST),
            runs(2, gap=1.0, recovery=0.5, lost=0.0, cpu_block=0.27),
        ),
        figures_of(("kill", 1, "none", 1, SINGLE), runs(3, unsafe=True, gap=15.0, lost=2.0)),
        figures_of(("isolated", 4, "none", 1, ClusterKind.DST), runs(1, gap=2.0)),
    )
    return msgspec.structs.replace(
        CampaignReport(name="cmp", about="x", backend="process", cells=cells, missing=0), **changes
    )


def test_one_table_has_each_fault_on_all_that_sequences() -> None:
    rows = list(comparison_rows(report().cells))
    assert rows == [
        ("kill, 1 s", "single", "3", "3", "15.00 s", "15.00 s", "15.00 s", "-", "-", "2", "-"),
        ("kill, 1 s", "n = 4", "2", "0", "1.00 s", "1.00 s", "1.00 s", "0.50 s", "-", "0",
         "270 ms"),
        ("isolated, 1 s", "single", NO_SUCH_FAULT, *[""] * 8),
        ("isolated, 1 s", "n = 4", "1", "0", "2.00 s", "2.00 s", "2.00 s", "-", "-", "-", "-"),
    ]  # fmt: skip
    assert "270 ms" in render_comparison(report().cells)
    standby = msgspec.structs.replace(report().cells[1], cluster=ClusterKind.STANDBY, operators=3)
    (row,) = comparison_rows([standby])
    assert row[1] == "standby, lease 5 s"
    assert "as many slots as n = 4 decides heights in" in render_comparison(report().cells)
    assert "What it costs, what it buys" in render_campaign_page(report())
    alone = msgspec.structs.replace(report(), cells=report().cells[:1])
    assert "What it costs" not in render_campaign_page(alone)


def test_what_a_baseline_does_is_no_promise_of_ours() -> None:
    assert exit_of(report()) is Exit.OK
    text = {
        "slo": 1,
        "name": "ours",
        "objectives": [{"name": "gap", "measure": "gap", "percentile": 50, "at_most": "4s"}],
    }
    (level,) = judge_levels(parse_service_levels(text), report().cells)
    assert (level.runs, level.beyond) == (3, 0)


def test_neither_is_what_a_baseline_broke_or_what_became_worse_of_it() -> None:
    for cluster, said in ((SINGLE, Exit.OK), (ClusterKind.DST, Exit.FAILED)):
        broken = BrokenRun(
            scenario="kill", cluster=cluster, seed=9, reason="cut off", folder="x", unsafe=True
        )
        assert exit_of(report(broken=(broken,))) is said
        n = 1 if cluster.is_baseline else 4
        was, now, few = (
            figures_of(("kill", n, "none", 1, cluster), runs(count, gap=gap))
            for gap, count in ((1.0, 9), (9.0, 9), (9.0, 2))
        )
        compared = compare([was], [now])
        assert [change.measure for change in compared.worse] == ["gap"]
        assert exit_of(report(against="before", comparison=compared)) is said
        unclear = Comparison(changes=compared.changes[:1], too_few=compare([was], [few]).too_few)
        expected = Exit.OK if cluster.is_baseline else Exit.NOTHING_SHOWN
        assert exit_of(report(against="before", comparison=unclear)) is expected


def test_a_wait_without_an_end_is_told_as_one() -> None:
    cells = (figures_of(("kill", 1, "none", 1, SINGLE), runs(2, gap=9.0, censored=("gap",))),)
    ((*_, p50, p95, most, _, _, _, _),) = comparison_rows(cells)
    assert {p50, p95, most} == {ENDLESS}


# What stands to the end of all others.


@pytest.mark.parametrize(
    ("do", "settled_under"),
    [
        ("latency, one_way: 20ms", True),
        ("kill, target: op1", False),
        ("partition, split: [2, 1]", False),
    ],
)
def test_what_is_in_the_way_of_a_cluster_stands_no_longer_on_a_baseline(
    do: str, settled_under: bool
) -> None:
    document = f"{{id: it, do: {do}, until: {{forever: true}}}}"
    text = f"scenario: 1\nname: x\nabout: x\nfaults:\n  - {document}\n"
    text += "  - {id: end, do: kill, target: op2, until: {hold: 1s}}\n"
    (fault, _) = parse_text(text, what="x.yaml").faults
    network = FakeNetwork()
    network.topology = topology = compute_topology(
        operators=3, followers=1, cluster=ClusterKind.STANDBY
    )
    planned = plan_fault(fault, seed=1, topology=topology, next_height=5, delay_seconds=0.0)
    scenario = catalogue.load("leader-kill")
    runner = Runner(scenario, 1, network, Journal(network.setup()), lambda _: None)
    assert runner._is_in_the_way(planned) is not settled_under


# The command.


def test_the_flag_refuses_what_a_baseline_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "leader-kill", "--cluster", "single", "--backend", "process"]
    where = ["--dir", str(tmp_path / "net"), "--out", str(tmp_path / "out")]
    assert main([*words, *where, "--operators", "4"]) == Exit.HARNESS
    assert "a single cluster has 1; leave the flag out" in capsys.readouterr().err
    assert main(["run", "one-way", *words[2:], *where]) == Exit.HARNESS
    assert "no link of this network is called so" in capsys.readouterr().err


def test_a_run_on_a_baseline_is_not_shrunk(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    from devnet.model.history import encode_record, records_of
    from devnet.runner.judging import HISTORY, SCENARIO

    (folder / SCENARIO).write_text(scenario_yaml(as_on(SINGLE, catalogue.load("leader-kill"))))
    lines = map(encode_record, records_of(history(SINGLE, second_root="0xcc")))
    (folder / HISTORY).write_bytes(b"\n".join(lines))
    network = {"backend": "process", "operators": 1, "slot_seconds": 1, "cluster": "single"}
    (folder / "manifest.json").write_bytes(msgspec.json.encode({"seed": 1, "network": network}))
    with pytest.raises(BadConfig, match="a run on a baseline, which is measured and not mended"):
        failing_of(folder)
