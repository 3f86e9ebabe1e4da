"""Does L1 still hold the origins of our decided blocks? If not, the cluster must stop.

Looks when L1 reorganised and once at start. An L1 node that is merely behind proves nothing.
"""

import asyncio
from typing import Final

from dst.l1.source import L1Source
from dst.rollup.chain import Chain
from dst.rollup.halting import Halting
from dst.spec import ssz
from dst.spec.beacon import BeaconBlock, Eth1Data
from dst.spec.errors import InvalidInput, Unavailable
from dst.spec.primitives import Height

RETRY_SECONDS: Final = 0.5


class ResetWatch:
    """`look_again` after every L1 reorganisation; `run` does the looking."""

    def __init__(self, chain: Chain, l1: L1Source, halting: Halting) -> None:
        self._chain, self._l1, self._halting = chain, l1, halting
        self._wanted = asyncio.Event()
        self._wanted.set()

    def look_again(self) -> None:
        self._wanted.set()

    async def run(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self.look()
            except (Unavailable, InvalidInput):
                self._wanted.set()
                await asyncio.sleep(RETRY_SECONDS)

    async def look(self) -> None:
        """Check the head's origin, and walk down to the first block whose origin L1 dropped.

        Raises: Unavailable while L1 cannot tell.
        """
        if self._l1.chain is None:
            raise Unavailable("L1 has not answered yet")
        affected: Height | None = None
        height: int = self._chain.head.height
        while height > 0:
            origin = self._origin_at(height)
            canonical = await self._l1.canonical_hash(origin.deposit_count)
            if canonical is None:
                # Above L1's present head: a reorg in progress, or a node that lags. Not proof.
                raise Unavailable("L1 does not reach our origin")
            if canonical == origin.block_hash:
                break
            affected = Height(height)
            height -= 1
        if affected is not None:
            origin = self._origin_at(affected)
            self._halting.reset(
                affected,
                f"L1 dropped origin {origin.deposit_count} 0x{origin.block_hash.hex()}",
            )

    def _origin_at(self, height: int) -> Eth1Data:
        if height == self._chain.head.height:
            return self._chain.head.block.body.eth1_data
        stored = self._chain.store.by_height(height)
        assert stored is not None, "every height up to the head is stored"
        return ssz.decode(BeaconBlock, stored.block).body.eth1_data
