"""Logs by range and by block, and filters that poll, across a reorganisation."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dst.apis.caller import CALLER
from dst.execution import call_workers
from dst.execution.call_workers import CallWorkers
from dst.execution.header import bloom_of
from dst.execution.rpc.dispatch import Threads
from dst.execution.rpc.filters import MAX_FILTERS_OF_ONE
from dst.execution.rpc.logs import Logs, SearchMemory
from dst.execution.turns import Turns
from dst.spec.primitives import to_hex
from tests.unit.execution.rpc.bench import Rpc
from tests.unit.execution.rpc.contracts import CODES, LOGGER
from tests.unit.execution.worlds import KEYS, make_world, signed

LATER = 3


def logging(word: int, key: int = 0, nonce: int = 0) -> Any:
    data = word.to_bytes(32, "big")
    return signed(KEYS[key], to=LOGGER, gas=100_000, data=data, nonce=nonce)


def words(logs: list[dict[str, Any]]) -> list[tuple[int, bool]]:
    return [(int(each["data"], 16), each["removed"]) for each in logs]


@pytest.mark.parametrize(
    ("criteria", "code", "message"),
    [
        ({"fromBlock": "0x2", "toBlock": "0x1"}, -32602, "invalid block range params"),
        ({"fromBlock": "latest", "toBlock": "0x1"}, -32602, "invalid block range params"),
        ({"fromBlock": "0x1", "toBlock": "0x4"}, -32602, "beyond current head block"),
        ({"fromBlock": "0x7", "toBlock": "0x8"}, -32602, "beyond current head block"),
        ({"fromBlock": "0x7"}, -32602, "invalid block range params"),
        ({"toBlock": "0x7"}, -32602, "beyond current head block"),
        ({"blockHash": "0x" + "ab" * 32}, -32000, "unknown block"),
        (
            {"blockHash": "0x" + "ab" * 32, "fromBlock": "0x1"},
            -32602,
            "cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other",
        ),
        ({"fromBlock": "0x" + "ab" * 32}, -32602, "not a hash"),
        ({"fromBlock": False}, -32602, "block number"),
        ({"fromBlock": "0x0", "toBlock": {"blockHash": "0x" + "ab" * 32}}, -32602, "not a hash"),
        ({"topics": [[], [], [], [], []]}, -32602, "at most 4"),
        ({"topics": "0x"}, -32602, "topics"),
        ({"address": "0x12"}, -32602, "20 bytes"),
        ([], -32602, "expected an object"),
    ],
)
async def test_no_range_that_is_not_here_is_answered_empty(
    rpc: Rpc, criteria: object, code: int, message: str
) -> None:
    for _ in range(3):
        rpc.extend()
    error = await rpc.error("eth_getLogs", criteria)
    assert error["code"] == code
    assert message in error["message"]


async def test_ranges_and_blocks(rpc: Rpc) -> None:
    first = rpc.extend([logging(1)])
    rpc.extend([logging(2, nonce=1), logging(3, key=1)])
    assert words(await rpc.ask("eth_getLogs", {})) == [(2, False), (3, False)], "the head alone"
    whole = {"fromBlock": "earliest", "toBlock": "latest"}
    assert [word for word, _ in words(await rpc.ask("eth_getLogs", whole))] == [1, 2, 3]
    (found,) = await rpc.ask("eth_getLogs", {"blockHash": to_hex(first.hash)})
    assert found["blockTimestamp"] == hex(first.header.timestamp)
    topic = "0x" + (3).to_bytes(32, "big").hex()
    assert words(await rpc.ask("eth_getLogs", {**whole, "topics": [[topic]]})) == [(3, False)]
    assert await rpc.ask("eth_getLogs", {**whole, "address": "0x" + "11" * 20}) == []
    assert len(await rpc.ask("eth_getLogs", {**whole, "toBlock": "pending"})) == 3


async def test_a_search_in_vain_ends_and_holds_nobody(
    rpc: Rpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bloom filter knows no positions: a topic in the wrong one costs the reading of each block
    and finds nothing. Meanwhile the reading thread serves the others."""
    topic = to_hex((7).to_bytes(32, "big"))
    for nonce in range(3):
        rpc.extend([logging(7, nonce=nonce)])
    chain, receipts, gate = rpc.world.chain, rpc.world.chain.receipts, threading.Event()

    def slow(block_hash: bytes) -> Any:
        assert gate.wait(10)
        return receipts(block_hash)

    monkeypatch.setattr(chain, "receipts", slow)
    monkeypatch.setattr(call_workers, "CALL_TIMEOUT_S", 0.01)
    criteria = {"fromBlock": "0x0", "topics": [None, topic]}
    followed = await rpc.ask("eth_newFilter", criteria)
    async with asyncio.TaskGroup() as group:
        searches = [
            group.create_task(rpc.error("eth_getLogs", criteria)),
            group.create_task(rpc.error("eth_getFilterLogs", followed)),
        ]
        await asyncio.sleep(0.05)
        async with asyncio.timeout(5):
            await rpc.ask("eth_getBalance", to_hex(LOGGER), "latest")
        assert not any(each.done() for each in searches)
        gate.set()
    for each in searches:
        assert each.result()["code"] == -32000
        assert "execution aborted (timeout" in each.result()["message"]


