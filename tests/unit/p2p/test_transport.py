"""Live links: real TLS 1.3 over loopback."""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from dst.p2p import link, reachability
from dst.p2p.framing import MAX_FRAME_BYTES, FrameError, FrameReader, encode_frame
from dst.p2p.handshake import (
    Data,
    Hello,
    HelloRefused,
    Ping,
    Pong,
    decode_link_frame,
    encode_link_frame,
)
from dst.p2p.listener import FRAMES_A_TURN, answer
from dst.p2p.tls import TlsIdentity, load_identity
from dst.runtime.metrics import Metrics
from dst.spec.errors import BadConfig, StoreDamaged
from dst.spec.primitives import Height, OperatorIndex

Start = Callable[..., Awaitable[Any]]
Run = Callable[..., AbstractAsyncContextManager[Any]]
MakeHello = Callable[..., Hello]

BODY = msgspec.msgpack.encode(["vote", 1])


async def dial(
    port: int, identity: TlsIdentity
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port, ssl=identity.client)


async def read_until_closed(reader: asyncio.StreamReader) -> list[object]:
    frames, seen = FrameReader(), []
    try:
        async with asyncio.timeout(8):
            while data := await reader.read(65536):
                seen += [decode_link_frame(body) for body in frames.feed(data)]
    except (ConnectionError, ssl.SSLError):
        pass
    return list(seen)


async def poll_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(8):
        while not condition():
            await asyncio.sleep(0.01)


async def test_message_reaches_the_peer_and_names_its_sender(start_node: Start) -> None:
    receiver = await start_node(1, {})
    sender = await start_node(0, {1: receiver.transport.port}, decided_height=Height(5))
    await sender.heard.until(lambda heard: bool(heard.ups))
    assert sender.transport.up_peers() == (OperatorIndex(1),)
    sender.transport.send(OperatorIndex(1), BODY, height=Height(1))
    sender.transport.broadcast(BODY, height=None)
    await receiver.heard.until(lambda heard: len(heard.bodies) == 2)
    assert receiver.heard.bodies == [(OperatorIndex(0), BODY)] * 2


async def test_pongs_tell_the_peers_clock(start_node: Start) -> None:
    receiver = await start_node(1, {}, now=lambda: 1_800_000_000.1234)
    sender = await start_node(0, {1: receiver.transport.port})
    await sender.heard.until(lambda heard: len(heard.clocks) >= 2)
    for peer, clock_s, round_trip_s in sender.heard.clocks:
        assert (peer, clock_s) == (OperatorIndex(1), 1_800_000_000.123)
        assert 0 < round_trip_s < 5
    assert receiver.heard.clocks == [], "who answers learns nothing"


async def test_a_link_tells_its_dials_and_round_trips(
    start_node: Start, run_node: Run, unused_tcp_port: int
) -> None:
    sender = await start_node(0, {1: unused_tcp_port})
    metrics = sender.metrics

    def round_trips() -> list[str]:
        return [line for line in metrics.render().splitlines() if "p2p_round_trip_seconds" in line]

    await poll_until(lambda: metrics.get("p2p_dials_total", peer="op2") >= 2)
    assert round_trips() == [], "nobody answers"
    async with run_node(1, {}, unused_tcp_port):
        await sender.heard.until(lambda heard: len(heard.clocks) >= 2)
        told = metrics.get("p2p_round_trip_seconds", peer="op2")
        assert told == min(seconds for _, _, seconds in sender.heard.clocks)
        assert metrics.get("p2p_pongs_total", peer="op2") == len(sender.heard.clocks)
        dials = metrics.get("p2p_dials_total", peer="op2")
    await sender.heard.until(lambda heard: bool(heard.downs))
    assert round_trips() == [], "what was measured is no news of a link that is down"
    await poll_until(lambda: metrics.get("p2p_dials_total", peer="op2") > dials)


