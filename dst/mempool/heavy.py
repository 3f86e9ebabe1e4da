"""What is known of transactions that a block had no time for (docs/heavy-transactions.md).

Gas does not price an interpreter, so the only way to know is to try: in a normal block within a
share of its time, then alone with the whole of it. This book counts the tries, says when to give
up, and remembers what was called, so that the same call is refused when it is submitted again.
Heights are those of the head that a build extends.
"""

from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from dst.crypto.keccak import keccak256
from dst.spec.primitives import Address, Hash32
from dst.transactions.transaction import Transaction

TRIES_ALONE: Final = 2
"""A busy machine may spoil one. Each failed one costs the chain a block without transactions."""
REFUSED_FOR_HEIGHTS: Final = 256
"""State changes, and with it what a call costs; after this many blocks it may be tried again."""
MAX_ENTRIES: Final = 4_096


class Verdict(StrEnum):
    AGAIN = "again"
    """Alone, in a later block of ours."""
    TOO_HEAVY = "too_heavy"


class Call(NamedTuple):
    """What a transaction runs: code, what it is given, and for whom.

    No wider than that: what is heavy for one sender may be light for another, and refusing it to
    all would let anybody shut others out of a contract for nothing.
    """

    code_hash: bytes
    """Empty for a creation."""
    digest: bytes
    """Keccak of the calldata, of the init code for a creation."""
    sender: Address


def call_of(transaction: Transaction, code_hash: bytes) -> Call:
    """`code_hash`: of the code that runs, the delegate's for an account that delegates."""
    code = b"" if transaction.is_create else code_hash
    return Call(code, keccak256(transaction.data), transaction.sender)


@dataclass(slots=True, kw_only=True)
class Attempts:
    """Tries of one transaction that ended without it in a block."""

    seconds: float
    """Most CPU time given to it; it needs more."""
    alone: int = 0


@dataclass(slots=True, kw_only=True)
class _Proof:
    gas: int
    """Least gas that proved too heavy: a call with less may run out before it is too slow."""
    height: int


class HeavyBook:
    def __init__(self) -> None:
        self._attempts: OrderedDict[Hash32, Attempts] = OrderedDict()
        self._proofs: OrderedDict[Call, _Proof] = OrderedDict()

    def attempts(self, transaction_hash: Hash32) -> Attempts | None:
        return self._attempts.get(transaction_hash)

    def note_failure(
        self, transaction_hash: Hash32, *, seconds: float, alone: bool, proves: bool = False
    ) -> Verdict:
        """A try ended without the transaction in a block of the chain. `proves`: it had all the
        time that there ever is."""
        tried = self._attempts.setdefault(transaction_hash, Attempts(seconds=seconds))
        tried.seconds = max(tried.seconds, seconds)
        tried.alone += alone
        self._bound(self._attempts)
        return Verdict.TOO_HEAVY if proves or tried.alone >= TRIES_ALONE else Verdict.AGAIN

    def prove(self, transaction: Transaction, call: Call, height: int) -> None:
        """It was given up: remember the call."""
        self._attempts.pop(transaction.hash, None)
        proof = self._proofs.get(call)
        if proof is None or height - proof.height > REFUSED_FOR_HEIGHTS:
            proof = self._proofs[call] = _Proof(gas=transaction.gas, height=height)
        proof.gas, proof.height = min(proof.gas, transaction.gas), height
        self._proofs.move_to_end(call)
        self._bound(self._proofs)

    def refuses(self, call: Call, gas: int, height: int) -> bool:
        """Whether this call with this gas is known to be too heavy."""
        proof = self._proofs.get(call)
        return (
            proof is not None and gas >= proof.gas and height - proof.height <= REFUSED_FOR_HEIGHTS
        )

    @property
    def is_empty(self) -> bool:
        """Nothing was proved: the usual case, in which nobody need look up a code hash."""
        return not self._proofs

    def forget(self, transaction_hash: Hash32) -> None:
        """It left the pool."""
        self._attempts.pop(transaction_hash, None)

    @staticmethod
    def _bound(table: "OrderedDict[Hash32, Attempts] | OrderedDict[Call, _Proof]") -> None:
        while len(table) > MAX_ENTRIES:
            table.popitem(last=False)
