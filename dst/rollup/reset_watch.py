"""Does L1 still hold the origins of our decided blocks? If not, the cluster must stop.

Looks once at start, when L1 reorganised, and when a block is decided on an origin that L1 does not
show: L1 may drop an origin between the votes and the import. A later block on a good origin hides
nothing, because what was suspect is looked at by itself. An L1 node that is merely behind proves
nothing. One on a minority fork does not know it: what it says stops this operator, but for as long
as it says so only. A reset ends when our L1 shows every origin again, `l1_confirmations` deep.
"""

import asyncio
from contextlib import suppress
from typing import Final

from dst.l1.source import L1Source
from dst.rollup.chain import Chain
from dst.rollup.halting import Halting
from dst.spec import ssz
from dst.spec.beacon import BeaconBlock, L1Origin
from dst.spec.errors import InvalidInput, Unavailable
from dst.spec.primitives import Height

RETRY_SECONDS: Final = 0.5
FIRST_LOOK_DEPTH: Final = 64
"""Decided blocks looked at after a start, whatever their head's origin: which of them were suspect
is not written down. As many as may be unsealed."""


class ResetWatch:
    """`l1_moved` after every new L1 head, `note_appended` after every decided block; `run`
    does the looking."""

    def __init__(self, chain: Chain, l1: L1Source, halting: Halting, l1_confirmations: int) -> None:
        self._chain, self._l1, self._halting = chain, l1, halting
        self._l1_confirmations = l1_confirmations
        self._wanted = asyncio.Event()
        self._wanted.set()
        self.has_looked = False
        """L1 was asked about our origins since the start, and answered."""
        self._lowest_suspect: int | None = max(1, chain.head.height - FIRST_LOOK_DEPTH + 1)
        """Every block from here to the head is looked at, then None."""

    def require_looked(self) -> None:
        """Raises: Unavailable until L1 was asked about our origins since the start, unless it is
        out: then the look is owed, and what was decided by then is its subject, too."""
        if not self.has_looked and not self._l1.is_out_since_start:
            raise Unavailable("L1 has not confirmed the origins of our blocks since the start")

    def l1_moved(self, *, reorged: bool) -> None:
        """A reorganisation may drop an origin; any new block may show that it is back, and the
        first one ends the wait for a look."""
        if reorged or self._halting.reset_height is not None or not self.has_looked:
            self._wanted.set()

    def note_appended(self) -> None:
        """The head is new: look at it unless L1 shows its origin right now."""
        head = self._chain.head
        origin = head.block.l1_origin
        l1 = self._l1.chain
        if l1 is not None and l1.contains(origin.hash, origin.number):
            return
        if self._lowest_suspect is None:
            self._lowest_suspect = head.height
        self._wanted.set()

    async def run(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self.look()
            except (Unavailable, InvalidInput):
                with suppress(TimeoutError):
                    async with asyncio.timeout(RETRY_SECONDS):
                        await self._wanted.wait()  # there may be news before
                self._wanted.set()

    async def look(self) -> None:
        """Check the origins of the head and of all suspect blocks, and walk on down to the first
        block whose origin L1 dropped.

        Raises: Unavailable while L1 cannot tell.
        """
        if self._l1.chain is None:
            raise Unavailable("L1 has not answered yet")
        looked_up_to = self._chain.head.height
        if (halted_at := self._halting.reset_height) is not None:
            self._lowest_suspect = min(halted_at, self._lowest_suspect or halted_at)
        affected = await self._lowest_dropped(looked_up_to)
        if affected is not None:
            self._halting.reset(affected, f"L1 dropped origin {self._origin_at(affected)}")
        elif halted_at is not None and self._is_deep(self._origin_at(looked_up_to)):
            self._halting.reset_ended()
        self.has_looked = True
        if self._chain.head.height == looked_up_to:
            self._lowest_suspect = None
        else:
            # Blocks came meanwhile, and any of them may be why we are to look again.
            self._lowest_suspect = looked_up_to + 1

    async def _lowest_dropped(self, height: int) -> Height | None:
        """At or below `height`; None when L1 holds all it must."""
        dropped: Height | None = None
        while height > 0:
            origin = self._origin_at(height)
            canonical = await self._l1.canonical_hash(origin.number)
            if canonical is None:
                # Above L1's present head: a reorg in progress, or a node that lags. Not proof.
                raise Unavailable("L1 does not reach our origin")
            if canonical != origin.hash:
                dropped = Height(height)
            elif self._lowest_suspect is None or height <= self._lowest_suspect:
                break
            height -= 1
        return dropped

    def _is_deep(self, origin: L1Origin) -> bool:
        head = self._l1.head_number
        return head is not None and head >= origin.number + self._l1_confirmations

    def _origin_at(self, height: int) -> L1Origin:
        if height == self._chain.head.height:
            return self._chain.head.block.l1_origin
        stored = self._chain.store.by_height(height)
        assert stored is not None, "every height up to the head is stored"
        return ssz.decode(BeaconBlock, stored.block).l1_origin
