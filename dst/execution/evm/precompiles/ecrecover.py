"""ECRECOVER (0x01): the address that signed a digest, or nothing."""

from typing import Final

from dst.crypto.keccak import keccak256
from dst.crypto.secp256k1 import ORDER, recover
from dst.execution.environment import Interrupt
from dst.execution.evm.precompiles.contract import Input, padded

GAS: Final = 3_000


def ecrecover_gas(_: Input) -> int:
    return GAS


def ecrecover(data: bytes, _: Interrupt) -> bytes:
    """Input: digest, v (27 or 28), r, s, 32 bytes each. A high s is accepted, unlike EIP-2's."""
    data = padded(data, 128)
    v, r, s = (int.from_bytes(data[at : at + 32], "big") for at in (32, 64, 96))
    if v not in (27, 28) or not 0 < r < ORDER or not 0 < s < ORDER:
        return b""
    key = recover(data[:32], data[64:128], v - 27)
    return b"" if key is None else keccak256(key)[12:].rjust(32, b"\0")
