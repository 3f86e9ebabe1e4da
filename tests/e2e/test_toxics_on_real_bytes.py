"""What each toxic of a fault does to bytes that flow through the real server: measured where they
arrive, in counts and orders; a time is only ever held to be no shorter than asked."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from devnet.faults.latency import Latency
from devnet.faults.limit_data import LimitData
from devnet.faults.on_links import Shaping
from devnet.faults.reset import Reset
from devnet.faults.slicer import Slicer
from devnet.faults.slow_close import SlowClose
from devnet.faults.timeout import Timeout
from devnet.links.toxiproxy import Proxy, ToxiproxyClient, guard_toxics, is_shaped
from devnet.model.shape import Streams
from devnet.model.terms import Duration
from tests.e2e.test_toxiproxy_contract import _until_answers, running_server
from tests.e2e.test_toxiproxy_contract import tools as tools  # a fixture
from tests.ports import free_port

NAME = "op1>op2.consensus"
PATIENCE_S = 10.0
"""For what has to come; nothing waits so long where all is well."""
SILENCE_S = 0.3


class End(asyncio.Protocol):
    """One end of a connection, and what came to it, as it came."""

    def __init__(self, made: "Callable[[End], None]" = lambda _: None) -> None:
        self._made = made
        self.pieces: list[tuple[float, bytes]] = []
        self.ended: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self.error: Exception | None = None
        self._more = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self.transport = transport
        self._made(self)

    def data_received(self, data: bytes) -> None:
        self.pieces.append((asyncio.get_running_loop().time(), data))
        self._more.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.error = exc
        self.ended.set_result(asyncio.get_running_loop().time())
        self._more.set()

    @property
    def data(self) -> bytes:
        return b"".join(data for _, data in self.pieces)

    @property
    def sizes(self) -> list[int]:
        return [len(data) for _, data in self.pieces]

    async def hears(self, size: int) -> bytes:
        """Until so much has come, or the connection has ended."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.data) < size and not self.ended.done():
                self._more.clear()
                await self._more.wait()
        return self.data

    async def ends(self) -> Exception | None:
        """What it is told at the end: nothing at a close, an error at a reset."""
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.shield(self.ended)
        return self.error


@dataclass
class Line:
    """A proxy, and what is behind it: an end for each connection."""

    port: int
    client: ToxiproxyClient
    answering: asyncio.Queue[End] = field(default_factory=asyncio.Queue)

    async def dial(self) -> tuple[End, End]:
        """Both ends of a new connection."""
        loop = asyncio.get_running_loop()
        _, dialled = await loop.create_connection(End, "127.0.0.1", self.port)
        async with asyncio.timeout(PATIENCE_S):
            return dialled, await self.answering.get()

    @asynccontextmanager
    async def under(self, fault: Shaping) -> AsyncIterator[None]:
        """As long as it stands, the server lists it; afterwards nothing of it."""
        await self.client.shape(NAME, fault.toxic, fault.shape)
        assert is_shaped(await self.client.proxy(NAME), fault.toxic, fault.shape)
        yield
        await self.client.shape(NAME, fault.toxic, None)
        assert is_shaped(await self.client.proxy(NAME), fault.toxic, None)
        await self.whole()

    async def whole(self) -> None:
        dialled, answering = await self.dial()
        for one, other in ((dialled, answering), (answering, dialled)):
            one.transport.write(b"all")
            assert await other.hears(3) == b"all"
        dialled.transport.close()
        await answering.ends()


@pytest.fixture(scope="module")
def server(tools: dict[str, Path]) -> Iterator[str]:
    with running_server(tools) as url:
        yield url


@pytest.fixture
async def line(server: str) -> AsyncIterator[Line]:
    loop = asyncio.get_running_loop()
    async with ToxiproxyClient(server) as client:
        await _until_answers(client)
        found = Line(free_port(), client)
        service = await loop.create_server(lambda: End(found.answering.put_nowait), "127.0.0.1", 0)
        upstream = f"127.0.0.1:{service.sockets[0].getsockname()[1]}"
        await client.populate(
            [Proxy(name=NAME, listen=f"127.0.0.1:{found.port}", upstream=upstream)]
        )
        for toxic in guard_toxics():
            await client.add_toxic(NAME, toxic)
        yield found
        await client.delete(NAME)
        service.close()


