"""The start-up proof: every link really is its proxy.

Structure (docker): no service port and no control port of a pod answers from another pod.
Behaviour (both backends): every connection in the kernel's table that ends at a service port has
the pod's Toxiproxy as its peer; and with all proxies of an operator off, every one of its links is
down, as its ends report and as the kernel's table shows.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from devnet.backends.base import BackendError
from devnet.backends.processes import read_pid_file
from devnet.links.mesh import Mesh
from devnet.model.cut import CutMode
from devnet.model.topology import Link, LinkClass, Pod, Role, Service, Topology
from devnet.network import sockets
from devnet.probes.health import links_up, read_metrics
from dst.spec.errors import DstError

DOWN_TIMEOUT_S: Final = 5.0
UP_TIMEOUT_S: Final = 15.0
POLL_S: Final = 0.05

_REACH_SCRIPT: Final = """
import json, selectors, socket, sys, time
targets, waiting, open_ = json.loads(sys.argv[1]), selectors.DefaultSelector(), []
for host, port in targets:
    s = socket.socket(); s.setblocking(False); s.connect_ex((host, port))
    waiting.register(s, selectors.EVENT_WRITE, (host, port))
end = time.monotonic() + 0.5
while waiting.get_map() and time.monotonic() < end:
    for key, _ in waiting.select(0.1):
        if key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
            open_.append(key.data)
        waiting.unregister(key.fileobj)
