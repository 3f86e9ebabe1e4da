"""Transactions per second through JSON-RPC: transfers signed beforehand, sent from many accounts to
every operator at once, counted by the blocks that hold them."""

import asyncio
from dataclasses import dataclass
from typing import Final

import aiohttp

from devnet.clock import now
from devnet.model.descriptor import Descriptor
from devnet.probes.rpc import Rpc, RpcRefused, RpcUnknown
from devnet.workload.sender import Sender

SIGNED_PER_ACCOUNT: Final = 300
WINDOW_SECONDS: Final = 10.0
"""Measured after the first block that is full of load, so that start and end do not count."""
SUBMIT_TIMEOUT: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """Included transactions per second over the window, and what submission alone reached."""

    included_per_second: float
    submitted_per_second: float
    blocks: int


async def measure_throughput(descriptor: Descriptor, session: aiohttp.ClientSession) -> Throughput:
    """Flood for WINDOW_SECONDS and count. Raises: RpcUnknown, RpcRefused when the network cannot be
    read."""
    urls = [operator.rpc for operator in descriptor.operators]
    reader = Rpc(session, urls[0], SUBMIT_TIMEOUT)
    senders = [
        await _ready(reader, account.private_key, descriptor.chain_id, index)
        for index, account in enumerate(descriptor.accounts)
    ]
    raws = [[sender.sign_next().raw for _ in range(SIGNED_PER_ACCOUNT)] for sender in senders]
    first = int(await reader.call("eth_blockNumber"), 16)
    started = now()
    floods = [
        _flood(Rpc(session, urls[index % len(urls)], SUBMIT_TIMEOUT), raw, started)
        for index, raw in enumerate(raws)
    ]
    sent = sum(await asyncio.gather(*floods))
    elapsed = now() - started
    await asyncio.sleep(max(0.0, started + WINDOW_SECONDS - now()))
    last = int(await reader.call("eth_blockNumber"), 16)
    counts, moments = await _count(reader, first + 1, last)
    seconds = max(moments[-1] - moments[0], descriptor.slot_seconds) if moments else 1
    return Throughput(
        included_per_second=sum(counts[1:]) / seconds,
        submitted_per_second=sent / max(elapsed, 1e-9),
        blocks=len(counts),
    )


async def _ready(reader: Rpc, key: str, chain_id: int, index: int) -> Sender:
    sender = Sender(private_key=key, chain_id=chain_id, nonce=0, seed=index)
    sender.next_nonce = int(
        await reader.call("eth_getTransactionCount", sender.address, "pending"), 16
    )
    return sender


async def _flood(rpc: Rpc, raws: list[str], started: float) -> int:
    """One account's transactions, in order; how many were taken."""
    taken = 0
    for raw in raws:
        if now() - started > WINDOW_SECONDS:
            break
        try:
            await rpc.call("eth_sendRawTransaction", raw)
            taken += 1
        except (RpcRefused, RpcUnknown):
            # A full pool or a slow moment: this nonce is missing, so the rest of the account would
            # wait for it.
            break
    return taken


async def _count(reader: Rpc, first: int, last: int) -> tuple[list[int], list[int]]:
    """Transactions and timestamps of the blocks, beginning with the first that holds any."""
    counts: list[int] = []
    moments: list[int] = []
    for height in range(first, last + 1):
        block = await reader.call("eth_getBlockByNumber", hex(height), False)
        if counts or block["transactions"]:
            counts.append(len(block["transactions"]))
            moments.append(int(block["timestamp"], 16))
    return counts, moments
