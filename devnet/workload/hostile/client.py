"""Sends hostile transactions one after another and finds out what becomes of each, as their sender
would: from the answer, from the receipt, and from `dst_transactionStatus`.

Each goes through another operator than the one before. An account whose transaction has no fate is
not used again (a later nonce would wait behind it), so a network that loses them ends the run early
instead of after an hour.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from eth_account import Account

from devnet.model.clock import now
from devnet.model.history import Fate, HostileFate, Record
from devnet.model.work import Hostile
from devnet.probes.rpc import RpcRefused, RpcUnknown
from devnet.workload.hostile.catalogue import CATALOGUE
from devnet.workload.hostile.signing import GWEI, sign
from devnet.workload.sender import Endpoint, SignedTransfer, is_known, transaction_count

POLL: Final = 0.2
"""Seconds between looks for a receipt; a block takes a second or more."""
FIRST_TIP: Final = 2 * GWEI
"""Above the load's 1 gwei: hostile transactions come first in a block, which is the worst case."""
BUMP: Final = 1.25
"""After one was dropped: another node may hold it still, and asks a tenth more for its place."""
ENDS: Final = frozenset({"replaced", "evicted", "dropped", "too_heavy"})
"""States of `dst_transactionStatus` in which a node has given a transaction up. `unknown` is none:
it is what L11 forbids."""


@dataclass(slots=True)
class _Account:
    key: str
    address: str
    tip: int = FIRST_TIP


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    fate: Fate
    reason: str = ""
    height: int | None = None
    gas_used: int | None = None
    succeeded: bool | None = None


class HostileClient:
    """Args:
    senders: operators' JSON-RPC as clients reach it; transactions go there.
    readers: the same operators for questions, patient ones.
    keys: accounts that nobody else uses.
    say: told a line about each transaction.
    """

    def __init__(
        self,
        *,
        senders: Sequence[Endpoint],
        readers: Sequence[Endpoint],
        keys: Sequence[str],
        chain_id: int,
        record: Callable[[Record], None],
        say: Callable[[str], None],
    ) -> None:
        self._senders = senders
        self._readers = readers
        self._accounts = [_Account(key, str(Account.from_key(key).address)) for key in keys]
        self._chain_id = chain_id
        self._record = record
        self._say = say

    async def run(self, hostile: Hostile, slot_seconds: float) -> None:
        """All kinds in the catalogue's order; what there is no time or account for is recorded as
        unsent."""
        end = now() + hostile.timeout.in_seconds(slot_seconds)
        patience = hostile.patience.in_seconds(slot_seconds)
        for number, kind in enumerate(hostile.kinds or tuple(CATALOGUE)):
            if now() < end and self._accounts:
                fate = await self._one(kind, number % len(self._senders), hostile.gas, patience)
            else:
                moment = now()
                fate = HostileFate(
                    kind=kind, gas=hostile.gas, sent=moment, settled=moment, fate=Fate.UNSENT
                )
            self._record(fate)
            if fate.fate is not Fate.UNSENT:
                self._say(f"hostile: {told(fate)}")

    async def _one(self, kind: str, at: int, gas: int, patience: float) -> HostileFate:
        account = self._accounts.pop(0)
        nonce = await self._nonce_of(account)
        signed = await asyncio.to_thread(
            lambda: sign(
                CATALOGUE[kind](gas),
                key=account.key,
                chain_id=self._chain_id,
                nonce=nonce,
                gas=gas,
                tip=account.tip,
            )
        )
        sent = now()
        outcome = await self._follow(signed, at, sent + patience)
        if outcome.fate is Fate.DROPPED:
            account.tip = int(account.tip * BUMP)
        if outcome.fate is not Fate.UNKNOWN:
            self._accounts.append(account)
        return HostileFate(
            kind=kind,
            via=self._senders[at].name,
            hash=signed.hash,
            gas=gas,
            sent=sent,
            settled=now(),
            fate=outcome.fate,
            reason=outcome.reason,
            height=outcome.height,
            gas_used=outcome.gas_used,
            succeeded=outcome.succeeded,
        )

    async def _nonce_of(self, account: _Account) -> int:
        """As the operators know it; the account has nothing pending."""
        asked = (transaction_count(at, account.address) for at in self._readers)
        counts = await asyncio.gather(*asked)
        return max((count for count in counts if count is not None), default=0)

    async def _follow(self, signed: SignedTransfer, at: int, end: float) -> _Outcome:
        """Until the fate is known or `end` has come. A node that does not answer is asked again:
        the same bytes have the same hash."""
        taken = False
        while True:
            try:
                if not taken:
                    await self._senders[at].call("eth_sendRawTransaction", signed.raw)
                    taken = True
                if outcome := await self._fate_at(self._readers[at], signed.hash):
                    return outcome
            except RpcRefused as refusal:
                if not is_known(refusal):
                    return _Outcome(fate=Fate.REFUSED, reason=refusal.message)
                taken = True
            except RpcUnknown:
                pass
            if now() >= end:
                return _Outcome(fate=Fate.UNKNOWN)
            await asyncio.sleep(POLL)

    async def _fate_at(self, node: Endpoint, transaction: str) -> _Outcome | None:
        """None while it is open. Raises: RpcUnknown."""
        try:
            receipt = await node.call("eth_getTransactionReceipt", transaction)
            if isinstance(receipt, dict):
                return _included(receipt)
            return _ended(await node.call("dst_transactionStatus", transaction))
        except RpcRefused:
            return None  # a node that cannot say (or does not know the method) has not said


def _included(receipt: dict[str, Any]) -> _Outcome:
    return _Outcome(
        fate=Fate.INCLUDED,
        height=int(receipt["blockNumber"], 16),
        gas_used=int(receipt["gasUsed"], 16),
        succeeded=receipt.get("status") == "0x1",
    )


def _ended(status: Any) -> _Outcome | None:
    """From `{"state": "too_heavy", "reason": "...", "message": "..."}`; None while it is open."""
    if not isinstance(status, dict) or status.get("state") not in ENDS:
        return None
    reason = status.get("message") or status.get("reason") or ""
    return _Outcome(fate=Fate.DROPPED, reason=str(reason))


def told(fate: HostileFate) -> str:
    """`blake2f-one-call via op1: included in h31 after 1.2 s, 9400000 gas`."""
    took = f"after {fate.settled - fate.sent:.1f} s"
    where = f"{fate.kind} via {fate.via}: {fate.fate}"
    if fate.fate is Fate.INCLUDED:
        ended = "" if fate.succeeded else ", failed"
        return f"{where} in h{fate.height} {took}, {fate.gas_used} gas{ended}"
    return f"{where} {took}" + (f": {fate.reason}" if fate.reason else "")
