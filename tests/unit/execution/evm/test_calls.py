"""Children: our calls and creations against unmodified py-evm's, and the rules that it gets wrong.

Every case runs four ways (cold, translated, watched as a tracer watches, stock), and all that the
protocol sees must be equal: output, gas, refund, logs, state root.
"""

import pytest

from dst.execution.environment import Engine
from dst.execution.evm.calls import LONG_BYTES, contract_address
from dst.execution.evm.computation import EvmComputation
from dst.execution.evm.message import CallData
from dst.spec.primitives import Address
from tests.unit.execution.evm.arena import (
    CODE,
    SENDER,
    Cold,
    Contract,
    Hot,
    Outcome,
    Watched,
    assemble,
    run_message,
)

pytestmark = pytest.mark.filterwarnings("ignore:SELFDESTRUCT")

OTHER, RICH, EMPTY = Address(b"\x0a" * 20), Address(b"\x0b" * 20), Address(b"\x0e" * 20)
WAYS = (Cold, Hot, Watched, EvmComputation)


def number(address: bytes) -> str:
    return str(int.from_bytes(address, "big"))


def call(opcode: str, to: bytes, *, gas: str = "PUSH 100000", value: int = 0, send: int = 0) -> str:
    """Call data from memory 0, return data to memory 0, 32 bytes of it."""
    with_value = f"PUSH {value}" if opcode in ("CALL", "CALLCODE") else ""
    return f"PUSH 32 PUSH 0 PUSH {send} PUSH 0 {with_value} PUSH {number(to)} {gas} {opcode}"


KEEP = "PUSH {} SSTORE"
"""What is on top of the stack, for the state root to tell."""
END = "GAS PUSH 90 SSTORE RETURNDATASIZE PUSH 91 SSTORE PUSH 0 MLOAD PUSH 92 SSTORE STOP"

CALLEES = {
    "returns": "PUSH 77 PUSH 0 MSTORE PUSH 32 PUSH 0 RETURN",
    "reverts with data": "PUSH 1 PUSH 1 SSTORE PUSH 66 PUSH 0 MSTORE PUSH 40 PUSH 0 REVERT",
    "fails": "PUSH 1 PUSH 1 SSTORE INVALID",
    "writes": "CALLER PUSH 1 SSTORE CALLVALUE PUSH 2 SSTORE ADDRESS PUSH 3 SSTORE STOP",
    "logs": "CALLVALUE PUSH 0 MSTORE PUSH 5 PUSH 32 PUSH 0 LOG1 STOP",
    "clears": "PUSH 0 PUSH 7 SSTORE STOP",
    "clears and reverts": "PUSH 0 PUSH 7 SSTORE PUSH 0 PUSH 0 REVERT",
    "keeps transient": "PUSH 1 TLOAD PUSH 9 TSTORE PUSH 4 PUSH 1 TSTORE PUSH 1 TLOAD PUSH 5 SSTORE",
    "sees its gas": "GAS PUSH 0 MSTORE PUSH 32 PUSH 0 RETURN",
    "destroys itself": f"PUSH {number(EMPTY)} SELFDESTRUCT",
    "echoes": "CALLDATASIZE PUSH 0 PUSH 0 CALLDATACOPY CALLDATASIZE PUSH 0 RETURN",
    "creates": "PUSH 0 PUSH 0 PUSH 1 CREATE PUSH 4 SSTORE STOP",
    "delegates": f"0xef0100{RICH.hex()}",
    "delegates to a precompile": "0xef0100" + "00" * 19 + "02",
    "delegates to nobody": f"0xef0100{EMPTY.hex()}",
    "delegates in a circle": f"0xef0100{OTHER.hex()}",
    "has no code": "",
}


def four_ways(contracts: dict[Address, Contract], gas: int = 1_000_000, value: int = 0) -> Outcome:
    expected = run_message(contracts, Engine.STOCK, gas=gas, value=value)[0]
    for way in WAYS:
        assert run_message(contracts, way, gas=gas, value=value)[0].seen == expected.seen
    return expected


def world(code: str, callee: str = "") -> dict[Address, Contract]:
    return {
        CODE: Contract(assemble(code), balance=10**6, storage={7: 1}),
        OTHER: Contract(assemble(callee), balance=50, storage={7: 1, 1: 3}),
        RICH: Contract(assemble("PUSH 5 PUSH 6 SSTORE ADDRESS PUSH 8 SSTORE"), balance=10**9),
    }


