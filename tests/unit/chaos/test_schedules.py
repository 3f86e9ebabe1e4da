"""When faults begin and end, in which order, and what is refused because it cannot work: in virtual
time on a fake cluster, and before any run."""

import textwrap
from itertools import pairwise
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from devnet.chaos_cli import main
from devnet.faults.targets import leader_name
from devnet.model.history import FaultReceipt
from devnet.model.reading import read_target
from devnet.model.terms import Several
from devnet.model.timeline import rejoined_at
from devnet.model.topology import compute_topology
from devnet.model.verdict import Outcome
from devnet.runner.journal import Journal
from devnet.runner.plan import plan_fault, require_fits
from devnet.runner.stages import Run, Runner
from devnet.scenarios import catalogue
from devnet.scenarios.draw import draw_schedule
from devnet.scenarios.parse import parse_text
from devnet.scenarios.scenario import Scenario
from devnet.scenarios.schema import schema
from devnet.scenarios.sentences import sentences
from devnet.scenarios.write import scenario_yaml
from dst.spec.errors import BadConfig
from tests.unit.chaos.fake_network import FakeNetwork, in_virtual_time

HEAD = "scenario: 1\nname: mine\nabout: x\n"


def read(faults: str, more: str = "") -> Scenario:
    text = HEAD + "faults:\n" + textwrap.indent(textwrap.dedent(faults).strip(), "  ") + "\n" + more
    jsonschema.validate(yaml.safe_load(text), schema())
    scenario = parse_text(text, what="mine.yaml")
    assert parse_text(scenario_yaml(scenario), what="again") == scenario
    jsonschema.validate(yaml.safe_load(scenario_yaml(scenario)), schema())
    return scenario


def play(
    scenario: Scenario, operators: int = 4, outcome: Outcome = Outcome.PASS, seed: int = 7
) -> tuple[Run, dict[str, FaultReceipt]]:
    """The run, and its receipts by id."""
    network = FakeNetwork(operators=operators)
    run = played_on(network, scenario, seed)
    assert run.outcome is outcome, [v for v in run.verdicts if v.outcome != "pass"]
    assert run.history is not None
    assert not network.away | network.cut
    return run, {fault.id: fault for fault in run.history.faults}


def played_on(network: FakeNetwork, scenario: Scenario, seed: int = 7) -> Run:
    async def work() -> Run:
        journal = Journal(network.setup("mine"))
        return await Runner(scenario, seed, network, journal, lambda _: None).run()

    run: Run = in_virtual_time(work)
    return run


def of(moment: float | None) -> float:
    assert moment is not None
    return moment


def test_one_fault_stands_inside_another() -> None:
    scenario = read("""
        - {id: slow, do: latency, one_way: 20ms, at: {}, until: {after: kill}}
        - {id: kill, do: kill, target: f1, at: {after: {inject: slow}, delay: 2s},
           until: {hold: 3s}}
        """)
    _, receipts = play(scenario)
    slow, kill = receipts["slow"], receipts["kill"]
    assert of(slow.verified) + 2 <= kill.requested <= of(slow.verified) + 3
    # Half a second for the two good looks after the first.
    assert of(kill.healed) + 0.5 <= of(slow.revert_requested) <= of(kill.healed) + 0.6


def test_the_next_waits_until_whom_a_fault_silenced_votes_again() -> None:
    scenario = read(
        """
        - {id: one, do: kill, target: op1, until: {heights: 3}}
        - {id: two, do: kill, target: op2, at: {after: {rejoin: one}}, until: {heights: 1}}
        """,
        "expect: {rejoin: 60s}",
    )
    run, receipts = play(scenario)
    assert run.history is not None
    back = rejoined_at(run.history, receipts["one"], "op1")
    assert (
        of(receipts["one"].healed)
        < of(back)
        <= of(back) + 2.0
        <= receipts["two"].requested
        <= of(back) + 2.4
    )


def test_a_return_that_nobody_judges_is_not_waited_for() -> None:
    with pytest.raises(BadConfig, match=r"faults\[1\].at.after: .* add expect: \{rejoin"):
        read("""
            - {id: one, do: kill, target: op1, until: {heights: 3}}
            - {id: two, do: kill, target: op2, at: {after: {rejoin: one}}, until: {heights: 1}}
            """)


