"""Bent answers on a running network: which bender stands before which service, and what it says.

A pod's bender is started when the first of its links is bent; then the Toxiproxy of the link leads
to it instead of to the service. After the last link it is gone, and nothing of it is in a path.
"""

import asyncio
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from devnet.backends.base import Backend, BackendError
from devnet.faults.surface import CannotInject
from devnet.links.mesh import LINK_ERRORS, Mesh
from devnet.model.bend import (
    BEAT_S,
    TABLE,
    TOLD,
    Bend,
    BentLink,
    LinkTold,
    Table,
    Told,
    bender_home,
    bender_of,
)
from devnet.model.clock import now
from devnet.model.topology import Link, Topology
from devnet.model.whole import write_whole

START_TIMEOUT_S: Final = 20.0
"""A Python program that starts on a busy machine; a running one needs 0.1 s for a new table."""
POLL_S: Final = 0.05
QUIET_S: Final = 30.0
"""Without a bent answer on a link for so long, nobody asks there any more."""
DEAF_S: Final = 6 * BEAT_S
"""Without a beat for so long, a bender has ended or stands still."""


class LiveBends:
    """`Bends`."""

    def __init__(self, backend: Backend, mesh: Mesh, topology: Topology, directory: Path) -> None:
        self._backend, self._mesh, self._topology = backend, mesh, topology
        self._directory = directory
        self._bent: dict[str, tuple[Bend, ...]] = {}
        self._grown: dict[str, tuple[int, float]] = {}
        """Link -> bent answers at the last look that found more of them, and when."""
        self._beats: dict[str, tuple[int, float]] = {}
        """Pod -> its bender's beat at the last look that found another one, and when."""
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """Pod -> who gives its bender a table waits for whoever does."""

    async def bend(self, links: Sequence[str], bends: Sequence[Bend]) -> None:
        chosen = self._links(links)
        async with self._alone_at(_pods(chosen)):
            for link in links:
                self._bent[link] = tuple(bends)
                self._grown.pop(link, None)
            told: dict[str, LinkTold] = {}
            for pod in _pods(chosen):
                told |= await self._told_to(pod)
            await self._call(self._mesh.lead_to({link: told[link.name].port for link in chosen}))

    async def straighten(self, links: Sequence[str]) -> None:
        chosen = self._links(links)
        async with self._alone_at(_pods(chosen)):
            await self._call(self._mesh.lead_to({link: link.service_port for link in chosen}))
            for link in links:
                self._bent.pop(link, None)
            for pod in _pods(chosen):
                if any(self._topology.link(name).target == pod for name in self._bent):
                    await self._told_to(pod)
                else:
                    await self._call(self._backend.kill([bender_of(pod)]))

    async def not_bent(self, links: Sequence[str]) -> str:
        chosen = self._links(links)
        told: dict[str, LinkTold] = {}
        for pod in _pods(chosen):
            said = self._told(pod)
            if self._is_deaf(pod, said.beat):
                return f"{bender_of(pod)} has said nothing for {DEAF_S:g} s"
            told |= said.links
        if missing := [link.name for link in chosen if link.name not in told]:
            return f"the bender says nothing of {', '.join(missing)}"
        ports = {link: told[link.name].port for link in chosen}
        if around := await self._not_leading_to(ports):
            return f"not through the bender: {', '.join(around)}"
        quiet = [name for name in links if self._is_quiet(name, told[name].bent)]
        return f"no answer was bent: {', '.join(quiet)}" if quiet else ""

    async def not_straight(self, links: Sequence[str]) -> str:
        ports = {link: link.service_port for link in self._links(links)}
        bent = await self._not_leading_to(ports)
        return f"still bent: {', '.join(bent)}" if bent else ""

    def _is_quiet(self, link: str, bent: int) -> bool:
        before, since = self._grown.get(link, (0, now() - QUIET_S))
        if bent > before:
            self._grown[link] = (bent, now())
            return False
        return now() - since >= QUIET_S

    def _is_deaf(self, pod: str, beat: int) -> bool:
        before, since = self._beats.get(pod, (None, 0.0))
        if beat != before:
            self._beats[pod] = (beat, now())
            return False
        return now() - since >= DEAF_S

    @asynccontextmanager
    async def _alone_at(self, pods: Sequence[str]) -> AsyncIterator[None]:
        """In one order for all, so that none waits for another in a circle."""
        async with AsyncExitStack() as held:
            for pod in pods:
                await held.enter_async_context(self._locks[pod])
            yield

    async def _told_to(self, pod: str) -> dict[str, LinkTold]:
        """Give its bender the table; what it says once it listens as the table wants."""
        folder = self._folder(pod)
        links = {
            name: BentLink(service_port=self._topology.link(name).service_port, bends=bends)
            for name, bends in self._bent.items()
            if self._topology.link(name).target == pod
        }
        table = Table(edition=secrets.token_hex(8), links=links)
        folder.mkdir(parents=True, exist_ok=True)
        # In a container it is another user who reads it.
        write_whole(folder / TABLE, msgspec.json.encode(table), mode=0o644)
        await self._call(self._backend.start([bender_of(pod)]))
        deadline = now() + START_TIMEOUT_S
        while (told := self._told(pod)).edition != table.edition:
            if now() > deadline:
                raise CannotInject(
                    f"{bender_of(pod)} does not listen after {START_TIMEOUT_S:.0f} s; see "
                    f"{self._directory / 'logs' / bender_of(pod)}.log"
                )
            await asyncio.sleep(POLL_S)
        return told.links

    def _told(self, pod: str) -> Told:
        try:
            return msgspec.json.decode((self._folder(pod) / TOLD).read_bytes(), type=Told)
        except (OSError, msgspec.DecodeError):
            return Told(edition="", links={})

    def _folder(self, pod: str) -> Path:
        return self._directory / bender_home(pod)

    def _links(self, names: Sequence[str]) -> list[Link]:
        return [self._topology.link(name) for name in names]

    async def _not_leading_to(self, ports: dict[Link, int]) -> list[str]:
        try:
            return await self._mesh.not_leading_to(ports)
        except LINK_ERRORS as error:
            return [str(error)]

    async def _call(self, work: Awaitable[None]) -> None:
        try:
            await work
        except (BackendError, *LINK_ERRORS) as error:
            raise CannotInject(str(error)) from error


def _pods(links: Iterable[Link]) -> list[str]:
    """Where their services are."""
    return sorted({link.target for link in links})
