"""A drawn schedule that fails: made small on the spot, rehearsed, and told in one line; the verdict
stands whatever becomes of that."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from devnet import chaos_cli
from devnet.model.history import FaultReceipt
from devnet.model.verdict import Outcome
from devnet.report.summary import CampaignSummary, RunSummary, summarise_campaign
from devnet.runner.campaign import Campaign
from devnet.runner.folder import RunFolder
from devnet.runner.journal import Journal
from devnet.runner.shrink import Play, Played
from devnet.runner.small import rehearsed
from devnet.runner.stages import Run, Runner
from devnet.scenarios.draw import draw_schedule
from devnet.scenarios.parse import parse_text
from devnet.scenarios.scenario import Scenario
from tests.unit.chaos.fake_network import FakeNetwork, in_virtual_time

S1 = "S1 agreement"


def _drawn_with(*kinds: str) -> tuple[int, list[str]]:
    """A seed and the ids of these faults in it: a new kind of fault changes what is drawn."""
    for seed in range(1, 1000):
        ids = {fault.do.name: fault.id for fault in draw_schedule(seed).faults}
        if ids.keys() >= set(kinds):
            return seed, [ids[kind] for kind in kinds]
    raise AssertionError(f"no seed draws {kinds}")


SEED, (CUT, SLOW) = _drawn_with("partition", "slow-close")
NAME = f"random-{SEED}"


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[Scenario]]:
    """`devnet chaos random` on a fake network whose chain forks. The scenarios that the shrinking
    plays; they fail while `rule` says so."""

    def set_up(rule: Callable[[Scenario], bool]) -> list[Scenario]:
        monkeypatch.chdir(tmp_path)
        asked: list[Scenario] = []
        scenario = draw_schedule(SEED)
        failed = summarise_campaign(
            [_forked(scenario, Path("runs"))],
            scenario=scenario.name,
            backend="process",
            operators=4,
            slot_seconds=1.0,
        )

        async def run_each(campaigns: list[Campaign]) -> list[CampaignSummary]:
            assert [each.scenario for each in campaigns] == [scenario]
            return [failed]

        def player(*_: object) -> Play:
            async def play(scenario: Scenario) -> Played:
                asked.append(scenario)
                hits = (
                    FaultReceipt(id=f.id, kind="x", where="op3", targets=("op3",), requested=1.0)
                    for f in scenario.faults
                )
                return Played(failed=(S1,) if rule(scenario) else (), receipts=tuple(hits))

            return play

        monkeypatch.setattr(chaos_cli, "_run_each", run_each)
        monkeypatch.setattr("devnet.runner.shrink_live.player", player)
        monkeypatch.setattr("devnet.runner.small.REHEARSALS", 2)
        return asked

    return set_up


def _forked(scenario: Scenario, root: Path) -> RunSummary:
    """A run that failed, in its folder."""
    network = FakeNetwork(bugs=frozenset({"fork"}))
    folder = RunFolder.create(root, scenario, SEED)

    async def work() -> Run:
        journal = Journal(network.setup(scenario.name), folder.history)
        try:
            return await Runner(scenario, SEED, network, journal, lambda _: None).run()
        finally:
            journal.close()

    in_virtual_time(work)
    where = {"backend": "process", "operators": 4, "slot_seconds": 1}
    manifest = {"seed": SEED, "network": where}
    (folder.path / "manifest.json").write_bytes(msgspec.json.encode(manifest))
    return RunSummary(
        scenario=scenario.name, seed=SEED, outcome=Outcome.FAIL, reason=S1, target="op1",
        aimed="h8", hit="-", gap=None, recovery=None, tx_ok=0, tx_lost=0, seconds=1.0,
        folder=str(folder.path),
    )  # fmt: skip


Failing = Callable[[Callable[[Scenario], bool]], list[Scenario]]
RANDOM = ["random", "--seed", str(SEED), "--backend", "process"]


def _small(tmp_path: Path) -> list[Path]:
    return list(tmp_path.glob(f"runs/{NAME}/*/{NAME}-small.yaml"))


def test_what_fails_is_made_small_beside_the_run_and_rehearsed(
    failing: Failing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(lambda tried: CUT in {fault.id for fault in tried.faults})
    assert chaos_cli.main(RANDOM) == 1
    (file,) = _small(tmp_path)
    small = parse_text(file.read_text(), what="small")
    assert [fault.id for fault in small.faults] == [CUT]
    out = capsys.readouterr().out.splitlines()
    relative = file.relative_to(tmp_path)
    again = f"devnet chaos run {relative} --seed {SEED} --backend process --slot-seconds 1"
    assert f"fails in {S1}: {again}" in out
    assert out[-1] == (
        f"in the simulator: devnet chaos replay {relative} --simulated --runs 100 --seed {SEED} "
        "(2 of 2 variations pass, none fails)"
    )
    assert chaos_cli.main(["validate", *shlex.split(again)[3:4]]) == 0


def test_what_has_no_counterpart_is_told_and_json_has_a_line_of_its_own(
    failing: Failing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(lambda tried: SLOW in {fault.id for fault in tried.faults})
    assert chaos_cli.main([*RANDOM, "--json"]) == 1
    run, small = map(json.loads, capsys.readouterr().out.splitlines())
    assert run["outcome"] == "fail"
    assert small["checker"] == S1
    assert small["rehearsed"].startswith(f"not played: {NAME}-small: {SLOW}: the simulator has no")
    assert len(small["dropped"]) > 3


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--no-shrink"], ""),
        ([], f"not shrunk: {NAME} did not fail in 'S1 agreement' again (passed 1): there is"),
        (["--most-runs", "1"], "not shrunk: "),
    ],
)
def test_the_verdict_stands_where_nothing_is_shrunk(
    flags: list[str],
    said: str,
    failing: Failing,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = failing(lambda _: False)
    assert chaos_cli.main([*RANDOM, *flags]) == 1
    told = capsys.readouterr().err
    assert said in told
    assert len(asked) == bool(said)
    by_hand = f"; by hand: devnet chaos shrink runs/{NAME}/2"
    assert (by_hand in told) is bool(said)
    assert not _small(tmp_path)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyboardInterrupt(), "shrinking is broken off; by hand: devnet chaos shrink"),
        (OSError(28, "No space left"), "not shrunk: [Errno 28] No space left; by hand: devnet"),
    ],
)
def test_what_ends_the_shrinking_leaves_the_verdict(
    error: BaseException,
    words: str,
    failing: Failing,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    failing(lambda _: True)

    async def stopped(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(chaos_cli, "shrink", stopped)
    assert chaos_cli.main(RANDOM) == 1
    assert words in capsys.readouterr().err


SPLIT = """
scenario: 1
name: split
about: No quorum is left for longer than is expected.
faults:
  - {id: cut, do: partition, split: [2, 2], until: {hold: 9s}}
expect: {gap: GAP}
"""


def test_the_simulator_says_whether_it_fails_there_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devnet.runner.small.REHEARSALS", 1)
    file = tmp_path / "split.yaml"
    file.write_text(SPLIT.replace("GAP", "9s"))
    told = "1 of 1 variations fail: L2 gap between sealed blocks: "
    assert rehearsed(str(file), 1, 1).startswith(told)
    file.write_text(SPLIT.replace("GAP", "20s"))
    assert rehearsed(str(file), 1, 1) == "1 of 1 variations pass, none fails"
    assert rehearsed(str(file), 1, 2).startswith("not played: its slots are of 1 s")