def test_forever_is_to_the_end_of_all_that_have_one() -> None:
    scenario = read("""
        - {id: slow, do: latency, one_way: 20ms, until: {forever: true}}
        - {id: cut, do: cut, links: l1, until: {forever: true}}
        - {id: kill, do: kill, target: f1, at: {delay: 3s}, until: {hold: 3s}}
        - {id: stop, do: stop, target: f1, at: {after: kill, delay: 9s}, until: {hold: 1s}}
        """)
    _, receipts = play(scenario)
    last = of(receipts["stop"].healed)
    # Three heights at every node, as after the last heal of all.
    assert last + 2.0 <= of(receipts["slow"].revert_requested) <= last + 4.1
    assert last + 2.0 <= of(receipts["cut"].revert_requested) <= last + 4.1


@pytest.mark.parametrize("leader", ["op1", "op4"])
def test_a_fault_waits_for_an_operators_turn_and_lasts_from_its_request_on(leader: str) -> None:
    """The proof of a silent cut takes three seconds, which are within the total."""
    scenario = read(f"""
        - {{id: turn, do: cut, target: op2, mode: blackhole,
           at: {{event: decided, leader: {leader}, delay: 200ms}}, until: {{total: 5s}}}}
        """)
    _, receipts = play(scenario)
    turn = receipts["turn"]
    assert f"op{(turn.aimed_height or 0) % 4 + 1}" == leader
    assert of(turn.revert_requested) - turn.requested == pytest.approx(5.0, abs=0.1)
    told = sentences(scenario)
    assert f"with {leader} to lead next" in told
    assert "until 5s after it was asked for" in told


def test_a_fault_repeats_every_so_many_heights_each_time_elsewhere_drawn() -> None:
    scenario = read("""
        - {id: kill, do: kill, target: random, at: {every: 6 heights, times: 4},
           until: {heights: 2}}
        - {id: after, do: cut, links: l1, at: {after: kill}, until: {hold: 1s}}
        """)
    run, receipts = play(scenario)
    kills = [receipts[f"kill-{number}"] for number in (1, 2, 3, 4)]
    aimed = [kill.aimed_height for kill in kills]
    assert [of(b) - of(a) for a, b in pairwise(aimed)] == [6, 6, 6]
    assert len({kill.targets for kill in kills}) > 1
    assert receipts["after"].requested >= of(kills[-1].healed)
    assert len(run.planned) == 5


def test_a_fault_repeats_in_time_and_never_before_it_is_healed() -> None:
    often = read("- {id: a, do: kill, target: op1, at: {every: 10s, times: 2}, until: {hold: 3s}}")
    _, receipts = play(often)
    assert receipts["a-2"].requested == pytest.approx(receipts["a-1"].requested + 10, abs=0.1)
    slow = read("- {id: a, do: kill, target: op1, at: {every: 1s, times: 2}, until: {hold: 9s}}")
    _, receipts = play(slow)
    assert receipts["a-2"].requested >= of(receipts["a-1"].healed)


@pytest.mark.parametrize("event", ["proposal", "prepared", "decided", "sealed", "round_change"])
def test_a_fault_waits_for_a_phase(event: str) -> None:
    scenario = read(f"""
        - {{id: away, do: kill, target: op4, until: {{heights: 6}}}}
        - {{id: cut, do: cut, links: l1, until: {{hold: 1s}},
             at: {{after: {{inject: away}}, heights: 2, event: {event}}}}}
        """)
    run, receipts = play(scenario)
    assert run.history is not None
    away, cut = receipts["away"], receipts["cut"]
    happened = {e.monotonic for e in run.history.events if e.kind == event}
    assert any(abs(cut.requested - moment) < 0.01 for moment in happened)
    before = [e.height for e in run.history.events if e.monotonic <= of(away.verified)]
    assert of(cut.aimed_height) >= max(before) + 2


