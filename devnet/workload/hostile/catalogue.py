"""Every hostile transaction by name. Names are those of the functions, with `-` for `_`."""

from collections.abc import Callable, Mapping
from typing import Final

from devnet.workload.hostile import contracts, fields, opcodes, precompiles
from devnet.workload.hostile.fields import Body

_PROGRAMS: Final[tuple[Callable[[int], bytes], ...]] = (
    precompiles.blake2f_one_call,
    precompiles.blake2f_many_calls,
    precompiles.bn254_pairing_one_call,
    precompiles.bn254_pairing_many_calls,
    precompiles.bn254_mul,
    precompiles.bn254_add,
    precompiles.modexp_big,
    precompiles.modexp_big_even,
    precompiles.modexp_square,
    precompiles.modexp_small,
    precompiles.point_evaluation,
    precompiles.bls_pairing_one_call,
    precompiles.bls_pairing_many_calls,
    precompiles.bls_g1_msm,
    precompiles.bls_g2_msm,
    precompiles.bls_g1_add,
    precompiles.bls_g2_add,
    precompiles.bls_map_g1,
    precompiles.bls_map_g2,
    precompiles.ecrecover,
    precompiles.sha256_small,
    precompiles.sha256_big,
    precompiles.ripemd160_small,
    precompiles.ripemd160_big,
    precompiles.identity_small,
    precompiles.identity_big,
    contracts.call_account,
    contracts.staticcall_account,
    contracts.call_contract,
    contracts.staticcall_contract,
    contracts.delegatecall_contract,
    contracts.call_reverting,
    contracts.call_jumpdests,
    contracts.deep_recursion,
    contracts.memory_in_children,
    contracts.extcodecopy_big,
    contracts.deploy_jumpdests,
    contracts.create_empty,
    contracts.create2_empty,
    contracts.create_jumpdests,
    contracts.create_and_destroy,
    opcodes.extcodesize_warm,
    opcodes.extcodehash_warm,
    opcodes.balance_cold,
    opcodes.mulmod,
    opcodes.addmod,
    opcodes.sdiv,
    opcodes.mod,
    opcodes.exp,
    opcodes.exp_short,
    opcodes.jump,
    opcodes.jump_chain,
    opcodes.stack,
    opcodes.keccak_word,
    opcodes.keccak_megabyte,
    opcodes.memory_expansion,
    opcodes.mload,
    opcodes.mcopy_megabyte,
    opcodes.calldatacopy_megabyte,
    opcodes.codecopy_megabyte,
    opcodes.log_topics,
    opcodes.log_data,
    opcodes.transient_storage,
    opcodes.storage_read_cold,
    opcodes.storage_read_warm,
    opcodes.storage_write_new,
    opcodes.storage_write_dirty,
)


def _creating(program: Callable[[int], bytes]) -> Callable[[int], Body]:
    return lambda gas: Body(data=program(gas))


def _named(function: Callable[..., object]) -> str:
    return function.__name__.replace("_", "-")


CATALOGUE: Final[Mapping[str, Callable[[int], Body]]] = {
    **{_named(program): _creating(program) for program in _PROGRAMS},
    **{_named(make): make for make in (fields.calldata, fields.access_list, fields.authorizations)},
}
"""Name -> the transaction's body for so much gas (5 to 30 million are sensible)."""
