"""The logs of one block: found by a filter, each shown and encoded once, however many ask."""

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Final

import msgspec

from dst.apis.eth import LogFilter
from dst.execution.chain import Chain
from dst.execution.header import Header
from dst.execution.receipts import Log, bloom_bits
from dst.execution.rpc import views
from dst.spec.primitives import Hash32

CHECKED_EVERY: Final = 256
"""Logs looked at, or shown, between two interrupt checks: below a millisecond."""


def _never_stops() -> None:
    return


class BlockLogs:
    """removed: the block left the canonical chain."""

    def __init__(
        self, chain: Chain, block_hash: bytes, header: Header, *, removed: bool = False
    ) -> None:
        self._chain, self._header, self._hash = chain, header, Hash32(block_hash)
        self._removed = removed
        self._encoded: dict[int, bytes] = {}

    def __iter__(self) -> Iterator[tuple[int, Log]]:
        """Each with its position in the block."""
        return ((position, log) for position, (_, log) in enumerate(self._logs))

    def matching(
        self, wanted: LogFilter, stop: Callable[[], None] = _never_stops
    ) -> Iterator[tuple[int, Log]]:
        """With their positions; `stop` is an interrupt."""
        for position, log in self:
            if position % CHECKED_EVERY == 0:
                stop()
            if matches(log, wanted):
                yield position, log

    def encoded(self, position: int) -> bytes:
        """One log as JSON."""
        if position not in self._encoded:
            self._encoded[position] = msgspec.json.encode(self._show(position))
        return self._encoded[position]

    def _show(self, position: int) -> dict[str, object]:
        index, log = self._logs[position]
        transaction_hash = self._block.body.transaction_hashes[index]
        return views.show_log(
            self._block, index, transaction_hash, position, log, removed=self._removed
        )

    @cached_property
    def _block(self) -> views.BlockView:
        body = self._chain.body(self._hash)
        return views.BlockView(header=self._header, hash=self._hash, body=body)

    @cached_property
    def _logs(self) -> list[tuple[int, Log]]:
        """With the index of the transaction."""
        receipts = self._chain.receipts(self._hash)
        return [(index, log) for index, receipt in enumerate(receipts) for log in receipt.logs]


def matches(log: Log, wanted: LogFilter) -> bool:
    if wanted.addresses and log.address not in wanted.addresses:
        return False
    if len(wanted.topics) > len(log.topics):
        return False
    return all(
        choices is None or topic in choices
        for choices, topic in zip(wanted.topics, log.topics, strict=False)
    )


class Bloom:
    """A filter as block blooms are asked for it: its bits worked out once for a whole search."""

    def __init__(self, wanted: LogFilter) -> None:
        constraints = [wanted.addresses or None, *wanted.topics]
        self._needed = [
            tuple(map(bloom_bits, choices)) for choices in constraints if choices is not None
        ]

    def may_be_in(self, bloom: int) -> bool:
        """False only when no log of the block can match."""
        return all(any(bloom & bits == bits for bits in choices) for choices in self._needed)
