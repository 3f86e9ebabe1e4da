"""What the batcher reads: decided blocks, their rounds and signatures, and what L1 has already."""

from collections.abc import Callable, Sequence

import msgspec

from dst.batcher.plan import BatchBlock
from dst.qbft.messages import Certificate
from dst.rollup.chain import Chain


class StoreBlocks:
    """Satisfies the batcher's `BlockSource` over the store."""

    def __init__(self, chain: Chain, derived_height: Callable[[], int]) -> None:
        self._chain, self._derived_height = chain, derived_height

    @property
    def safe_height(self) -> int:
        return self._derived_height()

    @property
    def sealed_height(self) -> int:
        return self._chain.sealed_height

    def decided_round(self, height: int) -> int | None:
        stored = self._chain.store.by_height(height)
        if stored is None or stored.certificate is None:
            return None
        return msgspec.msgpack.decode(stored.certificate, type=Certificate).round

    def blocks(self, first: int, last: int) -> Sequence[BatchBlock]:
        return [
            BatchBlock(height=stored.height, message=stored.block, signature=stored.signature)
            for stored in self._chain.store.range(first, last)
        ]
