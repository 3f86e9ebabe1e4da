"""A Toxiproxy of a pod of containers that ends on its own, and who comes back with it."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from devnet.backends.base import ProgramStatus, RunState, listed
from devnet.backends.docker import DockerBackend
from devnet.model.topology import Link, compute_topology
from devnet.network.programs import Plan
from devnet.network.proxy_keeper import ProxyKeeper

TOPOLOGY = compute_topology(operators=1)
PROGRAMS = Plan(TOPOLOGY, "docker", frozenset()).programs


class Pods(DockerBackend):
    """Containers of nobody; what is asked of them is remembered."""

    def __init__(self, running: Iterable[str]) -> None:
        super().__init__(
            directory=Path(),
            programs=PROGRAMS,
            executables={},
            source=Path(),
            on_crash=lambda *_: None,
            topology=TOPOLOGY,
            identifier="0",
        )
        self.running, self.asked = set(running), list[tuple[Any, ...]]()

    async def status(self) -> Mapping[str, ProgramStatus]:
        states = {True: RunState.RUNNING, False: RunState.KILLED}
        all_of_them = [
            ProgramStatus(name=name, state=states[name in self.running]) for name in PROGRAMS
        ]
        return listed(PROGRAMS, all_of_them)

    async def kill(self, names: Iterable[str]) -> None:
        self.asked.append(("kill", *names))

    async def start(self, names: Iterable[str], *_: Any) -> None:
        self.asked.append(("start", *names))

    async def listen_host(self) -> Callable[[Link], str]:
        return lambda link: link.target

    async def restore(self, pod: str, _listen_host: Callable[[Link], str]) -> None:
        self.asked.append(("restore", pod))


@pytest.mark.parametrize("bender", [(), ("op1.bender",)])
async def test_those_of_its_pod_that_ran_come_back_and_those_that_a_fault_holds_do_not(
    bender: tuple[str, ...],
) -> None:
    """Programs that run on demand may run or not."""
    roles = ("op1.execution", "op1.rollup", "op1.middleware")
    pods, said = Pods([*roles, *bender]), asyncio.Queue[str]()
    keeper = ProxyKeeper(pods, pods, said.put_nowait)  # type: ignore[arg-type]
    keeper.on_crash("op1.validator")
    keeper.on_crash("op1.toxiproxy")
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(keeper.run())
        told = await said.get()
        running.cancel()
    assert told == "op1.toxiproxy runs again, with the faults that stand on its links"
    assert pods.asked == [
        ("kill", *roles, *bender),
        ("start", "op1.toxiproxy"),
        ("restore", "op1"),
        ("start", *roles, *bender),
    ]