@pytest.mark.parametrize("event", ["proposal", "prepared", "decided", "sealed", "round_change"])
def test_a_fault_stands_until_a_phase_that_came_while_it_stood(event: str) -> None:
    """Alone from the moment it was applied, whatever its proof takes; after its other parts."""
    for more in ("", "hold: 3s, "):
        scenario = read(f"""
            - {{id: away, do: kill, target: leader, until: {{{more}event: {event}}}}}
            """)
        run, receipts = play(scenario)
        assert run.history is not None
        away = receipts["away"]
        since = of(away.verified) + 3 if more else of(away.applied)
        came = [e.monotonic for e in run.history.events if e.kind == event and e.monotonic > since]
        assert of(away.revert_requested) == pytest.approx(
            max(min(came), of(away.verified)), abs=0.3
        )
        assert not away.error
    phrase = {"decided": "the next block is decided", "round_change": "somebody next changes round"}
    assert f"and after that {phrase.get(event, '')}" in sentences(scenario)


def test_what_came_while_the_proof_was_made_ends_a_fault_too() -> None:
    """A tenth of a second before the next block; where it fell is known a quarter later."""
    scenario = read("""
        - {id: cut, do: cut, links: l1, at: {delay: 900ms}, until: {event: proposal}}
        """)
    cut = play(scenario)[1]["cut"]
    assert of(cut.revert_requested) - of(cut.applied) < 0.4


def test_a_fault_stands_until_an_operators_turn() -> None:
    scenario = read("""
        - {id: cut, do: cut, links: l1, until: {heights: 1, event: decided, leader: op3}}
        """)
    run, receipts = play(scenario)
    assert run.history is not None
    cut = receipts["cut"]
    decided = [e for e in run.history.events if e.kind == "decided"]
    height = max(e.height for e in decided if e.monotonic <= of(cut.revert_requested))
    assert (height + 1) % 4 + 1 == 3
    assert 2 <= height - of(cut.height) <= 5


def test_an_end_that_does_not_come_is_named_and_the_run_goes_on_to_its_own() -> None:
    scenario = read("""
        - {id: away, do: kill, target: f1, until: {event: round_change, timeout: 7s}}
        - {id: next, do: cut, links: l1, at: {after: away}, until: {hold: 1s}}
        """)
    run, receipts = play(scenario, outcome=Outcome.INCONCLUSIVE)
    assert run.history is not None
    assert [v.note for v in run.verdicts if v.outcome is Outcome.INCONCLUSIVE] == [
        "away: no round_change event to end it in 7 s"
    ]
    away = receipts["away"]
    assert 7 <= of(away.revert_requested) - of(away.applied) <= 8
    assert receipts["next"].healed
    assert run.history.run_ended
    # Had the chain stood still meanwhile, that would be a verdict.
    assert [wait.what for wait in run.history.waited] == [
        "a round_change event, for which the end of away waits"
    ]


class KeepsItsRound(FakeNetwork):
    """It does not change the round while a leader that is up is cut off."""

    async def _next_block(self, journal: Journal, group: set[str]) -> None:
        leader = leader_name(self.operators, self.height + 1)
        if leader in group or leader in self.away:
            await super()._next_block(journal, group)


def test_a_chain_that_stands_still_under_a_fault_that_it_survives_fails() -> None:
    """Whatever bounds the scenario itself gives."""
    scenario = read("""
        - {id: away, do: partition, target: leader, until: {heights: 3, timeout: 18s}}
        """)
    run = played_on(KeepsItsRound(), scenario)
    assert run.history is not None
    assert [wait.what for wait in run.history.waited] == [
        "height 8, for which the end of away waits"
    ]
    (verdict,) = [v for v in run.verdicts if v.outcome is Outcome.FAIL]
    assert verdict.checker == "the chain goes on"
    assert play(scenario)[0].outcome is Outcome.PASS


