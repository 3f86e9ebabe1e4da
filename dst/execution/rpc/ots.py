"""`ots_*`: what the block explorer Otterscan asks, as far as it can be had without an index of
addresses.

Source: Otterscan JSON-RPC API, level 8. Searching by address looks through a window of blocks only,
and says through its flags that there is more.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from dst.apis.eth import parse_address, parse_block_id, parse_hash
from dst.apis.jsonrpc import REFUSED, RpcError
from dst.apis.quantity import parse_count
from dst.execution.block.replay import Replay
from dst.execution.call_workers import CALL_TIMEOUT_S, time_limit
from dst.execution.chain import Chain
from dst.execution.rpc import views
from dst.execution.rpc.blocks_by_id import BlocksById
from dst.execution.rpc.call_stage import refusals
from dst.execution.rpc.debug import (
    MAX_ANSWER_BYTES,
    TRACE_ERRORS,
    TRACE_LIMITS,
    encode,
    trace_refusals,
)
from dst.execution.rpc.dispatch import Where, rpc
from dst.execution.rpc.parameters import AddressParam, BlockParam, CountParam, HashParam
from dst.execution.state.reader import StateReader
from dst.execution.tracers.base import Budget
from dst.execution.tracers.calls import Call, CallTracer
from dst.spec.errors import InvalidInput
from dst.spec.primitives import Address, Hash32, to_hex
from dst.transactions.decoded import decode_once

API_LEVEL: Final = 8
MAX_PAGE: Final = 100
SEARCH_BLOCKS: Final = 2_000
"""Blocks that one search looks at; the next page goes on behind them."""


class Otterscan:
    def __init__(self, chain: Chain, blocks: BlocksById) -> None:
        self._chain, self._blocks = chain, blocks

    @rpc("ots_getApiLevel", where=Where.LOOP)
    async def api_level(self) -> int:
        """The level of this API that is served."""
        return API_LEVEL

    @rpc("ots_hasCode", where=Where.CALL)
    def has_code(self, address: AddressParam, block: BlockParam = "latest") -> bool:
        """Whether an account is a contract."""
        contract = parse_address(address)
        with refusals():
            return bool(self._blocks.state(block).get_code(contract))

    # one transaction

    @rpc("ots_getInternalOperations", where=Where.CALL, errors=TRACE_ERRORS, limits=TRACE_LIMITS)
    def internal_operations(self, transaction_hash: HashParam) -> list[dict[str, Any]]:
        """Value moved, contracts created and destroyed inside a transaction."""
        tree = self._tree(transaction_hash)
        calls = [] if tree is None else list(_in_order(tree))
        return [shown for call, depth in calls if depth and (shown := _operation(call))]

    @rpc("ots_traceTransaction", where=Where.CALL, errors=TRACE_ERRORS, limits=TRACE_LIMITS)
    def trace_transaction(self, transaction_hash: HashParam) -> msgspec.Raw:
        """The messages of a transaction with their depths."""
        tree = self._tree(transaction_hash)
        if tree is None:
            return encode(None)
        return encode([_trace_entry(call, depth) for call, depth in _in_order(tree)])

    @rpc("ots_getTransactionError", where=Where.CALL, errors=TRACE_ERRORS, limits=TRACE_LIMITS)
    def transaction_error(self, transaction_hash: HashParam) -> str:
        """The revert data of a transaction, `0x` when it did not revert."""
        tree = self._tree(transaction_hash)
        if tree is None or tree.outcome is None or tree.outcome.error is None:
            return "0x"
        return to_hex(tree.outcome.output)

    @rpc("ots_getTransactionBySenderAndNonce", where=Where.CALL)
    def by_sender_and_nonce(self, sender: AddressParam, nonce: CountParam) -> str | None:
        """The hash of the transaction that used a nonce; null when it is not mined."""
        address, wanted = parse_address(sender), parse_count(nonce, what="nonce")

        def used(number: int) -> bool:
            return self._state(number).get_nonce(address) > wanted

        number = self._first_block(used)
        if number is None:
            return None
        view = self._view(number)
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
            replay = Replay(self._chain, header, block_hash, time_limit())
            for _, transaction in replay.rest():
                tracer = CallTracer(Budget(MAX_ANSWER_BYTES))
                replay.trace(tracer)
                for call, _ in _in_order(tracer.tree):
                    if call.frame.to == contract and call.frame.kind.startswith("CREATE"):
                        return {
                            "hash": to_hex(transaction.hash),
                            "creator": to_hex(call.frame.sender),
                        }
        return None

    # blocks

    @rpc("ots_getBlockDetails", where=Where.READ)
    def block_details(self, block: BlockParam) -> dict[str, Any] | None:
        """A block without its transactions, with their number and fees."""
        found = self._blocks.find(parse_block_id(block))
        return None if found is None else self._details(found[1])

    @rpc("ots_getBlockDetailsByHash", where=Where.READ)
    def block_details_by_hash(self, block_hash: HashParam) -> dict[str, Any] | None:
        """A block without its transactions, with their number and fees."""
        found = self._blocks.find(parse_hash(block_hash, "block hash"))
        return None if found is None else self._details(found[1])

    @rpc("ots_getBlockTransactions", where=Where.READ, limits=(f"{MAX_PAGE} transactions a page",))
    def block_transactions(
        self, block: BlockParam, page: CountParam, size: CountParam
    ) -> dict[str, Any] | None:
        """A page of a block's transactions with receipts, the last one first."""
        found = self._blocks.find(parse_block_id(block))
        number, length = parse_count(page, what="page"), _page_size(size)
        if found is None:
            return None
        view = self._load(found[1])
        receipts = views.show_receipts(view, self._chain.receipts(view.hash))
        count = len(receipts)
        first = max(count - (number + 1) * length, 0)
        last = max(count - number * length, 0)
        shown = _block_without_transactions(view)
        shown["transactions"] = [
            {**_show_at(view, index), "input": _selector(view, index)}
            for index in range(last - 1, first - 1, -1)
        ]
        return {
            "fullblock": shown,
            "receipts": [
                {**receipts[index], "logs": None, "logsBloom": None}
                for index in range(last - 1, first - 1, -1)
            ],
        }

    # searches

    @rpc(
        "ots_searchTransactionsBefore",
        where=Where.CALL,
        limits=(f"{MAX_PAGE} a page", f"{SEARCH_BLOCKS} blocks a page", f"{CALL_TIMEOUT_S:g} s"),
    )
    def search_before(
        self, address: AddressParam, block: CountParam, size: CountParam
    ) -> dict[str, Any]:
        """Transactions that name an address (sender, receiver, log), below a block; 0: from the
        head. Newest first."""
        start = parse_count(block, what="block number")
        head = self._chain.heads.head.number
        first = head if start == 0 else min(start - 1, head)
        end = max(first - SEARCH_BLOCKS, -1)
        found, at_end = self._search(
            parse_address(address), range(first, end, -1), _page_size(size)
        )
        return {**found, "firstPage": start == 0, "lastPage": at_end and end == -1}

    @rpc(
        "ots_searchTransactionsAfter",
        where=Where.CALL,
        limits=(f"{MAX_PAGE} a page", f"{SEARCH_BLOCKS} blocks a page", f"{CALL_TIMEOUT_S:g} s"),
    )
    def search_after(
        self, address: AddressParam, block: CountParam, size: CountParam
    ) -> dict[str, Any]:
        """Transactions that name an address, above a block. Newest first."""
        start = parse_count(block, what="block number")
        head = self._chain.heads.head.number
        end = min(start + 1 + SEARCH_BLOCKS, head + 1)
        numbers = range(start + 1, end)
        found, at_end = self._search(parse_address(address), numbers, _page_size(size))
        for each in found.values():
            each.reverse()
        return {**found, "firstPage": at_end and end == head + 1, "lastPage": start == 0}

    def _search(
        self, address: Address, numbers: range, size: int
    ) -> tuple[dict[str, list[Any]], bool]:
        """Whole blocks until a page is full; whether the range came to its end."""
        stop = time_limit()
        shown: list[Any] = []
        receipts: list[Any] = []
        for number in numbers:
            with refusals():
                stop()
            if len(shown) >= size:
                return {"txs": shown, "receipts": receipts}, False
            view = self._view(number)
            if not view.body.transactions:
                continue
            stored = self._chain.receipts(view.hash)
            hits = [
                index
                for index, (transaction, receipt) in enumerate(
                    zip(view.transactions(), stored, strict=True)
                )
                if address in (transaction.sender, transaction.to, receipt.contract_address)
                or any(log.address == address for log in receipt.logs)
            ]
            if numbers.step < 0:
                hits.reverse()
            of_block = views.show_receipts(view, stored) if hits else []
            for index in hits:
                shown.append(_show_at(view, index))
                time = view.header.timestamp
                receipts.append({**of_block[index], "timestamp": time})
        return {"txs": shown, "receipts": receipts}, True

    # parts

    def _tree(self, transaction_hash: object) -> Call | None:
        location = self._chain.location(parse_hash(transaction_hash, "transaction hash"))
        if location is None:
            return None
        block_hash, index = location
        header, _ = self._blocks.resolve(block_hash)
        with trace_refusals():
            replay = Replay(self._chain, header, block_hash, time_limit())
            replay.run_to(index)
            tracer = CallTracer(Budget(MAX_ANSWER_BYTES))
            replay.trace(tracer)
            return tracer.tree

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

    def _view(self, number: int) -> views.BlockView:
        _, block_hash = self._blocks.resolve(number)
        return self._load(block_hash)

    def _load(self, block_hash: Hash32) -> views.BlockView:
        view = views.load_block(self._chain, block_hash)
        if view is None:
            raise RpcError(REFUSED, "header not found")
        return view

    def _details(self, block_hash: Hash32) -> dict[str, Any]:
        view = self._load(block_hash)
        fees = sum(
            receipt.gas_used * receipt.effective_gas_price
            for receipt in self._chain.receipts(block_hash)
        )
        return {
            "block": _block_without_transactions(view),
            "issuance": {"blockReward": "0x0", "uncleReward": "0x0", "issuance": "0x0"},
            "totalFees": hex(fees),
        }


