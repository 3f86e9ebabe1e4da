"""Our trie against the published library, and against itself after a reload; what it lists as new
and stale is exactly what each version needs."""

from importlib import import_module
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dst.crypto.keccak import keccak256
from dst.execution.state.nodes import (
    EMPTY_REF,
    NodeStore,
    Ref,
    StateUnavailable,
    nothing_stored,
)
from dst.execution.state.trie import Entry, Trie, TrieChange, ordered_root, to_nibbles

HexaryTrie: Any = import_module("trie").HexaryTrie

crowded = st.lists(st.sampled_from((0x00, 0x01, 0x10, 0x11)), min_size=1, max_size=4).map(bytes)
"""Long shared prefixes: extensions that fork in every way."""
keys = st.one_of(st.binary(min_size=1, max_size=4), crowded)
values = st.one_of(st.just(b""), st.binary(min_size=1, max_size=40))
batches = st.lists(st.dictionaries(keys, values, max_size=12), min_size=1, max_size=5)


def change(
    nodes: dict[bytes, bytes], root: Ref, batch: dict[bytes, bytes], version: int
) -> TrieChange:
    """Apply with nothing remembered, so that all comes from `nodes`; keep what is new."""
    entries = [Entry(to_nibbles(key), value) for key, value in batch.items()]
    result = Trie(NodeStore(nodes.get), root).update(entries, version)
    nodes.update(result.nodes)
    return result


@settings(max_examples=300, deadline=None)
@given(batches)
def test_same_roots_as_the_library_over_batches_and_reloads(
    history: list[dict[bytes, bytes]],
) -> None:
    nodes: dict[bytes, bytes] = {}
    judge: Any = HexaryTrie({})
    content: dict[bytes, bytes] = {}
    root = EMPTY_REF
    for version, batch in enumerate(history, 1):
        for key, value in batch.items():
            if value:
                judge[key] = value
            elif content.get(key):
                del judge[key]
            content[key] = value
        root = change(nodes, root, batch, version).root
        assert root.hash == judge.root_hash
    reader = Trie(NodeStore(nodes.get), root)
    assert {key: reader.get(key) for key in content} == content


far = st.builds(
    lambda first, rest: b"\x00\x00" + first + rest,
    st.sampled_from([bytes((number,)) for number in range(0, 256, 5)]),
    st.sampled_from([b"a" * 29, b"b" * 29, b"a" * 28 + b"b"]),
)
"""Below two full bytes, where changes are made to packed branches."""


@settings(max_examples=200, deadline=None)
@given(
    st.sets(far, min_size=40, max_size=120),
    st.lists(
        st.dictionaries(
            far, st.one_of(st.just(b""), st.binary(min_size=1, max_size=40)), max_size=4
        ),
        max_size=6,
    ),
)
def test_a_few_changes_far_from_the_root(
    present: set[bytes], history: list[dict[bytes, bytes]]
) -> None:
    """Full branches, then single values put in, changed and taken out."""
    nodes: dict[bytes, bytes] = {}
    judge: Any = HexaryTrie({})
    content: dict[bytes, bytes] = {}
    root, alive = EMPTY_REF, set[bytes]()
    for version, batch in enumerate([dict.fromkeys(present, b"v" * 40), *history], 1):
        for key, value in batch.items():
            if value:
                judge[key] = value
            elif content.get(key):
                del judge[key]
            content[key] = value
        result = change(nodes, root, batch, version)
        root = result.root
        assert root.hash == judge.root_hash
        alive = alive - set(result.stale) | set(result.nodes)
        assert set(Trie(NodeStore(nodes.get), root).keys_of_nodes()) == alive
    reader = Trie(NodeStore(nodes.get), root)
    assert {key: reader.get(key) for key in content} == content


@settings(max_examples=300, deadline=None)
@given(batches)
def test_new_and_stale_nodes_account_for_every_version(history: list[dict[bytes, bytes]]) -> None:
    """After each batch the nodes of the new version are those of the old one, less the stale, plus
    the new: so deleting the stale of versions 1..n leaves exactly version n."""
    nodes: dict[bytes, bytes] = {}
    root = EMPTY_REF
    alive: set[bytes] = set()
    for version, batch in enumerate(history, 1):
        result = change(nodes, root, batch, version)
        assert len(set(result.stale)) == len(result.stale)
        assert set(result.stale) <= alive
        assert not alive & set(result.nodes)
        alive = alive - set(result.stale) | set(result.nodes)
        root = result.root
        assert set(Trie(NodeStore(nodes.get), root).keys_of_nodes()) == alive


