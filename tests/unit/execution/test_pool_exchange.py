"""Transactions between nodes: once to each, none back, all of them known everywhere."""

import asyncio
import gzip
import time
import tracemalloc
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from dst.apis.caller import CALLER
from dst.apis.jsonrpc import RpcError, rpc_routes
from dst.apis.jwt import check_jwt
from dst.execution.pool import forwarder
from dst.execution.pool.announcements import MAX_WAITING, MAX_WAITING_OF_ONE, Announcements
from dst.execution.pool.exchange import PoolExchange
from dst.execution.pool.peer import MAX_ANSWER_BYTES, Peer, peer_session
from dst.execution.pool.service import Source, TransactionPool
from dst.execution.rpc.dispatch import Threads, bind, entries
from dst.execution.rpc.pool_exchange import PoolExchangeMethods
from dst.execution.turns import Turns
from dst.mempool.departures import Departure, Fate
from dst.runtime.http import make_app, serving
from dst.runtime.metrics import Metrics
from dst.spec.errors import InvalidInput, Unavailable
from dst.spec.primitives import to_hex
from dst.transactions.transaction import InvalidTransaction
from tests.unit.execution.worlds import KEYS, World, make_world, signed, signed_raw


@dataclass
class Node:
    """A pool with its listener; `calls` are (method, parameters) as they came."""

    exchange: PoolExchange
    url: str
    calls: list[tuple[str, Any]] = field(default_factory=list)

    @property
    def pool(self) -> TransactionPool:
        return self.exchange.pool

    def called(self, name: str) -> list[Any]:
        return [params for method, params in self.calls if method == name]


class Network:
    """Nodes in one process, each with a chain and a listener of its own."""

    def __init__(self, folder: Path, ports: Any, stack: AsyncExitStack) -> None:
        self._folder, self._ports, self._stack = folder, ports, stack
        self._group: asyncio.TaskGroup | None = None

    async def node(
        self,
        name: str,
        *,
        url: str | None = None,
        forward_to: list[str] | None = None,
        subscribe_to: list[str] | None = None,
        serves: bool = True,
    ) -> Node:
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        world = make_world(folder)
        self._stack.callback(world.store.close)
        read = self._stack.enter_context(ThreadPoolExecutor(1))
        exchange = PoolExchange(
            world.chain,
            Metrics(),
            Turns(),
            data_dir=folder,
            forward_to=forward_to or [],
            subscribe_to=subscribe_to or [],
            faulty=1,
        )
        self._stack.callback(exchange.close)
        node = Node(exchange=exchange, url=url or f"http://127.0.0.1:{self._ports()}")
        if serves:
            await self._stack.enter_async_context(self._serving(node, read))
        await self._stack.enter_async_context(running(exchange))
        return node

    @asynccontextmanager
    async def _serving(self, node: Node, read: ThreadPoolExecutor) -> AsyncIterator[None]:
        family = PoolExchangeMethods(node.pool, node.exchange.announcements)
        methods = bind(entries([family]), Threads(read=read, call=read))
        watched = {name: watch(node, name, method) for name, method in methods.items()}
        app = make_app(Metrics(), rpc_routes(lambda _: watched))
        async with serving(app, node.url.removeprefix("http://"), what="test"):
            yield


def watch(node: Node, name: str, method: Any) -> Any:
    async def watched(params: Any) -> object:
        node.calls.append((name, params))
        return await method(params)

    return watched


@asynccontextmanager
async def running(exchange: PoolExchange) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(exchange.run())
        try:
            yield
        finally:
            task.cancel()


@pytest.fixture
async def network(tmp_path: Path, unused_tcp_port_factory: Any) -> AsyncIterator[Network]:
    async with AsyncExitStack() as stack:
        yield Network(tmp_path, unused_tcp_port_factory, stack)


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.002)


