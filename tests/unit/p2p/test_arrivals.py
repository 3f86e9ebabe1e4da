"""Who holds what of the p2p port before HELLO: strangers, members, and one member many times."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from dst.p2p import arrivals, listener
from dst.p2p.arrivals import (
    HANDSHAKE_EVERY_S,
    HANDSHAKES_AT_ONCE,
    MOST_ADDRESSES,
    OF_ONE_ADDRESS_AT_ONCE,
    OF_ONE_ADDRESS_EVERY_S,
    OF_ONE_PEER,
    PLACES,
    Arrivals,
    Handshakes,
)
from dst.p2p.framing import MAX_FRAME_BYTES, FrameReader
from dst.p2p.handshake import MAX_HELLO_BYTES, Hello, decode_link_frame, encode_link_frame
from dst.runtime.places import Place, PlaceLimits
from dst.spec.cluster import MAX_OPERATORS
from dst.spec.primitives import OperatorIndex

Start = Callable[..., Awaitable[Any]]
SMALL = PlaceLimits(total=4, reserved=4, per_address=2)
OP1, OP2 = OperatorIndex(0), OperatorIndex(1)


class Wire:
    """Of a transport, what is asked here."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host, self.is_aborted = host, False

    def get_extra_info(self, name: str) -> object:
        return {"peername": (self.host, 1)}[name]

    def abort(self) -> None:
        self.is_aborted = True


class Port:
    def __init__(self) -> None:
        self.arrivals = Arrivals(SMALL)

    def arrive(self, host: str = "127.0.0.1", now: float = 0.0) -> tuple[Any, Place | None]:
        wire: Any = Wire(host)
        return wire, self.arrivals.enter(wire, now)

    def certified(self, peer: OperatorIndex) -> tuple[Any, Place]:
        wire, place = self.arrive()
        assert place is not None
        self.arrivals.certify(place, peer)
        return wire, place


def test_strangers_make_room_for_each_other() -> None:
    port = Port()
    wires = [port.arrive()[0] for _ in range(20)]
    standing = SMALL.total + SMALL.reserved
    assert [each.is_aborted for each in wires] == [True] * (20 - standing) + [False] * standing
    assert len(port.arrivals) == standing


def test_an_address_has_its_share_and_no_more() -> None:
    port = Port()
    for _ in range(SMALL.per_address):
        port.arrive("192.0.2.1")
    refused, place = port.arrive("192.0.2.1")
    assert (refused.is_aborted, place) == (True, None)
    other, _ = port.arrive("192.0.2.2")
    assert not other.is_aborted


def test_no_stranger_takes_the_place_of_a_member() -> None:
    port = Port()
    member, _ = port.certified(OP1)
    for _ in range(20):
        port.arrive()
    assert not member.is_aborted


def test_of_one_member_the_newest_stay() -> None:
    port = Port()
    other, _ = port.certified(OP2)
    wires = [port.certified(OP1)[0] for _ in range(OF_ONE_PEER + 2)]
    assert [each.is_aborted for each in wires] == [True, True, False, False]
    assert not other.is_aborted


def test_who_said_hello_or_closed_is_not_counted() -> None:
    port = Port()
    for _ in range(20):
        wire, place = port.certified(OP1)
        port.arrivals.leave(place)
        port.arrivals.leave(place)
        assert not wire.is_aborted
    assert len(port.arrivals) == 0
    port.arrivals.certify(place, OP1)
    assert [port.certified(OP1)[0].is_aborted for _ in range(OF_ONE_PEER)] == [False] * OF_ONE_PEER


def test_each_operator_of_the_largest_cluster_has_its_places() -> None:
    assert (MAX_OPERATORS - 1) * OF_ONE_PEER <= PLACES.reserved


# --------------------------------------------------------------------------- handshakes a second


HOSTS = [f"192.0.2.{number}" for number in range(50)]
NOW = 1000.0


def spend(handshakes: Handshakes, hosts: list[str]) -> None:
    """What these may begin at once."""
    for number in range(2 * max(HANDSHAKES_AT_ONCE, OF_ONE_ADDRESS_AT_ONCE)):
        handshakes.may_begin(hosts[number % len(hosts)], NOW)


@pytest.mark.parametrize(
    ("hosts", "every_s"), [(1, OF_ONE_ADDRESS_EVERY_S), (50, HANDSHAKE_EVERY_S)]
)
def test_strangers_begin_so_many_handshakes_a_second(hosts: int, every_s: float) -> None:
    handshakes = Handshakes()
    spend(handshakes, HOSTS[:hosts])
    begun = sum(
        handshakes.may_begin(HOSTS[number % hosts], NOW + number / 1000) for number in range(4000)
    )
    assert begun == pytest.approx(4 / every_s, abs=2)


def test_one_host_keeps_no_other_out() -> None:
    handshakes = Handshakes()
    spend(handshakes, HOSTS[:1])
    assert not handshakes.may_begin(HOSTS[0], NOW)
    assert handshakes.may_begin("198.51.100.1", NOW), "op1, of whom nothing is known yet"


def test_known_operators_keep_theirs_whatever_strangers_do() -> None:
    handshakes = Handshakes()
    handshakes.learn(OP1, "198.51.100.1")
    spend(handshakes, HOSTS)
    assert not handshakes.may_begin("198.51.100.2", NOW), "strangers have spent what they have"
    assert all(handshakes.may_begin("198.51.100.1", NOW) for _ in range(OF_ONE_ADDRESS_AT_ONCE))
    assert not handshakes.may_begin("198.51.100.1", NOW), "an operator may be hostile, too"


