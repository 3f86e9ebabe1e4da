"""The `eth_`, `net_`, `web3_` and `txpool_` methods, over the chain and the pool.

Reads of the store run on the reading thread, calls into the EVM on the calling thread (so that a
slow call delays no receipt), neither on the event loop. A call is bounded by gas and by wall clock.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any, Final, TypeVar

from dst import __version__
from dst.apis.engine import parse_quantity
from dst.apis.eth import (
    BlockId,
    BlockTag,
    CallArguments,
    LogFilter,
    parse_address,
    parse_block_id,
    parse_bool,
    parse_call,
    parse_hash,
    parse_log_filter,
    show_transaction,
)
from dst.apis.jsonrpc import REFUSED, REVERTED, Method, RpcError
from dst.crypto.keccak import keccak256
from dst.execution.chain import Chain, decode_once
from dst.execution.environment import (
    BlockEnvironment,
    CallRequest,
    CallResult,
    ExecutionAborted,
    Interrupt,
)
from dst.execution.evm.call import call
from dst.execution.header import Header, next_base_fee
from dst.execution.interrupts import AbortFlag, deadline
from dst.execution.pool.service import Source, TransactionPool
from dst.execution.rpc import fees, views
from dst.execution.rpc.blocks_by_id import BlocksById
from dst.execution.rpc.dispatch import Threads
from dst.execution.rpc.filters import Filters
from dst.spec.errors import InvalidInput
from dst.spec.primitives import Hash32, parse_hex, to_hex
from dst.transactions.transaction import InvalidTransaction

CALL_GAS_CAP: Final = 50_000_000
"""Gas of one eth_call, geth's figure."""
CALL_TIMEOUT_S: Final = 5.0
"""Wall clock of one eth_call or eth_estimateGas, geth's figure."""
MAX_LOG_BLOCKS: Final = 10_000
MAX_LOGS: Final = 10_000
MAX_RAW_BYTES: Final = 1 << 18
ESTIMATE_PRECISION: Final = 0.015
"""An estimate may lie this far above the least gas that works; geth's figure."""
CALL_STIPEND: Final = 2_300

T = TypeVar("T")


