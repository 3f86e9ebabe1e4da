"""A damaged store ends its role, wherever it is met: exit code 2 and the words, and nobody who
asked is blamed."""

import asyncio
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from dst.runtime.http import make_app, serving
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.runtime.service import end_role, run_role, until
from dst.spec.errors import BadConfig, StoreDamaged

Main = Callable[[asyncio.Event], Awaitable[None]]


def damage() -> StoreDamaged:
    return StoreDamaged("kept.sqlite", "block 7 is not what was written", "restore it")


WORDS = f"error: {damage()}\n"


async def raises(error: Exception) -> None:
    raise error


async def stands_still() -> None:
    await asyncio.Event().wait()


async def raised(stop: asyncio.Event) -> None:
    await raises(damage())


async def raised_beside_others(stop: asyncio.Event) -> None:
    await until(stop, stands_still(), raises(damage()), raises(BadConfig("a port")))


async def handed_over(stop: asyncio.Event) -> None:
    asyncio.get_running_loop().call_later(0.01, end_role, damage())
    await until(stop, stands_still())


async def handed_over_twice(stop: asyncio.Event) -> None:
    """The second must not break off what is tidied up."""
    loop = asyncio.get_running_loop()
    loop.call_later(0.01, end_role, damage())
    try:
        await until(stop, stands_still())
    finally:
        end_role(StoreDamaged("another.sqlite", "page 2", "move it away"))
        await asyncio.sleep(0)


async def in_a_callback(stop: asyncio.Event) -> None:
    def read() -> None:
        raise damage()

    asyncio.get_running_loop().call_later(0.01, read)
    await until(stop, stands_still())


async def while_it_stops(stop: asyncio.Event) -> None:
    stop.set()
    await until(stop, stands_still())
    end_role(damage())


@pytest.mark.parametrize(
    "main",
    [raised, raised_beside_others, handed_over, handed_over_twice, in_a_callback, while_it_stops],
)
def test_the_role_ends_with_the_words(main: Main, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_role(main, Logger("test")) == 2
    assert capsys.readouterr().err == WORDS


def test_a_crash_beside_it_is_told_too(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    async def main(stop: asyncio.Event) -> None:
        await until(stop, raises(damage()), raises(ZeroDivisionError()))

    assert run_role(main, Logger("test")) == 2
    assert capsys.readouterr().err == WORDS
    assert "ZeroDivisionError" in caplog.text


def test_a_request_that_meets_it_ends_the_role_and_is_not_at_fault(
    capsys: pytest.CaptureFixture[str], unused_tcp_port: int
) -> None:
    async def read(_: web.Request) -> web.StreamResponse:
        raise damage()

    answers: list[tuple[int, str]] = []

    def ask() -> None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{unused_tcp_port}/block")
        except urllib.error.HTTPError as error:
            answers.append((error.code, error.read().decode()))

    async def main(stop: asyncio.Event) -> None:
        app = make_app(Metrics(), [web.get("/block", read)])
        async with serving(app, f"127.0.0.1:{unused_tcp_port}", what="test"):
            await until(stop, asyncio.to_thread(ask), stands_still())

    async def bounded(stop: asyncio.Event) -> None:
        async with asyncio.timeout(10):
            await main(stop)

    assert run_role(bounded, Logger("test")) == 2
    assert capsys.readouterr().err == WORDS
    assert [status for status, _ in answers] in ([500], [])  # it may end before it has answered
    assert not any("block 7" in text for _, text in answers)
