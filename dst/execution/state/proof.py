"""Merkle proofs: the encoded trie nodes from a root towards a key. Source: EIP-1186, yellow paper
appendix D."""

from collections.abc import Callable
from typing import Final

from dst.execution.state.trie import EMPTY_ROOT, to_nibbles
from dst.spec import rlp

Load = Callable[[bytes], bytes]
"""Encoded node by hash."""

_BRANCH: Final = 17
_LEAF_FLAG: Final = 2
_ODD_FLAG: Final = 1


def prove(load: Load, root: bytes, key: bytes) -> tuple[list[bytes], bytes]:
    """Nodes on the way to `key` (hashed already), the root first, and the value there.

    Where the key is absent the nodes prove that, and the value is b"". A node shorter than 32 bytes
    is inside its parent and not listed.
    """
    proof: list[bytes] = []
    path = to_nibbles(key)
    child: rlp.Item = b"" if root == EMPTY_ROOT else root
    while child:
        if isinstance(child, list):
            node = child
        else:
            proof.append(load(child))
            node = rlp.decode_list(proof[-1])
        child, path, found = _step(node, path)
        if found is not None:
            return proof, found
    return proof, b""


def _step(node: list[rlp.Item], path: bytes) -> tuple[rlp.Item, bytes, bytes | None]:
    """The next child (b"": none), the path below it, and the value when the path ends here."""
    if len(node) == _BRANCH:
        if not path:
            return b"", b"", rlp.to_bytes(node[16], what="value")
        return node[path[0]], path[1:], None
    own, is_leaf = _own_path(rlp.to_bytes(node[0], what="trie path"))
    if path[: len(own)] != own:
        return b"", path, None
    rest = path[len(own) :]
    if not is_leaf:
        return node[1], rest, None
    return b"", rest, b"" if rest else rlp.to_bytes(node[1], what="value")


def _own_path(compact: bytes) -> tuple[bytes, bool]:
    """Hex-prefix decoding."""
    nibbles = to_nibbles(compact)
    own = nibbles[1:] if nibbles[0] & _ODD_FLAG else nibbles[2:]
    return own, bool(nibbles[0] & _LEAF_FLAG)
