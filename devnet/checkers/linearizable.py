"""S18 linearizable objects: at each node, a register and a bank behave as if one client after
another used them, in the order of the chain.

The order needs no search: every read names the block that it was read at. So it is linearizable
(Herlihy and Wing, 1990) if each read is what the chain's writes up to that block make of the
objects, blocks do not go back from one read to a later one, a read after a receipt knows of that
write, and none knows of a write that was not asked for yet. A node may be behind another one: that
they agree in the end is what S1 and S8 say.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from devnet.checkers.base import judge
from devnet.model.history import EventKind, History, ObjectRead, ObjectWrite, ReceiptSeen
from devnet.model.verdict import Verdict, Violation

NAME: Final = "S18 linearizable objects"
ACCOUNTS: Final = 4
COINS: Final = 100


@dataclass(slots=True)
class Objects:
    """The sequential specification."""

    register: int = 0
    balances: tuple[int, ...] = ()

    def apply(self, arguments: tuple[int, ...]) -> None:
        """() creates, (value) sets, (from, to, amount) moves, or changes nothing when there are not
        so many; what comes before the creation goes nowhere."""
        if not arguments:
            self.balances = self.balances or (COINS,) * ACCOUNTS
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
    states = states_by_height(history)
    judged = [
        read
        for read in history.object_reads
        if read.height in states and read.asked > _last_reset(history)
    ]
    by_node: dict[str, list[ObjectRead]] = {}
    for read in judged:
        by_node.setdefault(read.node, []).append(read)
    found = [*_wrong_values(judged, states)]
    for node, reads in by_node.items():
        found += _out_of_order(reads)
        found += _forgotten(reads, [each for each in history.receipts if each.node == node])
    found += _foreseen(judged, history)
    return judge(NAME, found, looked_at=len(judged), what="read{s}")


def _last_reset(history: History) -> float:
    """What L1 took back was read as it was before: nothing is said of it."""
    resets = (each.monotonic for each in history.events if each.kind is EventKind.RESET)
    return max(resets, default=float("-inf"))


def states_by_height(history: History) -> dict[int, tuple[int, tuple[int, ...]]]:
    """Height -> register and balances after it, as far as the blocks were read without a hole from
    the creation on."""
    writes = {write.transaction: write.arguments for write in history.object_writes}
    blocks = {block.height: block for block in history.blocks}
    objects, found = Objects(), {}
    for height in sorted(blocks):
        if height - 1 not in blocks and objects.balances:
            break
        for transaction in blocks[height].transactions:
            if transaction in writes:
                objects.apply(writes[transaction])
        if objects.balances:
            found[height] = (objects.register, objects.balances)
    return found


def _wrong_values(
    reads: list[ObjectRead], states: dict[int, tuple[int, tuple[int, ...]]]
) -> Iterator[Violation]:
    for read in reads:
        wanted = states[read.height]
        if (read.register, read.balances) != wanted:
            yield _violation(
                f"{read.node} read register {read.register} and balances {list(read.balances)} at "
                f"height {read.height}, where the chain's writes make {wanted[0]} and "
                f"{list(wanted[1])}",
                read,
            )


def _out_of_order(reads: list[ObjectRead]) -> Iterator[Violation]:
    """A reader has one question open at a time."""
    newest = reads[0]
    for read in reads:
        if read.height < newest.height:
            yield _violation(
                f"{read.node} read at height {read.height} after it had at {newest.height}",
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
                f"{read.node} read at height {read.height} after a receipt from {newest.height}",
                newest,
                read,
            )


def _foreseen(reads: list[ObjectRead], history: History) -> Iterator[Violation]:
    signed = {write.transaction: write for write in history.object_writes}
    at_height: dict[int, ObjectWrite] = {}
    for block in history.blocks:
        for transaction in block.transactions:
            if transaction in signed:
                write = signed[transaction]
                before = at_height.setdefault(block.height, write)
                at_height[block.height] = max(before, write, key=lambda each: each.monotonic)
    for read in reads:
        late = at_height.get(read.height)
        if late is not None and late.monotonic > read.monotonic:
            yield _violation(
                f"{read.node} read a write at height {read.height} before it was signed", late, read
            )


def _violation(summary: str, *witness: ObjectRead | ReceiptSeen | ObjectWrite) -> Violation:
    last = witness[-1]
    assert isinstance(last, ObjectRead)
    return Violation(
        checker=NAME,
        summary=summary,
        monotonic=last.monotonic,
        height=last.height,
        witness=witness,
    )
