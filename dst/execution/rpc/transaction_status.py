"""`dst_transactionStatus`: never a hash and then silence."""

import asyncio
from concurrent.futures import Executor
from typing import Final

from dst.apis.eth import parse_hash
from dst.execution.chain import Chain
from dst.execution.header import next_base_fee
from dst.execution.pool.service import TransactionPool
from dst.execution.pool.status import State, Status, status_of
from dst.execution.rpc.dispatch import Where, rpc
from dst.execution.rpc.parameters import HashParam
from dst.execution.slots import SlotClock
from dst.mempool.departures import MAX_REMEMBERED
from dst.spec.primitives import Hash32, to_hex

_NEXT_BLOCK_MATTERS: Final = frozenset(
    {State.UNKNOWN, State.PENDING, State.QUEUED, State.UNDERPRICED}
)
"""States that a block this node does not have yet may end."""


class TransactionStatusMethods:
    def __init__(
        self, chain: Chain, pool: TransactionPool, read: Executor, clock: SlotClock
    ) -> None:
        self._chain, self._pool, self._read, self._clock = chain, pool, read, clock

    @rpc(
        "dst_transactionStatus",
        where=Where.LOOP,
        limits=(f"the last {MAX_REMEMBERED} transactions that left the pool are remembered",),
    )
    async def transaction_status(self, transaction_hash: HashParam) -> dict[str, object]:
        """Where a transaction stands, as this node knows: `state` is one of `unknown`, `pending`,
        `queued` (`missingNonce`), `underpriced` (`maxFeePerGas`, `baseFeePerGas`), `replaced`
        (`replacedBy`), `evicted`, `dropped`, `too_heavy` (each with `reason` and `message`) or
        `included` (`blockHash`, `blockNumber`, `transactionIndex`).

        A pending one may tell `waitsBehind` (an earlier transaction of its sender that no block
        takes now) and `triedSeconds`, `triesAlone` (docs/heavy-transactions.md).

        While no block comes (a cluster without quorum, or a node that lags), those that wait, and
        unknown ones, have a `warning` that says for how many seconds.
        """
        wanted = parse_hash(transaction_hash, "transaction hash")
        base_fee = next_base_fee(self._chain.heads.head)
        status = status_of(self._pool, wanted, base_fee)
        if status.state in (State.UNKNOWN, State.REPLACED, State.DROPPED):
            loop = asyncio.get_running_loop()
            included = await loop.run_in_executor(self._read, self._included, wanted)
            if included is not None:
                return included
        shown = show_status(wanted, status)
        warning = self._clock.complaint(self._chain.heads.head)
        if warning is not None and status.state in _NEXT_BLOCK_MATTERS:
            shown["warning"] = warning
        return shown

    def _included(self, wanted: Hash32) -> dict[str, object] | None:
        location = self._chain.location(wanted)
        if location is None:
            return None
        block_hash, index = location
        header = self._chain.header(block_hash)
        return {
            "hash": to_hex(wanted),
            "state": State.INCLUDED,
            "blockHash": to_hex(block_hash),
            "blockNumber": None if header is None else hex(header.number),
            "transactionIndex": hex(index),
        }


def show_status(wanted: Hash32, status: Status) -> dict[str, object]:
    shown: dict[str, object] = {"hash": to_hex(wanted), "state": status.state}
    for name, quantity in (
        ("missingNonce", status.missing_nonce),
        ("maxFeePerGas", status.max_fee_per_gas),
        ("baseFeePerGas", status.base_fee_per_gas),
        ("triesAlone", status.tries_alone),
    ):
        if quantity is not None:
            shown[name] = hex(quantity)
    if status.waits_behind is not None:
        shown["waitsBehind"] = to_hex(status.waits_behind)
    if status.tried_seconds is not None:
        shown["triedSeconds"] = round(status.tried_seconds, 3)
    if status.departure is not None:
        shown["reason"] = status.departure.detail
        shown["message"] = status.departure.message
        if status.departure.replaced_by is not None:
            shown["replacedBy"] = to_hex(status.departure.replaced_by)
    return shown