def _block_without_transactions(view: views.BlockView) -> dict[str, Any]:
    shown = views.show_block(view, full=False)
    shown["transactionCount"] = len(view.body.transactions)
    del shown["transactions"]
    shown["logsBloom"] = None
    return shown


def _show_at(view: views.BlockView, index: int) -> dict[str, Any]:
    transaction = decode_once(view.body.transactions[index])
    return views.show_transaction_at(view.header, view.hash, index, transaction)


def _selector(view: views.BlockView, index: int) -> str:
    """Only the four bytes that name the method: the page shows no more."""
    return to_hex(decode_once(view.body.transactions[index]).data[:4])


def _page_size(value: object) -> int:
    size = parse_count(value, what="page size")
    if not 0 < size <= MAX_PAGE:
        raise InvalidInput(f"page size: expected 1 to {MAX_PAGE}")
    return size


def _in_order(top: Call) -> list[tuple[Call, int]]:
    """Each call before those below it, with its depth."""
    found: list[tuple[Call, int]] = []
    waiting = [(top, 0)]
    while waiting:
        call, depth = waiting.pop()
        found.append((call, depth))
        waiting.extend((each, depth + 1) for each in reversed(call.calls))
    return found


_OPERATIONS: Final = {"SELFDESTRUCT": 1, "CREATE": 2, "CREATE2": 3}


def _operation(call: Call) -> dict[str, Any] | None:
    """Type 0 is a transfer; failed messages are none."""
    frame = call.frame
    kind = _OPERATIONS.get(frame.kind, 0)
    moves = frame.kind == "CALL" and frame.value > 0
    if call.outcome is None or call.outcome.error is not None or not (kind or moves):
        return None
    return {
        "type": kind,
        "from": to_hex(frame.sender),
        "to": to_hex(frame.to),
        "value": hex(frame.value),
    }


def _trace_entry(call: Call, depth: int) -> dict[str, Any]:
    frame = call.frame
    assert call.outcome is not None
    has_value = frame.kind not in ("STATICCALL", "DELEGATECALL")
    return {
        "type": frame.kind,
        "depth": depth,
        "from": to_hex(frame.sender),
        "to": to_hex(frame.to),
        "value": hex(frame.value) if has_value else None,
        "input": to_hex(frame.data),
        "output": to_hex(call.outcome.output),
    }
