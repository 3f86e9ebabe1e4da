"""`ots_search*`: transactions by address, without an index of addresses over the chain.

A search looks through a window of blocks only, and says through its flags that there is more. It
finds sender, receiver, contracts created and contracts that logged, and whom the transaction met on
its way: called, paid, or only looked at (EIP-2929 tells; so not in frames that failed, and not
the block's fee recipient).

Source: Otterscan JSON-RPC API, level 8.
"""

from typing import Any, Final

from dst.apis.eth import parse_address
from dst.apis.quantity import parse_count
from dst.execution.call_workers import CALL_TIMEOUT_S, time_limit
from dst.execution.chain import Chain
from dst.execution.receipts import Receipt
from dst.execution.rpc import views
from dst.execution.rpc.blocks_by_id import BlocksById
from dst.execution.rpc.call_stage import refusals
from dst.execution.rpc.dispatch import Where, rpc
from dst.execution.rpc.ots_blocks import MAX_PAGE, load_found, parse_page_size, show_at
from dst.execution.rpc.parameters import AddressParam, CountParam
from dst.spec.primitives import Address

SEARCH_BLOCKS: Final = 2_000
"""Blocks that one search looks at; the next page goes on behind them."""

_LIMITS: Final = (
    f"{MAX_PAGE} a page",
    f"{SEARCH_BLOCKS} blocks a page",
    f"{CALL_TIMEOUT_S:g} s",
)


class OtterscanSearch:
    def __init__(self, chain: Chain, blocks: BlocksById) -> None:
        self._chain, self._blocks = chain, blocks

    @rpc("ots_searchTransactionsBefore", where=Where.CALL, limits=_LIMITS)
    def search_before(
        self, address: AddressParam, block: CountParam, size: CountParam
    ) -> dict[str, Any]:
        """Transactions that had to do with an address (sender, receiver, log, met on the way)
        below a block; 0: from the head. Newest first."""
        start = parse_count(block, what="block number")
        head = self._chain.heads.head.number
        first = head if start == 0 else min(start - 1, head)
        end = max(first - SEARCH_BLOCKS, -1)
        found, at_end = self._search(
            parse_address(address), range(first, end, -1), parse_page_size(size)
        )
        return {**found, "firstPage": start == 0, "lastPage": at_end and end == -1}

    @rpc("ots_searchTransactionsAfter", where=Where.CALL, limits=_LIMITS)
    def search_after(
        self, address: AddressParam, block: CountParam, size: CountParam
    ) -> dict[str, Any]:
        """Transactions that had to do with an address, above a block. Newest first."""
        start = parse_count(block, what="block number")
        head = self._chain.heads.head.number
        end = min(start + 1 + SEARCH_BLOCKS, head + 1)
        numbers = range(start + 1, end)
        found, at_end = self._search(parse_address(address), numbers, parse_page_size(size))
        for each in found.values():
            each.reverse()
        return {**found, "firstPage": at_end and end == head + 1, "lastPage": start == 0}

    def _search(
        self, address: Address, numbers: range, size: int
    ) -> tuple[dict[str, list[Any]], bool]:
        """Whole blocks until a page is full; whether the range came to its end."""
        stop = time_limit()
        shown: list[Any] = []
        receipts: list[Any] = []
        for number in numbers:
            with refusals():
                stop()
            if len(shown) >= size:
                return {"txs": shown, "receipts": receipts}, False
            view = load_found(self._chain, self._blocks.resolve(number)[1])
            if not view.body.transactions:
                continue
            stored = self._chain.receipts(view.hash)
            hits = _hits(address, view, stored)
            if numbers.step < 0:
                hits.reverse()
            of_block = views.show_receipts(view, stored) if hits else []
            for index in hits:
                shown.append(show_at(view, index))
                time = view.header.timestamp
                receipts.append({**of_block[index], "timestamp": time})
        return {"txs": shown, "receipts": receipts}, True


def _hits(address: Address, view: views.BlockView, receipts: tuple[Receipt, ...]) -> list[int]:
    """Indices of the transactions that had to do with an address."""
    return [
        index
        for index, (receipt, others) in enumerate(zip(receipts, view.body.touched, strict=True))
        if address in (receipt.sender, receipt.to, receipt.contract_address)
        or any(log.address == address for log in receipt.logs)
        or _is_among(address, others)
    ]


def _is_among(address: Address, addresses: bytes) -> bool:
    """`addresses`: one behind the other."""
    size = len(address)
    return any(addresses[at : at + size] == address for at in range(0, len(addresses), size))
