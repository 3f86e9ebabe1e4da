"""CALL, CALLCODE, DELEGATECALL, STATICCALL, CREATE and CREATE2: a computation makes a child.

Each takes its operands off the stack, pays, makes a message and runs it. py-evm's own do the same
through a message and a computation that check themselves, at ten times the price of the call.

Any exceptional halt burns all gas of the frame and undoes it, so the checks that raise come in
whichever order is simplest. What a child may see (gas left, accounts touched, memory) is settled
before it runs.

Source: EIP-150 (63/64), EIP-161, EIP-211 (return data), EIP-214 (static), EIP-1014 (CREATE2),
EIP-2929 (access), EIP-3860 (init code), EIP-7610 (collision), EIP-7702 (delegation).
"""

from typing import Any, Final, TypeAlias

from eth.exceptions import InsufficientStack, OutOfGas, VMError, WriteProtection

from dst.crypto.keccak import keccak256
from dst.execution.evm.message import CREATE, CallData, EvmMessage
from dst.execution.evm.program import NO_CODE, Program, program_at
from dst.execution.state.overlay import ABSENT
from dst.spec import rlp
from dst.spec.primitives import Address

Computation: TypeAlias = Any

STACK_DEPTH_LIMIT: Final = 1_024
MAX_INIT_CODE_BYTES: Final = 49_152
MAX_NONCE: Final = 2**64 - 1
GAS_WARM_ACCESS: Final = 100
GAS_COLD_ACCOUNT_ACCESS: Final = 2_600
GAS_VALUE: Final = 9_000
GAS_NEW_ACCOUNT: Final = 25_000
GAS_STIPEND: Final = 2_300
GAS_CREATE: Final = 32_000
GAS_INIT_CODE_WORD: Final = 2
GAS_KECCAK_WORD: Final = 6

LONG_BYTES: Final = 1_024
"""Call data from here on is not copied."""
_ADDRESS_MASK: Final = 2**160 - 1


def call(computation: Computation) -> None:
    stack = computation.stack
    if len(stack) < 7:
        raise InsufficientStack("CALL takes 7 stack items")
    out_size, out_at, in_size, in_at, value, to, gas = stack[-7:]
    del stack[-7:]
    message = computation.msg
    if value and message.is_static:
        raise WriteProtection("value moved inside of a static call")
    _extend_memory(computation, in_at, in_size, out_at, out_size)
    address = (to & _ADDRESS_MASK).to_bytes(20, "big")
    program, code_address = _load_code(computation, address)
    if not value:
        gas = _allot(computation, gas, 0)
        if program is NO_CODE and computation.skips_empty_calls:
            _call_no_code(computation, address, gas, address, in_at, in_size, out_at, out_size)
            return
    else:
        empty = computation.accounts.account_is_empty(address)
        gas = GAS_STIPEND + _allot(
            computation, gas, GAS_VALUE + GAS_NEW_ACCOUNT if empty else GAS_VALUE
        )
        if _cannot_pay(computation, value):
            _refuse(computation, gas)
            return
    if message.depth >= STACK_DEPTH_LIMIT:
        _refuse(computation, gas)
        return
    child = EvmMessage(
        gas,
        address,
        message.storage_address,
        value,
        _call_data(computation, in_at, in_size),
        program,
        message.depth + 1,
        address,
        code_address,
        True,
        message.is_static,
        code_address != address,
    )
    _run(computation, child, out_at, out_size)


def call_code(computation: Computation) -> None:
    """The other's code on the own storage."""
    stack = computation.stack
    if len(stack) < 7:
        raise InsufficientStack("CALLCODE takes 7 stack items")
    out_size, out_at, in_size, in_at, value, to, gas = stack[-7:]
    del stack[-7:]
    message = computation.msg
    _extend_memory(computation, in_at, in_size, out_at, out_size)
    address = (to & _ADDRESS_MASK).to_bytes(20, "big")
    program, code_address = _load_code(computation, address)
    gas = _allot(computation, gas, GAS_VALUE if value else 0)
    if value:
        gas += GAS_STIPEND
    elif program is NO_CODE and computation.skips_empty_calls:
        storage = message.storage_address
        _call_no_code(computation, address, gas, storage, in_at, in_size, out_at, out_size)
        return
    if message.depth >= STACK_DEPTH_LIMIT or _cannot_pay(computation, value):
        _refuse(computation, gas)
        return
    child = EvmMessage(
        gas,
        message.storage_address,
        message.storage_address,
        value,
        _call_data(computation, in_at, in_size),
        program,
        message.depth + 1,
        message.storage_address,
        code_address,
        True,
        message.is_static,
        code_address != address,
    )
    _run(computation, child, out_at, out_size)


