"""What is sealed, asked of the rollup node: truthful, seldom, and never waited for long."""

import asyncio
from typing import Any

import msgspec
import pytest
from aiohttp import web

from dst.apis.dst_v1 import Status
from dst.execution import sealed
from dst.execution.sealed import FRESH_S, QUIET_S, TIMEOUT_S, SealedHeights, sealed_height_of
from dst.runtime.http import make_app
from dst.runtime.metrics import Metrics
from dst.spec.errors import Unavailable
from dst.spec.primitives import to_hex
from tests.unit.execution.rpc.bench import listening


def status(sealed_height: int, lowest_unsealed: int | None = None) -> Status:
    return Status(
        decided_height=9,
        decided_slot=9,
        decided_root=to_hex(bytes(32)),
        sealed_height=sealed_height,
        unsafe=9,
        safe=0,
        finalized=0,
        l1_head=0,
        reset_height=None,
        alarm=None,
        lowest_unsealed_height=lowest_unsealed,
    )


class Rollup:
    """Answers at once, or when let go; `asked` counts."""

    def __init__(self, answer: Status | None) -> None:
        self.answer, self.asked = answer, 0
        self.goes = asyncio.Event()
        self.goes.set()

    async def status(self, *, timeout_seconds: float) -> Status:
        assert timeout_seconds == TIMEOUT_S
        self.asked += 1
        await self.goes.wait()
        if self.answer is None:
            raise Unavailable("gone")
        return self.answer


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("told", "height"),
    [
        (status(7), 7),
        (status(7, lowest_unsealed=8), 7),
        (status(7, lowest_unsealed=4), 3),
        (status(0, lowest_unsealed=1), 0),
    ],
)
async def test_below_the_lowest_gap_all_are_sealed(told: Status, height: int) -> None:
    assert await SealedHeights(Rollup(told)).ask() == height


async def test_a_dead_rollup_node_is_asked_once_in_a_while() -> None:
    rollup, clock = Rollup(None), Clock()
    heights = SealedHeights(rollup, clock)
    assert [await heights.ask() for _ in range(1000)] == [None] * 1000
    assert rollup.asked == 1
    rollup.answer = status(5)
    clock.now += QUIET_S
    assert await heights.ask() == 5


async def test_all_who_ask_at_once_share_a_question() -> None:
    rollup, clock = Rollup(status(5)), Clock()
    heights = SealedHeights(rollup, clock)
    rollup.goes.clear()
    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(heights.ask()) for _ in range(50)]
        leaving = group.create_task(heights.ask())
        await asyncio.sleep(0)
        leaving.cancel()
        rollup.goes.set()
    assert {each.result() for each in asking} == {5}
    assert rollup.asked == 1


async def test_who_asked_first_and_leaves_does_not_keep_the_answer_from_others() -> None:
    rollup = Rollup(status(5))
    heights = SealedHeights(rollup)
    rollup.goes.clear()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(heights.ask())
        second = group.create_task(heights.ask())
        await asyncio.sleep(0)
        first.cancel()
        rollup.goes.set()
    assert second.result() == 5


async def test_an_answer_is_used_for_a_moment_only() -> None:
    rollup, clock = Rollup(status(5)), Clock()
    heights = SealedHeights(rollup, clock)
    assert await heights.ask() == 5
    rollup.answer = status(6)
    assert await heights.ask() == 5
    clock.now += FRESH_S
    assert await heights.ask() == 6


async def test_over_http_a_silent_rollup_node_is_nobody_who_knows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers: list[Any] = [status(5), None]

    async def show(_: web.Request) -> web.StreamResponse:
        told = answers.pop(0)
        if told is None:
            await asyncio.Event().wait()
        return web.Response(body=msgspec.json.encode(told), content_type="application/json")

    monkeypatch.setattr(sealed, "TIMEOUT_S", 0.1)
    monkeypatch.setattr(sealed, "FRESH_S", 0)
    app = make_app(Metrics(), [web.get("/dst/v1/status", show)])
    async with listening(app) as address, sealed_height_of(f"http://{address}") as ask:
        assert [await ask(), await ask()] == [5, None]
    async with sealed_height_of(f"http://{address}") as ask:
        assert await ask() is None, "its listener is closed"
    async with sealed_height_of(None) as ask:
        assert await ask() is None
