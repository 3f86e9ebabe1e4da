"""A running network as faults and runs see it: backend, Toxiproxies and probes behind the
injector's two surfaces."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from devnet.backends.base import Backend, BackendError, RunState
from devnet.faults.surface import CannotInject
from devnet.links.mesh import Mesh
from devnet.links.toxiproxy import ToxiproxyError, ToxiproxyUnreachable
from devnet.model.cut import CutMode
from devnet.model.history import HostileFate, TransactionSubmitted
from devnet.model.topology import Link, Topology, resolve_programs
from devnet.probes.chain import read_end_state
from devnet.probes.events import EventTail
from devnet.probes.health import answers, links_up, read_metrics
from devnet.probes.rpc import Rpc
from devnet.probes.seals import BeaconSeals, Verifier
from devnet.runner.journal import Journal
from devnet.runner.stages import HarnessError
from devnet.scenarios.scenario import Scenario
from devnet.workload.hostile.client import HostileClient
from devnet.workload.load import NodeRpc, run_load
from dst.spec.cluster import ClusterLock
from dst.spec.errors import InvalidInput

READ_TIMEOUT: Final = 10.0


def host_url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


class LiveNodes:
    """`Nodes` over a backend, proven through probe links."""

    def __init__(
        self, backend: Backend, topology: Topology, session: aiohttp.ClientSession
    ) -> None:
        self._backend = backend
        self._topology = topology
        self._session = session

    async def kill(self, nodes: Sequence[str]) -> None:
        await self._call(self._backend.kill, nodes)

    async def start(self, nodes: Sequence[str]) -> None:
        await self._call(self._backend.start, nodes)

    async def freeze(self, nodes: Sequence[str]) -> None:
        await self._call(self._backend.pause, nodes)

    async def thaw(self, nodes: Sequence[str]) -> None:
        await self._call(self._backend.resume, nodes)

    def _programs(self, nodes: Sequence[str]) -> list[str]:
        return [name for node in nodes for name in resolve_programs(self._topology, node)]

    async def _call(
        self, call: Callable[[Sequence[str]], Awaitable[None]], nodes: Sequence[str]
    ) -> None:
        try:
            await call(self._programs(nodes))
        except BackendError as error:
            raise CannotInject(str(error)) from error

    async def _states(self, nodes: Sequence[str]) -> dict[str, RunState]:
        try:
            status = await self._backend.status()
        except BackendError as error:
            raise CannotInject(str(error)) from error
        return {name: status[name].state for name in self._programs(nodes)}

    def _health_urls(self, node: str) -> list[str]:
        links = [f"probe>{node}.beacon", f"probe>{node}.rpc"]
        if node in self._topology.operator_names:
            links.append(f"probe>{node}.middleware")
        return [f"{host_url(self._topology.host_port(link))}/livez" for link in links]

    async def not_down(self, nodes: Sequence[str]) -> str:
        states = await self._states(nodes)
        alive = [name for name, state in states.items() if state is RunState.RUNNING]
        if alive:
            return f"{', '.join(alive)} still running"
        for node in nodes:
            if await answers(self._session, self._health_urls(node)[0], seconds=0.25):
                return f"{node} still answers"
        return ""

    async def not_up(self, nodes: Sequence[str]) -> str:
        states = await self._states(nodes)
        down = [name for name, state in states.items() if state is not RunState.RUNNING]
        if down:
            return f"{', '.join(down)} not running"
        urls = [url for node in nodes for url in self._health_urls(node)]
        served = await asyncio.gather(*(answers(self._session, url) for url in urls))
        silent = [url for url, ok in zip(urls, served, strict=True) if not ok]
        return f"no answer from {', '.join(silent)}" if silent else ""


class LiveLinks:
    """`Links` over the Toxiproxies, proven by what both ends report of their links."""

    def __init__(self, mesh: Mesh, topology: Topology, session: aiohttp.ClientSession) -> None:
        self._mesh = mesh
        self._topology = topology
        self._session = session

    async def cut(self, links: Sequence[str], mode: CutMode) -> None:
        await self._call(self._mesh.cut(self._links(links), mode))

    async def heal(self, links: Sequence[str], mode: CutMode) -> None:
        await self._call(self._mesh.heal(self._links(links), mode))

    async def delay(self, links: Sequence[str], one_way_ms: int) -> None:
        await self._call(self._mesh.set_latency(self._links(links), one_way_ms))

    async def not_cut(self, links: Sequence[str]) -> str:
        return await self._not(links, up=False)

    async def not_whole(self, links: Sequence[str]) -> str:
        return await self._not(links, up=True)

    def _links(self, names: Sequence[str]) -> list[Link]:
        return [self._topology.link(name) for name in names]

    async def _call(self, work: Awaitable[None]) -> None:
        try:
            await work
        except (ToxiproxyError, ToxiproxyUnreachable, InvalidInput) as error:
            raise CannotInject(str(error)) from error

    async def _not(self, names: Sequence[str], *, up: bool) -> str:
        """A partition cuts both directions of each pair, so the dialling ends together are both
        ends."""
        wanted = self._links(names)
        dialling = sorted({link.source for link in wanted})
        reports = await asyncio.gather(*(self._report(node) for node in dialling))
        known = dict(zip(dialling, reports, strict=True))
        wrong = [link.name for link in wanted if known[link.source].get(link.target) is not up]
        state = "not up" if up else "not down"
        return f"{', '.join(wrong)} {state}" if wrong else ""

    async def _report(self, node: str) -> dict[str, bool]:
        url = f"{host_url(self._topology.host_port(f'probe>{node}.middleware'))}/metrics"
        text = await read_metrics(self._session, url)
        return {} if text is None else dict(links_up(text))

    async def not_delayed(self, names: Sequence[str], one_way_ms: int) -> str:
        try:
            known = await self._mesh.faults()
        except (ToxiproxyError, ToxiproxyUnreachable) as error:
            return str(error)
        wanted = f"latency {one_way_ms} ms"
        if one_way_ms:
            wrong = [name for name in names if wanted not in known.get(name, "")]
        else:
            wrong = [name for name in names if "latency" in known.get(name, "")]
        return f"{', '.join(wrong)}: {'no' if one_way_ms else 'still a'} delay" if wrong else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What the load signs with: the network's public development accounts."""

    chain_id: int
    private_keys: tuple[str, ...]


