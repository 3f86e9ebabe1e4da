"""Directed links with loss, duplication, delay, reordering and cuts, drawn from the run's
randomness.

A link is dialled by its sender and used for sending only, as in `dst.p2p`. `Up` is called when a
cut or broken link comes back: the transport's PeerConnected at the dialling side.
"""

from collections.abc import Callable
from random import Random
from typing import Any, TypeAlias

from devnet.sim.loop import VirtualLoop
from devnet.sim.params import CutMode, Params

Deliver: TypeAlias = Callable[[int, int, Any], None]
"""(source, target, message)"""
Up: TypeAlias = Callable[[int, int], None]
"""(source, target): the link that `source` dials to `target` is up again."""

RECONNECT_US = 500_000
"""Cap of the reconnect back-off (design section 4)."""


class Network:
    def __init__(
        self, loop: VirtualLoop, rng: Random, params: Params, deliver: Deliver, up: Up
    ) -> None:
        self._loop, self._rng, self._params = loop, rng, params
        self._deliver, self._up = deliver, up
        self._cut: dict[tuple[int, int], CutMode] = {}
        self._held: dict[tuple[int, int], list[Any]] = {}
        self._last: dict[tuple[int, int], int] = {}
        self._slow = frozenset(
            (source, target)
            for source in range(params.n)
            for target in range(params.n)
            if params.slow_links and rng.random() < params.slow_links
        )
        self.calm = False

    def send(self, source: int, target: int, message: Any) -> None:
        link = (source, target)
        mode = self._cut.get(link)
        if mode is CutMode.HOLD:
            self._held.setdefault(link, []).append(message)
        if mode is not None:
            return
        if not self.calm:
            if self._params.loss_rate and self._rng.random() < self._params.loss_rate:
                return
            if self._params.duplicate_rate and self._rng.random() < self._params.duplicate_rate:
                self._post(link, message)
        self._post(link, message)

    def is_whole(self, source: int, target: int) -> bool:
        return (source, target) not in self._cut

    def _post(self, link: tuple[int, int], message: Any) -> None:
        at = self._loop.now_us() + self._draw_delay()
        if link in self._slow and not self.calm:
            at += self._params.slow_us
        if self._params.ordered or self.calm:
            at = max(at, self._last.get(link, 0) + 1)  # equal times have no order
            self._last[link] = at
        self._loop.after(at - self._loop.now_us(), self._deliver, *link, message)

    def _draw_delay(self) -> int:
        least, most = (200, 20_000) if self.calm else self._params.latency_us
        return self._rng.randrange(least, most)

    def cut(self, links: list[tuple[int, int]], mode: CutMode) -> None:
        for link in links:
            self._cut.setdefault(link, mode)

    def mend(self, links: list[tuple[int, int]] | None = None) -> None:
        """Bring links (None: all) back: held messages arrive, then the dialler hears of it."""
        for link in sorted(self._cut) if links is None else links:
            if self._cut.pop(link, None) is None:
                continue
            for message in self._held.pop(link, []):
                self._post(link, message)
            self._loop.after(self._rng.randrange(RECONNECT_US), self._report_up, link)

    def reconnect(self, links: list[tuple[int, int]]) -> None:
        """Connections that broke with a process at one end come back within the back-off cap."""
        for link in links:
            self._loop.after(self._rng.randrange(RECONNECT_US), self._report_up, link)

    def _report_up(self, link: tuple[int, int]) -> None:
        if link not in self._cut:
            self._up(*link)
