"""Keccak-256 of Ethereum (before NIST's padding), native."""

import sha3  # type: ignore[import-untyped]

from dst.spec.primitives import Hash32


def keccak256(data: bytes) -> Hash32:
    return Hash32(sha3.keccak_256(data).digest())
