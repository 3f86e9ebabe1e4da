"""Cluster files: round trip, and every way in which a file can be broken or foreign."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dst.crypto.locks import load_lock
from dst.spec.cluster import (
    ChainConfig,
    ClusterLock,
    check_structure,
    from_jsonable,
    lock_hash,
    membership_root,
    to_jsonable,
)
from dst.spec.errors import BadConfig, InvalidInput
from dst.spec.primitives import BLSPubkey
from tests.unit.spec.sample_blocks import chain_config, unsigned_lock


def hashed(lock: ClusterLock) -> ClusterLock:
    return msgspec.structs.replace(lock, lock_hash=lock_hash(lock))


@pytest.mark.parametrize("n", [1, 4, 7, 10])
def test_round_trip_and_structure(n: int) -> None:
    lock = hashed(unsigned_lock(n))
    check_structure(lock)
    assert from_jsonable(ClusterLock, json.loads(json.dumps(to_jsonable(lock)))) == lock


def test_chain_round_trip() -> None:
    chain = chain_config(dev=True, l1_confirmations=0)
    assert from_jsonable(ChainConfig, json.loads(json.dumps(to_jsonable(chain)))) == chain


def test_hash_covers_everything_but_hash_and_signatures() -> None:
    lock = unsigned_lock()
    base = lock_hash(lock)
    changed = (
        msgspec.structs.replace(lock, group_public_key=BLSPubkey(b"\xa1" * 48)),
        msgspec.structs.replace(lock, share_public_keys=lock.share_public_keys[::-1]),
        unsigned_lock(chain_id=902),
        unsigned_lock(term=1),
        unsigned_lock(round_timeout_ms=999),
    )
    assert all(lock_hash(other) != base for other in changed)
    same = msgspec.structs.replace(lock, lock_hash=b"\1" * 32, operator_signatures=())
    assert lock_hash(same) == base


def test_membership_root_follows_the_members() -> None:
    lock = unsigned_lock()
    other = msgspec.structs.replace(lock, share_public_keys=lock.share_public_keys[::-1])
    assert membership_root(lock) != membership_root(other)
    first, *rest = lock.operators
    stranger = msgspec.structs.replace(first, identity=b"\x02" + bytes(32))
    assert membership_root(lock) != membership_root(_definition(lock, operators=(stranger, *rest)))
    assert membership_root(lock) == membership_root(unsigned_lock(chain_id=902))


def _definition(lock: ClusterLock, **changes: Any) -> ClusterLock:
    definition = msgspec.structs.replace(lock.definition, **changes)
    return msgspec.structs.replace(lock, definition=definition)


@pytest.mark.parametrize(
    ("break_it", "complaint"),
    [
        (lambda lock: lock, "lock_hash does not match"),
        (lambda lock: hashed(_definition(lock, n=5)), "not of the form"),
        (lambda lock: hashed(_definition(lock, threshold=2)), "threshold must be 3"),
        (lambda lock: hashed(_definition(lock, operators=lock.operators[:3])), "expected 4"),
        (lambda lock: hashed(_definition(lock, operators=lock.operators[::-1])), "numbered 1..n"),
        (
            lambda lock: hashed(
                msgspec.structs.replace(lock, share_public_keys=lock.share_public_keys[:1] * 4)
            ),
            "share one share public key",
        ),
        (lambda lock: hashed(msgspec.structs.replace(lock, version=2)), "version 2"),
        (lambda lock: hashed(unsigned_lock(extra_data=bytes(33))), "extra_data"),
    ],
)
def test_structure_refusals(break_it: Any, complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        check_structure(break_it(unsigned_lock()))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda tree: tree.pop("group_public_key"), "group_public_key"),
        (lambda tree: tree.update(surprise=1), "surprise"),
        (lambda tree: tree.update(group_public_key="0x00"), "expected 48 bytes"),
        (lambda tree: tree.update(group_public_key=7), "0x-prefixed"),
        (lambda tree: tree["definition"]["chain"].update(seconds_per_slot=0), "seconds_per_slot"),
        (lambda tree: tree["definition"]["chain"].update(chain_id="1"), "chain_id"),
        (lambda tree: tree["definition"]["operators"].append({}), "operators"),
        (lambda tree: tree["definition"].update(name="a b/../c"), "name"),
    ],
)
def test_load_names_the_field_and_the_remedy(change: Any, complaint: str, tmp_path: Path) -> None:
    tree = to_jsonable(hashed(unsigned_lock()))
    change(tree)
    path = tmp_path / "cluster-lock.json"
    path.write_text(json.dumps(tree))
    with pytest.raises(BadConfig, match=complaint) as error:
        load_lock(path)
    assert "cluster-lock.json" in str(error.value)
    assert "dst cluster create" in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 900])
def test_load_of_what_is_not_a_lock(text: str, tmp_path: Path) -> None:
    path = tmp_path / "lock.json"
    path.write_text(text)
    with pytest.raises(BadConfig, match=r"lock\.json"):
        load_lock(path)


def test_load_of_a_missing_or_huge_file(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="No such file"):
        load_lock(tmp_path / "nothing.json")
    huge = tmp_path / "huge.json"
    huge.write_bytes(b" " * (2**20 + 1))
    with pytest.raises(BadConfig, match="larger than"):
        load_lock(huge)


def test_signatures_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "lock.json"
    path.write_text(json.dumps(to_jsonable(hashed(unsigned_lock()))))
    with pytest.raises(BadConfig, match="signature of operator op1"):
        load_lock(path)
