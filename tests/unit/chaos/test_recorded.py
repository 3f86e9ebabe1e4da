"""A run's record as a schedule that can be played again, and the command that does."""

import json
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from devnet import chaos_cli
from devnet.model.command import Exit
from devnet.model.history import Event, EventKind, FaultReceipt, History, Setup
from devnet.model.terms import At, Delay, Duration, Edge, Moment, Trigger, Until
from devnet.model.verdict import Outcome
from devnet.report.summary import RunSummary, rehearsal_of
from devnet.runner.recorded import recorded
from devnet.scenarios.parse import parse_text
from devnet.scenarios.scenario import Scenario
from devnet.scenarios.write import scenario_yaml
from dst.spec.errors import BadConfig

OPERATORS = ("op1", "op2", "op3", "op4")
RUNS = Path(__file__).parents[3] / "fixtures/runs"


def scenario(faults: str) -> Scenario:
    return parse_text(
        f"scenario: 1\nname: mine\nabout: For a test.\nfaults:\n{faults}", what="mine"
    )


def decided(height: int, at: float) -> Event:
    return Event(kind=EventKind.DECIDED, node="op1", height=height, monotonic=at, wall=at)


def receipt(id: str, requested: float, reverted: float, **known: object) -> FaultReceipt:
    """Applied, proven and healed a tenth of a second after each request."""
    usual = {
        "kind": "kill",
        "targets": ("op2",),
        "aimed_height": None,
        "applied": requested,
        "verified": requested + 0.1,
        "revert_requested": reverted,
        "reverted": reverted,
        "healed": reverted + 0.1,
    }
    return FaultReceipt(id=id, requested=requested, **(usual | known))  # type: ignore[arg-type]


def history(faults: Sequence[FaultReceipt], *events: Event) -> History:
    setup = Setup(operators=OPERATORS, followers=("f1",), slot_seconds=1.0, seed=9)
    return History(setup=setup, events=events, faults=tuple(faults))


KILL = "  - {id: kill, do: kill, target: TARGET, at: {event: decided}, until: {heights: n}}\n"


def test_what_aimed_at_the_leader_waits_for_that_ones_turn() -> None:
    """Height 13 is op2's; 12 was first heard to be decided 0.4 s before the fault."""
    asked = scenario(KILL.replace("TARGET", "leader"))
    events = decided(11, 99.0), decided(12, 100.0), decided(12, 100.1)
    done = receipt("kill", 100.4, 104.6, aimed_height=13)
    found = recorded(asked, history([done], *events))
    (fault,) = found.faults
    assert fault.do.target == "op2"  # type: ignore[attr-defined]
    assert fault.at == At(
        trigger=Trigger.DECIDED, leader="op2", delay=Delay(fixed=Duration(seconds=0.4))
    )
    assert fault.until == Until(total=Duration(seconds=4.2))
    assert found.name == "mine-again"
    assert parse_text(scenario_yaml(found), what="again") == found


def test_times_are_told_from_the_last_proof_or_heal_before() -> None:
    both = KILL.replace("TARGET", "op2") + (
        "  - {id: cut, do: cut, target: op3, until: {hold: 1s}}\n"
        "  - {id: late, do: cut, target: op4, until: {hold: 1s}}\n"
    )
    done = [
        receipt("late", 108.0, 109.0, targets=("op4",)),
        receipt("kill", 100.4, 105.0),
        receipt("cut", 102.5, 103.5, targets=("op3",)),
    ]
    found = recorded(scenario(both), history(done, decided(9, 100.0)))
    assert [(fault.id, fault.at) for fault in found.faults] == [
        ("kill", At(trigger=Trigger.DECIDED, delay=Delay(fixed=Duration(seconds=0.4)))),
        ("cut", At(after=Moment(fault="kill", edge=Edge.INJECT), delay=_fixed(2.0))),
        ("late", At(after=Moment(fault="kill"), delay=_fixed(2.9))),
    ]


def test_what_stood_around_the_others_does_so_again() -> None:
    """As the surroundings: with an end of its own, its heal would be the last one."""
    both = KILL.replace("TARGET", "op2") + (
        "  - {id: wan, do: latency, one_way: 50ms, until: {forever: true}}\n"
    )
    wan = receipt("wan", 99.0, 120.0, kind="latency", targets=(), forever=True)
    done = [wan, receipt("kill", 100.4, 105.0)]
    found = recorded(scenario(both), history(done, decided(9, 98.0)))
    untils = {fault.id: fault.until for fault in found.faults}
    assert untils == {"wan": Until(forever=True), "kill": Until(total=Duration(seconds=4.6))}
    assert parse_text(scenario_yaml(found), what="again") == found
    (alone,) = recorded(scenario(both), history([wan], decided(9, 98.0))).faults
    assert alone.until == Until(total=Duration(seconds=21.0)), "nothing else would end it"


def _fixed(seconds: float) -> Delay:
    return Delay(fixed=Duration(seconds=seconds))


