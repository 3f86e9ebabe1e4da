"""Bugs of an execution layer: the shipped one, with a method of its JSON-RPC that answers what it
must not. What operators forward to each other is as ever, and so are the blocks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any, Final, TypeAlias

from devnet.bugs.names import IS_SEEDED, SHOWN, Bug
from dst.apis.jsonrpc import Method
from dst.execution.assembly import Services, assemble
from dst.spec.primitives import parse_hex, to_hex
from dst.transactions.decoded import decode_once

STALE_BY: Final = 4
"""Blocks: more than pass between two reads of a client that looks once a second."""

SLOT: Final = f"0x{1:064x}"

Methods: TypeAlias = Mapping[str, Method]
Shown: TypeAlias = Callable[[], None]


def stale_reads(methods: Methods, shown: Shown) -> Methods:
    turns = count()

    async def call(params: Sequence[Any]) -> object:
        asked, *rest = params
        head = int(str(await methods["eth_blockNumber"]([])), 16)
        if rest[:1] not in ([], ["latest"]) or head < STALE_BY or next(turns) % 2 == 0:
            return await methods["eth_call"](params)
        shown()
        return await methods["eth_call"]([asked, hex(head - STALE_BY), *rest[1:]])

    return {"eth_call": call}


def wrong_balance(methods: Methods, shown: Shown) -> Methods:
    async def call(params: Sequence[Any]) -> object:
        asked, block = params[0], params[1] if len(params) > 1 else "latest"
        to, held = asked.get("to"), 0
        if to is not None and len(params) <= 2:
            held = int(str(await methods["eth_getStorageAt"]([to, SLOT, block])), 16)
        if not held:
            return await methods["eth_call"](params)
        shown()
        wrong = {to: {"stateDiff": {SLOT: f"0x{held + 1:064x}"}}}
        return await methods["eth_call"]([asked, block, wrong])

    return {"eth_call": call}


def moved_receipts(methods: Methods, shown: Shown) -> Methods:
    async def receipt(params: Sequence[Any]) -> object:
        found = await methods["eth_getTransactionReceipt"](params)
        if not isinstance(found, dict):
            return found
        shown()
        return {**found, "transactionIndex": hex(int(found["transactionIndex"], 16) + 1)}

    return {"eth_getTransactionReceipt": receipt}


def lost_transactions(methods: Methods, shown: Shown) -> Methods:
    async def send(params: Sequence[Any]) -> object:
        (raw,) = params
        transaction = decode_once(parse_hex(raw))
        shown()
        return to_hex(transaction.hash)

    return {"eth_sendRawTransaction": send}


ANSWERS: Final[Mapping[Bug, Callable[[Methods, Shown], Methods]]] = {
    Bug.STALE_READS: stale_reads,
    Bug.WRONG_BALANCE: wrong_balance,
    Bug.MOVED_RECEIPTS: moved_receipts,
    Bug.LOST_TRANSACTIONS: lost_transactions,
}


def seeded(bug: Bug) -> Callable[..., Services]:
    """How an execution layer with it is put together."""

    def made(*parts: Any, **rest: Any) -> Services:
        services = assemble(*parts, **rest)
        services.metrics.set(IS_SEEDED, 1, bug=bug)
        services.metrics.inc(SHOWN, 0, bug=bug)
        methods = services.eth.from_client
        changed = ANSWERS[bug](methods, partial(services.metrics.inc, SHOWN, bug=bug))
        return replace(services, eth=replace(services.eth, from_client={**methods, **changed}))

    return made
