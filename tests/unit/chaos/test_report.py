"""What a person and a CI read at the end: complete, self-contained, and right about the verdict."""

import re
import xml.etree.ElementTree as ET
from collections import Counter
from html.parser import HTMLParser

import msgspec
import pytest

from devnet.bench.measure import Figure
from devnet.bench.page import NOTES_MARK, render_page, render_terminal
from devnet.bench.phases import times_of
from devnet.checkers.base import amount, counted, judge_within
from devnet.model.history import (
    Answer,
    BlockRead,
    Event,
    EventKind,
    FaultReceipt,
    History,
    Setup,
    TransactionSubmitted,
)
from devnet.model.verdict import Outcome, Verdict, Violation
from devnet.report.drawing import FAULT_COLOUR, line_style, round_ticks, span
from devnet.report.html import render_html
from devnet.report.junit import render_junit
from devnet.report.lanes import lanes_svg
from devnet.report.summary import (
    CampaignSummary,
    percentile,
    summarise,
    summarise_campaign,
)
from devnet.report.table import render_campaign
from devnet.report.users import users_line, users_svg
from devnet.runner.journal import Journal
from devnet.runner.stages import Run, Runner
from devnet.scenarios import catalogue
from tests.unit.chaos.fake_network import FakeNetwork, in_virtual_time


@pytest.fixture(scope="module")
def finished() -> Run:
    network = FakeNetwork()

    async def work() -> Run:
        journal = Journal(network.setup("leader-kill"))
        return await Runner(
            catalogue.load("leader-kill"), 3, network, journal, lambda _: None
        ).run()

    result: Run = in_virtual_time(work)
    return result


BROKEN = Verdict(
    checker="S1 agreement",
    outcome=Outcome.FAIL,
    violations=(
        Violation(
            checker="S1 agreement",
            summary="height 7 has <two> roots",
            witness=(
                Event(
                    kind=EventKind.DECIDED, node="op<3>", height=7, monotonic=1.0, wall=0.0,
                    root="0x" + "ab" * 1200,
                ),
            ),
        ),
    ),
)  # fmt: skip