class EthService:
    def __init__(
        self,
        chain: Chain,
        pool: TransactionPool,
        threads: Threads,
    ) -> None:
        self._chain, self._pool, self._threads = chain, pool, threads
        self._blocks = BlocksById(chain)
        self._filters = Filters()
        self._closing = AbortFlag()

    def close(self) -> None:
        """Stop calls that run, so that the process can end."""
        self._closing.abort()

    def methods(self, *, forward: bool = True) -> Mapping[str, Method]:
        """forward False: a transaction sent here came from another operator and goes no further."""
        chain_id = hex(self._chain.chain_id)

        async def send(params: Sequence[Any]) -> str:
            return await self._send_raw_transaction(params, forward=forward)

        return {
            "eth_chainId": _constant(chain_id),
            "net_version": _constant(str(self._chain.chain_id)),
            "net_listening": _constant(True),
            "net_peerCount": _constant("0x0"),
            "eth_accounts": _constant([]),
            "eth_syncing": _constant(False),
            "eth_blobBaseFee": _constant("0x1"),
            "web3_clientVersion": _constant(f"dst/{__version__}"),
            "web3_sha3": self._sha3,
            "eth_blockNumber": self._block_number,
            "eth_gasPrice": self._on_read(self._gas_price),
            "eth_maxPriorityFeePerGas": self._on_read(self._max_priority_fee),
            "eth_feeHistory": self._on_read(self._fee_history),
            "eth_getBalance": self._on_read(self._get_balance),
            "eth_getCode": self._on_read(self._get_code),
            "eth_getStorageAt": self._on_read(self._get_storage_at),
            "eth_getTransactionCount": self._get_transaction_count,
            "eth_call": self._on_call(self._call),
            "eth_estimateGas": self._on_call(self._estimate_gas),
            "eth_getBlockByNumber": self._on_read(self._get_block),
            "eth_getBlockByHash": self._on_read(self._get_block_by_hash),
            "eth_getBlockReceipts": self._on_read(self._get_block_receipts),
            "eth_getBlockTransactionCountByNumber": self._on_read(self._transaction_count_of_block),
            "eth_getBlockTransactionCountByHash": self._on_read(self._transaction_count_of_block),
            "eth_getUncleCountByBlockNumber": _constant("0x0"),
            "eth_getUncleCountByBlockHash": _constant("0x0"),
            "eth_getTransactionByHash": self._on_read(self._get_transaction),
            "eth_getTransactionByBlockHashAndIndex": self._on_read(self._transaction_in_block),
            "eth_getTransactionByBlockNumberAndIndex": self._on_read(self._transaction_in_block),
            "eth_getTransactionReceipt": self._on_read(self._get_receipt),
            "eth_getRawTransactionByHash": self._on_read(self._get_raw_transaction),
            "eth_getLogs": self._on_read(self._get_logs),
            "eth_newFilter": self._new_filter,
            "eth_newBlockFilter": self._new_block_filter,
            "eth_getFilterChanges": self._on_read(self._get_filter_changes),
            "eth_getFilterLogs": self._on_read(self._get_filter_logs),
            "eth_uninstallFilter": self._uninstall_filter,
            "eth_sendRawTransaction": send,
            "txpool_status": self._txpool_status,
        }

    # threads

    def _on_read(self, run: Callable[..., T]) -> Method:
        return self._in(self._threads.read, run)

    def _on_call(self, run: Callable[..., T]) -> Method:
        return self._in(self._threads.call, run)

    @staticmethod
    def _in(executor: Executor, run: Callable[..., T]) -> Method:
        async def method(params: Sequence[Any]) -> T:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(executor, _spread, run, params)

        return method

    # chain position

    async def _block_number(self, params: Sequence[Any]) -> str:
        return hex(self._chain.heads.head.number)

    # accounts

    def _get_balance(self, address: object, block: object = "latest") -> str:
        return hex(self._blocks.state(block).get_balance(parse_address(address)))

    def _get_code(self, address: object, block: object = "latest") -> str:
        return to_hex(self._blocks.state(block).get_code(parse_address(address)))

    def _get_storage_at(self, address: object, slot: object, block: object = "latest") -> str:
        value = self._blocks.state(block).slot(parse_address(address), _slot(slot))
        return f"0x{value:064x}"

    async def _get_transaction_count(self, params: Sequence[Any]) -> str:
        nonce_at = self._on_read(self._nonce)
        nonce = await nonce_at(params)
        assert isinstance(nonce, int)
        if len(params) > 1 and params[1] == BlockTag.PENDING:
            nonce = self._pool.pending_nonce(parse_address(params[0]), nonce)
        return hex(nonce)

    def _nonce(self, address: object, block: object = "latest") -> int:
        return self._blocks.state(block).get_nonce(parse_address(address))

    # fees

    def _gas_price(self) -> str:
        heads = self._chain.heads
        return hex(next_base_fee(heads.head) + fees.suggest_tip(self._chain))

    def _max_priority_fee(self) -> str:
        return hex(fees.suggest_tip(self._chain))

    def _fee_history(
        self, count: object, newest: object, percentiles: object = None
    ) -> dict[str, object]:
        blocks = count if isinstance(count, int) else parse_quantity(count, what="blockCount")
        header, _ = self._blocks.resolve(parse_block_id(newest))
        wanted = fees.check_percentiles(percentiles)
        return fees.fee_history(self._chain, blocks, header.number, wanted)

    # calls

    def _call(
        self,
        arguments: object,
        block: object = "latest",
        overrides: object = None,
        block_overrides: object = None,
    ) -> str:
        if overrides or block_overrides:
            raise InvalidInput("state and block overrides are not supported")
        call_arguments = parse_call(arguments)
        header, _ = self._blocks.resolve(parse_block_id(block))
        request = _call_request(call_arguments, call_arguments.gas or CALL_GAS_CAP)
        stop = self._call_limit()
        result = self._run(header, request, stop)
        _raise_if_failed(result)
        return to_hex(result.output)

    def _estimate_gas(
        self, arguments: object, block: object = "latest", overrides: object = None
    ) -> str:
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

    # blocks, transactions, receipts

    def _get_block(self, block: object, full: object = False) -> dict[str, object] | None:
        block_id = parse_block_id(block)
        if block_id is BlockTag.PENDING:
            heads = self._chain.heads
            return views.show_pending_block(heads.head, heads.head_hash)
        view = self._view(block_id)
        return None if view is None else views.show_block(view, full=parse_bool(full, "full"))

    def _get_block_by_hash(
        self, block_hash: object, full: object = False
    ) -> dict[str, object] | None:
        return self._get_block(to_hex(parse_hash(block_hash, "block hash")), full)

    def _get_block_receipts(self, block: object) -> list[dict[str, object]] | None:
        view = self._view(parse_block_id(block))
        if view is None:
            return None
        return views.show_receipts(view, self._chain.receipts(view.hash))

    def _transaction_count_of_block(self, block: object) -> str | None:
        view = self._view(parse_block_id(block))
        return None if view is None else hex(len(view.body.transactions))

    def _view(self, block: BlockId) -> views.BlockView | None:
        found = self._blocks.find(block)
        return None if found is None else views.load_block(self._chain, found[1])

    def _get_transaction(self, transaction_hash: object) -> dict[str, object] | None:
        wanted = parse_hash(transaction_hash, "transaction hash")
        location = self._chain.location(wanted)
        if location is None:
            waiting = self._pool.get(wanted)
            return None if waiting is None else show_transaction(waiting)
        return self._show_at(*location)

    def _transaction_in_block(self, block: object, index: object) -> dict[str, object] | None:
        found = self._blocks.find(parse_block_id(block))
        if found is None:
            return None
        position = parse_quantity(index, what="index")
        if position >= len(self._chain.body(found[1]).transactions):
            return None
        return self._show_at(found[1], position)

    def _show_at(self, block_hash: Hash32, index: int) -> dict[str, object] | None:
        view = views.load_block(self._chain, block_hash)
        if view is None:
            return None
        return show_transaction(
            decode_once(view.body.transactions[index]),
            block_hash=block_hash,
            block_number=view.header.number,
            index=index,
            base_fee_per_gas=view.header.base_fee_per_gas,
        )

    def _get_raw_transaction(self, transaction_hash: object) -> str | None:
        wanted = parse_hash(transaction_hash, "transaction hash")
        location = self._chain.location(wanted)
        if location is not None:
            return to_hex(self._chain.body(location[0]).transactions[location[1]])
        waiting = self._pool.get(wanted)
        return None if waiting is None else to_hex(waiting.raw)

    def _get_receipt(self, transaction_hash: object) -> dict[str, object] | None:
        location = self._chain.location(parse_hash(transaction_hash, "transaction hash"))
        if location is None:
            return None
        block_hash, index = location
        view = views.load_block(self._chain, block_hash)
        if view is None:
            return None
        return views.show_receipts(view, self._chain.receipts(block_hash))[index]

    # logs and filters

    def _get_logs(self, wanted: object) -> list[dict[str, object]]:
        return self._logs(parse_log_filter(wanted))

    def _logs(self, wanted: LogFilter) -> list[dict[str, object]]:
        if wanted.block_hash is not None:
            header, block_hash = self._blocks.resolve(wanted.block_hash)
            return list(views.logs_of_block(self._chain, block_hash, header, wanted))
        first, _ = self._resolve_bound(wanted.from_block)
        last, _ = self._resolve_bound(wanted.to_block)
        return self._logs_between(first, last, wanted)

    def _resolve_bound(self, block: BlockId) -> tuple[int, bool]:
        if isinstance(block, int):
            return block, True
        return self._blocks.resolve(block)[0].number, False

    def _logs_between(self, first: int, last: int, wanted: LogFilter) -> list[dict[str, object]]:
        last = min(last, self._chain.heads.head.number)
        if last - first >= MAX_LOG_BLOCKS:
            raise RpcError(REFUSED, f"block range too large: at most {MAX_LOG_BLOCKS} blocks")
        logs: list[dict[str, object]] = []
        for number in range(first, last + 1):
            found = self._blocks.find(number)
            if found is None:
                break
            logs.extend(views.logs_of_block(self._chain, found[1], found[0], wanted))
            if len(logs) > MAX_LOGS:
                raise RpcError(REFUSED, f"query returned more than {MAX_LOGS} results")
        return logs

    async def _new_filter(self, params: Sequence[Any]) -> str:
        wanted = parse_log_filter(params[0] if params else {})
        return self._filters.add(wanted, self._chain.heads.head.number + 1)

    async def _new_block_filter(self, params: Sequence[Any]) -> str:
        return self._filters.add(None, self._chain.heads.head.number + 1)

    def _get_filter_changes(self, filter_id: object) -> list[Any]:
        """What came since the last poll. After a reorganisation it goes on from the new head."""
        found = self._filters.get(filter_id)
        head = self._chain.heads.head.number
        first, found.next_number = min(found.next_number, head + 1), head + 1
        if found.logs is not None:
            return self._logs_between(first, head, found.logs)
        hashes = (self._chain.canonical_hash(number) for number in range(first, head + 1))
        return [to_hex(each) for each in hashes if each is not None]

    def _get_filter_logs(self, filter_id: object) -> list[dict[str, object]]:
        found = self._filters.get(filter_id)
        if found.logs is None:
            raise RpcError(REFUSED, "filter not found")
        return self._logs(found.logs)

    async def _uninstall_filter(self, params: Sequence[Any]) -> bool:
        return self._filters.remove(params[0] if params else None)

    # pool

    async def _send_raw_transaction(self, params: Sequence[Any], *, forward: bool) -> str:
        if len(params) != 1:
            raise InvalidInput("expected one parameter: the raw transaction")
        raw = parse_hex(params[0], what="raw transaction")
        if len(raw) > MAX_RAW_BYTES:
            raise InvalidInput("raw transaction too large")
        source = Source.CLIENT if forward else Source.PEER
        try:
            return to_hex(await self._pool.submit(raw, source))
        except InvalidTransaction as error:
            raise RpcError(REFUSED, str(error), {"reason": error.reason}) from None

    async def _txpool_status(self, params: Sequence[Any]) -> dict[str, str]:
        ready, gapped = self._pool.counts()
        return {"pending": hex(ready), "queued": hex(gapped)}

    async def _sha3(self, params: Sequence[Any]) -> str:
        return to_hex(keccak256(parse_hex(params[0] if params else None, what="data")))


def _constant(value: object) -> Method:
    """Clients ask eth_chainId before nearly every call: answered without a thread or the state."""

    async def method(params: Sequence[Any]) -> object:
        return value

    return method


def _spread(run: Callable[..., T], params: Sequence[Any]) -> T:
    """Positional parameters to arguments. Raises: InvalidInput for a wrong count."""
    wanted = run.__code__.co_argcount - 1
    required = wanted - len(run.__defaults__ or ())
    given = list(params)
    while len(given) > required and given and given[-1] is None:
        given.pop()
    if not required <= len(given) <= wanted:
        raise InvalidInput(f"expected {required} to {wanted} parameters, got {len(given)}")
    return run(*given)


def _slot(value: object) -> int:
    """A storage slot: clients send quantities and 32-byte words alike."""
    if isinstance(value, str) and value.startswith("0x") and 2 < len(value) <= 66:
        try:
            return int(value[2:], 16)
        except ValueError:
            pass
    raise InvalidInput(f"storage slot: expected at most 32 bytes of hex, got {str(value)[:80]!r}")


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
