"""Whom this node believes: the group's signature on blocks, a quorum's on certificates. Pure."""

from collections.abc import Callable
from typing import TypeAlias

from dst.crypto import bls
from dst.crypto.committee import committee_of
from dst.qbft.justification import is_valid_certificate
from dst.qbft.messages import Certificate
from dst.spec.cluster import ClusterLock, lock_proposer_domain
from dst.spec.domains import signing_root
from dst.spec.errors import InvalidInput
from dst.spec.primitives import G2_POINT_AT_INFINITY, BLSSignature, Root

VerifySeal: TypeAlias = Callable[[Root, BLSSignature], bool]


class GroupVerifier:
    """Does the group key's signature over a block root hold in this chain's domain?"""

    def __init__(self, lock: ClusterLock) -> None:
        self._key = lock.group_public_key
        self._domain = lock_proposer_domain(lock)

    def __call__(self, root: Root, signature: BLSSignature) -> bool:
        if signature == G2_POINT_AT_INFINITY:
            return False
        return bls.verify(self._key, signing_root(root, self._domain), signature)


class CertificateVerifier:
    """Is a commit certificate a quorum of this cluster's operators, in this term?"""

    def __init__(self, lock: ClusterLock) -> None:
        self._committee = committee_of(lock)

    def check(self, certificate: Certificate, root: Root) -> None:
        """Raises: InvalidInput unless the certificate decides the block with this root."""
        if certificate.root != root:
            raise InvalidInput("certificate: it decides another root than the block's")
        if not is_valid_certificate(certificate, self._committee):
            raise InvalidInput("certificate: not a quorum of valid commits of this cluster's term")
