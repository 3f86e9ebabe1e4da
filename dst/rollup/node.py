"""What a rollup node serves: the Beacon API and `/dst/v1/`, over the chain and one of two drivers.

The same class serves an operator and a follower; a follower answers what it has and refuses what
only a cluster member can do.
"""

import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Final

import msgspec

from dst import __version__
from dst.apis.beacon import (
    BeaconEvent,
    BlockId,
    Genesis,
    HeaderView,
    ProduceRequest,
    Syncing,
    WireBlock,
)
from dst.apis.dst_v1 import (
    DecidedBlock,
    Event,
    Hello,
    NumberedEvent,
    Status,
)
from dst.l1.source import L1Source
from dst.qbft.messages import Certificate
from dst.rollup.chain import Chain
from dst.rollup.events import BeaconBus, EventRing
from dst.rollup.halting import Halting
from dst.rollup.operator import Operator
from dst.rollup.spec_values import config_spec
from dst.runtime.machine import wall_clock
from dst.spec import rules
from dst.spec.cluster import ClusterLock, genesis_fork_version, genesis_validators_root
from dst.spec.errors import InvalidInput
from dst.spec.judgement import Judgement
from dst.spec.primitives import BLSPubkey, Height, Round, to_hex

VERSION: str = f"dst-rollup/{__version__} (charon-compatible)"
"""Some validator clients compare the RANDAO reveal they sent unless the word 'charon' is in
here."""

SYNCING_SLOTS: Final = 8
"""Slots that the newest sealed block may lag the clock: a crashed leader costs two or three. Beyond
it and SYNCING_SECONDS the node calls itself syncing, whether it lags or the chain stands."""
SYNCING_SECONDS: Final = 10


class RollupNode:
    """Satisfies `BeaconNode` and `DstNode`."""

    def __init__(
        self,
        *,
        name: str,
        lock: ClusterLock,
        chain: Chain,
        l1: L1Source,
        ring: EventRing,
        bus: BeaconBus,
        halting: Halting,
        operator: Operator | None,
        now: Callable[[], float] = wall_clock,
    ) -> None:
        self._name, self._lock, self._chain, self._l1 = name, lock, chain, l1
        self._ring, self._bus, self._halting, self._now = ring, bus, halting, now
        self._driver = operator
        self._boot = secrets.token_hex(8)

    # --- Beacon API ---

    async def genesis(self) -> Genesis:
        return Genesis(
            genesis_time=self._lock.chain.genesis_time,
            genesis_validators_root=genesis_validators_root(self._lock),
            genesis_fork_version=genesis_fork_version(self._lock),
        )

    async def config_spec(self) -> Mapping[str, object]:
        return config_spec(self._lock)

    async def node_version(self) -> str:
        return VERSION

    async def syncing(self) -> Syncing:
        sealed = self._chain.find("head")
        assert sealed is not None, "genesis is always there"
        current = max(rules.slot_at(self._lock.chain, self._now()), sealed.slot)
        distance = current - sealed.slot
        return Syncing(
            head_slot=sealed.slot,
            sync_distance=distance,
            is_syncing=self._is_too_far(distance),
        )

    def complaint(self) -> str | None:
        """Why whoever asks should not rely on this node; None when all is well."""
        sealed = self._chain.find("head")
        assert sealed is not None, "genesis is always there"
        distance = rules.slot_at(self._lock.chain, self._now()) - sealed.slot
        if not self._is_too_far(distance):
            return None
        return (
            f"newest sealed block {sealed.height} is {distance} slots behind the clock: "
            "this node lags, or the chain stands"
        )

    def _is_too_far(self, distance: int) -> bool:
        seconds = distance * self._lock.chain.seconds_per_slot
        return distance > SYNCING_SLOTS and seconds > SYNCING_SECONDS

    async def validator_pubkey(self) -> BLSPubkey:
        return self._lock.group_public_key

    async def produce_block(self, request: ProduceRequest) -> bytes | None:
        return await self._operator("builds").produce(request)

    async def publish_block(self, block: WireBlock) -> None:
        await self._operator("takes published").publish(block)

    async def header(self, block_id: BlockId) -> HeaderView | None:
        return self._chain.header(block_id)

    async def block(self, block_id: BlockId) -> WireBlock | None:
        return self._chain.wire_block(block_id)

    def events(self, topics: frozenset[str]) -> AsyncIterator[BeaconEvent]:
        return self._bus.stream(topics)

    # --- /dst/v1 ---

    async def validate(
        self,
        block: bytes,
        *,
        height: Height,
        round_: Round,
        justified: bool,
        deadline_ms: int | None,
    ) -> Judgement:
        return await self._operator("validates").validate(
            block, height=height, round_=round_, justified=justified, deadline_ms=deadline_ms
        )

    async def decided(self, decided: DecidedBlock) -> Height:
        return await self._operator("takes decided").decided(decided)

    async def get_decided(self, height: Height) -> DecidedBlock | None:
        stored = self._chain.store.by_height(height)
        if stored is None or stored.certificate is None:
            return None
        certificate = msgspec.msgpack.decode(stored.certificate, type=Certificate)
        return DecidedBlock(certificate, stored.block)

    async def status(self) -> Status:
        chain = self._chain
        return Status(
            decided_height=chain.head.height,
            decided_slot=chain.head.block.slot,
            decided_root=to_hex(chain.head.root),
            sealed_height=chain.sealed_height,
            unsafe=chain.head.height,
            safe=chain.safe_height,
            finalized=chain.finalized_height,
            l1_head=self._l1.head_number,
            reset_height=self._halting.reset_height,
            alarm=self._halting.alarm,
            lowest_unsealed_height=chain.lowest_unsealed_height,
            ready=None if self._driver is None else self._driver.is_ready,
        )

    def hello(self) -> Hello:
        return Hello(operator=self._name, boot=self._boot, decided_height=self._chain.head.height)

    def push_events(self, events: Sequence[Event]) -> None:
        self._ring.extend(events)

    def event_stream(self, after: int | None) -> AsyncIterator[NumberedEvent]:
        return self._ring.stream(after)

    def _operator(self, does: str) -> Operator:
        if self._driver is None:
            raise InvalidInput(f"this node is a follower; only an operator's {does} blocks")
        return self._driver
