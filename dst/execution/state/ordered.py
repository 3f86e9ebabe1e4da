"""The root over a list (transactions, receipts, withdrawals of a block): a trie that is hashed and
never kept. Its keys depend on nothing but the length, so each length is laid out once."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from dst.crypto.keccak import keccak256
from dst.execution.state.node_format import EMPTY, compact_item, hash_item, to_nibbles
from dst.execution.state.nodes import EMPTY_ROOT
from dst.spec import rlp
from dst.spec.primitives import Hash32

LENGTHS_REMEMBERED: Final = 32
MAX_REMEMBERED: Final = 4_096
"""Longer lists are laid out anew: 32 such layouts would be 20 MB."""


def ordered_root(values: Sequence[bytes]) -> Hash32:
    """Root of the trie index -> value; values are not empty."""
    if not values:
        return EMPTY_ROOT
    lay_out = _remembered if len(values) <= MAX_REMEMBERED else _lay_out
    return keccak256(_node(lay_out(len(values)), values, 0))


def _lay_out(count: int) -> tuple[tuple[bytes, int], ...]:
    """(path in nibbles, index) in the order of paths. No path begins another: RLP delimits
    itself."""
    return tuple(sorted((to_nibbles(rlp.encode_int(index)), index) for index in range(count)))


_remembered = lru_cache(LENGTHS_REMEMBERED)(_lay_out)


def _node(keys: Sequence[tuple[bytes, int]], values: Sequence[bytes], at: int) -> bytes:
    """RLP of the node over `keys`, which agree in their first `at` nibbles."""
    first, index = keys[0]
    if len(keys) == 1:
        return rlp.encode_list(compact_item(first[at:], True), rlp.encode_bytes(values[index]))
    last, fork = keys[-1][0], at
    while first[fork] == last[fork]:
        fork += 1
    branch = _branch(keys, values, fork)
    if fork == at:
        return branch
    return rlp.encode_list(compact_item(first[at:fork], False), _item(branch))


def _branch(keys: Sequence[tuple[bytes, int]], values: Sequence[bytes], at: int) -> bytes:
    items = [EMPTY] * 17
    start, end = 0, len(keys)
    while start < end:
        nibble, stop = keys[start][0][at], start + 1
        while stop < end and keys[stop][0][at] == nibble:
            stop += 1
        items[nibble] = _item(_node(keys[start:stop], values, at + 1))
        start = stop
    return rlp.encode_list(*items)


def _item(encoded: bytes) -> bytes:
    return encoded if len(encoded) < 32 else hash_item(keccak256(encoded))