def test_what_is_aimed_at_several_liars_comes_after_them() -> None:
    """Their names cannot be written, and who is meant is asked anew."""
    asked = scenario(
        "  - {id: liars, do: byzantine, strategy: flood, target: random(2), until: {hold: 9s}}\n"
        "  - {id: cut, do: cut, links: l1, at: {delay: 2s}, until: {hold: 1s}}\n"
        "  - {id: slow, do: latency, one_way: 9ms, target: byzantine, until: {hold: 2s},"
        " at: {after: {inject: liars}, delay: 3s}}\n"
    )
    lying = receipt("liars", 100.0, 109.0, kind="byzantine", targets=("op1", "op2"))
    done = [
        msgspec.structs.replace(lying, lying=("op1", "op2")),
        receipt("cut", 102.0, 102.5, kind="cut", targets=()),
        receipt("slow", 103.1, 105.0, kind="latency", targets=("op1", "op2")),
    ]
    slow = recorded(asked, history(done, decided(9, 99.5))).faults[2]
    assert slow.at.after == Moment(fault="liars", edge=Edge.INJECT)
    assert slow.at.delay.fixed == Duration(seconds=3.0)
    done[2] = receipt("slow", 103.1, 105.0, kind="latency", targets=("op2",))
    slow = recorded(asked, history(done, decided(9, 99.5))).faults[2]
    assert slow.do.target == "op2"  # type: ignore[attr-defined]
    assert slow.at.after == Moment(fault="cut"), "a name needs no liar"


def test_each_time_of_one_that_repeats_is_a_fault_of_its_own() -> None:
    text = KILL.replace("TARGET", "random").replace("decided}", "decided, every: 9s, times: 2}")
    done = [receipt("kill-1", 100.4, 101.0), receipt("kill-2", 109.4, 110.0, targets=("op3",))]
    found = recorded(scenario(text), history(done, decided(9, 100.0)))
    assert [(each.id, each.do.target) for each in found.faults] == [  # type: ignore[attr-defined]
        ("kill-1", "op2"),
        ("kill-2", "op3"),
    ]


def test_what_never_stood_is_left_out_and_nothing_is_no_schedule() -> None:
    kill = KILL.replace("TARGET", "op2")
    both = kill + kill.replace("id: kill", "id: twice")
    refused = receipt("twice", 100.5, 100.5, applied=None, error="op2 is under the fault kill")
    done = [receipt("kill", 100.4, 105.0), refused]
    found = recorded(scenario(both), history(done, decided(9, 100.0)))
    assert [fault.id for fault in found.faults] == ["kill"]
    with pytest.raises(BadConfig, match="0 faults were injected in that run"):
        recorded(scenario(both), history([refused], decided(9, 100.0)))


# ----------------------------------------------------------------------------- the command


def test_it_writes_the_schedule_and_says_with_which_seed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "again.yaml"
    asked = ["replay", str(RUNS / "one-way"), "--write", str(file)]
    assert chaos_cli.main(asked) == Exit.OK
    assert "to be run with --seed 165049" in capsys.readouterr().err
    found = parse_text(file.read_text(), what="again")
    assert [fault.at.leader for fault in found.faults] == ["op1", "op3"]
    assert chaos_cli.main(["validate", str(file)]) == Exit.OK


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--simulated", "--backend", "process"], "--backend: not with --simulated"),
        (["--simulated", "--slot-seconds", "2"], "--slot-seconds: not with --simulated"),
        (["--leave-out"], "--leave-out: with --simulated only"),
        (["--runs", "1001"], "--runs above 1000: with --simulated only"),
    ],
)
def test_flags_of_the_other_world_are_refused(
    flags: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert chaos_cli.main(["replay", str(RUNS / "leader-kill"), *flags]) == Exit.HARNESS
    assert told in capsys.readouterr().err


def test_the_simulator_is_a_program_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    asked = ["replay", str(RUNS / "leader-kill"), "--simulated", "--seed", "4", "--json"]
    assert chaos_cli.main(asked) == Exit.OK
    report = json.loads(capfd.readouterr().out)
    assert (report["live"]["outcome"], report["simulated"]["outcome"]) == ("pass", "pass")
    assert report["simulated"]["runs"][0]["seed"] == 4
    assert chaos_cli.main(["replay", "nobody-knows", "--simulated"]) == Exit.HARNESS


def test_a_failing_run_says_how_to_rehearse_it() -> None:
    run = RunSummary(
        scenario="x", seed=1, outcome=Outcome.FAIL, reason="", target="op1", aimed="h8", hit="-",
        gap=None, recovery=None, tx_ok=0, tx_lost=0, seconds=1.0, folder="runs/x/1",
    )  # fmt: skip
    assert rehearsal_of(run) == "devnet chaos replay runs/x/1 --simulated --runs 100"
    passed = msgspec.structs.replace(run, outcome=Outcome.PASS)
    assert rehearsal_of(passed) == ""
    hostile = msgspec.structs.replace(run, aimed="-")
    assert rehearsal_of(hostile) == "", "no fault, no schedule"


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["list", "--json"], "name"),
        (["judge", str(RUNS / "leader-kill"), "--json"], "checker"),
        (["validate", str(RUNS / "leader-kill/scenario.yaml"), "--json"], "file"),
    ],
)
def test_what_is_listed_is_there_as_json(
    words: list[str], kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert chaos_cli.main(words) == Exit.OK
    assert all(each[kind] for each in json.loads(capsys.readouterr().out))


def test_a_flag_that_cannot_be_read_is_a_harness_error() -> None:
    assert chaos_cli.main(["replay"]) == Exit.HARNESS
    assert chaos_cli.main(["--help"]) == Exit.OK
