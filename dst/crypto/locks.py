"""The signatures that make a cluster definition a lock: every operator's, and the group's.

A lock is one only with its signatures checked, so the one loader that everybody uses lives here.
"""

import json
from pathlib import Path

from dst.crypto import bls, secp256k1
from dst.crypto.tbls import recover_group_public_key
from dst.spec.cluster import (
    MAX_CLUSTER_FILE_BYTES,
    ClusterLock,
    check_structure,
    from_jsonable,
    lock_domain,
    lock_hash,
)
from dst.spec.domains import signing_root
from dst.spec.errors import BadConfig, InvalidInput
from dst.spec.primitives import Root, ShareIndex


def lock_signing_root(lock: ClusterLock) -> Root:
    """What the group key signs: the lock's hash under a domain that no block shares."""
    return signing_root(Root(lock_hash(lock)), lock_domain(lock))


def load_lock(path: Path | str) -> ClusterLock:
    """Read and verify a lock file.

    Raises: BadConfig, saying what is wrong with the file and what to do.
    """
    path = Path(path)
    advice = "use the cluster-lock.json that `dst cluster create` wrote for this cluster"
    try:
        if path.stat().st_size > MAX_CLUSTER_FILE_BYTES:
            raise InvalidInput(f"larger than {MAX_CLUSTER_FILE_BYTES} bytes")
        lock = from_jsonable(ClusterLock, json.loads(path.read_bytes()))
        verify_lock(lock)
    except OSError as error:
        raise BadConfig(f"lock file {path}: {error.strerror or error}; {advice}") from error
    except (ValueError, RecursionError) as error:
        raise BadConfig(f"lock file {path}: not JSON ({error}); {advice}") from error
    except InvalidInput as error:
        raise BadConfig(f"lock file {path}: {error}; {advice}") from error
    return lock


def verify_lock(lock: ClusterLock) -> None:
    """Structure, all n operator signatures, the group's signature, and that the share keys belong
    to the group key.

    Raises: InvalidInput saying what does not hold.
    """
    check_structure(lock)
    verify_lock_signatures(lock)


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
