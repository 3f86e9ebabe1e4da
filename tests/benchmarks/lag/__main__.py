"""`python -m tests.benchmarks.lag`: what a hostile member can do to an operator's event loop.

Four operators: one is measured in a process of its own, two share another, and f = 1 member floods
the first over its genuine link, as fast as that takes it, one kind of message after another; then
it answers badly where the first dials it. Beside
each stands a calm window of the same run. The target is a lag below 50 ms at p99, flat memory, and
a height sealed each slot. Judged are memory, and as much of the lag as the operator's own thread
used the processor meanwhile: the rest of the lag by the wall, and heights that are late for it, are
due to whatever else this machine runs.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dst.middleware.wire_messages import Status, decode_message
from dst.spec.primitives import Height, OperatorIndex
from tests.benchmarks.lag import operators
from tests.benchmarks.lag.floods import Flood, floods, greetings, pongs
from tests.ports import free_ports
from tests.unit.middleware import conftest
from tests.unit.middleware.conftest import Cluster, Network, Puppet, deal

VICTIM: Final = OperatorIndex(0)
HOSTILE: Final = 3
READY_S: Final = 30.0
CALM_S: Final = 4.0
TARGET_P99_S: Final = 0.05
TARGET_LONGEST_S: Final = 0.2
"""Of its own processor: what comes a few times a second is not among the worst hundredth."""
MOST_GROWTH: Final = 32 << 20
"""Of memory: what queues and one frame may hold, and what an allocator keeps."""


class Hostile(Puppet):
    """Listens for the open height alone."""

    height = Height(1)

    def received(self, peer: OperatorIndex, body: bytes) -> None:
        message = decode_message(body)
        if isinstance(message, Status):
            self.height = max(self.height, Height(message.decided_height + 1))


@dataclass
class Cluster3:
    """Two processes of honest operators and the hostile one, here."""

    cluster: Cluster
    victim: Process
    hostile: Hostile

    async def measured(self) -> dict[str, Any]:
        """Of the victim, since it was asked before."""
        assert self.victim.stdin is not None
        assert self.victim.stdout is not None
        self.victim.stdin.write(b"\n")
        told = json.loads(await self.victim.stdout.readline())
        assert isinstance(told, dict)
        return told

    async def flood(self, flood: Flood, seconds: float) -> int:
        """Bytes that the link took."""
        if flood is greetings:
            return await self._greet(flood(self.hostile, self.cluster, Height(1))[0], seconds)
        end, sent = time.monotonic() + seconds, 0
        frames: list[bytes] = []
        made_for, number = Height(0), 0
        while time.monotonic() < end:
            if self.hostile.height != made_for:
                made_for = self.hostile.height
                frames = flood(self.hostile, self.cluster, made_for)
            writer = self._dialled_by_victim if flood is pongs else self._dialled
            if writer is None or writer.is_closing():  # it hung up on us: a link is dialled again
                await asyncio.sleep(0.01)
                continue
            frame = frames[number % len(frames)]
            number += 1
            writer.write(frame)
            sent += len(frame)
            try:
                await writer.drain()
            except OSError:
                await asyncio.sleep(0.01)
            if number % 64 == 0:
                await asyncio.sleep(0)  # the pings of this side, and what it hears
        return sent

    async def _greet(self, greeting: bytes, seconds: float) -> int:
        """Answer each HELLO of the victim with this."""
        listener, sent = self.hostile.transport._listener, 0
        assert listener is not None
        honest = listener._answer_hello

        def answer(peer: OperatorIndex, body: bytes, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            if peer != VICTIM:
                return honest(peer, body, writer)
            writer.write(greeting)
            sent += len(greeting)

        listener._answer_hello = answer  # type: ignore[method-assign]
        if (writer := self._dialled_by_victim) is not None:
            writer.transport.abort()  # it dials again
        await asyncio.sleep(seconds)
        listener._answer_hello = honest  # type: ignore[method-assign]
        return sent

    @property
    def _dialled(self) -> asyncio.StreamWriter | None:
        return self.hostile.transport._links[VICTIM]._writer

    @property
    def _dialled_by_victim(self) -> asyncio.StreamWriter | None:
        listener = self.hostile.transport._listener
        return None if listener is None else listener._current.get(VICTIM)


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Cluster3]:
    conftest.SPEED = 1
    cluster = deal(folder / "cluster", 4)
    ports, began = free_ports(4), time.monotonic() + 1.0
    network = Network(cluster, folder, ports, began=began)
    processes = [await _start(folder, began, ports, which) for which in ([0], [1, 2])]
    hostile = Hostile(network, HOSTILE)
    await hostile.transport.start(hostile)
    try:
        async with asyncio.TaskGroup() as group:
            links = group.create_task(hostile.transport.run())
            made = Cluster3(cluster, processes[0], hostile)
            await _until_ready(made)
            yield made
            links.cancel()
    finally:
        for process in processes:
            process.terminate()
            await process.wait()


async def _start(folder: Path, began: float, ports: list[int], which: list[int]) -> Process:
    words = [str(folder), str(began), json.dumps(ports), *map(str, which)]
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", operators.__name__, *words, stdin=PIPE, stdout=PIPE
    )


async def _until_ready(made: Cluster3) -> None:
    deadline = time.monotonic() + READY_S
    while (told := await made.measured())["sealed"] < 2 or told["links"] < 3:
        assert time.monotonic() < deadline, told
        await asyncio.sleep(0.2)


def _line(name: str, seconds: float, sent: int, before: int, told: dict[str, Any]) -> str:
    def shown(which: str) -> str:
        return " / ".join(f"{1000 * each:.1f}" for each in told["lag"][which])

    memory = (told["resident"] - before) / 2**20
    return (
        f"| {name} | {sent / seconds / 2**20:.1f} | {shown('all')} | {shown('own')} "
        f"| {told['resident'] / 2**20:.0f} ({memory:+.1f}) | {told['grown']} |"
    )


async def main(seconds: float, only: str) -> bool:
    print(
        "| flood | MiB/s | lag by the wall, ms: p50 / p99 / longest "
        "| of it own processor, ms (judged) | resident, MiB | heights |\n|---|---|---|---|---|---|"
    )
    is_well, worst_p99 = True, {"all": 0.0, "own": 0.0}
    with tempfile.TemporaryDirectory() as folder:
        async with running(Path(folder)) as made:
            for name, flood in floods().items():
                if only not in name:
                    continue
                calm = await _window(made, None, CALM_S)
                told = await _window(made, flood, seconds)
                print(_line("calm", CALM_S, 0, calm["before"], calm))
                print(_line(name, seconds, told["sent"], calm["resident"], told), flush=True)
                print(f"  {told['counts']}", file=sys.stderr, flush=True)
                is_well &= told["lag"]["own"][2] < TARGET_LONGEST_S
                grown = told["resident"] - calm["resident"]
                is_well &= told["lag"]["own"][1] < TARGET_P99_S and grown < MOST_GROWTH
                for which, worst in worst_p99.items():
                    worst_p99[which] = max(worst, told["lag"][which][1])
    wall, own = (1000 * worst_p99[which] for which in ("all", "own"))
    verdict = "passed" if is_well else "failed"
    print(
        f"\n{verdict}: worst p99 of a flood: {own:.1f} ms of own processor (judged, below "
        f"{1000 * TARGET_P99_S:.0f} ms), {wall:.1f} ms by the wall"
    )
    return is_well


async def _window(made: Cluster3, flood: Flood | None, seconds: float) -> dict[str, Any]:
    before = await made.measured()
    sent = 0
    if flood is None:
        await asyncio.sleep(seconds)
    else:
        sent = await made.flood(flood, seconds)
    told = await made.measured()
    grown = told["sealed"] - before["sealed"]
    return {**told, "sent": sent, "before": before["resident"], "grown": grown}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each flood")
    parser.add_argument("--only", default="", help="floods whose names hold this")
    options = parser.parse_args()
    sys.exit(0 if asyncio.run(main(options.seconds, options.only)) else 1)
