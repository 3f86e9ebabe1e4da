"""Who votes: what anybody needs to check a vote, a quorum or a certificate."""

from collections.abc import Callable
from dataclasses import dataclass

from dst.spec.primitives import OperatorIndex, Root, Term


@dataclass(frozen=True, slots=True, kw_only=True)
class Committee:
    """The n operators of a cluster in one term, by index. Quorum, faults tolerated and the leader
    of a round are functions of n (`dst.spec.primitives`).

    genesis_validators_root: identity of the chain (32 bytes), part of everything that is signed.
    verify: is `signature` over `digest` by operator `index`? False for anything malformed; pure, so
        it may cache.
    """

    genesis_validators_root: Root
    term: Term
    n: int
    verify: Callable[[OperatorIndex, bytes, bytes], bool]
