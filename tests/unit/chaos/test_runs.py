"""Whole scenario runs on a fake cluster in virtual time: each verdict is reached, and for the right
reason."""

import asyncio
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from devnet.model.clock import now
from devnet.model.cluster import ClusterKind
from devnet.model.history import FaultReceipt, History, RunBroken
from devnet.model.topology import compute_topology
from devnet.model.verdict import Outcome, worst
from devnet.probes.chain import read_end_state
from devnet.probes.events import EventTail
from devnet.runner.attach import Wanted
from devnet.runner.campaign import (
    Campaign,
    replay_command,
    require_possible,
    run_campaign,
    told_when_stopped,
)
from devnet.runner.folder import RunFolder
from devnet.runner.journal import CannotRecord, Journal
from devnet.runner.judging import judge_folder, pack
from devnet.runner.plan import require_fits
from devnet.runner.stages import HarnessError, Run, Runner
from devnet.scenarios import catalogue
from devnet.scenarios.parse import parse_scenario
from devnet.scenarios.scenario import Scenario
from devnet.workload.hostile.catalogue import CATALOGUE
from dst.spec.errors import BadConfig
from tests.unit.chaos.fake_network import FakeNetwork, FakePrograms, in_virtual_time

FOUR = compute_topology(operators=4, followers=1)


def run(name: str, *, seed: int = 7, bugs: frozenset[str] = frozenset()) -> tuple[Run, FakeNetwork]:
    network = FakeNetwork(bugs=bugs)

    async def work() -> Run:
        journal = Journal(network.setup(name))
        return await Runner(catalogue.load(name), seed, network, journal, lambda _: None).run()

    result: Run = in_virtual_time(work)
    return result, network


def blamed(result: Run) -> list[str]:
    return [v.checker for v in result.verdicts if v.outcome is result.outcome]


CONTROLS = tuple(name for name in catalogue.names() if catalogue.load(name).expect.fails)
"""They pass where something breaks: see test_byzantine.py."""


@pytest.mark.parametrize("name", [name for name in catalogue.names() if name not in CONTROLS])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_scenario_passes_on_a_correct_cluster(name: str, seed: int) -> None:
    result, network = run(name, seed=seed)
    assert result.outcome is Outcome.PASS, [v for v in result.verdicts if v.outcome != "pass"]
    assert not network.away
    assert not network.cut


def test_an_operator_that_falls_silent_fails_a_run_that_asks_nothing_of_it() -> None:
    result, _ = run("wan-50ms", bugs=frozenset({"mute"}))
    assert result.outcome is Outcome.FAIL
    assert blamed(result) == ["every operator votes at the end"]
    result, network = run("wan-50ms", bugs=frozenset({"mute-for-long"}))
    assert result.outcome is Outcome.PASS, "its vote is waited for"
    assert network.height in (30, 31)
    result, _ = run("hostile-transactions", bugs=frozenset({"mute"}))
    assert blamed(result) == ["every operator votes at the end"], "it voted at first"


def test_heights_around_a_fault_are_no_progress_under_it() -> None:
    """Nothing is decided while an operator is away; the distances stand before and after that."""
    result, _ = run("world", bugs=frozenset({"needs-all"}))
    assert blamed(result) == [
        "the chain goes on",
        "L9 progress under fault",
        "L2 gap between sealed blocks",
    ]


def test_a_hostile_transaction_without_a_fate_fails_and_is_named() -> None:
    result, _ = run("hostile-transactions", bugs=frozenset({"vanishes"}))
    assert result.outcome is Outcome.FAIL
    assert blamed(result) == ["L11 known fate"]
    (verdict,) = (v for v in result.verdicts if v.checker == "L11 known fate")
    third = list(CATALOGUE)[2]
    assert verdict.violations[0].summary.startswith(f"{third} (0xh2) via op3: no receipt")


def test_a_hostile_transaction_that_delays_a_block_fails() -> None:
    result, _ = run("hostile-transactions", bugs=frozenset({"slow-blocks"}))
    assert result.outcome is Outcome.FAIL
    assert blamed(result) == ["L2 gap between sealed blocks"]


def test_hostile_transactions_that_nobody_knows_are_refused_before_anything_starts() -> None:
    document = {"scenario": 1, "name": "mine", "about": "x", "hostile": {"kinds": ["no-such"]}}
    with pytest.raises(BadConfig, match="no no-such; known: blake2f-one-call, "):
        require_fits(parse_scenario(document), FOUR, "process")
    crowded = {**document, "hostile": {}, "load": {"senders": 8}}
    with pytest.raises(BadConfig, match="at most 6 beside them"):
        require_fits(parse_scenario(crowded), FOUR, "process")


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


