"""Transactions per second through JSON-RPC: transfers sent from many accounts to every operator at
once, counted by the blocks that hold them.

The flood lasts as long as the window and keeps a store of waiting transactions at every node, so
that blocks decide the figure and not the supply; it is signed beforehand and sent in JSON-RPC
batches, so that it takes little of a machine that the network needs. It never fills a pool: an
account that is far ahead of the chain waits for it. One account sends nothing but a single better
paying transfer at a time, and says how long such a one takes to be in a block beside the flood.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

from devnet.model.clock import now
from devnet.model.descriptor import Descriptor
from devnet.probes.rpc import Rpc, RpcRefused, RpcUnknown
from devnet.report.summary import percentile
from devnet.runner.stages import background
from devnet.workload.sender import KNOWN_ANSWERS, TAKEN_ANSWERS, Sender, SignedTransfer

WINDOW_SECONDS: Final = 12.0
WARM_SECONDS: Final = 3.0
"""Before the window: the pools fill, the time a block is given settles."""
SUBMIT_TIMEOUT: Final = 10.0
MAX_AHEAD: Final = 600
"""Transactions of one account that wait: with nine accounts more than two of the largest blocks,
and less than a pool or one sender's part of it holds."""
BATCH: Final = 20
SIGNED_BEFORE: Final = 1_200
"""Of each account, more than most windows take; the rest is signed on the way."""
WATCH_SECONDS: Final = 0.1
DRAIN_SECONDS: Final = 60.0
MAX_FEE: Final = 10**12
"""A flood of full blocks raises the base fee by an eighth a block; it must not end the flood."""
TIP: Final = 10**9
PROBE_TIP: Final = 2 * TIP


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """Over the window."""

    included_per_second: float
    accepted_per_second: float
    """What submission alone reached, before the flood had to wait for the chain; 0 when it never
    had to."""
    blocks: int
    missed_slots: int
    fullness: float
    """Gas used, as a part of what the blocks may use."""
    probe_seconds: tuple[float, ...]
    """From sending a better paying transfer to the block that holds it, as a client sees it."""

    def probe(self, percent: float) -> float | None:
        return percentile(self.probe_seconds, percent)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    number: int
    timestamp: int
    transactions: int
    gas_used: int
    gas_limit: int


@dataclass(slots=True, kw_only=True)
class _Account:
    sender: Sender
    session: aiohttp.ClientSession
    rpc: Rpc
    mined: int
    """Its nonce on the chain, as last seen."""
    signed: deque[SignedTransfer] = field(default_factory=deque)
    sent: int = 0

    @property
    def ahead(self) -> int:
        return self.sender.next_nonce - len(self.signed) - self.mined

    def sign(self, count: int) -> None:
        self.signed.extend(self.sender.sign_next() for _ in range(count))
        self.sender.pending.clear()

    def take(self) -> SignedTransfer:
        if not self.signed:
            self.sign(1)
        return self.signed.popleft()

    async def submit(self, transfers: Sequence[SignedTransfer]) -> None:
        """The same again until the node has all of them: a nonce left out would hold up all that
        follow."""
        body = [
            {"jsonrpc": "2.0", "id": each.nonce, "method": "eth_sendRawTransaction",
             "params": [each.raw]}
            for each in transfers
        ]  # fmt: skip
        while True:
            if await self._is_taken(body):
                self.sent += len(transfers)
                return
            await asyncio.sleep(WATCH_SECONDS)

    async def _is_taken(self, body: list[dict[str, Any]]) -> bool:
        try:
            async with (
                asyncio.timeout(SUBMIT_TIMEOUT),
                self.session.post(self.rpc.url, json=body) as got,
            ):
                answers = await got.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return False
        return all(_is_good(each) for each in answers)


def _is_good(answer: dict[str, Any]) -> bool:
    said = answer.get("error", {}).get("message", "")
    return "result" in answer or any(each in said for each in (*KNOWN_ANSWERS, *TAKEN_ANSWERS))


