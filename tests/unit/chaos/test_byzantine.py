"""Liars in a running network: whom the fault takes, what proves it, what their word is worth to
those who judge, and what a scenario that must fail makes of it."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from devnet.byzantine.names import KNOWN, LIAR, Strategy
from devnet.checkers import agreement, check_all, must_fail, true_evidence
from devnet.checkers.honest import Believed, believed
from devnet.checkers.sign_once import LiveSignOnce
from devnet.faults.base import Sight, Site
from devnet.faults.byzantine import QUIET_S, Byzantine
from devnet.injector.injector import Injector
from devnet.injector.planned import Planned
from devnet.model.history import Event, EventKind, FaultReceipt, Record, Setup, history_of
from devnet.model.terms import Several
from devnet.model.topology import compute_topology
from devnet.model.verdict import Outcome, Verdict, Violation, worst
from devnet.runner.journal import Journal
from devnet.runner.stages import Run, Runner
from devnet.scenarios import catalogue
from devnet.scenarios.parse import parse_scenario
from devnet.scenarios.write import scenario_yaml
from dst.spec.errors import BadConfig
from tests.unit.chaos.fake_network import FakeNetwork, in_virtual_time

FOUR = compute_topology(operators=4, followers=1)
ONE_OF_FOUR = Byzantine(strategy=Strategy.EQUIVOCATE, target="op3")


def aim(fault: Byzantine, operators: int = 4, seed: int = 1) -> Site:
    topology = compute_topology(operators=operators, followers=1)
    return fault.aim(Sight(topology=topology, next_height=6, rng=random.Random(seed)))


def document(**keys: object) -> dict[str, object]:
    fault = {"id": "a", "do": "byzantine", "strategy": "flood", "target": "op1", **keys}
    fault["until"] = {"heights": 4}
    return {"scenario": 1, "name": "mine", "about": "x", "faults": [fault]}


def receipts(fault: Byzantine, network: FakeNetwork, hold: float = 40.0) -> list[FaultReceipt]:
    """Applied, held, taken back: every receipt on the way."""
    found: list[FaultReceipt] = []
    planned = Planned(id="x", do=fault, site=aim(fault), aimed_height=6)

    async def work() -> None:
        injector = Injector(world=network, events=list, record=found.append)  # type: ignore[arg-type]
        applied = await injector.apply(planned)
        if not applied.error:
            try:
                async with asyncio.timeout(hold):
                    await injector.keep_up(planned)
            except TimeoutError:
                pass
        await injector.revert(planned)

    in_virtual_time(work)
    return found


# ------------------------------------------------------------------------- the fault


@pytest.mark.parametrize(
    ("operators", "more", "count"), [(4, 0, 1), (4, 1, 2), (7, 0, 2), (10, 1, 4)]
)
def test_as_many_as_may_lie_or_one_too_many(operators: int, more: int, count: int) -> None:
    fault = Byzantine(strategy=Strategy.FLOOD, target=Several(plain=more, tolerated=True))
    found = {aim(fault, operators, seed).targets for seed in range(20)}
    assert all(len(set(each)) == count for each in found)
    assert len(found) > 3, "drawn"


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"strategy": "censor"}, "address goes with the strategy censor"),
        ({"address": "0x" + "11" * 20}, "address goes with the strategy censor"),
        ({"strategy": "censor", "address": "0x12"}, "expected an address such as 0x7099"),
        ({"strategy": "lie"}, "expected one of equivocate, "),
    ],
)
def test_what_is_wrong_is_named(keys: dict[str, object], words: str) -> None:
    with pytest.raises(BadConfig, match=words):
        parse_scenario(document(**keys))


@pytest.mark.parametrize(
    ("fault", "operators", "words"),
    [
        (
            Byzantine(strategy=Strategy.FLOOD, target=Several(plain=4)),
            4,
            "target random(4): of 4 one has to be honest",
        ),
        (Byzantine(strategy=Strategy.FLOOD, target="op1"), 1, "nobody to lie to"),
        (Byzantine(strategy=Strategy.FLOOD, target="f1"), 4, "f1 has no middleware"),
        (Byzantine(strategy=Strategy.FLOOD, target="op9"), 4, "target op9"),
    ],
)
def test_what_cannot_be_is_refused(fault: Byzantine, operators: int, words: str) -> None:
    assert words in fault.misfit(compute_topology(operators=operators, followers=1))


def test_it_is_written_as_it_is_read() -> None:
    scenario = parse_scenario(
        document(strategy="censor", target="random(f+1)", address="0x" + "ab" * 20)
    )
    text = scenario_yaml(scenario)
    assert "target: random(f+1)" in text
    assert "address: '0x" in text


def test_the_program_is_told_who_lies_with_whom_and_comes_back_by_rejoining() -> None:
    network = FakeNetwork()
    fault = Byzantine(strategy=Strategy.EQUIVOCATE, target=Several(plain=2))
    site = aim(fault)
    a, b = site.targets

    async def work() -> None:
        await fault.inject(site, network)
        for name in site.programs:
            assert network.programs.modules[name] == "devnet.byzantine"
            words = network.programs.flags[name]
            assert words[:2] == ("--strategy", "equivocate")
            assert words[words.index("--fellows") :] == ("--fellows", a, b)
        network.programs.calls.clear()
        await fault.take_back(site, network)

    in_virtual_time(work)
    assert network.programs.calls == [("kill", site.programs), ("start", site.programs)]
    assert network.programs.flags == dict.fromkeys(site.programs, ("--rejoin",))
    assert network.programs.modules == {}


def test_it_disturbs_and_silences_nobody_and_parts_nothing() -> None:
    """A liar votes: no quorum is lost with it, and it need not be why a round changed."""
    site = aim(ONE_OF_FOUR)
    assert ONE_OF_FOUR.lies(site) == ONE_OF_FOUR.disturbs(site, FOUR.operator_names) == ("op3",)
    assert ONE_OF_FOUR.silences(site, FOUR.operator_names) == ()
    assert ONE_OF_FOUR.components(site, FOUR.operator_names) == ()


def test_lies_are_counted_to_the_end() -> None:
    last = receipts(ONE_OF_FOUR, FakeNetwork())[-1]
    assert last.error == ""
    assert last.lying == ("op3",)
    assert last.cycles >= 38
    assert last.healed is not None


@pytest.mark.parametrize(
    ("bug", "words"),
    [
        ("truthful", "not in place after 30 s: op3 has not lied yet"),
        (
            "unnoticed",
            "no victim has counted consensus_refused_total{reason=second_proposal}",
        ),
    ],
)
def test_a_lie_that_nobody_told_or_noticed_is_no_proof(bug: str, words: str) -> None:
    found = receipts(ONE_OF_FOUR, FakeNetwork(bugs=frozenset({bug})))
    assert all(receipt.verified is None for receipt in found)
    assert any(words in receipt.error for receipt in found)


def test_a_liar_that_stops_to_lie_has_lapsed() -> None:
    found = receipts(ONE_OF_FOUR, FakeNetwork(bugs=frozenset({"tires"})))
    assert any(
        receipt.error == f"it could not go on: op3 told no lie for {QUIET_S:.0f} s"
        for receipt in found
    )


def test_what_victims_counted_before_is_no_proof() -> None:
    """A second liar on the same network is not proven by what the first one did."""
    network = FakeNetwork()
    receipts(ONE_OF_FOUR, network)
    network.bugs = frozenset({"unnoticed-from-now"})
    again = receipts(ONE_OF_FOUR, network)
    assert all(receipt.verified is None for receipt in again)


def test_a_counter_names_the_liar_where_it_can() -> None:
    assert [name for name, known in KNOWN.items() if known.noticed and LIAR in
            known.noticed.labels.values()] == [Strategy.FLOOD]  # fmt: skip


# ---------------------------------------------------------------------- their word

SETUP = Setup(operators=FOUR.operator_names, followers=("f1",), slot_seconds=1.0)
LIE = FaultReceipt(
    id="liar", kind="byzantine", targets=("op3",), lying=("op3",),
    requested=10.0, applied=11.0, verified=12.0, revert_requested=20.0, healed=22.0,
)  # fmt: skip


def event(node: str, at: float, root: str = "0xa", **extra: object) -> Event:
    keys: dict[str, object] = {"kind": EventKind.DECIDED, "height": 5, **extra}
    return Event(node=node, root=root, monotonic=at, wall=at, **keys)  # type: ignore[arg-type]


def accusation(node: str, culprit: int, at: float) -> Event:
    detail = {"culprit": culprit, "reason": "second_proposal"}
    return event(node, at, kind=EventKind.EVIDENCE, detail=detail)


@pytest.mark.parametrize(
    ("at", "outcome"),
    [(9.9, Outcome.FAIL), (10.0, Outcome.PASS), (21.9, Outcome.PASS), (22.0, Outcome.FAIL)],
)
def test_a_liars_report_is_no_evidence_while_it_lies(at: float, outcome: Outcome) -> None:
    history = history_of(SETUP, [LIE, event("op1", 9.0), event("op3", at, "0xb")])
    assert agreement.check(believed(history)).outcome is outcome
    verdicts = {verdict.checker: verdict.outcome for verdict in check_all(history)}
    assert verdicts[agreement.NAME] is outcome


def test_a_fault_that_was_not_taken_back_is_believed_for_ever_less() -> None:
    standing = FaultReceipt(id="x", kind="byzantine", targets=(), lying=("op3",), requested=1.0)
    history = history_of(SETUP, [standing, event("op3", 1e9), event("op1", 2.0)])
    assert [each.node for each in believed(history).events] == ["op1"]


def test_live_checkers_are_not_told_what_liars_say() -> None:
    live = Believed(LiveSignOnce())
    signed = EventKind.SIGNED
    assert live.feed(event("op3", 9.0, kind=signed)) == []
    assert live.feed(LIE) == []
    assert live.feed(event("op3", 15.0, "0xb", kind=signed)) == []
    assert live.feed(event("op3", 23.0, "0xb", kind=signed)) != []


def test_who_lied_may_be_accused_and_its_own_accusations_are_nothing() -> None:
    """Also later: what it signed stays signed."""
    said: list[Record] = [
        LIE,
        accusation("op1", 3, 15.0),
        accusation("op1", 3, 30.0),
        accusation("op3", 1, 15.0),
    ]
    assert true_evidence.check(believed(history_of(SETUP, said))).outcome is Outcome.PASS
    said.append(accusation("op1", 2, 15.0))
    verdict = true_evidence.check(believed(history_of(SETUP, said)))
    assert [violation.witness[0] for violation in verdict.violations] == [said[-1]]


# --------------------------------------------------------------------- must fail


def run(name: str, *, seed: int, bugs: frozenset[str] = frozenset()) -> Run:
    network = FakeNetwork(bugs=bugs)

    async def work() -> Run:
        journal = Journal(network.setup(name))
        return await Runner(catalogue.load(name), seed, network, journal, lambda _: None).run()

    result: Run = in_virtual_time(work)
    return result


def seed_where(name: str, holds: Callable[[tuple[str, ...]], bool]) -> int:
    return next(seed for seed in range(50) if holds(run(name, seed=seed).planned[0].site.targets))


def test_a_control_passes_where_its_invariant_breaks() -> None:
    seed = seed_where("beyond-f-equivocate", lambda liars: "op2" not in liars)
    result = run("beyond-f-equivocate", seed=seed, bugs=frozenset({"fork"}))
    assert result.outcome is Outcome.PASS
    assert result.verdicts[0].checker == must_fail.NAME
    assert result.verdicts[0].note.startswith("S1 agreement: height 6 (term 0) has two roots")


def test_a_control_fails_where_nothing_breaks_or_a_liar_alone_says_so() -> None:
    assert run("beyond-f-equivocate", seed=1).outcome is Outcome.FAIL
    seed = seed_where("beyond-f-equivocate", lambda liars: "op2" in liars)
    result = run("beyond-f-equivocate", seed=seed, bugs=frozenset({"fork"}))
    assert result.outcome is Outcome.FAIL
    assert "S1 agreement had to fail, and is: pass" in result.verdicts[0].violations[0].summary


def failed(checker: str, **when: Any) -> Verdict:
    breach = Violation(checker=checker, summary="it broke", **when)
    return Verdict(checker=checker, outcome=Outcome.FAIL, violations=(breach,))


def plain(checker: str, outcome: Outcome) -> Verdict:
    return Verdict(checker=checker, outcome=outcome, note="why")


FAULTS = "the faults happened"


@pytest.mark.parametrize(
    ("verdicts", "outcome"),
    [
        ([failed("S1 agreement"), failed("S8 equal states")], Outcome.PASS),
        ([failed("S8 equal states"), plain("S1 agreement", Outcome.PASS)], Outcome.FAIL),
        ([failed("S8 equal states")], Outcome.FAIL),
        ([plain("S1 agreement", Outcome.INCONCLUSIVE)], Outcome.INCONCLUSIVE),
        ([failed("S1 agreement"), plain(FAULTS, Outcome.INCONCLUSIVE)], Outcome.INCONCLUSIVE),
        ([failed("S1 agreement"), plain(FAULTS, Outcome.VACUOUS)], Outcome.PASS),
    ],
)
def test_the_named_reason_counts_and_no_other(verdicts: list[Verdict], outcome: Outcome) -> None:
    judged = must_fail.judged(verdicts, "S1 agreement", history_of(SETUP, [LIE]))
    assert worst(judged) is outcome


LIARS = msgspec.structs.replace(LIE, height=5)
FIRST = msgspec.structs.replace(LIARS, id="first", lying=(), applied=1.0, height=1)
REFUSED = msgspec.structs.replace(LIARS, applied=None)


@pytest.mark.parametrize(
    ("faults", "when", "outcome"),
    [
        ([LIARS], {"monotonic": 10.9, "height": 9}, Outcome.FAIL),
        ([LIARS], {"monotonic": 11.1, "height": 4}, Outcome.PASS),
        ([LIARS], {"height": 4}, Outcome.FAIL),
        ([LIARS], {"height": 5}, Outcome.PASS),
        ([FIRST, LIARS], {"monotonic": 10.9}, Outcome.FAIL),
        ([FIRST], {"monotonic": 1.0}, Outcome.PASS),
        ([REFUSED], {"monotonic": 30.0}, Outcome.FAIL),
        ([], {"monotonic": 0.5}, Outcome.PASS),
    ],
    ids=str,
)
def test_what_broke_before_the_lie_is_no_success_of_the_control(
    faults: list[Record], when: dict[str, Any], outcome: Outcome
) -> None:
    history = history_of(SETUP, faults)
    (judged,) = must_fail.judged([failed("S1 agreement", **when)], "S1 agreement", history)
    assert judged.outcome is outcome
    if outcome is Outcome.FAIL:
        assert "before the fault: it broke" in judged.violations[0].summary


def test_a_checker_is_named_by_its_number_or_whole() -> None:
    for words in ("L9", "L9 progress under fault"):
        scenario = parse_scenario({**document(), "expect": {"progress": 4, "fails": words}})
        assert scenario.expect.fails == "L9 progress under fault"
        assert "fails: L9 progress under fault" in scenario_yaml(scenario)
    with pytest.raises(BadConfig, match=r"expect\.fails: expected one of S1 agreement; "):
        parse_scenario({**document(), "expect": {"fails": "S99"}})