class HangsAfterAKill(FakePrograms):
    """op1's validator, which votes on all the same."""

    async def not_up(self, programs: Sequence[str]) -> str:
        was_killed = any(call == "kill" for call, _ in self.calls)
        if was_killed and "op1.validator" in programs:
            return "op1.validator not ready"
        return await super().not_up(programs)


def test_a_program_that_hangs_after_a_kill_fails_and_so_does_its_operators_silence() -> None:
    scenario = parse_scenario(
        {
            "scenario": 1,
            "name": "mine",
            "about": "x",
            "faults": [
                {"id": "slow", "do": "latency", "one_way": "20ms", "until": {"hold": "1s"}},
                {
                    "id": "kill",
                    "do": "kill",
                    "target": "op1",
                    "at": {"after": "slow"},
                    "until": {"hold": "3s"},
                },
            ],
        }
    )

    def played(network: FakeNetwork) -> list[str]:
        network.programs = HangsAfterAKill(network)

        async def work() -> Run:
            journal = Journal(network.setup("mine"))
            return await Runner(scenario, 7, network, journal, lambda _: None).run()

        result: Run = in_virtual_time(work)
        assert result.outcome is Outcome.FAIL, "not to be run again"
        return blamed(result)

    assert played(FakeNetwork()) == ["L4 recovery after heal"]
    silent = ["L4 recovery after heal", "every operator votes at the end"]
    assert [c for c in played(FakeNetwork(bugs=frozenset({"never-back"}))) if c in silent] == silent


def test_lost_transactions_fail_inclusion() -> None:
    result, _ = run("wan-50ms", bugs=frozenset({"loses"}))
    assert result.outcome is Outcome.FAIL
    assert "L6 inclusion" in blamed(result)


def test_a_network_that_seals_nothing_is_a_harness_error() -> None:
    network = FakeNetwork()
    network.away = set(network.operators)
    _refused(network, "no sealed block at op1, op2, op3, op4, f1")


def test_the_leader_fault_hits_the_leader_and_stays_until_its_turn() -> None:
    result, network = run("leader-kill", seed=11)
    (fault,) = result.planned
    assert result.history is not None
    receipt = result.history.faults[0]
    assert receipt.hits_leader
    assert fault.site.targets == (network.operators[fault.aimed_height % 4],)
    assert 0 <= fault.delay_seconds < 1.0
    assert [call for call, _ in network.programs.calls] == ["kill", "start"]
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
    """As it happens: the record has the moment, and who watches hears of it then."""
    network, heard = FakeNetwork(bugs=frozenset({"crashes"})), list[tuple[float, str]]()

    async def work() -> Run:
        journal = Journal(
            network.setup(), on_violation=lambda breach: heard.append((now(), breach.summary))
        )
        return await Runner(catalogue.load("leader-kill"), 7, network, journal, print).run()

    result: Run = in_virtual_time(work)
    assert blamed(result) == ["S17 no program ends on its own"]
    (verdict,) = [each for each in result.verdicts if each.outcome is Outcome.FAIL]
    (breach,) = verdict.violations
    assert breach.monotonic == network.crashed_at
    (told,) = heard
    assert told[1] == breach.summary == "op3.validator ended on its own: exit code 1"
    assert network.crashed_at <= told[0] <= network.crashed_at + 1.0
    assert result.history is not None
    assert told[0] < result.history.faults[0].healed  # type: ignore[operator]


def test_a_program_that_outlives_sigterm_fails_the_run() -> None:
    result, _ = run("planned-restart", bugs=frozenset({"outlives"}))
    assert "S17 no program ends on its own" in blamed(result)
    assert result.history is not None
    assert result.history.faults[0].error == "op1.rollup runs on"
    assert result.history.ran_on[0].program == "op1.rollup"


def test_a_toxiproxy_that_ends_makes_the_run_inconclusive() -> None:
    """And a bystander that stays behind meanwhile is nobody's fault; a fork is."""
    result, _ = run("leader-kill", bugs=frozenset({"proxy-dies", "stuck"}))
    assert result.outcome is Outcome.INCONCLUSIVE
    words = "op2.toxiproxy, a part of the harness, ended on its own (killed by SIGSEGV)"
    told = [verdict.note for verdict in result.verdicts if words in verdict.note]
    assert len(told) == 2, "of the harness, and of the node that does not serve"
    result, _ = run("leader-kill", bugs=frozenset({"proxy-dies", "fork"}))
    assert "S1 agreement" in blamed(result)


