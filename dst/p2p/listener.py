"""The listening side of the links: everything the other operators send to this one.

A connection earns trust in two steps: its certificate must be pinned (TLS refuses strangers), and
its HELLO must fit. Each peer has at most one inbound link; a newer one replaces the older, which a
peer that restarted or lost its path has forgotten anyway.
"""

import asyncio
import errno
import ssl
from collections.abc import Callable
from typing import Final

from dst.p2p.arrivals import PLACES, Arrivals
from dst.p2p.framing import FrameError, FrameReader, encode_frame
from dst.p2p.handshake import (
    MAX_HELLO_BYTES,
    Data,
    Hello,
    HelloRefused,
    LinkFrame,
    Ping,
    Pong,
    clip_refusal,
    decode_first_frame,
    decode_link_frame,
    encode_link_frame,
    judge_hello,
)
from dst.p2p.link import (
    ANSWER_EVERY_S,
    ESTABLISH_TIMEOUT_S,
    READ_BYTES,
    SILENCE_S,
    WRITE_BUFFER_BYTES,
    HandshakeRefused,
    LinkContext,
    LinkLost,
    certified_peer,
    read_frames,
    set_no_delay,
)
from dst.p2p.refusals import Reason, RefusalLog
from dst.runtime.places import Place
from dst.spec.errors import BadConfig
from dst.spec.primitives import OperatorIndex

FRAMES_A_TURN: Final = 16
"""Of one peer, before the loop's other tasks run: a read of the smallest ones holds ten thousand,
and all of them at once would hold up timers and votes for tens of milliseconds."""