def test_a_chain_that_nobody_can_carry_on_is_waited_for_in_vain_and_blamed_for_nothing() -> None:
    scenario = read("""
        - {id: split, do: partition, split: [2, 2], until: {heights: 3, timeout: 18s}}
        """)
    run, _ = play(scenario)
    assert run.history is not None
    assert len(run.history.waited) == 1
    assert run.outcome is Outcome.PASS


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 10_000), st.sampled_from(["random(1)", "random(2)", "random(f)", "random(f+1)"])
)
def test_so_many_are_drawn_distinct_and_the_same_for_a_seed(seed: int, target: str) -> None:
    scenario = read(f"- {{id: a, do: kill, target: {target}, until: {{hold: 1s}}}}")
    for n in (4, 7, 10):
        network = compute_topology(operators=n, followers=0)
        sites = [
            plan_fault(
                scenario.faults[0], seed=seed, topology=network, next_height=9, delay_seconds=0
            ).site
            for _ in range(2)
        ]
        names = sites[0].targets
        assert sites[0] == sites[1]
        wanted = read_target(target, "x")
        assert isinstance(wanted, Several)
        assert len(names) == len(set(names)) == wanted.for_operators(n)
        assert set(names) <= set(network.operator_names)


KILL_1 = "- {id: one, do: kill, target: op1, until: {hold: 5s}}\n"
KILL_2 = "- {id: two, do: kill, target: op2, until: {hold: 5s}}\n"
AWAY_1 = "- {id: one, do: kill, target: op1, at: {event: decided}, until: {hold: 9s}}\n"
LOST_1 = "- {id: one, do: lost-store, target: op3, until: {hold: 9s}}\n"
FULL_1 = "- {id: one, do: full-disk, target: op1, until: {hold: 60s}}\n"


