"""Runs that the harness could not carry out, and records that were cut off: what broke stays
broken, what was not shown is not passed, and nothing is thrown away unnamed."""

import asyncio
import fcntl
import gzip
import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from devnet.chaos_cli import main
from devnet.model.cluster import ClusterKind
from devnet.model.command import Exit
from devnet.model.history import MachineSeen, RunEnded, Setup, WaitedInVain, history_of
from devnet.model.verdict import Outcome, Verdict, worst
from devnet.report.campaign import CampaignReport, exit_of, render_report
from devnet.report.campaign_page import render_campaign_page
from devnet.report.summary import CampaignSummary
from devnet.runner import campaign as campaign_module
from devnet.runner import matrix_run as matrix_module
from devnet.runner.attach import Wanted
from devnet.runner.batch import Batch, Place
from devnet.runner.campaign import Campaign, run_campaign
from devnet.runner.folder import MANIFEST, RunFolder
from devnet.runner.journal import Journal
from devnet.runner.judging import HISTORY, PACKED, VERDICTS, judge_folder, pack, read_history
from devnet.runner.matrix_report import report_of
from devnet.runner.matrix_run import MatrixRun
from devnet.runner.product import product
from devnet.runner.stages import HarnessError, Runner
from devnet.scenarios import catalogue
from devnet.scenarios.matrix import Matrix, load_matrix
from devnet.scenarios.parse import parse_text
from devnet.scenarios.scenario import Scenario
from dst.spec.errors import BadConfig
from tests.unit.chaos.fake_network import FakeNetwork, in_virtual_time
from tests.unit.chaos.test_campaigns import campaign, record_run, written

GOES_ON = "the chain goes on"
S1 = "S1 agreement"
HEAD = "scenario: 1\nname: two\nabout: Two faults.\nfaults:\n"
TWO = HEAD + (
    "  - {id: one, do: kill, target: op1, until: {hold: 3s}}\n"
    "  - {id: two, do: freeze, target: op2, at: {after: one, event: decided}, until: {hold: 3s}}\n"
)
WAITING = HEAD + (
    "  - {id: one, do: freeze, target: op2, at: {heights: 4, event: EVENT}, until: {hold: 3s}}\n"
)
NO_QUORUM = HEAD + (
    "  - {id: cut, do: partition, split: [2, 2], until: {hold: 3s, after: {inject: one}}}\n"
    "  - {id: one, do: kill, target: f1, at: {after: {inject: cut}, heights: 1},"
    " until: {hold: 1s}}\n"
)


class Ends(FakeNetwork):
    """Nothing is sealed above a height; or, with None, once the first fault was healed."""

    def __init__(self, above: int | None, bugs: frozenset[str] = frozenset()) -> None:
        super().__init__(bugs=bugs)
        self.above = above
        self.journal: Journal | None = None

    def tails(self, journal: Journal) -> list[Any]:
        self.journal = journal
        return super().tails(journal)

    def _largest_group(self) -> set[str]:
        assert self.journal is not None
        healed = any(fault.healed for fault in self.journal.faults())
        ended = healed if self.above is None else self.height >= self.above
        return set() if ended else super()._largest_group()


def read(text: str) -> Scenario:
    return parse_text(text, what="two.yaml")


def play(
    scenario: Scenario,
    make: Callable[[int], FakeNetwork],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    runs: int = 1,
    seed: int = 1,
    said: list[str] | None = None,
) -> CampaignSummary:
    """`devnet chaos run` on networks that do not exist; `make(0)` serves all its runs."""

    @asynccontextmanager
    async def network_for(*_: object, **__: object) -> AsyncIterator[object]:
        n = make(0)
        descriptor = SimpleNamespace(
            backend="process", operators=[None] * 4, followers=[None], slot_seconds=1,
            chain_id=901, genesis_time=0, group_public_key="0x", port_offset=0,
            cluster=ClusterKind.DST,
        )  # fmt: skip
        yield SimpleNamespace(descriptor=descriptor, topology=n.topology, fake=n)

    @asynccontextmanager
    async def surroundings_of(network: Any) -> AsyncIterator[object]:
        yield network.fake

    monkeypatch.setattr(campaign_module, "network_for", network_for)
    monkeypatch.setattr(campaign_module, "surroundings_of", surroundings_of)
    asked = Campaign(
        scenario=scenario, source="leader-kill", runs=runs, seed=seed, root=folder,
        wanted=Wanted(directory=folder / "net", backend="process"),
        say=(said if said is not None else []).append,
    )  # fmt: skip
    summary: CampaignSummary = in_virtual_time(lambda: run_campaign(asked))
    return summary


