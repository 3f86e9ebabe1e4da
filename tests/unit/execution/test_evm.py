"""What is ours around py-evm: interruption, calls, deep recursion."""

import threading
from pathlib import Path

import pytest

from dst.execution.block.call_run import CallOutcome, CallRefused, Fault
from dst.execution.environment import ExecutionAborted
from dst.execution.evm.messages import EVM_STACK_BYTES
from dst.execution.interrupts import AbortFlag
from tests.unit.execution.worlds import World, address_of, call, make_world, signed

SPINNER, DEEP, CODE = address_of(0x5150), address_of(0xDEE9), address_of(0xC0DE)
RECURSE = bytes.fromhex("5f5f5f5f5f305af1") + b"\x00"  # call myself with all gas, no value


@pytest.fixture
def evm_world(tmp_path: Path) -> World:
    return make_world(tmp_path, {SPINNER: bytes.fromhex("5b5f56"), DEEP: RECURSE})


def test_precompile_gas_is_charged(evm_world: World) -> None:
    data = b"\x01" * 64
    result = call(evm_world, address_of(4), data)
    assert result.output == data
    assert result.gas_used == 21_000 + 10 * 4 * 64  # the floor of EIP-7623
    failed = call(evm_world, address_of(0x0B), b"\x01")
    assert (failed.error is not None, failed.gas_used) == (True, 9_000_000)


def test_bn254_pairing_works_and_is_interruptible(evm_world: World) -> None:
    assert call(evm_world, address_of(8)).output[-1] == 1
    flag = AbortFlag()
    calls: list[None] = []

    def interrupt() -> None:
        calls.append(None)
        if len(calls) == 2:  # the first is the message call's own
            flag.abort()
        flag.check()

    with pytest.raises(ExecutionAborted):
        call(evm_world, address_of(8), bytes(192 * 100), interrupt=interrupt)


def test_a_loop_is_interrupted(evm_world: World) -> None:
    calls: list[None] = []

    def interrupt() -> None:
        calls.append(None)
        if len(calls) == 10:
            raise ExecutionAborted("enough")

    with pytest.raises(ExecutionAborted):
        call(evm_world, SPINNER, interrupt=interrupt)
    assert len(calls) == 10


def test_nested_calls_reach_the_limit_on_a_worker_thread(evm_world: World) -> None:
    """As deep as gas allows (EIP-150 keeps it below 1,024), on the stack that the role gives."""
    results: list[CallOutcome] = []
    threading.stack_size(EVM_STACK_BYTES)
    try:
        thread = threading.Thread(target=lambda: results.append(call(evm_world, DEEP, gas=10**15)))
    finally:
        thread.start()
        threading.stack_size(0)
    thread.join()
    assert results[0].error is None


def test_value_must_be_owned(evm_world: World) -> None:
    with pytest.raises(CallRefused) as refused:
        call(evm_world, address_of(0xEE), sender=address_of(0xAAAA), value=1)
    assert refused.value.fault is Fault.INSUFFICIENT_FUNDS


def test_call_changes_nothing(evm_world: World) -> None:
    before = evm_world.build([signed()]).block
    call(evm_world, address_of(0xEE), value=5)
    assert evm_world.build([signed()]).block == before
