"""What is waited for is told once it has lasted, in order, again while it lasts, and no longer."""

import asyncio

import pytest

from dst.runtime import waiting
from dst.runtime.log import Logger
from dst.runtime.waiting import PATIENCE_S, SAY_AGAIN_S, Waiting


class Bench:
    """Two parts, a clock and a look by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.lacks: list[str | None] = [None, None]
        parts = [lambda: self.lacks[0], lambda: self.lacks[1]]
        self.waiting = Waiting(parts, log=Logger("test"), monotonic=lambda: self.now)

    def later(self, seconds: float) -> tuple[str, ...]:
        self.now += seconds
        self.waiting._look()
        self.waiting._say()
        return self.waiting.told()


def test_a_moment_is_not_told_and_what_lasts_is() -> None:
    bench = Bench()
    bench.lacks[1] = "L1"
    assert bench.later(0.5) == ()
    assert bench.later(PATIENCE_S - 0.5) == ()
    bench.lacks[1] = None
    assert bench.later(0.5) == ()
    bench.lacks[1] = "L1"
    assert bench.later(0.5) == ()
    assert bench.later(PATIENCE_S - 0.5) == (), "its patience began anew"
    assert bench.later(0.5) == ("L1",)
    bench.lacks = ["a quorum", "L1, still"]
    assert bench.later(0.5) == ("L1, still",)
    assert bench.later(PATIENCE_S) == ("a quorum", "L1, still")
    bench.lacks = [None, None]
    assert bench.waiting.told() == (), "what has come is not told until somebody looks again"


def test_it_is_logged_when_it_begins_now_and_then_and_when_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    bench = Bench()
    bench.lacks[0] = "a quorum"
    for _ in range(int(1 + PATIENCE_S + 1.5 * SAY_AGAIN_S)):
        bench.later(1.0)
    bench.lacks[0] = None
    bench.later(1.0)
    bench.later(1.0)
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["waiting waits_for='a quorum'"] * 2 + ["waits_for_nothing"]


async def test_it_looks_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LOOK_S", 0.001)
    bench = Bench()
    bench.lacks[0] = "a quorum"
    running = asyncio.get_running_loop().create_task(bench.waiting.run())
    async with asyncio.timeout(5):
        while not bench.waiting.told():
            bench.now += PATIENCE_S
            await asyncio.sleep(0.001)
    running.cancel()