async def operators_and_follower(network: Network, ports: Any) -> tuple[list[Node], Node]:
    urls = [f"http://127.0.0.1:{ports()}" for _ in range(4)]
    operators = [
        await network.node(f"op{index}", url=url, forward_to=[each for each in urls if each != url])
        for index, url in enumerate(urls, 1)
    ]
    follower = await network.node("f1", forward_to=urls, subscribe_to=urls)
    await until(lambda: all(len(each.called("dst_poolChanges")) > 1 for each in operators))
    return operators, follower


async def test_sent_to_an_operator_it_is_known_everywhere_and_travels_once(
    network: Network, unused_tcp_port_factory: Any
) -> None:
    operators, follower = await operators_and_follower(network, unused_tcp_port_factory)
    sent = [signed(nonce=nonce) for nonce in range(5)]
    for each in sent:
        await operators[0].pool.submit(each.raw, Source.CLIENT)
    nodes = [*operators, follower]
    await until(lambda: all(each.pool.counts() == (5, 0) for each in nodes))
    for other in operators[1:]:
        handed = [raw for (raws,) in other.called("dst_forwardTransactions") for raw in raws]
        assert sorted(handed) == sorted(to_hex(each.raw) for each in sent)
    assert operators[0].called("dst_forwardTransactions") == [], "none comes back"
    fetched = [
        each
        for node in operators
        for (hashes,) in node.called("dst_pooledTransactions")
        for each in hashes
    ]
    assert sorted(fetched) == sorted(to_hex(each.hash) for each in sent), "once, from one"


async def test_sent_to_a_follower_it_is_known_everywhere(
    network: Network, unused_tcp_port_factory: Any
) -> None:
    operators, follower = await operators_and_follower(network, unused_tcp_port_factory)
    await follower.pool.submit(signed().raw, Source.CLIENT)
    await until(lambda: all(each.pool.counts() == (1, 0) for each in operators))
    for each in operators:
        assert len(each.called("dst_forwardTransactions")) == 1
        assert each.called("dst_pooledTransactions") == [], "it does not ask for its own"


async def test_a_follower_that_comes_late_hears_of_everything(network: Network) -> None:
    operator = await network.node("op1")
    for nonce in range(300):
        await operator.pool.submit(signed_raw(nonce=nonce), Source.CLIENT)
    follower = await network.node("f1", subscribe_to=[operator.url])
    await until(lambda: follower.pool.counts() == (300, 0))


async def test_a_dead_announcer_does_not_keep_a_transaction(
    network: Network, unused_tcp_port_factory: Any
) -> None:
    """What one operator announced another one gives."""
    dead = f"http://127.0.0.1:{unused_tcp_port_factory()}"
    operator = await network.node("op1")
    follower = await network.node("f1", subscribe_to=[dead, operator.url])
    await operator.pool.submit(signed().raw, Source.CLIENT)
    await until(lambda: follower.pool.counts() == (1, 0))


async def test_a_target_that_was_down_gets_it_when_it_is_back(
    network: Network, unused_tcp_port_factory: Any
) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port_factory()}"
    first = await network.node("op1", forward_to=[url])
    await first.pool.submit(signed().raw, Source.CLIENT)
    await asyncio.sleep(0)
    second = await network.node("op2", url=url)
    await until(lambda: second.pool.counts() == (1, 0))


async def test_a_stock_client_is_served_with_standard_calls(
    network: Network, unused_tcp_port_factory: Any
) -> None:
    port = unused_tcp_port_factory()
    bodies: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        body = msgspec.json.decode(await request.read())
        bodies.append(body)
        if isinstance(body, list):
            return web.json_response([{"id": each["id"], "result": "0x"} for each in body])
        return web.json_response({"id": 1, "error": {"code": -32601, "message": "no method"}})

    app = make_app(Metrics(), [web.post("/", answer)])
    async with serving(app, f"127.0.0.1:{port}", what="test"):
        node = await network.node("op1", forward_to=[f"http://127.0.0.1:{port}"])
        for nonce in range(2):
            await node.pool.submit(signed_raw(nonce=nonce), Source.CLIENT)
            await until(lambda: sum(len(each) for each in lists(bodies)) > nonce)  # noqa: B023
    calls = [call for each in lists(bodies) for call in each]
    assert [call["params"] for call in calls] == [[to_hex(signed_raw(nonce=n))] for n in range(2)]
    assert sum(isinstance(each, dict) for each in bodies) == 1, "it is asked once what it serves"


@pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "gzip"}])
async def test_an_answer_without_end_is_not_read(
    unused_tcp_port: int, headers: dict[str, str]
) -> None:
    """An operator that lies: plain megabytes, or a few that unpack to gigabytes."""
    megabyte = bytes(2**20)
    pieces = [gzip.compress(megabyte * 128, 1)] if headers else [megabyte] * 128

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        with suppress(ConnectionError):
            for each in pieces:
                await response.write(each)
        return response

    app = web.Application()
    app.router.add_post("/", answer)
    url = f"http://127.0.0.1:{unused_tcp_port}"
    async with serving(app, f"127.0.0.1:{unused_tcp_port}", what="test"), peer_session() as session:
        tracemalloc.start()
        with pytest.raises(Unavailable):
            await Peer(url, session).call("dst_forwardTransactions", [[]], list[Any], 10.0)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 4 * MAX_ANSWER_BYTES


@pytest.mark.parametrize("host", ["a" * 70 + ".example", "127.0.0.1:1", "["])
async def test_nobody_is_sent_elsewhere(
    network: Network, unused_tcp_port_factory: Any, host: str
) -> None:
    """By an operator that lies. aiohttp raises a UnicodeError for a name with a long label."""
    asked = asyncio.Event()

    async def answer(_: web.Request) -> web.Response:
        asked.set()
        return web.Response(status=307, headers={"Location": f"http://{host}/"})

    app = web.Application()
    app.router.add_post("/", answer)
    address = f"127.0.0.1:{unused_tcp_port_factory()}"
    async with serving(app, address, what="test"):
        node = await network.node("op1", forward_to=[f"http://{address}"])
        await node.pool.submit(signed_raw(), Source.CLIENT)
        await asyncio.wait_for(asked.wait(), 5)
        async with peer_session() as session:
            with pytest.raises(Unavailable, match="307"):
                await Peer(f"http://{address}", session).call("any", [], list[Any], 5.0)
        asked.clear()
        await node.pool.submit(signed_raw(nonce=1), Source.CLIENT)
        await asyncio.wait_for(asked.wait(), 5)


def lists(bodies: list[Any]) -> list[Any]:
    return [each for each in bodies if isinstance(each, list)]


async def test_a_follower_believes_all_operators_but_f(
    network: Network, unused_tcp_port_factory: Any
) -> None:
    operators, follower = await operators_and_follower(network, unused_tcp_port_factory)
    transaction = signed()
    await operators[0].pool.submit(transaction.raw, Source.CLIENT)
    await until(lambda: all(each.pool.counts() == (1, 0) for each in [*operators, follower]))
    for each in operators[:2]:
        each.pool.drop_heavy(transaction.hash, "100 ms of CPU time were not enough")
    await until(lambda: len(follower.exchange._subscriber._verdicts.get(transaction.hash, ())) == 2)
    assert follower.pool.get(transaction.hash) is not None, "two could be liars and one"
    operators[2].pool.drop_heavy(transaction.hash, "100 ms of CPU time were not enough")
    await until(lambda: follower.pool.get(transaction.hash) is None)
    departure = follower.pool.departure(transaction.hash)
    assert departure is not None
    assert departure.fate is Fate.TOO_HEAVY