KINDS = [
    *((opcode, value) for opcode in ("CALL", "CALLCODE") for value in (0, 1, 10**7)),
    ("DELEGATECALL", 0),
    ("STATICCALL", 0),
]


@pytest.mark.parametrize(("opcode", "value"), KINDS)
@pytest.mark.parametrize("callee", CALLEES)
def test_a_child(opcode: str, callee: str, value: int) -> None:
    once = call(opcode, OTHER, value=value, send=4)
    code = f"{once} {KEEP.format(80)} {once} {KEEP.format(81)} {END}"
    assert four_ways(world(code, CALLEES[callee])).error is None


PRECOMPILED = [Address(bytes(19) + bytes([number])) for number in range(1, 0x12)]


@pytest.mark.parametrize("gas", ["PUSH 100000", "PUSH 59"])
@pytest.mark.parametrize("target", [EMPTY, *PRECOMPILED])
@pytest.mark.parametrize(("opcode", "value"), KINDS)
def test_a_child_without_code(opcode: str, value: int, target: Address, gas: str) -> None:
    """Many precompiles refuse these 32 bytes, or are not paid for."""
    once = call(opcode, target, value=value, send=32, gas=gas)
    code = f"PUSH 99 PUSH 0 MSTORE {once} PUSH 80 SSTORE {END}"
    assert four_ways(world(code)).error is None


@pytest.mark.parametrize("opcode", ["CALL", "CALLCODE", "DELEGATECALL", "STATICCALL"])
@pytest.mark.parametrize("final", [1, 2])
def test_a_precompile_with_an_input_that_it_takes_or_refuses(opcode: str, final: int) -> None:
    """BLAKE2F of zeros; the output is longer than what the caller makes room for."""
    setup = f"PUSH 1 PUSH 3 MSTORE8 PUSH {final} PUSH 212 MSTORE8"
    once = call(opcode, PRECOMPILED[8], send=213)
    keep = f"PUSH 80 SSTORE PUSH 64 MLOAD PUSH 81 SSTORE {END}"
    assert four_ways(world(f"{setup} {once} {keep}")).error is None


@pytest.mark.parametrize("opcode", ["CALL", "CALLCODE", "DELEGATECALL", "STATICCALL"])
def test_a_precompile_as_deep_as_calls_go(opcode: str) -> None:
    """The contract calls itself until that fails; every frame then calls identity."""
    itself = call("CALL", CODE, gas="GAS")
    code = f"{itself} POP {call(opcode, PRECOMPILED[3], send=4)} PUSH 80 SSTORE {END}"
    four_ways(world(code), gas=10**12)


@pytest.mark.parametrize("wanted", ["PUSH 0", "PUSH 2300", "GAS", f"PUSH {2**255}"])
@pytest.mark.parametrize("value", [0, 1])
def test_a_child_gets_all_but_a_64th_and_the_stipend(wanted: str, value: int) -> None:
    code = f"{call('CALL', OTHER, gas=wanted, value=value)} PUSH 80 SSTORE {END}"
    four_ways(world(code, CALLEES["sees its gas"]))


@pytest.mark.parametrize("gas", [*range(0, 13_000, 251), 36_000, 37_000])
def test_gas_may_run_out_anywhere(gas: int) -> None:
    code = (
        f"{call('CALL', OTHER, gas='GAS', value=1)} {call('CALL', EMPTY, gas='GAS', value=1)} STOP"
    )
    four_ways(world(code, CALLEES["returns"]), gas=gas)


@pytest.mark.parametrize("inner", ["CALL", "CALLCODE", "DELEGATECALL", "STATICCALL"])
@pytest.mark.parametrize(
    "callee", ["writes", "logs", "creates", "keeps transient", "destroys itself"]
)
def test_static_holds_through_children(inner: str, callee: str) -> None:
    """STATICCALL to a contract that passes the call on."""
    contracts = world(
        f"{call('STATICCALL', OTHER)} PUSH 80 SSTORE {END}", call(inner, EMPTY) + " STOP"
    )
    contracts[EMPTY] = Contract(assemble(CALLEES[callee]))
    assert four_ways(contracts).error is None


