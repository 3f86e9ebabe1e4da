"""`python -m tests.benchmarks.ports`: what log searches cost, alone and eighty at a time beside
blocks.

A chain of `BLOCKS` blocks with `CALLS` x `LOGS` logs each, one process that serves it as a role
does, another that asks. Hostile searches pass every bloom filter and match nothing, or match as
much as an answer may hold.
"""

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec

from dst.execution.block.executed import ExecutedBlock
from dst.execution.call_workers import CallWorkers, search_workers
from dst.execution.rpc.dispatch import Threads
from dst.execution.turns import BlockWorker, Turns
from dst.spec.primitives import to_hex
from tests.benchmarks.ports import attacking
from tests.unit.execution.evm.asm import asm
from tests.unit.execution.rpc.bench import Rpc
from tests.unit.execution.worlds import KEYS, World, address_of, make_world, signed

BLOCKS: Final = 1_000
CALLS: Final = 8
LOGS: Final = 24
SECONDS: Final = 10.0
ATTACK_BEGINS_S: Final = 3.0
"""By then its process is up and all of it asks."""
SWITCH_INTERVAL_S: Final = 0.001
"""As the role has it."""

TOKEN: Final = address_of(0x70CE)
_TOPICS: Final = (7, 8, 9)
SPINNER: Final = address_of(0x5150)
_LOG: Final = "9 8 7 32 0 LOG3 "
RANGE: Final = {"fromBlock": "0x1", "toBlock": hex(BLOCKS)}


def _topic(number: int) -> str:
    return "0x" + number.to_bytes(32, "big").hex()


SEARCHES: Final[dict[str, dict[str, Any]]] = {
    "no such address": {**RANGE, "address": "0x" + "77" * 20},
    "in every bloom, matches nothing": {
        **RANGE,
        "address": to_hex(TOKEN),
        "topics": [_topic(9), None, _topic(7)],
    },
    "matches more than an answer holds": {**RANGE, "topics": [_topic(7)]},
    "matches 50 blocks": {
        "fromBlock": "0x1",
        "toBlock": "0x32",
        "address": to_hex(TOKEN),
        "topics": [_topic(7), _topic(8)],
    },
    "one block": {"fromBlock": "0x5", "toBlock": "0x5", "address": to_hex(TOKEN)},
}


def main() -> None:
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    with tempfile.TemporaryDirectory() as folder:
        world = make_world(
            Path(folder), {TOKEN: asm(_LOG * LOGS + "STOP"), SPINNER: asm("JUMPDEST 0 JUMP")}
        )
        heavy = _fill(world)
        for name, took in _alone(world).items():
            print(f"{name:36} {took * 1000:9.1f} ms")
        asyncio.run(_beside_blocks(world, heavy))
        world.store.close()


def _fill(world: World) -> ExecutedBlock:
    """The chain, and a block on its head that is not in it."""
    for number in range(BLOCKS):
        nonce = number * CALLS
        made = world.build(
            [signed(KEYS[0], to=TOKEN, nonce=nonce + each, gas=150_000) for each in range(CALLS)]
        ).block
        assert sum(len(each.logs) for each in made.result.receipts) == CALLS * LOGS
        world.chain.insert(made)
        world.chain.set_forkchoice(made.hash, made.hash, made.hash)
    spinning = [signed(KEYS[1], nonce=each, to=SPINNER, gas=200_000) for each in range(10)]
    return world.build(spinning).block


@contextmanager
def _served(world: World) -> Iterator[tuple[Rpc, BlockWorker]]:
    turns = Turns()
    with (
        BlockWorker(turns) as worker,
        ThreadPoolExecutor(1) as read,
        CallWorkers(turns) as call,
        search_workers(turns) as search,
    ):
        yield Rpc(world, Threads(read=read, call=call, search=search)), worker


def _alone(world: World) -> dict[str, float]:
    async def measure() -> dict[str, float]:
        with _served(world) as (rpc, _):
            return {
                name: await _best_of(3, lambda wanted=wanted: rpc.reply("eth_getLogs", wanted))
                for name, wanted in SEARCHES.items()
            }

    return asyncio.run(measure())


async def _best_of(count: int, run: Callable[..., Awaitable[Any]]) -> float:
    times = []
    for _ in range(count):
        began = time.perf_counter()
        await run()
        times.append(time.perf_counter() - began)
    return min(times)


async def _beside_blocks(world: World, block: ExecutedBlock) -> None:
    with _served(world) as (rpc, worker):
        async with rpc.listening() as address:
            quiet = await _blocks(world, worker, block)
            print(f"{'blocks alone':36} {_show(quiet)}")
            for name in list(SEARCHES)[1:4]:
                attack = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", attacking.__name__, address, json.dumps(SEARCHES[name])
                )
                await asyncio.sleep(ATTACK_BEGINS_S)
                print(f"beside {attacking.CLIENTS} x {name!r}:")
                async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
                    light = [
                        group.create_task(_latencies(session, address, "eth_blockNumber", [])),
                        group.create_task(
                            _latencies(session, address, "eth_getLogs", [SEARCHES["one block"]])
                        ),
                        group.create_task(
                            _latencies(session, address, "eth_call", [{"to": to_hex(TOKEN)}])
                        ),
                    ]
                    print(f"{'  blocks':36} {_show(await _blocks(world, worker, block))}")
                for what, task in zip(("blockNumber", "one block", "eth_call"), light, strict=True):
                    print(f"{'  ' + what:36} {_show(task.result())}")
                attack.terminate()
                await attack.wait()


async def _blocks(world: World, worker: BlockWorker, block: ExecutedBlock) -> list[float]:
    """Half of the time a block is in work, as at slots that are well filled."""
    loop, times = asyncio.get_running_loop(), []
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        began = time.perf_counter()
        await loop.run_in_executor(worker, world.execute, block)
        times.append(time.perf_counter() - began)
        await asyncio.sleep(times[-1])
    return times


async def _latencies(
    session: aiohttp.ClientSession, address: str, method: str, params: list[Any]
) -> list[float]:
    times, end = [], time.monotonic() + SECONDS
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    while time.monotonic() < end:
        began = time.perf_counter()
        await attacking.post(session, address, body)
        times.append(time.perf_counter() - began)
        await asyncio.sleep(0.05)
    return times


def _show(times: list[float]) -> str:
    ordered = sorted(times)
    return (
        f"median {statistics.median(ordered) * 1000:7.1f} ms, "
        f"p99 {ordered[int(len(ordered) * 0.99)] * 1000:7.1f} ms, {len(ordered)} times"
    )


if __name__ == "__main__":
    main()