@settings(max_examples=100, deadline=None)
@given(st.sets(st.binary(min_size=1, max_size=3), min_size=1), st.binary(min_size=1, max_size=3))
def test_proofs_are_the_librarys(present: set[bytes], wanted: bytes) -> None:
    """Hashed keys, as states have them; of those that are there and of others."""
    nodes: dict[bytes, bytes] = {}
    batch = {bytes(keccak256(key)): b"value of " + key for key in present}
    root = change(nodes, EMPTY_REF, batch, 1).root
    judge: Any = HexaryTrie({})
    for key, value in batch.items():
        judge[key] = value
    for key in (*batch, keccak256(wanted)):
        proof = Trie(NodeStore(nodes.get), root).proof(key)
        assert [keccak256(proof[0])] == [root.hash]
        assert HexaryTrie.get_from_proof(
            root.hash, key, [import_module("rlp").decode(node) for node in proof]
        ) == batch.get(key, b"")


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=300))
def test_ordered_root(values: list[bytes]) -> None:
    import rlp

    judge: Any = HexaryTrie({})
    for index, value in enumerate(values):
        judge[rlp.encode(index)] = value
    assert ordered_root(values) == judge.root_hash


def test_an_old_root_stays_readable() -> None:
    nodes: dict[bytes, bytes] = {}
    old = change(nodes, EMPTY_REF, {b"key": b"old"}, 1).root
    change(nodes, old, {b"key": b"new", b"other": b"x" * 40}, 2)
    reader = Trie(NodeStore(nodes.get), old)
    assert (reader.get(b"key"), reader.get(b"other")) == (b"old", b"")


def test_the_same_contents_under_two_versions_share_nothing() -> None:
    """Two branches of the chain may agree; letting one go must not harm the other."""
    nodes: dict[bytes, bytes] = {}
    batch = {number.to_bytes(4, "big"): b"v" * 40 for number in range(50)}
    first = change(nodes, EMPTY_REF, batch, 1)
    second = change(nodes, EMPTY_REF, batch, 2)
    assert first.root.hash == second.root.hash
    assert not set(first.nodes) & set(second.nodes)
    for key in first.nodes:
        del nodes[key]
    assert Trie(NodeStore(nodes.get), second.root).get((7).to_bytes(4, "big")) == b"v" * 40


def test_a_tail_travels_with_its_leaf() -> None:
    """Inserting beside a leaf and deleting its neighbour move it; the tail stays its own."""
    nodes: dict[bytes, bytes] = {}
    store = NodeStore(nodes.get)

    def apply(root: Ref, version: int, *entries: Entry) -> Ref:
        result = Trie(store, root).update(entries, version)
        nodes.update(result.nodes)
        return result.root

    near, far = keccak256(b"\x01"), keccak256(b"\x02")
    root = apply(EMPTY_REF, 1, Entry(to_nibbles(near), b"x" * 70, 7))
    root = apply(root, 2, Entry(to_nibbles(far), b"y" * 70))
    assert Trie(store, root).find(near) == (b"x" * 70, 7)
    root = apply(root, 3, Entry(to_nibbles(far), b""))
    assert Trie(store, root).find(near) == (b"x" * 70, 7)


def test_a_full_cache_forgets_and_reads_again() -> None:
    nodes: dict[bytes, bytes] = {}
    batch = {number.to_bytes(4, "big"): b"v" * 40 for number in range(200)}
    root = change(nodes, EMPTY_REF, batch, 1).root
    store = NodeStore(nodes.get, limit_bytes=1_000)
    assert all(Trie(store, root).get(key) == value for key, value in batch.items())
    assert store.statistics.bytes <= 1_000 + 2 * 700, "half of it may be exceeded by one node"
    assert store.statistics.misses > len(nodes)


def test_a_node_that_is_gone_is_an_unavailable_state() -> None:
    with pytest.raises(StateUnavailable, match="pruned"):
        Trie(NodeStore(nothing_stored), Ref(keccak256(b"gone"), 1)).get(b"key")
