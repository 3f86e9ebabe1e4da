"""Our trie against the published library, and against itself after a reload."""

from importlib import import_module
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dst.execution.state.trie import EMPTY_ROOT, NodeCache, Trie, ordered_root

HexaryTrie: Any = import_module("trie").HexaryTrie

keys = st.binary(min_size=1, max_size=4)
operations = st.lists(st.tuples(keys, st.one_of(st.just(b""), st.binary(min_size=1, max_size=40))))


@settings(max_examples=300, deadline=None)
@given(st.lists(operations, min_size=1, max_size=4))
def test_same_roots_as_the_library_over_commits_and_reloads(
    batches: list[list[tuple[bytes, bytes]]],
) -> None:
    nodes: dict[bytes, bytes] = {}
    judge: Any = HexaryTrie({})
    content: dict[bytes, bytes] = {}
    root: bytes = EMPTY_ROOT
    for batch in batches:
        trie = Trie(NodeCache(nodes.__getitem__), root)  # nothing remembered: all from the store
        for key, value in batch:
            trie.set(key, value)
            content[key] = value
            if value:
                judge[key] = value
            elif key in judge:
                del judge[key]
        root, new = trie.commit()
        nodes.update(new)
        assert root == judge.root_hash
    reader = Trie(NodeCache(nodes.__getitem__), root)
    assert {key: reader.get(key) for key in content} == content


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=140))
def test_ordered_root(values: list[bytes]) -> None:
    import rlp

    judge: Any = HexaryTrie({})
    for index, value in enumerate(values):
        judge[rlp.encode(index)] = value
    assert ordered_root(values) == judge.root_hash


def test_an_old_root_stays_readable() -> None:
    nodes: dict[bytes, bytes] = {}
    cache = NodeCache(nodes.__getitem__)
    trie = Trie(cache)
    trie.set(b"key", b"old")
    old, new = trie.commit()
    nodes.update(new)
    trie.set(b"key", b"new")
    trie.set(b"other", b"x" * 40)
    nodes.update(trie.commit()[1])
    assert Trie(cache, old).get(b"key") == b"old"
    assert Trie(cache, old).get(b"other") == b""


def test_a_full_cache_forgets_and_reads_again() -> None:
    nodes: dict[bytes, bytes] = {}
    cache = NodeCache(nodes.__getitem__, limit=4)
    trie = Trie(cache)
    for number in range(200):
        trie.set(number.to_bytes(4, "big"), b"v" * 40)
    root, new = trie.commit()
    nodes.update(new)
    assert all(Trie(cache, root).get(n.to_bytes(4, "big")) == b"v" * 40 for n in range(200))
