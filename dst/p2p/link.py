"""One dialled link: everything this operator sends to one peer. Reconnects for ever.

The other direction of the same connection carries only HELLO, pongs and a refusal; what the peer
has to say comes over the link that the peer dials. So there is no tie-break between two dialling
sides, and a fault on one directed link is a fault of that direction alone.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Final, Protocol

from dst.p2p.framing import FrameError, FrameReader, encode_frame
from dst.p2p.handshake import (
    MAX_ANSWER_BYTES,
    MAX_HELLO_BYTES,
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
from dst.p2p.refusals import Reason, RefusalLog
from dst.p2p.send_queue import Entry, SendQueue
from dst.p2p.tls import TlsIdentity
from dst.p2p.watch import PeerWatch, WatchEvents
from dst.runtime.allowance import Allowance
from dst.runtime.backoff import Backoff
from dst.runtime.log import Logger, Ration
from dst.runtime.metrics import Metrics
from dst.spec.primitives import Height, OperatorIndex

ESTABLISH_TIMEOUT_S: Final = 3.0
"""For TCP, TLS and HELLO together. A fault proxy may accept and then say nothing, so this bounds
how long a healed path can be missed; it still allows a round trip of a second."""

PING_INTERVAL_S: Final = 0.1
"""Through a proxy neither TCP keep-alive nor a FIN tells the truth: only what arrives does. Silence
is noticed after two or three intervals (`reachability`)."""

MOST_PINGS_PER_S: Final = 40
"""Of one operator, to all: ten operators on one machine must not spend it on pings."""

GIVE_UP_S: Final = 3.0
"""So many seconds' worth of pings without an answer, and the connection is dialled anew. Counted,
not timed: a process that was stopped itself has missed nothing."""

SILENCE_S: Final = 4.0
"""After which a listener gives a connection up; a little more than its dialler waits."""

ANSWER_EVERY_S: Final = 0.5
"""While anything arrives, also a large frame whose sender's pings wait behind it. Not each ping:
answers tell no more than that the connection lives."""

PONGS_AT_ONCE: Final = 32
PONG_EVERY_S: Final = ANSWER_EVERY_S / 2
"""What may come of them: twice what is owed, and at once what may have waited on a path that stood
for `SILENCE_S`. Not one a ping: where peers are many they are pinged less often than answered."""

STEADY_S: Final = 3.0
FREE_FLAPS: Final = 2
"""Links in a row that ended sooner than that and were dialled anew at once, as any is that has
stood: a process that starts, ends, and starts again. From then on the next dial waits as after a
failure, since each link that comes up has the owner say everything again, and a peer may say HELLO
and hang up as often as it is dialled."""

WRITE_BUFFER_BYTES: Final = 64 << 10
"""Above this the link counts as congested and frames wait in the queue, where they can still
be dropped."""

READ_BYTES: Final = 64 << 10

PINGS_REMEMBERED: Final = 64
"""When each of the latest was sent: twice what is under way before the connection is given up."""


def ping_interval_s(peers: int) -> float:
    return max(PING_INTERVAL_S, peers / MOST_PINGS_PER_S)


class LinkEvents(WatchEvents, Protocol):
    """What the owner of the links hears. Calls are synchronous and must not block.

    `link_up` and `link_down` are about sending: the connection that we dial. `peer_lost` and
    `peer_heard` are about what the peer says.
    """

    def link_up(self, peer: OperatorIndex, hello: Hello) -> None: ...

    def link_down(self, peer: OperatorIndex) -> None: ...

    def received(self, peer: OperatorIndex, body: bytes) -> None: ...

    def clock_told(self, peer: OperatorIndex, clock_s: float, round_trip_s: float) -> None:
        """Its wall clock showed `clock_s` (Unix seconds) within the last `round_trip_s`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Where to dial an operator (a fault proxy stands there, so connecting may succeed and then
    end)."""

    index: OperatorIndex
    host: str
    port: int

    @property
    def name(self) -> str:
        return f"op{self.index + 1}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkContext:
    """What all links of one operator share."""

    identity: TlsIdentity
    hello: Callable[[], Hello]
    events: LinkEvents
    watch: PeerWatch
    ping_interval_s: float
    now: Callable[[], float]
    """The own wall clock, Unix seconds: told to peers, used for nothing."""
    metrics: Metrics
    log: Logger


class LinkLost(Exception):
    """The connection is of no further use; the message says why."""


class HandshakeRefused(Exception):
    """One side said no; the message names the differing field."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Flooded(LinkLost):
    """The other side sends more than it owes."""


