"""Follows L1: polls the head, walks back to what it knows, and keeps the canonical view.

Never crashes and never gives up: while L1 is out of reach the last view stays, and blocks are built
on it until the sequencer drift ends that.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, TypeAlias

from dst.l1.rpc import L1BlockRef, L1Client
from dst.l1.view import WINDOW, CanonicalChain, advance, is_linked
from dst.runtime.backoff import Backoff
from dst.runtime.log import Logger, Ration
from dst.runtime.metrics import Metrics
from dst.spec.cluster import ChainConfig
from dst.spec.errors import BadConfig, InvalidInput, Unavailable
from dst.spec.primitives import Hash32

POLL_SECONDS: Final = 0.3
"""How often the head is asked for; an origin has to wait for confirmations anyway."""
BACKFILL: Final = 96
"""Blocks below the head fetched at start: covers confirmations and the default origin lag (68)."""
MAX_WALK: Final = WINDOW
"""Blocks fetched to join a new head to the view; beyond that the view starts over."""
ORIGIN_CACHE: Final = 4096
"""Origins remembered by hash: an L1 block's time never changes."""
REORGS_AT_ONCE: Final = 5
"""Lines about them, before they are rationed: an L1 may change its mind with each poll."""

Told: TypeAlias = Callable[[bool], None]
"""Hears of each new head, and whether blocks stopped being canonical."""


def _nobody(_: bool) -> None: ...


class L1Source:
    """`chain` is the canonical view (None until L1 answered once)."""

    def __init__(
        self, client: L1Client, config: ChainConfig, log: Logger, metrics: Metrics
    ) -> None:
        self._client, self._config, self._log = client, config, log
        self.chain: CanonicalChain | None = None
        self.finalized_number = config.l1_genesis.number
        self._finalized: L1BlockRef | None = None
        self._reorgs = Ration(at_once=REORGS_AT_ONCE)
        self._known: OrderedDict[Hash32, L1BlockRef] = OrderedDict()
        self._reachable = True
        self._checked_chain = False
        self._metrics = metrics
        metrics.function("l1_head", lambda: self.head_number or 0)
        self._failure = "no answer yet"

    @property
    def head_number(self) -> int | None:
        return None if self.chain is None else self.chain.head.number

    @property
    def is_out_since_start(self) -> bool:
        """L1 was asked, and has not answered once."""
        return self.chain is None and not self._reachable

    async def run(self, told: Told = _nobody) -> None:
        """Poll until cancelled. Raises: BadConfig when L1 is not the chain of the lock."""
        backoff = Backoff()
        while True:
            try:
                await self.poll(told)
            except (Unavailable, InvalidInput) as error:
                if isinstance(error, BadConfig):
                    raise
                self._note_outage(error)
                await asyncio.sleep(backoff.next_delay())
                continue
            backoff.reset()
            await asyncio.sleep(POLL_SECONDS)

    async def poll(self, told: Told = _nobody) -> None:
        """One look at L1. Raises: Unavailable, InvalidInput, BadConfig."""
        await self._check_chain_id()
        head = await self._client.head()
        if head is None:
            raise Unavailable("L1 has no head")
        if not self._reachable:
            self._reachable = True
            self._log.info("l1_back", head=head.number)
        if self.chain is None or head.hash != self.chain.head.hash:
            told(await self._adopt(head))
        await self._note_finality(await self._client.head("finalized"))

    async def _note_finality(self, said: L1BlockRef | None) -> None:
        """As far as it is of the chain that L1 shows. Nobody else can be asked: a lie about it
        lasts as long as it is told."""
        if said is None or said == self._finalized:
            return
        if await self.canonical_hash(said.number) != said.hash:
            self._log.debug("finality_refused", number=said.number, hash=said.hash)
            return
        self._finalized, self.finalized_number = said, said.number

    def waits_for(self) -> str | None:
        """For a person; None while L1 answers."""
        return f"L1: {self._failure}" if self.chain is None or not self._reachable else None

    async def ref_by_hash(self, block_hash: Hash32) -> L1BlockRef | None:
        """An L1 block by hash, canonical or not; None when L1 does not know it. Raises:
        Unavailable."""
        known = self.recall(block_hash)
        if known is not None:
            return known
        ref = await self._client.ref_by_hash(block_hash)
        if ref is not None and ref.hash == block_hash:
            self.remember(ref)
            return ref
        return None

    def recall(self, block_hash: Hash32) -> L1BlockRef | None:
        """As `ref_by_hash`, without asking L1."""
        return self._known.get(block_hash)

    def remember(self, ref: L1BlockRef) -> None:
        """One that L1 has shown, now or before the start."""
        self._known[ref.hash] = ref
        self._known.move_to_end(ref.hash)
        while len(self._known) > ORIGIN_CACHE:
            self._known.popitem(last=False)

    async def canonical_hash(self, number: int) -> Hash32 | None:
        """Hash at a number on the canonical chain, None above the head; asks L1 below the
        window."""
        if self.chain is None:
            return None
        ref = self.chain.at(number)
        if ref is None and number < self.chain.tail_number:
            ref = await self._client.ref_by_number(number)
        return None if ref is None else ref.hash

    async def _check_chain_id(self) -> None:
        if self._checked_chain:
            return
        found = await self._client.chain_id()
        if found != self._config.l1_chain_id:
            raise BadConfig(
                f"L1 {self._client.url} has chain id {found}, the cluster lock says "
                f"{self._config.l1_chain_id}: point `l1` at the right network"
            )
        self._checked_chain = True

    async def _adopt(self, head: L1BlockRef) -> bool:
        segment = await self._segment_to(head)
        step = advance(self.chain, segment)
        self.chain = step.chain
        for ref in segment:
            self.remember(ref)
        if step.reorged:
            self._metrics.inc("l1_reorgs_total")
            say = self._log.warning if self._reorgs.may_say() else self._log.debug
            say("l1_reorg", head=head.number, hash=head.hash)
        return step.reorged

    async def _segment_to(self, head: L1BlockRef) -> list[L1BlockRef]:
        """Blocks from just above what is known up to `head`, found by walking parents."""
        descending = [head]
        limit = BACKFILL if self.chain is None else MAX_WALK
        while len(descending) < limit and descending[-1].number > self._config.l1_genesis.number:
            oldest = descending[-1]
            if self.chain is not None and self.chain.contains(
                oldest.parent_hash, oldest.number - 1
            ):
                break
            parent = await self._client.ref_by_hash(oldest.parent_hash)
            if parent is None:
                raise Unavailable(f"L1 does not have block {oldest.number - 1} of its own chain")
            descending.append(parent)
        segment = descending[::-1]
        if not is_linked(segment):
            raise InvalidInput("L1 answered blocks that do not link")
        return segment

    def _note_outage(self, error: Exception) -> None:
        self._metrics.inc("l1_poll_failures_total")
        self._failure = str(error)
        if self._reachable:
            self._reachable = False
            self._log.warning("l1_unreachable", error=str(error))
