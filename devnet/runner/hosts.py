"""Hosts of a running network: `Hosts` over the backend and the Toxiproxies."""

from collections.abc import Sequence

from devnet.backends.base import Backend, BackendError, RunState
from devnet.faults.surface import CannotInject
from devnet.links.mesh import LINK_ERRORS, Mesh
from devnet.links.toxiproxy import ToxiproxyError, ToxiproxyUnreachable
from devnet.model.topology import Topology


class LiveHosts:
    def __init__(self, backend: Backend, mesh: Mesh, topology: Topology) -> None:
        self._backend, self._mesh, self._topology = backend, mesh, topology

    async def lose(self, nodes: Sequence[str]) -> None:
        try:
            await self._backend.kill(await self._there(nodes))
        except BackendError as error:
            raise CannotInject(str(error)) from error

    async def bring_back(self, nodes: Sequence[str]) -> None:
        """Proxies before the programs that dial through them: a role that finds nobody at its own
        service's address would wait, or end."""
        pods = [self._topology.pod(node) for node in nodes]
        try:
            await self._backend.start([pod.programs[0] for pod in pods])
            listen_host = await self._backend.listen_host()
            for pod in pods:
                await self._mesh.restore(pod.name, listen_host)
            await self._backend.start([name for pod in pods for name in pod.programs[1:]])
        except (BackendError, *LINK_ERRORS) as error:
            raise CannotInject(str(error)) from error

    async def not_lost(self, nodes: Sequence[str]) -> str:
        try:
            there = await self._there(nodes)
        except BackendError as error:
            raise CannotInject(str(error)) from error
        if there:
            return f"{', '.join(there)} still there"
        answering = [node for node in nodes if await self._answers(node)]
        return f"the host of {', '.join(answering)} still answers" if answering else ""

    async def _there(self, nodes: Sequence[str]) -> list[str]:
        """All that has not ended, what faults have started beside the roles included."""
        alive = (RunState.RUNNING, RunState.PAUSED)
        return [
            name
            for name, status in (await self._backend.status()).items()
            if name.partition(".")[0] in nodes and status.state in alive
        ]

    async def _answers(self, node: str) -> bool:
        try:
            await self._mesh.client(node).proxies()
        except ToxiproxyUnreachable:
            return False
        except ToxiproxyError:
            return True
        return True