def failed(folder: str) -> list[str]:
    verdicts = judge_folder(Path(folder))[2]
    return [verdict.checker for verdict in verdicts if verdict.outcome is Outcome.FAIL]


# What broke stays broken.


def test_a_breach_counts_although_the_run_could_not_be_carried_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = play(read(TWO), lambda _: Ends(None, frozenset({"fork"})), tmp_path, monkeypatch)
    (run,) = summary.runs
    assert (summary.outcome, run.outcome) == (Outcome.FAIL, Outcome.FAIL)
    assert run.reason.startswith(f"{S1}: ")
    assert "(and then: no decided event for 30 s before fault two)" in run.reason
    manifest = json.loads((Path(run.folder) / MANIFEST).read_text())
    assert manifest["outcome"] == "fail"
    assert manifest["error"] == "no decided event for 30 s before fault two"
    assert manifest["product"]["digest"] == product().digest
    assert main(["judge", run.folder]) == Exit.FAILED


def test_a_campaign_does_not_try_a_breach_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "two.yaml", TWO)
    matrix = load_matrix(
        written(tmp_path / "c.yaml", "campaign: 1\nname: c\nscenarios: [two.yaml]\nseeds: 3\n")
    )
    run = MatrixRun(matrix=matrix, folder=tmp_path / "x", backend="process")
    played: list[int] = []

    async def launch(batch: Batch, place: Place) -> None:
        for seed in batch.seeds:
            bad = seed == 2 and seed not in played
            played.append(seed)

            def work(seed: int = seed, bad: bool = bad) -> None:
                bugs = frozenset({"fork"} if bad else ())
                make = lambda _: Ends(None if bad else 10**6, bugs)  # noqa: E731
                play(batch.cell.scenario, make, run.runs(batch.cell), monkeypatch, seed=seed)

            await asyncio.to_thread(work)

    run.launch = launch
    asyncio.run(run.run())
    asyncio.run(run.run())
    assert played == [1, 2, 3]
    told = report_of(run, None, None)
    assert told.missing == 0
    assert [each.outcome.value for each in told.cells[0].runs] == ["pass", "fail", "pass"]
    assert told.cells[0].runs[1].unsafe
    assert exit_of(told) is Exit.FAILED


