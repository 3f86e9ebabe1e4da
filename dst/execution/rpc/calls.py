"""`eth_call` and `eth_estimateGas`: messages that are run and never mined, bounded by gas and by
wall clock."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from dst.apis.eth import CallArguments, parse_block_id, parse_call
from dst.apis.jsonrpc import REFUSED, REVERTED, RpcError
from dst.execution.chain import Chain
from dst.execution.environment import (
    BlockEnvironment,
    CallRequest,
    CallResult,
    ExecutionAborted,
    Interrupt,
)
from dst.execution.evm.call import call
from dst.execution.header import Header
from dst.execution.interrupts import AbortFlag, deadline
from dst.execution.rpc.blocks_by_id import BlocksById
from dst.execution.rpc.dispatch import Where, rpc
from dst.spec.errors import InvalidInput
from dst.spec.primitives import to_hex

CALL_GAS_CAP: Final = 50_000_000
"""Gas of one eth_call, geth's figure."""
CALL_TIMEOUT_S: Final = 5.0
"""Wall clock of one eth_call or eth_estimateGas, geth's figure."""
ESTIMATE_PRECISION: Final = 0.015
"""An estimate may lie this far above the least gas that works; geth's figure."""
CALL_STIPEND: Final = 2_300


class Calls:
    def __init__(self, chain: Chain, blocks: BlocksById) -> None:
        self._chain, self._blocks = chain, blocks
        self._closing = AbortFlag()

    def close(self) -> None:
        """Stop calls that run, so that the process can end."""
        self._closing.abort()

    @rpc("eth_call", where=Where.CALL, errors=("3: execution reverted, data is the return data",))
    def call(
        self,
        arguments: object,
        block: object = "latest",
        overrides: object = None,
        block_overrides: object = None,
    ) -> str:
        """What a message returns when run on the state of a block."""
        if overrides or block_overrides:
            raise InvalidInput("state and block overrides are not supported")
        call_arguments = parse_call(arguments)
        header, _ = self._blocks.resolve(parse_block_id(block))
        request = _call_request(call_arguments, call_arguments.gas or CALL_GAS_CAP)
        stop = self._call_limit()
        result = self._run(header, request, stop)
        _raise_if_failed(result)
        return to_hex(result.output)

    @rpc("eth_estimateGas", where=Where.CALL)
    def estimate_gas(
        self, arguments: object, block: object = "latest", overrides: object = None
    ) -> str:
        """The least gas that makes a message succeed, within 1.5 %."""
        if overrides:
            raise InvalidInput("state overrides are not supported")
        call_arguments = parse_call(arguments)
        header, _ = self._blocks.resolve(parse_block_id(block))
        stop = self._call_limit()

        def attempt(gas: int) -> CallResult:
            return self._run(header, _call_request(call_arguments, gas), stop)

        limit = self._gas_allowance(header, call_arguments)
        return hex(_least_gas(attempt, limit))

    def _call_limit(self) -> Interrupt:
        timeout = deadline(CALL_TIMEOUT_S, "execution timeout")

        def check() -> None:
            self._closing.check()
            timeout()

        return check

    def _gas_allowance(self, header: Header, arguments: CallArguments) -> int:
        """The most gas the sender can buy. Raises: RpcError."""
        limit = min(arguments.gas or header.gas_limit, header.gas_limit)
        if not arguments.gas_price:
            return limit
        balance = self._chain.reader(header.state_root).get_balance(arguments.sender)
        if balance < arguments.value:
            raise RpcError(REFUSED, "insufficient funds for transfer")
        return min(limit, (balance - arguments.value) // arguments.gas_price)

    def _run(self, header: Header, request: CallRequest, stop: Interrupt) -> CallResult:
        environment: BlockEnvironment = self._chain.environment(header)
        if not request.gas_price:  # a call that pays nothing sees a base fee of nothing, as in geth
            environment = replace(environment, base_fee_per_gas=0)
        try:
            return call(self._chain.reader(header.state_root), environment, request, stop)
        except ExecutionAborted as error:
            raise RpcError(REFUSED, str(error)) from None


def _call_request(arguments: CallArguments, gas: int) -> CallRequest:
    return CallRequest(
        sender=arguments.sender,
        to=arguments.to,
        data=arguments.data,
        value=arguments.value,
        gas=min(gas, CALL_GAS_CAP),
        gas_price=arguments.gas_price or 0,
        access_list=arguments.access_list,
    )


def _raise_if_failed(result: CallResult) -> None:
    """Raises: RpcError; a revert is code 3 with its data, so that clients decode the reason."""
    if result.error is None:
        return
    if result.reverted:
        reason = _revert_reason(result.output)
        message = f"execution reverted: {reason}" if reason else "execution reverted"
        raise RpcError(REVERTED, message, to_hex(result.output))
    raise RpcError(REFUSED, result.error)


def _revert_reason(output: bytes) -> str | None:
    """The text of Solidity's `Error(string)`, when it is one."""
    if output[:4] != b"\x08\xc3\x79\xa0" or len(output) < 68:
        return None
    length = int.from_bytes(output[36:68], "big")
    return output[68 : 68 + min(length, 1_000)].decode("utf-8", "replace")


def _least_gas(attempt: Callable[[int], CallResult], limit: int) -> int:
    """The least gas that makes a call succeed, within the precision. Raises: RpcError."""
    first = attempt(limit)
    if first.error is not None:
        if first.error == "out of gas" or first.error.startswith("intrinsic gas"):
            raise RpcError(REFUSED, f"gas required exceeds allowance ({limit})")
        _raise_if_failed(first)
    low, high = first.gas_used - 1, limit
    # Most calls work with what they used, plus what EIP-150 holds back at each level.
    guess = (first.gas_needed + CALL_STIPEND) * 64 // 63
    for gas in (first.gas_needed, guess):
        if low < gas < high:
            if attempt(gas).error is None:
                high = gas
                break
            low = gas
    while low + 1 < high and high - low > high * ESTIMATE_PRECISION:
        middle = min((high + low) // 2, low * 2)
        if attempt(middle).error is None:
            high = middle
        else:
            low = middle
    return high