@pytest.mark.parametrize(
    ("faults", "more", "words"),
    [
        (KILL_1 + "- {id: a, do: kill, target: op9, until: {hold: 1s}}", "",
         "mine.yaml:6: fault a: target op9: the network has"),
        ("- {id: a, do: kill, target: op1, at: {event: decided, leader: op9}, until: {hold: 1s}}",
         "", "mine.yaml:5: fault a: leader op9: the network has op1, op2, op3, op4"),
        ("- {id: a, do: kill, target: random(5), until: {hold: 1s}}", "",
         "mine.yaml:5: fault a: target random(5) is 5 operators, the network has 4"),
        (KILL_1 + "- {id: two, do: stop, target: op1, until: {hold: 5s}}", "",
         "mine.yaml:6: fault two: op1.execution is under the fault one at that time"),
        (KILL_1 + "- {id: two, do: stop, target: op1, at: {delay: 4s}, until: {hold: 5s}}", "",
         "fault two: op1.execution is under the fault one"),
        (KILL_1 + "- {id: two, do: kill, target: op1, role: rollup, at: {after: {inject: one}},"
         " until: {hold: 5s}}", "", "fault two: op1.rollup is under the fault one"),
        ("- {id: one, do: cut, links: l1, until: {forever: true}}\n"
         "- {id: two, do: cut, links: op1>l1.*, at: {delay: 90s}, until: {hold: 1s}}", "",
         "fault two: op1>l1.rpc (cut) is under the fault one"),
        ("- {id: a, do: cut, links: l1, until: {event: decided, leader: op9}}", "",
         "mine.yaml:5: fault a: leader op9: the network has op1, op2, op3, op4"),
        *((f"- {{id: a, do: partition, split: [2, 2], until: {{event: {event}}}}}", "",
           f"fault a: leaves no quorum of 3 among 4 operators: no {event} event comes to end it")
          for event in ("prepared", "decided", "sealed")),
        (KILL_1 + "- {id: a, do: kill, target: f1, until: {event: round_change}}",
         "expect: {round_changes: forbidden}", "mine.yaml:6: fault a: it ends with a round change"),
        ("- {id: a, do: partition, split: [2, 2], until: {heights: 2}}", "",
         "leaves no quorum of 3 among 4 operators: the heights of its until cannot be decided"),
        ("- {id: a, do: kill, target: random(f+1), until: {hold: 5s}}", "expect: {progress: 3}",
         "leaves no quorum of 3 among 4 operators, and progress is expected"),
        (KILL_1 + KILL_2, "expect: {progress: 5, gap: 3s}",
         "mine.yaml:6: fault two: with one it leaves no quorum of 3 among 4 operators, and "
         "progress is expected while they stand"),
        (KILL_1 + "- {id: slow, do: latency, one_way: 9ms, at: {delay: 1s}, until: {hold: 4s}}\n"
         "- {id: two, do: partition, groups: [[op2], [op1, op3, op4]], until: {hold: 5s}}",
         "expect: {progress: 1}", "mine.yaml:7: fault two: with one it leaves no quorum"),
        (KILL_1 + "- {id: two, do: kill, target: op2, at: {delay: 1s}, until: {hold: 9s}}",
         "expect: {gap: 3s}", "fault two: with one it leaves no quorum of 3 among 4 operators for "
         "longer than the gap that is expected"),
        (AWAY_1 + "- {id: two, do: kill, target: op2, at: {after: {inject: one}, delay: 2s},"
         " until: {hold: 9s}}", "expect: {gap: 3s}", "fault two: with one it leaves no quorum"),
        (AWAY_1 + "- {id: two, do: kill, target: op2, at: {after: {inject: one}}, until:"
         " {forever: true}}", "expect: {gap: 3s}", "fault two: with one it leaves no quorum"),
        ("- {id: one, do: cut, links: 'op[12]>op[12].consensus', until: {hold: 5s}}\n"
         "- {id: two, do: cut, links: 'op[34]>op[34].consensus', until: {hold: 5s}}",
         "expect: {gap: 3s}", "fault two: with one it leaves no quorum"),
        ("- {id: one, do: kill, target: op1, until: {heights: 5}}\n"
         "- {id: two, do: kill, target: op2, until: {after: one}}", "",
         "mine.yaml:5: fault one: with two it leaves no quorum of 3 among 4 operators: the heights "
         "of its until cannot be decided; give hold"),
        ("- {id: one, do: kill, target: op1, until: {heights: 5}}\n"
         "- {id: two, do: kill, target: op2, until: {heights: 5}}", "",
         "the heights of its until cannot be decided"),
        ("- {id: a, do: kill, target: all-operators, until: {hold: 9s}}", "expect: {gap: 3s}",
         "for longer than the gap that is expected"),
        ("- {id: a, do: byzantine, strategy: flood, target: random(f+1), until: {hold: 9s}}", "",
         "mine.yaml:5: fault a: 2 of 4 operators lie or lack what they promised at one time"),
        ("- {id: a, do: seeded-bug, bug: stale-reads, target: f1, until: {hold: 9s}}", "",
         "mine.yaml:5: fault a: a seeded-bug breaks what is promised: say what has to break"),
        ("- {id: a, do: seeded-bug, bug: lost-transactions, target: f1, until: {hold: 9s}}",
         "expect: {fails: L6}", "clients send to operators, and a follower has none"),
        ("- {id: a, do: seeded-bug, bug: double-signature, target: f1, until: {hold: 9s}}",
         "expect: {fails: S12}", "f1 has no middleware"),
        (LOST_1 + "- {id: two, do: byzantine, strategy: flood, target: op1, until: {hold: 9s}}", "",
         "mine.yaml:6: fault two: 2 of 4 operators lie or lack"),
        (LOST_1 + "- {id: two, do: old-copy, target: op1, at: {delay: 40s}, until: {hold: 9s}}",
         "", "let faults wait for each other's heal"),
        *((FULL_1 + f"- {{id: two, target: op1, at: {{after: {{inject: one}}}}, {what},"
           " until: {hold: 1s}}", "", "fault two: op1.middleware is under the fault one")
          for what in ("do: kill", "do: crash, point: vote-after-send", "do: restarts")),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_with_file_and_line(faults: str, more: str, words: str) -> None:
    topology = compute_topology(operators=4, followers=1)
    with pytest.raises(BadConfig) as caught:
        require_fits(read(faults, more), topology, "process")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "faults",
    [
        "- {id: a, do: partition, split: [2, 2], until: {event: round_change}}",
        LOST_1 + "- {id: two, do: old-copy, target: op1, at: {after: one}, until: {hold: 9s}}",
        LOST_1 + "- {id: two, do: lost-store, target: op1, role: rollup, until: {hold: 9s}}",
        LOST_1 + "- {id: two, do: lost-store, target: f1, role: all, until: {hold: 9s}}",
        FULL_1 + "- {id: two, do: slow-fsync, role: execution, target: op1, until: {hold: 9s}}",
        KILL_1 + "- {id: two, do: stop, target: op1, at: {after: one}, until: {hold: 5s}}",
        KILL_1 + "- {id: two, do: stop, target: op1, at: {delay: 6s}, until: {hold: 5s}}",
        KILL_1 + "- {id: two, do: stop, target: op2, until: {hold: 5s}}",
        KILL_1 + "- {id: two, do: stop, target: random, until: {hold: 5s}}",
        KILL_1 + "- {id: two, do: latency, target: op1, one_way: 9ms, until: {hold: 5s}}",
        "- {id: one, do: kill, target: op1, at: {every: 9s, times: 2}, until: {hold: 1s}}\n"
        "- {id: two, do: kill, target: op1, at: {delay: 4s}, until: {hold: 1s}}",
    ],
)
def test_what_may_work_is_not_refused(faults: str) -> None:
    require_fits(read(faults), compute_topology(operators=4, followers=1), "process")


LIAR = "- {id: liar, do: byzantine, strategy: flood, target: random, until: {hold: 9s}}\n"
AT_LIARS = "- {id: a, target: byzantine, at: {after: {inject: liar}}, until: {hold: 2s}, %s}"


def test_liars_are_a_target_whoever_was_drawn_and_afterwards_too() -> None:
    later = "- {id: b, do: kill, target: byzantine, at: {after: liar}, until: {heights: 1}}"
    scenario = read(LIAR + AT_LIARS % "do: latency, one_way: 9ms" + "\n" + later)
    require_fits(scenario, compute_topology(operators=4, followers=1), "process")
    met = set()
    for seed in range(1, 9):
        _, receipts = play(scenario, seed=seed)
        (liar,) = receipts["liar"].lying
        assert liar in receipts["a"].where
        assert receipts["b"].silenced == (liar,)
        met.add(liar)
    assert len(met) > 1, "it is drawn"


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        ("- {id: a, do: kill, target: byzantine, until: {hold: 5s}}",
         "mine.yaml:5: fault a: target byzantine: nobody lies here (do: byzantine)"),
        (LIAR + "- {id: a, do: latency, one_way: 9ms, target: byzantine, until: {hold: 5s}}",
         "fault a: target byzantine: nobody lies by then; let it wait for one that does "
         "(at: {after: {inject: liar}})"),
        ("- {id: a, do: latency, one_way: 9ms, target: byzantine, until: {hold: 5s}}\n"
         + LIAR.replace("random,", "random, at: {after: a},"), "nobody lies by then"),
        (LIAR + AT_LIARS % "do: kill", ".middleware is under the fault liar at that time"),
        (LIAR.replace("random", "random(f+1)") + AT_LIARS % "do: partition", "2 of 4 operators"),
    ],
)  # fmt: skip
def test_liars_are_no_target_where_there_are_none_yet(faults: str, words: str) -> None:
    with pytest.raises(BadConfig) as caught:
        require_fits(read(faults), compute_topology(operators=4, followers=1), "process")
    assert words in str(caught.value)


