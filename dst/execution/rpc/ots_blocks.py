"""`ots_*` of one block: its fees, its transactions page by page.

Source: Otterscan JSON-RPC API, level 8.
"""

from typing import Any, Final

from dst.apis.eth import parse_block_id, parse_hash
from dst.apis.quantity import parse_count
from dst.execution.chain import Chain
from dst.execution.rpc import views
from dst.execution.rpc.blocks_by_id import BlocksById
from dst.execution.rpc.dispatch import Where, rpc
from dst.execution.rpc.parameters import BlockParam, CountParam, HashParam
from dst.spec.errors import InvalidInput
from dst.spec.primitives import Hash32, to_hex
from dst.transactions.decoded import decode_once

MAX_PAGE: Final = 100


class OtterscanBlocks:
    def __init__(self, chain: Chain, blocks: BlocksById) -> None:
        self._chain, self._blocks = chain, blocks

    @rpc("ots_getBlockDetails", where=Where.READ)
    def block_details(self, block: BlockParam) -> dict[str, Any] | None:
        """A block without its transactions, with their number and fees."""
        found = self._blocks.find(parse_block_id(block))
        return None if found is None else self._details(found[1])

    @rpc("ots_getBlockDetailsByHash", where=Where.READ)
    def block_details_by_hash(self, block_hash: HashParam) -> dict[str, Any] | None:
        """A block without its transactions, with their number and fees."""
        found = self._blocks.find(parse_hash(block_hash, "block hash"))
        return None if found is None else self._details(found[1])

    @rpc("ots_getBlockTransactions", where=Where.READ, limits=(f"{MAX_PAGE} transactions a page",))
    def block_transactions(
        self, block: BlockParam, page: CountParam, size: CountParam
    ) -> dict[str, Any] | None:
        """A page of a block's transactions with receipts, the last one first."""
        found = self._blocks.find(parse_block_id(block))
        number, length = parse_count(page, what="page"), parse_page_size(size)
        if found is None:
            return None
        view = load_found(self._chain, found[1])
        receipts = views.show_receipts(view, self._chain.receipts(view.hash))
        count = len(receipts)
        first = max(count - (number + 1) * length, 0)
        last = max(count - number * length, 0)
        shown = _block_without_transactions(view)
        shown["transactions"] = [
            {**show_at(view, index), "input": _selector(view, index)}
            for index in range(last - 1, first - 1, -1)
        ]
        return {
            "fullblock": shown,
            "receipts": [
                {**receipts[index], "logs": None, "logsBloom": None}
                for index in range(last - 1, first - 1, -1)
            ],
        }

    def _details(self, block_hash: Hash32) -> dict[str, Any]:
        view = load_found(self._chain, block_hash)
        fees = sum(
            receipt.gas_used * receipt.effective_gas_price
            for receipt in self._chain.receipts(block_hash)
        )
        return {
            "block": _block_without_transactions(view),
            "issuance": {"blockReward": "0x0", "uncleReward": "0x0", "issuance": "0x0"},
            "totalFees": hex(fees),
        }


def parse_page_size(value: object) -> int:
    size = parse_count(value, what="page size")
    if not 0 < size <= MAX_PAGE:
        raise InvalidInput(f"page size: expected 1 to {MAX_PAGE}")
    return size


def _block_without_transactions(view: views.BlockView) -> dict[str, Any]:
    shown = views.show_block(view, full=False)
    shown["transactionCount"] = len(view.body.transactions)
    del shown["transactions"]
    shown["logsBloom"] = None
    return shown


def show_at(view: views.BlockView, index: int) -> dict[str, Any]:
    transaction = decode_once(view.body.transactions[index])
    return views.show_transaction_at(view.header, view.hash, index, transaction)


def _selector(view: views.BlockView, index: int) -> str:
    """Only the four bytes that name the method: the page shows no more."""
    return to_hex(decode_once(view.body.transactions[index]).data[:4])


def load_found(chain: Chain, block_hash: Hash32) -> views.BlockView:
    """A block whose header was found."""
    view = views.load_block(chain, block_hash)
    assert view is not None, "headers are never forgotten"
    return view
