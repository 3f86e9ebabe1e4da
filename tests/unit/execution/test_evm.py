"""What is ours around py-evm: native precompiles, interruption, calls, deep recursion."""

import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from dst.execution.environment import CallRequest, CallResult, ExecutionAborted
from dst.execution.evm import bls12_381 as bls
from dst.execution.evm.call import call
from dst.execution.evm.precompiles import PRECOMPILES
from dst.execution.interrupts import AbortFlag, never
from dst.execution.main import EVM_STACK_BYTES
from dst.spec.primitives import Address
from tests.unit.execution.worlds import ADDRESSES, World, address_of, make_world, signed

judge: Any = import_module("py_ecc.optimized_bls12_381")
G1, G2, curve_order, field_modulus = judge.G1, judge.G2, judge.curve_order, judge.field_modulus
multiply, neg, normalize = judge.multiply, judge.neg, judge.normalize

SPINNER, DEEP, CODE = address_of(0x5150), address_of(0xDEE9), address_of(0xC0DE)
RECURSE = bytes.fromhex("5f5f5f5f5f305af1") + b"\x00"  # call myself with all gas, no value


def fp(value: int) -> bytes:
    return value.to_bytes(64, "big")


def g1(point: Any) -> bytes:
    x, y = normalize(point)
    return fp(int(x)) + fp(int(y))


def g2(point: Any) -> bytes:
    x, y = normalize(point)
    return b"".join(fp(int(each)) for each in (*x.coeffs, *y.coeffs))


def scalar(value: int) -> bytes:
    return value.to_bytes(32, "big")


INFINITY_1, INFINITY_2 = bytes(128), bytes(256)


def test_additions_agree_with_the_library() -> None:
    assert bls.g1_add(g1(G1) + g1(multiply(G1, 5))) == g1(multiply(G1, 6))
    assert bls.g2_add(g2(G2) + g2(multiply(G2, 5))) == g2(multiply(G2, 6))
    assert bls.g1_add(g1(G1) + g1(neg(G1))) == INFINITY_1
    assert bls.g1_add(INFINITY_1 + g1(G1)) == g1(G1)


def test_multi_scalar_multiplications_agree_with_the_library() -> None:
    terms = [(3, curve_order - 1), (7, 0), (11, 2**256 - 1)]
    data_1 = b"".join(g1(multiply(G1, base)) + scalar(by) for base, by in terms)
    data_2 = b"".join(g2(multiply(G2, base)) + scalar(by) for base, by in terms)
    total = sum(base * by for base, by in terms) % curve_order
    assert bls.g1_msm(data_1) == g1(multiply(G1, total))
    assert bls.g2_msm(data_2) == g2(multiply(G2, total))


def test_pairing_checks() -> None:
    good = g1(multiply(G1, 2)) + g2(G2) + g1(neg(G1)) + g2(multiply(G2, 2))
    bad = g1(multiply(G1, 2)) + g2(G2) + g1(neg(G1)) + g2(G2)
    assert bls.pairing_check(good)[-1] == 1
    assert bls.pairing_check(bad)[-1] == 0
    assert bls.pairing_check(INFINITY_1 + g2(G2))[-1] == 1


@pytest.mark.parametrize(
    ("run", "data"),
    [
        (bls.g1_add, b""),
        (bls.g1_add, bytes(255)),
        (bls.g1_add, fp(field_modulus) + bytes(192)),
        (bls.g1_add, fp(1) + fp(1) + bytes(128)),
        (bls.g1_add, b"\x01" + bytes(255)),
        (bls.g2_add, bytes(511)),
        (bls.g1_msm, b""),
        (bls.g1_msm, bytes(161)),
        (bls.g2_msm, b""),
        (bls.pairing_check, b""),
        (bls.pairing_check, bytes(385)),
        (bls.map_fp_to_g1, fp(field_modulus)),
        (bls.map_fp_to_g1, bytes(63)),
        (bls.map_fp2_to_g2, bytes(127)),
    ],
)
def test_bad_precompile_input_is_refused(run: Callable[[bytes], bytes], data: bytes) -> None:
    with pytest.raises(bls.BadInput):
        run(data)


