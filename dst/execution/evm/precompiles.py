"""The precompiled contracts of Prague by address: gas from py-evm, arithmetic native."""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from eth.exceptions import VMError
from eth.precompiles.bls12_381 import constants as bls_gas
from eth.precompiles.ecpairing import _process_point as accumulate_bn254_pair
from eth.precompiles.ecpairing import bn128
from eth.vm.forks.prague.computation import PRAGUE_PRECOMPILES
from eth_utils import ValidationError

from dst.execution.evm import bls12_381 as bls
from dst.spec.primitives import Address

Computation: TypeAlias = Any


def _native(run: Callable[[bytes], bytes], gas: Callable[[int], int]) -> Callable[[Any], Any]:
    """A py-evm precompile from a pure function and its gas as a function of input length."""

    def precompile(computation: Computation) -> Computation:
        data = bytes(computation.msg.data)
        computation.consume_gas(gas(len(data)), reason="EIP-2537 precompile")
        try:
            computation.output = run(data)
        except bls.BadInput as error:
            raise VMError(str(error)) from None
        return computation

    return precompile


def _msm_gas(
    term_bytes: int, base: int, discounts: Sequence[int], least: int
) -> Callable[[int], int]:
    def gas(length: int) -> int:
        terms = length // term_bytes
        discount = discounts[terms - 1] if 0 < terms <= len(discounts) else least
        return int(terms * base * discount // bls_gas.MSM_MULTIPLIER)

    return gas


def _bn254_pairing(computation: Computation) -> Computation:
    """EIP-197 at EIP-1108 prices, interruptible between pairs."""
    data = bytes(computation.msg.data)
    if len(data) % 192:
        raise VMError("input is no list of pairs")
    computation.consume_gas(45_000 + 34_000 * (len(data) // 192), reason="BN254 pairing")
    product = bn128.FQ12.one()
    for start in range(0, len(data), 192):
        computation.state.interrupt()
        try:
            product = accumulate_bn254_pair(data[start : start + 192], product)
        except ValidationError as error:
            raise VMError(str(error)) from None
    is_one = bn128.final_exponentiate(product) == bn128.FQ12.one()
    computation.output = int(is_one).to_bytes(32, "big")
    return computation


def _address(number: int) -> Address:
    return Address(number.to_bytes(20, "big"))


PRECOMPILES: Final = {
    **PRAGUE_PRECOMPILES,
    _address(0x08): _bn254_pairing,
    _address(0x0B): _native(bls.g1_add, lambda _: bls_gas.BLS12_G1_ADD_GAS),
    _address(0x0C): _native(
        bls.g1_msm,
        _msm_gas(
            bls.G1_TERM_BYTES,
            bls_gas.BLS12_G1_MSM_GAS,
            bls_gas.G1_MSM_DISCOUNTS,
            bls_gas.G1_MSM_MAX_DISCOUNT,
        ),
    ),
    _address(0x0D): _native(bls.g2_add, lambda _: bls_gas.BLS12_G2_ADD_GAS),
    _address(0x0E): _native(
        bls.g2_msm,
        _msm_gas(
            bls.G2_TERM_BYTES,
            bls_gas.BLS12_G2_MSM_GAS,
            bls_gas.G2_MSM_DISCOUNTS,
            bls_gas.G2_MSM_MAX_DISCOUNT,
        ),
    ),
    _address(0x0F): _native(
        bls.pairing_check, lambda length: 37_700 + 32_600 * (length // bls.PAIR_BYTES)
    ),
    _address(0x10): _native(bls.map_fp_to_g1, lambda _: bls_gas.BLS12_MAP_FP_G1_GAS),
    _address(0x11): _native(bls.map_fp2_to_g2, lambda _: bls_gas.BLS12_MAP_FP2_G2_GAS),
}
