"""The simulated machine itself: a simulator on a wrong machine proves nothing."""

import asyncio
from collections import deque
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from devnet.sim import blocks, ideal
from devnet.sim.campaign import SIZES
from devnet.sim.chain import CHAIN, TERM
from devnet.sim.disk import Disk
from devnet.sim.l1 import (
    BLOCK_US,
    CONFIRMATIONS,
    L1,
    MINORITY,
    L1Node,
    branch_of,
    draw_l1,
)
from devnet.sim.loop import NothingLeft, VirtualLoop, play
from devnet.sim.operator import Life
from devnet.sim.params import Params, apart, draw_params
from devnet.sim.world import World
from dst.l1.view import CanonicalChain
from dst.qbft.messages import (
    Certificate,
    Commit,
    Prepare,
    Proposal,
    ProposalMessage,
    RoundChange,
    RoundChangeMessage,
    SignedCommit,
    SignedPrepare,
    SignedProposal,
    SignedRoundChange,
    signing_digest,
)
from dst.qbft.records import (
    CommitRecord,
    DecisionRecord,
    PrepareRecord,
    Record,
    RoundChangeRecord,
)
from dst.sealing.messages import GroupSignature, PartialSignature
from dst.sealing.records import PartialRecord, SealRecord
from dst.spec.errors import InvalidInput
from dst.spec.judgement import Verdict
from dst.spec.primitives import BLSSignature, Height, OperatorIndex, Root, Round, faults_tolerated

ME = OperatorIndex(1)
ROOT = Root(b"r" * 32)


def prepare_record(height: int) -> PrepareRecord:
    proposal = SignedProposal(
        payload=Proposal(TERM, Height(height), Round(0), ROOT), sender=ME, signature=b"s" * 64
    )
    prepare = SignedPrepare(
        payload=Prepare(TERM, Height(height), Round(0), ROOT), sender=ME, signature=b"s" * 64
    )
    return PrepareRecord(proposal=ProposalMessage(signed=proposal, block=b"block"), prepare=prepare)


def commit_record(height: int) -> CommitRecord:
    payload = Commit(term=TERM, height=Height(height), round=Round(0), root=ROOT)
    return CommitRecord(
        prepares=(), commit=SignedCommit(payload=payload, sender=ME, signature=b"s" * 64)
    )


def round_change_record(height: int) -> RoundChangeRecord:
    payload = RoundChange(
        term=TERM, height=Height(height), round=Round(1), prepared_round=None, prepared_root=None
    )
    signed = SignedRoundChange(payload=payload, sender=ME, signature=b"s" * 64)
    return RoundChangeRecord(message=RoundChangeMessage(signed=signed))


def decision_record(height: int) -> DecisionRecord:
    certificate = Certificate(
        term=TERM, height=Height(height), round=Round(0), root=ROOT, commits=()
    )
    return DecisionRecord(certificate=certificate, block=b"block")


def test_time_jumps_to_the_next_timer_and_stands_still_between() -> None:
    async def work(loop: VirtualLoop) -> list[tuple[float, str]]:
        heard: list[tuple[float, str]] = []
        loop.after(3_600_000_000, lambda: heard.append((loop.time(), "hour")))
        loop.after(5, lambda: heard.append((loop.time(), "soon")))
        await asyncio.sleep(7200)
        return heard

    assert play(work) == [(5e-6, "soon"), (3600.0, "hour")]


def test_whoever_waits_for_nothing_is_told() -> None:
    async def work(loop: VirtualLoop) -> None:
        await asyncio.Event().wait()

    with pytest.raises(NothingLeft):
        play(work)


