"""One ordinary sequencer: a block a slot, signed with the one key, and nobody else is asked; of
several, only while it leads.

It keeps nothing: where the chain stands is what its rollup node says. That wants each block with a
certificate of a cluster of one, a single signature; the sequencer makes it.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from devnet.baseline.config import Settings
from dst.apis.beacon import ProduceRequest, WireBlock
from dst.apis.dst_v1 import DecidedBlock, EventKind, Status
from dst.crypto import bls
from dst.middleware.events import EventPusher, EventSink
from dst.qbft.messages import Certificate, Commit, SignedCommit, signing_digest
from dst.runtime.backoff import Backoff
from dst.runtime.log import Logger
from dst.runtime.machine import wall_clock
from dst.runtime.metrics import Metrics
from dst.spec import ssz
from dst.spec.beacon import BeaconBlock
from dst.spec.cluster import genesis_validators_root, lock_proposer_domain
from dst.spec.domains import signing_root
from dst.spec.errors import DstError
from dst.spec.primitives import Height, OperatorIndex, Round, Slot, Term
from dst.spec.rules import slot_at, timestamp_at

ROUND: Final = Round(0)
TRY_S: Final = 2.0
"""For one call. A link may swallow it, and then nothing but asking again finds that it healed."""

LOOK_S: Final = 0.1
"""Between looks of a stand-by whether it leads."""

log = Logger("sequencer")


class Rollup(EventSink, Protocol):
    """`DstClient` satisfies it. Raises: DstError (all)."""

    async def status(self) -> Status: ...

    async def decided(self, decided: DecidedBlock) -> Height: ...

    async def get_decided(self, height: Height) -> DecidedBlock | None: ...


class Builder(Protocol):
    """`BeaconClient` satisfies it. Raises: DstError (all)."""

    async def produce_block(self, request: ProduceRequest) -> bytes | None: ...

    async def publish_block(self, block: WireBlock) -> None: ...


class Sequencer:
    """`run` works until cancelled."""

    def __init__(
        self,
        settings: Settings,
        rollup: Rollup,
        beacon: Builder,
        metrics: Metrics,
        now: Callable[[], float] = wall_clock,
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        """now: Unix seconds."""
        self._leads = leads
        self._chain, self._term = settings.lock.chain, Term(settings.lock.chain.term)
        self._key, self._identity = settings.key, settings.identity
        self._domain = lock_proposer_domain(settings.lock)
        self._root_of_chain = genesis_validators_root(settings.lock)
        self._rollup, self._beacon, self._now = rollup, beacon, now
        self._events = EventPusher(rollup, settings.name, self._term, metrics)
        self._lacks: str | None = None

    def waits_for(self) -> str | None:
        """Why there is no block, for a person."""
        return self._lacks

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._events.run())
            group.create_task(self._sequence())

    async def _sequence(self) -> None:
        backoff = Backoff()
        while True:
            try:
                pause = await self.turn()
                backoff.reset()
                self._lacks = None
                await asyncio.sleep(pause)
            except (DstError, TimeoutError) as error:
                reason = str(error) or f"no answer within {TRY_S} s"
                if self._lacks is None:
                    log.warning("no_block", reason=reason)
                self._lacks = f"its rollup node: {reason}"
                await asyncio.sleep(backoff.next_delay())

    async def turn(self) -> float:
        """The block of this slot, if it has none; seconds to the next one.

        Raises: DstError, TimeoutError.
        """
        if not self._leads():
            return LOOK_S
        async with asyncio.timeout(TRY_S):
            status = await self._rollup.status()
        await self._sign_owed(status)
        slot = slot_at(self._chain, self._now())
        if slot > status.decided_slot:
            # A block takes as long as it takes: nobody else is there to make one.
            block = await self._beacon.produce_block(ProduceRequest(slot=slot))
            if block is not None and self._leads():
                await self._make(block)
        return max(0.0, timestamp_at(self._chain, Slot(slot + 1)) - self._now())

    async def _sign_owed(self, status: Status) -> None:
        """Of a sequencer that ended between block and signature."""
        for height in range(status.sealed_height + 1, status.decided_height + 1):
            owed = await self._rollup.get_decided(Height(height))
            if owed is not None:
                await self._sign(owed.block)

    async def _make(self, block: bytes) -> None:
        decoded = ssz.decode(BeaconBlock, block)
        root = ssz.hash_tree_root(decoded)
        height = Height(decoded.body.execution_payload.block_number)
        self._events.emit(
            EventKind.PROPOSAL, height=height, round_=ROUND, root=root, slot=decoded.slot
        )
        commit = Commit(term=self._term, height=height, round=ROUND, root=root)
        digest = signing_digest(self._root_of_chain, commit)
        signed = SignedCommit(
            payload=commit, sender=OperatorIndex(0), signature=self._identity.sign(digest)
        )
        certificate = Certificate(
            term=self._term, height=height, round=ROUND, root=root, commits=(signed,)
        )
        await self._rollup.decided(DecidedBlock(certificate, block))
        self._events.emit(
            EventKind.DECIDED, height=height, round_=ROUND, root=root, slot=decoded.slot
        )
        await self._sign(block)

    async def take(self, decided: DecidedBlock, sealed: WireBlock) -> None:
        """A block that another one made. Raises: DstError."""
        await self._rollup.decided(decided)
        await self._beacon.publish_block(sealed)

    async def status(self) -> Status:
        """Of the own rollup node. Raises: DstError."""
        return await self._rollup.status()

    async def _sign(self, block: bytes) -> None:
        decoded = ssz.decode(BeaconBlock, block)
        root = ssz.hash_tree_root(decoded)
        height = Height(decoded.body.execution_payload.block_number)
        signature = bls.sign(self._key, signing_root(root, self._domain))
        self._events.emit(EventKind.SIGNED, height=height, root=root, slot=decoded.slot)
        await self._beacon.publish_block(WireBlock(message=block, signature=signature))
