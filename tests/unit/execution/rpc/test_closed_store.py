"""While the store is opened again after a failed write nothing can be read: who asks is told so
(-32000), nobody meets a fault of ours, and everything goes on afterwards."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from dst.apis.jsonrpc import RpcError
from dst.apis.jsonrpc.errors import INTERNAL_ERROR, REFUSED
from dst.execution.call_workers import LIMIT_EXCEEDED
from dst.execution.rpc.dispatch import Threads, entries
from dst.execution.rpc.families import FAMILIES
from dst.execution.rpc.polling import Polling
from dst.execution.rpc.telling import BlockReading
from dst.runtime.tables import StoreUnavailable, _refuse_reader
from dst.spec.primitives import to_hex
from tests.unit.execution.rpc.bench import Rpc, connected
from tests.unit.execution.rpc.test_hostile_parameters import TABLE, WAITS, good
from tests.unit.execution.worlds import KEYS, signed

CLOSED = "the store is closed, or being opened again after a failed write"
BY_BLOCK = {
    "eth_getBlockByNumber": ("0x1", True),
    "eth_getBalance": ("0x" + "77" * 20, "0x1"),
    "eth_getBlockReceipts": ("0x1",),
    "eth_getLogs": ({"fromBlock": "0x0", "toBlock": "latest"},),
    "debug_traceBlockByNumber": ("0x1",),
    "trace_block": ("0x1",),
}
"""Methods that cannot answer without the store, whatever is cached."""


@contextmanager
def closed_store(rpc: Rpc) -> Iterator[None]:
    rpc.world.chain._headers.clear()
    with pytest.MonkeyPatch.context() as closed:
        closed.setattr(rpc.world.store.tables, "_begin", _refuse_reader)
        yield


@pytest.mark.parametrize("name", sorted(set(TABLE) - WAITS))
async def test_no_method_fails_inside(rpc: Rpc, name: str) -> None:
    rpc.extend([signed()])
    with closed_store(rpc):
        answer = await rpc.reply(name, *good(TABLE[name]))
    assert answer.get("error", {}).get("code") != INTERNAL_ERROR, answer


@pytest.mark.parametrize("name", BY_BLOCK)
async def test_what_needs_the_store_says_that_it_cannot_be_read(rpc: Rpc, name: str) -> None:
    rpc.extend([signed()])
    rpc.extend()
    before = await rpc.ask(name, *BY_BLOCK[name])
    with closed_store(rpc):
        error = await rpc.error(name, *BY_BLOCK[name])
    assert error == {"code": REFUSED, "message": CLOSED}
    assert await rpc.ask(name, *BY_BLOCK[name]) == before


async def test_a_transaction_is_refused_and_can_be_sent_again(rpc: Rpc) -> None:
    raw = to_hex(signed(KEYS[2]).raw)
    with closed_store(rpc):
        assert (await rpc.error("eth_sendRawTransaction", raw))["code"] == REFUSED
    assert rpc.pool.counts() == (0, 0)
    await rpc.ask("eth_sendRawTransaction", raw)
    assert rpc.pool.counts() == (1, 0)


async def test_what_a_filter_could_not_tell_comes_with_the_next_poll(rpc: Rpc) -> None:
    followed = await rpc.ask("eth_newBlockFilter")
    made = [rpc.extend() for _ in range(3)]
    with closed_store(rpc):
        assert (await rpc.error("eth_getFilterChanges", followed))["code"] == REFUSED
    told = await rpc.ask("eth_getFilterChanges", followed)
    assert told == [to_hex(each.hash) for each in made]


@pytest.mark.parametrize(
    "error", [RpcError(LIMIT_EXCEEDED, "busy"), asyncio.CancelledError()], ids=repr
)
async def test_a_poll_that_found_no_room_loses_nothing(rpc: Rpc, error: BaseException) -> None:
    """Nor does one whose client went away."""
    polling = next(each for each in rpc.served.families if isinstance(each, Polling))
    identity = await polling.new_block_filter()
    block = rpc.extend()

    async def refuse(*_: Any, **__: Any) -> Any:
        raise error

    with pytest.MonkeyPatch.context() as busy:
        busy.setattr(Threads, "on_search", refuse)
        with pytest.raises(type(error)):
            await polling.changes(identity)
    assert await polling.changes(identity) == [to_hex(block.hash)]


async def test_subscribers_that_miss_a_block_are_dropped_and_the_publisher_goes_on(
    rpc: Rpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rpc.listening() as address:
        async with connected(address) as socket:
            await socket.ask("eth_subscribe", "newHeads")
            with monkeypatch.context() as closed:
                closed.setattr(BlockReading, "go_on", _refuse)
                rpc.extend()
                async for _ in socket.socket:
                    pass
        async with connected(address) as socket:
            await socket.ask("eth_subscribe", "newHeads")
            block = rpc.extend()
            assert (await socket.next())["result"]["hash"] == to_hex(block.hash)


def _refuse(*_: Any, **__: Any) -> Any:
    raise StoreUnavailable(CLOSED)


def test_the_table_is_whole() -> None:
    assert entries(FAMILIES).keys() >= BY_BLOCK.keys() | WAITS
