"""Keeps the rollup node's chain equal to ours: every decided block in order, every group signature.

A rollup node that lost its head (new disk, old copy) is refilled from here; one that is down is
waited for. The importer reads where the node stands, it never assumes.
"""

import asyncio
import random
from collections.abc import Awaitable
from typing import Final, Protocol, TypeVar

from dst.apis.beacon import WireBlock
from dst.apis.dst_v1 import DecidedBlock, OutOfOrder, Status
from dst.middleware.outcomes import NoResetSeen, Outcomes, ResetSeen
from dst.runtime.backoff import Backoff
from dst.runtime.log import Logger
from dst.spec.errors import InvalidInput, ResetRequired, Unavailable
from dst.spec.primitives import BLSSignature, Height

CHECK_EVERY_S: Final = 1.0
"""With nothing new the node's head is still compared this often: it may have lost it."""
CHECK_UNREADY_S: Final = 0.1
"""The same of a node that is not ready yet: the cluster may wait for it to begin."""
SEAL_WINDOW: Final = 64
"""A group signature may be missing below the newest sealed block, at most this far (ADR 5)."""
BATCH: Final = 32
"""Decided blocks sent before signatures get a turn: a long refill must not hold the sealed head
back."""
TRY_S: Final = 2.0
"""For one call. A link may swallow it, and then nothing but asking again finds out that the link
has healed; a block that takes longer to execute goes on executing meanwhile and is joined."""
REFUSED_DELAY_S: Final = 2.0
"""Pause after the rollup node called a decided block wrong; a person has to look."""

log = Logger("importer")

T = TypeVar("T")


class Chain(Protocol):
    """What the importer reads of the store."""

    def decided_height(self) -> Height: ...

    def decided(self, height: Height) -> DecidedBlock | None: ...

    def group_signature(self, height: Height) -> BLSSignature | None: ...


class RollupNode(Protocol):
    """`DstClient` satisfies it."""

    async def status(self) -> Status: ...

    async def decided(self, decided: DecidedBlock) -> Height: ...


class Publisher(Protocol):
    """`BeaconClient` satisfies it."""

    async def publish_block(self, block: WireBlock) -> None: ...