async def test_accepted_transactions_survive_a_restart(
    tmp_path: Path, unused_tcp_port_factory: Any
) -> None:
    """Underpriced, gapped and executable ones; what was replaced does not come back."""
    cheap = signed(KEYS[1], maxFeePerGas=10, maxPriorityFeePerGas=1)
    gapped, old = signed(nonce=5), signed()
    new = signed(maxFeePerGas=3 * 10**9, maxPriorityFeePerGas=2)
    async with AsyncExitStack() as stack:
        node = await Network(tmp_path, unused_tcp_port_factory, stack).node("op1")
        for each in (cheap, gapped, old, new):
            await node.pool.submit(each.raw, Source.CLIENT)
    async with AsyncExitStack() as stack:
        again = await Network(tmp_path, unused_tcp_port_factory, stack).node("op1")
        await until(lambda: again.pool.counts() == (2, 1))
        hashes = set(again.pool.hashes())
    assert hashes == {cheap.hash, gapped.hash, new.hash}


async def test_a_long_round_trip_does_not_serialise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request takes a second of this clock; 40 transactions leave in four at once."""
    under_way, most, done = 0, 0, 0

    async def slow(self: object, peer: object, raws: list[bytes]) -> bool:
        nonlocal under_way, most, done
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.05)
        under_way -= 1
        done += len(raws)
        return True

    monkeypatch.setattr(forwarder._Target, "_hand_over", slow)
    monkeypatch.setattr(forwarder, "MAX_BATCH", 10)
    monkeypatch.setattr(forwarder, "GAP_S", 0)
    sender = forwarder.Forwarder(["http://127.0.0.1:1"], Metrics())
    async with asyncio.TaskGroup() as group:
        task = group.create_task(sender.run())
        for nonce in range(40):
            sender.offer(signed(nonce=nonce))
        await until(lambda: done == 40)
        task.cancel()
    assert most == forwarder.MAX_UNDER_WAY


async def test_bad_input_is_refused(world: World) -> None:
    pool = TransactionPool(world.chain, Metrics())
    family = PoolExchangeMethods(pool, Announcements(pool))
    wrong: tuple[object, ...] = (None, {}, "0x", ["0x"] * 257, [1], ["zz"])
    for bad in wrong:
        with pytest.raises(InvalidInput):
            await family.forward_transactions(bad)
        with pytest.raises(InvalidInput):
            await family.pooled_transactions(bad)
    for epoch, cursor, wait in ((1, "0x0", "0x0"), ("", "0", "0x0"), ("", "0x0", None)):
        with pytest.raises(InvalidInput):
            await family.pool_changes(epoch, cursor, wait)
    (told,) = await family.forward_transactions(["0x02ff"])
    assert isinstance(told, dict)
    assert told["reason"] == "malformed"
    assert await family.pooled_transactions([to_hex(bytes(32))]) == [None]


@pytest.fixture
def world(tmp_path: Path) -> Any:
    world = make_world(tmp_path)
    yield world
    world.store.close()


async def test_all_hashes_are_encoded_once_for_all_who_ask(world: World) -> None:
    """Anybody may ask, again and again; until the pool changes it costs us next to nothing."""
    pool = TransactionPool(world.chain, Metrics())
    family = PoolExchangeMethods(pool, Announcements(pool))

    async def everything() -> object:
        return (await family.pool_changes("", "0x0", "0x0"))["added"]

    hashes: list[str] = []
    for transaction in (signed(), signed(KEYS[1])):
        await pool.submit(transaction.raw, Source.CLIENT)
        hashes.append(to_hex(transaction.hash))
        told = await everything()
        assert sorted(msgspec.json.decode(msgspec.json.encode(told))) == sorted(hashes)
        assert await everything() is told
    pool.believe(transaction.hash, Departure(fate=Fate.EVICTED, detail="pool_full", message="full"))
    assert msgspec.json.decode(msgspec.json.encode(await everything())) == hashes[:1]


async def test_changes_are_told_once_and_a_lost_listener_is_told_all(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = TransactionPool(world.chain, Metrics())
    ring = Announcements(pool)
    first = await ring.since("", 0, wait_s=1)
    assert (first.is_whole, first.added) == (True, ())
    one, two = signed(), signed(KEYS[1])
    await pool.submit(one.raw, Source.CLIENT)
    second = await ring.since(first.epoch, first.cursor, wait_s=1)
    assert (second.is_whole, second.added) == (False, (one.hash,))
    nothing = await ring.since(first.epoch, second.cursor, wait_s=0.001)
    assert (nothing.is_whole, nothing.added, nothing.departed) == (False, (), ())
    pool.believe(one.hash, Departure(fate=Fate.EVICTED, detail="pool_full", message="full"))
    await pool.submit(two.raw, Source.CLIENT)
    third = await ring.since(first.epoch, second.cursor, wait_s=1)
    assert (third.added, [each for each, _ in third.departed]) == ((two.hash,), [one.hash])
    for cursor in (third.cursor + 1, third.cursor - 100):
        lost = await ring.since(first.epoch, cursor, wait_s=1)
        assert (lost.is_whole, lost.added, lost.cursor) == (True, (two.hash,), third.cursor)


async def test_a_refusal_of_a_forwarded_transaction_can_be_asked_for(world: World) -> None:
    """Its sender was told a hash by another node."""
    pool = TransactionPool(world.chain, Metrics())
    await pool.submit(signed().raw, Source.CLIENT)
    other = signed(value=2)
    (outcome,) = await pool.submit_all([other.raw], Source.PEER)
    assert isinstance(outcome, InvalidTransaction)
    departure = pool.departure(other.hash)
    assert departure is not None
    assert (departure.fate, departure.detail) == (Fate.DROPPED, "underpriced_replacement")


async def test_operators_sign_what_they_send_and_followers_without_the_secret_do_not(
    unused_tcp_port: int,
) -> None:
    """The token is the one the Engine API takes."""
    tokens: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        tokens.append(request.headers.get("Authorization"))
        return web.json_response({"jsonrpc": "2.0", "id": 1, "result": []})

    address, secret = f"127.0.0.1:{unused_tcp_port}", bytes(range(32))
    app = make_app(Metrics(), [web.post("/", answer)])
    async with serving(app, address, what="test"), peer_session() as session:
        for each in (secret, None):
            peer = Peer(f"http://{address}", session, each)
            await peer.call("dst_forwardTransactions", [[]], list[Any], 5.0)
    assert check_jwt(secret, tokens[0], time.time()) is None
    assert tokens[1] is None


async def test_questions_that_wait_are_few_of_one_client_and_few_in_all(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    pool = TransactionPool(world.chain, Metrics())
    family = PoolExchangeMethods(pool, Announcements(pool))
    first = await family.pool_changes("", "0x0", "0x0")
    ended: list[str] = []

    async def ask(client: str, name: str, wait_ms: int = 20_000) -> None:
        CALLER.set(client)
        answer = await family.pool_changes(first["epoch"], first["cursor"], hex(wait_ms))
        assert answer["whole"] is False
        ended.append(name)

    async with asyncio.TaskGroup() as group:
        for number in range(MAX_WAITING_OF_ONE):
            group.create_task(ask("greedy", f"greedy {number}"))
        await asyncio.sleep(0)
        with pytest.raises(RpcError) as refusal:
            await ask("greedy", "one more")
        assert refusal.value.code == -32005
        for number in range(MAX_WAITING):
            group.create_task(ask(f"other {number}", f"other {number}"))
        async with asyncio.timeout(10):
            while len(ended) < MAX_WAITING_OF_ONE:
                await asyncio.sleep(0.01)
        assert sorted(ended) == [f"greedy {number}" for number in range(MAX_WAITING_OF_ONE)]
        pool.admit(pool.examine(signed_raw()))
    assert len(ended) == MAX_WAITING_OF_ONE + MAX_WAITING, "news ends every wait"
    world.store.close()