def test_a_known_operator_spends_nothing_of_strangers() -> None:
    handshakes = Handshakes()
    handshakes.learn(OP1, "198.51.100.1")
    handshakes.learn(OP2, "198.51.100.2")
    spend(handshakes, ["198.51.100.1", "198.51.100.2"])
    begun = sum(handshakes.may_begin(host, NOW) for host in HOSTS for _ in range(4))
    assert begun == HANDSHAKES_AT_ONCE


def test_an_operator_that_moved_leaves_its_old_address_to_strangers() -> None:
    handshakes = Handshakes()
    handshakes.learn(OP1, "198.51.100.1")
    handshakes.learn(OP1, "198.51.100.2")
    spend(handshakes, HOSTS)
    assert not handshakes.may_begin("198.51.100.1", NOW)
    assert handshakes.may_begin("198.51.100.2", NOW)


def test_no_more_addresses_are_remembered_than_it_says() -> None:
    handshakes = Handshakes()
    for number in range(3 * MOST_ADDRESSES):
        handshakes.may_begin(f"2001:db8:{number:x}::/64", 0.0)
    assert len(handshakes._of_address) == MOST_ADDRESSES


def test_who_comes_too_often_gets_no_place_and_who_was_certified_does() -> None:
    port = Port()
    member = port.arrive("198.51.100.1")[1]
    assert member is not None
    port.arrivals.certify(member, OP1)
    for number in range(2 * HANDSHAKES_AT_ONCE):
        place = port.arrive(HOSTS[number % len(HOSTS)])[1]
        if place is not None:
            port.arrivals.leave(place)
    wire, place = port.arrive("203.0.113.1")
    assert (wire.is_aborted, place) == (True, None)
    assert port.arrive("198.51.100.1")[1] is not None


# ------------------------------------------------------------------------------- over loopback


async def test_strangers_turned_away_are_counted(
    start_node: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "OF_ONE_ADDRESS_AT_ONCE", 1)
    monkeypatch.setattr(arrivals, "OF_ONE_ADDRESS_EVERY_S", 3600.0)
    node = await start_node(1, {})
    for _ in range(3):
        reader, writer = await asyncio.open_connection("127.0.0.1", node.transport.port)
        writer.write(b"no TLS at all")
        assert await is_ended(reader)
        writer.transport.abort()
    assert node.metrics.get("p2p_refused_total", peer="stranger", reason="crowded") == 2


@pytest.fixture
def no_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ends here does not end because of its silence."""
    monkeypatch.setattr(listener, "ESTABLISH_TIMEOUT_S", 3600.0)


async def is_ended(reader: asyncio.StreamReader) -> bool:
    with suppress(ConnectionError, ssl.SSLError):
        async with asyncio.timeout(8):
            return await reader.read(1) == b""
    return True


async def test_a_member_announces_no_more_than_a_hello(
    start_node: Start, keys: Any, no_timeout: None
) -> None:
    node = await start_node(1, {})
    client = keys.identity("op1", ("op2",)).client
    for length in (MAX_FRAME_BYTES, MAX_HELLO_BYTES + 1):
        reader, writer = await asyncio.open_connection("127.0.0.1", node.transport.port, ssl=client)
        writer.write(length.to_bytes(4, "big"))
        assert await is_ended(reader)
        writer.transport.abort()
    assert node.metrics.get("p2p_refused_total", peer="op1", reason="garbled") == 2


async def test_of_a_member_that_dials_and_says_nothing_two_are_kept(
    start_node: Start, keys: Any, make_hello: Callable[..., Hello], no_timeout: None
) -> None:
    node = await start_node(1, {})
    client = keys.identity("op1", ("op2",)).client
    dialled = [
        await asyncio.open_connection("127.0.0.1", node.transport.port, ssl=client)
        for _ in range(OF_ONE_PEER + 1)
    ]
    assert await is_ended(dialled[0][0])
    for reader, writer in dialled[1:]:
        body = encode_link_frame(make_hello(0))
        writer.write(len(body).to_bytes(4, "big") + body)
        async with asyncio.timeout(8):
            answer, *_ = FrameReader().feed(await reader.read(65536))
        assert isinstance(decode_link_frame(answer), Hello)
    for _, writer in dialled:
        writer.transport.abort()


async def test_a_member_comes_in_while_strangers_hold_the_port(
    start_node: Start, no_timeout: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "PLACES", SMALL)
    node = await start_node(1, {})
    held: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def flood() -> None:
        while True:
            held.append(await asyncio.open_connection("127.0.0.1", node.transport.port))
            await asyncio.sleep(0.005)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(flood())
        async with asyncio.timeout(8):
            while len(held) < 30:
                await asyncio.sleep(0.01)
        member = await start_node(0, {1: node.transport.port})
        await member.heard.until(lambda heard: bool(heard.ups))
        task.cancel()
    for reader, _ in held[: -SMALL.total - SMALL.reserved]:
        assert await is_ended(reader)
    for _, writer in held:
        writer.transport.abort()


async def test_a_link_that_is_up_outlasts_whatever_its_member_dials_beside_it(
    start_node: Start, keys: Any, no_timeout: None
) -> None:
    node = await start_node(1, {})
    member = await start_node(0, {1: node.transport.port})
    await member.heard.until(lambda heard: bool(heard.ups))
    client = keys.identity("op1", ("op2",)).client
    dialled = [
        await asyncio.open_connection("127.0.0.1", node.transport.port, ssl=client)
        for _ in range(OF_ONE_PEER + 1)
    ]
    assert await is_ended(dialled[0][0])
    for _, writer in dialled:
        writer.transport.abort()
    async with asyncio.timeout(8):
        while len(node.transport._listener._arrivals):
            await asyncio.sleep(0.01)
    assert member.heard.downs == []
