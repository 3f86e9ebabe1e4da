"""Translated code against its opcodes one by one, and both against unmodified py-evm."""

import sys
from typing import Any

import pytest
from eth.exceptions import (
    FullStack,
    InsufficientStack,
    InvalidInstruction,
    InvalidJumpDestination,
    OutOfGas,
    VMError,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from dst.execution.environment import Engine
from dst.execution.evm import translator
from dst.execution.evm.handlers import HANDLERS
from dst.execution.evm.program import Program
from dst.execution.evm.translation import block
from tests.unit.execution.evm.arena import (
    CODE,
    Cold,
    Contract,
    Hot,
    assemble,
    outcome_of,
    push,
    run_message,
)
from tests.unit.execution.evm.programs import ANYTHING, WORDS, programs

pytestmark = pytest.mark.filterwarnings("ignore:SELFDESTRUCT")

GAS = st.one_of(st.just(1_000_000), st.integers(0, 400), st.integers(0, 40_000))
CALL_DATA = st.binary(max_size=70)
many = settings(max_examples=300, deadline=None)


@many
@given(code=programs(), gas=GAS, data=CALL_DATA)
def test_a_program_is_the_same_cold_hot_and_on_stock_pyevm(
    code: bytes, gas: int, data: bytes
) -> None:
    cold = outcome_of(code, Cold, gas=gas, data=data)
    hot = outcome_of(code, Hot, gas=gas, data=data)
    stock = outcome_of(code, Engine.STOCK, gas=gas, data=data)
    assert (cold.kind, cold.seen) == (hot.kind, hot.seen) == (stock.kind, stock.seen)


@many
@given(code=ANYTHING, gas=GAS)
def test_any_bytes_are_the_same_cold_hot_and_on_stock_pyevm(code: bytes, gas: int) -> None:
    cold = outcome_of(code, Cold, gas=gas)
    hot = outcome_of(code, Hot, gas=gas)
    stock = outcome_of(code, Engine.STOCK, gas=gas)
    assert (cold.kind, cold.seen) == (hot.kind, hot.seen) == (stock.kind, stock.seen)


@many
@given(code=programs(), gas=st.integers(1_000, 100_000))
def test_stack_memory_and_gas_are_the_same_at_a_way_out(code: bytes, gas: int) -> None:
    """An invalid opcode is a way out; what is there just before it can be looked at."""
    code += b"\x5a\xef"
    seen: list[Any] = []
    for way in (Cold, Hot):
        _, computation = run_message({CODE: Contract(code)}, way, gas=gas)
        if isinstance(computation.error if computation.is_error else None, InvalidInstruction):
            seen.append((computation.stack, computation.memory, computation.return_data))
        else:
            seen.append(None)
    assert seen[0] == seen[1]


BINARY = [
    *range(0x01, 0x08),
    0x0A,
    0x0B,
    *range(0x10, 0x15),
    *range(0x16, 0x19),
    *range(0x1A, 0x1E),
]


@many
@given(opcode=st.sampled_from([*BINARY, 0x08, 0x09, 0x15, 0x19]), operands=st.tuples(*[WORDS] * 3))
def test_arithmetic_is_pyevms(opcode: int, operands: tuple[int, ...]) -> None:
    """With operands that the block knows, and with some that it does not."""
    end = b"\x5f\x52\x60\x20\x5f\xf3"
    known = b"".join(map(push, operands)) + bytes((opcode,)) + end
    loaded = b"".join(push(32 * number) + b"\x35" for number in range(3)) + bytes((opcode,)) + end
    data = b"".join(operand.to_bytes(32, "big") for operand in operands)
    expected = outcome_of(loaded, Engine.STOCK, data=data)
    assert outcome_of(loaded, Hot, data=data) == expected
    assert outcome_of(known, Hot).output == expected.output


HALTS: dict[str, tuple[str, int, type[VMError]]] = {
    "fixed price": ("PUSH 1 PUSH 2 ADD POP STOP", 10, OutOfGas),
    "memory": ("PUSH 100000 MLOAD STOP", 5_000, OutOfGas),
    "too few items": ("PUSH 1 ADD STOP", 50_000, InsufficientStack),
    "POP of nothing": ("POP STOP", 50_000, InsufficientStack),
    "DUP of nothing": ("PUSH 1 DUP2 STOP", 50_000, InsufficientStack),
    "SWAP with nothing": ("PUSH 1 SWAP1 STOP", 50_000, InsufficientStack),
    "too few items later": ("PUSH 1 PUSH @a JUMP :a POP POP STOP", 50_000, InsufficientStack),
    "stack full": (":a PUSH 1 PUSH @a JUMP", 50_000, FullStack),
    "no destination": ("PUSH 0 JUMP", 50_000, InvalidJumpDestination),
    "destination in push data": ("PUSH 5 JUMP 0x605b", 50_000, InvalidJumpDestination),
    "destination not known in advance": ("GAS JUMP", 50_000, InvalidJumpDestination),
    "jump not taken": ("PUSH 0 PUSH 0 JUMPI PUSH 7 JUMP", 50_000, InvalidJumpDestination),
    "invalid": ("INVALID", 50_000, InvalidInstruction),
    "not an opcode": ("0x0c", 50_000, InvalidInstruction),
    "SSTORE with the stipend": ("PUSH 1 PUSH 1 SSTORE STOP", 2_306, OutOfGas),
    "SSTORE that could not pay what follows": (
        "PUSH 5 PUSH 0 SSTORE" + " PUSH 0 POP" * 500, 4_000, OutOfGas
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HALTS)
@pytest.mark.parametrize("way", [Cold, Hot])
def test_how_code_fails(name: str, way: Any) -> None:
    text, gas, error = HALTS[name]
    outcome = outcome_of(assemble(text), way, gas=gas)
    assert (outcome.error, outcome.gas_left, outcome.output) == (error, 0, b"")


def test_the_stack_holds_1024() -> None:
    full = b"\x5f" * 1_024
    for way in (Cold, Hot, Engine.STOCK):
        assert outcome_of(full + b"\x00", way).kind == "success"
        assert outcome_of(full + b"\x50\x5f\x00", way).kind == "success"
        assert outcome_of(full + b"\x5f\x00", way).kind == "exceptional"
        assert outcome_of(full + b"\x80\x00", way).kind == "exceptional"


def test_gas_is_exact_where_it_is_seen() -> None:
    """GAS in the middle of a segment, before and behind a dynamic price."""
    code = assemble(
        "GAS PUSH 0 MSTORE GAS PUSH 300 MSTORE PUSH 64 PUSH 0 KECCAK256 POP GAS PUSH 32 MSTORE"
        " PUSH 1 PUSH 7 SSTORE GAS PUSH 64 MSTORE PUSH 96 PUSH 0 RETURN"
    )
    expected = outcome_of(code, Engine.STOCK)
    assert outcome_of(code, Hot) == expected
    assert outcome_of(code, Cold) == expected
    assert len(expected.output) == 96


def test_an_effect_goes_with_the_frame_that_cannot_pay_for_what_follows() -> None:
    """The store is affordable, the rest of its segment is not."""
    code = assemble("PUSH 9 PUSH 1 SSTORE" + " PUSH 1 POP" * 100 + " STOP")
    untouched = outcome_of(code, Cold, gas=10)
    for way in (Cold, Hot, Engine.STOCK):
        assert outcome_of(code, way, gas=5_300).seen == untouched.seen
        assert outcome_of(code, way, gas=5_600).kind == "success"


def test_blocks_go_through_known_jumps_and_end_at_loops() -> None:
    source = translator.source_of(
        Program(assemble("PUSH @f JUMP :back STOP :f PUSH @back JUMP")), 0
    )
    assert source.count("return -1") == 1
    assert "DESTINATIONS" not in source
    assert "destinations" not in source
    loop = translator.source_of(Program(assemble(":a PUSH 1 POP PUSH @a JUMP")), 0)
    assert "continue" in loop
    assert "check_at" in loop


def test_a_block_is_bounded() -> None:
    straight = translator.source_of(Program(b"\x5f\x50" * 12_000), 0)
    assert f"return {block.MAX_OPCODES}" in straight
    deep = Program(b"\x5a" * 100 + b"\x5a\x5f\x57" * 8_000)
    assert len(translator.source_of(deep, 0)) < 2 * block.MAX_SOURCE_CHARACTERS


def test_every_opcode_has_a_handler_that_takes_the_computation_alone() -> None:
    assert len(HANDLERS) == 256
    assert sys.getrecursionlimit() >= 12 * 1_024