def delegate_call(computation: Computation) -> None:
    """The other's code on the own storage, as if called by the own caller with the own value."""
    stack = computation.stack
    if len(stack) < 6:
        raise InsufficientStack("DELEGATECALL takes 6 stack items")
    out_size, out_at, in_size, in_at, to, gas = stack[-6:]
    del stack[-6:]
    message = computation.msg
    _extend_memory(computation, in_at, in_size, out_at, out_size)
    address = (to & _ADDRESS_MASK).to_bytes(20, "big")
    program, code_address = _load_code(computation, address)
    gas = _allot(computation, gas, 0)
    if program is NO_CODE and computation.skips_empty_calls:
        _call_no_code(computation, address, gas, None, in_at, in_size, out_at, out_size)
        return
    if message.depth >= STACK_DEPTH_LIMIT:
        _refuse(computation, gas)
        return
    child = EvmMessage(
        gas,
        message.storage_address,
        message.sender,
        message.value,
        _call_data(computation, in_at, in_size),
        program,
        message.depth + 1,
        message.storage_address,
        code_address,
        False,
        message.is_static,
        code_address != address,
    )
    _run(computation, child, out_at, out_size)


def static_call(computation: Computation) -> None:
    stack = computation.stack
    if len(stack) < 6:
        raise InsufficientStack("STATICCALL takes 6 stack items")
    out_size, out_at, in_size, in_at, to, gas = stack[-6:]
    del stack[-6:]
    message = computation.msg
    _extend_memory(computation, in_at, in_size, out_at, out_size)
    address = (to & _ADDRESS_MASK).to_bytes(20, "big")
    program, code_address = _load_code(computation, address)
    gas = _allot(computation, gas, 0)
    if program is NO_CODE and computation.skips_empty_calls:
        _call_no_code(computation, address, gas, address, in_at, in_size, out_at, out_size)
        return
    if message.depth >= STACK_DEPTH_LIMIT:
        _refuse(computation, gas)
        return
    child = EvmMessage(
        gas,
        address,
        message.storage_address,
        0,
        _call_data(computation, in_at, in_size),
        program,
        message.depth + 1,
        address,
        code_address,
        True,
        True,
        code_address != address,
    )
    _run(computation, child, out_at, out_size)


def create(computation: Computation) -> None:
    value, at, size = computation.stack_pop_ints(3)
    init_code = _init_code(computation, value, at, size, 0)
    if init_code is None:
        return
    sender = computation.msg.storage_address
    nonce = computation.accounts.get_nonce(sender)
    _run_init_code(computation, value, init_code, contract_address(sender, nonce))


def create2(computation: Computation) -> None:
    value, at, size, salt = computation.stack_pop_ints(4)
    init_code = _init_code(computation, value, at, size, GAS_KECCAK_WORD)
    if init_code is None:
        return
    preimage = (
        b"\xff" + computation.msg.storage_address + salt.to_bytes(32, "big") + keccak256(init_code)
    )
    _run_init_code(computation, value, init_code, Address(keccak256(preimage)[12:]))


def contract_address(sender: bytes, nonce: int) -> Address:
    """Of what `sender` creates with this nonce. Source: yellow paper section 7."""
    data = rlp.encode_list(rlp.encode_bytes(sender), rlp.encode_int(nonce))
    return Address(keccak256(data)[12:])


# the steps of a call


def _extend_memory(
    computation: Computation, in_at: int, in_size: int, out_at: int, out_size: int
) -> None:
    end = max(in_at + in_size if in_size else 0, out_at + out_size if out_size else 0)
    if end > len(computation.memory):
        computation.expand_memory(end)


def _load_code(computation: Computation, address: bytes) -> tuple[Program, bytes]:
    """Pay for the account, and for the one it delegates to; the code, and where it is from."""
    _access(computation, address)
    program = program_at(computation.accounts, address)
    delegate = program.delegate
    if delegate is None:
        return program, address
    _access(computation, delegate)
    return program_at(computation.accounts, delegate), delegate


def _access(computation: Computation, address: bytes) -> None:
    accounts = computation.accounts
    warm = accounts.warm
    if address in warm:
        left = computation.gas_left - GAS_WARM_ACCESS
    else:
        left = computation.gas_left - GAS_COLD_ACCOUNT_ACCESS
        accounts.undo.extend((warm, address, ABSENT))
        warm[address] = None
    if left < 0:
        raise OutOfGas("account access")
    computation.gas_left = left