async def test_order_is_kept_under_congestion(start_node: Start) -> None:
    receiver = await start_node(1, {})
    sender = await start_node(0, {1: receiver.transport.port})
    await sender.heard.until(lambda heard: bool(heard.ups))
    sent = [msgspec.msgpack.encode([number, bytes(40_000)]) for number in range(60)]
    for body in sent:
        sender.transport.send(OperatorIndex(1), body, height=Height(1))
    await receiver.heard.until(lambda heard: len(heard.bodies) == len(sent))
    assert [body for _, body in receiver.heard.bodies] == sent


async def test_a_flood_of_small_frames_leaves_every_other_task_its_turn(
    start_node: Start, keys: Any, make_hello: MakeHello
) -> None:
    node = await start_node(1, {})
    turns, seen = 0, []

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    node.heard.received = lambda peer, body: seen.append(turns)
    reader, writer = await dial(node.transport.port, keys.identity("op1", ("op2",)))
    writer.write(encode_frame(encode_link_frame(make_hello(0))))
    await reader.read(65536)
    task = asyncio.get_running_loop().create_task(others())
    count = 20 * FRAMES_A_TURN
    writer.write(encode_frame(encode_link_frame(Data(msgspec.Raw(BODY)))) * count)
    await poll_until(lambda: len(seen) == count)
    task.cancel()
    writer.transport.abort()
    assert max(seen.count(turn) for turn in set(seen)) <= FRAMES_A_TURN


async def test_message_larger_than_a_frame_is_the_callers_error(start_node: Start) -> None:
    receiver = await start_node(1, {})
    sender = await start_node(0, {1: receiver.transport.port})
    with pytest.raises(FrameError, match="exceeds"):
        sender.transport.broadcast(msgspec.msgpack.encode(bytes(MAX_FRAME_BYTES)), height=None)


async def test_down_link_drops_with_a_metric(start_node: Start, unused_tcp_port: int) -> None:
    sender = await start_node(0, {1: unused_tcp_port})
    sender.transport.send(OperatorIndex(1), BODY, height=None)
    assert sender.metrics.get("p2p_dropped_total", peer="op2", reason="down") == 1


async def test_reconnects_to_a_restarted_peer(
    start_node: Start, run_node: Run, unused_tcp_port: int
) -> None:
    sender = await start_node(0, {1: unused_tcp_port})
    async with run_node(1, {}, unused_tcp_port):
        await sender.heard.until(lambda heard: len(heard.ups) == 1)
    await sender.heard.until(lambda heard: len(heard.downs) == 1)
    async with run_node(1, {}, unused_tcp_port, decided_height=Height(9)) as again:
        await sender.heard.until(lambda heard: len(heard.ups) == 2)
        assert sender.heard.ups[1][1].decided_height == 9
        sender.transport.broadcast(BODY, height=None)
        await again.heard.until(lambda heard: bool(heard.bodies))


async def test_survives_a_proxy_that_accepts_and_ends(
    start_node: Start, run_node: Run, unused_tcp_port: int
) -> None:
    attempts = asyncio.Semaphore(0)

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        attempts.release()
        writer.close()

    proxy = await asyncio.start_server(hang_up, "127.0.0.1", unused_tcp_port)
    sender = await start_node(0, {1: unused_tcp_port})
    for _ in range(3):
        await asyncio.wait_for(attempts.acquire(), 5)
    assert sender.heard.ups == []
    proxy.close()
    async with run_node(1, {}, unused_tcp_port):
        await sender.heard.until(lambda heard: bool(heard.ups))


