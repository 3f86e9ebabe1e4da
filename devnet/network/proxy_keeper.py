"""A Toxiproxy that ends on its own is started again, with the faults that stand on its links.

Its operator would be unreachable until the network is built anew, by nobody's fault but the
harness's. A run that meets it shows nothing (`checkers.sound_harness`), the network goes on.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from devnet.backends.base import Backend, RunState
from devnet.links.mesh import Mesh
from devnet.model.topology import Role
from dst.spec.errors import DstError


@dataclass
class ProxyKeeper:
    mesh: Mesh
    backend: Backend
    say: Callable[[str], None]
    _ended: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    def on_crash(self, name: str) -> None:
        """Any program; those that are no Toxiproxy are somebody else's."""
        pod, _, role = name.partition(".")
        if role == Role.TOXIPROXY:
            self._ended.put_nowait(pod)

    async def run(self) -> None:
        while True:
            await self._restart(await self._ended.get())

    async def _restart(self, pod: str) -> None:
        host = f"{pod}.{Role.TOXIPROXY}"
        try:
            fallen = await self._running(self.backend.falls_with(host))
            if any(name.endswith(f".{Role.ANVIL}") for name in fallen):
                # A new one would be another chain, and the cluster would halt for good.
                self.say("the L1 is lost with its Toxiproxy: this network cannot go on; end it")
                return
            await self.backend.kill(fallen)
            try:
                await self.backend.start([host])
                listen_host = await self.backend.listen_host()
                await self.mesh.restore(pod, listen_host)
            finally:
                await self.backend.start(fallen)
        except (DstError, OSError) as error:
            self.say(f"{pod} stays unreachable: its Toxiproxy could not be started again: {error}")
        else:
            self.say(f"{host} runs again, with the faults that stand on its links")

    async def _running(self, programs: Sequence[str]) -> list[str]:
        """Those of them that no fault holds down; what runs on demand is listed only while it
        does."""
        status = await self.backend.status()
        alive = {name for name, each in status.items() if each.state is RunState.RUNNING}
        return [name for name in programs if name in alive]