def _allot(computation: Computation, wanted: int, extra: int) -> int:
    """Pay `extra` and the child's gas: what is asked for, at most all but a 64th (EIP-150)."""
    left: int = computation.gas_left - extra
    if left < 0:
        raise OutOfGas("message call")
    gas = min(wanted, left - left // 64)
    computation.gas_left = left - gas
    return gas


def _cannot_pay(computation: Computation, value: int) -> bool:
    balance: int = computation.accounts.get_balance(computation.msg.storage_address)
    return balance < value


def _refuse(computation: Computation, gas: int) -> None:
    """Too deep, or too poor: the call fails, its gas comes back."""
    computation.gas_left += gas
    computation.return_data = b""
    computation.stack.append(0)


def _call_no_code(
    computation: Computation,
    address: bytes,
    gas: int,
    touched: bytes | None,
    in_at: int,
    in_size: int,
    out_at: int,
    out_size: int,
) -> None:
    """A call without value to a precompile or to nobody, and nobody watches: no computation is
    made. `touched`: whom it touches (EIP-161); a delegation to a precompile runs none (EIP-7702).
    """
    if computation.msg.depth >= STACK_DEPTH_LIMIT:
        _refuse(computation, gas)
        return
    accounts, state = computation.accounts, computation.state
    checkpoint = len(accounts.undo)
    if touched is not None:
        accounts.touch_account(touched)
    precompile = computation._precompiles.get(address)
    output = b""
    if precompile is not None:
        state.interrupt()
        try:
            data = _call_data(computation, in_at, in_size)
            gas, output = precompile.answer(data, gas, state.interrupt)
        except VMError:
            accounts.discard(checkpoint, state.interrupt)
            computation.return_data = b""
            computation.stack.append(0)
            return
    computation.gas_left += gas
    computation.stack.append(1)
    _take_output(computation, output, out_at, out_size)


def _take_output(computation: Computation, output: bytes, out_at: int, out_size: int) -> None:
    computation.return_data = output
    if out_size and output:
        written = output[:out_size]
        computation.memory[out_at : out_at + len(written)] = written


def _call_data(computation: Computation, at: int, size: int) -> bytes | CallData:
    if not size:
        return b""
    if size < LONG_BYTES:
        data: bytes = computation.memory_read_bytes(at, size)
        return data
    return CallData(computation.memory, at, size)


def _run(computation: Computation, message: EvmMessage, out_at: int, out_size: int) -> None:
    """Run a child call, and take over what it leaves."""
    data = message.data
    child = computation.apply_message(
        computation.state, message, computation.transaction_context, computation
    )
    error = child._error
    if error is None:
        output = child._output
        computation.gas_refunded += child.gas_refunded
        computation.stack.append(1)
    else:
        output = b"" if error.erases_return_data else child._output
        computation.stack.append(0)
    computation.gas_left += child.gas_left
    if type(data) is CallData:
        data.end()
    _take_output(computation, output, out_at, out_size)


# the steps of a creation


def _init_code(
    computation: Computation, value: int, at: int, size: int, gas_per_word: int
) -> bytes | None:
    """Pay for a creation and read its init code; None when it fails without having begun."""
    message = computation.msg
    if message.is_static:
        raise WriteProtection("creation inside of a static call")
    if size > MAX_INIT_CODE_BYTES:
        raise OutOfGas(f"init code of {size} bytes")
    words = (size + 31) // 32
    computation.consume_gas(GAS_CREATE + (GAS_INIT_CODE_WORD + gas_per_word) * words, "creation")
    computation.extend_memory(at, size)
    computation.return_data = b""
    account = computation.accounts.account(message.storage_address)
    balance, nonce = (account.balance, account.nonce) if account else (0, 0)
    if balance < value or nonce >= MAX_NONCE or message.depth >= STACK_DEPTH_LIMIT:
        computation.stack.append(0)
        return None
    init_code: bytes = computation.memory_read_bytes(at, size)
    return init_code


def _run_init_code(
    computation: Computation, value: int, init_code: bytes, address: Address
) -> None:
    accounts, message = computation.accounts, computation.msg
    gas = _allot(computation, computation.gas_left, 0)
    accounts.increment_nonce(message.storage_address)
    accounts.mark_address_warm(address)
    if accounts.account_has_code_or_nonce(address):
        computation.stack.append(0)  # and the gas is gone
        return
    child = computation.apply_create_message(
        computation.state,
        EvmMessage(
            gas,
            CREATE,
            message.storage_address,
            value,
            b"",
            Program(init_code),
            message.depth + 1,
            address,
            CREATE,
            True,
            False,
            False,
        ),
        computation.transaction_context,
        computation,
    )
    error = child._error
    computation.gas_left += child.gas_left
    if error is None:
        computation.gas_refunded += child.gas_refunded
        computation.stack.append(int.from_bytes(address, "big"))
    else:
        computation.return_data = b"" if error.erases_return_data else child._output
        computation.stack.append(0)
