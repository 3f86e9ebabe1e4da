"""The end state as every node serves it: blocks, receipts, and what proves the blocks.

Reads go over `probe>` links and run in parallel over nodes, one block after another within a node.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, Protocol

from devnet.model.clock import now
from devnet.model.history import BlockRead, NoReceipt, ReceiptSeen, Record
from devnet.probes.rpc import RpcRefused, RpcUnknown
from dst.spec.errors import DstError

READ_ATTEMPTS: Final = 3
TO_SERVE_S: Final = 3.0
"""What a node says it has imported, its execution layer serves by its number a moment later."""
ASK_AGAIN_S: Final = 0.1
MAX_RECEIPTS: Final = 500
"""Receipts asked for at the end of a run, newest first; the blocks read from every node cover the
others."""


class Endpoint(Protocol):
    name: str

    async def call(self, method: str, *params: Any) -> Any: ...


class ProofReader(Protocol):
    """Reads what one node has as proof of its blocks: group signatures, certificates."""

    name: str

    async def read(self, first: int, last: int) -> Sequence[Record]: ...


def block_of(node: str, answer: dict[str, Any]) -> BlockRead:
    """A record from `eth_getBlockByNumber(n, false)`. Raises: KeyError, ValueError on another
    shape."""
    return BlockRead(
        node=node,
        height=int(answer["number"], 16),
        block_hash=str(answer["hash"]).lower(),
        parent_hash=str(answer["parentHash"]).lower(),
        state_root=str(answer["stateRoot"]).lower(),
        transactions=tuple(str(item).lower() for item in answer["transactions"]),
        timestamp=int(answer["timestamp"], 16),
    )


async def patient_call(endpoint: Endpoint, method: str, *params: Any) -> Any:
    """A read repeated over a slow moment. Raises: RpcUnknown, RpcRefused of the last attempt."""
    for attempt in range(READ_ATTEMPTS):
        try:
            return await endpoint.call(method, *params)
        except RpcUnknown:
            if attempt + 1 == READ_ATTEMPTS:
                raise
    raise AssertionError("the loop returns or raises")


async def head_height(endpoint: Endpoint) -> int:
    """Newest block number there."""
    return int(await patient_call(endpoint, "eth_blockNumber"), 16)


async def read_blocks(endpoint: Endpoint, first: int, last: int) -> list[BlockRead]:
    """Blocks first..last as this node serves them; heights that it does not come to serve are left
    out, which `checkers.readable` sees."""
    found, deadline = [], now() + TO_SERVE_S
    for height in range(first, last + 1):
        answer = await patient_call(endpoint, "eth_getBlockByNumber", hex(height), False)
        while answer is None and now() < deadline:
            await asyncio.sleep(ASK_AGAIN_S)
            answer = await patient_call(endpoint, "eth_getBlockByNumber", hex(height), False)
        if answer is not None:
            found.append(block_of(endpoint.name, answer))
    return found


async def read_receipt(endpoint: Endpoint, transaction: str) -> ReceiptSeen | None:
    """The receipt as this node serves it now; None when it has none or cannot say."""
    try:
        answer = await endpoint.call("eth_getTransactionReceipt", transaction)
        return None if answer is None else _receipt_of(endpoint.name, transaction, answer)
    except (RpcRefused, RpcUnknown, KeyError, TypeError, ValueError):
        return None


def _receipt_of(node: str, transaction: str, answer: dict[str, Any]) -> ReceiptSeen:
    """Raises: KeyError, TypeError, ValueError on another shape."""
    return ReceiptSeen(
        transaction=transaction,
        block_hash=str(answer["blockHash"]).lower(),
        height=int(answer["blockNumber"], 16),
        index=int(answer["transactionIndex"], 16),
        node=node,
        monotonic=now(),
    )


async def read_end_state(
    *,
    endpoints: Sequence[Endpoint],
    proof_readers: Sequence[ProofReader],
    transactions: Iterable[str],
    first: int,
    last: int,
    record: Callable[[Record], None],
) -> dict[str, str]:
    """Record blocks first..last of every node, what proves them, and receipts of the load's
    transactions, or that there is none.

    Returns: node -> why it could not be read, for those that could not; the others are evidence.
    """
    unread: dict[str, str] = {}
    reads = [
        *(_read_node(at.name, read_blocks(at, first, last), unread, record) for at in endpoints),
        *(_read_node(at.name, at.read(first, last), unread, record) for at in proof_readers),
    ]
    await asyncio.gather(*reads)
    readable = [endpoint for endpoint in endpoints if endpoint.name not in unread]
    wanted = list(dict.fromkeys(transactions))[-MAX_RECEIPTS:] if readable else []
    for index, transaction in enumerate(wanted):
        if not readable:
            break
        asked = readable[index % len(readable)]
        try:
            record(await _final_receipt(asked, transaction))
        except (RpcRefused, RpcUnknown, KeyError, TypeError, ValueError) as error:
            unread[asked.name] = f"receipt of {transaction}: {error or type(error).__name__}"
            readable.remove(asked)
    return unread


async def _final_receipt(endpoint: Endpoint, transaction: str) -> ReceiptSeen | NoReceipt:
    """Raises: RpcRefused, RpcUnknown; KeyError, TypeError, ValueError on a strange answer."""
    answer = await patient_call(endpoint, "eth_getTransactionReceipt", transaction)
    if answer is None:
        return NoReceipt(transaction=transaction, node=endpoint.name, monotonic=now())
    return _receipt_of(endpoint.name, transaction, answer)


async def _read_node(
    node: str,
    read: Awaitable[Sequence[Record]],
    unread: dict[str, str],
    record: Callable[[Record], None],
) -> None:
    try:
        found = await read
    except (RpcUnknown, RpcRefused, DstError, KeyError, ValueError) as error:
        unread[node] = str(error) or type(error).__name__
        return
    for item in found:
        record(item)
