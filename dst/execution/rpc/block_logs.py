"""The logs of one block: found by a filter, each shown and encoded once, however many ask."""

from binascii import hexlify
from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import accumulate
from typing import Final

import msgspec

from dst.apis.eth import LogFilter
from dst.execution.chain import Chain
from dst.execution.header import Header
from dst.execution.receipts import Log, Receipt, bloom_bits
from dst.execution.rpc import views
from dst.spec.primitives import Hash32, to_hex

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
        self._places: dict[int, bytes] = {}

    def __iter__(self) -> Iterator[tuple[int, Log]]:
        """Each with its position in the block."""
        return enumerate(self._logs)

    def matching(
        self, wanted: LogFilter, stop: Callable[[], None] = _never_stops
    ) -> Iterator[tuple[int, Log]]:
        """With their positions; `stop` is an interrupt."""
        for start in range(0, len(self._logs), CHECKED_EVERY):
            stop()
            part = enumerate(self._logs[start : start + CHECKED_EVERY], start)
            yield from _select(list(part), wanted)

    def encoded(self, position: int) -> bytes:
        """One log as JSON."""
        if position not in self._encoded:
            self._encoded[position] = self._encode(position)
        return self._encoded[position]

    def _encode(self, position: int) -> bytes:
        index = bisect_right(self._ends, position)
        place = self._places.get(index)
        if place is None:
            transaction_hash = self._block.body.transaction_hashes[index]
            place = self._places[index] = _place(self._block, index, transaction_hash)
        return encode_log(self._logs[position], position, place, removed=self._removed)

    @cached_property
    def _block(self) -> views.BlockView:
        body = self._chain.body(self._hash)
        return views.BlockView(header=self._header, hash=self._hash, body=body)

    @cached_property
    def _receipts(self) -> tuple[Receipt, ...]:
        return self._chain.receipts(self._hash)

    @cached_property
    def _logs(self) -> list[Log]:
        return [log for receipt in self._receipts for log in receipt.logs]

    @cached_property
    def _ends(self) -> list[int]:
        """For each transaction, how many logs it and those before it have."""
        return list(accumulate(len(receipt.logs) for receipt in self._receipts))


def encode_log(log: Log, position: int, place: bytes, *, removed: bool) -> bytes:
    """What `views.show_log` shows, as JSON at a sixth of the price: a search may find thousands."""
    return (b'{"address":"0x%b","topics":[%b],"data":"0x%b",%b,"logIndex":"0x%x","removed":%b}') % (
        hexlify(log.address),
        b",".join([b'"0x%b"' % hexlify(topic) for topic in log.topics]),
        hexlify(log.data),
        place,
        position,
        b"true" if removed else b"false",
    )


def _place(block: views.BlockView, index: int, transaction_hash: bytes) -> bytes:
    """The fields that all logs of a transaction share."""
    shared = {
        "blockNumber": hex(block.header.number),
        "blockHash": to_hex(block.hash),
        "blockTimestamp": hex(block.header.timestamp),
        "transactionHash": to_hex(transaction_hash),
        "transactionIndex": hex(index),
    }
    return msgspec.json.encode(shared)[1:-1]


def _select(logs: list[tuple[int, Log]], wanted: LogFilter) -> list[tuple[int, Log]]:
    """As `matches`, for many at a time."""
    if wanted.addresses:
        addresses = wanted.addresses
        logs = [each for each in logs if each[1].address in addresses]
    if wanted.topics:
        count = len(wanted.topics)
        logs = [each for each in logs if len(each[1].topics) >= count]
    for at, choices in enumerate(wanted.topics):
        if choices is not None:
            logs = [each for each in logs if each[1].topics[at] in choices]
    return logs


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
