"""Hosts that are lost and come back: what is asked of backend and Toxiproxies, in which order."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from devnet.backends.base import BackendError, CpuUse, ProgramStatus, RunState
from devnet.faults.host_lost import HostLost
from devnet.faults.surface import CannotInject
from devnet.links.toxiproxy import ToxiproxyError, ToxiproxyUnreachable
from devnet.model.topology import Link, compute_topology
from devnet.network.control import RemoteBackend, serve_control
from devnet.runner.hosts import LiveHosts
from tests.unit.chaos.fake_network import FakeNetwork, in_virtual_time
from tests.unit.chaos.test_faults import sight

FOUR = compute_topology(operators=4, followers=1)
ROLES = ("op2.execution", "op2.rollup", "op2.middleware", "op2.validator")


class Pods:
    """A backend and its Toxiproxies, which remember what was asked of both."""

    kind = "docker"

    def __init__(self, *, bender: bool = False) -> None:
        self.asked: list[tuple[Any, ...]] = []
        names = [name for pod in FOUR.pods for name in pod.programs]
        names += ["op2.bender"] * bender
        self.states = dict.fromkeys(names, RunState.RUNNING)
        self.answer: Exception | None = None

    async def status(self) -> Mapping[str, ProgramStatus]:
        return {name: ProgramStatus(name=name, state=state) for name, state in self.states.items()}

    async def kill(self, names: Iterable[str]) -> None:
        self._take("kill", names, RunState.KILLED)

    async def start(self, names: Iterable[str]) -> None:
        self._take("start", names, RunState.RUNNING)

    stop = pause = resume = kill

    async def hold_cpu(self, names: Iterable[str], percent: int | None) -> None:
        self.asked.append(("hold", percent, *names))

    async def cpu(self, names: Iterable[str]) -> Mapping[str, CpuUse]:
        return {name: CpuUse(percent=None, held_back_s=0.5) for name in names}

    async def use_up_memory(self, names: Iterable[str]) -> None:
        self._take("use up", names, RunState.KILLED)

    def _take(self, what: str, names: Iterable[str], state: RunState) -> None:
        chosen = tuple(names)
        self.asked.append((what, *chosen))
        self.states |= dict.fromkeys(chosen, state)

    async def listen_host(self) -> Callable[[Link], str]:
        self.asked.append(("where",))
        return lambda link: f"host of {link.target}"

    async def restore(self, pod: str, listen_host: Callable[[Link], str]) -> None:
        self.asked.append(("restore", pod, listen_host(FOUR.links_on(pod)[0])))

    def client(self, pod: str) -> "Pods":
        return self

    async def proxies(self) -> dict[str, object]:
        if self.answer is not None:
            raise self.answer
        return {}


def hosts_on(pods: Pods) -> LiveHosts:
    return LiveHosts(pods, pods, FOUR)  # type: ignore[arg-type]


async def test_everything_of_the_pod_goes_in_one_call_and_nothing_else() -> None:
    """What a fault has started there, too: it would keep the pod's network alive."""
    pods = Pods(bender=True)
    pods.states["op2.rollup"] = RunState.PAUSED
    await hosts_on(pods).lose(["op2"])
    (asked,) = pods.asked
    assert asked[0] == "kill"
    assert set(asked[1:]) == {"op2.toxiproxy", "op2.bender", *ROLES}


async def test_links_are_set_up_anew_before_the_roles_start() -> None:
    """At the address that the host has now."""
    pods = Pods()
    await hosts_on(pods).bring_back(["op2"])
    assert pods.asked == [
        ("start", "op2.toxiproxy"),
        ("where",),
        ("restore", "op2", "host of op2"),
        ("start", *ROLES),
    ]


async def test_a_host_is_lost_when_nothing_runs_and_nothing_answers() -> None:
    pods = Pods()
    hosts = hosts_on(pods)
    await hosts.lose(["op2"])
    assert await hosts.not_lost(["op2"]) == "the host of op2 still answers"
    pods.answer = ToxiproxyError("not now", 503)
    assert await hosts.not_lost(["op2"]) == "the host of op2 still answers"
    pods.answer = ToxiproxyUnreachable("no connection")
    assert await hosts.not_lost(["op2"]) == ""
    for state in (RunState.RUNNING, RunState.PAUSED):
        pods.states["op2.validator"] = state
        assert await hosts.not_lost(["op2"]) == "op2.validator still there"


async def test_a_backend_that_refuses_is_in_the_receipt() -> None:
    pods = Pods()

    async def refuse(*_: object) -> None:
        raise BackendError("no such container")

    pods.kill = pods.start = pods.status = refuse  # type: ignore[assignment, method-assign]
    hosts = hosts_on(pods)
    for call in (hosts.lose, hosts.bring_back, hosts.not_lost):
        with pytest.raises(CannotInject, match="no such container"):
            await call(["op2"])


async def test_another_process_is_told_where_pods_listen(tmp_path: Path) -> None:
    """All links of the largest network go through the socket."""
    (tmp_path / "run").mkdir()
    large = compute_topology(operators=10, followers=5, port_offset=11_000)
    remote = RemoteBackend(tmp_path, "docker", large.links)
    async with serve_control(tmp_path, Pods()):  # type: ignore[arg-type]
        host_of = await remote.listen_host()
    assert {host_of(link) for link in large.links} == {f"host of {pod.name}" for pod in large.pods}


async def test_shares_and_memory_go_through_the_socket(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    pods, remote = Pods(), RemoteBackend(tmp_path, "docker")
    async with serve_control(tmp_path, pods):  # type: ignore[arg-type]
        await remote.hold_cpu(["op2.rollup"], 5)
        await remote.hold_cpu(["op2.rollup"], None)
        found = await remote.cpu(["op1.rollup", "op2.rollup"])
        await remote.use_up_memory(["op2.execution"])
    assert pods.asked == [
        ("hold", 5, "op2.rollup"),
        ("hold", None, "op2.rollup"),
        ("use up", "op2.execution"),
    ]
    assert found == {
        "op1.rollup": CpuUse(percent=None, held_back_s=0.5),
        "op2.rollup": CpuUse(percent=None, held_back_s=0.5),
    }


@pytest.mark.parametrize("spared", ["runs", "reached"])
def test_a_host_that_is_there_in_part_is_not_lost(spared: str) -> None:
    network, do = FakeNetwork(), HostLost(target="op3")
    site = do.aim(sight())

    async def work() -> str:
        await do.inject(site, network)
        assert await do.missing(site, network) == ""
        if spared == "runs":
            network.programs.down.remove("op3.toxiproxy")
        else:
            network.cut.remove("op1>op3.consensus")
        return await do.missing(site, network)

    told = {"runs": "op3.toxiproxy", "reached": "op1>op3.consensus"}
    assert in_virtual_time(work) == told[spared]
