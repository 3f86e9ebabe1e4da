"""`python -m tests.benchmarks.lag.operators FOLDER BEGAN PORTS INDEX...`: some operators of a
cluster in one process, over real links, TLS and SQLite; rollup nodes and validators are fakes.

A line on standard input asks for what was measured of the first one since the line before, and
standard output brings it as a line of JSON.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.unit.middleware import conftest
from tests.unit.middleware.conftest import Network, Operator, load_cluster

TICK_S: Final = 0.002
COUNTED: Final = ("refused", "bad_", "ignored", "dropped", "received_bytes", "round_changes")
"""What the names of metrics hold that say what became of a flood."""


@dataclass
class Lag:
    """How late a timer of this loop fires; `own`: as far as this thread used the processor
    meanwhile. The rest is the machine's."""

    all: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)

    async def sample(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            planned, used = loop.time() + TICK_S, time.thread_time()
            await asyncio.sleep(TICK_S)
            late = max(0.0, loop.time() - planned)
            self.all.append(late)
            self.own.append(min(late, time.thread_time() - used))

    def taken(self) -> dict[str, list[float]]:
        found = {"all": _quantiles(self.all), "own": _quantiles(self.own)}
        self.all, self.own = [], []
        return found


def _quantiles(samples: list[float]) -> list[float]:
    """p50, p99 and the longest; seconds."""
    ranked = sorted(samples) or [0.0]
    return [ranked[len(ranked) // 2], ranked[int(len(ranked) * 0.99)], ranked[-1]]


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def counts(operator: Operator) -> Counter[str]:
    lines = operator.middleware.metrics.render().splitlines()
    split = (line.rpartition(" ") for line in lines if any(word in line for word in COUNTED))
    return Counter({name: round(float(value)) for name, _, value in split})


async def main(folder: Path, began: float, ports: list[int], indices: list[int]) -> None:
    conftest.SPEED = 1
    network = Network(load_cluster(folder / "cluster"), folder, ports, began=began)
    asked = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(asked), sys.stdin)
    async with AsyncExitStack() as stack:
        operators = [await stack.enter_async_context(network.operator(each)) for each in indices]
        async with asyncio.TaskGroup() as group:
            lag = Lag()
            sampling = group.create_task(lag.sample())
            await _answer(asked, operators[0], lag)
            sampling.cancel()


async def _answer(asked: asyncio.StreamReader, operator: Operator, lag: Lag) -> None:
    before: Counter[str] = Counter()
    while await asked.readline():
        now = counts(operator)
        grown = {name: now[name] - before[name] for name in now if now[name] > before[name]}
        before = now
        told: dict[str, Any] = {
            "lag": lag.taken(),
            "resident": resident_bytes(),
            "sealed": operator.sealed_height(),
            "links": len(operator.middleware.transport.up_peers()),
            "counts": grown,
        }
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    _, where, when, listening, *which = sys.argv
    asyncio.run(main(Path(where), float(when), json.loads(listening), list(map(int, which))))
