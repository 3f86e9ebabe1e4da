"""Open-loop load: every sender submits at its share of the rate, whatever the network does, until
told to stop.

A submission without an answer is recorded as *unknown*, never as failed, and the sender turns to
the next operator.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import aiohttp

from devnet.model.clock import now
from devnet.model.history import Answer, Record, TransactionSubmitted
from devnet.model.work import Load
from devnet.probes.rpc import Rpc, RpcRefused, RpcUnknown
from devnet.workload.sender import (
    Endpoint,
    Sender,
    SignedTransfer,
    is_known,
    is_taken,
    transaction_count,
)

SUBMIT_TIMEOUT: Final = 2.0
"""Seconds a client waits for an operator before it turns to another."""
SWITCH_PAUSE: Final = 0.2
"""Seconds between operators when none answers: an outage must not become a busy loop of the
harness."""
REFRESH_EVERY: Final = 10
"""Submissions between looks at the account's nonce: keeps the list of unconfirmed transactions
short."""


class NodeRpc:
    """A node's JSON-RPC through its client link, under the node's name."""

    def __init__(self, name: str, url: str, session: aiohttp.ClientSession) -> None:
        self.name = name
        self._rpc = Rpc(session, url, SUBMIT_TIMEOUT)

    async def call(self, method: str, *params: Any) -> Any:
        return await self._rpc.call(method, *params)


class SenderLoop:
    """Drives one `Sender` over the endpoints, beginning with number `first`.

    `_behind`: the present operator may lack something that was sent before; nothing new is signed
    until it was given all of it.
    """

    def __init__(
        self,
        sender: Sender,
        endpoints: Sequence[Endpoint],
        first: int,
        record: Callable[[Record], None],
        interval: float,
    ) -> None:
        self._sender = sender
        self._endpoints = endpoints
        self._at = first % len(endpoints)
        self._record = record
        self._interval = interval
        self._behind = False
        self._oldest: int | None = None

    @property
    def _endpoint(self) -> Endpoint:
        return self._endpoints[self._at]

    async def run(self) -> None:
        due = now()
        count = 0
        while True:
            count += 1
            await self._turn(count)
            # An open loop keeps its pace; time lost in an outage is not made up for by a burst.
            due = max(due + self._interval, now())
            await asyncio.sleep(max(0.0, due - now()) or self._interval)

    async def _turn(self, count: int) -> None:
        if self._behind:
            self._behind = not await self._hand_over()
        elif count % REFRESH_EVERY == 0 or self._sender.is_full:
            await self._refresh()
        if self._behind:
            await self._move_on()
        elif not self._sender.is_full and not await self._submit(self._sender.sign_next()):
            await self._move_on()

    async def _refresh(self) -> None:
        """Forget what the chain has. An oldest transaction that stays is one its operator lost."""
        count = await transaction_count(self._endpoint, self._sender.address)
        if count is None:
            self._behind = True
            return
        self._sender.forget_below(count)
        oldest = min(self._sender.pending, default=None)
        self._behind = oldest is not None and oldest == self._oldest
        self._oldest = oldest

    async def _move_on(self) -> None:
        """To the next operator that takes everything unconfirmed."""
        self._behind = True
        for _ in self._endpoints:
            self._at = (self._at + 1) % len(self._endpoints)
            if await self._hand_over():
                self._behind = False
                return
            await asyncio.sleep(SWITCH_PAUSE)

    async def _hand_over(self) -> bool:
        count = await transaction_count(self._endpoint, self._sender.address)
        if count is None:
            return False
        self._sender.forget_below(count)
        for transfer in self._sender.unconfirmed():
            if not await self._submit(transfer):
                return False
        return True

    async def _submit(self, transfer: SignedTransfer) -> bool:
        """Whether nothing more need be done for this transaction at this operator."""
        sent = now()
        settled = False
        try:
            await self._endpoint.call("eth_sendRawTransaction", transfer.raw)
            answer = Answer.OK
        except RpcRefused as refusal:
            answer = Answer.OK if is_known(refusal) else Answer.REFUSED
            settled = is_taken(refusal)
        except RpcUnknown:
            answer = Answer.UNKNOWN
        if settled:
            self._sender.give_up(transfer)
        self._record(
            TransactionSubmitted(
                via=self._endpoint.name,
                hash=transfer.hash,
                sent=sent,
                answered=None if answer is Answer.UNKNOWN else now(),
                answer=answer,
                sender=self._sender.address.lower(),
                nonce=transfer.nonce,
            )
        )
        return settled or answer is Answer.OK


def transfers(_number: int, **account: Any) -> Sender:
    return Sender(**account)


async def prepare_senders(
    endpoints: Sequence[Endpoint],
    keys: Sequence[str],
    chain_id: int,
    seed: int,
    make: Callable[..., Sender] = transfers,
) -> list[Sender]:
    """Senders at their accounts' present nonces (transactions still in a pool count as sent).
    make: called with the number of each and what a `Sender` is made of.

    Raises: RpcUnknown when no endpoint can tell the nonces.
    """
    senders = []
    for index, key in enumerate(keys):
        sender = make(index, private_key=key, chain_id=chain_id, nonce=0, seed=seed * 1000 + index)
        counts = [await transaction_count(at, sender.address, "pending") for at in endpoints]
        known = [count for count in counts if count is not None]
        if not known:
            raise RpcUnknown(f"no operator tells the nonce of {sender.address}")
        sender.next_nonce = max(known)
        senders.append(sender)
    return senders


async def run_load(
    load: Load,
    endpoints: Sequence[Endpoint],
    keys: Sequence[str],
    chain_id: int,
    seed: int,
    record: Callable[[Record], None],
) -> None:
    """Submit until cancelled. Sender i begins at operator i, so every operator is used."""
    senders = await prepare_senders(endpoints, keys[: load.senders], chain_id, seed)
    interval = len(senders) / load.rate
    async with asyncio.TaskGroup() as tasks:
        for index, sender in enumerate(senders):
            loop = SenderLoop(sender, endpoints, index, record, interval)
            tasks.create_task(loop.run(), name=f"load-{index}")