def test_who_lies_is_not_told_by_who_lies() -> None:
    with pytest.raises(BadConfig, match="target byzantine is who lies, and this says who does"):
        read(LIAR + AT_LIARS % "do: byzantine, strategy: flood")


KILL_2_THEN = "- {id: two, do: kill, target: op2, at: {%s}, until: {hold: 5s}}"


@pytest.mark.parametrize(
    ("faults", "expect"),
    [
        (KILL_1 + KILL_2_THEN % "after: one", "{progress: 5, gap: 3s}"),
        (KILL_1 + KILL_2_THEN % "delay: 2s", "{progress: 2, gap: 3s}"),
        (KILL_1 + KILL_2_THEN % "delay: 6s", "{progress: 5, gap: 3s}"),
        (KILL_1 + KILL_2_THEN % "delay: {upto: 3s}", "{progress: 5, gap: 3s}"),
        (KILL_1 + KILL_2_THEN % "event: decided", "{progress: 5, gap: 3s}"),
        (KILL_1 + KILL_2_THEN % "heights: 2", "{progress: 5, gap: 3s}"),
        (AWAY_1 + KILL_2_THEN % "delay: 1s", "{progress: 5, gap: 3s}"),
        (KILL_1 + "- {id: two, do: kill, target: random, until: {hold: 5s}}", "{progress: 5}"),
        (KILL_1 + "- {id: two, do: kill, target: leader, until: {hold: 5s}}", "{progress: 5}"),
        (KILL_1 + "- {id: two, do: partition, split: [3, 1], until: {hold: 5s}}", "{progress: 5}"),
        (KILL_1 + "- {id: two, do: kill, target: f1, until: {hold: 5s}}", "{progress: 5, gap: 3s}"),
        (KILL_1 + "- {id: two, do: kill, target: op2, role: validator, until: {hold: 5s}}",
         "{progress: 5, gap: 3s}"),
        (KILL_1 + "- {id: two, do: restarts, target: op2, until: {hold: 5s}}", "{progress: 5}"),
        (KILL_1 + KILL_2_THEN % "every: 9s, times: 2", "{progress: 5, gap: 3s}"),
        (KILL_1 + KILL_2 + "- {id: slow, do: latency, one_way: 9ms, until: {hold: 30s}}",
         "{progress: 5}"),
        (KILL_1 + "- {id: two, do: kill, target: op2, until: {hold: 5s, heights: 1}}",
         "{progress: 1}"),
        ("- {id: one, do: kill, target: op1, until: {heights: 5}}\n" + KILL_2, "{progress: 5}"),
        ("- {id: one, do: kill, target: op1, until: {heights: 5}}\n"
         "- {id: two, do: kill, target: op2, at: {delay: 1s}, until: {heights: 5}}",
         "{progress: 1}"),
        ("- {id: flaps, do: kill, target: f1, at: {every: 20s, times: 3}, until: {hold: 1s}}\n"
         "- {id: one, do: kill, target: op1, at: {after: {inject: flaps}}, until: {hold: 9s}}\n"
         + KILL_2_THEN % "after: flaps", "{progress: 5, gap: 3s}"),
        (KILL_1 + KILL_2, "{gap: 9s}"),
        (KILL_1 + KILL_2, "{gap: 1 slot + 3s}"),
        (KILL_1 + KILL_2, "{no_progress: true}"),
        (KILL_1 + KILL_2 + "- {id: slow, do: latency, one_way: 9ms, at: {event: decided},"
         " until: {hold: 1s}}", "{progress: 5}"),
    ],
)  # fmt: skip
def test_a_quorum_that_may_be_left_is_not_refused(faults: str, expect: str) -> None:
    scenario = read(faults, f"expect: {expect}")
    require_fits(scenario, compute_topology(operators=4, followers=1), "process")


