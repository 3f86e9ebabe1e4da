"""The signatures that make a cluster definition a lock: every operator's, and the group's."""

from dst.crypto import bls, secp256k1
from dst.crypto.tbls import recover_group_public_key
from dst.spec.cluster import ClusterLock, lock_domain, lock_hash
from dst.spec.domains import signing_root
from dst.spec.errors import InvalidInput
from dst.spec.primitives import Root, ShareIndex


def lock_signing_root(lock: ClusterLock) -> Root:
    """What the group key signs: the lock's hash under a domain that no block shares."""
    return signing_root(Root(lock_hash(lock)), lock_domain(lock))


def verify_lock_signatures(lock: ClusterLock) -> None:
    """Check what only keys can prove. Raises: InvalidInput naming the operator or key at fault."""
    digest = lock_hash(lock)
    for operator, signature in zip(lock.operators, lock.operator_signatures, strict=True):
        if not secp256k1.verify(operator.identity, digest, signature):
            raise InvalidInput(f"signature of operator {operator.name} does not verify")
    check_share_keys(lock)
    if not bls.verify(lock.group_public_key, lock_signing_root(lock), lock.group_signature):
        raise InvalidInput("the group's signature does not verify")


def check_share_keys(lock: ClusterLock) -> None:
    """All share keys must lie on one polynomial of degree threshold - 1 whose value at 0 is the
    group key.

    Each window of `threshold` neighbours must give the group key. Then, by induction, share i +
    threshold lies on the polynomial through its predecessors, since t - 1 of them and the group key
    fix that polynomial.
    """
    for first in range(1, lock.n - lock.threshold + 2):
        window = range(first, first + lock.threshold)
        shares = {ShareIndex(i): lock.share_public_keys[i - 1] for i in window}
        if recover_group_public_key(shares, lock.threshold) != lock.group_public_key:
            raise InvalidInput(
                f"share public keys {window.start}..{window.stop - 1} do not give the group key"
            )