class Importer:
    """The loop; `wake` it when something was decided or sealed."""

    def __init__(
        self,
        chain: Chain,
        rollup: RollupNode,
        publisher: Publisher,
        outcomes: Outcomes,
        rng: random.Random | None = None,
    ) -> None:
        self._chain, self._rng = chain, rng
        self._rollup = rollup
        self._publisher = publisher
        self._outcomes = outcomes
        self._woken = asyncio.Event()
        self._unsealed: set[Height] = set()
        """Heights looked at whose signature was not here yet."""
        self._seals_from = Height(1)
        """The lowest height not looked at since the node's signatures were last compared."""
        self._old_seals = range(0)
        """Heights below that the node may lack from before we were restarted."""
        self._newest_published: Height | None = None
        """None until the node was looked at once: what it holds from before is not known."""
        self._head: Height | None = None
        self._lacks: str | None = None
        self.is_ready = False
        """Whether the rollup node could build and judge a block, as it said last."""

    def waits_for(self) -> str | None:
        """Why the rollup node is not brought up to date, for a person."""
        return self._lacks

    @property
    def head(self) -> Height | None:
        """The rollup node's decided head as last heard; None while it does not answer."""
        return self._head

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        """For ever: compare, send what is missing, wait for news."""
        backoff = Backoff(rng=self._rng)
        while True:
            self._woken.clear()
            try:
                await self._bring_up_to_date()
                backoff.reset()
                self._lacks = None
                await self._wait(CHECK_EVERY_S if self.is_ready else CHECK_UNREADY_S)
            except Unavailable as error:
                self._lacks = f"its rollup node: {error}"
                self._lost(str(error))
                await asyncio.sleep(backoff.next_delay())
            except ResetRequired as error:
                self._head = None
                self._outcomes.put(ResetSeen(error=error))
                await asyncio.sleep(REFUSED_DELAY_S)
            except InvalidInput as error:
                self._lacks = f"its rollup node, which refuses a decided block: {error}"
                log.error("rollup_node_refuses", reason=str(error), height=self._head)
                await asyncio.sleep(REFUSED_DELAY_S)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            # Nothing new for a while: look where the node stands instead of remembering it.
            self._head = None

    def _lost(self, reason: str) -> None:
        if self._head is not None:
            log.warning("rollup_node_unavailable", reason=reason)
        self._head = None

    async def _bring_up_to_date(self) -> None:
        if self._head is None:
            await self._look()
        while True:
            progressed = await self._send_decided() + await self._send_signatures()
            if not progressed:
                return

    async def _look(self) -> None:
        status = await _within_a_try(self._rollup.status())
        if status.reset_height is not None:
            raise ResetRequired(status.reset_height, "reported by the rollup node")
        self.is_ready = status.ready is not False  # one that does not tell is believed to be
        self._outcomes.put(NoResetSeen())
        self._head = Height(status.decided_height)
        known = self._newest_published
        if known is not None and status.sealed_height >= known:
            return  # it holds the newest signature we gave it, so it lost nothing
        if known is not None:
            log.warning("rollup_node_lost_signatures", sealed_height=status.sealed_height)
        # Seals arrive newest first: after a restart of ours the node may lack far older ones.
        window, lowest = status.sealed_height - SEAL_WINDOW + 1, status.lowest_unsealed_height
        self._seals_from = Height(max(1, window, lowest or 1))
        self._old_seals = range(max(1, window if lowest is None else lowest), self._seals_from)
        self._unsealed = set()
        self._newest_published = Height(0)

    async def _send_decided(self) -> int:
        assert self._head is not None
        sent = 0
        while sent < BATCH and self._head < self._chain.decided_height():
            block = self._chain.decided(Height(self._head + 1))
            assert block is not None, "the store holds every height up to its head"
            try:
                self._head = await _within_a_try(self._rollup.decided(block))
            except OutOfOrder as error:
                self._head = error.head_height
            sent += 1
        return sent

    async def _send_signatures(self) -> int:
        """Group signatures of decided blocks that the node has; out of order is fine. A new
        decision goes first: the next leader builds on it."""
        assert self._head is not None
        sent = 0
        for height in self._heights_to_seal(self._head):
            if self._head < self._chain.decided_height():
                break
            sent += await self._send_signature(height)
            self._seals_from = max(self._seals_from, Height(height + 1))
        return sent + await self._send_old_signatures()

    async def _send_old_signatures(self) -> int:
        """Some more of those that the node may lack from before; how many were looked at."""
        some = self._old_seals[:BATCH]
        for number in some:
            await self._send_signature(Height(number))
        self._old_seals = self._old_seals[len(some) :]
        return len(some)

    def _heights_to_seal(self, head: Height) -> list[Height]:
        new = (Height(number) for number in range(self._seals_from, head + 1))
        return [*sorted(self._unsealed), *new]

    async def _send_signature(self, height: Height) -> int:
        """1 when there was a signature to send."""
        signature = self._chain.group_signature(height)
        if signature is None:
            self._unsealed.add(height)
            return 0
        block = self._chain.decided(height)
        assert block is not None, "sealed blocks are decided"
        sealed = WireBlock(message=block.block, signature=signature)
        await _within_a_try(self._publisher.publish_block(sealed))
        self._unsealed.discard(height)
        self._newest_published = max(height, self._newest_published or Height(0))
        return 1


async def _within_a_try(call: Awaitable[T]) -> T:
    """Raises: Unavailable when there is no answer within TRY_S, besides what `call` raises."""
    try:
        async with asyncio.timeout(TRY_S):
            return await call
    except TimeoutError:
        raise Unavailable(f"no answer within {TRY_S} s") from None
