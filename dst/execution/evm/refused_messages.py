"""Calls and creations that made no message (too poor, too deep, the address taken), as the frame
that was not, how it ended, and what the opcode cost. Source: geth, what its tracers are told."""

from typing import Final

from dst.execution.evm import opcodes
from dst.execution.evm.tracer import Frame, Outcome, Step, to_address
from dst.spec.primitives import Address
from dst.transactions.gas import GAS_CREATE, GAS_PER_INIT_CODE_WORD

CALL_STIPEND: Final = 2_300
MAX_DEPTH: Final = 1_024
_GAS_PER_HASHED_WORD: Final = 6


def refusal(step: Step, spent: int) -> tuple[Frame, Outcome, int]:
    """The frame that was not, how it ended, and the cost of the opcode."""
    creates = step.opcode in opcodes.CREATES
    frame = _refused_creation(step) if creates else _refused_call(step)
    balance = step.computation.state.get_balance(step.address)
    if step.depth > MAX_DEPTH:
        error = "max call depth exceeded"
    elif balance < frame.value:
        error = "insufficient balance for transfer"
    elif step.computation.state.get_nonce(step.address) >= 2**64 - 1:
        error = "nonce uint64 overflow"
    else:
        price = _creation_price(step)
        frame.gas = _all_but_a_64th(step.gas - price)
        return frame, Outcome(error="contract address collision", gas_used=frame.gas), price
    if creates:
        return frame, Outcome(error=error), spent
    # py-evm gives the child's gas back at once, stipend included; the opcode's own price is what
    # is left of the difference.
    stipend = CALL_STIPEND if frame.value else 0
    price = spent + stipend
    frame.gas = min(step.arguments[0], _all_but_a_64th(step.gas - price)) + stipend
    return frame, Outcome(error=error), price + frame.gas - stipend


def _refused_call(step: Step) -> Frame:
    has_value = step.opcode in (opcodes.CALL, opcodes.CALLCODE)
    start, size = step.arguments[3:5] if has_value else step.arguments[2:4]
    return Frame(
        kind=step.name,
        sender=step.address,
        to=to_address(step.arguments[1]),
        value=step.arguments[2] if has_value else 0,
        gas=0,
        data=step.memory_at(start, size),
        depth=step.depth,
    )


def _refused_creation(step: Step) -> Frame:
    value, start, size = step.arguments[:3]
    return Frame(
        kind=step.name,
        sender=step.address,
        to=Address(bytes(20)),
        value=value,
        gas=_all_but_a_64th(step.computation.gas_left),
        data=step.memory_at(start, size),
        depth=step.depth,
    )


def _creation_price(step: Step) -> int:
    """Of CREATE and CREATE2 without the gas of the creation itself."""
    words = (step.arguments[2] + 31) // 32
    per_word = GAS_PER_INIT_CODE_WORD
    if step.opcode == opcodes.CREATE2:
        per_word += _GAS_PER_HASHED_WORD
    memory = _memory_gas(len(step.computation.memory)) - _memory_gas(step.memory_before)
    return GAS_CREATE + per_word * words + memory


def _memory_gas(size: int) -> int:
    words = size // 32
    return 3 * words + words * words // 512


def _all_but_a_64th(gas: int) -> int:
    """EIP-150."""
    return gas - gas // 64