async def test_a_log_filter_takes_back_what_a_reorganisation_removed(rpc: Rpc) -> None:
    base = rpc.extend()
    followed = await rpc.ask("eth_newFilter", {"address": to_hex(LOGGER)})
    blocks = await rpc.ask("eth_newBlockFilter")
    old = [rpc.extend([logging(1)]), rpc.extend([logging(2, nonce=1)])]
    assert words(await rpc.ask("eth_getFilterChanges", followed)) == [(1, False), (2, False)]
    assert await rpc.ask("eth_getFilterChanges", blocks) == [to_hex(each.hash) for each in old]

    new = rpc.fork(base.hash, [logging(9)], timestamp=base.header.timestamp + LATER)
    rpc.point_at(new.hash)
    changes = await rpc.ask("eth_getFilterChanges", followed)
    assert words(changes) == [(2, True), (1, True), (9, False)]
    assert await rpc.ask("eth_getFilterChanges", blocks) == [to_hex(new.hash)]
    assert await rpc.ask("eth_getFilterChanges", followed) == []
    assert await rpc.ask("eth_getFilterChanges", blocks) == []


async def test_a_pending_filter_tells_each_transaction_once(rpc: Rpc) -> None:
    rpc.add(signed(KEYS[0]))
    followed = await rpc.ask("eth_newPendingTransactionFilter")
    assert await rpc.ask("eth_getFilterChanges", followed) == []
    sent = [signed(KEYS[0], nonce=1), signed(KEYS[1])]
    rpc.add(*sent)
    assert await rpc.ask("eth_getFilterChanges", followed) == [to_hex(each.hash) for each in sent]
    assert await rpc.ask("eth_getFilterChanges", followed) == []


async def test_filters_that_are_gone(rpc: Rpc) -> None:
    followed = await rpc.ask("eth_newBlockFilter")
    assert (await rpc.error("eth_getFilterLogs", followed))["message"] == "filter not found"
    assert await rpc.ask("eth_uninstallFilter", followed) is True
    assert await rpc.ask("eth_uninstallFilter", followed) is False
    error = await rpc.error("eth_getFilterChanges", followed)
    assert (error["code"], error["message"]) == (-32000, "filter not found")


async def test_filter_logs_are_those_of_its_criteria(rpc: Rpc) -> None:
    rpc.extend([logging(1)])
    followed = await rpc.ask("eth_newFilter", {"fromBlock": "earliest", "toBlock": "latest"})
    rpc.extend([logging(2, nonce=1)])
    found = await rpc.ask("eth_getFilterLogs", followed)
    assert [word for word, _ in words(found)] == [1, 2]