class OutboundLink:
    """Owns the dialled connection to one peer and the queue in front of it."""

    def __init__(self, peer: Peer, context: LinkContext, backoff: Backoff | None = None) -> None:
        self.peer = peer
        self._context = context
        self._backoff = backoff or Backoff()
        self._queue = SendQueue()
        self._wake = asyncio.Event()
        self._writer: asyncio.StreamWriter | None = None
        self._refusals = RefusalLog(context.log)
        self._unanswered = 0
        self._pinged_at: dict[int, float] = {}
        self._flaps = 0
        self._told_up: bool | None = None
        """What the log says last."""
        self._ration = Ration()

    @property
    def is_up(self) -> bool:
        return self._writer is not None

    def send(self, body: bytes, height: Height | None) -> None:
        """Queue an encoded frame body; never blocks. While the link is down it is dropped: what
        still matters is said again when the link comes up."""
        writer = self._writer
        if writer is None:
            self._count("p2p_dropped_total", reason="down")
            return
        if not self._queue and not self._congested(writer):
            self._write(writer, body)
            return
        self._queue.put(Entry(body=body, height=height))
        self._wake.set()

    def raise_floor(self, height: Height) -> None:
        self._queue.raise_floor(height)

    async def run(self) -> None:
        """Dial, serve, and dial again, until cancelled."""
        while True:
            try:
                await self._connect_and_serve()
            except Flooded as error:
                self._count("p2p_refused_total", reason=Reason.FLOOD)
                self._tell(up=False, reason=str(error))
            except (OSError, TimeoutError, LinkLost) as error:
                self._tell(up=False, reason=str(error) or type(error).__name__)
            except FrameError as error:
                self._count("p2p_refused_total", reason=Reason.GARBLED)
                self._tell(up=False, reason=str(error))
            except HandshakeRefused as error:
                self._count("p2p_refused_total", reason=error.reason)
                self._refusals.refused(self.peer.name, "dialler", str(error))
                self._told_up = None
            self._context.watch.ours_is(self.peer.index, up=False)
            await asyncio.sleep(self._backoff.next_delay())

    async def _connect_and_serve(self) -> None:
        reader, writer = None, None
        self._count("p2p_dials_total")
        try:
            async with asyncio.timeout(ESTABLISH_TIMEOUT_S):
                reader, writer = await self._dial()
                frames = FrameReader(MAX_HELLO_BYTES, MAX_ANSWER_BYTES)
                hello, surplus = await self._shake_hands(reader, writer, frames)
            self._established(writer, hello)
            await self._serve(reader, writer, frames, surplus)
        finally:
            if writer is not None:
                self._lost(writer)

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            reader, writer = await asyncio.open_connection(
                self.peer.host, self.peer.port, ssl=self._context.identity.client
            )
        except ssl.SSLCertVerificationError as error:
            detail = f"certificate: {error.verify_message}"
            raise HandshakeRefused(Reason.CERTIFICATE, detail) from error
        set_no_delay(writer)
        tune_buffers(writer)
        return reader, writer

    async def _shake_hands(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, frames: FrameReader
    ) -> tuple[Hello, list[bytes]]:
        """HELLO both ways; returns the peer's and the frames that came right behind it.

        Raises: HandshakeRefused, LinkLost, FrameError.
        """
        certified = certified_peer(self._context.identity, writer)
        if certified != self.peer.index:
            detail = f"certificate: it belongs to operator index {certified}"
            raise HandshakeRefused(Reason.CERTIFICATE, detail)
        ours = self._context.hello()
        writer.write(encode_frame(encode_link_frame(ours)))
        bodies = await read_frames(reader, frames)
        answer = decode_first_frame(bodies[0], ours)
        if isinstance(answer, HelloRefused):
            raise HandshakeRefused(Reason.HELLO, clip_refusal(answer).for_log())
        refused = judge_hello(ours, answer, certified=certified)
        if refused is not None:
            writer.write(encode_frame(encode_link_frame(refused)))
            raise HandshakeRefused(Reason.HELLO, refused.for_log())
        return answer, bodies[1:]

    def _established(self, writer: asyncio.StreamWriter, hello: Hello) -> None:
        self._writer = writer
        self._unanswered = 0
        self._pinged_at.clear()
        self._flaps += 1
        if self._flaps <= FREE_FLAPS:
            self._backoff.reset()
        self._refusals.accepted(self.peer.name, "dialler")
        self._context.metrics.set("p2p_link_up", 1, peer=self.peer.name)
        self._tell(up=True, decided=hello.decided_height)
        self._context.watch.ours_is(self.peer.index, up=True)
        self._context.events.link_up(self.peer.index, hello)

    def _lost(self, writer: asyncio.StreamWriter) -> None:
        was_up = self._writer is not None
        self._writer = None
        writer.transport.abort()
        dropped = self._queue.clear()
        if dropped:
            self._count("p2p_dropped_total", dropped, reason="down")
        if was_up:
            self._context.metrics.set("p2p_link_up", 0, peer=self.peer.name)
            self._context.metrics.drop("p2p_round_trip_seconds", peer=self.peer.name)
            self._context.events.link_down(self.peer.index)

    async def _serve(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        frames: FrameReader,
        surplus: list[bytes],
    ) -> None:
        await run_until_first_ends(
            self._listen_for_pongs(reader, frames, surplus),
            self._ping(writer),
            self._pump(writer),
        )

    async def _listen_for_pongs(
        self, reader: asyncio.StreamReader, frames: FrameReader, surplus: list[bytes]
    ) -> None:
        bodies = surplus
        owed = Allowance(at_once=PONGS_AT_ONCE, every_s=PONG_EVERY_S)
        while True:
            for body in bodies:
                self._on_control(decode_link_frame(body), owed)
            bodies = await read_frames(reader, frames)

    def _on_control(self, frame: LinkFrame, owed: Allowance) -> None:
        """No turn for others in between: anything but a few pongs ends the link."""
        match frame:
            case Pong():
                if not owed.take(asyncio.get_running_loop().time()):
                    raise Flooded("more pongs than it owes")
                self._unanswered = 0  # also those sent since: the path works
                self._tell_clock(frame)
            case HelloRefused():
                raise HandshakeRefused(Reason.HELLO, clip_refusal(frame).for_log())
            case _:
                kind = type(frame).__name__
                raise FrameError(f"peer sent {kind} on a link that is ours to send")

    def _tell_clock(self, pong: Pong) -> None:
        pinged_at = self._pinged_at.pop(pong.number, None)
        if pinged_at is not None:
            round_trip_s = asyncio.get_running_loop().time() - pinged_at
            self._count("p2p_pongs_total")
            self._context.metrics.quickest(
                "p2p_round_trip_seconds", round_trip_s, peer=self.peer.name
            )
            self._context.events.clock_told(self.peer.index, pong.clock_ms / 1000, round_trip_s)

    async def _ping(self, writer: asyncio.StreamWriter) -> None:
        number, interval_s = 0, self._context.ping_interval_s
        loop = asyncio.get_running_loop()
        steady_at = loop.time() + STEADY_S
        while True:
            if loop.time() >= steady_at:
                self._note_steady()
            if self._unanswered * interval_s >= GIVE_UP_S:
                raise LinkLost(f"{self._unanswered} pings unanswered")
            number += 1
            self._unanswered += 1
            self._pinged_at[number] = loop.time()
            self._pinged_at.pop(number - PINGS_REMEMBERED, None)
            writer.write(encode_frame(encode_link_frame(Ping(number))))
            await asyncio.sleep(interval_s)

    async def _pump(self, writer: asyncio.StreamWriter) -> None:
        """Move the queue onto the wire as fast as the peer reads."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                # What waits here stays in the queue, so that nothing sent meanwhile overtakes it.
                await writer.drain()
                if (entry := self._queue.pop()) is not None:
                    self._write(writer, entry.body)
            self._report_drops()

    def _write(self, writer: asyncio.StreamWriter, body: bytes) -> None:
        frame = encode_frame(body)
        self._count("p2p_sent_bytes_total", len(frame))
        writer.write(frame)

    def _congested(self, writer: asyncio.StreamWriter) -> bool:
        return writer.transport.get_write_buffer_size() > WRITE_BUFFER_BYTES

    def _report_drops(self) -> None:
        for reason, count in (
            ("stale", self._queue.dropped_stale),
            ("full", self._queue.dropped_full),
        ):
            if count:
                self._count("p2p_dropped_total", count, reason=reason)
        self._queue.dropped_stale = self._queue.dropped_full = 0

    def _count(self, name: str, amount: float = 1, **labels: str) -> None:
        self._context.metrics.inc(name, amount, peer=self.peer.name, **labels)

    def _note_steady(self) -> None:
        self._flaps = 0
        self._backoff.reset()
        self._tell(up=True)

    def _tell(self, *, up: bool, **details: object) -> None:
        """Each change once; of many only some, but the log catches up."""
        if self._told_up is not up and self._ration.may_say():
            event = "link_up" if up else "link_down"
            self._context.log.info(event, peer=self.peer.name, **details)
            self._told_up = up


async def run_until_first_ends(*coroutines: Coroutine[object, object, None]) -> None:
    """Run all until one returns or raises; cancel the others; raise what it raised.

    Not a TaskGroup: before Python 3.13 a group that is cancelled while a child fails reports the
    failure alone, and a reconnect loop that catches the failure would never end.
    """
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        if task in done:
            task.result()


def certified_peer(identity: TlsIdentity, writer: asyncio.StreamWriter) -> OperatorIndex | None:
    """The operator whose pinned key the other side of `writer` proved to hold."""
    connection: ssl.SSLObject | None = writer.get_extra_info("ssl_object")
    return None if connection is None else identity.peer_of(connection)


async def read_frames(reader: asyncio.StreamReader, frames: FrameReader) -> list[bytes]:
    """Read until at least one frame is complete.

    Raises: LinkLost at the end of the stream; FrameError when it is not a sequence of frames.
    """
    while True:
        data = await reader.read(READ_BYTES)
        if not data:
            frames.finish()
            raise LinkLost("closed by the other side")
        if bodies := frames.feed(data):
            return bodies


def set_no_delay(writer: asyncio.StreamWriter) -> None:
    """Votes are small and urgent: never wait to fill a segment."""
    connection: socket.socket | None = writer.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def tune_buffers(writer: asyncio.StreamWriter) -> None:
    writer.transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