def test_a_disk_that_takes_no_record_ends_the_run_in_one_line(tmp_path: Path) -> None:
    network = FakeNetwork()
    (tmp_path / "history.ndjson").symlink_to("/dev/full")

    async def work() -> Run:
        journal = Journal(network.setup(), tmp_path / "history.ndjson")
        scenario = catalogue.load("leader-kill")
        return await Runner(scenario, 1, network, journal, lambda _: None).run()

    with pytest.raises(BaseExceptionGroup) as caught:
        in_virtual_time(work)
    words = "history.ndjson cannot be written: No space left on device; make room"
    assert caught.group_contains(CannotRecord, match=words)
    journal = Journal(network.setup(), tmp_path / "history.ndjson")
    for _ in range(2):
        with pytest.raises(CannotRecord, match=words):
            journal.close()  # the first line was still on its way
    with pytest.raises(CannotRecord, match="cannot be written: Is a directory"):
        Journal(network.setup(), tmp_path)


async def test_a_node_that_talks_nonsense_is_outlived_and_a_full_disk_is_not(
    tmp_path: Path,
) -> None:
    """What follows a node's events goes on whatever the node does."""
    (tmp_path / "history.ndjson").symlink_to("/dev/full")
    network = FakeNetwork()
    journal = Journal(network.setup(), tmp_path / "history.ndjson")
    event = {"kind": "decided", "operator": "op1", "height": 1, "round": 0, "term": 0,
             "root": "0x" + "00" * 32, "slot": 1, "monotonic": 1.0, "wall": 1.0}  # fmt: skip

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        hello = {"operator": "op1", "boot": "b", "decided_height": 0}
        await response.write(b"event: hello\ndata: " + json.dumps(hello).encode() + b"\n\n")
        for number in range(1, 2000):
            line = f"id: {number}\nevent: decided\ndata: {json.dumps(event)}\n\n"
            await response.write(line.encode())
        return response

    app = web.Application()
    app.router.add_get("/dst/v1/events", stream)
    async with TestServer(app) as server, asyncio.timeout(30):
        tail = EventTail("op1", str(server.make_url("")), journal.record)
        with pytest.raises(CannotRecord):
            await tail.run()


async def test_the_end_state_of_a_node_is_not_blamed_for_a_full_disk() -> None:
    def full(_record: object) -> None:
        raise CannotRecord("no room")

    class Node:
        name = "op1"

        async def call(self, *_request: object) -> object:
            block = dict.fromkeys(("hash", "parentHash", "stateRoot"), "0x1")
            return {"number": "0x1", "timestamp": "0x1", "transactions": [], **block}

    with pytest.raises(CannotRecord):
        await read_end_state(
            endpoints=[Node()], proof_readers=[], transactions=[], first=1, last=1, record=full
        )


def test_a_network_that_lacks_a_program_is_a_harness_error() -> None:
    """A validator has no listener, and three of four sign."""
    network = FakeNetwork()
    network.programs.down = {"op2.validator"}
    _refused(network, "not whole before the first fault: op2.validator")


@pytest.mark.parametrize("program", ["l1.anvil", "op3.toxiproxy"])
def test_a_part_of_the_harness_that_is_down_is_a_harness_error(program: str) -> None:
    network = FakeNetwork()
    network.programs.down = {program}
    _refused(network, program)


def test_a_link_that_something_was_done_to_is_a_harness_error() -> None:
    """A run that was killed, or a Toxiproxy that came back with a fault that had been healed."""
    network = FakeNetwork(bugs=frozenset({"left-over"}))
    _refused(network, "op1>op2.consensus hold; start it anew")


def test_what_was_done_to_a_network_is_named_also_where_it_keeps_the_chain_from_going_on() -> None:
    network = FakeNetwork(bugs=frozenset({"left-over"}))
    network.away = set(network.operators)
    network.programs.down = {"op4.validator"}
    _refused(network, "op4.validator; op1>op2.consensus hold; start it anew")


def test_what_a_killed_run_left_on_programs_and_machines_is_a_harness_error() -> None:
    for left, words in (
        ("full", "op2.middleware another machine"),
        ("liar", "op2.middleware devnet.byzantine"),
    ):
        network = FakeNetwork()
        if left == "full":
            asyncio.run(network.machines.change(["op2.middleware"], full=True))
        else:
            network.programs.modules["op2.middleware"] = "devnet.byzantine"
        _refused(network, f"{words}; start it anew")


