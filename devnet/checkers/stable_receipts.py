"""S4 soft-confirmation stability and S5 no loss: a receipt in a sealed block stays where it was.

Whoever has a transaction in a block has its receipt. Once a node has served one for a transaction
in a block of a sealed height, every later receipt of it, at every node, names the same (height,
index, block), and so do the blocks read at the end.
"""

from typing import Final

from devnet.checkers.base import judge
from devnet.model.history import BlockRead, EventKind, History, NoReceipt, ReceiptSeen
from devnet.model.verdict import Verdict, Violation

NAME: Final = "S4/S5 receipts stay"


def check(history: History) -> Verdict:
    sealed = highest_sealed(history)
    confirmed = [receipt for receipt in history.receipts if receipt.height <= sealed]
    found = [*_moved(confirmed), *_lost(confirmed, history.blocks), *_never_given(history)]
    return judge(NAME, found, looked_at=len(confirmed), what="receipt{s} in sealed blocks")


def highest_sealed(history: History) -> int:
    """The newest height known to carry a group signature; 0 (genesis) when none was seen."""
    by_event = [event.height for event in history.events if event.kind is EventKind.SEALED]
    by_signature = [seen.height for seen in history.group_signatures]
    return max([0, *by_event, *by_signature])


def _moved(confirmed: list[ReceiptSeen]) -> list[Violation]:
    first: dict[str, ReceiptSeen] = {}
    found = []
    for receipt in confirmed:
        before = first.setdefault(receipt.transaction, receipt)
        if _place(before) != _place(receipt):
            summary = (
                f"transaction {receipt.transaction} moved from height {before.height} index "
                f"{before.index} to height {receipt.height} index {receipt.index}"
            )
            found.append(_violation(summary, receipt, (before, receipt), receipt.height))
    return found


def _lost(confirmed: list[ReceiptSeen], blocks: tuple[BlockRead, ...]) -> list[Violation]:
    by_height: dict[int, list[BlockRead]] = {}
    for block in blocks:
        by_height.setdefault(block.height, []).append(block)
    found = []
    for receipt in {item.transaction: item for item in confirmed}.values():
        for block in by_height.get(receipt.height, []):
            held = block.transactions[receipt.index : receipt.index + 1]
            if held != (receipt.transaction,):
                summary = f"{block.node} holds another block than {receipt.node} confirmed from"
                summary += f": transaction {receipt.transaction} is not at height {block.height}"
                summary += f" index {receipt.index}"
                found.append(_violation(summary, receipt, (receipt, block), receipt.height))
    return found


def _never_given(history: History) -> list[Violation]:
    """Receipts that a node does not have although it serves the block that it takes them from."""
    served = {
        (block.node, transaction): block
        for block in history.blocks
        for transaction in block.transactions
    }
    found = []
    for asked in history.no_receipts:
        if (block := served.get((asked.node, asked.transaction))) is not None:
            summary = f"{asked.node} has no receipt of transaction {asked.transaction}, which is in"
            summary += f" its block {block.height}"
            found.append(_violation(summary, asked, (asked, block), block.height))
    return found


def _place(receipt: ReceiptSeen) -> tuple[int, int, str]:
    return receipt.height, receipt.index, receipt.block_hash


def _violation(
    summary: str,
    receipt: ReceiptSeen | NoReceipt,
    witness: tuple[ReceiptSeen | NoReceipt | BlockRead, ...],
    height: int,
) -> Violation:
    return Violation(
        checker=NAME,
        summary=summary,
        monotonic=receipt.monotonic,
        height=height,
        witness=witness,
    )
