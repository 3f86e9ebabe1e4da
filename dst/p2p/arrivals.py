"""Connections that have not said a fitting HELLO yet: how many there may be, and whose.

Anybody can open one, and each costs a descriptor and the buffers of a TLS handshake. So a newcomer
gets a stranger's place, shared out by address (`dst.runtime.places`), until TLS has shown a pinned
key; then one that no stranger takes, of which each operator has two.
"""

import asyncio
from typing import Final

from dst.runtime.places import Place, PlaceLimits, Places, address_key
from dst.spec.primitives import OperatorIndex

PLACES: Final = PlaceLimits(total=64, reserved=128, per_address=32)
"""An honest handshake takes some round trips. Reserved: two for each of 63 other operators."""

OF_ONE_PEER: Final = 2
"""The newest ones: who dials anew has given the older one up, but its end may not have come."""


class Arrivals:
    """Of one listener. Whoever has to go is aborted here."""

    def __init__(self, limits: PlaceLimits) -> None:
        self._places = Places(limits)
        self._transports: dict[Place, asyncio.Transport] = {}
        self._of_peer: dict[OperatorIndex, list[Place]] = {}  # in the order they came

    def __len__(self) -> int:
        return len(self._transports)

    def enter(self, transport: asyncio.Transport, now: float) -> Place | None:
        """None: there is no place for it, and it is aborted. `now`: monotonic seconds."""
        address = address_key(transport.get_extra_info("peername"))
        admission = self._places.enter(address, now)
        self._end(admission.evicted)
        if admission.place is None:
            transport.abort()
            return None
        self._transports[admission.place] = transport
        return admission.place

    def certify(self, place: Place, peer: OperatorIndex) -> None:
        """TLS has shown that `peer` holds it."""
        if place not in self._transports:
            return  # it had to go meanwhile
        self._end(self._places.vouch(place))
        own = self._of_peer.setdefault(peer, [])
        own.append(place)
        if len(own) > OF_ONE_PEER:
            self._end(own[0])

    def leave(self, place: Place) -> None:
        """It has said HELLO, or is closed; once is enough."""
        self._places.leave(place)
        self._transports.pop(place, None)
        for own in self._of_peer.values():
            if place in own:
                own.remove(place)

    def end_all(self) -> None:
        for place in tuple(self._transports):
            self._end(place)

    def _end(self, place: Place | None) -> None:
        if place is not None:
            self._transports[place].abort()
            self.leave(place)
