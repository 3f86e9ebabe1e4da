"""A peer whose listener says HELLO and hangs up: what it makes a dialler do and write."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from dst.p2p import link
from dst.p2p.framing import encode_frame
from dst.p2p.handshake import Hello, encode_link_frame
from dst.runtime.log import LINES_AT_ONCE, Logger
from dst.runtime.metrics import Metrics
from dst.spec.primitives import OperatorIndex

Start = Callable[..., Awaitable[Any]]


class Impatient:
    """A back-off that waits for nothing and counts how often it begins anew."""

    resets = 0

    def reset(self) -> None:
        Impatient.resets += 1

    def next_delay(self) -> float:
        return 0.0


@pytest.fixture
def resets(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    monkeypatch.setattr(link, "Backoff", Impatient)
    monkeypatch.setattr(Impatient, "resets", 0)
    return lambda: Impatient.resets


@pytest.fixture
async def flapping_port(keys: Any, make_hello: Callable[..., Hello]) -> AsyncIterator[int]:
    """Of op2."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(encode_frame(encode_link_frame(make_hello(1))))
        writer.close()

    context = keys.identity("op2", ("op1",)).server
    server = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=context)
    yield server.sockets[0].getsockname()[1]
    server.close()


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage().split()[0] for record in caplog.records]
    return [each for each in found if each.startswith("link_")]


async def test_a_flapping_peer_is_dialled_as_one_that_is_down(
    start_node: Start, flapping_port: int, resets: Callable[[], int]
) -> None:
    node = await start_node(0, {1: flapping_port})
    await node.heard.until(lambda heard: len(heard.downs) >= link.FREE_FLAPS + 10)
    assert resets() == link.FREE_FLAPS, "only at first it is dialled anew at once"


async def test_a_link_that_stood_is_dialled_anew_at_once(
    start_node: Start,
    flapping_port: int,
    resets: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link, "STEADY_S", 0.0)
    node = await start_node(0, {1: flapping_port})
    await node.heard.until(lambda heard: len(heard.downs) >= 10)
    assert resets() >= 10


async def test_a_flapping_peer_fills_no_disk(
    start_node: Start,
    flapping_port: int,
    resets: Callable[[], int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "dst")
    node = await start_node(0, {1: flapping_port})
    await node.heard.until(lambda heard: len(heard.downs) >= 2 * LINES_AT_ONCE)
    assert lines(caplog)[:2] == ["link_up", "link_down"]
    assert LINES_AT_ONCE <= len(lines(caplog)) <= LINES_AT_ONCE + 2


def test_the_log_catches_up_with_a_link_that_stands(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "dst")
    context: Any = SimpleNamespace(log=Logger("test"), metrics=Metrics())
    outbound = link.OutboundLink(link.Peer(index=OperatorIndex(1), host="", port=1), context)
    ration: Any = SimpleNamespace(may_say=lambda: False)
    outbound._tell(up=False)
    outbound._ration, kept = ration, outbound._ration
    outbound._tell(up=True)
    assert lines(caplog) == ["link_down"]
    outbound._ration = kept
    for _ in range(3):
        outbound._note_steady()
    assert lines(caplog) == ["link_down", "link_up"]
