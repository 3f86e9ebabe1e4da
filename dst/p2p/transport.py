"""All links of one operator: one dialled link per peer for sending, one listener for receiving.

Delivery guarantee: at most once, in order per link while it lasts, from the peer that the link
authenticated. Nothing is kept across a reconnect: the owner says again what still matters when it
hears `link_up`.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

import msgspec

from dst.p2p.framing import MAX_FRAME_BYTES, FrameError
from dst.p2p.handshake import Data, Hello, encode_link_frame
from dst.p2p.link import LinkContext, LinkEvents, OutboundLink, Peer, ping_interval_s
from dst.p2p.listener import Listener
from dst.p2p.tls import TlsIdentity
from dst.p2p.watch import PeerWatch
from dst.runtime.log import Logger
from dst.runtime.machine import wall_clock
from dst.runtime.metrics import Metrics
from dst.spec.primitives import Height, OperatorIndex


class Transport:
    """Sends into the void until `start` says who listens."""

    def __init__(
        self,
        *,
        identity: TlsIdentity,
        hello: Callable[[], Hello],
        host: str,
        port: int,
        peers: Sequence[Peer],
        metrics: Metrics,
        log: Logger,
        now: Callable[[], float] = wall_clock,
    ) -> None:
        self._identity, self._hello = identity, hello
        self._host, self._port, self._peers = host, port, peers
        self._metrics, self._log, self._now = metrics, log, now
        self._listener: Listener | None = None
        self._watch: PeerWatch | None = None
        self._links: dict[OperatorIndex, OutboundLink] = {}

    @property
    def port(self) -> int:
        assert self._listener is not None, "transport not started"
        return self._listener.port

    def up_peers(self) -> tuple[OperatorIndex, ...]:
        """Peers that can be sent to now, in index order."""
        return tuple(index for index, link in sorted(self._links.items()) if link.is_up)

    def send(self, to: OperatorIndex, body: bytes, *, height: Height | None) -> None:
        """Queue one message for one peer. `height` says when it grows stale (None: never).

        Raises: FrameError when `body` is larger than a frame.
        """
        link = self._links.get(to)
        if link is not None:
            link.send(_data(body), height)

    def broadcast(self, body: bytes, *, height: Height | None) -> None:
        """Queue one message for every peer; encoded once."""
        encoded = _data(body)
        for link in self._links.values():
            link.send(encoded, height)

    def raise_floor(self, height: Height) -> None:
        """Heights below `height` are decided: drop what still waits about them."""
        for link in self._links.values():
            link.raise_floor(height)

    async def start(self, events: LinkEvents) -> None:
        """Bind the listener. Raises: BadConfig when the port is taken."""
        self._watch = PeerWatch((peer.index for peer in self._peers), events, time.monotonic)
        context = LinkContext(
            identity=self._identity,
            hello=self._hello,
            events=events,
            watch=self._watch,
            ping_interval_s=ping_interval_s(len(self._peers)),
            now=self._now,
            metrics=self._metrics,
            log=self._log,
        )
        self._listener = Listener(context, host=self._host, port=self._port)
        await self._listener.start()
        self._links = {peer.index: OutboundLink(peer, context) for peer in self._peers}

    async def run(self) -> None:
        """Keep all links; returns only by cancellation."""
        assert self._listener is not None, "transport not started"
        assert self._watch is not None, "as the listener"
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch.run())
                for link in self._links.values():
                    group.create_task(link.run())
        finally:
            await self._listener.stop()


def _data(body: bytes) -> bytes:
    encoded = encode_link_frame(Data(msgspec.Raw(body)))
    if len(encoded) > MAX_FRAME_BYTES:
        raise FrameError(f"message of {len(encoded)} bytes exceeds the frame limit")
    return encoded