def test_seven_operators_survive_two_kills_and_not_three() -> None:
    seven = compute_topology(operators=7, followers=1)
    kill = "- {id: k%d, do: kill, target: op%d, until: {hold: 9s}}\n"
    two, three = (
        read("".join(kill % (i, i) for i in range(1, many + 1)), "expect: {gap: 3s, progress: 2}")
        for many in (2, 3)
    )
    require_fits(two, seven, "process")
    with pytest.raises(BadConfig, match="fault k3: with k1, k2 it leaves no quorum of 5 among 7"):
        require_fits(three, seven, "process")


def test_more_than_are_survived_may_lie_where_that_is_to_break_something() -> None:
    liars = "- {id: a, do: byzantine, strategy: flood, target: random(f+1), until: {hold: 9s}}"
    scenario = read(liars, "expect: {fails: S1}")
    require_fits(scenario, compute_topology(operators=4, followers=1), "process")


@pytest.mark.parametrize("name", catalogue.names())
def test_the_catalogue_makes_sense_at_every_size_it_is_for(name: str) -> None:
    scenario = catalogue.load(name)
    require_fits(scenario, compute_topology(operators=4, followers=1), "docker")


def test_what_needs_containers_is_refused_on_processes_and_left_out_of_all() -> None:
    topology = compute_topology(operators=4, followers=1)
    with pytest.raises(BadConfig) as caught:
        require_fits(catalogue.load("host-lost"), topology, "process")
    told = "fault lost: host-lost cannot be done on the process backend, only on docker"
    assert told in str(caught.value)
    assert set(catalogue.names()) == set(catalogue.possible_on("docker"))
    for name in catalogue.possible_on("process"):
        require_fits(catalogue.load(name), topology, "process")
    assert "host-lost" not in catalogue.possible_on("process")