def test_value_in_a_static_call_is_an_exceptional_halt() -> None:
    contracts = world(
        f"{call('STATICCALL', OTHER)} PUSH 80 SSTORE {END}", call("CALL", EMPTY, value=1) + " STOP"
    )
    four_ways(contracts)


def test_warmth_goes_with_the_frame_that_reverts() -> None:
    callee = f"PUSH {number(EMPTY)} BALANCE PUSH 123 SLOAD PUSH 0 PUSH 0 REVERT"
    again = f"GAS PUSH {number(EMPTY)} BALANCE GAS SWAP1 POP SWAP1 SUB PUSH 85 SSTORE"
    four_ways(world(f"{call('DELEGATECALL', OTHER)} PUSH 80 SSTORE {again} {END}", callee))


INIT = {
    "returns a byte of code": "PUSH 1 PUSH 0 RETURN",
    "returns nothing": "STOP",
    "reverts with data": "PUSH 9 PUSH 0 MSTORE PUSH 32 PUSH 0 REVERT",
    "fails": "INVALID",
    "returns 0xef": "PUSH 0xef PUSH 0 MSTORE8 PUSH 1 PUSH 0 RETURN",
    "returns too much": "PUSH 24577 PUSH 0 RETURN",
    "returns all it may": "PUSH 24576 PUSH 0 RETURN",
    "destroys itself": "CALLER SELFDESTRUCT",
    "destroys itself for itself": "ADDRESS SELFDESTRUCT",
    "stores and creates": "PUSH 3 PUSH 3 SSTORE PUSH 0 PUSH 0 PUSH 0 CREATE PUSH 4 SSTORE",
    "calls its creator": "PUSH 0 PUSH 0 PUSH 0 PUSH 0 PUSH 1 CALLER GAS CALL PUSH 3 SSTORE",
}


def creation(init: bytes, opcode: str, value: int = 2) -> str:
    stores = " ".join(
        f"PUSH {int.from_bytes(init[at : at + 32].ljust(32, bytes(1)), 'big')} PUSH {at} MSTORE"
        for at in range(0, len(init), 32)
    )
    salt = "PUSH 5" if opcode == "CREATE2" else ""
    return f"{stores} {salt} PUSH {len(init)} PUSH 0 PUSH {value} {opcode}"


@pytest.mark.parametrize("gas", [60_000, 6_000_000])
@pytest.mark.parametrize("value", [0, 2, 10**7])
@pytest.mark.parametrize("opcode", ["CREATE", "CREATE2"])
@pytest.mark.parametrize("init", INIT)
def test_a_creation(init: str, opcode: str, value: int, gas: int) -> None:
    once = creation(assemble(INIT[init]), opcode, value)
    again = f"DUP1 PUSH 80 SSTORE EXTCODEHASH PUSH 81 SSTORE {once} PUSH 82 SSTORE"
    four_ways(world(f"{once} {again} {END}"), gas=gas)


@pytest.mark.parametrize(
    "there", [Contract(b"\x00", nonce=0), Contract(nonce=1), Contract(nonce=0)]
)
def test_a_creation_where_something_is(there: Contract) -> None:
    contracts = world(f"{creation(b'', 'CREATE')} PUSH 80 SSTORE {END}")
    contracts[contract_address(CODE, 1)] = there
    four_ways(contracts)


def test_a_creation_over_storage_fails() -> None:
    """EIP-7610: an account with storage alone; its slots stay."""
    contracts = world(f"{creation(b'', 'CREATE')} PUSH 80 SSTORE {END}")
    contracts[contract_address(CODE, 1)] = Contract(nonce=0, storage={1: 1})
    four_ways(contracts)


@pytest.mark.parametrize("value", [0, 10**7])
@pytest.mark.parametrize("opcode", ["CREATE", "CREATE2"])
def test_init_code_too_long_is_an_exceptional_halt_also_for_the_poor(
    opcode: str, value: int
) -> None:
    """EIP-3860. py-evm lets a creation that cannot be paid fail first, without the halt."""
    salt = "PUSH 5" if opcode == "CREATE2" else ""
    code = f"{salt} PUSH 49153 PUSH 0 PUSH {value} {opcode} STOP"
    for way in WAYS:
        assert run_message(world(code), way)[0].kind == "exceptional"
    if value == 0:
        assert run_message(world(code), Engine.STOCK)[0].kind == "exceptional"