def test_what_a_callback_raises_ends_the_run() -> None:
    async def work(loop: VirtualLoop) -> None:
        loop.after(1, lambda: 1 // 0)
        await asyncio.sleep(1)

    with pytest.raises(ZeroDivisionError):
        play(work)


@pytest.mark.parametrize("thawed_early", [False, True])
def test_what_happens_to_a_frozen_process_reaches_it_in_order(thawed_early: bool) -> None:
    """Also what the first things that it hears then lead to, and after an early thaw (the heal)."""

    class Frozen:
        frozen_until = 10
        rate = 1.0

        @property
        def is_frozen(self) -> bool:
            return loop.now_us() < self.frozen_until

    loop = VirtualLoop()
    heard: list[str] = []
    life = object.__new__(Life)
    operator: Any = Frozen()
    life.dead, life._waiting, life._loop, life._operator = False, deque(), loop, operator

    def first() -> None:
        heard.append("first")
        life.when_awake(heard.append, "what came of it")

    life.when_awake(first)
    life.when_awake(heard.append, "second")
    assert heard == []
    if thawed_early:
        operator.frozen_until = 0
        life.thaw()
    life.when_awake(heard.append, "third")
    loop.run_until_complete(asyncio.sleep(1))
    assert heard == (
        ["first", "second", "what came of it", "third"]
        if thawed_early
        else ["first", "second", "third", "what came of it"]
    )


def test_a_crash_loses_what_was_not_synced_and_nothing_else() -> None:
    disk = Disk()
    disk.append(prepare_record(1))
    disk.sync()
    disk.append(commit_record(1))
    disk.crash()
    assert disk.records() == [prepare_record(1)]


def test_filing_a_decision_keeps_later_promises_and_the_head() -> None:
    disk = Disk()
    records: list[Record] = [
        prepare_record(1),
        decision_record(1),
        prepare_record(2),
        commit_record(2),
        round_change_record(2),
    ]
    for record in records:
        disk.append(record)
    disk.sync()
    disk.file_decision(decision_record(1))
    disk.crash()
    assert disk.records() == [prepare_record(2), commit_record(2), round_change_record(2)]
    assert disk.head() == 1


def test_what_a_later_round_overtook_leaves_its_block_and_nothing_else() -> None:
    disk = Disk()
    for record in (prepare_record(1), round_change_record(1)):
        disk.append(record)
        disk.sync()
    assert disk.records() == [round_change_record(1)]
    assert disk.promised_block(ROOT) == b"block"


def test_a_partial_is_dropped_once_its_seal_is_stored() -> None:
    disk = Disk()
    sign = ideal.partial_signer(ME)
    partial = PartialSignature(TERM, Height(3), ROOT, ME, sign(ROOT))
    seal = GroupSignature(TERM, Height(3), ROOT, sign(ROOT))
    disk.append_sealing(PartialRecord(message=partial))
    assert disk.own_partial(Height(3)) == PartialRecord(message=partial)
    disk.append_sealing(SealRecord(message=seal))
    assert disk.own_partial(Height(3)) is None
    assert disk.sealing_records() == [SealRecord(message=seal)]
    assert disk.seal_of(Height(3)) == SealRecord(message=seal)
    assert disk.seal_of(Height(4)) is None


def test_identity_signatures_bind_signer_and_digest() -> None:
    payload = Prepare(term=TERM, height=Height(1), round=Round(0), root=ROOT)
    digest = signing_digest(CHAIN, payload)
    signature = ideal.signer(ME)(digest)
    assert ideal.verify(ME, digest, signature)
    assert not ideal.verify(OperatorIndex(2), digest, signature)
    assert not ideal.verify(ME, digest[::-1], signature)


@pytest.mark.parametrize("n", [4, 7, 10])
def test_combination_needs_a_quorum_of_sound_partials_over_one_root(n: int) -> None:
    combine = ideal.combiner(n)
    members = [OperatorIndex(i) for i in range(n - faults_tolerated(n))]
    sound = {i: ideal.partial_signer(i)(ROOT) for i in members}
    assert ideal.verify_group(ROOT, combine(sound))
    last = members[-1]
    other = Root(b"o" * 32)
    for bad in (
        {**sound, last: ideal.partial_signer(last)(other)},
        {**sound, last: BLSSignature(sound[last][:-1] + b"?")},
        {i: sound[i] for i in members[:-1]},
    ):
        garbage = combine(bad)
        assert not ideal.verify_group(ROOT, garbage)
        assert not ideal.verify_group(other, garbage)


def branches(node: L1Node, *numbers: int) -> list[int]:
    chain = node._speak()
    return [branch_of(chain[number].hash) for number in numbers]


def test_a_node_hears_of_blocks_and_reorgs_at_their_time() -> None:
    """A node on a minority fork goes on with it, and finds what it missed when it comes back."""
    l1, node, lone = L1([(10 * BLOCK_US, 8)]), L1Node(), L1Node()
    for each in (node, lone):
        each.follow(l1, -5)
        assert branches(each, 0) == [0]
        each.follow(l1, 9 * BLOCK_US)
        assert branches(each, 7, 8, 9) == [0, 0, 0]
    lone.leave(9)
    for each in (node, lone):
        each.follow(l1, 11 * BLOCK_US)
    assert branches(node, 7, 8, 9, 10, 11) == [0, 1, 1, 1, 1]
    minority = MINORITY + 1
    assert branches(lone, 7, 8, 9, 10, 11) == [0, 0, minority, minority, minority]
    assert lone.is_at_large(9, 1)
    assert not lone.is_at_large(9, minority)
    lone.come_back()
    assert lone._speak() == node._speak()


def view(l1: L1, moment_us: int) -> CanonicalChain:
    node = L1Node()
    node.follow(l1, moment_us)
    return CanonicalChain(tuple(node._speak()))


def test_view_rules_differ_between_voters_and_deterministic_rules_do_not() -> None:
    l1 = L1([(10 * BLOCK_US, 6)])
    before, after = view(l1, 9 * BLOCK_US), view(l1, 11 * BLOCK_US)
    block = blocks.decode(blocks.build(blocks.GENESIS_BYTES, before, 5, b"salt"))
    parent = blocks.GENESIS_BYTES
    assert block.origin_number == 9 - CONFIRMATIONS
    assert blocks.check_view(parent, block, before, 5) is Verdict.VALID
    assert blocks.check_view(parent, block, after, 5) is Verdict.INVALID
    assert blocks.check_view(parent, block, before, 4) is Verdict.HOLD
    assert blocks.check_view(parent, block, before, 7) is Verdict.INVALID
    assert blocks.check_view(parent, block, view(l1, 0), 5) is Verdict.HOLD
    assert blocks.check_deterministic(parent, block) is Verdict.VALID


def test_what_is_not_a_block_has_no_root() -> None:
    with pytest.raises(InvalidInput):
        blocks.root_of(b"\xff garbage")


def test_what_is_drawn_apart_shifts_no_other_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    rngs = Random(7), Random(7)
    before = draw_params(rngs[0], 4)
    monkeypatch.setattr("devnet.sim.params._draw_drift", lambda rng, n: {n: rng.randrange(9)})
    after = draw_params(rngs[1], 4)
    assert after.drift_ppm.keys() == {4}
    assert replace(after, drift_ppm=before.drift_ppm) == before
    assert rngs[0].getstate() == rngs[1].getstate()


def test_clocks_drift_by_a_little_mostly() -> None:
    drawn = [draw_params(Random(seed), 4).drift_ppm for seed in range(400)]
    worst = [max(map(abs, each.values()), default=0) for each in drawn]
    assert 100 < sum(each == 0 for each in worst) < 220
    assert 10 < sum(each > 200 for each in worst) < 80
    assert max(worst) <= 10_000


@pytest.mark.parametrize("n", SIZES)
def test_no_draw_exceeds_the_fault_budget(n: int) -> None:
    for seed in range(200):
        params = draw_params(Random(seed), n)
        assert len(params.byzantine) + (params.loss is not None) <= faults_tolerated(n)
        l1 = draw_l1(Random(seed), reorg_count=params.l1_reorgs, until_us=params.chaos_us)
        assert l1.reorgs == sorted(l1.reorgs)


def test_what_is_drawn_apart_shifts_nothing() -> None:
    rng, same = Random(5), Random(5)
    assert apart(rng, "a").random() != apart(rng, "b").random()
    assert apart(rng, "a").random() == apart(same, "a").random()
    assert rng.getstate() == same.getstate() == Random(5).getstate()


def test_an_l1_that_is_silent_for_all_stops_nobody() -> None:
    """Origins stay where they are, until it speaks again."""
    calm = Params(n=4, chaos_us=8_000_000)

    def origins(silent: bool) -> list[int]:
        async def run(loop: VirtualLoop) -> list[int]:
            world = World(loop, 1, 4, params=calm)
            for node in world.honest if silent else ():
                loop.after(3_500_000, setattr, node.rollup.l1, "is_silent", True)
            assert (await world.run()).failure == ""
            chain = world.honest[0].rollup.chain
            return [blocks.decode(each.block).origin_number for each in chain]

        return play(run)

    heard, unheard = origins(False), origins(True)
    assert heard[6] > unheard[6] == unheard[3]
    assert unheard[-1] == heard[-1], "it is healed"