def test_triggers_that_wait_for_each_other_are_refused() -> None:
    with pytest.raises(BadConfig) as caught:
        read("""
            - {id: a, do: kill, target: op1, at: {after: c}, until: {hold: 1s}}
            - {id: b, do: kill, target: op2, at: {after: {inject: a}}, until: {hold: 1s}}
            - {id: c, do: cut, until: {hold: 1s, after: b}}
            """)
    told = str(caught.value)
    assert told.startswith(
        "mine.yaml:5: faults[0]: they wait for each other: the inject of a, which"
    )
    assert all(f"the {moment}" in told for moment in ("heal of c", "heal of b", "inject of b"))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("scenario: 1\nname: mine\nabout: x\n\nfaultz: []\n", 5),
        ("scenario: 1\nname: mine\nabout: x\nexpect:\n  gap: 1s\n  rejoin: soon\n", 6),
        (
            HEAD + "faults:\n  - id: a\n    do: kill\n    target: op1\n    until:\n      hold: 3\n",
            9,
        ),
        (HEAD + "faults:\n  - id: a\n    do: kill\n    until: {hold: 3s}\n", 5),
        (
            HEAD + "faults:\n  - id: a\n    do: kill\n    target: op1\n    at:\n"
            "      leader: op1\n    until: {hold: 3s}\n",
            9,
        ),
        (HEAD + "faults:\n" + KILL_1 * 2, 6),
    ],
)
def test_an_error_names_its_line(text: str, line: int) -> None:
    with pytest.raises(BadConfig, match=rf"^mine\.yaml:{line}: "):
        parse_text(text, what="mine.yaml")


def test_sentences_say_what_is_done() -> None:
    scenario = read(
        """
        - {id: split, do: partition, split: [3, 1], until: {forever: true}}
        - {id: kill, do: kill, target: leader, at: {after: {inject: split}, event: prepared,
           delay: {upto: 1 slot}, every: 5 heights, times: 3}, until: {heights: n}}
        """,
        "expect: {round_changes: required, gap: 9s}",
    )
    lines = sentences(scenario).splitlines()
    assert lines[2] == (
        "- split: at once: partition (split [3, 1]), until all others that have an end are healed."
    )
    assert lines[3] == (
        "- kill: when split stands, when the next block is prepared, up to 1 slot later (drawn): "
        "kill (target leader), until n heights are decided (or 30 slots + 30s are over); 3 times, "
        "every 5 heights."
    )
    assert lines[4].endswith("blocks are sealed no more than 9s apart.")


def test_show_and_validate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "leader-kill"]) == 0
    assert "- kill: when the next block is decided" in capsys.readouterr().out
    assert main(["show", "leader-kill", "--yaml"]) == 0
    assert parse_text(capsys.readouterr().out, what="x") == catalogue.load("leader-kill")
    bad = tmp_path / "bad.yaml"
    bad.write_text(HEAD + "faults:\n  - {id: a, do: kill, target: op9, until: {hold: 1s}}\n")
    assert main(["validate", str(bad)]) == 3
    assert f"{bad}:5: fault a: target op9" in capsys.readouterr().err


@pytest.mark.parametrize("slot", [1.0, 12.0, 60.0])
@pytest.mark.parametrize("name", ["leader-kill", "operator-restart", "all-restart", "random"])
def test_what_is_waited_for_is_waited_for_in_slots(
    name: str, slot: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever block times are accepted, a correct cluster passes."""
    monkeypatch.setattr("tests.unit.chaos.fake_network.SLOT", slot)
    play(draw_schedule(11) if name == "random" else catalogue.load(name))
