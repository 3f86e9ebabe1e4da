"""Why a transaction left the pool: a bounded memory, so that its sender can ask."""

from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from dst.spec.primitives import Hash32

MAX_REMEMBERED: Final = 65_536
"""About 140 full blocks of transfers, 30 MB at most; what left longest ago is forgotten first."""


class Fate(StrEnum):
    """How a transaction left without being in a block here; a closed list."""

    REPLACED = "replaced"
    """Another one of its sender with its nonce paid more."""
    EVICTED = "evicted"
    """The pool was full of better paying ones."""
    DROPPED = "dropped"
    """It cannot be in a block any more: `detail` names the rule."""
    TOO_HEAVY = "too_heavy"
    """It was not executed within the whole time that a block has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    fate: Fate
    detail: str
    """A word of a closed list for programs: a `Reason`, or "pool_full"."""
    message: str
    """For a person."""
    replaced_by: Hash32 | None = None


class Departures:
    def __init__(self, limit: int = MAX_REMEMBERED) -> None:
        self._limit = limit
        self._by_hash: OrderedDict[Hash32, Departure] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_hash)

    def note(self, transaction_hash: Hash32, departure: Departure) -> None:
        self._by_hash[transaction_hash] = departure
        self._by_hash.move_to_end(transaction_hash)
        while len(self._by_hash) > self._limit:
            self._by_hash.popitem(last=False)

    def get(self, transaction_hash: Hash32) -> Departure | None:
        return self._by_hash.get(transaction_hash)

    def forget(self, transaction_hash: Hash32) -> None:
        """It waits again."""
        self._by_hash.pop(transaction_hash, None)
