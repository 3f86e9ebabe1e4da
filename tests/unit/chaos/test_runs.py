"""Whole scenario runs on a fake cluster in virtual time: each verdict is reached, and for the right
reason."""

from pathlib import Path

import pytest

from devnet.journal import Journal
from devnet.model.verdict import Outcome
from devnet.runner.stages import HarnessError, Run, Runner
from devnet.scenarios import catalogue
from tests.unit.chaos.fake_network import FakeNetwork, in_virtual_time


def run(name: str, *, seed: int = 7, bugs: frozenset[str] = frozenset()) -> tuple[Run, FakeNetwork]:
    network = FakeNetwork(bugs=bugs)

    async def work() -> Run:
        journal = Journal(network.setup(name))
        return await Runner(catalogue.load(name), seed, network, journal, lambda _: None).run()

    result: Run = in_virtual_time(work)
    return result, network


def blamed(result: Run) -> list[str]:
    return [v.checker for v in result.verdicts if v.outcome is result.outcome]


@pytest.mark.parametrize("name", catalogue.names())
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_scenario_passes_on_a_correct_cluster(name: str, seed: int) -> None:
    result, network = run(name, seed=seed)
    assert result.outcome is Outcome.PASS, [v for v in result.verdicts if v.outcome != "pass"]
    assert not network.away
    assert not network.cut


def test_the_same_seed_gives_the_same_plan() -> None:
    assert run("split-2-2")[0].planned == run("split-2-2")[0].planned


def test_a_fork_fails_agreement_with_its_time() -> None:
    result, _ = run("leader-kill", bugs=frozenset({"fork"}))
    assert result.outcome is Outcome.FAIL
    assert "S1 agreement" in blamed(result)


def test_deciding_without_a_quorum_fails() -> None:
    result, _ = run("split-2-2", bugs=frozenset({"decides-without-quorum"}))
    assert result.outcome is Outcome.FAIL
    assert "S14 no progress without quorum" in blamed(result)


def test_a_fault_that_cannot_be_injected_is_inconclusive_and_the_rest_is_cleaned_up() -> None:
    result, network = run("split-3-1", bugs=frozenset({"cannot-cut"}))
    assert result.outcome is Outcome.INCONCLUSIVE
    assert result.history is not None
    assert result.history.faults[0].error == "the Toxiproxy of op1 does not answer"
    assert network.links.calls[-1][0] == "heal drop"


def test_a_node_that_never_returns_fails_its_rejoin() -> None:
    result, _ = run("operator-restart", bugs=frozenset({"never-back"}))
    assert result.outcome is Outcome.FAIL
    assert "L5 caught up and voting again" in blamed(result)


def test_lost_transactions_fail_inclusion() -> None:
    result, _ = run("wan-50ms", bugs=frozenset({"loses"}))
    assert result.outcome is Outcome.FAIL
    assert "L6 inclusion" in blamed(result)


def test_a_network_that_seals_nothing_is_a_harness_error() -> None:
    network = FakeNetwork()
    network.away = set(network.operators)

    async def work() -> Run:
        journal = Journal(network.setup())
        scenario = catalogue.load("leader-kill")
        return await Runner(scenario, 1, network, journal, lambda _: None).run()

    with pytest.raises(BaseExceptionGroup) as caught:
        in_virtual_time(work)
    assert caught.group_contains(HarnessError, match="no sealed block at op1, op2, op3, op4, f1")


def test_the_leader_fault_hits_the_leader_and_stays_until_its_turn() -> None:
    result, network = run("leader-kill", seed=11)
    (fault,) = result.planned
    assert result.history is not None
    receipt = result.history.faults[0]
    assert receipt.hits_leader
    assert fault.targets == (network.operators[fault.aimed_height % 4],)
    assert 0 <= fault.delay_seconds < 1.0
    assert [call for call, _ in network.nodes.calls] == ["kill", "start"]
    assert receipt.height is not None
    decided_before_restart = max(
        e.height
        for e in result.history.events
        if e.kind == "decided" and e.monotonic <= (receipt.revert_requested or 0)
    )
    assert decided_before_restart >= receipt.height + 4


def test_the_journal_on_disk_replays_to_the_same_history(tmp_path: Path) -> None:
    from devnet.model.history import Setup, decode_record, history_of

    network = FakeNetwork()
    path = tmp_path / "history.ndjson"

    async def work() -> Run:
        journal = Journal(network.setup(), path)
        scenario = catalogue.load("follower-restart")
        result = await Runner(scenario, 5, network, journal, lambda _: None).run()
        journal.close()
        return result

    result: Run = in_virtual_time(work)
    setup, *records = [decode_record(line) for line in path.read_bytes().splitlines()]
    assert isinstance(setup, Setup)
    assert history_of(setup, records) == result.history


def test_a_program_that_ends_on_its_own_fails_the_run() -> None:
    result, _ = run("leader-kill", bugs=frozenset({"crashes"}))
    assert blamed(result) == ["S17 no program ends on its own"]


def test_a_node_that_cannot_be_read_at_the_end_fails_the_run() -> None:
    result, _ = run("leader-kill", bugs=frozenset({"silent"}))
    assert blamed(result) == ["every node serves at the end"]
