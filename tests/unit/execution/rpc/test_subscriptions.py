"""Subscriptions over a real WebSocket: order, reorganisations, bounds, slow readers."""

import asyncio
from contextlib import AsyncExitStack, suppress
from typing import Any

import aiohttp
import pytest

from dst.apis.jsonrpc.ws import WebSocketLimits
from dst.execution.rpc import block_logs, log_index, subscription_room
from dst.execution.rpc.log_index import LEAST_WEIGHT
from dst.spec.primitives import to_hex
from tests.unit.execution.rpc.bench import Rpc, connected
from tests.unit.execution.rpc.contracts import LOGGER
from tests.unit.execution.rpc.test_logs import LATER, logging
from tests.unit.execution.worlds import GENESIS_TIME, KEYS, signed


async def test_new_heads_come_in_order_and_as_headers(rpc: Rpc) -> None:
    async with rpc.listening() as address, connected(address) as socket:
        followed = await socket.ask("eth_subscribe", "newHeads")
        made = [rpc.extend() for _ in range(20)]
        heads = [await socket.next() for _ in made]
        assert {each["subscription"] for each in heads} == {followed}
        assert [each["result"]["hash"] for each in heads] == [to_hex(each.hash) for each in made]
        assert heads[0]["result"] == await socket.ask("eth_getHeaderByNumber", "0x1")


async def test_what_came_before_a_subscription_is_not_told(rpc: Rpc) -> None:
    async with rpc.listening() as address:
        async with connected(address) as early, connected(address) as late:
            await early.ask("eth_subscribe", "newHeads")
            rpc.extend()
            await late.ask("eth_subscribe", "newHeads")
            second = rpc.extend()
            assert (await late.next())["result"]["hash"] == to_hex(second.hash)


async def test_logs_are_taken_back_before_the_new_ones_come(rpc: Rpc) -> None:
    base = rpc.extend()
    async with rpc.listening() as address, connected(address) as socket:
        await socket.ask("eth_subscribe", "logs", {"address": to_hex(LOGGER)})
        rpc.extend([logging(1), signed(KEYS[3])])
        rpc.extend([logging(2, nonce=1)])
        new = rpc.fork(base.hash, [logging(9)], timestamp=base.header.timestamp + LATER)
        rpc.point_at(new.hash)
        told = [(await socket.next())["result"] for _ in range(5)]
        assert [(int(each["data"], 16), each["removed"]) for each in told] == [
            (1, False),
            (2, False),
            (2, True),
            (1, True),
            (9, False),
        ]


