"""The precompiled contracts of Prague: bytes in, bytes out, gas, and never long without a check.

table       the contracts by address, each bound to py-evm's computation; `warm_up`;
            known_answers: what is asked of the compiled code before it is trusted
contract    what a precompile is: gas, run, BadInput
native      our own machine code: WebAssembly text compiled once, one instance a thread
ecrecover, hashes (SHA-256, RIPEMD-160, identity), modexp, blake2f, kzg (point evaluation)
bn254       EIP-196, EIP-197; its native arithmetic from formulas (bn254_field) run on symbols
            (bn254_symbols) over words by hand (bn254_limbs) into one module (bn254_code)
bls12_381   EIP-2537

Time. A run gets the interrupt of its block and calls it at least every 20 ms; what could take
longer is worked off in slices. tests/unit/execution/evm/test_bounded_steps.py holds all to it.
"""

from dst.execution.evm.precompiles.table import PRECOMPILES, warm_up

__all__ = ["PRECOMPILES", "warm_up"]
