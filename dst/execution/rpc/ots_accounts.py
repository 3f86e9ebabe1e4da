"""`ots_*` of one account: is it a contract, who created it, which transaction used a nonce of it.

Source: Otterscan JSON-RPC API, level 8. Without an index: by bisection over the states, as far back
as they are kept.
"""

from collections.abc import Callable

from dst.apis.eth import parse_address
from dst.apis.quantity import parse_count
from dst.execution.call_workers import time_limit
from dst.execution.chain import Chain
from dst.execution.rpc.blocks_by_id import BlocksById
from dst.execution.rpc.call_stage import refusals
from dst.execution.rpc.dispatch import Where, rpc
from dst.execution.rpc.ots import in_order
from dst.execution.rpc.ots_blocks import load_found
from dst.execution.rpc.parameters import AddressParam, BlockParam, CountParam
from dst.execution.rpc.replays import (
    TRACE_ERRORS,
    TRACE_LIMITS,
    Replays,
    new_budget,
    trace_refusals,
)
from dst.execution.state.reader import StateReader
from dst.execution.tracers.calls import CallTracer
from dst.spec.primitives import to_hex


class OtterscanAccounts:
    def __init__(self, chain: Chain, blocks: BlocksById, replays: Replays) -> None:
        self._chain, self._blocks, self._replays = chain, blocks, replays

    @rpc("ots_hasCode", where=Where.CALL)
    def has_code(self, address: AddressParam, block: BlockParam = "latest") -> bool:
        """Whether an account is a contract."""
        contract = parse_address(address)
        with refusals():
            return bool(self._blocks.state(block).get_code(contract))

    @rpc("ots_getTransactionBySenderAndNonce", where=Where.CALL)
    def by_sender_and_nonce(self, sender: AddressParam, nonce: CountParam) -> str | None:
        """The hash of the transaction that used a nonce; null when it is not mined."""
        address, wanted = parse_address(sender), parse_count(nonce, what="nonce")

        def used(number: int) -> bool:
            return self._state(number).get_nonce(address) > wanted

        number = self._first_block(used)
        if number is None:
            return None
        view = load_found(self._chain, self._blocks.resolve(number)[1])
        for transaction in view.transactions():
            if transaction.sender == address and transaction.nonce == wanted:
                return to_hex(transaction.hash)
        return None

    @rpc("ots_getContractCreator", where=Where.CALL, errors=TRACE_ERRORS, limits=TRACE_LIMITS)
    def contract_creator(self, address: AddressParam) -> dict[str, str] | None:
        """Who created a contract, and in which transaction; null for other accounts and for the
        contracts of genesis."""
        contract = parse_address(address)
        number = self._first_block(lambda each: bool(self._state(each).get_code(contract)))
        if not number:
            return None
        header, block_hash = self._blocks.resolve(number)
        with trace_refusals():
            replay = self._replays.of_block(header, block_hash, time_limit())
            for _, transaction in replay.rest():
                tracer = CallTracer(new_budget())
                replay.trace(tracer)
                for call, _ in in_order(tracer.tree):
                    if call.frame.to == contract and call.frame.kind.startswith("CREATE"):
                        return {
                            "hash": to_hex(transaction.hash),
                            "creator": to_hex(call.frame.sender),
                        }
        return None

    def _first_block(self, holds: Callable[[int], bool]) -> int | None:
        """The first block after which `holds`, by bisection; None when it does not hold at the
        head."""
        low, high = -1, self._chain.heads.head.number
        with refusals():
            if not holds(high):
                return None
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (low, middle) if holds(middle) else (middle, high)
        return high

    def _state(self, number: int) -> StateReader:
        _, block_hash = self._blocks.resolve(number)
        return self._chain.reader_after(block_hash)