def test_a_delegated_origin_creates_at_the_price_of_all() -> None:
    """EIP-7702: the sender runs code of its own. py-evm charges its init code twice then."""
    contracts = world("PUSH 64 PUSH 0 PUSH 0 CREATE POP STOP")
    contracts[OTHER] = contracts[CODE]
    direct = run_message(contracts, Cold, to=OTHER)[0]
    contracts[SENDER] = Contract(b"\xef\x01\x00" + OTHER, balance=10**20)
    own = run_message(contracts, Cold, to=SENDER)[0]
    assert own.kind == direct.kind == "success"
    assert own.gas_left == direct.gas_left


def test_long_call_data_is_not_copied_and_the_memory_grows_again_afterwards() -> None:
    size = 40 * LONG_BYTES
    reads = (
        "PUSH 0 CALLDATALOAD PUSH 1 SSTORE PUSH 10 PUSH 3 PUSH 0 CALLDATACOPY CALLDATASIZE PUSH 2"
    )
    code = (
        f"PUSH 7 PUSH 0 MSTORE {call('CALL', OTHER, send=size)} PUSH 80 SSTORE"
        f" {call('CALL', Address(bytes(19) + bytes([2])), send=size)} PUSH 81 SSTORE"
        f" PUSH 1 PUSH {3 * size} MSTORE {END}"
    )
    assert four_ways(world(code, f"{reads} SSTORE STOP")).error is None
    kept: list[object] = []

    class Keeping(EvmComputation):
        @classmethod
        def apply_message(cls, state, message, context, parent=None):  # type: ignore[no-untyped-def]
            kept.append(message.data)
            return super().apply_message(state, message, context, parent)

    run_message(world(code, "STOP"), Keeping)
    assert [type(data) for data in kept] == [bytes, CallData, CallData]


@pytest.mark.parametrize("precompile", range(1, 0x12))
def test_a_precompile_that_refuses_long_data_leaves_the_memory_free(precompile: int) -> None:
    """The refusal, an exception with its frames, may live on; the memory must grow all the same."""
    target = Address(precompile.to_bytes(20, "big"))
    size = LONG_BYTES + 33
    code = f"{call('CALL', target, send=size)} PUSH 80 SSTORE PUSH 1 PUSH 5000 MSTORE {END}"
    held: list[object] = []

    class Holding(Cold):
        @classmethod
        def apply_message(cls, state, message, context, parent=None):  # type: ignore[no-untyped-def]
            held.append(super().apply_message(state, message, context, parent))
            return held[-1]

    outcome = run_message(world(code), Holding)[0]
    assert outcome.kind == "success"
    assert outcome.seen == run_message(world(code), Hot)[0].seen


def test_an_empty_account_of_the_state_is_deleted_when_it_is_touched() -> None:
    """EIP-161: accounts that are empty in the genesis state."""
    for touch in (
        call("CALL", EMPTY),
        call("STATICCALL", EMPTY),
        f"PUSH {number(EMPTY)} SELFDESTRUCT",
    ):
        contracts = world(f"{touch} STOP") | {EMPTY: Contract(nonce=0)}
        contracts[CODE] = Contract(contracts[CODE].code)
        before = run_message(contracts | {CODE: Contract(b"\x00")}, Cold)[0].root
        after = four_ways(contracts).root
        gone = four_ways({address: each for address, each in contracts.items() if address != EMPTY})
        assert after == gone.root != before


def test_ripemd_stays_touched_when_the_call_fails() -> None:
    ripemd = Address(bytes(19) + b"\x03")
    contracts = world(f"{call('CALL', ripemd, gas='PUSH 0')} STOP") | {ripemd: Contract(nonce=0)}
    four_ways(contracts)


def test_depth_ends_at_1024() -> None:
    """Counts the calls that began: each adds one to a slot and calls itself with all gas."""
    code = assemble("PUSH 1 TLOAD PUSH 1 ADD DUP1 PUSH 1 TSTORE POP") + assemble(
        "PUSH 0 PUSH 0 PUSH 0 PUSH 0 PUSH 0 ADDRESS GAS CALL PUSH 1 TLOAD PUSH 0 MSTORE"
        " PUSH 32 PUSH 0 RETURN"
    )
    outcomes = [
        run_message({CODE: Contract(code)}, way, gas=10**12)[0] for way in (Cold, Hot, Watched)
    ]
    assert {int.from_bytes(outcome.output, "big") for outcome in outcomes} == {1_025}
