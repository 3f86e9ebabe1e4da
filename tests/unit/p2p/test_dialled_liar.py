"""A member whose listener lies: what it may answer to a dialler, and what anything else brings."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest

from dst.p2p import link
from dst.p2p.framing import MAX_FRAME_BYTES, encode_frame
from dst.p2p.handshake import (
    MAX_ANSWER_BYTES,
    MAX_HELLO_BYTES,
    MAX_TEXT,
    Data,
    Hello,
    HelloRefused,
    Ping,
    Pong,
    encode_link_frame,
)
from dst.runtime.allowance import Allowance

Start = Callable[..., Awaitable[Any]]
Liar = Callable[[bytes], Awaitable[int]]


@pytest.fixture
async def liar(keys: Any) -> AsyncIterator[Liar]:
    """liar(bytes) -> port of an op2 that answers each HELLO with them and then listens."""
    async with AsyncExitStack() as stack:

        async def listen(answer: bytes) -> int:
            async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writer.write(answer)
                while await reader.read(4096):
                    pass
                writer.close()

            context = keys.identity("op2", ("op1",)).server
            server = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=context)
            stack.callback(server.close)
            return int(server.sockets[0].getsockname()[1])

        yield listen


async def refused(node: Any, reason: str) -> None:
    async with asyncio.timeout(8):
        while not node.metrics.get("p2p_refused_total", peer="op2", reason=reason):
            await asyncio.sleep(0.01)


@pytest.fixture
def no_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ends here does not end because of its silence."""
    monkeypatch.setattr(link, "ESTABLISH_TIMEOUT_S", 3600.0)
    monkeypatch.setattr(link, "GIVE_UP_S", 3600.0)


@pytest.mark.parametrize("length", [MAX_FRAME_BYTES, MAX_HELLO_BYTES + 1])
async def test_its_first_frame_is_no_larger_than_a_hello(
    start_node: Start, liar: Liar, no_timeout: None, length: int
) -> None:
    node = await start_node(0, {1: await liar(length.to_bytes(4, "big"))})
    await refused(node, "garbled")
    assert node.heard.ups == []


@pytest.mark.parametrize(
    "frame",
    [
        MAX_FRAME_BYTES.to_bytes(4, "big"),
        (MAX_ANSWER_BYTES + 1).to_bytes(4, "big"),
        encode_frame(encode_link_frame(Data(msgspec.Raw(b"\x01")))),
        encode_frame(encode_link_frame(Ping(1))),
    ],
)
async def test_after_its_hello_it_sends_pongs_alone(
    start_node: Start, liar: Liar, make_hello: Callable[..., Hello], no_timeout: None, frame: bytes
) -> None:
    hello = encode_frame(encode_link_frame(make_hello(1)))
    node = await start_node(0, {1: await liar(hello + frame)})
    await refused(node, "garbled")


async def test_pongs_without_end_end_the_link(
    start_node: Start,
    liar: Liar,
    make_hello: Callable[..., Hello],
    no_timeout: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard: list[Pong] = []
    monkeypatch.setattr(link.OutboundLink, "_tell_clock", lambda _, pong: heard.append(pong))
    pong = encode_frame(encode_link_frame(Pong(1, 0)))
    port = await liar(encode_frame(encode_link_frame(make_hello(1))) + pong * 5000)
    node = await start_node(0, {1: port})
    await node.heard.until(lambda heard: bool(heard.downs))
    assert len(heard) <= link.PONGS_AT_ONCE + 1
    await refused(node, "flood")


@pytest.mark.parametrize("stood_s", [0.0, 1.0, link.SILENCE_S])
def test_an_honest_listener_never_answers_too_often(stood_s: float) -> None:
    """One pong every half second, however rarely it is pinged; the path stands and brings all that
    waited at once, again and again."""
    owed = Allowance(at_once=link.PONGS_AT_ONCE, every_s=link.PONG_EVERY_S)
    for number in range(1000):
        sent_at = 100 + number * link.ANSWER_EVERY_S
        here_at = sent_at if not stood_s else (sent_at // stood_s + 1) * stood_s
        assert owed.take(here_at)


def test_each_answer_of_an_honest_listener_fits(make_hello: Callable[..., Hello]) -> None:
    largest = make_hello(1, chain_id=2**53, round_timeout_cap_ms=2**53, decided_height=2**53)
    refusal = HelloRefused(*("x" * MAX_TEXT for _ in range(3)))
    for frame in (largest, refusal, Pong(2**53, 2**53)):
        assert len(encode_link_frame(frame)) <= MAX_ANSWER_BYTES <= MAX_HELLO_BYTES
