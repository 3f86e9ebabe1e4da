"""S7 order stays: what was confirmed once is, block for block, the beginning of the final chain.

A receipt names the block that it comes from, and a block's hash commits to all before it: where it
is still that of its height in the end, nothing was put before, between or in its place. And an
account's transactions stand in the chain in the order of their nonces, each nonce once.
"""

from collections.abc import Iterator
from typing import Final

from devnet.checkers.base import judge
from devnet.checkers.stable_receipts import highest_sealed
from devnet.model.history import BlockRead, History, ReceiptSeen, TransactionSubmitted
from devnet.model.verdict import Verdict, Violation

NAME: Final = "S7 order stays"


def check(history: History) -> Verdict:
    sealed = highest_sealed(history)
    confirmed = [receipt for receipt in history.receipts if receipt.height <= sealed]
    found = [*_replaced(confirmed, history.blocks), *_out_of_order(history)]
    return judge(NAME, found, looked_at=len(confirmed), what="receipt{s} in sealed blocks")


def _replaced(confirmed: list[ReceiptSeen], blocks: tuple[BlockRead, ...]) -> Iterator[Violation]:
    """One violation a height and node, from the first receipt of it that showed another block."""
    first: dict[tuple[int, str], ReceiptSeen] = {}
    for receipt in confirmed:
        first.setdefault((receipt.height, receipt.block_hash), receipt)
    by_height: dict[int, list[ReceiptSeen]] = {}
    for receipt in first.values():
        by_height.setdefault(receipt.height, []).append(receipt)
    for block in blocks:
        for receipt in by_height.get(block.height, ()):
            if receipt.block_hash != block.block_hash:
                yield Violation(
                    checker=NAME,
                    summary=f"height {block.height}: {receipt.node} confirmed from block "
                    f"{receipt.block_hash}, {block.node} serves {block.block_hash} in the end",
                    monotonic=receipt.monotonic,
                    height=block.height,
                    witness=(receipt, block),
                )


def _out_of_order(history: History) -> Iterator[Violation]:
    """Of the load's accounts, at each node; what others sent from them is not known here."""
    sent = {each.hash: each for each in history.transactions if each.nonce is not None}
    last: dict[tuple[str, str], TransactionSubmitted] = {}
    for block in sorted(history.blocks, key=lambda each: (each.node, each.height)):
        for transaction in block.transactions:
            if transaction not in sent:
                continue
            item = sent[transaction]
            before = last.get((block.node, item.sender))
            last[block.node, item.sender] = item
            if before is not None and _nonce(item) <= _nonce(before):
                yield Violation(
                    checker=NAME,
                    summary=f"{block.node}: height {block.height} has nonce {item.nonce} of "
                    f"{item.sender} after nonce {before.nonce}",
                    monotonic=item.sent,
                    height=block.height,
                    witness=(before, item, block),
                )


def _nonce(item: TransactionSubmitted) -> int:
    assert item.nonce is not None, "sorted out by the caller"
    return item.nonce
