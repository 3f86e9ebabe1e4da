"""The simulator's rollup node and the real one answer a middleware alike: the same dialogues, both.

A fake that behaves better than the real node hides the bug.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, Protocol

import pytest

from devnet.sim import blocks, chain, ideal
from devnet.sim.l1 import BLOCK_US, L1, L1Node
from devnet.sim.rollup import SimRollup
from dst.apis.beacon import ProduceRequest, WireBlock
from dst.apis.dst_v1 import DecidedBlock, OutOfOrder
from dst.l1.view import CanonicalChain
from dst.qbft.justification import is_valid_certificate
from dst.qbft.messages import Certificate, Commit, SignedCommit, signing_digest
from dst.spec import ssz
from dst.spec.beacon import BeaconBlock
from dst.spec.errors import InvalidInput, ResetRequired, Unavailable
from dst.spec.judgement import Verdict
from dst.spec.primitives import BLSSignature, Height, OperatorIndex, Round, Slot, Term
from tests.unit.rollup.rollup_bench import certify, make_block, make_genesis, sealed
from tests.unit.rollup.test_operator import bench


class Bench(Protocol):
    """A rollup node at genesis, at slot 1, and blocks that fit it."""

    node: Any

    def child(self, parent: bytes | None, mark: int = 0) -> bytes:
        """A sound child; None: of genesis. Another mark makes another block, a slot later."""

    def certified(self, height: int, block: bytes) -> DecidedBlock: ...
    def sealed(self, block: bytes) -> WireBlock: ...
    async def reset(self, height: int | None) -> None:
        """The L1 node behind it drops the origins from that height on, or shows them again."""

    async def silence(self, is_silent: bool) -> None:
        """Of the L1 node; `child` knows it as it was before."""

    def started_without_l1(self) -> None: ...
    async def l1_comes(self) -> None: ...
    def started_in_an_outage(self) -> None:
        """Of L1, which was asked and did not answer."""


class Simulated:
    def __init__(self) -> None:
        config = chain.qbft_config(4, 0)
        self.moment_us = 20 * BLOCK_US
        self.node = SimRollup(
            name="op1",
            l1=L1(),
            rng=Random(1),
            trouble=self,
            is_certified=lambda each: is_valid_certificate(each, config),
        )

    def rollup_delay_us(self) -> int:
        return 10

    def rollup_is_away(self) -> bool:
        return False

    def slot_now(self) -> int:
        return 1

    def l1_moment_us(self) -> int:
        return self.moment_us

    def child(self, parent: bytes | None, mark: int = 0) -> bytes:
        above = blocks.GENESIS_BYTES if parent is None else parent
        slot = blocks.decode(above).slot + 1 + mark
        at_large = L1Node()
        at_large.follow(L1(), self.moment_us)
        view = CanonicalChain(tuple(at_large._at_large))
        return blocks.build(above, view, slot, b"%d" % mark)

    def certified(self, height: int, block: bytes) -> DecidedBlock:
        root = blocks.root_of(block)
        commit = Commit(Term(0), Height(height), Round(0), root)
        digest = signing_digest(chain.CHAIN, commit)
        votes = tuple(
            SignedCommit(commit, OperatorIndex(i), ideal.signer(OperatorIndex(i))(digest))
            for i in range(3)
        )
        return DecidedBlock(Certificate(Term(0), Height(height), Round(0), root, votes), block)

    def sealed(self, block: bytes) -> WireBlock:
        root = ideal.signing_root(blocks.root_of(block))
        partials = {
            OperatorIndex(i): ideal.partial_signer(OperatorIndex(i))(root) for i in range(3)
        }
        return WireBlock(message=block, signature=ideal.combiner(4)(partials))

    async def reset(self, height: int | None) -> None:
        if height is None:
            self.node.l1.come_back()
        else:
            self.node.leave_l1(Height(height))

    async def silence(self, is_silent: bool) -> None:
        self.moment_us += 5 * BLOCK_US
        self.node.l1.is_silent = is_silent

    def started_without_l1(self) -> None:
        self.node.has_seen_l1 = False

    async def l1_comes(self) -> None:
        self.node.has_seen_l1, self.node.l1.is_silent = True, False

    def started_in_an_outage(self) -> None:
        self.node.l1.is_silent = True


class Real:
    def __init__(self, at: Any) -> None:
        self._at = at
        self.node = at.node(lambda: at.clock[0])
        self._canonical = list(at.fake_l1.blocks)

    def child(self, parent: bytes | None, mark: int = 0) -> bytes:
        lock = self._at.lock
        above = make_genesis(lock) if parent is None else ssz.decode(BeaconBlock, parent)
        deep = self._at.fake_l1.blocks[-1 - lock.chain.l1_confirmations].ref
        origin = (deep.number, deep.hash)
        return ssz.encode(make_block(lock, above, slot=above.slot + 1 + mark, origin=origin))

    def certified(self, height: int, block: bytes) -> DecidedBlock:
        return certify(self._at.lock, ssz.decode(BeaconBlock, block))

    def sealed(self, block: bytes) -> WireBlock:
        return sealed(self._at.lock, ssz.decode(BeaconBlock, block))

    async def reset(self, height: int | None) -> None:
        l1 = self._at.fake_l1
        if height is None:
            l1.blocks = list(self._canonical)
        else:
            stored = self._at.chain.store.by_height(Height(height))
            first = ssz.decode(BeaconBlock, stored.block).l1_origin.number
            depth = len(l1.blocks) - first
            l1.reorg(depth, "minority", depth + 1)
        await self._at.l1.poll()
        await self._at.watch.look()

    async def silence(self, is_silent: bool) -> None:
        l1 = self._at.fake_l1
        l1.mine(5)
        l1.is_down = is_silent
        if not is_silent:
            await self._at.l1.poll()

    def started_without_l1(self) -> None:
        self._at.watch.has_looked, self._at.l1.chain = False, None

    def started_in_an_outage(self) -> None:
        self.started_without_l1()
        self._at.fake_l1.is_down, self._at.l1._reachable = True, False
        self._at.l1._known.clear()
        self._at.l1.remember(self._at.fake_l1.blocks[0].ref)

    async def l1_comes(self) -> None:
        self._at.fake_l1.is_down = False
        await self._at.l1.poll()
        await self._at.watch.look()


@asynccontextmanager
async def opened(kind: str, tmp_path: Path) -> AsyncIterator[Bench]:
    if kind == "simulated":
        yield Simulated()
        return
    async with bench(tmp_path) as at:
        yield Real(at)


pytestmark = pytest.mark.parametrize("kind", ["simulated", "real"])


async def judged(at: Bench, block: bytes, height: int = 1, *, justified: bool = False) -> Verdict:
    answer = await at.node.validate(
        block, height=Height(height), round_=Round(0), justified=justified, deadline_ms=5000
    )
    verdict: Verdict = answer.status
    return verdict


async def test_decisions_are_taken_in_order_and_once(kind: str, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as at:
        first = at.child(None)
        second = at.child(first)
        with pytest.raises(OutOfOrder) as told:
            await at.node.decided(at.certified(2, second))
        assert told.value.head_height == 0
        assert await at.node.decided(at.certified(1, first)) == 1
        assert await at.node.decided(at.certified(1, first)) == 1
        assert await at.node.decided(at.certified(2, second)) == 2
        assert (await at.node.status()).decided_height == 2


async def test_a_decision_needs_its_own_certificate(kind: str, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as at:
        first, other = at.child(None), at.child(None, mark=1)
        forged = DecidedBlock(at.certified(1, other).certificate, first)
        with pytest.raises(InvalidInput):
            await at.node.decided(forged)
        few = at.certified(1, first).certificate
        thin = Certificate(few.term, few.height, few.round, few.root, few.commits[:2])
        with pytest.raises(InvalidInput):
            await at.node.decided(DecidedBlock(thin, first))
        assert (await at.node.status()).decided_height == 0


async def test_a_proposal_is_judged_against_the_decided_head(kind: str, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as at:
        first = at.child(None)
        second = at.child(first)
        assert await judged(at, first) is Verdict.VALID
        assert await judged(at, second, 2) is Verdict.HOLD, "its parent is not decided here yet"
        await at.node.decided(at.certified(1, first))
        assert await judged(at, first) is Verdict.INVALID, "decided already"
        strange = at.child(at.child(None, mark=1))
        assert await judged(at, strange, 2) is Verdict.INVALID, "a stranger's"


@pytest.mark.parametrize("justified", [False, True])
async def test_a_block_is_judged_for_the_height_that_it_has(
    kind: str, tmp_path: Path, justified: bool
) -> None:
    """The node may stand below what is decided: there the decided block fits once more."""
    async with opened(kind, tmp_path) as at:
        first = at.child(None)
        assert await judged(at, first, 1, justified=justified) is Verdict.VALID
        assert await judged(at, first, 2, justified=justified) is Verdict.INVALID


async def test_only_a_fresh_proposal_is_judged_by_the_clock(kind: str, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as at:
        late = at.child(None, mark=7)
        assert await judged(at, late) is not Verdict.VALID
        assert await judged(at, late, justified=True) is Verdict.VALID


async def test_signatures_are_kept_for_decided_blocks_alone(kind: str, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as at:
        first, other = at.child(None), at.child(None, mark=1)
        with pytest.raises(Unavailable):
            await at.node.publish_block(at.sealed(first))
        await at.node.decided(at.certified(1, first))
        forged = WireBlock(message=first, signature=BLSSignature(b"\xc0" + bytes(95)))
        with pytest.raises(InvalidInput):
            await at.node.publish_block(forged)
        assert (await at.node.status()).sealed_height == 0
        assert (await at.node.status()).lowest_unsealed_height == 1
        await at.node.publish_block(at.sealed(first))
        await at.node.publish_block(at.sealed(first))
        assert (await at.node.status()).sealed_height == 1
        assert (await at.node.status()).lowest_unsealed_height == 2
        with pytest.raises(InvalidInput):
            await at.node.publish_block(at.sealed(other))


async def test_it_builds_on_its_head_for_now(kind: str, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as at:
        built = await at.node.produce_block(ProduceRequest(slot=Slot(1)))
        assert built is not None
        assert await judged(at, built) is Verdict.VALID
        with pytest.raises(InvalidInput):
            await at.node.produce_block(ProduceRequest(slot=Slot(9)))
        await at.node.decided(at.certified(1, built))
        assert await at.node.produce_block(ProduceRequest(slot=Slot(1))) is None, "the slot is over"


async def test_a_reset_stops_what_moves_the_chain_and_no_reading(kind: str, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as at:
        first = at.child(None)
        await at.node.decided(at.certified(1, first))
        second = at.child(first)
        await at.reset(1)
        for call in (
            at.node.produce_block(ProduceRequest(slot=Slot(2))),
            at.node.validate(
                second, height=Height(2), round_=Round(0), justified=False, deadline_ms=None
            ),
            at.node.decided(at.certified(2, second)),
            at.node.publish_block(at.sealed(first)),
        ):
            with pytest.raises(ResetRequired):
                await call
        assert (await at.node.status()).reset_height == 1
        assert await at.node.decided(at.certified(1, first)) == 1, "known already"
        await at.reset(None)
        assert (await at.node.status()).reset_height is None
        assert await at.node.decided(at.certified(2, second)) == 2


async def test_it_is_ready_once_it_can_build_and_judge(kind: str, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as at:
        first = at.child(None)
        assert (await at.node.status()).ready is True
        at.started_without_l1()
        assert (await at.node.status()).ready is False
        assert await judged(at, first) is Verdict.HOLD
        assert await judged(at, first, justified=True) is Verdict.VALID
        with pytest.raises(Unavailable):
            await at.node.produce_block(ProduceRequest(slot=Slot(1)))
        await at.l1_comes()
        assert (await at.node.status()).ready is True
        assert await judged(at, first) is Verdict.VALID
        assert await at.node.produce_block(ProduceRequest(slot=Slot(1))) is not None
        await at.node.decided(at.certified(1, first))
        await at.reset(1)
        assert (await at.node.status()).ready is False


async def test_what_is_no_block_is_refused(kind: str, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as at:
        with pytest.raises(InvalidInput):
            await judged(at, b"not a block")


async def test_a_silent_l1_keeps_nobody_from_building_and_newer_origins_wait(
    kind: str, tmp_path: Path
) -> None:
    async with opened(kind, tmp_path) as at:
        before = at.child(None)
        assert await judged(at, before) is Verdict.VALID
        await at.silence(True)
        after = at.child(None)
        assert after != before, "on a newer origin"
        assert await judged(at, after) is Verdict.HOLD
        assert await judged(at, before) is Verdict.VALID, "known since before"
        built = await at.node.produce_block(ProduceRequest(slot=Slot(1)))
        assert built is not None, "on the last view"
        assert await judged(at, after, justified=True) is Verdict.VALID, "others have seen it"
        await at.silence(False)
        assert await judged(at, after) is Verdict.VALID


async def test_a_start_in_an_outage_of_l1_goes_on_upon_the_parents_origin(
    kind: str, tmp_path: Path
) -> None:
    async with opened(kind, tmp_path) as at:
        newer = at.child(None)
        at.started_in_an_outage()
        assert (await at.node.status()).ready is False
        assert await judged(at, newer) is Verdict.HOLD
        built = await at.node.produce_block(ProduceRequest(slot=Slot(1)))
        assert built is not None
        assert await judged(at, built) is Verdict.VALID
        await at.l1_comes()
        assert (await at.node.status()).ready is True
        assert await judged(at, newer) is Verdict.VALID