@pytest.mark.parametrize("ignored", [False, True])
def test_a_terminal_that_closes_ends_a_run_with_clean_up(ignored: bool) -> None:
    code = (
        "import asyncio, os, signal\n"
        "from devnet.chaos_cli import _stoppable\n"
        "async def work():\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGHUP)\n"
        "        await asyncio.sleep(0.2)\n"
        "        print('went on')\n"
        "    finally:\n"
        "        print('taken back')\n"
        f"signal.signal(signal.SIGHUP, signal.{'SIG_IGN' if ignored else 'SIG_DFL'})\n"
        "asyncio.run(_stoppable(work()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == ("went on\ntaken back\n" if ignored else "taken back\n")


def _refused(network: FakeNetwork, words: str) -> None:
    async def work() -> Run:
        journal = Journal(network.setup())
        scenario = catalogue.load("leader-kill")
        return await Runner(scenario, 1, network, journal, lambda _: None).run()

    with pytest.raises(BaseExceptionGroup) as caught:
        in_virtual_time(work)
    assert caught.group_contains(HarnessError, match=re.escape(words))


def test_a_node_that_cannot_be_read_at_the_end_fails_the_run() -> None:
    result, _ = run("leader-kill", bugs=frozenset({"silent"}))
    assert blamed(result) == ["every node serves at the end"]


def test_a_bystander_that_stays_behind_fails_the_run_and_lowers_no_bar() -> None:
    """No fault hit the follower; what the others have is judged to its height all the same."""
    result, _ = run("leader-kill", bugs=frozenset({"stuck"}))
    assert blamed(result) == ["every node serves at the end"]
    assert result.history is not None
    (unread,) = result.history.unread
    assert unread.node == "f1"
    assert unread.why.startswith("it is at height 7, ")
    goal = int(unread.why.split()[5])
    assert unread.missing == goal - 7
    assert unread.since is not None
    assert unread.monotonic == pytest.approx(unread.since + 60.0, abs=0.5), "the settle timeout"
    assert max(block.height for block in result.history.blocks) > 7


@pytest.mark.parametrize(
    ("name", "bug"),
    [(name, None) for name in catalogue.names()]
    + [("leader-kill", "crashes"), ("leader-kill", "silent"), ("split-3-1", "cannot-cut")],
)
def test_a_folder_gives_the_verdicts_of_its_run(name: str, bug: str | None, tmp_path: Path) -> None:
    network = FakeNetwork(bugs=frozenset({bug} if bug else ()))
    scenario = catalogue.load(name)
    folder = RunFolder.create(tmp_path, scenario, 3)

    async def work() -> Run:
        journal = Journal(network.setup(name), folder.history)
        try:
            return await Runner(scenario, 3, network, journal, lambda _: None).run()
        finally:
            journal.close()

    result: Run = in_virtual_time(work)
    plain = judge_folder(folder.path)
    assert plain == (scenario, result.history, result.verdicts)
    pack(folder.path)
    assert not folder.history.exists()
    assert judge_folder(folder.path) == plain


def test_a_run_that_could_not_be_carried_out_is_judged_so_from_its_folder(tmp_path: Path) -> None:
    network = FakeNetwork()
    folder = RunFolder.create(tmp_path, catalogue.load("leader-kill"), 3)
    journal = Journal(network.setup(), folder.history)
    journal.record(RunBroken(why="no sealed block", monotonic=1.0))
    journal.close()
    _, _, verdicts = judge_folder(folder.path)
    assert worst(verdicts) is Outcome.INCONCLUSIVE
    assert "no sealed block" in [v.note for v in verdicts]


@pytest.mark.parametrize("record", [None, b"", b"{}\n", b'{"type":"event"}\n'])
def test_a_folder_without_a_record_is_refused(record: bytes | None, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, catalogue.load("leader-kill"), 3)
    if record is not None:
        folder.history.write_bytes(record)
    with pytest.raises(BadConfig, match="record"):
        judge_folder(folder.path)


def kill_of(target: str | None, **changes: object) -> Scenario:
    fault = {"id": "a", "do": "kill", "target": target, "until": {"heights": 4}, **changes}
    fault = {key: value for key, value in fault.items() if value is not None}
    return parse_scenario({"scenario": 1, "name": "mine", "about": "x", "faults": [fault]})


@pytest.mark.parametrize(
    ("scenario", "words"),
    [
        (kill_of("op9"), "mine: fault a: target op9: the network has op1, op2, op3, op4, f1"),
        (kill_of("f2"), "target f2: the network has"),
        (kill_of("f1", do="partition"), "target f1 has no consensus links"),
        (kill_of("follower", do="partition"), "target follower has no consensus links"),
        (kill_of("all-operators", do="partition"), "leaves nobody to be cut off from"),
        (
            kill_of(None, do="partition", split=[2, 1]),
            r"split \[2, 1\] is for 3 operators, the network has 4",
        ),
    ],
)
def test_what_hits_nothing_is_refused_in_one_line(scenario: Scenario, words: str) -> None:
    with pytest.raises(BadConfig, match=words) as caught:
        require_fits(scenario, FOUR, "process")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("target", ["op4", "f1", "leader", "not-leader", "all-operators"])
def test_what_the_network_has_is_accepted(target: str) -> None:
    require_fits(kill_of(target, until={"hold": "4s"}), FOUR, "process")


def campaign_of(source: str, scenario: Scenario, folder: Path) -> Campaign:
    return Campaign(
        scenario=scenario, source=source, wanted=Wanted(directory=folder / "net"), runs=1, seed=5,
        root=folder / "runs", say=lambda _: None,
    )  # fmt: skip


def test_a_wrong_target_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="target op9"):
        asyncio.run(run_campaign(campaign_of("mine.yaml", kill_of("op9"), tmp_path)))
    assert list(tmp_path.iterdir()) == []


