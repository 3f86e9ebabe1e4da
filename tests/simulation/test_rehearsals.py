"""Scenarios of the harness in the simulator: the shipped catalogue, runs that were recorded on a
running network, many variations, and what becomes of one that fails."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from devnet.model.expect import Expect
from devnet.model.terms import Duration
from devnet.model.topology import Role
from devnet.model.verdict import Outcome
from devnet.runner.recorded import recorded, schedule_of
from devnet.scenarios import catalogue
from devnet.scenarios.parse import parse_text
from devnet.scenarios.scenario import Scenario
from devnet.scenarios.write import scenario_yaml
from devnet.sim import variations
from devnet.sim.mutants import mutated
from devnet.sim.rehearsal import rehearse, without_counterpart
from devnet.sim.replay import invariant, play, record_schedule
from devnet.sim.tape import Schedule, Tape
from dst.spec.drills import CRASH_POINTS

RECORDED = Path(__file__).parents[2] / "fixtures/runs"

REFUSED = {
    "follower-restart": "operators only",
    "follower-lied-to": "operators only",
    "l1-wrong-blocks": "OtherBlock",
    "engine-invalid": "Patched",
    "resets": "reset_peer",
    "torn-frames": "slicer",
    "crash-after-persist": "crash point block-before-forkchoice",
    "crash-points": "crash point write-before-commit",
    "old-copy": "a validator that forgets by itself",
    "flipped-bytes": "bits that flip",
    "hostile-transactions": "executes none",
    "byzantine-censor": "strategy censor",
    "host-lost": "hosts: who dials",
    "steady": "operators only",
    "packet-blackhole": "packets that a kernel drops",
    "cpu-starved": "a processor that is shared out",
    "out-of-memory": "memory that runs out",
    "byzantine-invalid-block": "strategy invalid-block",
    "bug-stale-reads": "operators only",
    "bug-wrong-balance": "devnet.bugs in the place of a program",
    "bug-moved-receipts": "devnet.bugs in the place of a program",
    "bug-lost-transactions": "devnet.bugs in the place of a program",
    "bug-double-signature": "devnet.bugs in the place of a program",
}
"""What the simulator cannot play, and the words that say why. All others pass live, and here."""


BITES = {
    "leader-kill": 1.02, "split-2-2": 5.0, "swizzle": 4.0, "all-restart": 3.0, "one-way": 1.1,
    "overlapping-majorities": 5.0, "restart-loop": 1.1, "execution-killed": 1.2,
    "l1-lies-to-one": 1.2, "l1-lies-to-all": 5.0, "engine-syncing": 1.2, "engine-500": 1.2,
    "wan-50ms": 1.15, "world": 1.2, "slow-engine": 1.1, "clock-offset": 1.3, "clock-jump": 1.3,
    "clock-drift": 1.3, "slow-fsync": 1.1, "full-disk": 1.2, "beyond-f-silent": 9.0,
}  # fmt: skip
"""Seconds of the longest gap where a fault is felt; 1.0 to 1.06 where nothing is done."""


@pytest.mark.parametrize("name", catalogue.names())
def test_a_shipped_scenario_passes_here_too_or_is_refused_in_words(name: str) -> None:
    scenario = catalogue.load(name)
    wrong = without_counterpart(scenario, 1)
    assert bool(wrong) is (name in REFUSED), wrong
    if wrong:
        assert any(REFUSED[name] in why for why in wrong.values()), wrong
        return
    found = rehearse(scenario, 1, drawn_from=1)
    assert found.summary.outcome is Outcome.PASS, found.summary.reason
    assert all(fault.verified and fault.healed for fault in found.history.faults)
    assert (found.summary.gap or 0.0) >= BITES.get(name, 0.0), "the fault is felt"


CRASHES = """
scenario: 1
name: crashes
about: One operator after another ends at each crash point of its middleware.
faults:
"""


def test_the_shipped_code_ends_at_its_crash_points() -> None:
    points = [name for name, point in CRASH_POINTS.items() if point.role == Role.MIDDLEWARE]
    lines = (
        f"  - {{id: {point}, do: crash, target: op{index % 4 + 1}, point: {point}, count: 2,"
        f" at: {{delay: {6 * index}s}}, until: {{hold: 1s}}}}\n"
        for index, point in enumerate(points)
    )
    scenario = parse_text(CRASHES + "".join(lines), what="crashes")
    assert without_counterpart(scenario, 1) == {}
    found = rehearse(scenario, 1, drawn_from=1)
    assert found.summary.outcome is Outcome.PASS, found.summary.reason
    waits = [(fault.verified or 0) - fault.requested for fault in found.history.faults]
    assert len(waits) == len(points) == 5
    assert min(waits) > 0.8, "it starts, and comes by for the second time"


@pytest.mark.parametrize("event", ["prepared", "sealed", "round_change"])
def test_a_fault_ends_with_an_event_here_too(event: str) -> None:
    fault = f"{{id: away, do: kill, target: leader, until: {{event: {event}}}}}"
    text = f"scenario: 1\nname: ends\nabout: x\nfaults:\n  - {fault}\n"
    found = rehearse(parse_text(text, what="ends"), 1, drawn_from=1)
    assert found.summary.outcome is Outcome.PASS, found.summary.reason
    (away,) = found.history.faults
    came = [e.monotonic for e in found.history.events if e.kind == event]
    first = min(moment for moment in came if moment > (away.applied or 0.0))
    assert (away.revert_requested or 0.0) - max(first, away.verified or 0.0) < 0.3


def test_who_lies_is_a_target_here_too() -> None:
    faults = (
        "  - {id: liar, do: byzantine, strategy: equivocate, target: op2, until: {hold: 9s}}\n"
        "  - {id: away, do: partition, target: byzantine, at: {after: {inject: liar}},"
        " until: {hold: 4s}}\n"
    )
    text = f"scenario: 1\nname: ends\nabout: x\nfaults:\n{faults}"
    scenario = parse_text(text, what="ends")
    assert without_counterpart(scenario, 1) == {}
    found = rehearse(scenario, 1, drawn_from=1)
    assert found.summary.outcome is Outcome.PASS, found.summary.reason
    assert found.history.faults[1].silenced == ("op2",)


def test_more_than_f_liars_have_two_blocks_decided() -> None:
    found = rehearse(catalogue.load("beyond-f-equivocate"), 1, drawn_from=1)
    assert found.verdicts[0].note.startswith("S1 agreement: height ")


# -------------------------------------------------------------- runs of a running network


@pytest.mark.parametrize("folder", sorted(RECORDED.iterdir()), ids=lambda path: path.name)
def test_a_recorded_run_and_its_rehearsal_agree(folder: Path) -> None:
    """On the verdict, on whom it hits in which phase, and on the gap."""
    schedule = schedule_of(str(folder))
    live, seed = schedule.summary, schedule.seed
    assert live is not None
    assert seed is not None
    found = rehearse(schedule.scenario, 0, drawn_from=seed).summary
    assert (found.outcome, found.target) == (live.outcome, live.target)
    assert found.hit.partition(" ")[2] == live.hit.partition(" ")[2], "round and phase"
    assert found.gap == pytest.approx(live.gap, abs=0.5)


def test_a_rehearsal_is_a_record_that_plays_again() -> None:
    """Of overlapping faults, with draws and turns: everything falls where it fell."""
    asked = catalogue.load("one-way")
    first = rehearse(asked, 1, drawn_from=7)
    again = recorded(asked, first.history)
    second = rehearse(again, 2, drawn_from=7)
    assert [fault.targets for fault in second.history.faults] == [
        fault.targets for fault in first.history.faults
    ]
    for one, other in zip(first.history.faults, second.history.faults, strict=True):
        assert one.hits_leader == other.hits_leader
        assert (one.aimed_height or 0) % 4 == (other.aimed_height or 0) % 4, "whose turn it is"
        assert _length(other) == pytest.approx(_length(one), abs=0.1)


def _length(fault: object) -> float:
    return fault.revert_requested - fault.requested  # type: ignore[attr-defined, no-any-return]


# ------------------------------------------------------------------------ what it judges


def test_the_seed_draws_delays_and_nothing_of_the_schedule() -> None:
    scenario = catalogue.load("split-3-1")
    one, same = (rehearse(scenario, 1, drawn_from=5) for _ in range(2))
    other = rehearse(scenario, 2, drawn_from=5)
    assert one.trace == same.trace
    assert one.trace != other.trace
    assert one.summary.target == other.summary.target


def test_what_the_scenario_expects_is_asked_here_too() -> None:
    scenario = catalogue.load("leader-kill")
    strict = replace(scenario, expect=Expect(gap=Duration(seconds=0.1)))
    found = rehearse(strict, 1, drawn_from=1)
    assert invariant(found.failure) == "L2 gap between sealed blocks"


# --------------------------------------------------------------------- one that fails


def failing() -> tuple[Scenario, Schedule]:
    scenario = catalogue.load("split-2-2")
    return scenario, Schedule(text=scenario_yaml(scenario), seed=3)


def test_a_failing_schedule_becomes_a_tape_that_plays_again() -> None:
    scenario, schedule = failing()
    whole = record_schedule(schedule, 3, scenario.operators, "quorum-2f")
    assert whole.tape.failure == "S1 agreement"
    with mutated("quorum-2f"):
        assert rehearse(scenario, 3, drawn_from=3).trace == whole.trace, "recording changes nothing"
    read = Tape.read(whole.tape.written())
    assert play(read).trace == whole.trace


def test_it_fails_by_the_split_alone_and_passes_on_the_code_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ["split-2-2", "--seed", "3", "--budget", "20"]
    assert variations.main([*asked, "--mutant", "quorum-2f"]) == 1
    told = capsys.readouterr().out
    assert "seed 3: fail: S1 agreement" in told
    assert "again: devnet chaos replay split-2-2 --simulated --seed 3" in told
    assert "shrunk to 0:" in told, "no delay matters"
    assert "inject: partition" in told
    assert variations.main(asked) == 0


def test_what_has_no_counterpart_is_refused_or_left_out(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    both = tmp_path / "both.yaml"
    both.write_text(
        scenario_yaml(
            parse_text(
                """
scenario: 1
name: both
about: One that the simulator has, and one that it has not.
faults:
  - {id: crash, do: crash, target: op1, point: write-before-commit, until: {hold: 2s}}
  - {id: cut, do: cut, target: op2, at: {after: crash}, until: {hold: 2s}}
""",
                what="both",
            )
        )
    )
    assert variations.main([str(both)]) == 3
    assert "crash: the simulator has no counterpart" in capsys.readouterr().err
    assert variations.main([str(both), "--leave-out", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert list(report["left_out"]) == ["crash"]
    assert report["simulated"]["runs"][0]["target"] == "6 consensus links of op2,drop"


def test_many_variations_beside_the_live_run(capsys: pytest.CaptureFixture[str]) -> None:
    run = str(RECORDED / "leader-kill")
    assert variations.main([run, "--runs", "10", "--jobs", "2", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["live"]["target"] == "op1"
    runs = report["simulated"]["runs"]
    assert [each["seed"] for each in runs] == list(range(10))
    assert {each["target"] for each in runs} == {"op1"}
    assert len({each["recovery"] for each in runs}) > 1, "each has delays of its own"
