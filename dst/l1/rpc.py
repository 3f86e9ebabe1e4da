"""JSON-RPC client of one L1 node: exactly the calls that derivation and batching need.

Answers are untrusted input: decoded into frozen values here, or refused. Every call is bounded in
time, since L1 is dialled through links that may swallow what they are given.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import msgspec

from dst.apis.jsonrpc import RpcError
from dst.apis.jsonrpc.client import JsonRpcClient
from dst.apis.quantity import parse_quantity
from dst.runtime.metrics import Metrics
from dst.spec.errors import InvalidInput
from dst.spec.primitives import Address, Hash32, parse_hex, to_hex

CALL_TIMEOUT_S: Final = 2.0
"""An L1 node answers in milliseconds; a silent link must not stop the poller for longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class L1BlockRef:
    """What identifies and dates an L1 block. timestamp: unix seconds; base_fee: wei a gas."""

    number: int
    hash: Hash32
    parent_hash: Hash32
    timestamp: int
    base_fee: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class L1Transaction:
    """What an inbox scan reads of a transaction. `to` is None for a contract creation."""

    hash: Hash32
    to: Address | None
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class L1Block:
    """A block with its transactions."""

    ref: L1BlockRef
    transactions: tuple[L1Transaction, ...]


class L1RpcError(InvalidInput):
    """The L1 node answered with a JSON-RPC error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"L1 error {code}: {message[:300]}")
        self.code = code


class _Head(msgspec.Struct, rename="camel", frozen=True):
    number: str
    hash: str
    parent_hash: str
    timestamp: str
    base_fee_per_gas: str = "0x0"


class _Transaction(msgspec.Struct, rename="camel", frozen=True):
    hash: str
    input: str
    to: str | None = None


class _Block(_Head, rename="camel", frozen=True, kw_only=True):
    transactions: list[_Transaction]


class _Receipt(msgspec.Struct, rename="camel", frozen=True):
    block_number: str
    status: str = "0x1"


class L1Client:
    """Raises (every call): Unavailable when L1 cannot be reached; L1RpcError; InvalidInput."""

    def __init__(self, url: str, session: aiohttp.ClientSession | None = None) -> None:
        self.url = url
        self._rpc = JsonRpcClient(url, session, what="L1")

    async def close(self) -> None:
        await self._rpc.close()

    def count_in(self, metrics: Metrics) -> None:
        self._rpc.count_in(metrics)

    async def chain_id(self) -> int:
        return parse_quantity(await self._call("eth_chainId", [], str), what="eth_chainId")

    async def head(self, tag: str = "latest") -> L1BlockRef | None:
        """The block of a tag (`latest`, `finalized`), or None where the node has none."""
        return await self._ref("eth_getBlockByNumber", [tag, False])

    async def ref_by_number(self, number: int) -> L1BlockRef | None:
        ref = await self._ref("eth_getBlockByNumber", [hex(number), False])
        return None if ref is None else _numbered(ref, number)

    async def ref_by_hash(self, block_hash: Hash32) -> L1BlockRef | None:
        ref = await self._ref("eth_getBlockByHash", [to_hex(block_hash), False])
        if ref is not None and ref.hash != block_hash:
            raise InvalidInput(f"L1 was asked for {to_hex(block_hash)}, got {to_hex(ref.hash)}")
        return ref

    async def block(self, number: int) -> L1Block | None:
        """The canonical block of a number with its transactions."""
        wire = await self._call("eth_getBlockByNumber", [hex(number), True], _Block | None)
        if wire is None:
            return None
        return L1Block(
            ref=_numbered(_ref_of(wire), number),
            transactions=tuple(_transaction(tx) for tx in wire.transactions),
        )

    async def nonce(self, address: Address) -> int:
        """Transactions of `address` in mined blocks."""
        params = [to_hex(address), "latest"]
        return parse_quantity(await self._call("eth_getTransactionCount", params, str))

    async def balance(self, address: Address) -> int:
        """Wei."""
        params = [to_hex(address), "latest"]
        return parse_quantity(await self._call("eth_getBalance", params, str), bits=256)

    async def send_raw_transaction(self, raw: bytes) -> Hash32:
        answer = await self._call("eth_sendRawTransaction", [to_hex(raw)], str)
        return Hash32(parse_hex(answer, 32, what="transaction hash"))

    async def mined_in(self, transaction_hash: Hash32) -> int | None:
        """Number of the block that holds the transaction, or None while it is not mined."""
        params = [to_hex(transaction_hash)]
        wire = await self._call("eth_getTransactionReceipt", params, _Receipt | None)
        return None if wire is None else parse_quantity(wire.block_number)

    async def _ref(self, method: str, params: Sequence[object]) -> L1BlockRef | None:
        wire = await self._call(method, params, _Head | None)
        return None if wire is None else _ref_of(wire)

    async def _call(self, method: str, params: Sequence[object], kind: Any) -> Any:
        """`kind` is a type msgspec knows; the answer has that type."""
        try:
            return await self._rpc.call(method, params, kind, timeout_s=CALL_TIMEOUT_S)
        except RpcError as error:
            raise L1RpcError(error.code, error.message) from error


def _ref_of(wire: _Head) -> L1BlockRef:
    return L1BlockRef(
        number=parse_quantity(wire.number, what="L1 block number"),
        hash=Hash32(parse_hex(wire.hash, 32, what="L1 block hash")),
        parent_hash=Hash32(parse_hex(wire.parent_hash, 32, what="L1 parent hash")),
        timestamp=parse_quantity(wire.timestamp, what="L1 timestamp"),
        base_fee=parse_quantity(wire.base_fee_per_gas, what="L1 base fee", bits=256),
    )


def _numbered(ref: L1BlockRef, number: int) -> L1BlockRef:
    """Another block than the one asked for is no answer: to take it for one would look like a reorg
    down to the genesis, and end in the belief that this is another network."""
    if ref.number != number:
        raise InvalidInput(f"L1 was asked for block {number}, got block {ref.number}")
    return ref


def _transaction(wire: _Transaction) -> L1Transaction:
    return L1Transaction(
        hash=Hash32(parse_hex(wire.hash, 32, what="L1 transaction hash")),
        to=None if wire.to is None else Address(parse_hex(wire.to, 20, what="L1 recipient")),
        data=parse_hex(wire.input, what="L1 calldata"),
    )