def ms(milliseconds: int) -> Duration:
    return Duration(seconds=milliseconds / 1000)


Sent = Callable[[End, End], tuple[End, End]]
WAYS = [(Streams.UPSTREAM, lambda d, a: (d, a)), (Streams.DOWNSTREAM, lambda d, a: (a, d))]
"""Stream, and of (dialling, answering) who sends on it to whom."""


# ------------------------------------------------------------------------- latency


@pytest.mark.parametrize(("stream", "sent"), WAYS)
async def test_a_delay_is_that_of_its_stream(line: Line, stream: Streams, sent: Sent) -> None:
    """So long that no busy machine takes the other stream for delayed, too."""
    loop = asyncio.get_running_loop()
    async with line.under(Latency(one_way=ms(1000), stream=stream)):
        source, sink = sent(*await line.dial())
        started = loop.time()
        source.transport.write(b"late")
        sink.transport.write(b"at once")
        assert await source.hears(7) == b"at once"
        at_once, _ = source.pieces[0]
        assert await sink.hears(4) == b"late"
        late, _ = sink.pieces[0]
        assert late - started >= 1.0
        assert at_once < late
        source.transport.close()


async def test_a_jitter_spreads_what_arrives_and_keeps_its_order(line: Line) -> None:
    loop = asyncio.get_running_loop()
    async with line.under(Latency(one_way=ms(60), jitter=ms(40), stream=Streams.UPSTREAM)):
        dialled, answering = await line.dial()
        delays = []
        for number in range(24):
            started = loop.time()
            dialled.transport.write(bytes([number]))
            await answering.hears(number + 1)
            delays.append(answering.pieces[-1][0] - started)
        assert answering.data == bytes(range(24))
        assert min(delays) >= 0.020
        assert min(delays) < 0.060, "24 draws, half of them below: at random once in 16 million"
        assert max(delays) - min(delays) > 0.020
        dialled.transport.close()


async def test_a_delay_lets_one_piece_go_when_another_toxic_comes_or_goes(line: Line) -> None:
    """What stands is felt in spite of it: one answer that comes early is no end of a fault."""
    loop = asyncio.get_running_loop()
    async with line.under(Latency(one_way=ms(4000), stream=Streams.UPSTREAM)):
        dialled, answering = await line.dial()
        started = loop.time()
        for number, shape in enumerate((LimitData(bytes=10**9).shape, None), 1):
            dialled.transport.write(b"x")
            await asyncio.sleep(SILENCE_S)
            assert len(answering.data) == number - 1
            await line.client.shape(NAME, "limit_data", shape)
            assert len(await answering.hears(number)) == number
            assert answering.pieces[-1][0] - started < 4.0
        dialled.transport.close()


# ------------------------------------------------------------------------ toxicity


async def test_a_toxicity_spares_whole_connections(line: Line) -> None:
    """Each is cut off after ten bytes, or carries all: decided once, at its beginning."""
    heard: list[int] = []
    async with line.under(LimitData(bytes=10, stream=Streams.UPSTREAM, toxicity=0.5)):
        for _ in range(40):
            dialled, answering = await line.dial()
            for heard_by_now in (5, 10):
                dialled.transport.write(b"x" * 5)
                await answering.hears(heard_by_now)
            dialled.transport.write(b"x" * 50)
            heard.append(len(await answering.hears(60)))
            dialled.transport.close()
            await answering.ends()
    assert set(heard) == {10, 60}
    assert 5 <= heard.count(10) <= 35, "of 40 coins; at random once in a million"


# -------------------------------------------------------------------------- slicer


@pytest.mark.parametrize(("stream", "sent"), WAYS)
async def test_slices_are_seen_where_they_arrive(line: Line, stream: Streams, sent: Sent) -> None:
    """A busy receiver takes several at once; never half of one."""
    text = bytes(range(200)) * 4
    source, sink = sent(*await line.dial())
    source.transport.write(text)
    assert await sink.hears(len(text)) == text
    assert len(sink.pieces) <= 2, "written at once, it arrives at once"
    source.transport.close()
    async with line.under(Slicer(bytes=50, microseconds=20_000, stream=stream)):
        source, sink = sent(*await line.dial())
        source.transport.write(text)
        assert await sink.hears(len(text)) == text
        assert len(sink.pieces) > 4
        assert {size % 50 for size in sink.sizes} == {0}
        sink.transport.write(text)
        assert await source.hears(len(text)) == text
        assert len(source.pieces) <= 2, "the other stream is whole"
        source.transport.close()


