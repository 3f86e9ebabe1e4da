"""What is known of transactions that a block had no time for (docs/heavy-transactions.md).

Gas does not price an interpreter, so the only way to know is to try: in a normal block within a
share of its time, then alone with the whole of it. This book counts the tries, says when to give
up, and remembers what was called, so that the same call is refused when it is submitted again.
Heights are those of the head that a build extends.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from dst.crypto.keccak import keccak256
from dst.spec.primitives import Hash32
from dst.transactions.transaction import Transaction

TRIES_ALONE: Final = 2
"""A busy machine may spoil one. Each failed one costs the chain a block without transactions."""
REFUSED_FOR_HEIGHTS: Final = 256
"""State changes, and with it what a call costs; after this many blocks it may be tried again."""
CALLS_TO_A_FUNCTION: Final = 3
"""So many different calls of one function that proved too heavy, and any call of it with as much
gas is refused: whoever varies the calldata gains three tries, not endless ones."""
MAX_ENTRIES: Final = 4_096
SELECTOR_BYTES: Final = 4


class Verdict(StrEnum):
    AGAIN = "again"
    """Alone, in a later block of ours."""
    TOO_HEAVY = "too_heavy"


class Call(NamedTuple):
    """What a transaction runs: code, and what it is given."""

    code_hash: bytes
    """Empty for a creation."""
    selector: bytes
    digest: bytes
    """Keccak of all calldata; empty stands for every call of the function."""

    @property
    def function(self) -> "Call":
        return self._replace(digest=b"")


def call_of(transaction: Transaction, code_hash: bytes) -> Call:
    """`code_hash`: of the code that runs, the delegate's for an account that delegates."""
    data = transaction.data
    if transaction.is_create:
        return Call(b"", b"", keccak256(data))
    return Call(code_hash, data[:SELECTOR_BYTES], keccak256(data))


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
    calls: set[bytes] = field(default_factory=set)
    """Digests of the different calls, as many as matter."""


class HeavyBook:
    def __init__(self) -> None:
        self._attempts: OrderedDict[Hash32, Attempts] = OrderedDict()
        self._proofs: OrderedDict[Call, _Proof] = OrderedDict()

    def attempts(self, transaction_hash: Hash32) -> Attempts | None:
        return self._attempts.get(transaction_hash)

    def note_failure(self, transaction_hash: Hash32, *, seconds: float, alone: bool) -> Verdict:
        """A try ended without the transaction in a block of the chain."""
        tried = self._attempts.setdefault(transaction_hash, Attempts(seconds=seconds))
        tried.seconds = max(tried.seconds, seconds)
        tried.alone += alone
        self._bound(self._attempts)
        return Verdict.TOO_HEAVY if tried.alone >= TRIES_ALONE else Verdict.AGAIN

    def prove(self, transaction: Transaction, call: Call, height: int) -> None:
        """It was given up: remember the call."""
        self._attempts.pop(transaction.hash, None)
        for key in (call, call.function):
            proof = self._proofs.get(key)
            if proof is None or height - proof.height > REFUSED_FOR_HEIGHTS:
                proof = self._proofs[key] = _Proof(gas=transaction.gas, height=height)
            proof.gas, proof.height = min(proof.gas, transaction.gas), height
            if len(proof.calls) < CALLS_TO_A_FUNCTION:
                proof.calls.add(call.digest)
            self._proofs.move_to_end(key)
        self._bound(self._proofs)

    def refuses(self, call: Call, gas: int, height: int) -> bool:
        """Whether this call with this gas is known to be too heavy."""
        exact, function = self._proofs.get(call), self._proofs.get(call.function)
        if exact is not None and _holds(exact, gas, height):
            return True
        return (
            function is not None
            and len(function.calls) >= CALLS_TO_A_FUNCTION
            and _holds(function, gas, height)
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


def _holds(proof: _Proof, gas: int, height: int) -> bool:
    return gas >= proof.gas and height - proof.height <= REFUSED_FOR_HEIGHTS
