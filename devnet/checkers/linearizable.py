"""S18 linearizable objects: at each node, a register and a bank behave as if one client after
another used them, in the order of the chain.

The order needs no search: every read names the block that it was read at. So it is linearizable
(Herlihy and Wing, 1990) if each read is what the chain's writes up to that block make of the
objects, blocks do not go back from one read to a later one, a read after a receipt knows of that
write, and none knows of a write that was not signed yet. A node may be behind another one: that
they agree in the end is what S1 and S8 say. One whose store a fault takes away begins anew.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from devnet.checkers.base import inconclusive, judge
from devnet.model.history import History, ObjectRead, ObjectWrite, ReceiptSeen
from devnet.model.timeline import rejoined_at
from devnet.model.verdict import Verdict, Violation
from devnet.model.work import BANK_ACCOUNTS, BANK_COINS

NAME: Final = "S18 linearizable objects"
State: TypeAlias = tuple[int, tuple[int, ...]]


@dataclass(slots=True)
class Objects:
    """The sequential specification."""

    register: int = 0
    balances: tuple[int, ...] = ()

    def apply(self, arguments: tuple[int, ...]) -> None:
        """() creates, (value) sets, (from, to, amount) moves, or changes nothing when there are not
        so many; what comes before the creation goes nowhere."""
        if not arguments:
            self.balances = self.balances or (BANK_COINS,) * BANK_ACCOUNTS
        elif not self.balances:
            return
        elif len(arguments) == 1:
            self.register = arguments[0]
        else:
            giver, taker, amount = arguments
            held = list(self.balances)
            if held[giver - 1] >= amount:
                held[giver - 1] -= amount
                held[taker - 1] += amount
                self.balances = tuple(held)


def check(history: History) -> Verdict:
    if not history.object_writes:
        return judge(NAME, (), looked_at=0, what="read{s}")
    states = states_by_height(history)
    if not any(balances for _, balances in states.values()):
        return inconclusive(NAME, "register and bank were never created")
    by_node: dict[str, list[ObjectRead]] = {}
    for read in history.object_reads:
        by_node.setdefault(read.node, []).append(read)
    unseen = {block.node for block in history.blocks} - by_node.keys()
    if unseen:
        return inconclusive(NAME, f"nothing was read at {', '.join(sorted(unseen))}")
    found = [*_wrong_values(history.object_reads, states)]
    for node, reads in by_node.items():
        receipts = [each for each in history.receipts if each.node == node]
        for since, to in _lives(history, node):
            told = [each for each in reads if since <= each.asked and each.monotonic <= to]
            found += _out_of_order(told)
            found += _forgotten(told, [each for each in receipts if since <= each.monotonic <= to])
    found += _foreseen(history)
    return judge(NAME, found, looked_at=len(history.object_reads), what="read{s}")


def states_by_height(history: History) -> dict[int, State]:
    """Height -> register and balances after it, from the first block read to the first hole, or to
    the first height at which nodes disagree: that is S1's."""
    writes = {write.transaction: write.arguments for write in history.object_writes}
    blocks: dict[int, set[tuple[str, ...]]] = {}
    for block in history.blocks:
        blocks.setdefault(block.height, set()).add(block.transactions)
    objects, found = Objects(), dict[int, State]()
    for height in sorted(blocks):
        if len(blocks[height]) > 1 or (found and height - 1 not in found):
            break
        (transactions,) = blocks[height]
        for transaction in transactions:
            if transaction in writes:
                objects.apply(writes[transaction])
        found[height] = (objects.register, objects.balances)
    return found


def _wrong_values(reads: Iterable[ObjectRead], states: Mapping[int, State]) -> Iterator[Violation]:
    for read in reads:
        wanted = states.get(read.height)
        if wanted is not None and (read.register, read.balances) != wanted:
            yield _violation(
                f"{read.node} read register {read.register} and balances {list(read.balances)} at "
                f"height {read.height}, where the chain's writes make {wanted[0]} and "
                f"{list(wanted[1])}",
                read,
            )


def _lives(history: History, node: str) -> list[tuple[float, float]]:
    """From when to when it keeps what it had. Between what took it away and its return it may go
    back more than once: its rollup node may have kept less than its execution layer."""
    lost = [fault for fault in history.faults if node in fault.forgetting]
    back = (fault.healed and rejoined_at(history, fault, node) for fault in lost)
    begun = (math.inf if moment is None else moment for moment in back)
    return list(
        zip(
            sorted((-math.inf, *begun)),
            sorted((*(fault.requested for fault in lost), math.inf)),
            strict=True,
        )
    )


def _out_of_order(reads: list[ObjectRead]) -> Iterator[Violation]:
    """Of one node, whose reader has one question open at a time."""
    newest: ObjectRead | None = None
    for read in reads:
        newest = newest or read
        if read.height < newest.height:
            yield _violation(
                f"{read.node} read {_where(read)} after it had at height {newest.height}",
                newest,
                read,
            )
        newest = max(newest, read, key=lambda each: each.height)


def _forgotten(reads: list[ObjectRead], receipts: list[ReceiptSeen]) -> Iterator[Violation]:
    """Of one node."""
    waiting = sorted(receipts, key=lambda each: each.monotonic, reverse=True)
    newest: ReceiptSeen | None = None
    for read in sorted(reads, key=lambda each: each.asked):
        while waiting and waiting[-1].monotonic <= read.asked:
            seen = waiting.pop()
            newest = seen if newest is None or seen.height > newest.height else newest
        if newest is not None and newest.height > read.height:
            yield _violation(
                f"{read.node} read {_where(read)} after a receipt from height {newest.height}",
                newest,
                read,
            )


def _foreseen(history: History) -> Iterator[Violation]:
    """A read that knows a write, so answered after it was signed."""
    signed = {write.transaction: write for write in history.object_writes}
    included = {
        transaction: block.height
        for block in history.blocks
        for transaction in block.transactions
        if transaction in signed
    }
    writes = sorted((height, signed[each].monotonic, each) for each, height in included.items())[
        ::-1
    ]
    latest: ObjectWrite | None = None
    for read in sorted(history.object_reads, key=lambda each: each.height):
        while writes and writes[-1][0] <= read.height:
            write = signed[writes.pop()[2]]
            latest = write if latest is None or write.monotonic > latest.monotonic else latest
        if latest is not None and latest.monotonic > read.monotonic:
            yield _violation(
                f"{read.node} read {_where(read)} before a write of it was signed", latest, read
            )


def _where(read: ObjectRead) -> str:
    return f"at height {read.height}" if read.height else "no contract"


def _violation(summary: str, *witness: ObjectRead | ReceiptSeen | ObjectWrite) -> Violation:
    last = witness[-1]
    assert isinstance(last, ObjectRead)
    return Violation(
        checker=NAME,
        summary=summary,
        monotonic=last.monotonic,
        height=last.height or None,
        witness=witness,
    )
