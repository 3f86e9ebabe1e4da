"""`eth_getLogs`, and the one way to look logs up that filters and subscriptions share.

A range that reaches beyond the head is an error and never an empty answer: what is not here yet may
hold logs.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from threading import Lock
from typing import Final

import msgspec

from dst.apis.eth import BlockId, BlockTag, LogFilter, parse_log_filter
from dst.apis.jsonrpc import INVALID_PARAMS, REFUSED, RpcError
from dst.execution.call_workers import BUSY, CALL_TIMEOUT_S, LIMIT_EXCEEDED, time_limit
from dst.execution.chain import Chain
from dst.execution.rpc.block_logs import CHECKED_EVERY, BlockLogs, Bloom
from dst.execution.rpc.blocks_by_id import BlocksById
from dst.execution.rpc.call_stage import refusals
from dst.execution.rpc.dispatch import Where, rpc
from dst.execution.rpc.parameters import FilterParam
from dst.spec.errors import InvalidInput
from dst.spec.primitives import Hash32

MAX_LOG_BLOCKS: Final = 10_000
MAX_LOGS: Final = 10_000
MAX_LOG_DATA_BYTES: Final = 16 * 2**20
"""Data of all logs of one answer; as hex it is twice that."""
MAX_SEARCH_BYTES: Final = 256 * 2**20
"""Encoded logs of all searches that run: eight answers of the greatest size."""

LOG_LIMITS: Final = (
    f"at most {MAX_LOG_BLOCKS} blocks, {MAX_LOGS} logs and {MAX_LOG_DATA_BYTES >> 20} MiB of data",
    f"{CALL_TIMEOUT_S:g} s",
    f"{MAX_SEARCH_BYTES >> 20} MiB found by all searches that run",
)
_ERRORS: Final = (
    "-32602: invalid block range params",
    "-32602: block range extends beyond current head block",
    "-32000: unknown block, or the search took too long",
    "-32005: too many searches wait, or those that run have found too much",
)


class SearchMemory:
    """What all running searches hold of encoded logs together. Safe for threads."""

    def __init__(self, limit: int = MAX_SEARCH_BYTES) -> None:
        self._left, self._lock = limit, Lock()

    @contextmanager
    def taking(self) -> Iterator[Callable[[int], None]]:
        """To be told of each log's size; given back at the end. Raises: RpcError."""
        taken = 0

        def take(size: int) -> None:
            nonlocal taken
            with self._lock:
                if size > self._left:
                    raise RpcError(LIMIT_EXCEEDED, BUSY)
                self._left -= size
            taken += size

        try:
            yield take
        finally:
            with self._lock:
                self._left += taken


class LogSearch:
    """On a search worker: a bloom filter that says yes costs the reading of a whole block, and a
    search may read thousands in vain. What it finds is encoded there too, not on the event loop."""

    def __init__(self, chain: Chain, blocks: BlocksById) -> None:
        self._chain, self._blocks = chain, blocks
        self._memory = SearchMemory()

    def find(self, wanted: LogFilter) -> msgspec.Raw:
        """The JSON of a list. Raises: RpcError."""
        if wanted.block_hash is not None:
            found = self._blocks.find(wanted.block_hash)
            if found is None:
                raise RpcError(REFUSED, "unknown block")
            return self.in_blocks([found[1]], wanted)
        first, last = self._bound(wanted.from_block), self._bound(wanted.to_block)
        if first > last:
            raise RpcError(INVALID_PARAMS, "invalid block range params")
        if last > self._chain.heads.head.number:
            raise RpcError(INVALID_PARAMS, "block range extends beyond current head block")
        return self.between(first, last, wanted)

    def between(self, first: int, last: int, wanted: LogFilter) -> msgspec.Raw:
        """Logs of canonical blocks that are all here. Raises: RpcError."""
        if last - first >= MAX_LOG_BLOCKS:
            raise RpcError(REFUSED, f"block range too large: at most {MAX_LOG_BLOCKS} blocks")
        return self.in_blocks(map(self._canonical, range(first, last + 1)), wanted)

    def in_blocks(
        self, hashes: Iterable[Hash32], wanted: LogFilter, *, removed: Iterable[Hash32] = ()
    ) -> msgspec.Raw:
        """`removed`: blocks that left the chain; their logs are told first, as taken back.

        Raises: RpcError when there are too many, or the search takes too long.
        """
        logs: list[bytes] = []
        data_bytes = 0
        with self._memory.taking() as take, refusals():
            for encoded, size in self._matching(hashes, wanted, removed):
                take(len(encoded))
                logs.append(encoded)
                data_bytes += size
                if len(logs) > MAX_LOGS:
                    raise RpcError(REFUSED, f"query returned more than {MAX_LOGS} results")
                if data_bytes > MAX_LOG_DATA_BYTES:
                    raise RpcError(REFUSED, f"query returned more than {MAX_LOG_DATA_BYTES} bytes")
            return msgspec.Raw(b"[" + b",".join(logs) + b"]")

    def _matching(
        self, hashes: Iterable[Hash32], wanted: LogFilter, removed: Iterable[Hash32]
    ) -> Iterator[tuple[bytes, int]]:
        """Each log as JSON, with the size of its data."""
        stop, bloom = time_limit(), Bloom(wanted)
        found = 0
        for block_hash, is_removed in chain(
            ((each, True) for each in removed), ((each, False) for each in hashes)
        ):
            stop()
            here = self._chain.bloom(block_hash)
            if here is not None and not bloom.may_be_in(here):
                continue
            header, _ = self._blocks.resolve(block_hash)
            logs = BlockLogs(self._chain, block_hash, header, removed=is_removed)
            for position, log in logs.matching(wanted, stop):
                found += 1
                if found % CHECKED_EVERY == 0:
                    stop()
                yield logs.encoded(position), len(log.data)

    def _canonical(self, number: int) -> Hash32:
        """Raises: RpcError."""
        found = self._chain.canonical_hash(number)
        if found is None:
            raise RpcError(REFUSED, "header not found")
        return found

    def _bound(self, block: BlockId) -> int:
        """`pending` is as good as `latest`: what nobody has executed has no logs."""
        if isinstance(block, int):
            return block
        if not isinstance(block, BlockTag):
            raise InvalidInput("fromBlock and toBlock take a number or a tag, not a hash")
        return self._blocks.resolve(block)[0].number


class Logs:
    def __init__(self, search: LogSearch) -> None:
        self._search = search

    @rpc("eth_getLogs", where=Where.SEARCH, errors=_ERRORS, limits=LOG_LIMITS)
    def get_logs(self, criteria: FilterParam) -> msgspec.Raw:
        """Logs of a range of blocks, or of one block by its hash, that match addresses and topics.

        Without bounds it is the head alone. A block or a bound that is not here is an error.
        """
        return self._search.find(parse_log_filter(criteria))