async def test_slices_vary(line: Line) -> None:
    text = bytes(range(200)) * 4
    slicer = Slicer(bytes=50, variation=45, microseconds=20_000, stream=Streams.UPSTREAM)
    async with line.under(slicer):
        dialled, answering = await line.dial()
        dialled.transport.write(text)
        assert await answering.hears(len(text)) == text
        assert len(answering.pieces) > 4
        assert len(set(answering.sizes)) > 2
        assert {size % 50 for size in answering.sizes} != {0}
        dialled.transport.close()


# --------------------------------------------------------- ends of connections


async def test_limit_data_cuts_off_in_the_middle(line: Line) -> None:
    """Each connection and stream has its own; an end of one stream ends both."""
    async with line.under(LimitData(bytes=1000)):
        for _ in range(2):
            dialled, answering = await line.dial()
            answering.transport.write(b"y" * 999)
            assert await dialled.hears(999) == b"y" * 999
            dialled.transport.write(b"x" * 5000)
            assert await answering.hears(5000) == b"x" * 1000
            await answering.ends()
            await dialled.ends()


async def test_limit_data_of_one_stream_leaves_the_other(line: Line) -> None:
    async with line.under(LimitData(bytes=1000, stream=Streams.DOWNSTREAM)):
        dialled, answering = await line.dial()
        dialled.transport.write(b"x" * 5000)
        assert await answering.hears(5000) == b"x" * 5000
        answering.transport.write(b"y" * 5000)
        assert await dialled.hears(5000) == b"y" * 1000
        await dialled.ends()


async def test_a_reset_is_an_rst_and_not_an_end(line: Line) -> None:
    old, _ = await line.dial()
    await line.whole()
    async with line.under(Reset()):
        new, _ = await line.dial()
        new.transport.write(b"x")
        assert isinstance(await new.ends(), ConnectionResetError)
        assert not old.ended.done(), "it has sent nothing"
        old.transport.write(b"x")
        assert await old.ends() is None, "open before: an end, no RST"


async def test_a_reset_comes_so_long_after_the_first_byte(line: Line) -> None:
    loop = asyncio.get_running_loop()
    async with line.under(Reset(after=ms(300))):
        dialled, _ = await line.dial()
        started = loop.time()
        dialled.transport.write(b"x")
        assert isinstance(await dialled.ends(), ConnectionResetError)
        assert dialled.ended.result() - started >= 0.3


async def test_an_end_arrives_late(line: Line) -> None:
    loop = asyncio.get_running_loop()

    async def seconds_to_end() -> float:
        dialled, answering = await line.dial()
        dialled.transport.write(b"last words")
        assert await answering.hears(10) == b"last words"
        started = loop.time()
        dialled.transport.close()
        assert await answering.ends() is None
        return answering.ended.result() - started

    async with line.under(SlowClose(delay=ms(1500), stream=Streams.UPSTREAM)):
        assert await seconds_to_end() >= 1.5
    assert await seconds_to_end() < 1.5
    async with line.under(SlowClose(delay=ms(1500), stream=Streams.DOWNSTREAM)):
        assert await seconds_to_end() < 1.5


async def test_a_timeout_swallows_and_ends_what_is_silent(line: Line) -> None:
    loop = asyncio.get_running_loop()
    async with line.under(Timeout(after=ms(400))):
        dialled, answering = await line.dial()
        dialled.transport.write(b"swallowed")
        started = loop.time()
        assert await dialled.ends() is None
        assert dialled.ended.result() - started >= 0.4
        await answering.ends()
        assert answering.data == b""


async def test_a_timeout_without_an_end_ends_with_the_fault(line: Line) -> None:
    async with line.under(Timeout(stream=Streams.UPSTREAM)):
        dialled, answering = await line.dial()
        dialled.transport.write(b"swallowed")
        answering.transport.write(b"heard")
        assert await dialled.hears(5) == b"heard"
        assert await _silent(answering)
    await dialled.ends()
    await answering.ends()
    assert answering.data == b""


async def _silent(end: End) -> bool:
    await asyncio.wait([end.ended], timeout=SILENCE_S)
    return end.data == b"" and not end.ended.done()
