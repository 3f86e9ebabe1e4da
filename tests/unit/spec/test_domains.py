"""Domains against the formulas of consensus-specs, computed by remerkleable; L1's fork versions are
refused.
"""

# remerkleable is untyped.
# mypy: disable-error-code="misc"

import pytest
from hypothesis import given
from hypothesis import strategies as st
from remerkleable.basic import uint64
from remerkleable.byte_arrays import Bytes4, Bytes32, Bytes48
from remerkleable.complex import Container

from dst.spec import domains
from dst.spec.errors import BadConfig
from dst.spec.primitives import BLSPubkey, Hash32, Root

GENESIS = Hash32(b"\x01" * 32)
KEY = BLSPubkey(b"\x02" * 48)


class ForkData(Container):
    current_version: Bytes4
    genesis_validators_root: Bytes32


class SigningData(Container):
    object_root: Bytes32
    domain: Bytes32


class ChainIdentity(Container):
    chain_id: uint64
    l2_genesis_hash: Bytes32
    group_public_key: Bytes48


def _expected_domain(domain_type: bytes) -> bytes:
    identity = ChainIdentity(chain_id=901, l2_genesis_hash=GENESIS, group_public_key=KEY)
    fork = ForkData(
        current_version=domains.compute_fork_version(901),
        genesis_validators_root=identity.hash_tree_root(),
    )
    return domain_type + bytes(fork.hash_tree_root())[:28]


def test_domains_are_those_of_the_specification() -> None:
    assert domains.proposer_domain(901, GENESIS, KEY) == _expected_domain(bytes(4))
    assert domains.randao_domain(901, GENESIS, KEY) == _expected_domain(b"\x02\0\0\0")


@given(
    root=st.binary(min_size=32, max_size=32), epoch=st.integers(min_value=0, max_value=2**64 - 1)
)
def test_signing_roots_are_those_of_the_specification(root: bytes, epoch: int) -> None:
    domain = domains.proposer_domain(901, GENESIS, KEY)
    expected = SigningData(object_root=root, domain=domain).hash_tree_root()
    assert domains.signing_root(Root(root), domain) == bytes(expected)
    reveal = SigningData(object_root=uint64(epoch).hash_tree_root(), domain=domain)
    assert domains.randao_signing_root(epoch, domain) == bytes(reveal.hash_tree_root())


def test_every_part_of_the_identity_separates() -> None:
    variants = [
        domains.proposer_domain(901, GENESIS, KEY),
        domains.proposer_domain(902, GENESIS, KEY),
        domains.proposer_domain(901, Hash32(bytes(32)), KEY),
        domains.proposer_domain(901, GENESIS, BLSPubkey(bytes(48))),
        domains.randao_domain(901, GENESIS, KEY),
        domains.compute_domain(domains.DOMAIN_CLUSTER_LOCK, 901, GENESIS, KEY),
    ]
    assert len(set(variants)) == len(variants)


@given(chain_id=st.integers(min_value=1, max_value=2**53))
def test_no_chain_id_leads_to_an_l1_fork_version(chain_id: int) -> None:
    assert domains.compute_fork_version(chain_id) not in domains.KNOWN_L1_FORK_VERSIONS


@pytest.mark.parametrize("version", ["00000000", "05000000", "90000069", "60000910", "01017000"])
def test_l1_fork_versions_are_refused(version: str) -> None:
    with pytest.raises(BadConfig, match="belongs to an L1"):
        domains.refuse_l1_fork_version(bytes.fromhex(version))
