"""Point evaluation (0x0a): EIP-4844, as one pairing check on arkworks.

A proof that p(z) = y is checked with the second point of the ceremony alone, a constant here.
c-kzg does the same, but first loads all 8,000 points of the ceremony: 1.4 s of a core at the first
call. It judges this module in tests.
"""

import hashlib
from typing import Any, Final

from py_arkworks_bls12381 import GT, G1Point, G2Point, Scalar

from dst.execution.environment import Interrupt
from dst.execution.evm.precompiles.contract import BadInput, Input

GAS: Final = 50_000
_VERSION: Final = b"\x01"
_FIELD_ELEMENTS_PER_BLOB: Final = 4096
BLS_MODULUS: Final = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
_ANSWER: Final = _FIELD_ELEMENTS_PER_BLOB.to_bytes(32, "big") + BLS_MODULUS.to_bytes(32, "big")
KZG_SETUP_G2_1: Final = bytes.fromhex(
    "b5bfd7dd8cdeb128843bc287230af38926187075cbfbefa81009a2ce615ac53d"
    "2914e5870cb452d2afaaab24f3499f72185cbfee53492714734429b7b38608e2"
    "3926c911cceceac9a36851477ba4c60b087041de621000edc98edada20c1def2"
)
"""The ceremony's secret times the generator of G2 (`KZG_SETUP_G2_MONOMIAL[1]`)."""
_INFINITY_FLAG: Final = 0x40
_INFINITY: Final = b"\xc0" + bytes(47)

_SECRET_IN_G2: Final = G2Point.from_compressed_bytes(KZG_SETUP_G2_1)
_G1: Final = G1Point()
_G2: Final = G2Point()


def gas(_: Input) -> int:
    return GAS


def point_evaluation(data: bytes, _: Interrupt) -> bytes:
    """Input: versioned hash, z, y, commitment, proof; the answer is a constant or a failure."""
    if len(data) != 192:
        raise BadInput("input is not 192 bytes")
    versioned_hash, commitment, proof = data[:32], data[96:144], data[144:]
    if _VERSION + hashlib.sha256(commitment).digest()[1:] != versioned_hash:
        raise BadInput("commitment does not match the versioned hash")
    if not _holds(_point(commitment), _scalar(data[32:64]), _scalar(data[64:96]), _point(proof)):
        raise BadInput("proof does not hold")
    return _ANSWER


def _holds(commitment: Any, z: Any, y: Any, proof: Any) -> bool:
    """e(C - y G1, G2) = e(proof, (s - z) G2) (consensus-specs deneb `verify_kzg_proof_impl`)."""
    left, right = commitment - _G1 * y, _SECRET_IN_G2 - _G2 * z
    return bool(GT.pairing_check([left, -proof], [_G2, right]))


def _scalar(data: bytes) -> Any:
    value = int.from_bytes(data, "big")
    if value >= BLS_MODULUS:
        raise BadInput("not a field element")
    return Scalar(value)


def _point(data: bytes) -> Any:
    """A compressed point of G1. Arkworks takes any bytes with the infinity flag for infinity."""
    if data[0] & _INFINITY_FLAG:
        if data != _INFINITY:
            raise BadInput("infinity is not encoded as such")
        return G1Point.identity()
    try:
        return G1Point.from_compressed_bytes(data)
    except ValueError:
        raise BadInput("not a point of G1") from None