async def test_a_clients_filters_push_out_its_own_and_nobody_elses(rpc: Rpc) -> None:
    async def as_client(name: str, method: str, *params: Any) -> Any:
        token = CALLER.set(name)
        try:
            return await rpc.reply(method, *params)
        finally:
            CALLER.reset(token)

    honest = (await as_client("honest", "eth_newBlockFilter"))["result"]
    greedy = [
        (await as_client("greedy", "eth_newBlockFilter"))["result"]
        for _ in range(MAX_FILTERS_OF_ONE + 3)
    ]
    for filter_id in (honest, greedy[3], greedy[-1]):
        assert (await rpc.reply("eth_getFilterChanges", filter_id))["result"] == []
    for filter_id in greedy[:3]:
        error = (await rpc.reply("eth_getFilterChanges", filter_id))["error"]
        assert error["message"] == "filter not found"


async def test_a_search_finds_what_a_look_at_every_log_finds(rpc: Rpc) -> None:
    """The bloom filters only save work."""
    for number in range(6):
        rpc.extend([logging(number % 3, nonce=number // 2)] if number % 2 else [])
    everything = await rpc.ask("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"})
    assert len(everything) == 3
    for topic in range(4):
        wanted = "0x" + topic.to_bytes(32, "big").hex()
        for criteria in (
            {"topics": [wanted]},
            {"address": to_hex(LOGGER), "topics": [[wanted, "0x" + "ff" * 32]]},
            {"address": "0x" + "11" * 20, "topics": [wanted]},
            {"topics": [None, wanted]},
        ):
            found = await rpc.ask("eth_getLogs", {"fromBlock": "0x0", **criteria})
            assert found == [
                each
                for each in everything
                if each["topics"][0] == wanted
                and "11" * 20 not in str(criteria)
                and criteria["topics"][0] is not None
            ]


def test_the_bloom_is_found_in_the_bytes_of_a_header(rpc: Rpc) -> None:
    made = rpc.extend([logging(1)])
    bloom = int.from_bytes(made.header.logs_bloom, "big")
    assert bloom != 0
    assert bloom_of(made.header.encode()) == bloom
    rpc.world.reopen()
    assert rpc.world.chain.bloom(made.hash) == bloom
    assert rpc.world.chain.bloom(b"\x01" * 32) is None


async def test_searches_hold_no_worker_of_calls(tmp_path: Path) -> None:
    world = make_world(tmp_path, CODES)
    turns, began, gate = Turns(), threading.Semaphore(0), threading.Event()
    with (
        ThreadPoolExecutor(1) as read,
        CallWorkers(turns, 1) as call,
        CallWorkers(turns, 2) as search,
    ):
        rpc = Rpc(world, Threads(read=read, call=call, search=search))

        def held() -> None:
            began.release()
            gate.wait(20)

        futures = [search.submit(held) for _ in range(2)]
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            searching = group.create_task(rpc.ask("eth_getLogs", {}))
            assert await rpc.ask("eth_call", {"to": to_hex(LOGGER)}) == "0x"
            assert not searching.done()
            gate.set()
            assert await searching == []
        assert all(each.result(10) is None for each in futures)
    world.store.close()


async def test_what_searches_find_together_is_bounded(
    rpc: Rpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused beyond it, and given back at the end."""
    rpc.extend([logging(1), logging(2, nonce=1)])
    whole = len(msgspec.json.encode(await rpc.ask("eth_getLogs", {})))
    search = next(each for each in rpc.served.families if isinstance(each, Logs))._search
    monkeypatch.setattr(search, "_memory", SearchMemory(whole))
    for _ in range(3):
        assert len(await rpc.ask("eth_getLogs", {})) == 2
    monkeypatch.setattr(search, "_memory", SearchMemory(whole // 2))
    for _ in range(3):
        assert (await rpc.error("eth_getLogs", {}))["code"] == -32005
