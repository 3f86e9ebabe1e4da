"""Questions asked again: on a link that swallows, of an engine that is slow or refuses."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from dst.rollup import asking
from dst.rollup.asking import MAX_OPEN, ask_until_answered
from dst.spec.errors import InvalidInput, Unavailable
from tests.unit.rollup.rollup_bench import until_true


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "ASK_AGAIN_S", 0.01)


class Link:
    """Each question gets the next behaviour; the last one for all that follow."""

    def __init__(self, *behaviours: Callable[[], Coroutine[Any, Any, str]]) -> None:
        self.behaviours = list(behaviours)
        self.asked = self.open = self.most_open = 0

    async def ask(self) -> str:
        behaviour = self.behaviours[min(self.asked, len(self.behaviours) - 1)]
        self.asked += 1
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        try:
            return await behaviour()
        finally:
            self.open -= 1


async def swallow() -> str:
    await asyncio.Event().wait()
    raise AssertionError("never set")


async def answer() -> str:
    return "answer"


async def refuse() -> str:
    raise InvalidInput("refused")


async def fail() -> str:
    raise Unavailable("connection refused")


async def test_an_answer_is_asked_for_once() -> None:
    link = Link(answer)
    assert await ask_until_answered(link.ask, limit=5) == "answer"
    assert link.asked == 1


async def test_swallowed_questions_are_asked_again_and_closed_at_the_end() -> None:
    link = Link(swallow, swallow, answer)
    assert await ask_until_answered(link.ask, limit=5) == "answer"
    await until_true(lambda: link.open == 0)
    assert link.asked == 3


async def test_a_slow_answer_comes_on_a_connection_that_stayed_open() -> None:
    done = asyncio.Event()

    async def slow() -> str:
        await done.wait()
        return "answer"

    link = Link(slow)
    asking_it = asyncio.get_running_loop().create_task(ask_until_answered(link.ask, limit=5))
    await until_true(lambda: link.asked == 3 * MAX_OPEN)
    assert link.most_open <= MAX_OPEN, "bounded"
    assert link.open >= MAX_OPEN - 1, "never all at once closed: that would abort it"
    done.set()
    assert await asking_it == "answer"


async def test_a_refusal_ends_it_and_a_failure_only_when_nothing_is_open() -> None:
    link = Link(swallow, fail, refuse)
    with pytest.raises(InvalidInput):
        await ask_until_answered(link.ask, limit=5)
    assert link.asked == 3
    with pytest.raises(Unavailable, match="connection refused"):
        await ask_until_answered(Link(fail, answer).ask, limit=5)


async def test_the_limit_ends_it() -> None:
    link = Link(swallow)
    with pytest.raises(Unavailable, match="no answer within"):
        await ask_until_answered(link.ask, limit=0.05)
    await until_true(lambda: link.open == 0)


async def test_who_stops_waiting_closes_all() -> None:
    link = Link(swallow)
    asking_it = asyncio.get_running_loop().create_task(ask_until_answered(link.ask, limit=5))
    await until_true(lambda: link.asked == 2)
    asking_it.cancel()
    await until_true(lambda: link.open == 0)
