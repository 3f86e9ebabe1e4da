"""The precompiled contracts of Prague by address."""

from collections.abc import Mapping
from typing import Final

from dst.execution.evm.precompiles import (
    blake2f,
    bn254,
    bn254_code,
    hashes,
    known_answers,
    kzg,
    modexp,
)
from dst.execution.evm.precompiles import bls12_381 as bls
from dst.execution.evm.precompiles.contract import Precompile, at_most
from dst.execution.evm.precompiles.ecrecover import ecrecover, ecrecover_gas
from dst.spec.primitives import Address


def _address(number: int) -> Address:
    return Address(number.to_bytes(20, "big"))


PRECOMPILES: Final[Mapping[bytes, Precompile]] = {
    _address(number): precompile
    for number, precompile in enumerate(
        (
            Precompile("ECRECOVER", ecrecover_gas, ecrecover, at_most(128)),
            Precompile("SHA256", hashes.sha256_gas, hashes.sha256),
            Precompile("RIPEMD160", hashes.ripemd160_gas, hashes.ripemd160),
            Precompile("IDENTITY", hashes.identity_gas, hashes.identity),
            Precompile("MODEXP", modexp.modexp_gas, modexp.modexp, modexp.modexp_reads),
            Precompile("BN254_ADD", bn254.add_gas, bn254.add, at_most(128)),
            Precompile("BN254_MUL", bn254.mul_gas, bn254.mul, at_most(96)),
            Precompile("BN254_PAIRING", bn254.pairing_gas, bn254.pairing),
            Precompile("BLAKE2F", blake2f.blake2f_gas, blake2f.blake2f, at_most(214)),
            Precompile("KZG_POINT_EVALUATION", kzg.gas, kzg.point_evaluation, at_most(193)),
            Precompile("BLS12_G1ADD", bls.g1_add_gas, bls.g1_add, at_most(257)),
            Precompile("BLS12_G1MSM", bls.g1_msm_gas, bls.g1_msm),
            Precompile("BLS12_G2ADD", bls.g2_add_gas, bls.g2_add, at_most(513)),
            Precompile("BLS12_G2MSM", bls.g2_msm_gas, bls.g2_msm),
            Precompile("BLS12_PAIRING_CHECK", bls.pairing_gas, bls.pairing_check),
            Precompile("BLS12_MAP_FP_TO_G1", bls.map_fp_gas, bls.map_fp_to_g1, at_most(65)),
            Precompile("BLS12_MAP_FP2_TO_G2", bls.map_fp2_gas, bls.map_fp2_to_g2, at_most(129)),
        ),
        start=1,
    )
}
"""Names of EIP-7910 (`eth_config`) where it has one."""


def warm_up() -> None:
    """Compile what the first call of some precompile would wait for (50 ms), and ask what is known.

    Call it at start. Raises: AssertionError when the machine computes something else.
    """
    blake2f.CODE.compile()
    bn254_code.CODE.compile()
    known_answers.check()
