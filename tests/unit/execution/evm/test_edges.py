"""Rules at their edge, where one unit of gas, one frame or one byte decides: four ways, as in
`test_calls.py`. Published tests touch most of these rules, few of them their edge."""

from itertools import product
from typing import Any

import pytest

from dst.execution.environment import Engine
from dst.execution.evm.computation import EvmComputation
from dst.spec.primitives import Address
from tests.unit.execution.evm.arena import CODE, SENDER, Contract, assemble, run_message
from tests.unit.execution.evm.test_calls import END, OTHER, WAYS, four_ways, number, world

pytestmark = pytest.mark.filterwarnings("ignore:SELFDESTRUCT")

GONE = Address(b"\xee" * 20)


@pytest.mark.parametrize("left", [2_299, 2_300, 2_301])
def test_a_write_needs_more_than_the_stipend(left: int) -> None:
    """EIP-2200: at 2,300 left even a write that changes nothing fails, for which 2,200 are due."""
    outcome = four_ways(world("PUSH 1 PUSH 7 SSTORE STOP"), gas=6 + left)
    assert (outcome.error is None) is (left > 2_300)


@pytest.mark.parametrize("values", list(product((0, 1, 2), repeat=3)))
@pytest.mark.parametrize("slot", [7, 8])
def test_writes_refund_what_they_take_back(slot: int, values: tuple[int, ...]) -> None:
    """EIP-3529: of a slot that was 1 (7), or 0 (8), three writes in every order."""
    code = " ".join(f"PUSH {value} PUSH {slot} SSTORE" for value in values)
    assert four_ways(world(f"{code} {END}")).error is None


@pytest.mark.parametrize("value", [0, 1, 2])
def test_a_write_undone_by_a_revert_refunds_nothing(value: int) -> None:
    callee = f"PUSH {value} PUSH 7 SSTORE PUSH 0 PUSH 0 REVERT"
    call = f"PUSH 0 PUSH 0 PUSH 0 PUSH 0 PUSH 0 PUSH {number(OTHER)} GAS CALL POP"
    assert four_ways(world(f"{call} {call} {END}", callee)).error is None


@pytest.mark.parametrize(("start", "size"), [(0, 32), (1, 31), (32, 0), (33, 0), (1, 32), (0, 33)])
def test_return_data_ends_where_it_ends(start: int, size: int) -> None:
    """EIP-211: nothing may be read behind it, not even nothing."""
    call = f"PUSH 0 PUSH 0 PUSH 0 PUSH 0 PUSH {number(OTHER)} GAS STATICCALL POP"
    copy = f"PUSH {size} PUSH {start} PUSH 0 RETURNDATACOPY"
    outcome = four_ways(world(f"{call} {copy} {END}", "PUSH 32 PUSH 0 RETURN"))
    assert (outcome.error is None) is (start + size <= 32)


@pytest.mark.parametrize(
    "account", [None, Contract(nonce=0), Contract(balance=1, nonce=0), Contract(nonce=1)]
)
def test_the_code_hash_of_what_is_empty_is_zero(account: Contract | None) -> None:
    """EIP-1052: of an account that is there and empty too (EIP-161)."""
    contracts = world(f"PUSH {number(GONE)} EXTCODEHASH PUSH 80 SSTORE {END}")
    if account is not None:
        contracts[GONE] = account
    assert four_ways(contracts).error is None


@pytest.mark.parametrize("size", [49_152, 49_153])
@pytest.mark.parametrize("opcode", ["CREATE", "CREATE2"])
def test_init_code_ends_at_48_kilobytes(opcode: str, size: int) -> None:
    """EIP-3860."""
    salt = "PUSH 0 " if opcode == "CREATE2" else ""
    code = f"{salt}PUSH {size} PUSH 0 PUSH 0 {opcode} PUSH 80 SSTORE {END}"
    assert (four_ways(world(code)).error is None) is (size == 49_152)


def test_nothing_is_created_at_the_deepest_frame() -> None:
    """Each frame calls the same code with all its gas; whoever cannot creates: at depth 1,024 that
    fails, and the creator's nonce stays."""
    code = (
        "PUSH 0 PUSH 0 PUSH 0 PUSH 0 PUSH 0 ADDRESS GAS CALL PUSH 60 JUMPI "
        "PUSH 0 PUSH 0 PUSH 0 CREATE PUSH 80 SSTORE"
    )
    assembled = assemble(code)
    padded = assembled.ljust(60, b"\x00") + assemble("JUMPDEST STOP")
    contracts = {CODE: Contract(padded, balance=1)}
    expected = run_message(contracts, Engine.STOCK, gas=10**13)[0]
    for way in WAYS:
        assert run_message(contracts, way, gas=10**13)[0].seen == expected.seen


@pytest.mark.parametrize("engine", [EvmComputation, Engine.STOCK], ids=["ours", "stock"])
def test_a_delegated_account_that_calls_itself_is_no_new_transaction(engine: Any) -> None:
    """Its CREATE pays for init code once (EIP-3860), whoever is the transaction's sender."""
    create = bytes.fromhex("6133ff6000526002601e6000f000")
    delegated = Contract(b"\xef\x01\x00" + CODE, balance=10**20)
    world_ = {CODE: Contract(create), SENDER: delegated}
    assert run_message(world_, engine, to=SENDER, gas=300_000)[0].gas_left == 262_975