async def test_silent_path_is_noticed_by_missed_pings(
    start_node: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that stops forwarding keeps both sockets open: only the missing pong tells."""
    monkeypatch.setattr(link, "GIVE_UP_S", 0.5)
    receiver = await start_node(1, {})
    blackhole = asyncio.Event()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if not blackhole.is_set():
                writer.write(data)
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", receiver.transport.port)
        async with asyncio.TaskGroup() as group:
            group.create_task(forward(reader, far_writer))
            group.create_task(forward(far_reader, writer))

    proxy = await asyncio.start_server(relay, "127.0.0.1", 0)
    sender = await start_node(0, {1: proxy.sockets[0].getsockname()[1]})
    await sender.heard.until(lambda heard: len(heard.ups) == 1)
    blackhole.set()
    await sender.heard.until(lambda heard: len(heard.downs) == 1)
    blackhole.clear()
    await sender.heard.until(lambda heard: len(heard.ups) == 2)
    proxy.close()


async def test_a_peer_that_ends_is_lost_at_once(
    start_node: Start,
    run_node: Run,
    unused_tcp_port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No silence tells it here: both connections are closed."""
    monkeypatch.setattr(reachability, "FIRST_PATIENCE_S", 3600.0)
    monkeypatch.setattr(reachability, "LEAST_PATIENCE_S", 3600.0)
    monkeypatch.setattr(reachability, "MOST_PATIENCE_S", 3600.0)
    watcher = await start_node(1, {0: unused_tcp_port})
    await watcher.heard.until(lambda heard: heard.lost == [OperatorIndex(0)])
    async with run_node(0, {1: watcher.transport.port}, unused_tcp_port):
        await watcher.heard.until(lambda heard: bool(heard.ups) and not heard.lost)
    await watcher.heard.until(lambda heard: heard.lost == [OperatorIndex(0)])


async def test_a_silent_peer_is_lost_and_heard_again_over_the_same_connections(
    start_node: Start, unused_tcp_port: int
) -> None:
    """A frozen process keeps its connections open; it is noticed before they are given up."""
    watcher = await start_node(1, {0: unused_tcp_port})
    thawed = asyncio.Event()
    thawed.set()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await thawed.wait()
            writer.write(data)
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", watcher.transport.port)
        async with asyncio.TaskGroup() as group:
            group.create_task(forward(reader, far_writer))
            group.create_task(forward(far_reader, writer))

    proxy = await asyncio.start_server(relay, "127.0.0.1", 0)
    peer = await start_node(0, {1: proxy.sockets[0].getsockname()[1]}, port=unused_tcp_port)
    await peer.heard.until(lambda heard: bool(heard.ups))
    await watcher.heard.until(lambda heard: bool(heard.ups) and not heard.lost)
    thawed.clear()
    await watcher.heard.until(lambda heard: heard.lost == [OperatorIndex(0)])
    thawed.set()
    await watcher.heard.until(lambda heard: not heard.lost)
    assert (watcher.heard.downs, peer.heard.downs) == ([], [])
    assert len(peer.heard.ups) == 1
    proxy.close()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lock_hash", b"\x22" * 32),
        ("chain_id", 8),
        ("round_timeout_ms", 501),
        ("protocol_version", 1),
    ],
)
async def test_differing_hello_is_refused_and_named_on_both_sides_once(
    start_node: Start, caplog: pytest.LogCaptureFixture, field: str, value: object
) -> None:
    caplog.set_level(logging.INFO, "dst")
    receiver = await start_node(1, {})
    sender = await start_node(0, {1: receiver.transport.port}, **{field: value})

    def lines(side: str) -> list[str]:
        return [
            record.getMessage()
            for record in caplog.records
            if "link_refused" in record.getMessage() and f"side={side}" in record.getMessage()
        ]

    await poll_until(lambda: bool(lines("dialler") and lines("listener")))
    await asyncio.sleep(0.4)  # several more attempts, which must not be logged again
    assert sender.heard.ups == []
    assert receiver.heard.bodies == []
    for node, peer in ((sender, "op2"), (receiver, "op1")):
        assert node.metrics.get("p2p_refused_total", peer=peer, reason="hello") > 1
    for side in ("dialler", "listener"):
        (line,) = lines(side)
        assert field in line
        assert (value.hex() if isinstance(value, bytes) else str(value)) in line


async def test_stranger_is_refused_by_tls(start_node: Start, keys: Any) -> None:
    receiver = await start_node(1, {})
    reader, writer = await dial(receiver.transport.port, keys.identity("stranger", ("op2",)))
    # TLS 1.3 lets the client believe in the handshake; the refusal arrives with the first read.
    with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(1), 5)
    writer.transport.abort()
    assert receiver.heard.bodies == []


