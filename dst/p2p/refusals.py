"""Why a link is refused or ended at the other side's fault, and how much of it is written down."""

import time
from collections.abc import Callable
from enum import StrEnum

from dst.runtime.log import Logger, Ration


class Reason(StrEnum):
    """A closed set: `p2p_refused_total` counts each, and `docs/refusals.md` is made from it. First
    sentence: when; then what it says of the other side."""

    CERTIFICATE = "certificate"
    """The other side does not prove the key that the cluster lock pins for it.
    Who dials finds another operator, or a stranger, at a configured address; strangers who dial in
    are turned away by TLS before anything is read."""
    HELLO = "hello"
    """The HELLOs differ: protocol version, chain, lock, timers, or another operator's index.
    One of the two was started with another lock, release or configuration; both logs name the field
    and both values. Never a moment of the network."""
    GARBLED = "garbled"
    """The bytes are no sequence of frames, or no frame that may come here.
    The sender is faulty or hostile, since TLS lets nothing on the way change them; or it was killed
    while it sent, which cuts a frame off, too. The link ends and is dialled anew."""
    FLOOD = "flood"
    """More answers to our pings than a listener owes.
    The sender is hostile: an honest one answers no more than twice a second, however often it is
    pinged. The link ends and is dialled anew."""
    CROWDED = "crowded"
    """A connection more than the port takes: of strangers, or of its address.
    Nothing, since nobody has said yet who it is. Known operators keep a share of their own, and who
    is turned away dials again."""


class RefusalLog:
    """Says each refusal once, and again only when it changes or after the link was up; and not more
    of one peer than its ration: a member may connect a hundred times a second and be wrong in
    another way each time."""

    def __init__(self, log: Logger, now: Callable[[], float] = time.monotonic) -> None:
        self._log, self._now = log, now
        self._last: dict[tuple[str, str], str] = {}
        self._rations: dict[str, Ration] = {}

    def refused(self, peer: str, side: str, detail: str) -> None:
        if self._last.get((peer, side)) != detail and self._may_say(peer):
            self._last[(peer, side)] = detail
            self._log.warning("link_refused", peer=peer, side=side, detail=detail)

    def accepted(self, peer: str, side: str) -> None:
        self._last.pop((peer, side), None)

    def garbled(self, peer: str, detail: str) -> None:
        say = self._log.warning if self._may_say(peer) else self._log.debug
        say("link_garbled", peer=peer, detail=detail)

    def _may_say(self, peer: str) -> bool:
        return self._rations.setdefault(peer, Ration(self._now)).may_say()
