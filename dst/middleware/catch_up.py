"""Certificates and blocks from peers, and for peers. Everything is bounded and rate-limited.

Nothing a peer sends is believed. The order of the checks is that of their cost: was it asked for,
is it the next height, does the certificate prove it, is the block of a size that may be, and only
then the block's root. A group signature is verified by the sealing core.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from dst.middleware.outcomes import CertificateFound, Outcomes, SignatureFound
from dst.middleware.progress import Progress
from dst.middleware.refusals import Reason, Untrue, count
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
from dst.spec.primitives import Height, OperatorIndex, Root

SERVE_INTERVAL_S: Final = 0.05
"""Between two answers of a kind to one peer: 64 blocks each, so a laggard still gains 1,280 heights
a second, and nobody can make this node read its disk all day."""
ASK_INTERVAL_S: Final = 0.2
"""Between two requests to one peer that bring nothing new."""
HOLDER_TIMEOUT_S: Final = 0.3
"""For one holder of a block before the next is asked; several fit into a round."""
POLL_S: Final = 0.25
"""While behind or rejoining, somebody is asked this often."""
GATHER_POLL_S: Final = 0.02
"""As often a new store looks whether it may begin: a start should not wait for more than peers."""
HELP_RANGE: Final = 8
"""Heights sent unasked: every peer helps at once, and who lacks more asks one of them."""
HELP_BYTES: Final = 64 << 10
"""Of these, unless the first block alone is larger."""
HELP_INTERVAL_S: Final = 0.4
"""Between two unasked answers to one peer: a laggard repeats itself every half second, and an old
vote that anybody may repeat must not buy more than that."""
STATUS_INTERVAL_S: Final = 1.0
UNASKED_INTERVAL_S: Final = 0.05
"""Between two unasked answers taken from one peer."""
DISTRUST_S: Final = 5.0
"""A peer whose answer was false is not listened to for this long: hashing a hostile block takes
milliseconds, and another peer has the true one."""


class Peers(Protocol):
    """What catch-up needs of the links."""

    def send(self, to: OperatorIndex, message: WireMessage) -> None: ...
    def broadcast(self, message: WireMessage) -> None: ...
    def up(self) -> tuple[OperatorIndex, ...]: ...


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


class Fetch:
    """One block that is asked for, holder by holder."""

    def __init__(self) -> None:
        self.block: bytes | None = None
        self.asked: set[OperatorIndex] = set()
        self._asked_last: OperatorIndex | None = None
        self.answered = asyncio.Event()
        """By the holder asked last, or with the block by any of them."""

    def ask(self, holder: OperatorIndex) -> None:
        self.asked.add(holder)
        self._asked_last = holder
        self.answered.clear()

    def has_not(self, holder: OperatorIndex) -> None:
        if holder == self._asked_last:
            self.answered.set()

    def found(self, block: bytes) -> None:
        self.block = block
        self.answered.set()


class CatchUp:
    def __init__(
        self,
        *,
        store: Store,
        peers: Peers,
        progress: Progress,
        outcomes: Outcomes,
        root_of: Callable[[bytes], Root],
        is_certified: Callable[[Certificate], bool],
        max_block_bytes: int,
        log: Logger,
        metrics: Metrics,
        now: Callable[[], float],
    ) -> None:
        """`is_certified`: does the certificate prove a decision of this cluster's term?"""
        self._store, self._peers, self._progress = store, peers, progress
        self._outcomes, self._root_of = outcomes, root_of
        self._is_certified, self._max_block_bytes = is_certified, max_block_bytes
        self._log, self._metrics, self._now = log, metrics, now
        self._unasked = RateLimit(UNASKED_INTERVAL_S, now)
        self._awaited: set[OperatorIndex] = set()
        """Peers that owe an answer to GetDecided."""
        self._to_prove: dict[OperatorIndex, Height] = {}
        """Peer -> the claim whose proof it was asked for first: an answer may be older than what it
        claims by now, and proves that it was that far since we started."""
        self._distrusted_until: dict[OperatorIndex, float] = {}
        self._serve = RateLimit(SERVE_INTERVAL_S, now)
        self._help = RateLimit(HELP_INTERVAL_S, now)
        self._ask = RateLimit(ASK_INTERVAL_S, now)
        self._wanted: dict[Root, Fetch] = {}
        self._asked_next = 0

    # --------------------------------------------------------------------- asking

    def fetch_decided(self, peer: OperatorIndex, first: Height) -> None:
        """Ask `peer` for certificates from `first` on, unless it was asked just now."""
        if self._ask.allows("decided", peer):
            self._awaited.add(peer)
            self._peers.send(peer, GetDecided(first=first, count=MAX_RANGE))

    def ask_for_proofs(self) -> None:
        """While rejoining, each peer shows the certificate of the height that it claims."""
        for peer, claim in self._progress.unproven().items():
            if self._ask.allows("proof", peer):
                self._awaited.add(peer)
                self._to_prove.setdefault(peer, claim)
                self._peers.send(peer, GetDecided(first=claim, count=1))

    async def fetch_block(
        self, height: Height, root: Root, holders: Sequence[OperatorIndex]
    ) -> bytes | None:
        """The block with `root`: from here, or from one holder after another. None: nobody
        answered in time. One fetch of a root at a time."""
        own = self._block_with(root)
        if own is not None:
            return own
        fetch = self._wanted[root] = Fetch()
        try:
            for holder in holders:
                fetch.ask(holder)
                self._peers.send(holder, GetBlock(height=height, root=root))
                try:
                    async with asyncio.timeout(HOLDER_TIMEOUT_S):
                        await fetch.answered.wait()
                except TimeoutError:
                    continue
                if fetch.block is not None:
                    return fetch.block
            return None
        finally:
            del self._wanted[root]

    async def poll(self) -> None:
        """For ever: say how far we are; while others are further, ask one of them after another."""
        said, voted = -STATUS_INTERVAL_S, False
        loop = asyncio.get_running_loop()
        asks_for_proofs = True
        while True:
            votes = self._progress.votes
            if votes is not voted or loop.time() - said >= STATUS_INTERVAL_S:
                said, voted = loop.time(), votes
                self._peers.broadcast(self._status())
            await self._progress.look(self._now())
            # By turns: a peer answers one request of a kind at a time.
            if asks_for_proofs:
                self.ask_for_proofs()
            if self._progress.is_syncing and not (asks_for_proofs and self._progress.unproven()):
                self.ask_somebody()
            asks_for_proofs = not asks_for_proofs
            await asyncio.sleep(GATHER_POLL_S if self._progress.is_gathering else POLL_S)

    def _status(self) -> Status:
        return Status(decided_height=self._store.decided_height(), votes=self._progress.votes)

    def introduce(self, peer: OperatorIndex) -> None:
        """The link to `peer` is up: it may wait for our word to begin."""
        if self._progress.is_gathering:
            self._peers.send(peer, self._status())

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
        if self._help.allows("help", peer):
            self._send_range(peer, height, HELP_RANGE, HELP_BYTES)

    def received(self, peer: OperatorIndex, message: CatchUpMessage, size_bytes: int) -> None:
        """Raises: Untrue when `message` lies."""
        match message:
            case GetDecided():
                if self._serves("decided", peer):
                    self._send_range(peer, message.first, message.count, MAX_RANGE_BYTES)
            case GetBlock(root=root):
                if self._serves("block", peer):
                    self._peers.send(peer, BlockReply(root=root, block=self._block_with(root)))
            case DecidedBlocks():
                self._take_range(peer, message, size_bytes)
            case BlockReply():
                self._take_block(peer, message)
            case Status(decided_height=height, votes=votes):
                self._progress.peer_claims(peer, height, votes=votes)

    def _serves(self, kind: str, peer: OperatorIndex) -> bool:
        allowed = self._serve.allows(kind, peer)
        if not allowed:
            count(self._metrics, peer, Reason.TOO_OFTEN)
        return allowed

    def _send_range(self, peer: OperatorIndex, first: Height, most: int, max_bytes: int) -> None:
        head = self._store.decided_height()
        if first > head:
            return
        run = self._store.decided_range(first, most, max_bytes)
        items = tuple(
            DecidedItem(
                each.certificate, each.block, self._store.group_signature(each.certificate.height)
            )
            for each in run
        )
        self._metrics.inc("catch_up_served_total", len(items))
        self._peers.send(peer, DecidedBlocks(head=head, items=items))

    def _take_range(self, peer: OperatorIndex, answer: DecidedBlocks, size_bytes: int) -> None:
        """Hand over what is new, in order."""
        if not self._listens_to(peer):
            return
        self._progress.peer_claims(peer, answer.head)
        try:
            self._take_proof(peer, answer)
            self._take_items(peer, answer, size_bytes // max(1, len(answer.items)))
        except Untrue:
            self._distrusted_until[peer] = self._now() + DISTRUST_S
            raise

    def _listens_to(self, peer: OperatorIndex) -> bool:
        """To an answer, and now and then to help that nobody asked for."""
        was_asked = peer in self._awaited
        self._awaited.discard(peer)
        if self._distrusts(peer):
            return False
        if was_asked or self._unasked.allows("decided", peer):
            return True
        count(self._metrics, peer, Reason.UNASKED)
        return False

    def _distrusts(self, peer: OperatorIndex) -> bool:
        distrusted = self._now() < self._distrusted_until.get(peer, 0.0)
        if distrusted:
            count(self._metrics, peer, Reason.DISTRUSTED)
        return distrusted

    def _take_proof(self, peer: OperatorIndex, answer: DecidedBlocks) -> None:
        claim = self._to_prove.get(peer)
        for item in answer.items[:1]:
            if claim is not None and item.certificate.height >= claim:
                self._check_certificate(item.certificate)
                self._progress.peer_proves(peer, item.certificate.height)
                del self._to_prove[peer]

    def _take_items(self, peer: OperatorIndex, answer: DecidedBlocks, share: int) -> None:
        head = self._store.decided_height()
        following = head + 1
        for item in answer.items:
            certificate = item.certificate
            if certificate.height == following:
                self._check_certificate(certificate)
                self._check_block(item)
                self._outcomes.put(
                    CertificateFound(
                        peer=peer, certificate=certificate, block=item.block, size_bytes=share
                    )
                )
                following += 1
            elif certificate.height > head:
                return
            if item.signature is not None:
                self._outcomes.put(
                    SignatureFound(peer=peer, certificate=certificate, signature=item.signature)
                )

    def _check_certificate(self, certificate: Certificate) -> None:
        if not self._is_certified(certificate):
            detail = f"certificate of height {certificate.height} does not prove a decision"
            raise Untrue(Reason.BAD_CERTIFICATE, detail)

    def _check_block(self, item: DecidedItem) -> None:
        """Raises: Untrue."""
        where = f"block of height {item.certificate.height}"
        if len(item.block) > self._max_block_bytes:
            raise Untrue(Reason.OVERSIZED_BLOCK, f"{where} has {len(item.block)} bytes")
        if not self._hashes_to(item.block, item.certificate.root):
            raise Untrue(Reason.WRONG_BLOCK, f"{where} is not the certified one")

    def _hashes_to(self, block: bytes, root: Root) -> bool:
        try:
            return self._root_of(block) == root
        except InvalidInput:
            return False

    def _take_block(self, peer: OperatorIndex, reply: BlockReply) -> None:
        """A late answer of a holder asked before counts too; one of nobody asked does not."""
        fetch = self._wanted.get(reply.root)
        if fetch is None or fetch.block is not None or peer not in fetch.asked:
            return
        if reply.block is None or self._distrusts(peer):
            return fetch.has_not(peer)
        try:
            self._check_reply(reply.root, reply.block)
        except Untrue:
            self._distrusted_until[peer] = self._now() + DISTRUST_S
            fetch.has_not(peer)
            raise
        fetch.found(reply.block)

    def _check_reply(self, root: Root, block: bytes) -> None:
        """Raises: Untrue."""
        if len(block) > self._max_block_bytes:
            raise Untrue(Reason.OVERSIZED_BLOCK, f"asked for a block, got {len(block)} bytes")
        if not self._hashes_to(block, root):
            raise Untrue(Reason.WRONG_BLOCK, "block does not hash to the root that was asked for")

    def _block_with(self, root: Root) -> bytes | None:
        """One that this node proposed or prepared at the open height, or a decided one."""
        block = self._store.promised_block(root)
        if block is not None:
            return block
        decided = self._store.decided_by_root(root)
        return None if decided is None else decided.block
