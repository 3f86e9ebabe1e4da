"""A client that goes takes its calls with it: they end at their next check, over HTTP and
WebSocket, alone and in batches."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import ClientSession

from dst.apis.caller import CALLER
from dst.execution.call_workers import CallWorkers
from dst.execution.rpc.dispatch import Threads
from dst.execution.turns import Turns
from tests.unit.execution.evm.asm import asm
from tests.unit.execution.rpc.bench import Rpc
from tests.unit.execution.worlds import address_of, make_world

SPINNER = address_of(0x5150)
ENDLESS = {"to": "0x" + SPINNER.hex(), "gas": "0x2faf080"}
CALLS: list[tuple[str, list[Any]]] = [
    ("eth_call", [ENDLESS]),
    ("eth_estimateGas", [ENDLESS]),
    ("eth_createAccessList", [ENDLESS]),
    ("debug_traceCall", [ENDLESS, "latest", {"tracer": "callTracer"}]),
    ("trace_call", [ENDLESS, ["trace"]]),
    ("eth_simulateV1", [{"blockStateCalls": [{"calls": [ENDLESS]}]}]),
]


class Bench:
    def __init__(self, rpc: Rpc, call: CallWorkers) -> None:
        self.rpc, self.call = rpc, call

    async def until_running(self, count: int) -> None:
        async with asyncio.timeout(10):
            while self.call.running != count:
                await asyncio.sleep(0.005)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Calls have ten minutes: nothing but a disconnect ends them."""
    monkeypatch.setattr("dst.execution.call_workers.CALL_TIMEOUT_S", 600.0)
    spin = asm("JUMPDEST 0 0 0 0 0 CALLER GAS CALL 0 MSTORE 0 JUMP")
    world = make_world(tmp_path, {SPINNER: spin}, gas_limit=2**40)
    with ThreadPoolExecutor(1) as read, CallWorkers(Turns(), workers=4) as call:
        yield Bench(Rpc(world, Threads(read=read, call=call)), call)
    world.store.close()


def body_of(method: str, params: list[Any], *, batch: int = 0) -> bytes:
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return msgspec.json.encode([request] * batch if batch else request)


async def post_and_go(bench: Bench, address: str, body: bytes) -> None:
    host, port = address.split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    await bench.until_running(1)
    writer.close()
    await bench.until_running(0)


@pytest.mark.parametrize(("method", "params"), CALLS)
async def test_a_call_over_http_ends_with_its_client(
    bench: Bench, method: str, params: list[Any]
) -> None:
    async with bench.rpc.listening() as address:
        await post_and_go(bench, address, body_of(method, params))


async def test_a_batch_ends_with_its_client(bench: Bench) -> None:
    """Not only the entry that runs: none of the other 99 begins."""
    begun = 0
    submit = bench.call.submit

    def counted(*args: Any, **named: Any) -> Any:
        nonlocal begun
        begun += 1
        return submit(*args, **named)

    bench.call.submit = counted  # type: ignore[method-assign]
    async with bench.rpc.listening() as address:
        await post_and_go(bench, address, body_of("eth_call", [ENDLESS], batch=100))
        assert await bench.rpc.ask("eth_call", {"to": "0x" + "11" * 20}) == "0x"
    assert begun == 2


async def test_calls_over_a_websocket_end_with_it(bench: Bench) -> None:
    async with bench.rpc.listening() as address, ClientSession() as session:
        socket = await session.ws_connect(f"ws://{address}/")
        for number in range(3):
            await socket.send_bytes(body_of("eth_call", [ENDLESS], batch=number * 10))
        await bench.until_running(3)
        await socket.close()
        await bench.until_running(0)


async def test_a_call_that_waits_for_its_turn_or_for_a_worker_ends_too(bench: Bench) -> None:
    """Six clients, four workers, one turn."""
    async with bench.rpc.listening() as address, asyncio.TaskGroup() as group:
        host, port = address.split(":")
        body = body_of("eth_call", [ENDLESS])
        head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        writers = []
        for _ in range(6):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            writers.append(writer)
        await bench.until_running(4)
        for writer in writers:
            writer.close()
        await bench.until_running(0)
        group.create_task(bench.rpc.ask("eth_call", {"to": "0x" + "11" * 20}))
    assert bench.call.waiting == 0


async def test_four_endless_calls_leave_a_light_one_fast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under 100 ms for all but one in a hundred on a quiet machine; here half a second, and behind
    any of the four it would be minutes."""
    monkeypatch.setattr("dst.execution.call_workers.CALL_TIMEOUT_S", 600.0)
    spin = asm("JUMPDEST 0 0 0 0 0 CALLER GAS CALL 0 MSTORE 0 JUMP")
    light = address_of(0x5151)
    codes = {SPINNER: spin, light: asm("7 0 MSTORE 32 0 RETURN")}
    world = make_world(tmp_path, codes, gas_limit=2**40)
    with ThreadPoolExecutor(1) as read, CallWorkers(Turns()) as call:
        bench = Bench(Rpc(world, Threads(read=read, call=call)), call)

        async def spin_on(client: str) -> None:
            CALLER.set(client)
            await bench.rpc.reply("eth_call", ENDLESS)

        async with asyncio.TaskGroup() as group:
            endless = [group.create_task(spin_on(f"client {each}")) for each in range(4)]
            await bench.until_running(4)
            took = []
            for _ in range(100):
                asked = time.monotonic()
                answer = await bench.rpc.ask("eth_call", {"to": "0x" + light.hex()})
                took.append(time.monotonic() - asked)
                assert int(answer, 16) == 7
            assert not any(each.done() for each in endless)
            assert sorted(took)[98] < 0.5
            for each in endless:
                each.cancel()
    world.store.close()
