"""A clock that is off is found out by its operator and by nobody's lie, and stops nobody. The
shipped shells, virtual time."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from devnet.sim.loop import VirtualLoop, at_rate, play
from devnet.sim.operator import Operator
from devnet.sim.params import Behaviour, Params
from devnet.sim.recovery import CALM, Drill
from dst.middleware.clocks import Clocks
from dst.spec.primitives import Height, Round, leader_of

SECOND_US = 1_000_000
OFF_US = 20 * SECOND_US
LIAR = 3


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def clocks_of(node: Operator) -> Clocks:
    assert node.life is not None
    return node.life.shells.clocks


def said(world: Drill) -> dict[str, tuple[str, ...]]:
    return {name: texts for name, texts in world._waits().items() if texts}


async def later(world: Drill, seconds: float) -> None:
    await world._until(lambda: False, round(seconds * SECOND_US))


@pytest.mark.parametrize(
    ("off_us", "liars"),
    [(-OFF_US, {}), (OFF_US, {}), (-OFF_US, {LIAR: Behaviour.FALSE_ANSWERS})],
)
def test_a_step_is_told_by_whom_it_befell_and_halts_nobody(
    off_us: int, liars: dict[int, Behaviour]
) -> None:
    async def scenario(loop: VirtualLoop) -> None:
        world = Drill(loop, 7, replace(CALM, byzantine=liars))
        await world.warm_up()
        assert "clock" not in str(said(world))
        victim, before = world.honest[1], world.top
        victim.skew_us += off_us
        await later(world, 5)
        way = "ahead of" if off_us > 0 else "behind"
        told = {name: texts for name, texts in said(world).items() if "clock" in str(texts)}
        assert list(told) == [victim.name], "nobody else's clock is off"
        (text,) = (each for each in told[victim.name] if "clock" in each)
        assert text.startswith("its own clock to be set: it is 20.")
        assert way in text
        assert clocks_of(world.honest[0]).peers_off() == {victim.index, *liars}
        assert world.top >= before + 2, "three of four go on"
        victim.skew_us -= off_us
        await later(world, 1)
        assert "clock" not in str(said(world))
        here = Height(world.top + 4)
        assert await world._until(lambda: world._recovered(here), 30 * SECOND_US)

    play(scenario)


def test_drift_is_told_before_it_costs_a_round() -> None:
    """20 ms a second: found above a quarter of a slot, while half a slot is what progress bears."""

    async def scenario(loop: VirtualLoop) -> None:
        world = Drill(loop, 8, replace(CALM, skew_us=1, latency_us=(500, 1_000)))
        await world.warm_up()
        victim = world.honest[2]

        def drift() -> None:
            victim.skew_us -= SECOND_US // 50
            loop.after(SECOND_US, drift)

        drift()
        off: Callable[[], bool] = lambda: clocks_of(victim).waits_for() is not None  # noqa: E731
        assert await world._until(off, 30 * SECOND_US)
        assert -0.35 * SECOND_US < victim.skew_us < -0.25 * SECOND_US
        assert world.counts.get("round_change", 0) == 0

    play(scenario)


def test_no_path_is_taken_for_a_wrong_clock() -> None:
    """Pongs that take 0.8 s, all of it on the way back, from clocks that are equal."""

    async def scenario(loop: VirtualLoop) -> None:
        world = Drill(loop, 9, replace(CALM, skew_us=1, latency_us=(399_000, 400_000)))
        for operator in world._all():
            world._boot(operator)
        await later(world, 20)
        for node in world.honest:
            assert clocks_of(node).waits_for() is None
            assert clocks_of(node).peers_off() == set()
            assert clocks_of(node).offsets(), "they were told"

    play(scenario)


def test_a_clock_that_runs_fast_is_the_one_that_its_operator_lives_by() -> None:
    """The time of day drifts from where it was set, timers end early, and the world does not."""

    async def scenario(loop: VirtualLoop) -> None:
        fast = replace(CALM, skew_us=1, drift_ppm={0: 10_000, 1: -10_000})
        world = Drill(loop, 10, fast)
        await world.warm_up()
        slept: dict[str, float] = {}

        async def sleep(node: Operator) -> None:
            began = asyncio.get_running_loop().time()
            await asyncio.sleep(10)
            assert asyncio.get_running_loop().time() - began == pytest.approx(10)
            slept[node.name] = loop.seconds

        began = loop.seconds
        for node in world.honest[:3]:
            at_rate(node.rate, loop.create_task, sleep(node))
        await later(world, 11)
        assert slept == pytest.approx(
            {"op1": began + 10 / 1.01, "op2": began + 10 / 0.99, "op3": began + 10}
        )
        ahead = [node.ahead_us() - node.skew_us for node in world.honest]
        gained = round(loop.now_us() * 0.01)
        assert ahead == pytest.approx([gained, -gained, 0, 0], abs=1)
        world.honest[0].set_clock(5)
        assert world.honest[0].ahead_us() == 5, "set, it drifts from there"

    play(scenario)


@pytest.mark.parametrize("silent", [(), (1,)], ids=["slots", "timers"])
def test_slots_and_rounds_of_the_shells_come_by_the_drifting_clock(silent: tuple[int, ...]) -> None:
    """All run fast by a tenth: so does the chain, and so does the timer of a silent leader."""
    led_by_op2 = next(each for each in range(20, 24) if leader_of(Height(each), Round(0), 4) == 1)
    calm = replace(
        CALM,
        byzantine=dict.fromkeys(silent, Behaviour.SILENT),
        skew_us=0,
        latency_us=(500, 1_000),
        validate_us=1_000,
    )

    def decided_at(params: Params) -> float:
        async def scenario(loop: VirtualLoop) -> float:
            world = Drill(loop, 11, params)
            await world.warm_up()
            assert await world._until(lambda: world.top >= led_by_op2, 60 * SECOND_US)
            return loop.seconds

        return play(scenario)

    true, fast = (
        decided_at(calm),
        decided_at(replace(calm, drift_ppm=dict.fromkeys(range(4), 100_000))),
    )
    assert true % 1 == pytest.approx(0.5 if silent else 0, abs=0.02)
    assert fast * 1.1 == pytest.approx(true, abs=0.02)
