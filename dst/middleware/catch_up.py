"""Certificates and blocks from peers, and for peers. Everything is bounded and rate-limited.

Nothing a peer sends is believed: a block must hash to its root here, a certificate is verified by
the core, a group signature by the sealing core.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from dst.middleware.progress import Progress
from dst.middleware.store import Store
from dst.middleware.wire_messages import (
    MAX_RANGE,
    MAX_RANGE_BYTES,
    BlockReply,
    CatchUpMessage,
    DecidedBlocks,
    DecidedItem,
    GetBlock,
    GetDecided,
    Status,
    WireMessage,
)
from dst.qbft.messages import Certificate
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.spec.errors import InvalidInput
from dst.spec.primitives import BLSSignature, Height, OperatorIndex, Root

SERVE_INTERVAL_S: Final = 0.05
"""Between two answers of a kind to one peer: 64 blocks each, so a laggard still gains 1,280 heights
a second, and nobody can make this node read its disk all day."""
ASK_INTERVAL_S: Final = 0.2
"""Between two requests to one peer that bring nothing new."""
HOLDER_TIMEOUT_S: Final = 0.3
"""For one holder of a block before the next is asked; several fit into a round."""
POLL_S: Final = 0.25
"""While behind or rejoining, somebody is asked this often."""
HELP_RANGE: Final = 8
"""Heights sent unasked: every peer helps at once, and who lacks more asks one of them."""
STATUS_INTERVAL_S: Final = 1.0


class Peers(Protocol):
    """What catch-up needs of the links."""

    def send(self, to: OperatorIndex, message: WireMessage) -> None: ...
    def broadcast(self, message: WireMessage) -> None: ...
    def up(self) -> tuple[OperatorIndex, ...]: ...


class Receivers(Protocol):
    """Where verified-enough answers go."""

    def certificate_received(
        self, peer: OperatorIndex, certificate: Certificate, block: bytes, size_bytes: int
    ) -> None: ...

    def group_signature_received(
        self, peer: OperatorIndex, certificate: Certificate, signature: BLSSignature
    ) -> None: ...


class RateLimit:
    """At most one act of a kind per peer and interval."""

    def __init__(self, interval_s: float, now: Callable[[], float]) -> None:
        self._interval_s, self._now = interval_s, now
        self._last: dict[tuple[str, OperatorIndex], float] = {}

    def allows(self, kind: str, peer: OperatorIndex) -> bool:
        now = self._now()
        last = self._last.get((kind, peer))
        if last is not None and now - last < self._interval_s:
            return False
        self._last[kind, peer] = now
        return True


class CatchUp:
    def __init__(
        self,
        *,
        store: Store,
        peers: Peers,
        progress: Progress,
        receivers: Receivers,
        open_block: Callable[[Root], bytes | None],
        root_of: Callable[[bytes], Root],
        log: Logger,
        metrics: Metrics,
        now: Callable[[], float],
    ) -> None:
        """`open_block` finds a block of the undecided height by its root."""
        self._store, self._peers, self._progress = store, peers, progress
        self._receivers, self._open_block, self._root_of = receivers, open_block, root_of
        self._log, self._metrics = log, metrics
        self._serve = RateLimit(SERVE_INTERVAL_S, now)
        self._ask = RateLimit(ASK_INTERVAL_S, now)
        self._wanted: dict[Root, asyncio.Future[bytes]] = {}
        self._asked_next = 0

    # --------------------------------------------------------------------- asking

    def fetch_decided(self, peer: OperatorIndex, first: Height) -> None:
        """Ask `peer` for certificates from `first` on, unless it was asked just now."""
        if self._ask.allows("decided", peer):
            self._peers.send(peer, GetDecided(first=first, count=MAX_RANGE))

    async def fetch_block(
        self, height: Height, root: Root, holders: Sequence[OperatorIndex]
    ) -> bytes | None:
        """The block with `root`: from here, or from one holder after another. None: nobody
        answered in time."""
        own = self._block_with(root)
        if own is not None:
            return own
        future = self._wanted.get(root)
        if future is None:
            future = self._wanted[root] = asyncio.get_running_loop().create_future()
        try:
            for holder in holders:
                self._peers.send(holder, GetBlock(height=height, root=root))
                done, _ = await asyncio.wait([future], timeout=HOLDER_TIMEOUT_S)
                if done:
                    return future.result()
            return None
        finally:
            self._wanted.pop(root, None)

    async def poll(self) -> None:
        """For ever: say how far we are; while others are further, ask one of them after another."""
        said = -STATUS_INTERVAL_S
        loop = asyncio.get_running_loop()
        while True:
            if loop.time() - said >= STATUS_INTERVAL_S:
                said = loop.time()
                self._peers.broadcast(Status(decided_height=self._store.decided_height()))
            await self._progress.advance_rejoin()
            if self._progress.is_syncing:
                self.ask_somebody()
            await asyncio.sleep(POLL_S)

    def ask_somebody(self) -> None:
        """Ask the next of the peers that claim to be further."""
        head = self._store.decided_height()
        claims = self._progress.claims()
        ahead = [peer for peer in self._peers.up() if claims.get(peer, Height(0)) > head]
        if ahead:
            self._asked_next += 1
            peer = ahead[self._asked_next % len(ahead)]
            self.fetch_decided(peer, Height(head + 1))

    # -------------------------------------------------------------------- serving

    def help_laggard(self, peer: OperatorIndex, height: Height) -> None:
        """Send the certificate of `height`, and what follows it, unasked."""
        if self._serve.allows("help", peer):
            self._send_range(peer, height, HELP_RANGE)

    def received(self, peer: OperatorIndex, message: CatchUpMessage, size_bytes: int) -> None:
        """Raises: InvalidInput when `message` lies."""
        match message:
            case GetDecided(first=first, count=count):
                if self._serve.allows("decided", peer):
                    self._send_range(peer, first, count)
            case GetBlock(root=root):
                if self._serve.allows("block", peer):
                    self._peers.send(peer, BlockReply(root=root, block=self._block_with(root)))
            case DecidedBlocks():
                self._take_range(peer, message, size_bytes)
            case BlockReply():
                self._take_block(peer, message)
            case Status(decided_height=height):
                self._progress.peer_claims(peer, height)

    def _send_range(self, peer: OperatorIndex, first: Height, count: int) -> None:
        head = self._store.decided_height()
        if first > head:
            return
        run = self._store.decided_range(first, count, MAX_RANGE_BYTES)
        items = tuple(
            DecidedItem(
                each.certificate, each.block, self._store.group_signature(each.certificate.height)
            )
            for each in run
        )
        self._metrics.inc("catch_up_served_total", len(items))
        self._peers.send(peer, DecidedBlocks(head=head, items=items))

    def _take_range(self, peer: OperatorIndex, answer: DecidedBlocks, size_bytes: int) -> None:
        """Hand over what is new, in order; the core judges each certificate."""
        self._progress.peer_claims(peer, answer.head)
        head = self._store.decided_height()
        share = size_bytes // max(1, len(answer.items))
        for item in answer.items:
            if item.certificate.height > head:
                if self._root_of(item.block) != item.certificate.root:
                    raise InvalidInput(
                        f"block of height {item.certificate.height} is not the certified one"
                    )
                self._receivers.certificate_received(peer, item.certificate, item.block, share)
            if item.signature is not None:
                self._receivers.group_signature_received(peer, item.certificate, item.signature)

    def _take_block(self, peer: OperatorIndex, reply: BlockReply) -> None:
        future = self._wanted.get(reply.root)
        if future is None or future.done() or reply.block is None:
            return
        if self._root_of(reply.block) != reply.root:
            raise InvalidInput("block does not hash to the root that was asked for")
        future.set_result(reply.block)

    def _block_with(self, root: Root) -> bytes | None:
        block = self._open_block(root)
        if block is not None:
            return block
        decided = self._store.decided_by_root(root)
        return None if decided is None else decided.block
