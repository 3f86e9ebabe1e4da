"""Directed links with loss, duplication, delay, reordering, cuts and closed connections, drawn from
the run's randomness.

A link is dialled by its sender and used for sending only, as in `dst.p2p`. Both ends hear when its
connection opens and closes, as the transport's two sides do; what is said while it is closed is
lost. A silent cut (`HOLD`) is heard by nobody: only what does not arrive tells, until the dialler
gives the connection up.
"""

from collections.abc import Iterable
from random import Random
from typing import Any, Final, Protocol, TypeAlias

from devnet.sim.loop import VirtualLoop
from devnet.sim.params import CutMode, Params
from devnet.sim.tape import chance, stream
from dst.p2p.link import GIVE_UP_S

LinkEnds: TypeAlias = tuple[int, int]
"""(source, target): dialled by `source`."""

RECONNECT_US: Final = (25_000, 500_000)
"""First delay and cap of the reconnect back-off."""
GIVE_UP_US: Final = round(GIVE_UP_S * 1e6)
LATE_US: Final = 50_000
"""What takes longer is worth telling."""


class Ends(Protocol):
    """Who is at the ends of links, and hears of them."""

    def is_there(self, index: int) -> bool:
        """Does a process accept connections?"""

    def deliver(self, source: int, target: int, message: Any) -> None: ...
    def opened(self, source: int, target: int) -> None: ...
    def closed(self, source: int, target: int) -> None:
        """Also: could not be opened."""

    def mishap(self, source: int, target: int, message: Any, what: str) -> None:
        """Something befell a message."""


class Network:
    def __init__(self, loop: VirtualLoop, rng: Random, params: Params, ends: Ends) -> None:
        self._loop, self._params, self._ends = loop, params, ends
        self._cut: dict[LinkEnds, CutMode] = {}
        self._held: dict[LinkEnds, list[Any]] = {}
        self._last: dict[LinkEnds, int] = {}
        self._open: set[LinkEnds] = set()
        self._late_us: dict[LinkEnds, tuple[int, int]] = {}
        self._connection: dict[LinkEnds, int] = {}
        """How many connections the link has lost with what was under way on them."""
        links = [(source, target) for source in range(params.n) for target in range(params.n)]
        self._draws = {link: stream(rng, f"op{link[0] + 1}>op{link[1] + 1}") for link in links}
        self._slow = frozenset(
            link
            for link in links
            if params.slow_links and chance(self._draws[link], params.slow_links)
        )
        self.calm = False

    def send(self, source: int, target: int, message: Any) -> None:
        link = (source, target)
        if link not in self._open:
            return
        mode = self._cut.get(link)
        if mode is CutMode.HOLD:
            self._held.setdefault(link, []).append(message)
        if mode is not None:
            return
        if not self.calm:
            if self._params.loss_rate and self._is_lost(link):
                self._ends.mishap(source, target, message, "is lost")
                return
            if self._params.duplicate_rate and self._is_doubled(link):
                self._ends.mishap(source, target, message, "is sent twice")
                self._post(link, message)
        self._post(link, message)

    def _is_lost(self, link: LinkEnds) -> bool:
        return chance(self._draws[link], self._params.loss_rate)

    def _is_doubled(self, link: LinkEnds) -> bool:
        return chance(self._draws[link], self._params.duplicate_rate)

    def is_open(self, source: int, target: int) -> bool:
        return (source, target) in self._open

    def carries(self, source: int, target: int) -> bool:
        """Would a ping arrive?"""
        return (source, target) in self._open and (source, target) not in self._cut

    def _post(self, link: LinkEnds, message: Any) -> None:
        delay = self._draw_delay(link) + self._draw_late(link)
        if link in self._slow and not self.calm:
            delay += self._params.slow_us
        if delay > LATE_US:
            self._ends.mishap(*link, message, f"takes {delay / 1e6:.2f} s")
        at = self._loop.now_us() + delay
        if self._params.ordered or self.calm:
            at = max(at, self._last.get(link, 0) + 1)  # equal times have no order
            self._last[link] = at
        connection = self._connection.get(link, 0)
        self._loop.after(at - self._loop.now_us(), self._arrive, link, connection, message)

    def _arrive(self, link: LinkEnds, connection: int, message: Any) -> None:
        if connection == self._connection.get(link, 0):
            self._ends.deliver(*link, message)

    def _draw_delay(self, link: LinkEnds) -> int:
        least, most = (200, 20_000) if self.calm else self._params.latency_us
        return self._draws[link].randrange(least, most)

    def _draw_late(self, link: LinkEnds) -> int:
        late, jitter = self._late_us.get(link, (0, 0))
        return late - jitter + self._draws[link].randrange(2 * jitter + 1) if jitter else late

    # ---------------------------------------------------------------------------- faults

    def cut(self, links: Iterable[LinkEnds], mode: CutMode) -> None:
        for link in links:
            if self._cut.setdefault(link, mode) is not mode:
                continue
            if mode is CutMode.DROP:
                self._lose_connection(link)
            else:
                since = self._connection.get(link, 0)
                self._loop.after(GIVE_UP_US, self._give_up, link, since)

    def slow_down(self, links: Iterable[LinkEnds], late_us: int, jitter_us: int = 0) -> None:
        """So much more from now on, and up to the jitter more or less; 0: as before."""
        self._late_us |= dict.fromkeys(links, (late_us, jitter_us))

    def mend(self, links: Iterable[LinkEnds] | None = None) -> None:
        """Bring links (None: all) back: held messages arrive, then both ends hear of it."""
        for link in sorted(self._cut) if links is None else links:
            if self._cut.pop(link, None) is None:
                continue
            for message in self._held.pop(link, []):
                self._post(link, message)
            self.reconnect([link])

    def flap(self, links: Iterable[LinkEnds]) -> None:
        """Connections that end are dialled anew at once."""
        for link in links:
            if link in self._open:
                self._lose_connection(link)
                self.reconnect([link])

    def process_ended(self, index: int) -> None:
        """Its connections close; what it had sent still arrives."""
        for link in sorted(self._open):
            if index in link:
                self._open.discard(link)
                self._ends.closed(*link)

    def reconnect(self, links: Iterable[LinkEnds]) -> None:
        """Within the back-off cap."""
        for link in links:
            self._loop.after(self._draws[link].randrange(*RECONNECT_US), self._dial, link)

    def _dial(self, link: LinkEnds) -> None:
        source, target = link
        if not self._ends.is_there(source):
            return
        if self._cut.get(link) is CutMode.HOLD:
            return
        if link in self._cut or not self._ends.is_there(target):
            self._ends.closed(*link)
            return
        self._open.add(link)
        self._ends.opened(*link)

    def _lose_connection(self, link: LinkEnds) -> None:
        self._connection[link] = self._connection.get(link, 0) + 1
        self._open.discard(link)
        self._held.pop(link, None)
        self._ends.closed(*link)

    def _give_up(self, link: LinkEnds, connection: int) -> None:
        """Silence has lasted as long as the dialler waits for pongs."""
        is_same = connection == self._connection.get(link, 0)
        if is_same and self._cut.get(link) is CutMode.HOLD and link in self._open:
            self._lose_connection(link)
