"""What all subscriptions together may take of the event loop, and who goes when it is too much."""

import asyncio
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from dst.apis.jsonrpc.errors import RpcError
from dst.apis.jsonrpc.ws import DEFAULT_LIMITS, Session, current_session
from dst.execution.chain import HeadChange
from dst.execution.events import Events
from dst.execution.receipts import Log
from dst.execution.rpc import subscriptions, telling
from dst.execution.rpc.block_logs import BlockLogs
from dst.execution.rpc.dispatch import Threads
from dst.execution.rpc.subscriptions import Subscriptions
from dst.spec.primitives import to_hex
from tests.unit.execution.rpc.bench import Rpc, Socket, connected
from tests.unit.execution.rpc.contracts import LOGGER
from tests.unit.execution.rpc.test_logs import logging
from tests.unit.execution.worlds import signed


async def farewell_of(socket: Socket) -> tuple[int | None, str]:
    """Code and reason that the server closes with."""
    async with asyncio.timeout(10):
        while (message := await socket.socket.receive()).type is not aiohttp.WSMsgType.CLOSE:
            assert message.type is aiohttp.WSMsgType.TEXT, "cut off without a word"
    return message.data, message.extra or ""


async def test_who_is_owed_most_of_a_block_is_dismissed_with_a_reason(
    rpc: Rpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "MAX_TOLD_OF_BLOCK", 8)
    async with rpc.listening() as address:
        async with connected(address) as greedy, connected(address) as modest:
            for number in range(3):
                wanted = {"address": [to_hex(LOGGER), to_hex(bytes([number]) * 20)]}
                await greedy.ask("eth_subscribe", "logs", wanted)
            await modest.ask("eth_subscribe", "logs", {})
            rpc.extend([logging(number, nonce=number) for number in range(3)])
            told = [int((await modest.next())["result"]["data"], 16) for _ in range(3)]
            assert told == [0, 1, 2]
            code, reason = await farewell_of(greedy)
            assert code == aiohttp.WSCloseCode.POLICY_VIOLATION
            assert "too many notifications" in reason
            assert rpc.served.subscriptions.counts()["logs"] == 1


async def test_what_fits_a_block_dismisses_nobody(
    rpc: Rpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "MAX_TOLD_OF_BLOCK", 6)
    async with rpc.listening() as address, connected(address) as socket:
        for _ in range(2):
            await socket.ask("eth_subscribe", "logs", {})
        rpc.extend([logging(number, nonce=number) for number in range(3)])
        told = [int((await socket.next())["result"]["data"], 16) for _ in range(6)]
        assert told == [0, 0, 1, 1, 2, 2]


async def test_the_queue_of_transactions_dismisses_who_takes_most(
    rpc: Rpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "MAX_QUEUED_TRANSACTIONS", 4)
    async with rpc.listening() as address:
        async with connected(address) as greedy, connected(address) as modest:
            for _ in range(2):
                await greedy.ask("eth_subscribe", "newPendingTransactions")
            await modest.ask("eth_subscribe", "newPendingTransactions")
            made = [signed(nonce=number) for number in range(5)]
            for each in made:
                rpc.events.transactions(each)
            assert [(await modest.next())["result"] for _ in made] == [
                to_hex(each.hash) for each in made
            ]
            _, reason = await farewell_of(greedy)
            assert "too many transactions" in reason


async def test_subscriptions_to_transactions_weigh_what_they_cost(rpc: Rpc) -> None:
    async with rpc.listening() as address, connected(address) as socket:
        for _ in range(32):
            await socket.ask("eth_subscribe", "newPendingTransactions", True)
        refused = await socket.reply("eth_subscribe", "newPendingTransactions")
        assert refused["error"]["code"] == -32005


class LogsOfA(BlockLogs):
    """A block of many logs of one contract."""

    A = b"\xaa" * 20
    count = 0

    def __init__(self, *_: Any, **__: Any) -> None:
        self._encoded = {at: b"%d" % at for at in range(self.count)}

    def __iter__(self) -> Any:
        return enumerate([Log(self.A, (), b"")] * self.count)


class Turns:
    """Of the event loop."""

    count = 0

    async def go_on(self) -> None:
        while True:
            self.count += 1
            await asyncio.sleep(0)


@asynccontextmanager
async def counting_turns() -> AsyncIterator[Turns]:
    turns = Turns()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(turns.go_on())
        try:
            yield turns
        finally:
            task.cancel()