class Collector(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_page_is_self_contained_and_shows_every_node_and_verdict(finished: Run) -> None:
    assert finished.history is not None
    verdicts = (*finished.verdicts, BROKEN)
    summary = summarise(finished.history, verdicts, scenario="leader-kill", seed=3)
    page = render_html(finished.history, verdicts, summary, "devnet chaos run leader-kill --seed 3")
    seen = Collector()
    seen.feed(page)
    assert seen.links == []
    assert "script" not in seen.tags
    assert seen.tags.count("svg") == 5
    for name in ("op1", "op4", "f1", "L6 inclusion", "--seed 3"):
        assert name in page
    assert "height 7 has &lt;two&gt; roots" in page
    assert "<two>" not in page


def titles_of(svg: str) -> list[str]:
    return re.findall(r"<title>(.*?)</title>", svg)


def test_the_lanes_show_each_leader_once_a_round_and_who_changed_round(finished: Run) -> None:
    assert finished.history is not None
    titles = titles_of(lanes_svg(finished.history))
    start, _ = span(finished.history)
    seen = [e for e in finished.history.events if e.monotonic >= start]
    proposed = {(e.height, e.round) for e in seen if e.kind is EventKind.PROPOSAL}
    assert Counter(t for t in titles if t.startswith("proposed")) == Counter(
        f"proposed h{height} r{number}" for height, number in proposed
    )
    changed = sorted(
        f"h{e.height}: to round {e.round}" for e in seen if e.kind is EventKind.ROUND_CHANGE
    )
    assert changed
    assert sorted(t for t in titles if "to round" in t) == changed


def test_the_lanes_show_who_is_on_both_sides_of_a_cut() -> None:
    bridge = FaultReceipt(
        id="b", kind="bridge", targets=(), requested=1.0, applied=1.1, verified=1.2,
        components=(("op1", "op2"), ("op1", "op3")),
    )  # fmt: skip
    setup = Setup(operators=("op1", "op2", "op3"), slot_seconds=1.0)
    drawn = lanes_svg(History(setup=setup, faults=(bridge,)))
    assert re.findall(r">([ab]+)</text>", drawn) == ["ab", "a", "b"]


def sent(name: str, at: float, answer: Answer) -> TransactionSubmitted:
    return TransactionSubmitted(
        via="op1", hash=name, sent=at, answered=at if answer is not Answer.UNKNOWN else None,
        answer=answer,
    )  # fmt: skip


def test_what_users_saw_tells_the_lost_from_the_late() -> None:
    setup = Setup(operators=("op1",), slot_seconds=1.0)
    sealed = [
        Event(kind=EventKind.SEALED, node="op1", height=h, monotonic=float(h), wall=0.0)
        for h in (1, 2, 3, 4)
    ]
    blocks = [
        BlockRead(
            node="op1", height=h, block_hash="", parent_hash="", state_root="",
            transactions=("0xin",) if h == 2 else (),
        )
        for h in (1, 2, 3)
    ]  # fmt: skip
    history = History(
        setup=setup, events=tuple(sealed), blocks=tuple(blocks),
        transactions=(
            sent("0xin", 1.5, Answer.OK), sent("0xlost", 1.5, Answer.OK),
            sent("0xlate", 3.5, Answer.OK), sent("0xno", 1.6, Answer.REFUSED),
            sent("0xwho", 1.7, Answer.UNKNOWN),
        ),
    )  # fmt: skip
    assert users_line(history) == (
        "5 submissions: 3 accepted, 1 refused, 1 without an answer; 1 lost. "
        "In a sealed block after p50 0.50 s, p95 0.50 s, p99 0.50 s, max 0.50 s."
    )
    looks = dict(re.findall(r"<circle [^>]*r=\"2.2\" ([^>]*)><title>(0x\w+)", users_svg(history)))
    by_name = {name: look for look, name in looks.items()}
    assert by_name["0xlost"] == 'fill="#cf222e"'
    assert 'fill="none"' in by_name["0xlate"]
    assert by_name["0xin"] == 'fill="#4269d0" fill-opacity="0.65"'
    assert len(by_name) == 5


def test_what_broke_comes_first_in_red_with_its_witness(finished: Run) -> None:
    assert finished.history is not None
    slow = Verdict(checker="L4 recovery after heal", outcome=Outcome.PASS, measured=0.5, bound=6.0)
    verdicts = (slow, *finished.verdicts, BROKEN)
    summary = summarise(finished.history, verdicts, scenario="leader-kill", seed=3)
    page = render_html(finished.history, verdicts, summary, "again")
    table = page.partition("<h2>Verdicts</h2>")[2]
    assert table.index('<tr class="fail"><td>S1 agreement') < table.index('<tr class="pass">')
    assert "<details><summary>1 witness record</summary>" in table
    assert "op&lt;3&gt;" in table
    assert "(see verdicts.json)" in table
    assert "ab" * 1200 not in table
    assert "0.50 s / 6.00 s" in table


def test_every_node_of_the_largest_network_has_a_look_of_its_own() -> None:
    setup = Setup(
        operators=tuple(f"op{i}" for i in range(1, 11)),
        followers=("f1", "f2", "f3", "f4"),
        slot_seconds=1.0,
    )
    styles = {name: line_style(name, History(setup=setup)) for name in (*setup.operators, "f1")}
    colours = [style.colour for style in styles.values()]
    assert len(set(colours)) == len(colours)
    assert FAULT_COLOUR not in colours
    assert styles["f1"].dash
    assert styles["f1"].width < styles["op1"].width


@pytest.mark.parametrize(
    ("low", "high", "least", "wanted"),
    [
        (0.0, 3.1, 0.0, [0.0, 1.0, 2.0, 3.0]),
        (0.0, 1.2, 0.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2]),
        (7, 8, 1.0, [7.0, 8.0]),
        (103, 131, 1.0, [105.0, 110.0, 115.0, 120.0, 125.0, 130.0]),
        (0.0, 0.0, 0.0, [0.0]),
    ],
)
def test_ticks_are_even_and_round(
    low: float, high: float, least: float, wanted: list[float]
) -> None:
    assert round_ticks(low, high, least=least) == wanted


def test_too_much_names_what_was_measured_and_what_is_allowed() -> None:
    late = Violation(checker="L4", summary="after the heal of kill, height 9 took 1.58 s")
    verdict = judge_within("L4", (1.58, late), bound=0.1)
    assert verdict.violations[0].summary.endswith("took 1.58 s, allowed 0.10 s")
    waited = judge_within("L6", (5.0, late), bound=4.0, unit="heights")
    assert waited.violations[0].summary.endswith(", allowed 4 heights")
    assert amount(waited.measured or 0.0, waited.unit) == "5 heights"
    assert amount(1.0, "heights") == "1 height"


def test_numbers_agree_with_their_nouns() -> None:
    assert counted(1, "height{s} compared") == "1 height compared"
    assert counted(0, "crash{es}") == "0 crashes"
    assert counted(1, "crash{es}") == "1 crash"


def test_a_page_of_an_empty_history_is_still_a_page() -> None:
    history = History(setup=Setup(operators=("op1",), slot_seconds=1.0))
    summary = summarise(history, (), scenario="x", seed=1, error="could not start")
    assert "could not start" in render_html(history, (), summary, "again")