@pytest.mark.parametrize(
    ("scenario", "above", "words"),
    [
        (WAITING.replace("EVENT", "decided"), 7, "height 8, for which one waits"),
        (WAITING.replace("EVENT", "decided"), 8, "a decided event, for which one waits"),
        (WAITING.replace("EVENT", "prepared"), 8, "a prepared event, for which one waits"),
        (WAITING.replace("EVENT", "start"), 2, "height 4, before the first fault"),
        (WAITING.replace("EVENT", "start"), 0, "a first block"),
    ],
)
def test_a_chain_that_stands_still_while_it_is_waited_for_fails(
    scenario: str, above: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = play(read(scenario), lambda _: Ends(above), tmp_path, monkeypatch)
    (run,) = summary.runs
    assert run.outcome is Outcome.FAIL
    assert failed(run.folder) == [GOES_ON]
    assert run.reason.startswith(f"{GOES_ON}: {words}: it did not come, and nothing was sealed")


def test_a_node_that_stays_behind_before_the_first_fault_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = read(WAITING.replace("EVENT", "start") + "start: {heights: 12}\n")
    make = lambda _: FakeNetwork(bugs=frozenset({"stuck"}))  # noqa: E731
    (run,) = play(scenario, make, tmp_path, monkeypatch).runs
    assert "and nothing was sealed at f1 for" in run.reason
    assert failed(run.folder) == [GOES_ON]


def test_where_more_than_f_were_disturbed_the_chain_may_stand_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(HarnessError, match="for which one waits, was not decided"):
        play(read(NO_QUORUM), lambda _: FakeNetwork(), tmp_path, monkeypatch)
    (folder,) = (tmp_path / "two").iterdir()
    assert failed(str(folder)) == []
    assert worst(judge_folder(folder)[2]) is Outcome.INCONCLUSIVE


def test_an_event_that_need_not_come_is_nobodys_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = read(WAITING.replace("EVENT", "round_change"))
    with pytest.raises(HarnessError, match="no round_change event"):
        play(scenario, lambda _: FakeNetwork(), tmp_path, monkeypatch)


def test_a_machine_that_stood_still_is_no_chain_that_does(tmp_path: Path) -> None:
    from devnet.checkers import goes_on

    wait = WaitedInVain(what="height 4", since=0.0, monotonic=30.0)
    seen = MachineSeen(monotonic=5.0, late=9.0, steal=None, pressure=None, free_bytes=None)
    setup = FakeNetwork().setup()
    assert goes_on.check(history_of(setup, [wait])).outcome is Outcome.FAIL
    assert goes_on.check(history_of(setup, [wait, seen])).outcome is Outcome.INCONCLUSIVE
    short = msgspec.structs.replace(wait, monotonic=14.0)
    assert goes_on.check(history_of(setup, [short])).outcome is Outcome.PASS


def test_a_network_whose_chain_stands_still_serves_no_other_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    summary = play(
        read(TWO), lambda _: Ends(None), tmp_path, monkeypatch, runs=4, seed=7, said=said
    )
    assert [run.seed for run in summary.runs] == [7]
    words = "3 runs not carried out; go on with --seed 8 --runs 3 on a fresh network"
    assert any(words in line for line in said)


def test_a_network_that_was_late_under_distances_serves_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Far(Ends):
        def _largest_group(self) -> set[str]:
            assert self.journal is not None
            faults = {fault.id: fault for fault in self.journal.faults()}
            late = "cut" in faults and faults["cut"].healed and not faults["far"].healed
            return set() if late else FakeNetwork._largest_group(self)

    scenario = read(
        HEAD + "  - {id: far, do: latency, one_way: 20ms, until: {forever: true}}\n"
        "  - {id: cut, do: kill, target: op2, at: {after: {inject: far}}, until: {hold: 3s}}\n"
    )
    said: list[str] = []
    summary = play(scenario, lambda _: Far(None), tmp_path, monkeypatch, runs=2, said=said)
    assert sum("not sealed everywhere" in line for line in said) == 2
    assert [run.seed for run in summary.runs] == [1, 2]


def test_a_breach_is_the_answer_although_a_later_run_could_not_be_carried_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Decays(FakeNetwork):
        async def crashes(self) -> dict[str, tuple[int, str, float]]:
            if self.height > 20:
                self.programs.down = {"op2.validator"}
            return await super().crashes()

    make = lambda _: Decays(bugs=frozenset({"fork"}))  # noqa: E731
    leader_kill, said = catalogue.load("leader-kill"), list[str]()
    summary = play(leader_kill, make, tmp_path, monkeypatch, runs=9, said=said)
    assert summary.outcome is Outcome.FAIL
    assert 1 <= len(summary.runs) < 9
    assert any(line.startswith("error: the network is not whole") for line in said)


def test_a_defect_of_the_harness_leaves_a_record_and_a_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Odd(FakeNetwork):
        async def read_end_state(self, *_: object) -> dict[str, str]:
            raise ZeroDivisionError("odd")

    said: list[str] = []
    words = "a defect of the harness: ZeroDivisionError: odd"
    with pytest.raises(HarnessError, match=words):
        play(read(TWO), lambda _: Odd(), tmp_path, monkeypatch, said=said)
    assert any("Traceback" in line for line in said)
    make = lambda _: Odd(bugs=frozenset({"fork"}))  # noqa: E731
    summary = play(read(TWO), make, tmp_path / "fork", monkeypatch)
    assert summary.outcome is Outcome.FAIL


def test_a_breach_that_no_disk_takes_is_one_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RunFolder, "write", full)
    with pytest.raises(HarnessError, match="the report of this run cannot be written"):
        play(catalogue.load("leader-kill"), lambda _: FakeNetwork(), tmp_path, monkeypatch)
    make = lambda _: FakeNetwork(bugs=frozenset({"fork"}))  # noqa: E731
    summary = play(catalogue.load("leader-kill"), make, tmp_path, monkeypatch)
    assert summary.outcome is Outcome.FAIL


