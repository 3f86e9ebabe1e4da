"""Who may hold a connection of a listener, and who makes room: decisions alone, no sockets.

A listener has `total` places for strangers. One more comes in at the cost of a connection that does
least with its place, so that nobody keeps others out by holding many:

1. never a whole request within a second, the oldest first;
2. idle since its last answer, longest first;
3. at work for more than a second, longest first.

Of each kind remote ones come before local ones, and those of the address with the most connections
before others. Nobody makes room for an address that holds more connections than they do. Streams
(WebSockets, event streams) have places of their own (`dst.runtime.streams`) and stay.

Behind the `total` there is an entrance: where everybody has been at work for less than a second, a
newcomer may still say who it is. One that is vouched for (it holds a secret of this node's) counts
among the `reserved`, and no stranger takes its place.

Source of the shape: bitcoind's eviction of inbound peers, which protects what an attacker cannot
imitate cheaply and evicts from the most crowded group.
"""

import ipaddress
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

MAX_CONNECTIONS: Final = 512
"""Of one listener, strangers'."""
RESERVED_CONNECTIONS: Final = 64
"""Of those vouched for; as many more wait in the entrance."""
CONNECTIONS_PER_ADDRESS: Final = 128
"""Of one remote address (of IPv6 a /64); a loopback address is nobody in particular."""
GRACE_S: Final = 1.0
"""A request head on its way, or a short request, is left alone for so long."""
LOCAL: Final = "local"
"""Key of all loopback addresses."""


class State(IntEnum):
    """What a connection does with its place, least first."""

    SILENT = 0
    """No whole request yet."""
    IDLE = 1
    """Between two requests."""
    WORKING = 2
    STREAMING = 3


@dataclass(slots=True, eq=False)
class Place:
    """One connection's; `since`: when its state began (monotonic seconds)."""

    address: str
    since: float
    state: State = State.SILENT
    is_vouched: bool = False
    in_entrance: bool = False
    """It came when all places were taken."""

    @property
    def is_local(self) -> bool:
        return self.address == LOCAL

    def turn(self, state: State, now: float) -> None:
        self.state, self.since = state, now


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceLimits:
    total: int = MAX_CONNECTIONS
    reserved: int = RESERVED_CONNECTIONS
    per_address: int = CONNECTIONS_PER_ADDRESS


@dataclass(frozen=True, slots=True)
class Admission:
    """`place` None: refused. `evicted`: whose connection is to end."""

    place: Place | None
    evicted: Place | None = None


REFUSED: Final = Admission(None)


class Places:
    """Of one listener."""

    def __init__(self, limits: PlaceLimits = PlaceLimits()) -> None:
        self._limits = limits
        self._strangers: dict[Place, None] = {}  # in the order they came
        self._vouched: dict[Place, None] = {}
        self._of_address: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._strangers) + len(self._vouched)

    def enter(self, address: str, now: float) -> Admission:
        """A connection came. Who is evicted holds no place any more."""
        limits, newcomer = self._limits, Place(address, now)
        victim: Place | None = None
        if not newcomer.is_local and self._of_address[address] >= limits.per_address:
            own = [each for each in self._strangers if each.address == address]
            victim = self._least_busy(own, newcomer, now)
            if victim is None:
                return REFUSED
        elif len(self._strangers) >= limits.total:
            victim = self._least_busy(self._strangers, newcomer, now)
            if victim is None and len(self._strangers) >= limits.total + limits.reserved:
                victim = self._oldest_in_entrance(newcomer)
                if victim is None:
                    return REFUSED
        if victim is not None:
            self.leave(victim)
        newcomer.in_entrance = len(self._strangers) >= limits.total
        self._strangers[newcomer] = None
        self._of_address[address] += 1
        return Admission(newcomer, victim)

    def settle(self, place: Place, now: float) -> Admission:
        """A request is here; refused when its connection stands in the entrance still and nobody
        makes room."""
        if len(self._strangers) <= self._limits.total:
            place.in_entrance = False
        if place.is_vouched or not place.in_entrance:
            return Admission(place)
        victim = self._least_busy(self._strangers, place, now)
        if victim is None:
            return REFUSED
        self.leave(victim)
        place.in_entrance = False
        return Admission(place, victim)

    def vouch(self, place: Place) -> Place | None:
        """A stranger turned out to be known. Returns who is evicted for it: of the known ones the
        longest at what it does, when there are too many."""
        if place not in self._strangers:
            return None  # gone meanwhile
        del self._strangers[place]
        others = [each for each in self._vouched if each.state is not State.STREAMING]
        self._vouched[place] = None
        place.is_vouched = True
        if len(self._vouched) <= self._limits.reserved or not others:
            return None
        victim = min(others, key=lambda each: (each.state, each.since))
        self.leave(victim)
        return victim

    def leave(self, place: Place) -> None:
        """The connection is gone or is to go; once is enough."""
        if place not in self._strangers and place not in self._vouched:
            return
        self._strangers.pop(place, None)
        self._vouched.pop(place, None)
        self._of_address[place.address] -= 1
        if not self._of_address[place.address]:
            del self._of_address[place.address]

    def _least_busy(self, places: Iterable[Place], newcomer: Place, now: float) -> Place | None:
        """Who makes room for `newcomer`, None when nobody needs to. Whoever has just begun is left
        in peace, but for an address that crowds the port."""
        own = self._of_address[newcomer.address]
        best: tuple[tuple[object, ...], Place] | None = None
        for each in places:
            if each is newcomer or each.state is State.STREAMING:
                continue
            is_at_it = each.state is not State.IDLE and now - each.since <= GRACE_S
            if is_at_it and not self._crowds(each.address, own):
                continue
            if not self._yields(each, newcomer, own):
                continue
            rank = (is_at_it, *self._rank(each))
            if best is None or rank < best[0]:
                best = rank, each
        return None if best is None else best[1]

    def _crowds(self, address: str, own: int) -> bool:
        """Against a newcomer who holds few."""
        half = self._limits.per_address // 2
        return address != LOCAL and self._of_address[address] > own + half

    def _oldest_in_entrance(self, newcomer: Place) -> Place | None:
        own = self._of_address[newcomer.address]
        silent = [
            each
            for each in self._strangers
            if each.state is State.SILENT and self._yields(each, newcomer, own)
        ]
        return min(silent, key=lambda each: each.since, default=None)

    def _yields(self, place: Place, newcomer: Place, own: int) -> bool:
        """Local connections are the node's own as a rule: they take any place, and as long as they
        hold less than half of all no remote one takes theirs."""
        if place.is_local != newcomer.is_local:
            return newcomer.is_local or self._of_address[LOCAL] > self._limits.total // 2
        return self._of_address[place.address] >= own

    def _rank(self, place: Place) -> tuple[int, bool, int, float]:
        return place.state, place.is_local, -self._of_address[place.address], place.since


def address_key(peer: object) -> str:
    """Whom to count a connection for; `peer` is what a transport calls its peer name.

    One key for all of loopback; for IPv6 the /64 that one customer has at the least.
    """
    if not isinstance(peer, tuple) or not peer:
        return LOCAL
    try:
        address = ipaddress.ip_address(str(peer[0]).partition("%")[0])
    except ValueError:
        return str(peer[0])
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            network = ipaddress.ip_network((address, 64), strict=False)
            return LOCAL if address.is_loopback else str(network)
        address = address.ipv4_mapped
    return LOCAL if address.is_loopback else str(address)
