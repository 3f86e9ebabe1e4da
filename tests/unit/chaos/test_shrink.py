"""Shrinking with a runner that fails by a rule: what the failure needs stays, all else goes, and
what fails elsewhere or shows nothing is not taken for it."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devnet.model.history import FaultReceipt
from devnet.model.reading import read_name
from devnet.model.terms import Count, Duration
from devnet.model.topology import compute_topology
from devnet.runner.attach import Wanted
from devnet.runner.plan import require_fits
from devnet.runner.product import Product, product
from devnet.runner.shrink import Fit, Played, Shrinking, told_of, without
from devnet.runner.shrink_live import Failing, failing_of, shrink, small_name
from devnet.scenarios import catalogue
from devnet.scenarios.draw import draw_schedule
from devnet.scenarios.parse import parse_text
from devnet.scenarios.scenario import Scenario, Scheduled
from devnet.scenarios.write import scenario_yaml
from dst.spec.errors import BadConfig

S1 = "S1 agreement"
FOUR = compute_topology(operators=4, followers=1)


def misfit(scenario: Scenario) -> str:
    try:
        require_fits(scenario, FOUR, "process")
    except BadConfig as error:
        return str(error)
    return ""


class FakeRunner:
    """Plays by a rule; a fault is said to have hit op3."""

    def __init__(self, rule: Callable[[Scenario], Played | bool]) -> None:
        self.rule = rule
        self.asked: list[Scenario] = []

    async def play(self, scenario: Scenario) -> Played:
        assert not misfit(scenario)
        self.asked.append(scenario)
        said = self.rule(scenario)
        if isinstance(said, Played):
            return said
        hits = (
            FaultReceipt(id=f.id, kind=f.do.name, where="op3", targets=("op3",), requested=1.0)
            for f in scenario.faults
        )
        return Played(failed=(S1,) if said else (), receipts=tuple(hits))


def shrinking(scenario: Scenario, runner: FakeRunner, **limits: object) -> Shrinking:
    return Shrinking(
        scenario=scenario, play=runner.play, fits=misfit, clock=lambda: 0.0,
        **{"checker": S1, "runs": 500, **limits},  # type: ignore[arg-type]
    )  # fmt: skip


def read(*faults: str) -> Scenario:
    lines = "".join(f"  - {fault}\n" for fault in faults)
    return parse_text(f"scenario: 1\nname: mine\nabout: x\nfaults:\n{lines}", what="mine.yaml")


def named(scenario: Scenario, name: str) -> Scheduled:
    return next(fault for fault in scenario.faults if fault.id == name)


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 10_000), st.data())
def test_what_the_failure_needs_is_left_and_nothing_else(seed: int, data: st.DataObject) -> None:
    scenario = draw_schedule(seed, budget=120.0)
    names = [fault.id for fault in scenario.faults]
    needed = set(data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True)))
    runner = FakeRunner(lambda tried: needed <= {fault.id for fault in tried.faults})
    small = asyncio.run(shrinking(scenario, runner).run())
    assert {fault.id for fault in small.faults} == needed
    long = [f for f in small.faults if f.until.hold.seconds >= 1 or f.until.heights != Count()]
    assert len(long) == 1, "a height of progress is expected"
    assert long[0].until.heights == Count(plain=1) or 4 <= long[0].until.hold.seconds < 8
    for fault in small.faults:
        assert getattr(fault.do, "target", "op3") in ("op3", None, *FOUR.operator_names)
    assert parse_text(scenario_yaml(small), what="x") == small


LONG = (
    "{id: kill, do: kill, target: leader, at: {event: decided, delay: {upto: 8 slots}},"
    " until: {hold: 20s}}",
    "{id: slow, do: latency, one_way: 50ms, at: {after: kill, heights: 6}, until: {heights: 2n}}",
    "{id: cut, do: cut, links: l1, until: {forever: true}}",
)


def test_lengths_are_halved_as_far_as_it_still_fails() -> None:
    def rule(tried: Scenario) -> bool:
        found = {fault.id: fault for fault in tried.faults}
        return (
            "kill" in found
            and found["kill"].until.hold.seconds >= 4
            and "slow" in found
            and found["slow"].until.heights.for_operators(4) >= 2
        )

    runner = FakeRunner(rule)
    work = shrinking(read(*LONG), runner)
    small = asyncio.run(work.run())
    kill, slow = small.faults
    assert kill.until.hold == Duration(seconds=5)
    assert slow.until.heights == Count(plain=2)
    assert slow.at.heights == Count()
    assert slow.at.after is not None
    assert slow.at.after.fault == "kill"
    assert named(small, "kill").do.target == "op3"  # type: ignore[attr-defined]
    assert work.dropped == [
        "left out cut",
        "kill: stands for 10s",
        "kill: stands for 5s",
        "slow: stands for 4 heights",
        "slow: stands for 2 heights",
        "kill: begins at once",
        "slow: begins at once",
        "kill: op3 for what was drawn",
    ]


def test_another_failure_and_no_answer_are_kept_apart() -> None:
    """Without `slow` another checker fails; without `cut` the run shows nothing."""

    def rule(tried: Scenario) -> Played | bool:
        there = {fault.id for fault in tried.faults}
        if "slow" not in there:
            return Played(failed=("S8 equal states",))
        if "cut" not in there:
            return Played(shown=False)
        return True

    work = shrinking(read(*LONG), FakeRunner(rule))
    small = asyncio.run(work.run())
    assert {fault.id for fault in small.faults} == {"slow", "cut"}
    assert work.met[Fit.OTHER] >= 1
    assert work.met[Fit.NOTHING] >= 1
    assert "failed in another checker" in told_of(work.met)


def test_what_shows_nothing_is_looked_at_twice_and_what_comes_and_goes_as_often_as_told() -> None:
    answers = iter([Played(shown=False), Played(failed=(S1,)), Played(failed=(S1,))])
    one = read("{id: a, do: cut, links: l1, until: {hold: 500ms}}")
    runner = FakeRunner(lambda _: next(answers))
    assert asyncio.run(shrinking(one, runner).run()) == one
    assert len(runner.asked) == 2 + 1
    some = iter([False, False, True] * 9)
    patient = FakeRunner(lambda _: next(some))
    assert asyncio.run(shrinking(one, patient, passes=3).run()) == one
    with pytest.raises(BadConfig, match=r"did not fail in 'S1 agreement' again \(passed 1\)"):
        asyncio.run(shrinking(one, FakeRunner(lambda _: False), passes=2).run())


def test_it_is_bounded_by_runs_and_by_time() -> None:
    scenario = draw_schedule(3, budget=120.0)
    runner = FakeRunner(lambda tried: True)
    work = shrinking(scenario, runner, runs=3)
    asyncio.run(work.run())
    assert len(runner.asked) == 3 + 1
    assert work.ended == "no run was left"
    ticks = iter(range(0, 100_000, 60))
    late = FakeRunner(lambda tried: True)
    work = Shrinking(
        scenario=scenario, checker=S1, play=late.play, fits=misfit,
        clock=lambda: float(next(ticks)), minutes=4.5,
    )  # fmt: skip
    asyncio.run(work.run())
    assert work.ended == "time was up"
    assert len(late.asked) == 4 + 1


def test_it_goes_on_where_it_was_broken_off(tmp_path: Path) -> None:
    scenario = draw_schedule(3, budget=120.0)
    needed = scenario.faults[-1].id
    whole = FakeRunner(lambda tried: needed in {fault.id for fault in tried.faults})
    small = asyncio.run(shrinking(scenario, whole).run())

    class Killed(Exception):
        pass

    def until_killed(tried: Scenario) -> bool:
        if len(first.asked) > 4:
            raise Killed
        return needed in {fault.id for fault in tried.faults}

    memory = tmp_path / "x.json"
    first = FakeRunner(until_killed)
    with pytest.raises(Killed):
        asyncio.run(shrinking(scenario, first, memory=memory).run())
    second = FakeRunner(whole.rule)
    assert asyncio.run(shrinking(scenario, second, memory=memory).run()) == small
    assert len(second.asked) == len(whole.asked) - 4, "and the last one once more, like all"
    with pytest.raises(BadConfig, match="of another shrinking"):
        asyncio.run(shrinking(draw_schedule(4), second, memory=memory).run())


EXPECTS = (
    "{id: kill, do: kill, target: op1, until: {heights: n, hold: 20s}}",
    "{id: slow, do: latency, one_way: 50ms, until: {hold: 20s}}",
)
L9 = "L9 progress under fault"


@pytest.mark.parametrize(("progress", "least"), [("n", 10.0), ("1", 4.0), ("3n", 20.0)])
def test_what_is_left_is_no_schedule_that_every_product_fails(progress: str, least: float) -> None:
    """Nothing is sealed while both stand; a correct product seals a height in two slots."""
    scenario = parse_text(scenario_yaml(read(*EXPECTS)) + f"expect: {{progress: {progress}}}\n",
                          what="x")  # fmt: skip
    wanted = scenario.expect.progress.for_operators(4)

    def sealed(tried: Scenario) -> float:
        lengths = [f.until.hold.seconds / 2 - 1 for f in tried.faults]
        return max([*lengths, *(f.until.heights.for_operators(4) for f in tried.faults)])

    def rule(tried: Scenario) -> Played | bool:
        both = {fault.id for fault in tried.faults} == {"kill", "slow"}
        return Played(failed=(L9,)) if both or sealed(tried) < min(wanted, 9) else False

    work = shrinking(scenario, FakeRunner(rule), checker=L9)
    small = asyncio.run(work.run())
    assert len(small.faults) == 2
    assert sealed(small) >= min(wanted, 9)
    longest = max(fault.until.hold.seconds for fault in small.faults)
    assert longest >= least or any(f.until.heights != Count() for f in small.faults)


def test_a_positive_control_is_not_shrunk() -> None:
    control = catalogue.load("beyond-f-silent")
    runner = FakeRunner(lambda _: Played(failed=("fails as it must",)))
    with pytest.raises(BadConfig, match="is made to fail in L9 progress under fault, and did not"):
        asyncio.run(shrinking(control, runner, checker="").run())
    assert runner.asked == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 2}, "seed 2, 4 operators, 1 s slots, process"),
        ({"slot_seconds": 2}, "seed 1, 4 operators, 2 s slots, process"),
        ({"backend": "docker"}, "seed 1, 4 operators, 1 s slots, docker"),
        ({"product": "of tomorrow"}, "product of tomorrow"),
    ],
)
def test_what_was_answered_elsewhere_is_no_answer_here(
    changes: dict[str, Any], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "product" in changes:
        other = Product(changes.pop("product"), {})
        later = lambda: other  # noqa: E731
    else:
        later = product
    runner = FakeRunner(lambda tried: "kill" in {fault.id for fault in tried.faults})

    def ask(seed: int = 1, **wanted: Any) -> None:
        asyncio.run(
            shrink(
                Failing(scenario=read(*LONG)), seed=seed, root=tmp_path, say=lambda _: None,
                wanted=Wanted(directory=tmp_path / "net", **{"backend": "process", **wanted}),
                memory=tmp_path / "m.json", play=runner.play, runs=200,
            )
        )  # fmt: skip

    ask()
    once = len(runner.asked)
    ask()
    assert len(runner.asked) == once + 1, "what is left is played whatever is remembered"
    monkeypatch.setattr("devnet.runner.shrink_live.product", later)
    monkeypatch.setattr("devnet.runner.shrink_live.choose_backend", lambda asked: asked)
    with pytest.raises(BadConfig, match=words):
        ask(**changes)


def test_what_does_not_fail_in_the_end_is_not_written(tmp_path: Path) -> None:
    scenario, memory = read(*LONG), tmp_path / "m.json"
    failing = FakeRunner(lambda _: True)
    asyncio.run(shrinking(scenario, failing, memory=memory).run())
    mended = FakeRunner(lambda _: False)
    with pytest.raises(BadConfig, match=r"did not fail in 'S1 agreement' again \(passed\)"):
        asyncio.run(shrinking(scenario, mended, memory=memory).run())
    assert len(mended.asked) == 1


def test_passes_count_for_the_first_look_too() -> None:
    one = read("{id: a, do: cut, links: l1, until: {hold: 500ms}}")
    some = iter([False, False, True] * 9)
    patient = FakeRunner(lambda _: next(some))
    work = shrinking(one, patient, passes=3, checker="")
    assert asyncio.run(work.run()) == one
    assert work.checker == S1


def test_the_small_one_has_a_name_that_is_read() -> None:
    for letters in (1, 58, 59, 64):
        name = small_name("a" * letters)
        assert read_name(name, "name") == name
        assert name.endswith("-small")


def test_who_waited_for_what_is_gone_waits_for_what_that_waited_for() -> None:
    scenario = read(
        "{id: a, do: kill, target: f1, until: {hold: 1s}}",
        "{id: b, do: kill, target: f1, at: {after: {inject: a}}, until: {hold: 1s}}",
        "{id: c, do: cut, links: l1, at: {after: b}, until: {after: b}}",
        "{id: d, do: latency, one_way: 5ms, until: {forever: true}}",
    )
    left = without(scenario, ["b"])
    assert str(named(left, "c").at.after) == "inject of a"
    assert named(left, "c").until.hold == Duration(seconds=10)
    alone = without(scenario, ["a", "b", "c"])
    assert named(alone, "d").until.hold == Duration(seconds=10)
    assert not named(alone, "d").until.forever


def test_a_file_is_played_once_to_learn_what_fails(tmp_path: Path) -> None:
    runner = FakeRunner(lambda tried: "kill" in {fault.id for fault in tried.faults})
    failing = Failing(scenario=read(*LONG))
    work = asyncio.run(
        shrink(
            failing, wanted=Wanted(directory=tmp_path / "net", backend="process"), seed=1,
            root=tmp_path, memory=tmp_path / "m.json", say=lambda _: None, play=runner.play,
            runs=200,
        )
    )  # fmt: skip
    assert work.checker == S1
    assert runner.asked.count(failing.scenario) == 1, "which is the first of the answers, too"
    assert [fault.id for fault in work.scenario.faults] == ["kill"]
    with pytest.raises(BadConfig, match="no record of a run"):
        failing_of(_folder(tmp_path / "run"))


def _folder(path: Path) -> Path:
    path.mkdir()
    (path / "scenario.yaml").write_text(scenario_yaml(catalogue.load("leader-kill")))
    return path
