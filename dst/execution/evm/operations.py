"""What opcodes do, as functions of integers and of a computation, for the code of `translator`.

An operation with a dynamic price takes the gas left and returns what is left then. The gas it gets
may already be short of the fixed prices of opcodes that come later in the same segment; `ahead` is
their sum for the one that asks how much there is (SSTORE). Running out here instead of there is the
same exceptional halt.

An operation that may take long, for its bytes or for an account or slot that is not warm, asks the
interrupt.

Source: yellow paper appendix H; EIP-1153, 2200, 2929, 3529, 5656.
"""

from typing import Any, Final, TypeAlias

from eth.exceptions import OutOfBoundsRead, OutOfGas, WriteProtection

from dst.crypto.keccak import hasher, keccak256
from dst.execution.evm.message import CallData
from dst.execution.state.account import EMPTY_CODE_HASH
from dst.execution.state.overlay import ABSENT

Computation: TypeAlias = Any

MAX: Final = 2**256 - 1
CEILING: Final = 2**256
_SIGN: Final = 2**255

GAS_WARM: Final = 100
GAS_COLD_ACCOUNT: Final = 2_600
GAS_COLD_SLOT: Final = 2_100
GAS_COPY_WORD: Final = 3
GAS_KECCAK_WORD: Final = 6
GAS_LOG_BYTE: Final = 8
GAS_SET: Final = 20_000
GAS_RESET: Final = 5_000 - GAS_COLD_SLOT
GAS_SSTORE_FLOOR: Final = 2_300
"""EIP-2200: SSTORE fails with so much gas or less."""
REFUND_CLEAR: Final = 4_800

BIG_BYTES: Final = 2**18
"""From here on an operation on bytes takes 0.1 to 1 ms."""
HASHED_UNASKED_BYTES: Final = 2**12
"""Hashing so much takes 10 to 20 us, much longer than asking the interrupt."""
_ADDRESS_MASK: Final = 2**160 - 1


# arithmetic


def signed(value: int) -> int:
    return value - CEILING if value & _SIGN else value


def sdiv(numerator: int, denominator: int) -> int:
    """Truncated towards zero; 0 by zero."""
    if not denominator:
        return 0
    numerator, denominator = signed(numerator), signed(denominator)
    quotient = abs(numerator) // abs(denominator)
    return (-quotient if (numerator < 0) != (denominator < 0) else quotient) & MAX


def smod(value: int, modulus: int) -> int:
    """The sign is the dividend's; 0 by zero."""
    if not modulus:
        return 0
    value, modulus = signed(value), signed(modulus)
    rest = abs(value) % abs(modulus)
    return (-rest if value < 0 else rest) & MAX


def signextend(size: int, value: int) -> int:
    """`value` as a signed number of `size` + 1 bytes."""
    if size > 30:
        return value
    sign = 1 << (8 * size + 7)
    return value | (CEILING - sign) if value & sign else value & (sign - 1)


def sar(shift: int, value: int) -> int:
    return (signed(value) >> min(shift, 256)) & MAX


# memory


def expand(computation: Computation, end: int, gas: int) -> int:
    computation.gas_left = gas
    computation.expand_memory(end)
    left: int = computation.gas_left
    return left


def keccak(computation: Computation, at: int, size: int, gas: int) -> tuple[int, int]:
    """Digest, and gas left. Hashed in pieces: 5 MB, which 50 Mgas buy, take longer than a step
    may; and so do a hundred of a few KB each, in code without a jump."""
    gas -= GAS_KECCAK_WORD * ((size + 31) >> 5)
    if gas < 0:
        raise OutOfGas("KECCAK256")
    end = at + size if size else 0
    memory = computation.memory
    if end > len(memory):
        gas = expand(computation, end, gas)
    if size <= BIG_BYTES:
        if size > HASHED_UNASKED_BYTES:
            computation.state.interrupt()
        return int.from_bytes(keccak256(bytes(memory[at:end])), "big"), gas
    pieces = hasher()
    for start in range(at, end, BIG_BYTES):
        pieces.update(bytes(memory[start : min(end, start + BIG_BYTES)]))
        computation.state.interrupt()
    return int.from_bytes(pieces.digest(), "big"), gas


def word_of(data: bytes | CallData, at: int) -> int:
    """32 bytes of call data from `at`, zeros behind its end."""
    word = data[at : at + 32]
    return int.from_bytes(word, "big") << 8 * (32 - len(word))


def copy_call_data(computation: Computation, to: int, start: int, size: int, gas: int) -> int:
    return _copy(computation, computation.msg.data, to, start, size, gas)


def copy_code(computation: Computation, to: int, start: int, size: int, gas: int) -> int:
    return _copy(computation, computation.msg.code, to, start, size, gas)


def copy_return_data(computation: Computation, to: int, start: int, size: int, gas: int) -> int:
    """EIP-211: reading behind the end is an exceptional halt."""
    if start + size > len(computation.return_data):
        raise OutOfBoundsRead("return data is shorter")
    return _copy(computation, computation.return_data, to, start, size, gas)