print(json.dumps(open_))
"""
"""Tries all addresses at once from inside a pod and prints those that accept."""


_SURVEY_SCRIPT: Final = Path(sockets.__file__).read_text()


class ProofFailed(DstError):
    """A link is not what the topology says; the message names it."""


@dataclass
class Proof:
    """Proves one running network. Raises (all): ProofFailed; BackendError when it cannot look."""

    directory: Path
    identifier: str
    backend: str
    topology: Topology
    mesh: Mesh
    session: aiohttp.ClientSession
    _docker: Any = field(default=None, init=False)

    async def quick(self) -> list[str]:
        """Structure, the kernel's table, and one operator's links: part of every start."""
        done = await self._standing_still()
        return [*done, await self.isolate(self.topology.operator_names[-1])]

    async def full(self) -> list[str]:
        """As `quick`, with every operator cut off in its turn."""
        done = await self._standing_still()
        return [*done, *[await self.isolate(name) for name in self.topology.operator_names]]

    async def _standing_still(self) -> list[str]:
        checks = [self.kernel_table(), *([self.structure()] if self.backend == "docker" else [])]
        return list(await asyncio.gather(*checks))

    async def kernel_table(self) -> str:
        if not sys.platform.startswith("linux") and self.backend == "process":
            return "kernel's table: not looked at, this system has no /proc/net/tcp"
        surveys = await asyncio.gather(*(self._survey(pod) for pod in self.topology.pods))
        for pod, found in zip(self.topology.pods, surveys, strict=True):
            if found["strangers"]:
                local, remote, *_ = found["strangers"][0]
                raise ProofFailed(
                    f"{pod.name}: port {local} is connected to service port {remote} past Toxiproxy"
                )
        return "kernel's table: every connection to a service port comes from its Toxiproxy"

    async def structure(self) -> str:
        """Try every service and control port of every other pod, on both of its addresses, from
        each pod."""
        where = {
            pod.name: await self._in_docker("pod_addresses", pod.name) for pod in self.topology.pods
        }
        found = await asyncio.gather(*(self._reach(pod, where) for pod in self.topology.pods))
        for pod, open_ in zip(self.topology.pods, found, strict=True):
            if open_:
                raise ProofFailed(f"from {pod.name} these answer past Toxiproxy: {open_}")
        return "structure: no service or control port answers from another pod"

    async def isolate(self, operator: str) -> str:
        """All proxies of an operator off: every one of its links must be down; then on: all up
        again."""
        links = self.topology.links_of(operator)
        await self.mesh.cut(links, CutMode.REFUSE)
        try:
            await self._until(
                lambda: self._still_up(links), DOWN_TIMEOUT_S, f"proxies of {operator} off, yet up"
            )
        finally:
            await self.mesh.heal(links, CutMode.REFUSE)
        await self._until(
            lambda: self._still_down(links), UP_TIMEOUT_S, f"proxies of {operator} on, yet down"
        )
        return f"behaviour: the {len(links)} links of {operator} go down and up with their proxies"

    # ------------------------------------------------------------------------------------- looking

    async def _until(self, look: Callable[[], Any], timeout_s: float, what: str) -> None:
        deadline = asyncio.get_running_loop().time() + timeout_s
        while wrong := await look():
            if asyncio.get_running_loop().time() > deadline:
                raise ProofFailed(f"{what} after {timeout_s:.0f} s: {', '.join(wrong)}")
            await asyncio.sleep(POLL_S)

    async def _still_up(self, links: Iterable[Link]) -> list[str]:
        chosen = list(links)
        reported = await self._reports(chosen)
        connected = await self._connected(chosen)
        return sorted({*(n for n, up in reported.items() if up), *connected})

    async def _still_down(self, links: Iterable[Link]) -> list[str]:
        reported = await self._reports([link for link in links])
        return sorted(name for name, up in reported.items() if not up)

    async def _reports(self, links: list[Link]) -> dict[str, bool]:
        """What the dialling middlewares say of their consensus links."""
        consensus = [link for link in links if link.kind is LinkClass.CONSENSUS]
        nodes = sorted({link.source for link in consensus})
        texts = await asyncio.gather(*(self._metrics(node) for node in nodes))
        known = {node: links_up(text or "") for node, text in zip(nodes, texts, strict=True)}
        return {link.name: known[link.source].get(link.target, False) for link in consensus}

    async def _metrics(self, node: str) -> str | None:
        port = self.topology.host_port(f"probe>{node}.{self.topology.voting_role}")
        return await read_metrics(self.session, f"http://127.0.0.1:{port}/metrics")

    async def _connected(self, links: list[Link]) -> list[str]:
        """Links with an established connection at their listener, by the kernel's table."""
        pods = sorted({link.target for link in links})
        surveys = await asyncio.gather(*(self._survey(self.topology.pod(name)) for name in pods))
        counts = {pod: found["established"] for pod, found in zip(pods, surveys, strict=True)}
        return [link.name for link in links if counts[link.target].get(str(link.listen_port))]

    async def _survey(self, pod: Pod) -> dict[str, Any]:
        # The gateway of etcd is a client of etcd itself, at the port that everybody asks.
        ports = [pod.port(each) for each in pod.services if each is not Service.ETCD]
        if self.backend == "docker":
            answer = await self._in_docker(
                "run_in_pod", pod.name, _SURVEY_SCRIPT, "1", *(str(port) for port in ports)
            )
            found: dict[str, Any] = json.loads(answer)
            return found
        if not sys.platform.startswith("linux"):
            return {"strangers": [], "established": {}}
        process = read_pid_file(self.directory / "run" / f"{pod.name}.{Role.TOXIPROXY}.pid")
        if process is None or not process.is_alive():
            raise BackendError(f"{pod.name}.{Role.TOXIPROXY} does not run")
        result: dict[str, Any] = json.loads(json.dumps(sockets.survey(process.pid, set(ports))))
        return result

    async def _reach(self, pod: Pod, where: dict[str, dict[str, str]]) -> list[Any]:
        targets = [
            (address, port)
            for other in self.topology.pods
            if other.name != pod.name
            for address in where[other.name].values()
            for port in (other.admin_port, *(other.port(service) for service in other.services))
        ]
        answer = await self._in_docker("run_in_pod", pod.name, _REACH_SCRIPT, json.dumps(targets))
        found: list[Any] = json.loads(answer)
        return found

    async def _in_docker(self, function: str, *arguments: str) -> Any:
        # docker-py costs 0.3 s to import: only where it is used.
        from devnet.backends import docker

        if self._docker is None:
            self._docker = docker.docker_client()
        return await asyncio.to_thread(
            getattr(docker, function), self._docker, self.identifier, *arguments
        )
