"""Whom a rollup node believes."""

import pytest

from dst.rollup.trust import CertificateVerifier
from dst.spec.errors import InvalidInput
from dst.spec.primitives import Hash32
from tests.unit.rollup.rollup_bench import certify, make_chain, make_lock


def test_a_quorum_of_this_cluster_is_believed() -> None:
    lock = make_lock()
    (block,) = make_chain(lock, 1)
    certificate = certify(lock, block).certificate
    CertificateVerifier(lock).check(certificate, certificate.root)


def test_certificates_of_an_earlier_cluster_of_the_same_operators_prove_nothing() -> None:
    """Same identities, chain id and term, but dealt anew on another genesis."""
    earlier, lock = make_lock(l2_genesis_hash=Hash32(b"\x61" * 32)), make_lock()
    assert earlier.chain.chain_id == lock.chain.chain_id
    (block,) = make_chain(lock, 1)
    certificate = certify(earlier, block).certificate
    with pytest.raises(InvalidInput, match="not a quorum"):
        CertificateVerifier(lock).check(certificate, certificate.root)
