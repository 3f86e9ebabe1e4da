"""All links of one operator: one dialled link per peer for sending, one listener for receiving.

Delivery guarantee: at most once, in order per link while it lasts, from the peer that the link
authenticated. Nothing is kept across a reconnect: the owner says again what still matters when it
hears `link_up`.
"""

import asyncio
from collections.abc import Sequence

import msgspec

from dst.p2p.framing import MAX_FRAME_BYTES, FrameError
from dst.p2p.handshake import Data, encode_link_frame
from dst.p2p.link import LinkContext, OutboundLink, Peer
from dst.p2p.listener import Listener
from dst.spec.primitives import Height, OperatorIndex


class Transport:
    def __init__(
        self, context: LinkContext, *, host: str, port: int, peers: Sequence[Peer]
    ) -> None:
        self._listener = Listener(context, host=host, port=port)
        self._links = {peer.index: OutboundLink(peer, context) for peer in peers}

    @property
    def port(self) -> int:
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

    async def start(self) -> None:
        """Bind the listener. Raises: BadConfig when the port is taken."""
        await self._listener.start()

    async def run(self) -> None:
        """Keep all links; returns only by cancellation."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.Event().wait())  # a single operator has no link at all
                for link in self._links.values():
                    group.create_task(link.run())
        finally:
            await self._listener.stop()


def _data(body: bytes) -> bytes:
    encoded = encode_link_frame(Data(msgspec.Raw(body)))
    if len(encoded) > MAX_FRAME_BYTES:
        raise FrameError(f"message of {len(encoded)} bytes exceeds the frame limit")
    return encoded