async def test_wrong_peer_behind_an_address_is_refused(
    start_node: Start, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = await start_node(1, {})
    sender = await start_node(0, {2: receiver.transport.port})  # op2 answers where op3 should
    await poll_until(
        lambda: any("belongs to operator index 1" in r.getMessage() for r in caplog.records)
    )
    assert sender.heard.ups == []
    assert sender.metrics.get("p2p_refused_total", peer="op3", reason="certificate") > 0


async def test_tls_1_2_is_refused(start_node: Start, keys: Any) -> None:
    receiver = await start_node(1, {})
    identity = keys.identity("op1", ("op2",))
    identity.client.minimum_version = ssl.TLSVersion.TLSv1_2
    identity.client.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await dial(receiver.transport.port, identity)


def frame(body: object) -> bytes:
    return encode_frame(msgspec.msgpack.encode(body))


@pytest.mark.parametrize(
    "poison",
    [
        (MAX_FRAME_BYTES + 1).to_bytes(4, "big"),
        encode_frame(b"\xc1garbage"),
        frame(["unknown", 1]),
        frame(["hello"]),
        frame(["pong", 1]),
        encode_frame(b"\x92\xa4data"),
    ],
    ids=["oversized", "garbage", "unknown-tag", "short-hello", "wrong-way", "truncated-body"],
)
async def test_poisoned_stream_ends_the_link_and_nothing_else(
    start_node: Start, keys: Any, make_hello: MakeHello, poison: bytes
) -> None:
    receiver = await start_node(1, {})
    reader, writer = await dial(receiver.transport.port, keys.identity("op1", ("op2",)))
    writer.write(encode_frame(encode_link_frame(make_hello(0))))
    writer.write(encode_frame(encode_link_frame(Data(msgspec.Raw(BODY)))))
    await receiver.heard.until(lambda heard: bool(heard.bodies))
    writer.write(poison)
    answers = await read_until_closed(reader)
    assert isinstance(answers[0], Hello)
    assert receiver.heard.bodies == [(OperatorIndex(0), BODY)]
    assert receiver.metrics.get("p2p_refused_total", peer="op1", reason="garbled") == 1
    healthy = await start_node(0, {1: receiver.transport.port})
    await healthy.heard.until(lambda heard: bool(heard.ups))


async def test_data_before_hello_is_refused(start_node: Start, keys: Any) -> None:
    receiver = await start_node(1, {})
    reader, writer = await dial(receiver.transport.port, keys.identity("op1", ("op2",)))
    writer.write(encode_frame(encode_link_frame(Data(msgspec.Raw(BODY)))))
    assert await read_until_closed(reader) == []
    assert receiver.heard.bodies == []


async def test_foreign_index_in_hello_is_answered_with_its_name(
    start_node: Start, keys: Any, make_hello: MakeHello
) -> None:
    receiver = await start_node(1, {})
    reader, writer = await dial(receiver.transport.port, keys.identity("op1", ("op2",)))
    writer.write(encode_frame(encode_link_frame(make_hello(2))))
    assert await read_until_closed(reader) == [HelloRefused("index", "0 (by certificate)", "2")]


async def test_a_damaged_store_that_a_message_asks_for_is_the_roles_affair(
    start_node: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reaches the role at once, through the loop's exception handler, and counts against
    nobody."""
    damage = StoreDamaged("kept.sqlite", "block 7", "restore it")

    def read(*_: object) -> None:
        raise damage

    told: asyncio.Queue[BaseException] = asyncio.Queue()
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: told.put_nowait(context["exception"])
    )
    a = await start_node(0, {1: 1})
    b = await start_node(1, {0: a.transport.port})
    monkeypatch.setattr(a.heard, "received", read)
    async with asyncio.timeout(5):
        while not b.transport.up_peers():
            await asyncio.sleep(0.01)
        b.transport.send(OperatorIndex(0), BODY, height=None)
        assert await told.get() is damage
    assert "refused" not in a.metrics.render()


async def test_taken_port_is_a_clear_error(start_node: Start) -> None:
    holder = await start_node(1, {})
    with pytest.raises(BadConfig, match=f"port {holder.transport.port} .* taken"):
        await start_node(0, {}, port=holder.transport.port)


def test_foreign_certificate_is_named(keys: Any, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"op3\.crt holds key"):
        load_identity(
            own_certificate=keys.folder / "op1.crt",
            own_key=keys.folder / "op1.key",
            own_pin=keys.pins["op1"],
            peers=[(OperatorIndex(1), keys.folder / "op3.crt", keys.pins["op2"])],
        )
    with pytest.raises(BadConfig, match="No such file"):
        load_identity(
            own_certificate=tmp_path / "none.crt",
            own_key=keys.folder / "op1.key",
            own_pin=keys.pins["op1"],
            peers=[],
        )
    with pytest.raises(BadConfig, match="does not fit"):
        load_identity(
            own_certificate=keys.folder / "op1.crt",
            own_key=keys.folder / "op2.key",
            own_pin=keys.pins["op1"],
            peers=[],
        )


async def test_pings_are_answered_by_the_last_number_now_and_then(
    start_node: Start, keys: Any, make_hello: MakeHello
) -> None:
    """Not each: the dialler wants to know no more than that the connection lives."""
    receiver = await start_node(1, {})
    reader, writer = await dial(receiver.transport.port, keys.identity("op1", ("op2", "op3")))
    writer.write(encode_frame(encode_link_frame(make_hello(0))))
    frames, sent = FrameReader(), 0
    pongs: list[int] = []
    while len(pongs) < 4:
        sent += 1
        writer.write(encode_frame(encode_link_frame(Ping(sent))))
        with suppress(TimeoutError):
            async with asyncio.timeout(0.02):
                bodies = frames.feed(await reader.read(65536))
                found = [decode_link_frame(body) for body in bodies]
                pongs += [each.number for each in found if isinstance(each, Pong)]
    assert 0 < pongs[-1] <= sent
    assert len(pongs) < sent, "not every one"
    assert pongs == sorted(pongs)
    writer.transport.abort()


def test_pings_without_reading_the_answers_end_the_link() -> None:
    """Pongs that nobody reads must not pile up here."""

    class Stuffed:
        transport: Any = None
        unread = 0

        def get_write_buffer_size(self) -> int:
            return self.unread

        def write(self, data: bytes) -> None:
            self.unread += len(data)

    writer: Any = Stuffed()
    writer.transport = writer

    def flood() -> None:
        for _ in range(link.WRITE_BUFFER_BYTES):
            answer(writer, 2**53, 1.8e9)

    with pytest.raises(link.LinkLost):
        flood()
    assert writer.unread < link.WRITE_BUFFER_BYTES + 100


async def test_nothing_overtakes_what_waits_for_a_slow_peer() -> None:
    """The buffer empties while the pump is about to write the oldest entry."""
    written: list[bytes] = []
    drained, buffered = asyncio.Event(), [10 * link.WRITE_BUFFER_BYTES]
    writer: Any = SimpleNamespace(
        drain=drained.wait,
        write=written.append,
        transport=SimpleNamespace(get_write_buffer_size=lambda: buffered[0]),
    )
    context: Any = SimpleNamespace(log=None, metrics=Metrics())
    outbound = link.OutboundLink(link.Peer(index=OperatorIndex(1), host="", port=1), context)
    outbound._writer = writer
    async with asyncio.timeout(8), asyncio.TaskGroup() as group:
        pump = group.create_task(outbound._pump(writer))
        outbound.send(b"first", None)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        buffered[0] = 0
        outbound.send(b"second", None)
        drained.set()
        while len(written) < 2:
            await asyncio.sleep(0)
        pump.cancel()
    assert written == [encode_frame(b"first"), encode_frame(b"second")]


@pytest.mark.parametrize(("peers", "interval_s"), [(1, 0.1), (3, 0.1), (6, 0.15), (9, 0.225)])
def test_many_peers_are_pinged_less_often(peers: int, interval_s: float) -> None:
    assert link.ping_interval_s(peers) == pytest.approx(interval_s)