async def measure_throughput(descriptor: Descriptor, session: aiohttp.ClientSession) -> Throughput:
    """Flood for WARM_SECONDS and WINDOW_SECONDS, then wait until the pools are empty again.

    Raises: RpcUnknown, RpcRefused when the network cannot be read.
    """
    urls = [operator.rpc for operator in descriptor.operators]
    reader = Rpc(session, urls[0], SUBMIT_TIMEOUT)
    accounts = [
        await _ready(
            reader,
            session,
            Rpc(session, urls[index % len(urls)], SUBMIT_TIMEOUT),
            Sender(
                private_key=account.private_key,
                chain_id=descriptor.chain_id,
                nonce=0,
                seed=index,
                max_fee=MAX_FEE,
                priority_fee=TIP if index else PROBE_TIP,
            ),
        )
        for index, account in enumerate(descriptor.accounts)
    ]
    for each in accounts[1:]:
        each.sign(SIGNED_BEFORE)
    flood = _Flood(reader, accounts[0], accounts[1:])
    measured = await flood.run(descriptor.slot_seconds)
    await flood.drain()
    return measured


class _Flood:
    def __init__(self, reader: Rpc, probe: _Account, accounts: Sequence[_Account]) -> None:
        self._reader, self._probe, self._accounts = reader, probe, accounts
        self._rates: list[float] = []
        self._probed: list[float] = []

    async def run(self, slot_seconds: float) -> Throughput:
        async with background([*map(self._send, self._accounts), self._watch(), self._ask()]):
            await asyncio.sleep(WARM_SECONDS)
            first = int(await self._reader.call("eth_blockNumber"), 16)
            self._probed.clear()
            await asyncio.sleep(WINDOW_SECONDS)
            last = int(await self._reader.call("eth_blockNumber"), 16)
        blocks = [await self._block(number) for number in range(first, last + 1)]
        return self._figures(blocks, slot_seconds)

    def _figures(self, blocks: Sequence[_Block], slot_seconds: float) -> Throughput:
        """The first block only says when the window begins."""
        seconds = max(blocks[-1].timestamp - blocks[0].timestamp, 1)
        counted = blocks[1:]
        return Throughput(
            included_per_second=sum(each.transactions for each in counted) / seconds,
            accepted_per_second=sum(self._rates),
            blocks=len(counted),
            missed_slots=round(seconds / slot_seconds) - len(counted),
            fullness=sum(each.gas_used for each in counted)
            / max(sum(each.gas_limit for each in counted), 1),
            probe_seconds=tuple(self._probed),
        )

    async def _send(self, account: _Account) -> None:
        """One batch after the other, as fast as they are taken."""
        started, counted = now(), False
        while True:
            if account.ahead >= MAX_AHEAD:
                if not counted:
                    self._rates.append(account.sent / (now() - started))
                    counted = True
                await asyncio.sleep(WATCH_SECONDS)
                continue
            await account.submit([account.take() for _ in range(BATCH)])

    async def _watch(self) -> None:
        """How far the chain is with each account."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            with suppress(RpcUnknown):
                for each in self._accounts:
                    each.mined = await _nonce(self._reader, each.sender.address, "latest")

    async def _ask(self) -> None:
        while True:
            transfer = self._probe.take()
            sent = now()
            try:
                await self._probe.rpc.call("eth_sendRawTransactionSync", transfer.raw)
                self._probed.append(now() - sent)
            except (RpcUnknown, RpcRefused):
                await self._probe.submit([transfer])

    async def drain(self) -> None:
        """Raises: RpcUnknown when what waits is not in blocks in time."""
        end = now() + DRAIN_SECONDS
        for each in (self._probe, *self._accounts):
            while await _nonce(each.rpc, each.sender.address, "latest") != await _nonce(
                each.rpc, each.sender.address, "pending"
            ):
                if now() > end:
                    raise RpcUnknown(f"the flood is not in blocks after {DRAIN_SECONDS:.0f} s")
                await asyncio.sleep(WATCH_SECONDS)

    async def _block(self, number: int) -> _Block:
        shown: dict[str, Any] = await self._reader.call("eth_getBlockByNumber", hex(number), False)
        return _Block(
            number=number,
            timestamp=int(shown["timestamp"], 16),
            transactions=len(shown["transactions"]),
            gas_used=int(shown["gasUsed"], 16),
            gas_limit=int(shown["gasLimit"], 16),
        )


async def _ready(reader: Rpc, session: aiohttp.ClientSession, rpc: Rpc, sender: Sender) -> _Account:
    sender.next_nonce = await _nonce(reader, sender.address, "pending")
    return _Account(sender=sender, session=session, rpc=rpc, mined=sender.next_nonce)


async def _nonce(rpc: Rpc, address: str, tag: str) -> int:
    return int(await rpc.call("eth_getTransactionCount", address, tag), 16)
