"""The JSON-RPC of one node in process: a chain on disk, a pool, events, a clock that a test sets,
and a real HTTP and WebSocket listener when asked."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from dst.apis.jsonrpc import answer_body, rpc_routes
from dst.apis.jsonrpc.ws import DEFAULT_LIMITS, WebSocketLimits, WebSockets
from dst.execution.block.executed import ExecutedBlock
from dst.execution.call_workers import CallWorkers
from dst.execution.events import Events
from dst.execution.pool.announcements import Announcements
from dst.execution.pool.service import TransactionPool
from dst.execution.rpc.dev_accounts import dev_keys
from dst.execution.rpc.dispatch import Threads
from dst.execution.rpc.families import Given, serve_families
from dst.execution.slots import SlotClock
from dst.execution.turns import Turns
from dst.mempool.pool import SenderState
from dst.runtime.browsers import LOCAL_ORIGINS, BrowserPolicy
from dst.runtime.http import make_app, serving
from dst.runtime.metrics import Metrics
from dst.spec.primitives import ZERO_HASH, Hash32
from dst.transactions.decoded import decode_once
from dst.transactions.transaction import Transaction
from tests.ports import free_port
from tests.unit.execution.worlds import GENESIS_TIME, World

SECONDS_PER_SLOT = 2
DEV_KEYS = dev_keys()


class Rpc:
    """`now` is the clock's reading; a fresh bench stands at genesis."""

    def __init__(self, world: World, threads: Threads, *, dev: bool = True) -> None:
        self.world, self.now = world, float(GENESIS_TIME)
        self.metrics, self.events = Metrics(), Events()
        self.pool = TransactionPool(world.chain, self.metrics)
        self.pool.on_added.append(self.events.transactions)
        self.clock = SlotClock(
            genesis_time=GENESIS_TIME, seconds_per_slot=SECONDS_PER_SLOT, now=lambda: self.now
        )
        self.accepted: list[Transaction] = []
        self.pool.on_accepted.append(self.accepted.append)
        self.sealed: int | None = None

        async def sealed_height() -> int | None:
            return self.sealed

        self.served = serve_families(
            Given(
                chain=world.chain,
                pool=self.pool,
                events=self.events,
                threads=threads,
                clock=self.clock,
                announcements=Announcements(self.pool),
                peers=3,
                dev_keys=DEV_KEYS if dev else (),
                sealed_height=sealed_height,
            )
        )

    async def reply(self, method: str, *params: Any) -> dict[str, Any]:
        """The whole answer."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        body = await answer_body(msgspec.json.encode(request), self.served.from_client)
        assert body is not None
        answer: dict[str, Any] = msgspec.json.decode(body)
        return answer

    async def ask(self, method: str, *params: Any) -> Any:
        """The result; an error fails the test."""
        answer = await self.reply(method, *params)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    async def error(self, method: str, *params: Any) -> dict[str, Any]:
        answer = await self.reply(method, *params)
        assert "error" in answer, answer
        error: dict[str, Any] = answer["error"]
        return error

    def add(self, *transactions: Transaction) -> None:
        """Into the pool, as a client's."""
        for each in transactions:
            self.pool.admit(self.pool.examine(each.raw))

    def extend(self, candidates: Sequence[Transaction] = (), **changes: Any) -> ExecutedBlock:
        """A block on the head, made the head."""
        block = self.world.build(candidates, **changes).block
        self.world.chain.insert(block)
        self.point_at(block.hash)
        return block

    def fork(
        self, parent: Hash32, candidates: Sequence[Transaction] = (), **changes: Any
    ) -> ExecutedBlock:
        """A block on any block; the head stays."""
        block = self.world.build(candidates, parent=parent, **changes).block
        self.world.chain.insert(block)
        return block

    def point_at(self, head: Hash32, safe: Hash32 = ZERO_HASH, final: Hash32 = ZERO_HASH) -> None:
        """What forkchoiceUpdated does: move the pointers, tell the pool, tell the listeners."""
        chain = self.world.chain
        change = chain.set_forkchoice(head, safe, final)
        header = chain.header(head)
        assert header is not None
        reader = chain.reader(header.state_root)
        senders = {
            each.sender
            for block_hash in (*change.added, *change.removed)
            for each in _transactions(chain.body(block_hash).transactions)
        }
        accounts = {
            each: SenderState(reader.get_nonce(each), reader.get_balance(each)) for each in senders
        }
        self.pool.learn(accounts, {})
        self.events.on_head(change)

    @asynccontextmanager
    async def listening(
        self, limits: WebSocketLimits = DEFAULT_LIMITS, policy: BrowserPolicy | None = None
    ) -> AsyncIterator[str]:
        """host:port of a listener, with the publisher running."""
        sockets = WebSockets(limits)
        routes = rpc_routes(
            lambda _: self.served.from_client,
            websockets=sockets,
            warning=lambda: self.clock.complaint(self.world.chain.heads.head),
        )
        app = make_app(
            self.metrics,
            routes,
            policy=policy or BrowserPolicy(origins=frozenset({LOCAL_ORIGINS})),
            health=lambda: self.clock.complaint(self.world.chain.heads.head),
        )
        async with listening(app) as address, asyncio.TaskGroup() as group:
            publisher = group.create_task(self.served.subscriptions.run())
            try:
                yield address
            finally:
                publisher.cancel()


def _transactions(raws: Sequence[bytes]) -> Iterator[Transaction]:
    return map(decode_once, raws)


@asynccontextmanager
async def listening(app: web.Application) -> AsyncIterator[str]:
    """host:port of an app on a free port, served as in production."""
    address = f"127.0.0.1:{free_port()}"
    async with serving(app, address, what="test"):
        yield address


@contextmanager
def running(world: World, *, dev: bool = True) -> Iterator[Rpc]:
    with ThreadPoolExecutor(1, "read") as read, CallWorkers(Turns(), workers=2) as call:
        yield Rpc(world, Threads(read=read, call=call), dev=dev)


class Socket:
    """A WebSocket client: answers by id, notifications in order."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.notifications: list[dict[str, Any]] = []
        self._id = 0

    async def ask(self, method: str, *params: Any) -> Any:
        answer = await self.reply(method, *params)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    async def reply(self, method: str, *params: Any) -> dict[str, Any]:
        self._id += 1
        request = {"jsonrpc": "2.0", "id": self._id, "method": method, "params": list(params)}
        await self.socket.send_json(request)
        while True:
            message = await self._receive()
            if message.get("id") == self._id:
                return message
            self.notifications.append(message["params"])

    async def next(self) -> dict[str, Any]:
        """The next notification's params."""
        if self.notifications:
            return self.notifications.pop(0)
        params: dict[str, Any] = (await self._receive())["params"]
        return params

    async def _receive(self) -> dict[str, Any]:
        async with asyncio.timeout(10):
            message: dict[str, Any] = await self.socket.receive_json()
        return message


@asynccontextmanager
async def connected(address: str, **headers: str) -> AsyncIterator[Socket]:
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(f"ws://{address}/", headers=headers) as socket:
            yield Socket(socket)
