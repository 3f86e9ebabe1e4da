"""The committee of a cluster lock: its operators' identity keys check their votes."""

from functools import lru_cache
from typing import Final

from dst.crypto import secp256k1
from dst.spec.cluster import ClusterLock, genesis_validators_root
from dst.spec.committee import Committee
from dst.spec.primitives import OperatorIndex, Term

CACHED_SIGNATURES: Final = 8192
"""A vote is verified when it arrives, and again inside certificates and justifications."""


def committee_of(lock: ClusterLock) -> Committee:
    identities = tuple(operator.identity for operator in lock.operators)

    @lru_cache(CACHED_SIGNATURES)
    def verify(index: OperatorIndex, digest: bytes, signature: bytes) -> bool:
        return secp256k1.verify(identities[index], digest, signature)

    return Committee(
        genesis_validators_root=genesis_validators_root(lock),
        term=Term(lock.chain.term),
        n=lock.n,
        verify=verify,
    )
