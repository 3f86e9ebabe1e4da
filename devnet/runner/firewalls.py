"""Packet filters of a running network: `Firewalls` over programs that the backend starts in the
pods, proven by what these count."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from devnet.backends.base import Backend, BackendError, Extra, RunState
from devnet.faults.surface import CannotInject
from devnet.model.clock import now
from devnet.model.firewall import DROPPED, firewall_home, firewall_of
from devnet.model.topology import LinkClass, Topology

QUIET_S: Final = 10.0
"""Both ends of a cut consensus link knock at least every few seconds, which TCP does twice as
seldom each time."""


class LiveFirewalls:
    def __init__(self, backend: Backend, topology: Topology, directory: Path) -> None:
        self._backend, self._topology, self._directory = backend, topology, directory
        self._grown: dict[str, tuple[int, float]] = {}
        """Pod -> packets at the last look that found more of them, and when."""

    async def drop(self, links: Mapping[str, Sequence[str]]) -> None:
        await asyncio.gather(*(self._drop(pod, chosen) for pod, chosen in links.items()))

    async def _drop(self, pod: str, links: Sequence[str]) -> None:
        (self._directory / firewall_home(pod) / DROPPED).unlink(missing_ok=True)
        self._grown[pod] = (0, now())
        ports = (f"{name}={self._topology.link(name).listen_port}" for name in links)
        try:
            await self._backend.start([firewall_of(pod)], Extra(flags=tuple(ports)))
        except BackendError as error:
            raise CannotInject(str(error)) from error

    async def let_pass(self, pods: Sequence[str]) -> None:
        """The rules are the program's, and end with it."""
        try:
            await self._backend.kill([firewall_of(pod) for pod in pods])
        except BackendError as error:
            raise CannotInject(str(error)) from error

    async def not_dropping(self, links: Mapping[str, Sequence[str]]) -> str:
        running = await self._running()
        told = [self._complaint(pod, chosen, running) for pod, chosen in links.items()]
        return ", ".join(complaint for complaint in told if complaint)

    def _complaint(self, pod: str, links: Sequence[str], running: set[str]) -> str:
        if firewall_of(pod) not in running:
            return f"{firewall_of(pod)} does not run"
        counts = self._counts(pod)
        if without := [name for name in links if name not in counts]:
            return f"no rule in {pod} for {', '.join(without)}"
        unmet = [name for name in links if not counts[name] and self._is_spoken(name)]
        if unmet:
            return f"no packet was dropped of {', '.join(unmet)}"
        total = sum(counts.values())
        before, since = self._grown.get(pod, (0, now()))
        if total > before:
            self._grown[pod] = (total, now())
            return ""
        quiet = total == 0 or now() - since >= QUIET_S
        return f"{pod} drops no packets" if quiet else ""

    async def not_passing(self, pods: Sequence[str]) -> str:
        running = await self._running()
        left = [firewall_of(pod) for pod in pods if firewall_of(pod) in running]
        return f"{', '.join(left)} still drops packets" if left else ""

    def _is_spoken(self, link: str) -> bool:
        """Whether something is always sent there."""
        return self._topology.link(link).kind is LinkClass.CONSENSUS

    def _counts(self, pod: str) -> Mapping[str, int]:
        try:
            found = json.loads((self._directory / firewall_home(pod) / DROPPED).read_bytes())
        except (OSError, ValueError):
            return {}
        return {str(name): int(count) for name, count in found.items()}

    async def _running(self) -> set[str]:
        try:
            status = await self._backend.status()
        except BackendError as error:
            raise CannotInject(str(error)) from error
        return {name for name, each in status.items() if each.state is RunState.RUNNING}
