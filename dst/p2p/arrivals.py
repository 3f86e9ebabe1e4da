"""Connections that have not said a fitting HELLO yet: how many there may be, how many may come in a
second, and whose.

Anybody can open one, and each costs a descriptor, the buffers of a TLS handshake and half a
millisecond of the event loop: its first message, recorded once and sent again, makes us sign. So a
newcomer gets a stranger's place, shared out by address (`dst.runtime.places`), until TLS has shown
a pinned key; then one that no stranger takes, of which each operator has two.
"""

import asyncio
from typing import Final

from dst.runtime.allowance import Allowance
from dst.runtime.places import Place, PlaceLimits, Places, address_key
from dst.spec.primitives import OperatorIndex

PLACES: Final = PlaceLimits(total=64, reserved=128, per_address=32)
"""An honest handshake takes some round trips. Reserved: two for each of 63 other operators."""

OF_ONE_PEER: Final = 2
"""The newest ones: who dials anew has given the older one up, but its end may not have come."""


HANDSHAKES_AT_ONCE: Final = 128
HANDSHAKE_EVERY_S: Final = 1 / 64
"""Of strangers together: 3 % of a processor. At once: all other operators dial when one starts."""

OF_ONE_ADDRESS_AT_ONCE: Final = 64
OF_ONE_ADDRESS_EVERY_S: Final = 1 / 32
"""Half of it, so that one host keeps nobody else out; operators behind one address share this."""

MOST_ADDRESSES: Final = 1024
"""Remembered. One that is forgotten begins anew, within what strangers have together."""


class Handshakes:
    """How many may begin, by address. An address that an operator came from last is no stranger's:
    others can spend neither its allowance nor that of all."""

    def __init__(self) -> None:
        self._strangers = Allowance(at_once=HANDSHAKES_AT_ONCE, every_s=HANDSHAKE_EVERY_S)
        self._of_address: dict[str, Allowance] = {}  # who came last is last
        self._known: dict[OperatorIndex, str] = {}

    def may_begin(self, address: str, now: float) -> bool:
        own = self._of_address.pop(address, None) or Allowance(
            at_once=OF_ONE_ADDRESS_AT_ONCE, every_s=OF_ONE_ADDRESS_EVERY_S
        )
        self._of_address[address] = own
        if len(self._of_address) > MOST_ADDRESSES:
            del self._of_address[next(iter(self._of_address))]
        return own.take(now) and (address in self._known.values() or self._strangers.take(now))

    def learn(self, peer: OperatorIndex, address: str) -> None:
        """TLS has shown that `peer` came from there."""
        self._known[peer] = address


class Arrivals:
    """Of one listener. Whoever has to go is aborted here."""

    def __init__(self, limits: PlaceLimits) -> None:
        self._places = Places(limits)
        self._handshakes = Handshakes()
        self._transports: dict[Place, asyncio.Transport] = {}
        self._of_peer: dict[OperatorIndex, list[Place]] = {}  # in the order they came

    def __len__(self) -> int:
        return len(self._transports)

    def enter(self, transport: asyncio.Transport, now: float) -> Place | None:
        """None: there is no place for it, and it is aborted. `now`: monotonic seconds."""
        address = address_key(transport.get_extra_info("peername"))
        if not self._handshakes.may_begin(address, now):
            transport.abort()
            return None
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
        self._handshakes.learn(peer, place.address)
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