def test_a_control_is_run_once_on_a_network(tmp_path: Path) -> None:
    control = catalogue.load("beyond-f-equivocate")
    once = campaign_of("beyond-f-equivocate", control, tmp_path)
    assert require_possible(once) is False
    with pytest.raises(BadConfig, match="3 runs cannot share one"):
        require_possible(replace(once, runs=3))


def test_the_replay_command_finds_a_file_from_anywhere(tmp_path: Path) -> None:
    descriptor = SimpleNamespace(
        backend="process", operators=[1, 2, 3, 4], slot_seconds=1, port_offset=0,
        cluster=ClusterKind.DST,
    )  # fmt: skip
    path = str(tmp_path / "my own.yaml")
    line = replay_command(campaign_of(path, kill_of("op1"), tmp_path), 5, descriptor)  # type: ignore[arg-type]
    assert shlex.split(line)[3] == path
    named = replay_command(campaign_of("leader-kill", kill_of("op1"), tmp_path), 5, descriptor)  # type: ignore[arg-type]
    assert named.startswith("devnet chaos run leader-kill --seed 5 ")
    assert "--port-offset" not in named
    descriptor.port_offset = 300
    beside = replay_command(campaign_of("leader-kill", kill_of("op1"), tmp_path), 5, descriptor)  # type: ignore[arg-type]
    assert beside.endswith(" --port-offset 300")


def test_a_run_says_where_the_fault_fell_and_how_long_it_is_held() -> None:
    network = FakeNetwork()
    lines: list[str] = []

    async def work() -> Run:
        scenario = catalogue.load("leader-kill")
        return await Runner(scenario, 7, network, Journal(network.setup()), lines.append).run()

    result: Run = in_virtual_time(work)
    aimed = result.planned[0].aimed_height
    assert f"(aimed at the leader of height {aimed}, after" in lines[1]
    assert re.match(r"inject: fault verified, it fell in h\d+ \w+; holding for 4 heights", lines[2])
    assert lines[3] == "heal: kill taken back, heal verified"


def test_a_run_that_is_stopped_takes_its_fault_back_and_says_so() -> None:
    network = FakeNetwork()
    journal = Journal(network.setup())

    async def work() -> None:
        scenario = catalogue.load("leader-kill")
        runner = Runner(scenario, 7, network, journal, lambda _: None)
        async with asyncio.TaskGroup() as tasks:
            run = tasks.create_task(runner.run())
            await journal.until(lambda: any(f.verified for f in journal.history().faults), 60.0)
            run.cancel()
        assert run.cancelled()

    assert told_when_stopped(journal.history()) == "stopped before any fault was injected"
    in_virtual_time(work)
    assert not network.away
    said = told_when_stopped(journal.history())
    assert said == "stopped; 1 fault taken back, heal verified"


def test_a_stop_that_could_not_heal_says_so() -> None:
    left = FaultReceipt(id="cut", kind="partition", targets=(), requested=1.0, error="revert: no")
    history = History(setup=FakeNetwork().setup(), faults=(left,))
    assert "a heal is not proven: cut: revert: no" in told_when_stopped(history)