class Listener:
    def __init__(self, context: LinkContext, *, host: str, port: int) -> None:
        self._context = context
        self._host, self._port = host, port
        self._refusals = RefusalLog(context.log)
        self._arrivals = Arrivals(PLACES)
        self._current: dict[OperatorIndex, asyncio.StreamWriter] = {}
        self._tasks: set[asyncio.Task[None]] = set()  # the loop itself keeps none alive
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The bound port (differs from the configured one when that was 0)."""
        assert self._server is not None, "listener not started"
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Bind and accept. Raises: BadConfig when the address cannot be had."""
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: _Caller(self._on_arrival), self._host, self._port
            )
        except OSError as error:
            why = "is taken by another program" if error.errno == errno.EADDRINUSE else "fails"
            raise BadConfig(
                f"p2p_listen: port {self._port} on {self._host} {why} ({error.strerror});"
                " stop the other program or choose another port"
            ) from error

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        self._arrivals.end_all()
        for writer in self._current.values():
            writer.transport.abort()
        self._current.clear()

    def _on_arrival(self, tcp: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        place = self._arrivals.enter(tcp, loop.time())
        if place is None:
            self._count("stranger", Reason.CROWDED)
            return
        task = loop.create_task(self._on_connection(tcp, place))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """What it raised is no peer's doing, and is told at once."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            context = {"message": "a connection's task failed", "exception": error, "task": task}
            task.get_loop().call_exception_handler(context)

    async def _on_connection(self, tcp: asyncio.Transport, place: Place) -> None:
        """One connection's whole life; nothing that a peer does may raise into the event loop."""
        try:
            reader, writer = await _start_tls(tcp, self._context.identity.server)
            await self._on_tls(place, reader, writer)
        except OSError as error:
            tcp.abort()
            self._context.log.debug("inbound_lost", peer="stranger", reason=str(error))
        finally:
            self._arrivals.leave(place)

    async def _on_tls(
        self, place: Place, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        peer = certified_peer(self._context.identity, writer)
        name = "stranger" if peer is None else f"op{peer + 1}"
        try:
            if peer is None:
                detail = "certificate: not pinned to any operator of this cluster"
                raise HandshakeRefused(Reason.CERTIFICATE, detail)
            self._arrivals.certify(place, peer)
            frames = FrameReader(MAX_HELLO_BYTES)
            bodies = await self._welcome(peer, name, reader, writer, frames)
            self._arrivals.leave(place)
            await self._serve(peer, name, reader, writer, frames, bodies)
        except HandshakeRefused as error:
            self._count(name, error.reason)
            self._refusals.refused(name, "listener", str(error))
        except FrameError as error:
            self._count(name, Reason.GARBLED)
            self._refusals.garbled(name, str(error))
        except (OSError, TimeoutError, LinkLost) as error:
            self._context.log.debug("inbound_lost", peer=name, reason=str(error))
        finally:
            if peer is not None and self._current.get(peer) is writer:
                del self._current[peer]
                self._context.watch.theirs_is(peer, up=False)
            await _close(writer)

    async def _welcome(
        self,
        peer: OperatorIndex,
        name: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        frames: FrameReader,
    ) -> list[bytes]:
        """HELLO both ways; returns the frames that came right behind it.

        Raises: HandshakeRefused, FrameError, LinkLost, OSError, TimeoutError.
        """
        set_no_delay(writer)
        async with asyncio.timeout(ESTABLISH_TIMEOUT_S):
            bodies = await read_frames(reader, frames)
        self._answer_hello(peer, bodies[0], writer)
        self._refusals.accepted(name, "listener")
        older = self._current.get(peer)
        if older is not None:
            older.transport.abort()
        self._current[peer] = writer
        self._context.watch.theirs_is(peer, up=True)
        return bodies[1:]

    def _answer_hello(self, peer: OperatorIndex, body: bytes, writer: asyncio.StreamWriter) -> None:
        """Answer with our HELLO, or name the difference and refuse.

        Raises: HandshakeRefused, FrameError.
        """
        ours = self._context.hello()
        first = decode_first_frame(body, ours)
        refused = judge_hello(ours, first, certified=peer) if isinstance(first, Hello) else first
        if refused is not None:
            writer.write(encode_frame(encode_link_frame(refused)))
            raise HandshakeRefused(Reason.HELLO, clip_refusal(refused).for_log())
        writer.write(encode_frame(encode_link_frame(ours)))

    async def _serve(
        self,
        peer: OperatorIndex,
        name: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        frames: FrameReader,
        bodies: list[bytes],
    ) -> None:
        loop = asyncio.get_running_loop()
        answers_at, pinged = loop.time(), 0
        while True:
            for number, body in enumerate(bodies, start=1):
                pinged = self._on_frame(peer, decode_link_frame(body)) or pinged
                if number % FRAMES_A_TURN == 0:
                    await self._let_others_run(peer, writer)
            if loop.time() >= answers_at:
                answers_at = loop.time() + ANSWER_EVERY_S
                answer(writer, pinged, self._context.now())
            async with asyncio.timeout(SILENCE_S):
                data = await reader.read(READ_BYTES)
            if not data:
                frames.finish()
                raise LinkLost("closed by the dialler")
            self._context.metrics.inc("p2p_received_bytes_total", len(data), peer=name)
            self._context.watch.heard(peer)
            bodies = frames.feed(data)

    def _count(self, peer: str, reason: Reason) -> None:
        self._context.metrics.inc("p2p_refused_total", peer=peer, reason=reason)

    def _on_frame(self, peer: OperatorIndex, frame: LinkFrame) -> int | None:
        """The number of a ping."""
        match frame:
            case Data(body=body):
                self._context.events.received(peer, bytes(body))
                return None
            case Ping(number=number):
                self._context.watch.pinged(peer)
                return number
            case HelloRefused():
                raise HandshakeRefused(Reason.HELLO, clip_refusal(frame).for_log())
            case _:
                raise FrameError(f"{type(frame).__name__} after the handshake")

    async def _let_others_run(self, peer: OperatorIndex, writer: asyncio.StreamWriter) -> None:
        """Reading alone does not: it returns at once as long as anything has arrived.

        Raises: LinkLost when the peer has dialled anew meanwhile.
        """
        await asyncio.sleep(0)
        if self._current.get(peer) is not writer:
            raise LinkLost("replaced by a newer connection")


def answer(writer: asyncio.StreamWriter, number: int, now: float) -> None:
    """`now`: Unix seconds. Raises: LinkLost when the dialler does not read its answers."""
    if writer.transport.get_write_buffer_size() > WRITE_BUFFER_BYTES:
        raise LinkLost("pings without reading the answers")
    writer.write(encode_frame(encode_link_frame(Pong(number, clock_ms=max(0, round(now * 1000))))))


class _Caller(asyncio.Protocol):
    """A TCP connection of which nothing is read before TLS is to read it."""

    def __init__(self, on_arrival: Callable[[asyncio.Transport], None]) -> None:
        self._on_arrival = on_arrival

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        self._on_arrival(transport)


async def _start_tls(
    tcp: asyncio.Transport, context: ssl.SSLContext
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Raises: OSError when the other side is a stranger, silent, or gone."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport: asyncio.Transport | None = None
    if not tcp.is_closing():
        transport = await loop.start_tls(
            tcp, protocol, context, server_side=True, ssl_handshake_timeout=ESTABLISH_TIMEOUT_S
        )
    if transport is None:  # also when it was aborted during the handshake
        raise ConnectionAbortedError("gone before TLS")
    protocol.connection_made(transport)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def _close(writer: asyncio.StreamWriter) -> None:
    """Let a refusal reach the peer, but do not wait for one that is gone."""
    try:
        async with asyncio.timeout(0.5):
            writer.close()
            await writer.wait_closed()
    except (OSError, TimeoutError):
        writer.transport.abort()
