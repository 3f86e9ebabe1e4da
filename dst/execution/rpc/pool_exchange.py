"""What nodes tell and ask each other about the pool: `dst_forwardTransactions` hands over what a
client sent, `dst_poolChanges` and `dst_pooledTransactions` let a follower hear of what operators
take, each transaction once."""

from typing import Final

import msgspec

from dst.apis.eth import parse_hash
from dst.apis.jsonrpc import RpcError
from dst.apis.quantity import parse_quantity
from dst.execution.call_workers import LIMIT_EXCEEDED
from dst.execution.pool.announcements import (
    MAX_WAITING,
    MAX_WAITING_OF_ONE,
    Announcements,
    Changes,
    TooManyWaits,
)
from dst.execution.pool.service import Source, TransactionPool
from dst.execution.rpc.dispatch import Where, rpc
from dst.execution.rpc.parameters import (
    HashListParam,
    QuantityParam,
    RawListParam,
    TextParam,
)
from dst.mempool.departures import Departure
from dst.mempool.pool import MAX_TRANSACTION_BYTES
from dst.spec.errors import InvalidInput
from dst.spec.primitives import Hash32, parse_hex, to_hex
from dst.transactions.transaction import InvalidTransaction

MAX_TRANSACTIONS: Final = 256
"""Handed over or asked for at once."""
MAX_ANSWER_BYTES: Final = 2**20
"""Of raw transactions in one answer; null from there on, to be asked again."""
MAX_WAIT_S: Final = 20.0


class PoolExchangeMethods:
    def __init__(self, pool: TransactionPool, announcements: Announcements) -> None:
        self._pool, self._announcements = pool, announcements
        self._everything: tuple[int, msgspec.Raw] | None = None
        """The hashes of all that waits, as JSON, at which cursor."""

    @rpc(
        "dst_forwardTransactions",
        where=Where.LOOP,
        limits=(f"at most {MAX_TRANSACTIONS} transactions",),
    )
    async def forward_transactions(self, transactions: RawListParam) -> list[object]:
        """Take raw transactions from another node and tell nobody else of them. For each its hash,
        or an object with `reason` and `message`."""
        raws = [parse_hex(each, what="raw transaction") for each in _list(transactions)]
        if any(len(raw) > 2 * MAX_TRANSACTION_BYTES for raw in raws):
            raise InvalidInput("raw transaction too large")
        outcomes = await self._pool.submit_all(raws, Source.PEER)
        return [
            {"reason": each.reason, "message": str(each)}
            if isinstance(each, InvalidTransaction)
            else to_hex(each)
            for each in outcomes
        ]

    @rpc(
        "dst_poolChanges",
        where=Where.LOOP,
        errors=("-32005: too many questions of one client wait",),
        limits=(
            f"waits at most {MAX_WAIT_S:g} s",
            f"{MAX_WAITING_OF_ONE} that wait of one client, {MAX_WAITING} in all: one more ends "
            "the oldest wait early, without news",
        ),
    )
    async def pool_changes(
        self, epoch: TextParam, cursor: QuantityParam, wait: QuantityParam
    ) -> dict[str, object]:
        """What came into the pool (`added`: hashes) and left it (`departed`) after `cursor`; waits
        up to `wait` ms for news. With another `epoch`, or a cursor from too long ago, `whole` is
        true and `added` is everything that waits. Ask again with the `epoch` and `cursor` of the
        answer."""
        if not isinstance(epoch, str):
            raise InvalidInput("epoch: expected a string")
        wait_ms = parse_quantity(wait, what="wait")
        try:
            changes = await self._announcements.since(
                epoch,
                parse_quantity(cursor, what="cursor"),
                wait_s=min(wait_ms / 1000, MAX_WAIT_S),
            )
        except TooManyWaits as error:
            raise RpcError(LIMIT_EXCEEDED, str(error)) from None
        return {
            "epoch": changes.epoch,
            "cursor": hex(changes.cursor),
            "whole": changes.is_whole,
            "added": self._encode_once(changes) if changes.is_whole else _hashes(changes),
            "departed": [_show(*each) for each in changes.departed],
        }

    def _encode_once(self, changes: Changes) -> msgspec.Raw:
        """For all who ask before the pool changes: anybody may, and of thousands of hashes."""
        if self._everything is None or self._everything[0] != changes.cursor:
            self._everything = changes.cursor, msgspec.Raw(msgspec.json.encode(_hashes(changes)))
        return self._everything[1]

    @rpc(
        "dst_pooledTransactions",
        where=Where.LOOP,
        limits=(f"at most {MAX_TRANSACTIONS} hashes", f"at most {MAX_ANSWER_BYTES} bytes"),
    )
    async def pooled_transactions(self, hashes: HashListParam) -> list[str | None]:
        """Raw transactions of the pool by hash; null for one that is not there, or beyond the
        answer's size."""
        answers: list[str | None] = []
        left = MAX_ANSWER_BYTES
        for each in _list(hashes):
            found = self._pool.get(parse_hash(each))
            left -= len(found.raw) if found else 0
            answers.append(to_hex(found.raw) if found and left >= 0 else None)
        return answers


def _list(value: object) -> list[object]:
    if not isinstance(value, list) or len(value) > MAX_TRANSACTIONS:
        raise InvalidInput(f"expected a list of at most {MAX_TRANSACTIONS}")
    return value


def _hashes(changes: Changes) -> list[str]:
    return [to_hex(each) for each in changes.added]


def _show(transaction_hash: Hash32, departure: Departure) -> dict[str, object]:
    return {
        "hash": to_hex(transaction_hash),
        "fate": departure.fate,
        "reason": departure.detail,
        "message": departure.message,
    }
