"""Bugs by name: what each does, in which programs it sits, and whose checker has to say so. For the
harness, to which `dst` is a black box."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Bug(StrEnum):
    STALE_READS = "stale-reads"
    WRONG_BALANCE = "wrong-balance"
    MOVED_RECEIPTS = "moved-receipts"
    LOST_TRANSACTIONS = "lost-transactions"
    DOUBLE_SIGNATURE = "double-signature"


PREFIX: Final = "dst_"
"""Of every metric's name, where it is read."""
SHOWN: Final = "seeded_bug_shown_total"
"""How often it did what it is named after; label `bug`."""
IS_SEEDED: Final = "seeded_bug"
"""1 while it is there; label `bug`. The shipped program has no such metric."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    does: str
    breaks: str
    """Number of the invariant."""
    roles: tuple[str, ...] = ("execution",)
    """The first one counts, and so proves it."""


KNOWN: Final[Mapping[Bug, Known]] = {
    Bug.STALE_READS: Known(
        does="answers every other call on `latest` from the state of some blocks before",
        breaks="S18",
    ),
    Bug.WRONG_BALANCE: Known(
        does="runs calls on a state in which the first account of a contract (its storage slot 1) "
        "holds one coin more",
        breaks="S18",
    ),
    Bug.MOVED_RECEIPTS: Known(
        does="names another index than the transaction's in each receipt",
        breaks="S4/S5",
    ),
    Bug.LOST_TRANSACTIONS: Known(
        does="answers the hash of a client's transaction, and forgets it",
        breaks="L6",
    ),
    Bug.DOUBLE_SIGNATURE: Known(
        does="signs a block of its own beside each decided one: the validator asks no slashing "
        "protection, and its middleware does not look whether it is the decided block",
        breaks="S12",
        roles=("middleware", "validator"),
    ),
}


def table() -> str:
    """Markdown."""
    rows = [
        f"| `{name}` | {known.does} | {', '.join(known.roles)} | {known.breaks} |"
        for name, known in KNOWN.items()
    ]
    return "\n".join(("| `bug` | such a node | in its | breaks |", "|---|---|---|---|", *rows))
