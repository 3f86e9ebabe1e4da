"""The loop around translated blocks: heat, limits, and an interrupt that is asked often enough."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from dst.execution.environment import ExecutionAborted
from dst.execution.evm.computation import EvmComputation
from dst.execution.evm.interpreter import GAS_BETWEEN_CHECKS, HOT_RUNS
from dst.execution.evm.program import Program, ProgramCache, jump_destinations
from dst.execution.evm.translator import BYTES_OF_A_BLOCK
from dst.execution.state.overlay import BlockState
from dst.spec.primitives import Address
from tests.unit.execution.evm.arena import (
    CODE,
    Cold,
    Contract,
    Hot,
    assemble,
    make_reader,
    run_message,
)

GAS = 400_000


class Gauge:
    """An interrupt that measures the gas used between two of its calls."""

    def __init__(self) -> None:
        self.marks: list[int] = []
        self.computation: Any = None

    def watch(self, way: type[EvmComputation]) -> type[EvmComputation]:
        gauge = self

        class Gauged(way):  # type: ignore[misc, valid-type]
            skips_empty_calls = True
            hot_runs = way.hot_runs

            def __init__(self, *arguments: Any) -> None:
                super().__init__(*arguments)
                gauge.computation = gauge.computation or self

        return Gauged

    def __call__(self) -> None:
        if self.computation is not None:
            self.marks.append(self.computation.gas_left)

    def widest(self) -> int:
        marks = [*self.marks, 0]
        return max(before - after for before, after in pairwise(marks))


LOOPS = {
    "jump only": ":a PUSH @a JUMP",
    "a block that ends at another": ":a PUSH 1 POP PUSH @b JUMP :b PUSH @a JUMP",
    "conditional": ":a PUSH 1 PUSH @a JUMPI STOP",
    "unknown destination": "PUSH 0 SLOAD POP :a PUSH @a PUSH 0 SLOAD ADD PUSH 5 SWAP1 SUB JUMP",
    "long and straight": ":a" + " PUSH 1 PUSH 2 ADD POP" * 3_000 + " PUSH @a JUMP",
    "small hashes": ":a PUSH 32 PUSH 0 KECCAK256 POP PUSH @a JUMP",
    "calls": ":a PUSH 0 PUSH 0 PUSH 0 PUSH 0 PUSH 0 PUSH 238 GAS CALL POP PUSH @a JUMP",
    "cold slots": ":a GAS SLOAD POP PUSH @a JUMP",
}


@pytest.mark.parametrize("way", [Cold, Hot, EvmComputation])
@pytest.mark.parametrize("loop", LOOPS)
def test_the_interrupt_is_asked_before_much_gas_is_used(
    loop: str, way: type[EvmComputation]
) -> None:
    gauge = Gauge()
    contract = Contract(assemble(LOOPS[loop]), storage={0: 5})
    outcome, _ = run_message({CODE: contract}, gauge.watch(way), gas=GAS, interrupt=gauge)
    assert outcome.kind in ("exceptional", "success")
    assert gauge.widest() < 3 * GAS_BETWEEN_CHECKS


@pytest.mark.parametrize("way", [Cold, Hot])
@pytest.mark.parametrize("opcode", ["SLOAD", "BALANCE", "EXTCODESIZE", "EXTCODEHASH"])
def test_what_may_be_read_from_disk_asks_the_interrupt(
    opcode: str, way: type[EvmComputation]
) -> None:
    asked: list[None] = []
    code = assemble(f"GAS {opcode} POP " * 60)
    run_message({CODE: Contract(code)}, way, gas=GAS, interrupt=lambda: asked.append(None))
    assert len(asked) > 60


BULK: dict[str, tuple[str, int]] = {
    "memory": ("PUSH 1 PUSH 2000000 MSTORE STOP", 1),
    "hash": ("PUSH 2000000 PUSH 0 KECCAK256 STOP", 5),
    "call data copied": ("PUSH 2000000 PUSH 0 PUSH 0 CALLDATACOPY STOP", 2),
    "memory copied": ("PUSH 2000000 PUSH 0 PUSH 1 MCOPY STOP", 2),
    "log": ("PUSH 2000000 PUSH 0 LOG0 STOP", 2),
}


@pytest.mark.parametrize("way", [Cold, Hot])
@pytest.mark.parametrize("name", BULK)
def test_opcodes_that_take_long_ask_the_interrupt_themselves(
    name: str, way: type[EvmComputation]
) -> None:
    text, least = BULK[name]
    asked: list[None] = []
    run_message(
        {CODE: Contract(assemble(text))}, way, gas=40_000_000, interrupt=lambda: asked.append(None)
    )
    beside: list[None] = []
    run_message({CODE: Contract(b"\x00")}, way, interrupt=lambda: beside.append(None))
    assert len(asked) - len(beside) >= least


@pytest.mark.parametrize("way", [Cold, Hot])
@pytest.mark.parametrize("text", [":a PUSH @a JUMP", "PUSH 2000000 PUSH 0 KECCAK256 STOP"])
def test_an_interrupt_stops_the_run(text: str, way: type[EvmComputation]) -> None:
    with pytest.raises(ExecutionAborted):
        run_message(
            {CODE: Contract(assemble(text))}, way, gas=40_000_000, interrupt=_raises_at_call(3)
        )


def _raises_at_call(number: int) -> Callable[[], None]:
    calls: list[None] = []

    def interrupt() -> None:
        calls.append(None)
        if len(calls) == number:
            raise ExecutionAborted("enough")

    return interrupt


def test_code_is_translated_when_it_is_hot_and_where_it_is() -> None:
    code = assemble("CALLDATASIZE PUSH @rare JUMPI STOP :rare PUSH 1 POP STOP")
    contracts = {CODE: Contract(code)}
    _, computation = run_message(contracts, EvmComputation)
    program = computation.code.program
    for run in range(1, HOT_RUNS + 2):
        assert (0 in program.blocks) == (run > HOT_RUNS)
        run_message(contracts, EvmComputation)
    assert set(program.blocks) == {0}


def test_init_code_is_translated_for_its_own_run_only() -> None:
    """A loop in it is as fast as any other; no cache grows."""
    code = assemble(f"PUSH {HOT_RUNS * 3} :a PUSH 1 SWAP1 SUB DUP1 PUSH @a JUMPI STOP")
    outcome, computation = run_message({}, EvmComputation, to=b"", data=code)
    assert outcome.kind == "success"
    assert set(computation.code.program.blocks) == {2}


def test_jump_destinations_are_not_in_push_data() -> None:
    assert jump_destinations(bytes.fromhex("5b605b5b615b5b5b7f5b")) == {0, 3, 7}


def test_the_cache_of_programs_is_bounded_and_keeps_what_is_used() -> None:
    cache = ProgramCache(limit_bytes=40_000)
    codes = [bytes([0x60, number, 0x50]) * 300 for number in range(60)]
    addresses = [Address(bytes([1, number]) * 10) for number in range(60)]
    contracts = {each: Contract(code) for each, code in zip(addresses, codes, strict=True)}
    accounts = BlockState(make_reader(contracts))
    kept = cache.find(accounts, accounts.get_code_hash(addresses[0]))
    for address in addresses:
        assert cache.find(accounts, accounts.get_code_hash(addresses[0])) is kept
        cache.find(accounts, accounts.get_code_hash(address))
    known = len(cache._young) + len(cache._old)
    assert known < 40_000 // 1_900 + 2
    assert cache.find(accounts, accounts.get_code_hash(addresses[1])) is not kept


def test_blocks_count_for_the_cache() -> None:
    cache = ProgramCache(limit_bytes=10_000)
    accounts = BlockState(make_reader({CODE: Contract(b"\x00")}))
    program = cache.find(accounts, accounts.get_code_hash(CODE))
    for start in range(10):
        program.add_block(start, lambda _: 0, BYTES_OF_A_BLOCK)
    assert program not in cache._young.values()
    assert isinstance(program, Program)