def copy_other_code(
    computation: Computation, account: int, to: int, start: int, size: int, gas: int
) -> int:
    address = address_of(account)
    gas = access(computation, address, gas)
    return _copy(computation, computation.accounts.get_code(address), to, start, size, gas)


def copy_memory(computation: Computation, to: int, start: int, size: int, gas: int) -> int:
    gas = _pay_for_copy(computation, max(to, start), size, gas)
    if size:
        memory = computation.memory
        memory[to : to + size] = memory[start : start + size]
    return gas


def _copy(
    computation: Computation, source: bytes | CallData, to: int, start: int, size: int, gas: int
) -> int:
    gas = _pay_for_copy(computation, to, size, gas)
    if size:
        piece = source[start : start + size]
        if len(piece) < size:
            piece = piece.ljust(size, b"\0")
        computation.memory[to : to + size] = piece
    return gas


def _pay_for_copy(computation: Computation, at: int, size: int, gas: int) -> int:
    gas -= GAS_COPY_WORD * ((size + 31) >> 5)
    if gas < 0:
        raise OutOfGas("copied bytes")
    if size:
        if at + size > len(computation.memory):
            gas = expand(computation, at + size, gas)
        if size > BIG_BYTES:
            computation.state.interrupt()
    return gas


def log(computation: Computation, at: int, size: int, topics: tuple[int, ...], gas: int) -> int:
    if computation.msg.is_static:
        raise WriteProtection("log inside of a static call")
    gas -= GAS_LOG_BYTE * size
    if gas < 0:
        raise OutOfGas("logged bytes")
    if size and at + size > len(computation.memory):
        gas = expand(computation, at + size, gas)
    computation.accounts.add_log(
        computation.msg.storage_address, topics, computation.memory_read_bytes(at, size)
    )
    if size > BIG_BYTES:
        computation.state.interrupt()
    return gas


# accounts and slots


def address_of(word: int) -> bytes:
    return (word & _ADDRESS_MASK).to_bytes(20, "big")


def access(computation: Computation, address: bytes, gas: int) -> int:
    """Pay for an account (EIP-2929)."""
    warm = computation.accounts.warm
    if address in warm:
        gas -= GAS_WARM
    else:
        gas -= GAS_COLD_ACCOUNT
        computation.accounts.undo.extend((warm, address, ABSENT))
        warm[address] = None
        computation.state.interrupt()
    if gas < 0:
        raise OutOfGas("account access")
    return gas


def code_hash_of(computation: Computation, address: bytes) -> int:
    """EXTCODEHASH: 0 of an empty account (EIP-1052)."""
    account = computation.accounts.account(address)
    if account is None or (
        account.code_hash == EMPTY_CODE_HASH and not account.nonce and not account.balance
    ):
        return 0
    return int.from_bytes(account.code_hash, "big")


def access_slot(computation: Computation, key: tuple[bytes, int], gas: int) -> int:
    """Pay for a slot that is not warm, and make it so."""
    accounts = computation.accounts
    accounts.undo.extend((accounts.warm, key, ABSENT))
    accounts.warm[key] = None
    gas -= GAS_COLD_SLOT
    if gas < 0:
        raise OutOfGas("storage access")
    computation.state.interrupt()
    return gas


def sstore(computation: Computation, slot: int, value: int, gas: int, ahead: int) -> int:
    """Source: EIP-2200 with the prices of EIP-2929 and EIP-3529."""
    if computation.msg.is_static:
        raise WriteProtection("storage written inside of a static call")
    if gas + ahead <= GAS_SSTORE_FLOOR:
        raise OutOfGas(f"SSTORE needs more than {GAS_SSTORE_FLOOR} gas")
    accounts = computation.accounts
    address = computation.msg.storage_address
    key = (address, slot)
    if key not in accounts.warm:
        gas = access_slot(computation, key, gas)
    current = accounts.get_storage(address, slot)
    if value == current:
        gas -= GAS_WARM
        if gas < 0:
            raise OutOfGas("SSTORE")
        return gas
    original = accounts.original.get(key, current)
    refund = 0
    if original == current:
        gas -= GAS_RESET if original else GAS_SET
        if original and not value:
            refund = REFUND_CLEAR
    else:
        gas -= GAS_WARM
        if original:
            refund = REFUND_CLEAR * (not value) - REFUND_CLEAR * (not current)
        if original == value:
            refund += (GAS_RESET if original else GAS_SET) - GAS_WARM
    if gas < 0:
        raise OutOfGas("SSTORE")
    computation.gas_refunded += refund
    accounts.set_storage(address, slot, value)
    return gas


def tstore(computation: Computation, slot: int, value: int) -> None:
    if computation.msg.is_static:
        raise WriteProtection("transient storage written inside of a static call")
    computation.accounts.set_transient(computation.msg.storage_address, slot, value)
