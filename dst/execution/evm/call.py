"""A message that is never mined: `eth_call` and what is built on it."""

from typing import Final

from eth.exceptions import Revert, VMError

from dst.execution.environment import BlockEnvironment, CallRequest, CallResult, Interrupt
from dst.execution.evm.messages import Messages, gas_charged, logs_of
from dst.execution.state.reader import StateReader
from dst.transactions.gas import message_intrinsic_gas


def call(
    reader: StateReader,
    environment: BlockEnvironment,
    request: CallRequest,
    interrupt: Interrupt,
) -> CallResult:
    """Run a message on a state without keeping anything; gas is free, value must be owned.

    Raises: ExecutionAborted.
    """
    messages = Messages(reader, environment, interrupt)
    intrinsic = message_intrinsic_gas(
        data=request.data, creates=not request.to, access_list=request.access_list
    )
    if request.gas < intrinsic:
        return _failed(f"intrinsic gas too low: gas {request.gas}, minimum needed {intrinsic}")
    nonce = messages.accounts.get_nonce(request.sender)
    messages.accounts.increment_nonce(request.sender)
    try:
        computation = messages.message(
            sender=request.sender,
            to=request.to,
            value=request.value,
            data=request.data,
            gas=request.gas - intrinsic,
            gas_price=request.gas_price,
            nonce=nonce,
            access_list=request.access_list,
        )
    except VMError as error:  # the outermost message itself: value above the balance
        return _failed(str(error))
    used = request.gas - computation.get_gas_remaining()
    charged = gas_charged(computation, request.gas, request.data)
    return CallResult(
        output=bytes(computation.output),
        gas_used=charged,
        gas_needed=max(used, charged),
        error=_describe(computation.error) if computation.is_error else None,
        reverted=computation.is_error and isinstance(computation.error, Revert),
        logs=logs_of(computation),
    )


def _failed(error: str) -> CallResult:
    return CallResult(output=b"", gas_used=0, gas_needed=0, error=error, reverted=False)


_WORDS: Final = {
    "OutOfGas": "out of gas",
    "Revert": "execution reverted",
    "InvalidInstruction": "invalid opcode",
    "InvalidJumpDestination": "invalid jump destination",
    "InsufficientStack": "stack underflow",
    "FullStack": "stack limit reached 1024 (1023)",
    "WriteProtection": "write protection",
    "OutOfBoundsRead": "return data out of bounds",
    "InsufficientFunds": "insufficient balance for transfer",
    "ReservedBytesInCode": "invalid code: must not begin with 0xef",
}
"""py-evm's error classes in geth's words."""


def _describe(error: VMError) -> str:
    return _WORDS.get(type(error).__name__, str(error) or type(error).__name__)