def test_a_run_that_broke_off_blames_nobody_for_what_had_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right after the fault, before anybody could have come back."""

    class Breaks(FakeNetwork):
        async def hostile(self, journal: Journal, *_: object) -> None:
            await journal.until(lambda: any(f.verified for f in journal.faults()), 90.0)
            raise HarnessError("no anvil")

    scenario = read(
        HEAD + "  - {id: one, do: kill, target: op2, until: {hold: 9s}}\n"
        "hostile: {}\nexpect: {progress: n, rejoin: 60s}\n"
    )
    with pytest.raises(HarnessError, match="no anvil"):
        play(scenario, lambda _: Breaks(), tmp_path, monkeypatch)
    (folder,) = (tmp_path / "two").iterdir()
    assert worst(judge_folder(folder)[2]) is Outcome.INCONCLUSIVE


def test_a_positive_control_that_was_not_carried_out_did_not_fail() -> None:
    from devnet.checkers import must_fail

    history = history_of(Setup(operators=("op1",), slot_seconds=1.0), [])
    held = Verdict(checker=S1, outcome=Outcome.PASS)
    broken = Verdict(checker="the run was carried out", outcome=Outcome.INCONCLUSIVE, note="no L1")
    assert worst(must_fail.judged([held], S1, history)) is Outcome.FAIL
    verdicts = must_fail.judged([held, broken], S1, history)
    assert worst(verdicts) is Outcome.INCONCLUSIVE
    assert verdicts[0].note == f"{S1} did not break: no L1"


# What was not shown is not passed.


def test_a_record_that_was_cut_off_passes_nowhere(tmp_path: Path) -> None:
    whole_run = kept(tmp_path / "whole")
    lines = gzip.decompress((whole_run / PACKED).read_bytes()).splitlines(keepends=True)
    cut = tmp_path / "cut"
    cut.mkdir()
    (cut / "scenario.yaml").write_text((whole_run / "scenario.yaml").read_text())
    assert main(["judge", str(whole_run)]) == Exit.OK
    for end in (1, 20, len(lines) // 2, len(lines) - 20, len(lines) - 1):
        (cut / HISTORY).write_bytes(b"".join(lines[:end]))
        assert main(["judge", str(cut)]) == Exit.NOTHING_SHOWN, end
    last_heal = max(i for i, line in enumerate(lines) if b'"healed":1' in line)
    for end in range(last_heal + 1, len(lines) - 1, 9):
        (cut / HISTORY).write_bytes(b"".join(lines[:end]))
        assert worst(judge_folder(cut)[2]) is Outcome.INCONCLUSIVE, "nobody had the time to return"
    (cut / HISTORY).write_bytes(b"".join(lines))
    assert main(["judge", str(cut)]) == Exit.OK


def test_a_node_that_nobody_looked_at_is_not_said_to_serve(tmp_path: Path) -> None:
    from devnet.checkers import readable

    history = read_history(kept(tmp_path))
    assert readable.check(history).outcome is Outcome.PASS
    blocks = tuple(block for block in history.blocks if block.node != "op3")
    verdict = readable.check(msgspec.structs.replace(history, blocks=blocks))
    assert [each.summary[:28] for each in verdict.violations] == ["op3 serves 0 of the heights "]
    ended = (RunEnded(monotonic=history.run_ended[0].monotonic),)
    old = msgspec.structs.replace(history, blocks=blocks, run_ended=ended)
    verdict = readable.check(old)
    assert (verdict.outcome, verdict.note) == (Outcome.INCONCLUSIVE, "op3: nobody looked")


def test_the_format_of_a_record_is_told_when_it_is_another(tmp_path: Path) -> None:
    folder = kept(tmp_path)
    first, *lines = gzip.decompress((folder / PACKED).read_bytes()).splitlines()
    assert json.loads(first)["version"] == 2
    later = {**json.loads(first), "version": 3}
    text = [json.dumps(later).encode(), *lines, b'{"type":"dream","monotonic":1}']
    (folder / HISTORY).write_bytes(b"\n".join(text))
    with pytest.raises(BadConfig, match=r"the record is of format 3, this reader knows 2"):
        judge_folder(folder)


# Records as files.


@pytest.fixture
def three(tmp_path: Path) -> Matrix:
    text = "campaign: 1\nname: small\nscenarios: [leader-kill]\nseeds: 3\n"
    return load_matrix(written(tmp_path / "c.yaml", text))


def kept(root: Path) -> Path:
    text = "campaign: 1\nname: small\nscenarios: [leader-kill]\nseeds: 1\n"
    root.mkdir(parents=True, exist_ok=True)
    (cell,) = load_matrix(written(root / "c.yaml", text)).cells
    record_run(root, Batch(cell=cell, first=1, count=1), 1)
    (folder,) = (root / "leader-kill").iterdir()
    return folder


def folders(run: MatrixRun) -> list[Path]:
    return sorted(run.done().values())


def test_packing_that_breaks_off_leaves_a_whole_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = kept(tmp_path)
    record = gzip.decompress((folder / PACKED).read_bytes())
    (folder / PACKED).unlink()
    (folder / HISTORY).write_bytes(record)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        pack(folder)
    assert {path.name for path in folder.iterdir()} & {HISTORY, PACKED, f"{PACKED}.new"} == {
        HISTORY
    }
    monkeypatch.undo()
    pack(folder)
    whole_gz = (folder / PACKED).read_bytes()
    for torn in (b"", whole_gz[: len(whole_gz) // 2]):
        (folder / HISTORY).write_bytes(record)
        (folder / PACKED).write_bytes(torn)
        assert main(["judge", str(folder)]) == Exit.OK


def test_a_run_whose_record_cannot_be_read_is_missing_named_and_run_again(
    three: Matrix, tmp_path: Path
) -> None:
    run, _ = campaign(three, tmp_path / "x")
    asyncio.run(run.run())
    torn, foreign, good = folders(run)
    (torn / PACKED).write_bytes((torn / PACKED).read_bytes()[:1000])
    lines = gzip.decompress((foreign / PACKED).read_bytes()).splitlines()
    lines.insert(5, b'{"type":"dream"}')
    (foreign / PACKED).write_bytes(gzip.compress(b"\n".join(lines)))
    again, launch = campaign(three, tmp_path / "x")
    told = report_of(again, None, None)
    assert told.missing == 2
    assert exit_of(told) is Exit.HARNESS
    assert len(told.cells[0].runs) == 1
    shown = render_report(told)
    for folder in (torn, foreign):
        assert str(folder.relative_to(again.folder)) in shown
    assert "cannot be read" in shown
    assert str(good.relative_to(again.folder)) not in shown
    asyncio.run(again.run())
    assert [seed for _, _, seed in launch.done] == [int(torn.name.rsplit("-", 1)[1])]


def test_a_run_that_was_cut_off_is_named_and_its_breach_counts(
    three: Matrix, tmp_path: Path
) -> None:
    run, _ = campaign(three, tmp_path / "x")
    (cell,) = three.cells
    network = FakeNetwork(bugs=frozenset({"fork"}))
    folder = RunFolder.create(run.runs(cell), cell.scenario, 2)
    setup = msgspec.structs.replace(network.setup("leader-kill"), seed=2, product=run.product)
    journal = Journal(setup, folder.history)

    async def work() -> None:
        async with asyncio.TaskGroup() as tasks:
            runner = Runner(cell.scenario, 2, network, journal, lambda _: None)
            task = tasks.create_task(runner.run())
            await journal.until(lambda: any(f.healed for f in journal.faults()), 90.0)
            task.cancel()

    in_virtual_time(work)
    journal.close()
    asyncio.run(run.run())
    told = report_of(run, None, None)
    assert told.missing == 0
    (broken,) = told.broken
    assert (broken.seed, broken.unsafe) == (2, True)
    assert exit_of(told) is Exit.FAILED
    words = "leader-kill, seed 2: it was cut off; a safety invariant broke before that"
    assert words in render_report(told)
    assert words in render_campaign_page(told)
    other, _ = campaign(three, tmp_path / "x", product="of yesterday")
    assert other.broken() == ()


def test_a_run_of_a_baseline_that_was_cut_off_is_told_as_one(three: Matrix, tmp_path: Path) -> None:
    file = written(
        tmp_path / "b.yaml",
        "campaign: 1\nname: b\nscenarios: [leader-kill]\nclusters: [single]\nseeds: 1\n",
    )
    run, _ = campaign(load_matrix(file), tmp_path / "x")
    (cell,) = run.matrix.cells
    folder = RunFolder.create(run.runs(cell), cell.scenario, 1)
    setup = Setup(
        operators=("op1",), slot_seconds=1.0, seed=1, cluster=cell.cluster, product=run.product
    )
    Journal(setup, folder.history).close()
    (broken,) = run.broken()
    assert (broken.cluster, broken.reason) == (ClusterKind.SINGLE, "it was cut off")
    ours, _ = campaign(three, tmp_path / "x")
    assert ours.broken() == ()


def test_what_was_unsafe_stays_so_and_another_verdict_is_told(
    three: Matrix, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, _ = campaign(three, tmp_path / "x")
    asyncio.run(run.run())
    folder = folders(run)[0]
    said = json.loads((folder / VERDICTS).read_text())
    was = said[0]["checker"]
    said[0] |= {"outcome": "fail", "field_of_tomorrow": 1}
    (folder / VERDICTS).write_text(json.dumps(said))
    told = report_of(run, None, None)
    assert exit_of(told) is Exit.FAILED
    assert [each.outcome for each in told.cells[0].runs] == [Outcome.PASS] * 3
    words = f"judged anew: {was} was fail, is pass"
    assert words in render_report(told)
    assert words in render_campaign_page(told)
    assert main(["judge", str(folder)]) == Exit.OK
    assert f"not what the run said, to the checkers of its day: {was} was fail" in (
        capsys.readouterr().err
    )


def test_the_report_is_of_one_product(three: Matrix, tmp_path: Path) -> None:
    """Of the newest one there, when nothing is to be run."""
    run, _ = campaign(three, tmp_path / "campaigns" / "small")
    asyncio.run(run.run())
    for folder in folders(run):
        manifest = folder / MANIFEST
        manifest.write_text(manifest.read_text().replace(run.product, "0123"))
    fresh, _ = campaign(three, run.folder)
    assert fresh.done() == {}
    assert fresh.others() == 3
    words = ["campaign", str(tmp_path / "c.yaml"), "--backend", "process", "--no-runs"]
    assert main([*words, "--out", str(tmp_path / "campaigns")]) == Exit.OK
    found = msgspec.json.decode((run.folder / "campaign.json").read_bytes(), type=CampaignReport)
    assert (found.product, found.missing, found.others) == ("0123", 0, 0)


def test_of_two_runs_of_a_seed_the_one_that_failed_counts(three: Matrix, tmp_path: Path) -> None:
    """A batch that outlived its campaign did what another one did, too."""
    run, _ = campaign(three, tmp_path / "x")
    asyncio.run(run.run())
    first = folders(run)[0]
    later = first.with_name(first.name.replace("-", "-2-", 1))
    shutil.copytree(first, later)
    manifest = later / MANIFEST
    manifest.write_text(manifest.read_text().replace('"outcome": "pass"', '"outcome": "fail"', 1))
    assert first < later
    assert later in campaign(three, tmp_path / "x")[0].done().values()


# Tries.


def test_a_seed_that_cannot_be_carried_out_takes_nobody_with_it(tmp_path: Path) -> None:
    text = "campaign: 1\nname: small\nscenarios: [leader-kill]\nseeds: 10\n"
    matrix = load_matrix(written(tmp_path / "c.yaml", text))
    run, launch = campaign(matrix, tmp_path / "x", never=(1,))
    asyncio.run(run.run())
    assert [seed for _, _, seed in launch.done] == list(range(2, 11))
    assert report_of(run, None, None).missing == 1


def test_a_batch_of_a_killed_campaign_is_waited_for_whatever_jobs_are_asked_for(
    three: Matrix, tmp_path: Path
) -> None:
    directory = tmp_path / "x" / "network-2"
    directory.mkdir(parents=True)
    with (directory / "devnet.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run, launch = campaign(three, tmp_path / "x", jobs=1)
        with pytest.raises(BadConfig, match="network-2"):
            asyncio.run(run.run())
    assert launch.done == []


def test_what_is_done_is_read_once(
    three: Matrix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = campaign(three, tmp_path / "x")
    asyncio.run(run.run())
    read_again: list[Path] = []
    real = matrix_module.found_in

    def counted(folder: Path) -> matrix_module.Found | None:
        read_again.append(folder)
        return real(folder)

    monkeypatch.setattr(matrix_module, "found_in", counted)
    for _ in range(3):
        assert len(run.done()) == 3
    assert read_again == []