class Aborted(Session):
    """As a connection whose transport is aborted: it finishes a moment later."""

    def __init__(self) -> None:
        super().__init__(DEFAULT_LIMITS, self._finish_soon)

    def _finish_soon(self, _: str) -> None:
        asyncio.get_running_loop().call_soon(self.finish)


async def follow_a(told: Subscriptions, connections: int, each: int) -> list[Session]:
    """Sessions whose every subscription wants the contract, and others that nobody else wants."""
    sessions: list[Session] = []
    for _ in range(connections):
        session = Aborted()
        sessions.append(session)
        current_session.set(session)
        for _ in range(each):
            addresses = [to_hex(LogsOfA.A), *(to_hex(os.urandom(20)) for _ in range(3))]
            await told.subscribe("logs", {"address": addresses})
    return sessions


async def test_the_loop_has_its_turns_when_listeners_are_gone(
    rpc: Rpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that reads nothing is dropped while it is told: the rest of its block is walked in
    slices too."""
    monkeypatch.setattr(subscriptions, "MAX_TOLD_OF_BLOCK", 10**9)
    monkeypatch.setattr(telling, "BlockLogs", LogsOfA)
    monkeypatch.setattr(LogsOfA, "count", 500)
    rpc.extend([logging(1)])
    block = rpc.extend([logging(2, nonce=1)])
    with ThreadPoolExecutor(1) as read:
        threads = Threads(read=read, call=read)
        told = Subscriptions(rpc.world.chain, rpc.clock, Events(), threads)
        (session,) = await follow_a(told, 1, 100)
        async with counting_turns() as turns:
            await told._publish(1, HeadChange(added=(block.hash,)))
    assert session.closed
    assert turns.count >= 500 * 100 // telling.TOLD_AT_A_TIME


async def test_logs_and_groups_are_never_multiplied(
    rpc: Rpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2,000 logs that each of 1,024 subscriptions wants: the connections go, nothing is walked."""
    monkeypatch.setattr(telling, "BlockLogs", LogsOfA)
    monkeypatch.setattr(LogsOfA, "count", 2_000)
    block = rpc.extend([logging(2)])
    with ThreadPoolExecutor(1) as read:
        told = Subscriptions(rpc.world.chain, rpc.clock, Events(), Threads(read=read, call=read))
        sessions = await follow_a(told, 8, 128)
        reading = telling.BlockReading(
            rpc.world.chain, told._index, block.hash, removed=False, with_head=False, with_logs=True
        )
        while reading.go_on():
            pass
        assert {len(audiences) for _, audiences in reading.logs} == {1}
        assert list(reading.prices.values()) == [2_000]
        await told._publish(1, HeadChange(added=(block.hash,)))
    assert all(each.farewell for each in sessions)
    assert told.counts()["logs"] == 0


async def test_a_transaction_is_told_later_and_only_to_who_listened_before(rpc: Rpc) -> None:
    with ThreadPoolExecutor(1) as read:
        events = Events()
        told = Subscriptions(rpc.world.chain, rpc.clock, events, Threads(read=read, call=read))
        early, late = (Session(DEFAULT_LIMITS, lambda _: None) for _ in range(2))
        current_session.set(early)
        for _ in range(128):
            await told.subscribe("newPendingTransactions")
        first, second = signed(nonce=0), signed(nonce=1)
        events.transactions(first)
        assert not early._queue, "the pool does not wait for it"
        current_session.set(late)
        await told.subscribe("newPendingTransactions")
        events.transactions(second)
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            running = group.create_task(told._tell_transactions())
            message = await late.next()
            running.cancel()
    assert message is not None
    assert to_hex(second.hash).encode() in message
    assert not late._queue
    assert len(early._queue) == 256


async def test_a_dismissed_session_takes_no_more(rpc: Rpc) -> None:
    with ThreadPoolExecutor(1) as read:
        told = Subscriptions(rpc.world.chain, rpc.clock, Events(), Threads(read=read, call=read))
        session = Session(DEFAULT_LIMITS, lambda _: None)
        current_session.set(session)
        await told.subscribe("newHeads")
        session.notify("0x1", b"1")
        session.dismiss("enough")
        session.notify("0x1", b"2")
        assert await session.next() is None
        with pytest.raises(RpcError, match="connection is gone"):
            await told.subscribe("newHeads")
        assert told._room.taken == 0