class LiveNetwork:
    """`Surroundings` of a running network. The session is the caller's."""

    def __init__(
        self,
        *,
        backend: Backend,
        mesh: Mesh,
        topology: Topology,
        lock: ClusterLock,
        credentials: Credentials,
        session: aiohttp.ClientSession,
    ) -> None:
        self.topology = topology
        self._backend = backend
        self.nodes = LiveNodes(backend, topology, session)
        self.links = LiveLinks(mesh, topology, session)
        self._credentials = credentials
        self._session = session
        self._verifier = Verifier(lock)

    @property
    def _nodes(self) -> tuple[str, ...]:
        return (*self.topology.operator_names, *self.topology.follower_names)

    def _url(self, link: str) -> str:
        return host_url(self.topology.host_port(link))

    def tails(self, journal: Journal) -> list[Coroutine[Any, Any, None]]:
        return [
            EventTail(name, self._url(f"probe>{name}.beacon"), journal.record).run()
            for name in self._nodes
        ]

    def load(self, journal: Journal, scenario: Scenario, seed: int) -> Coroutine[Any, Any, None]:
        keys, chain_id = self._credentials.private_keys, self._credentials.chain_id
        return run_load(scenario.load, self._clients(), keys, chain_id, seed, journal.record)

    def _clients(self) -> list[NodeRpc]:
        """Every operator's JSON-RPC as its users reach it."""
        names = self.topology.operator_names
        return [NodeRpc(name, self._url(f"client>{name}.rpc"), self._session) for name in names]

    def _readers(self, names: Sequence[str]) -> list[NodeRpc]:
        """JSON-RPC as only the harness reaches it."""
        return [_ProbeRpc(name, self._url(f"probe>{name}.rpc"), self._session) for name in names]

    def hostile(
        self, journal: Journal, scenario: Scenario, say: Callable[[str], None]
    ) -> Coroutine[Any, Any, None]:
        assert scenario.hostile is not None, "asked by scenarios that have some"
        client = HostileClient(
            senders=self._clients(),
            readers=self._readers(self.topology.operator_names),
            keys=self._credentials.private_keys[scenario.load.senders :],
            chain_id=self._credentials.chain_id,
            record=journal.record,
            say=say,
        )
        return client.run(scenario.hostile, float(journal.setup.slot_seconds))

    async def crashed(self) -> dict[str, str]:
        try:
            status = await self._backend.status()
        except BackendError as error:
            raise HarnessError(str(error)) from error
        return {
            item.name: item.detail for item in status.values() if item.state is RunState.CRASHED
        }

    async def read_end_state(self, journal: Journal, first: int, last: int) -> dict[str, str]:
        names = self._nodes
        endpoints = self._readers(names)
        readers = [
            BeaconSeals(name, self._url(f"probe>{name}.beacon"), self._verifier, journal.events)
            for name in names
        ]
        sent = [
            item.hash
            for item in journal.records
            if isinstance(item, TransactionSubmitted | HostileFate) and item.hash
        ]
        return await read_end_state(
            endpoints=endpoints,
            seal_readers=readers,
            transactions=sent,
            first=first,
            last=last,
            record=journal.record,
        )


class _ProbeRpc(NodeRpc):
    """JSON-RPC over a probe link, patient: the end state is read under no fault but on a busy
    machine."""

    def __init__(self, name: str, url: str, session: aiohttp.ClientSession) -> None:
        super().__init__(name, url, session)
        self._rpc = Rpc(session, url, READ_TIMEOUT)
