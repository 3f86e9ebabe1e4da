"""Duties answered from decisions; partial signatures taken only where they belong."""

import asyncio
from typing import cast

import msgspec
import pytest

from dst.apis.beacon import BeaconNode, ProduceRequest, WireBlock
from dst.crypto import bls, tbls
from dst.middleware.validator_api import DecidedSlot, ValidatorApi
from dst.spec.domains import proposer_domain, randao_domain, randao_signing_root, signing_root
from dst.spec.errors import InvalidInput, ResetRequired, Unavailable
from dst.spec.primitives import (
    G2_POINT_AT_INFINITY,
    BLSSignature,
    Height,
    OperatorIndex,
    Root,
    ShareIndex,
    Slot,
)
from dst.spec.rules import timestamp_at
from tests.unit.spec.sample_blocks import unsigned_lock

GROUP = bls.SecretShare(12345)
SHARES = tbls.split(GROUP, 4, 3)
LOCK = msgspec.structs.replace(
    unsigned_lock(4, seconds_per_slot=1),
    group_public_key=bls.public_key(GROUP),
    share_public_keys=tuple(bls.public_key(SHARES[ShareIndex(i)]) for i in range(1, 5)),
)
CHAIN = LOCK.chain
IDENTITY = (CHAIN.chain_id, CHAIN.l2_genesis_hash, LOCK.group_public_key)
ROOT = Root(b"\x07" * 32)


def block_of(slot: int) -> bytes:
    return slot.to_bytes(8, "little") + b"rest of the block"


class Decided:
    """Decisions as the shell would show them."""

    def __init__(self) -> None:
        self.slots: dict[Slot, DecidedSlot] = {}
        self.is_syncing = False
        self.knows_others = True
        self.sign_above = Slot(0)
        self.reset: ResetRequired | None = None
        self._changed = asyncio.Event()

    @property
    def head_slot(self) -> Slot:
        return max(self.slots, default=Slot(0))

    def at_slot(self, slot: Slot) -> DecidedSlot | None:
        return self.slots.get(slot)

    async def changed(self) -> None:
        await self._changed.wait()
        self._changed.clear()

    def decide(self, height: int, slot: int) -> None:
        decided = DecidedSlot(height=Height(height), root=ROOT, block=block_of(slot))
        self.slots[Slot(slot)] = decided
        self._changed.set()


class Bench:
    def __init__(self) -> None:
        self.decided = Decided()
        self.partials: list[tuple[int, bytes, bytes]] = []
        self.api = ValidatorApi(
            lock=LOCK,
            operator=OperatorIndex(0),
            decided=self.decided,
            rollup=cast(BeaconNode, None),  # not asked here
            on_partial=self.take,
            now=lambda: float(timestamp_at(CHAIN, 10)),
        )

    async def take(self, height: Height, root: Root, signature: BLSSignature) -> None:
        self.partials.append((height, root, signature))

    async def ask(self, slot: int, reveal: BLSSignature = G2_POINT_AT_INFINITY) -> bytes | None:
        return await self.api.produce_block(ProduceRequest(slot=Slot(slot), randao_reveal=reveal))


def partial(share: int) -> BLSSignature:
    return bls.sign(SHARES[ShareIndex(share)], signing_root(ROOT, proposer_domain(*IDENTITY)))


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_waits_for_the_decision_and_returns_its_block(bench: Bench) -> None:
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(bench.ask(10))
        await asyncio.sleep(0)
        bench.decided.decide(1, 10)
    assert asked.result() == block_of(10)


async def test_a_slot_passed_over_is_definitely_empty(bench: Bench) -> None:
    bench.decided.decide(1, 8)
    bench.decided.decide(2, 10)
    assert await bench.ask(9) is None
    assert await bench.ask(8) == block_of(8)


async def test_an_undecided_slot_is_to_be_asked_again(bench: Bench) -> None:
    with pytest.raises(Unavailable, match="ask again"):
        await bench.ask(10)


async def test_nothing_is_offered_while_syncing(bench: Bench) -> None:
    bench.decided.decide(1, 10)
    bench.decided.is_syncing = True
    with pytest.raises(Unavailable):
        await bench.ask(10)


async def test_slots_that_may_have_been_signed_before_a_rejoin_are_not_offered(
    bench: Bench,
) -> None:
    bench.decided.decide(1, 9)
    bench.decided.decide(2, 10)
    bench.decided.sign_above = Slot(9)
    assert await bench.ask(9) is None
    assert await bench.ask(10) == block_of(10)


async def test_an_l1_reset_stops_duties_and_signatures(bench: Bench) -> None:
    bench.decided.decide(1, 10)
    bench.decided.reset = ResetRequired(1, "test")
    with pytest.raises(ResetRequired):
        await bench.ask(10)
    with pytest.raises(ResetRequired):
        await bench.api.publish_block(WireBlock(message=block_of(10), signature=partial(1)))


async def test_a_slot_far_ahead_is_a_wrong_clock(bench: Bench) -> None:
    with pytest.raises(InvalidInput, match="clocks"):
        await bench.ask(20)


async def test_takes_this_operators_partial(bench: Bench) -> None:
    bench.decided.decide(1, 10)
    await bench.api.publish_block(WireBlock(message=block_of(10), signature=partial(1)))
    assert bench.partials == [(1, ROOT, partial(1))]


async def test_names_another_operators_key_share(bench: Bench) -> None:
    bench.decided.decide(1, 10)
    with pytest.raises(InvalidInput, match=r"mismatching validator client key share index.* 3 "):
        await bench.api.publish_block(WireBlock(message=block_of(10), signature=partial(3)))
    assert bench.partials == []


@pytest.mark.parametrize("message", [block_of(9), block_of(10) + b"!", b""])
async def test_refuses_a_block_that_was_not_decided(bench: Bench, message: bytes) -> None:
    bench.decided.decide(1, 10)
    with pytest.raises(InvalidInput, match="not the block"):
        await bench.api.publish_block(WireBlock(message=message, signature=partial(1)))


async def test_the_reveal_is_verified(bench: Bench) -> None:
    bench.decided.decide(1, 10)
    message = randao_signing_root(0, randao_domain(*IDENTITY))
    assert await bench.ask(10, bls.sign(SHARES[ShareIndex(1)], message)) == block_of(10)
    with pytest.raises(InvalidInput, match="randao_reveal: mismatching"):
        await bench.ask(10, bls.sign(SHARES[ShareIndex(2)], message))
    with pytest.raises(InvalidInput, match="randao_reveal"):
        await bench.ask(10, BLSSignature(bytes(96)))


async def test_syncing_names_the_decided_head(bench: Bench) -> None:
    bench.decided.decide(1, 7)
    syncing = await bench.api.syncing()
    assert (syncing.head_slot, syncing.sync_distance, syncing.is_syncing) == (7, 3, False)


async def test_who_has_heard_nobody_does_not_say_that_it_is_synced(bench: Bench) -> None:
    """But what it has decided it offers."""
    bench.decided.decide(1, 7)
    bench.decided.knows_others = False
    assert (await bench.api.syncing()).is_syncing
    assert await bench.ask(7) == block_of(7)