def test_points_outside_the_subgroup() -> None:
    """On the curve and not in G1: fine to add, refused by multiplication and pairing (EIP-2537)."""
    x = 4
    while pow((x**3 + 4) % field_modulus, (field_modulus - 1) // 2, field_modulus) != 1:
        x += 1
    y = pow(x**3 + 4, (field_modulus + 1) // 4, field_modulus)
    stray = fp(x) + fp(y)
    assert bls.g1_add(stray + INFINITY_1) == stray
    with pytest.raises(bls.BadInput):
        bls.g1_msm(stray + scalar(1))
    with pytest.raises(bls.BadInput):
        bls.pairing_check(stray + g2(G2))


def test_no_pure_python_bls_is_reachable() -> None:
    for number in range(0x0B, 0x12):
        assert PRECOMPILES[address_of(number)].__module__ == "dst.execution.evm.precompiles"


@pytest.fixture
def evm_world(tmp_path: Path) -> World:
    return make_world(tmp_path, {SPINNER: bytes.fromhex("5b5f56"), DEEP: RECURSE})


def run_call(world: World, to: Address, data: bytes = b"", **changes: Any) -> CallResult:
    fields: dict[str, Any] = {"sender": ADDRESSES[0], "to": to, "data": data, "gas": 9_000_000}
    interrupt = changes.pop("interrupt", never)
    header = world.chain.heads.head
    return call(
        world.chain.reader(header.state_root),
        world.chain.environment(header),
        CallRequest(**{**fields, **changes}),
        interrupt,
    )


def test_precompile_gas_is_charged(evm_world: World) -> None:
    result = run_call(evm_world, address_of(0x0B), g1(G1) + g1(G1))
    assert result.output == g1(multiply(G1, 2))
    data_gas = sum(16 if byte else 4 for byte in g1(G1) + g1(G1))
    floor = 21_000 + 10 * sum(4 if byte else 1 for byte in g1(G1) + g1(G1))
    assert result.gas_used == max(21_000 + data_gas + 375, floor)
    failed = run_call(evm_world, address_of(0x0B), b"\x01")
    assert (failed.error is not None, failed.gas_used) == (True, 9_000_000)


def test_bn254_pairing_works_and_is_interruptible(evm_world: World) -> None:
    assert run_call(evm_world, address_of(8)).output[-1] == 1
    flag = AbortFlag()
    calls: list[None] = []

    def interrupt() -> None:
        calls.append(None)
        if len(calls) == 2:  # the first is the message call's own
            flag.abort()
        flag.check()

    with pytest.raises(ExecutionAborted):
        run_call(evm_world, address_of(8), bytes(192 * 100), interrupt=interrupt)


def test_a_loop_is_interrupted(evm_world: World) -> None:
    calls: list[None] = []

    def interrupt() -> None:
        calls.append(None)
        if len(calls) == 10:
            raise ExecutionAborted("enough")

    with pytest.raises(ExecutionAborted):
        run_call(evm_world, SPINNER, interrupt=interrupt)
    assert len(calls) == 10


def test_nested_calls_reach_the_limit_on_a_worker_thread(evm_world: World) -> None:
    """As deep as gas allows (EIP-150 keeps it below 1,024), on the stack that the role gives."""
    results: list[CallResult] = []
    threading.stack_size(EVM_STACK_BYTES)
    try:
        thread = threading.Thread(
            target=lambda: results.append(run_call(evm_world, DEEP, gas=10**15))
        )
    finally:
        thread.start()
        threading.stack_size(0)
    thread.join()
    assert results[0].error is None


def test_value_must_be_owned(evm_world: World) -> None:
    result = run_call(evm_world, address_of(0xEE), sender=address_of(0xAAAA), value=1)
    assert result.error is not None
    assert not result.reverted


def test_call_changes_nothing(evm_world: World) -> None:
    before = evm_world.build([signed()]).block
    run_call(evm_world, address_of(0xEE), value=5)
    assert evm_world.build([signed()]).block == before
