"""`eth_getLogs`, and the one way to look logs up that filters and subscriptions share.

A range that reaches beyond the head is an error and never an empty answer: what is not here yet may
hold logs.
"""

from collections.abc import Iterable
from typing import Final

from dst.apis.eth import BlockId, BlockTag, LogFilter, parse_log_filter
from dst.apis.jsonrpc import INVALID_PARAMS, REFUSED, RpcError
from dst.execution.call_workers import CALL_TIMEOUT_S, time_limit
from dst.execution.chain import Chain
from dst.execution.rpc import views
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

LOG_LIMITS: Final = (
    f"at most {MAX_LOG_BLOCKS} blocks, {MAX_LOGS} logs and {MAX_LOG_DATA_BYTES >> 20} MiB of data",
    f"{CALL_TIMEOUT_S:g} s",
)
_ERRORS: Final = (
    "-32602: invalid block range params",
    "-32602: block range extends beyond current head block",
    "-32000: unknown block, or the search took too long",
    "-32005: too many calls are waiting",
)


class LogSearch:
    """On a call worker: a bloom filter that says yes costs the reading of a whole block, and a
    search may read thousands in vain."""

    def __init__(self, chain: Chain, blocks: BlocksById) -> None:
        self._chain, self._blocks = chain, blocks

    def find(self, wanted: LogFilter) -> list[dict[str, object]]:
        """Raises: RpcError."""
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

    def between(self, first: int, last: int, wanted: LogFilter) -> list[dict[str, object]]:
        """Logs of canonical blocks that are all here. Raises: RpcError."""
        if last - first >= MAX_LOG_BLOCKS:
            raise RpcError(REFUSED, f"block range too large: at most {MAX_LOG_BLOCKS} blocks")
        hashes = (self._blocks.resolve(number)[1] for number in range(first, last + 1))
        return self.in_blocks(hashes, wanted)

    def in_blocks(
        self, hashes: Iterable[Hash32], wanted: LogFilter, *, removed: bool = False
    ) -> list[dict[str, object]]:
        """Raises: RpcError when there are too many, or the search takes too long."""
        logs: list[dict[str, object]] = []
        data_bytes = 0
        stop = time_limit()
        for block_hash in hashes:
            with refusals():
                stop()
            header, _ = self._blocks.resolve(block_hash)
            for log in views.logs_of_block(
                self._chain, block_hash, header, wanted, removed=removed
            ):
                logs.append(log)
                data_bytes += len(str(log["data"])) // 2
                if len(logs) > MAX_LOGS:
                    raise RpcError(REFUSED, f"query returned more than {MAX_LOGS} results")
                if data_bytes > MAX_LOG_DATA_BYTES:
                    raise RpcError(REFUSED, f"query returned more than {MAX_LOG_DATA_BYTES} bytes")
        return logs

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

    @rpc("eth_getLogs", where=Where.CALL, errors=_ERRORS, limits=LOG_LIMITS)
    def get_logs(self, criteria: FilterParam) -> list[dict[str, object]]:
        """Logs of a range of blocks, or of one block by its hash, that match addresses and topics.

        Without bounds it is the head alone. A block or a bound that is not here is an error.
        """
        return self._search.find(parse_log_filter(criteria))
