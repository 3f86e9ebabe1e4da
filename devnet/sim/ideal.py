"""Ideal signatures: unforgeable by construction, a thousand times cheaper than curves.

A signature is a keyed hash under a key that only this module holds; an adversary of the simulator
is handed the `signer` of the operators it owns and nothing else. Real BLS and secp256k1 are tested
where they are implemented.
"""

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Final

from dst.spec.primitives import BLSSignature, OperatorIndex, Root, quorum

MAC_BYTES: Final = 12
IDENTITY_BYTES: Final = 64
SHARE_BYTES: Final = 96
"""As long as the real ones: decoders refuse anything else."""
_SECRET: Final = b"ideal signatures of the simulator"


def _mac(role: bytes, index: int, message: bytes) -> bytes:
    """What only the holder of (role, index) can make."""
    return blake2b(role + bytes([index]) + message, key=_SECRET, digest_size=MAC_BYTES).digest()


def signer(index: OperatorIndex) -> Callable[[bytes], bytes]:
    """The identity signature of one operator over a 32-byte digest."""
    return lambda digest: _mac(b"i", index, digest).ljust(IDENTITY_BYTES, b"\0")


def verify(index: OperatorIndex, digest: bytes, signature: bytes) -> bool:
    return signature == signer(index)(digest)


def signing_root(block_root: Root) -> Root:
    """What shares sign: the block root under a domain, as in `dst.spec.domains`."""
    return Root(blake2b(block_root, person=b"domain", digest_size=32).digest())


def partial_signer(index: OperatorIndex) -> Callable[[Root], BLSSignature]:
    """The share signature of one operator over a signing root."""
    return lambda root: _share(b"P" + root + _mac(b"p", index, root))


def verify_partial(index: OperatorIndex, root: Root, signature: BLSSignature) -> bool:
    return signature == partial_signer(index)(root)


def verify_group(root: Root, signature: BLSSignature) -> bool:
    return signature == _group_signature(root)


def combiner(n: int) -> Callable[[Mapping[OperatorIndex, BLSSignature]], BLSSignature]:
    """Combination as interpolation does it: garbage in (few, mixed or bad shares), garbage out."""

    def combine(partials: Mapping[OperatorIndex, BLSSignature]) -> BLSSignature:
        roots = {Root(bytes(partial[1:33])) for partial in partials.values()}
        root = min(roots)
        sound = all(verify_partial(i, root, partial) for i, partial in partials.items())
        if len(roots) != 1 or not sound or len(partials) < quorum(n):
            mixed = b"".join(partials[index] for index in sorted(partials))
            return _share(b"X" + blake2b(mixed, digest_size=32).digest())
        return _group_signature(root)

    return combine


def _group_signature(root: Root) -> BLSSignature:
    return _share(b"G" + root + _mac(b"g", 0, root))


def _share(data: bytes) -> BLSSignature:
    return BLSSignature(data.ljust(SHARE_BYTES, b"\0"))
