"""The precompiled contracts of Prague by address."""

from collections.abc import Mapping
from typing import Final

from dst.execution.evm.precompiles import (
    blake2f,
    bls12_381,
    bn254,
    bn254_code,
    hashes,
    kzg,
    modexp,
)
from dst.execution.evm.precompiles.contract import Precompile
from dst.execution.evm.precompiles.ecrecover import ecrecover, ecrecover_gas
from dst.spec.primitives import Address


def _address(number: int) -> Address:
    return Address(number.to_bytes(20, "big"))


PRECOMPILES: Final[Mapping[Address, Precompile]] = {
    _address(0x01): Precompile("ECRECOVER", ecrecover_gas, ecrecover),
    _address(0x02): Precompile("SHA256", hashes.sha256_gas, hashes.sha256),
    _address(0x03): Precompile("RIPEMD160", hashes.ripemd160_gas, hashes.ripemd160),
    _address(0x04): Precompile("IDENTITY", hashes.identity_gas, hashes.identity),
    _address(0x05): Precompile("MODEXP", modexp.modexp_gas, modexp.modexp),
    _address(0x06): Precompile("BN254_ADD", bn254.add_gas, bn254.add),
    _address(0x07): Precompile("BN254_MUL", bn254.mul_gas, bn254.mul),
    _address(0x08): Precompile("BN254_PAIRING", bn254.pairing_gas, bn254.pairing),
    _address(0x09): Precompile("BLAKE2F", blake2f.blake2f_gas, blake2f.blake2f),
    _address(0x0A): Precompile(
        "KZG_POINT_EVALUATION", kzg.point_evaluation_gas, kzg.point_evaluation
    ),
    _address(0x0B): Precompile("BLS12_G1ADD", bls12_381.g1_add_gas, bls12_381.g1_add),
    _address(0x0C): Precompile("BLS12_G1MSM", bls12_381.g1_msm_gas, bls12_381.g1_msm),
    _address(0x0D): Precompile("BLS12_G2ADD", bls12_381.g2_add_gas, bls12_381.g2_add),
    _address(0x0E): Precompile("BLS12_G2MSM", bls12_381.g2_msm_gas, bls12_381.g2_msm),
    _address(0x0F): Precompile(
        "BLS12_PAIRING_CHECK", bls12_381.pairing_gas, bls12_381.pairing_check
    ),
    _address(0x10): Precompile("BLS12_MAP_FP_TO_G1", bls12_381.map_fp_gas, bls12_381.map_fp_to_g1),
    _address(0x11): Precompile(
        "BLS12_MAP_FP2_TO_G2", bls12_381.map_fp2_gas, bls12_381.map_fp2_to_g2
    ),
}
"""Names of EIP-7910 (`eth_config`) where it has one."""


def warm_up() -> None:
    """Compile what the first call of some precompile would wait for: call it at start."""
    blake2f.CODE.compile()
    bn254_code.CODE.compile()