def test_junit_counts_failures_and_empty_verdicts_apart() -> None:
    vacuous = Verdict(checker="rounds", outcome=Outcome.VACUOUS, note="0 round changes")
    passed = Verdict(checker="S2", outcome=Outcome.PASS)
    text = render_junit(
        (BROKEN, vacuous, passed), scenario="leader-kill", seconds=1.5, replay="again"
    )
    suite = ET.fromstring(text)
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "1")
    failure = suite.find(".//failure")
    assert failure is not None
    assert failure.text == "height 7 has <two> roots\nagain"


def campaign_of(finished: Run, *verdicts: Verdict) -> CampaignSummary:
    run = summarise(
        finished.history,
        (*finished.verdicts, *verdicts),
        scenario="leader-kill",
        seed=3,
        folder="runs/leader-kill/x",
    )
    return summarise_campaign(
        [run], scenario="leader-kill", backend="process", operators=4, slot_seconds=1.0
    )


def test_the_table_has_verdict_target_hit_gap_recovery_and_transactions(finished: Run) -> None:
    text = render_campaign(campaign_of(finished))
    row = text.splitlines()[2]
    assert finished.planned[0].site.targets[0] in row
    assert "pass" in row
    assert " h" in row
    assert "1 of 1 passed" in text
    assert f"leader of h{finished.planned[0].aimed_height}" in row


def test_each_run_names_its_page_and_only_many_have_percentiles(finished: Run) -> None:
    one = campaign_of(finished)
    text = render_campaign(one)
    assert "p50" not in text
    assert text.splitlines()[-1] == "report: runs/leader-kill/x/report.html"
    many = summarise_campaign(
        one.runs * 2, scenario="leader-kill", backend="process", operators=4, slot_seconds=1.0
    )
    text = render_campaign(many)
    assert "gap p50" in text
    assert text.count("report: runs/leader-kill/x/report.html") == 2


def test_a_run_that_failed_says_why_and_where(finished: Run) -> None:
    campaign = campaign_of(finished, BROKEN)
    assert campaign.outcome is Outcome.FAIL
    text = render_campaign(campaign)
    assert (
        "run 1: fail: S1 agreement: height 7 has <two> roots (kept in runs/leader-kill/x)" in text
    )


def test_the_json_answer_reads_back(finished: Run) -> None:
    campaign = campaign_of(finished)
    assert msgspec.json.decode(msgspec.json.encode(campaign), type=CampaignSummary) == campaign


def test_percentiles_are_measured_values() -> None:
    assert percentile([], 50) is None
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert percentile([float(i) for i in range(1, 101)], 99) == 99.0
    assert percentile([1.0, 9.0], 99) == 9.0


def test_a_harness_error_is_inconclusive_and_keeps_its_words() -> None:
    summary = summarise(None, (), scenario="x", seed=1, error="no sealed block at op1")
    assert (summary.outcome, summary.reason) == (Outcome.INCONCLUSIVE, "no sealed block at op1")


def test_a_fault_without_targets_is_shown_as_links() -> None:
    setup = Setup(operators=("op1",), slot_seconds=1.0)
    where = "50 ms each way on 12 links"
    receipt = FaultReceipt(id="wan", kind="latency", where=where, targets=(), requested=1.0)
    history = History(setup=setup, faults=(receipt,))
    assert summarise(history, (), scenario="x", seed=1).target == where


def told(kind: EventKind, node: str, moment: float) -> Event:
    return Event(kind=kind, node=node, height=4, round=0, monotonic=moment, wall=0.0)


def test_the_phases_of_a_block_add_up() -> None:
    operators = ("op1", "op2", "op3", "op4")
    events = [told(EventKind.PROPOSAL, "op1", 10.0)]
    events += [told(EventKind.PREPARED, name, 10.1) for name in operators]
    events += [told(EventKind.DECIDED, name, 10.2 + i / 100) for i, name in enumerate(operators)]
    events += [told(EventKind.SIGNED, name, 10.3 + i / 100) for i, name in enumerate(operators)]
    events += [told(EventKind.SEALED, name, 10.4) for name in operators]
    events += [told(EventKind.IMPORTED, "f1", 10.5)]
    times = times_of(events, 4, operators, ("f1",))
    assert times is not None
    assert times.phases == pytest.approx((0.1, 0.12, 0.1, 0.08, 0.1))
    assert times.total == pytest.approx(0.5)
    assert times.at_operators == pytest.approx(0.4)
    assert times_of(events[:-1], 4, operators, ("f1",)) is None


def test_the_bench_page_keeps_its_notes() -> None:
    figures = [Figure(what="gap 2|2", value=2.0, unit="s", baseline=1.0, target="<= 2 s")]
    page = render_page(figures, f"{NOTES_MARK}\n\nMostly in BLS.")
    assert "| gap 2&#124;2 | 2.0 s | 1.0 s | 2.00 | <= 2 s |" in page
    assert page.rstrip().endswith("Mostly in BLS.")
    assert "gap 2|2" in render_terminal(figures)
