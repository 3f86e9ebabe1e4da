"""One message on a small state in memory, run by any of the ways we have, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from eth.exceptions import VMError

from dst.execution.environment import BlockEnvironment, Engine, Interrupt
from dst.execution.evm.computation import EvmComputation
from dst.execution.evm.messages import Messages
from dst.execution.interrupts import never
from dst.execution.state.commit import commit
from dst.execution.state.nodes import EMPTY_REF, NodeStore
from dst.execution.state.overlay import BlockState
from dst.execution.state.reader import StateReader
from dst.spec.primitives import Address, Hash32

SENDER = Address(b"\x5e" * 20)
CODE = Address(b"\xc0" * 20)
COINBASE = Address(b"\xfe" * 20)
GAS = 1_000_000


class Cold(EvmComputation):
    """Opcode by opcode."""

    hot_runs = None
    skips_empty_calls = True


class Hot(EvmComputation):
    """Every block is translated before it runs."""

    hot_runs = 0
    skips_empty_calls = True


class Watched(EvmComputation):
    """As a tracer subclasses: no shortcut."""

    hot_runs = None


ENVIRONMENT = BlockEnvironment(
    chain_id=901,
    number=7,
    timestamp=1_700_000_000,
    fee_recipient=COINBASE,
    prev_randao=Hash32(b"\x77" * 32),
    gas_limit=30_000_000,
    base_fee_per_gas=1_000_000_007,
    parent_hash=Hash32(b"\x06" * 32),
    parent_beacon_block_root=Hash32(b"\x22" * 32),
    ancestor_hash=lambda number: bytes([number]) * 32 if 0 <= number < 7 else b"",
)


@dataclass(frozen=True)
class Contract:
    code: bytes = b""
    balance: int = 0
    nonce: int = 1
    storage: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    error: type[VMError] | None
    output: bytes
    gas_left: int
    refund: int
    logs: tuple[Any, ...]
    root: bytes
    """State root after the transaction's end."""

    @property
    def kind(self) -> str:
        """Exceptional halts are one kind: nothing in the protocol tells them apart."""
        if self.error is None:
            return "success"
        return "exceptional" if self.error.burns_gas else "revert"

    @property
    def seen(self) -> "Outcome":
        """What the protocol sees."""
        return replace(self, error=None if self.error is None else VMError)


def make_reader(contracts: Mapping[Address, Contract]) -> StateReader:
    nodes: dict[bytes, bytes] = {}
    codes: dict[bytes, bytes] = {}
    cache = NodeStore(nodes.get)
    state = BlockState(StateReader(cache, codes.__getitem__, EMPTY_REF))
    for address, contract in {SENDER: Contract(balance=10**20), **contracts}.items():
        state.set_balance(address, contract.balance)
        state.set_nonce(address, contract.nonce)
        if contract.code:
            state.set_code(address, contract.code)
        for slot, value in contract.storage.items():
            state.set_storage(address, slot, value)
    result = commit(state)
    nodes |= result.nodes
    codes |= result.codes
    return StateReader(cache, codes.__getitem__, result.root_ref)


def run_message(
    contracts: Mapping[Address, Contract],
    way: type[EvmComputation] | Engine = EvmComputation,
    *,
    to: Address | bytes = CODE,
    data: bytes = b"",
    value: int = 0,
    gas: int = GAS,
    interrupt: Interrupt = never,
) -> tuple[Outcome, Any]:
    """The outcome, and the outermost computation."""
    engine = way if isinstance(way, Engine) else Engine.FAST
    messages = Messages(
        make_reader(contracts),
        replace(ENVIRONMENT, engine=engine),
        interrupt,
        computation_class=None if isinstance(way, Engine) else way,
    )
    accounts = messages.accounts
    accounts.begin_transaction()
    accounts.buy_gas(SENDER, 0)
    computation = messages.message(
        sender=SENDER, to=Address(to), value=value, data=data, gas=gas, gas_price=9, nonce=1
    )
    error = computation.error if computation.is_error else None
    logs = tuple(computation.get_log_entries())
    refund = computation.get_gas_refund()
    for address in computation.get_accounts_for_deletion():
        accounts.destroy_at_the_end(address)
    accounts.clear_accounts()
    outcome = Outcome(
        error=None if error is None else type(error),
        output=bytes(computation.output),
        gas_left=computation.get_gas_remaining(),
        refund=refund,
        logs=logs,
        root=commit(accounts).root,
    )
    return outcome, computation


def outcome_of(code: bytes, way: type[EvmComputation] | Engine, **changes: Any) -> Outcome:
    """Of one contract alone."""
    contract = Contract(code, balance=1_000, storage={0: 5, 1: 2**255})
    return run_message({CODE: contract}, way, **changes)[0]


def assemble(text: str, **labels: int) -> bytes:
    """Opcodes by name; `PUSH 5` takes as many bytes as it needs, `@name` a label's two, `:name` is
    a JUMPDEST with that label, and 0x... are bytes as they are."""
    words = text.split()
    code, places, holes = bytearray(), dict(labels), []
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        if word.startswith(":"):
            places[word[1:]] = len(code)
            code.append(0x5B)
        elif word.startswith("0x"):
            code += bytes.fromhex(word[2:])
        elif word == "PUSH":
            operand = words[position]
            position += 1
            if operand.startswith("@"):
                holes.append((len(code) + 1, operand[1:]))
                code += b"\x61\0\0"
            else:
                code += push(int(operand, 0))
        else:
            code.append(opcode_of(word))
    for at, name in holes:
        code[at : at + 2] = places[name].to_bytes(2, "big")
    return bytes(code)


def push(value: int) -> bytes:
    data = value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")
    return bytes([0x5F + len(data)]) + data


_NAMES = {
    0x00: "STOP ADD MUL SUB DIV SDIV MOD SMOD ADDMOD MULMOD EXP SIGNEXTEND",
    0x10: "LT GT SLT SGT EQ ISZERO AND OR XOR NOT BYTE SHL SHR SAR",
    0x20: "KECCAK256",
    0x30: "ADDRESS BALANCE ORIGIN CALLER CALLVALUE CALLDATALOAD CALLDATASIZE CALLDATACOPY CODESIZE"
    " CODECOPY GASPRICE EXTCODESIZE EXTCODECOPY RETURNDATASIZE RETURNDATACOPY EXTCODEHASH",
    0x40: "BLOCKHASH COINBASE TIMESTAMP NUMBER PREVRANDAO GASLIMIT CHAINID SELFBALANCE BASEFEE"
    " BLOBHASH BLOBBASEFEE",
    0x50: "POP MLOAD MSTORE MSTORE8 SLOAD SSTORE JUMP JUMPI PC MSIZE GAS JUMPDEST TLOAD TSTORE"
    " MCOPY PUSH0",
    0xA0: "LOG0 LOG1 LOG2 LOG3 LOG4",
    0xF0: "CREATE CALL CALLCODE RETURN DELEGATECALL CREATE2",
    0xFA: "STATICCALL",
    0xFD: "REVERT INVALID SELFDESTRUCT",
}
_OPCODES = {
    name: start + number
    for start, names in _NAMES.items()
    for number, name in enumerate(names.split())
}
_OPCODES |= {f"DUP{number}": 0x7F + number for number in range(1, 17)}
_OPCODES |= {f"SWAP{number}": 0x8F + number for number in range(1, 17)}


def opcode_of(name: str) -> int:
    return _OPCODES[name]
