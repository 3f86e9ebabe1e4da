"""Distinct types for distinct things, built by checked constructors where bytes come in.

Names are those of consensus-specs and the QBFT paper. All are plain `int` or `bytes` at run time.
"""

from typing import Final, NewType

from dst.spec.errors import InvalidInput

Slot = NewType("Slot", int)
"""Time slot: `timestamp = genesis_time + slot * seconds_per_slot`. Gaps are allowed."""
Height = NewType("Height", int)
"""L2 block number; genesis is 0. One consensus instance per height."""
Round = NewType("Round", int)
"""QBFT round of a height, from 0."""
Term = NewType("Term", int)
"""Counts L1 resets, from 0; part of every signed message."""
OperatorIndex = NewType("OperatorIndex", int)
"""0-based position in the ordered operator set; the leader is (height + round) mod n. Operator
`op1` is position 0."""
ShareIndex = NewType("ShareIndex", int)
"""1-based Shamir evaluation point, always `OperatorIndex + 1`."""
Root = NewType("Root", bytes)
"""32-byte SSZ hash tree root."""
Hash32 = NewType("Hash32", bytes)
"""32-byte keccak-256 hash of the execution layer or of L1."""
Address = NewType("Address", bytes)
"""20-byte execution address."""
BLSPubkey = NewType("BLSPubkey", bytes)
"""48-byte compressed G1 point."""
BLSSignature = NewType("BLSSignature", bytes)
"""96-byte compressed G2 point."""
Gwei = NewType("Gwei", int)
Wei = NewType("Wei", int)

ZERO_ROOT: Final = Root(bytes(32))
ZERO_HASH: Final = Hash32(bytes(32))
ZERO_ADDRESS: Final = Address(bytes(20))
G2_POINT_AT_INFINITY: Final = BLSSignature(b"\xc0" + bytes(95))
"""Compressed identity of G2: what consensus-specs puts where no signature is. Never a valid
signature here."""


def faults_tolerated(n: int) -> int:
    """f = floor((n - 1) / 3)."""
    return (n - 1) // 3


def quorum(n: int) -> int:
    """q = n - f: votes, certificates and the signing threshold alike (rules 1 and 2)."""
    return n - faults_tolerated(n)


def leader_of(height: Height, round_: Round, n: int) -> OperatorIndex:
    """Leader of (height, round): (height + round) mod n over the ordered operator set."""
    return OperatorIndex((height + round_) % n)


def parse_hex(text: object, length: int | None = None, *, what: str = "value") -> bytes:
    """Decode `0x`-prefixed hex of exactly `length` bytes (any length when None).

    Raises: InvalidInput, naming `what`.
    """
    if not isinstance(text, str) or not text.startswith("0x"):
        raise InvalidInput(f"{what}: expected 0x-prefixed hex, got {str(text)[:80]!r}")
    try:
        data = bytes.fromhex(text[2:])
    except ValueError:
        raise InvalidInput(f"{what}: not hex: {text[:80]!r}") from None
    if len(data) * 2 != len(text) - 2:  # bytes.fromhex skips white space
        raise InvalidInput(f"{what}: white space in hex: {text[:80]!r}")
    if length is not None and len(data) != length:
        raise InvalidInput(f"{what}: expected {length} bytes, got {len(data)}")
    return data


def to_hex(data: bytes) -> str:
    """`0x`-prefixed lower-case hex."""
    return "0x" + data.hex()