async def test_a_block_is_read_and_its_logs_encoded_once_whoever_listens(
    rpc: Rpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain, read, shown = rpc.world.chain, 0, 0
    receipts, encode_log = chain.receipts, block_logs.encode_log

    def counted_receipts(block_hash: bytes) -> Any:
        nonlocal read
        read += 1
        return receipts(block_hash)

    def counted_show(*args: Any, **named: Any) -> bytes:
        nonlocal shown
        shown += 1
        return encode_log(*args, **named)

    monkeypatch.setattr(chain, "receipts", counted_receipts)
    monkeypatch.setattr(block_logs, "encode_log", counted_show)
    filters: list[dict[str, object]] = [{}, {"address": to_hex(LOGGER)}, {"topics": [None]}]
    async with rpc.listening() as address, connected(address) as socket:
        for _ in range(10):
            for wanted in filters:
                await socket.ask("eth_subscribe", "logs", wanted)
        rpc.extend([logging(1), logging(2, nonce=1)])
        told = [(await socket.next())["result"]["data"] for _ in range(60)]
    assert sorted(map(told.count, set(told))) == [30, 30]
    assert (read, shown) == (1, 2)


async def test_a_log_subscription_tells_only_what_matches(rpc: Rpc) -> None:
    topic = "0x" + (2).to_bytes(32, "big").hex()
    async with rpc.listening() as address, connected(address) as socket:
        await socket.ask("eth_subscribe", "logs", {"topics": [topic]})
        rpc.extend([logging(1), logging(2, nonce=1), logging(3, nonce=2)])
        assert int((await socket.next())["result"]["data"], 16) == 2
        assert await socket.ask("eth_blockNumber") == "0x1"
        assert socket.notifications == []


async def test_pending_transactions_as_hashes_and_whole(rpc: Rpc) -> None:
    sent = signed(KEYS[0])
    async with rpc.listening() as address:
        async with connected(address) as hashes, connected(address) as whole:
            await hashes.ask("eth_subscribe", "newPendingTransactions")
            await whole.ask("eth_subscribe", "newPendingTransactions", True)
            assert await whole.ask("eth_sendRawTransaction", to_hex(sent.raw)) == to_hex(sent.hash)
            assert (await hashes.next())["result"] == to_hex(sent.hash)
            told = (await whole.next())["result"]
            assert told == await whole.ask("eth_getTransactionByHash", to_hex(sent.hash))


async def test_syncing_is_told_when_it_changes(rpc: Rpc) -> None:
    async with rpc.listening() as address, connected(address) as socket:
        await socket.ask("eth_subscribe", "syncing")
        rpc.now = GENESIS_TIME + 50.0
        told = (await socket.next())["result"]
        assert told["syncing"] is True
        assert told["status"]["highestBlock"] == hex(25)
        rpc.now = float(GENESIS_TIME)
        assert (await socket.next())["result"] is False


async def test_unsubscribing_ends_it(rpc: Rpc) -> None:
    async with rpc.listening() as address:
        async with connected(address) as socket, connected(address) as other:
            followed = await socket.ask("eth_subscribe", "newHeads")
            assert (await other.reply("eth_unsubscribe", followed))["error"]["message"] == (
                "subscription not found"
            )
            assert await socket.ask("eth_unsubscribe", followed) is True
            assert "error" in await socket.reply("eth_unsubscribe", followed)
            last = await other.ask("eth_subscribe", "newHeads")
            rpc.extend()
            assert (await other.next())["subscription"] == last
            assert await socket.ask("eth_blockNumber") == "0x1"
            assert socket.notifications == []


@pytest.mark.parametrize(
    "params",
    [
        ["everything"],
        [7],
        [None],
        [],
        ["newHeads", {}],
        ["logs", 5],
        ["logs", {"topics": 1}],
        ["newPendingTransactions", "yes"],
        ["syncing", True],
    ],
)
async def test_wrong_subscriptions(rpc: Rpc, params: list[Any]) -> None:
    async with rpc.listening() as address, connected(address) as socket:
        assert (await socket.reply("eth_subscribe", *params))["error"]["code"] == -32602


async def test_nobody_subscribes_over_http(rpc: Rpc) -> None:
    error = await rpc.error("eth_subscribe", "newHeads")
    assert (error["code"], error["message"]) == (-32601, "notifications not supported")
    assert (await rpc.error("eth_unsubscribe", "0x1"))["code"] == -32601


async def test_an_answer_precedes_its_notifications_even_in_a_batch(rpc: Rpc) -> None:
    """The batch goes on after eth_subscribe; heads that come meanwhile are held back."""
    calls: list[dict[str, Any]] = [{"id": 0, "method": "eth_subscribe", "params": ["newHeads"]}]
    calls += [{"id": n, "method": "eth_getBalance", "params": ["0x" + "11" * 20]} for n in range(9)]
    async with rpc.listening() as address, connected(address) as socket:
        await socket.socket.send_json(calls)
        head = 0
        while not head:
            head = rpc.extend().header.number
            await asyncio.sleep(0)
        answers = await socket.socket.receive_json()
        assert isinstance(answers, list)
        assert answers[0]["result"].startswith("0x")


async def test_too_many_subscriptions_and_connections(rpc: Rpc) -> None:
    limits = WebSocketLimits(subscriptions=2, connections=2)
    async with rpc.listening(limits) as address:
        async with connected(address) as socket, connected(address):
            for _ in range(2):
                await socket.ask("eth_subscribe", "newHeads")
            error = (await socket.reply("eth_subscribe", "newHeads"))["error"]
            assert error["code"] == -32000
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                async with connected(address):
                    pass
            assert refused.value.status == 503
        async with connected(address) as again:
            assert await again.ask("eth_chainId") == "0x385"


async def test_a_slow_reader_is_disconnected_and_others_are_not(rpc: Rpc) -> None:
    limits = WebSocketLimits(queued=50, queued_bytes=1 << 20)
    async with rpc.listening(limits) as address:
        async with connected(address) as slow, connected(address) as good:
            for _ in range(30):
                await slow.ask("eth_subscribe", "newHeads")
            await good.ask("eth_subscribe", "newHeads")
            transport = slow.socket._response.connection.transport  # type: ignore[union-attr]
            assert transport is not None
            transport.pause_reading()
            made = 0
            async with asyncio.timeout(60):
                while made < 2_000 and not _gone(rpc):
                    rpc.extend()
                    made += 1
                    assert (await good.next())["result"]["number"] == hex(made)
            assert _gone(rpc), "30 notifications a block fill any socket's buffers"
            assert await good.ask("eth_blockNumber") == hex(made)
            transport.abort()


def _gone(rpc: Rpc) -> bool:
    """Only the good reader's subscription is left."""
    listeners = rpc.served.subscriptions.counts()
    return listeners["newHeads"] == 1


async def test_a_client_that_goes_leaves_nothing_behind(rpc: Rpc) -> None:
    async with rpc.listening() as address:
        async with connected(address) as socket:
            for kind in ("newHeads", "logs", "newPendingTransactions", "syncing"):
                await socket.ask("eth_subscribe", kind)
            assert set(rpc.served.subscriptions.counts().values()) == {1}
        async with asyncio.timeout(10):
            while any(rpc.served.subscriptions.counts().values()):
                await asyncio.sleep(0.01)


async def test_requests_of_one_connection_run_side_by_side(rpc: Rpc) -> None:
    raw = to_hex(signed(KEYS[0]).raw)
    async with rpc.listening() as address, connected(address) as socket:
        waits = {"id": "slow", "method": "eth_sendRawTransactionSync", "params": [raw]}
        await socket.socket.send_json(waits)
        assert await socket.ask("eth_chainId") == "0x385", "not behind the one that waits"
        async with asyncio.timeout(10):
            while not (await rpc.ask("txpool_status"))["pending"] == "0x1":
                await asyncio.sleep(0.01)
        rpc.extend([signed(KEYS[0])])
        answer = await socket._receive()
        assert answer["id"] == "slow"
        assert answer["result"]["status"] == "0x1"


@pytest.mark.parametrize("body", ["{", "[]", "[" * 5_000, '"x"', "1", "null", '{"id":{}}'])
async def test_garbage_is_answered_and_the_connection_lives(rpc: Rpc, body: str) -> None:
    async with rpc.listening() as address, connected(address) as socket:
        await socket.socket.send_str(body)
        answer = await socket.socket.receive_json()
        assert answer["error"]["code"] in (-32700, -32600)
        assert await socket.ask("eth_chainId") == "0x385"


async def test_a_message_too_large_ends_its_connection_alone(rpc: Rpc) -> None:
    async with rpc.listening() as address, connected(address) as other:
        with suppress(ConnectionError, aiohttp.ClientError):
            async with connected(address) as socket:
                await socket.socket.send_str(" " * (4 * 2**20 + 1))
                async with asyncio.timeout(10):
                    message = await socket.socket.receive()
                assert message.type is not aiohttp.WSMsgType.TEXT
        assert await other.ask("eth_chainId") == "0x385"


async def test_the_room_of_all_goes_to_who_holds_less(
    rpc: Rpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever takes most makes room for who takes little, and is told why not when it asks on."""
    monkeypatch.setattr(subscription_room, "MAX_WEIGHT", 10 * LEAST_WEIGHT)
    monkeypatch.setattr(subscription_room, "MAX_WEIGHT_OF_ONE", 8 * LEAST_WEIGHT)
    async with rpc.listening() as address:
        async with connected(address) as greedy, connected(address) as modest:
            for number in range(8):
                await greedy.ask("eth_subscribe", "logs", {"topics": [word(number)]})
            refused = await greedy.reply("eth_subscribe", "newHeads")
            assert refused["error"]["code"] == -32005
            for number in range(3):
                await modest.ask("eth_subscribe", "logs", {"topics": [word(number)]})
            assert rpc.served.subscriptions.counts()["logs"] == 3, "the greedy one is gone"
            rpc.extend([logging(2)])
            assert int((await modest.next())["result"]["data"], 16) == 2


async def test_of_thousands_of_different_filters_the_one_that_matches_is_told(
    rpc: Rpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 600 filters on one contract, one matches each log; none is looked at by itself."""

    def never(group: log_index.Group[Any], log: Any) -> bool:
        raise AssertionError(group)

    monkeypatch.setattr(log_index.Group, "holds", never)
    async with rpc.listening() as address, AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(connected(address)) for _ in range(5)]
        for number in range(600):
            wanted = {"address": to_hex(LOGGER), "topics": [word(number)]}
            await sockets[number % 5].ask("eth_subscribe", "logs", wanted)
        rpc.extend([logging(number, nonce=number) for number in range(5)])
        for number in range(5):
            assert int((await sockets[number].next())["result"]["data"], 16) == number


def word(number: int) -> str:
    return "0x" + number.to_bytes(32, "big").hex()
