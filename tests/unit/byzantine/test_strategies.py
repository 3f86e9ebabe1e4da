"""What each strategy says instead of the truth, to whom; pure, with real blocks and ideal keys."""

import asyncio
from collections.abc import Callable
from dataclasses import replace as with_fields
from random import Random
from typing import Any

import pytest

from devnet.byzantine import strategies
from devnet.byzantine.liar import Honest, Orders, height_of
from devnet.byzantine.names import KNOWN, Strategy
from devnet.byzantine.strategies import FAR, FLOOD, LIARS
from devnet.sim import ideal
from devnet.sim.chain import CHAIN
from devnet.sim.params import Behaviour
from dst.apis.beacon import ProduceRequest
from dst.middleware.wire import root_of
from dst.middleware.wire_messages import (
    BlockReply,
    DecidedBlocks,
    Status,
    WireMessage,
    decode_message,
    encode_message,
)
from dst.qbft.messages import (
    Commit,
    CommitMessage,
    Payload,
    Prepare,
    PrepareMessage,
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
from dst.sealing.messages import PartialSignature
from dst.spec import ssz
from dst.spec.beacon import BeaconBlock, ExecutionPayload
from dst.spec.primitives import (
    Address,
    Height,
    OperatorIndex,
    Root,
    Round,
    Slot,
    Term,
    quorum,
)

ME, N = OperatorIndex(1), 4
OTHERS = (0, 2, 3)
T0 = Term(0)
SOME = Root(b"r" * 32)


class FakeHands:
    term = T0

    def __init__(self) -> None:
        self.told: list[tuple[int, WireMessage]] = []
        self.clock = 10.0

    def tell(self, target: int, message: WireMessage) -> None:
        self.told.append((target, decode_message(encode_message(message))))

    def sign(self, payload: Payload) -> bytes:
        return ideal.signer(ME)(signing_digest(CHAIN, payload))

    def now(self) -> float:
        return self.clock

    def root_of(self, block: bytes) -> Root:
        return root_of(block)

    def around(self, block: BeaconBlock, payload: ExecutionPayload) -> bytes:
        body = with_fields(block.body, execution_payload=payload)
        return ssz.encode(with_fields(block, body=body))


Make = Callable[..., tuple[Honest, FakeHands]]


@pytest.fixture
def make() -> Make:
    def build(strategy: Strategy, **orders: Any) -> tuple[Honest, FakeHands]:
        hands = FakeHands()
        return LIARS[strategy](ME, N, Random(3), hands, Orders(**orders)), hands

    return build


def sign(sender: int, payload: Payload) -> bytes:
    return ideal.signer(OperatorIndex(sender))(signing_digest(CHAIN, payload))


def proposal(block: bytes, height: int = 1, sender: int = ME, round_: int = 0) -> ProposalMessage:
    payload = Proposal(T0, Height(height), Round(round_), root_of(block))
    signed = SignedProposal(payload, OperatorIndex(sender), sign(sender, payload))
    return ProposalMessage(signed, block)


def prepare(
    root: Root = SOME, height: int = 1, sender: int = ME, round_: int = 0
) -> PrepareMessage:
    payload = Prepare(T0, Height(height), Round(round_), root)
    return PrepareMessage(SignedPrepare(payload, OperatorIndex(sender), sign(sender, payload)))


def commit(root: Root = SOME, height: int = 1, sender: int = ME) -> CommitMessage:
    payload = Commit(T0, Height(height), Round(0), root)
    return CommitMessage(SignedCommit(payload, OperatorIndex(sender), sign(sender, payload)))


def round_change(round_: int = 1, height: int = 1, sender: int = ME) -> RoundChangeMessage:
    payload = RoundChange(T0, Height(height), Round(round_), None, None)
    signed = SignedRoundChange(payload, OperatorIndex(sender), sign(sender, payload))
    return RoundChangeMessage(signed)


def partial(height: int = 1) -> PartialSignature:
    signature = ideal.partial_signer(ME)(SOME)
    return PartialSignature(T0, Height(height), SOME, ME, signature)


def built(liar: Honest, *answers: bytes | None) -> tuple[bytes | None, list[ProduceRequest]]:
    """What it has built where its rollup node answers these in turn, and how it asked."""
    asked: list[ProduceRequest] = []

    async def ask(request: ProduceRequest) -> bytes | None:
        asked.append(request)
        return answers[len(asked) - 1]

    return asyncio.run(liar.build(ask, ProduceRequest(slot=Slot(5)))), asked


def is_mine(signed: Any) -> bool:
    digest = signing_digest(CHAIN, signed.payload)
    return signed.sender == ME and ideal.verify(ME, digest, signed.signature)


def test_every_strategy_has_a_liar_and_a_line() -> None:
    assert set(LIARS) == set(KNOWN) == set(Strategy)


def test_names_in_the_simulator_exist() -> None:
    named = {known.simulated for known in KNOWN.values() if known.simulated}
    assert named <= {str(each) for each in Behaviour}


@pytest.mark.parametrize("strategy", sorted(Strategy))
def test_what_is_no_part_of_a_lie_is_said_as_it_is(strategy: Strategy, make: Make) -> None:
    """A liar that did nothing but lie would be as good as silent."""
    liar, _ = make(strategy, censored=Address(bytes(20)))
    if strategy is not Strategy.CLAIM_LOCK:  # keeps its PREPAREs to itself
        assert liar.say(0, prepare()) == (prepare(),)
    foreign = prepare(sender=3)
    if strategy is not Strategy.CLAIM_LOCK:
        assert liar.say(0, foreign) == (foreign,)


# -------------------------------------------------------------------------- equivocate


def equivocating(make: Make, cluster: Any, **orders: Any) -> tuple[Honest, FakeHands, bytes, bytes]:
    liar, hands = make(Strategy.EQUIVOCATE, **orders)
    block, sibling = cluster.block(1), cluster.block(1, mark=7)
    assert built(liar, block, sibling)[0] == block
    return liar, hands, block, sibling


@pytest.mark.parametrize("fellows", [frozenset(), frozenset({ME})])
def test_an_equivocator_shows_each_half_another_block_and_then_the_other(
    make: Make, cluster: Any, fellows: frozenset[OperatorIndex]
) -> None:
    """Whether or not it is told of itself."""
    liar, _, block, sibling = equivocating(make, cluster, fellows=fellows)
    first = {}
    for target in OTHERS:
        shown, vote, vote_2, then = liar.say(target, proposal(block))
        assert isinstance(shown, ProposalMessage)
        assert isinstance(then, ProposalMessage)
        assert isinstance(vote, PrepareMessage)
        assert isinstance(vote_2, CommitMessage)
        assert {shown.block, then.block} == {block, sibling}
        assert shown.signed.payload.root == root_of(shown.block) == vote.signed.payload.root
        assert vote_2.signed.payload.root == root_of(shown.block)
        assert all(map(is_mine, (shown.signed, then.signed, vote.signed, vote_2.signed)))
        first[target] = shown.block
    assert first == {0: block, 2: sibling, 3: block}
    # What its own shells vote later is said to each half as if it were for that.
    (voted,) = liar.say(2, prepare(root_of(block)))
    assert isinstance(voted, PrepareMessage)
    assert voted.signed.payload.root == root_of(sibling)
    assert liar.say(0, commit(root_of(block))) == (commit(root_of(block)),)


def test_without_transactions_the_sibling_is_of_the_next_slot(make: Make, cluster: Any) -> None:
    liar, _ = make(Strategy.EQUIVOCATE)
    block = cluster.block(1)
    _, asked = built(liar, block, block, cluster.block(1, slot=6))
    assert [(each.slot, each.no_tx_pool) for each in asked] == [(5, False), (5, True), (6, True)]
    assert len(liar.say(0, proposal(block))) == 4


def test_without_a_sibling_it_cannot_lie(make: Make, cluster: Any) -> None:
    liar, _ = make(Strategy.EQUIVOCATE)
    block = cluster.block(1)
    built(liar, block, None, None)
    assert liar.say(0, proposal(block)) == (proposal(block),)


def test_fellows_vote_for_both(make: Make, cluster: Any) -> None:
    """Of four, with two honest: one of them gets three votes for each block, its own among them."""
    fellows = frozenset({ME, OperatorIndex(2)})
    leader, _, block, sibling = equivocating(make, cluster, fellows=fellows)
    both = leader.say(2, proposal(block))
    fellow = strategies.Equivocator(2, N, Random(1), FakeHands(), Orders(fellows=fellows))
    for each in both:
        fellow.hears(each)
        fellow.hears(each)
    hands = fellow.hands
    assert isinstance(hands, FakeHands)

    def told() -> list[tuple[int, type, Root]]:
        return [(to, type(each), root_of_vote(each)) for to, each in hands.told]

    prepares = [(0, PrepareMessage, root_of(block)), (3, PrepareMessage, root_of(sibling))]
    commits = [(0, CommitMessage, root_of(block)), (3, CommitMessage, root_of(sibling))]
    assert told() == prepares
    # Until each half has committed to its own: neither is to learn of the other's certificate.
    fellow.hears(commit(root_of(block), sender=0))
    fellow.hears(commit(root_of(block), sender=3))
    assert fellow.say(0, commit(root_of(block), sender=2)) == ()
    assert told() == prepares
    fellow.hears(commit(root_of(sibling), sender=3))
    fellow.hears(commit(root_of(sibling), sender=3))
    assert told() == prepares + commits
    assert [root_of_vote(*fellow.say(to, commit(root_of(block), sender=2))) for to in (0, 3)] == [
        root_of(block),
        root_of(sibling),
    ]
    assert [leader.say(to, proposal(block))[0] for to in (0, 3)] == list(both)


@pytest.mark.parametrize(
    ("n", "liars", "votes"), [(4, 1, 2), (4, 2, 1), (7, 2, 2), (7, 3, 1), (10, 3, 2), (10, 4, 1)]
)
def test_only_who_can_have_both_decided_waits_with_its_commits(
    n: int, liars: int, votes: int, cluster: Any
) -> None:
    """Up to f have one half decide at once, and the other holds a sibling of what was decided."""
    fellows = frozenset(map(OperatorIndex, range(1, 1 + liars)))
    leader = strategies.Equivocator(ME, n, Random(1), FakeHands(), Orders(fellows=fellows))
    block, sibling = cluster.block(1), cluster.block(1, mark=7)
    assert built(leader, block, sibling)[0] == block
    said = [type(each) for each in leader.say(0, proposal(block))]
    both = [PrepareMessage, CommitMessage]
    assert said == [ProposalMessage, *both[:votes], ProposalMessage]


def root_of_vote(message: WireMessage) -> Root:
    assert isinstance(message, PrepareMessage | CommitMessage)
    return message.signed.payload.root


# ------------------------------------------------------------------------ withhold, claim


def test_a_withholder_shows_its_block_to_as_few_as_decide_and_serves_nobody(
    make: Make, cluster: Any
) -> None:
    liar, _ = make(Strategy.WITHHOLD_BLOCK)
    mine = proposal(cluster.block(1))
    shown = [target for target in OTHERS if liar.say(target, mine)]
    assert len(shown) == quorum(N) - 1
    assert shown == [target for target in OTHERS if liar.say(target, mine)], "said again, the same"
    assert liar.say(0, BlockReply(SOME, b"x")) == ()
    assert liar.say(0, DecidedBlocks(Height(1), ())) == ()
    foreign = proposal(cluster.block(1), sender=3)
    assert liar.say(0, foreign) == (foreign,)


def test_a_hoarder_claims_a_genuine_lock_that_only_it_can_prove(make: Make, cluster: Any) -> None:
    liar, hands = make(Strategy.CLAIM_LOCK)
    block = cluster.block(1)
    root = root_of(block)
    shown = [target for target in OTHERS if liar.say(target, proposal(block))]
    assert len(shown) == quorum(N) - 1
    assert liar.say(0, prepare(root)) == ()
    for sender in shown:
        liar.hears(prepare(root, sender=sender))
    liar.hears(round_change(sender=0))
    claims = [each for _, each in hands.told if isinstance(each, RoundChangeMessage)]
    assert {target for target, _ in hands.told} == set(OTHERS)
    assert all(each.signed.payload.prepared_root == root for each in claims)
    assert all(len(each.prepares) == quorum(N) and is_mine(each.signed) for each in claims)
    (said,) = liar.say(0, round_change(2))
    assert isinstance(said, RoundChangeMessage)
    assert said.signed.payload.prepared_root == root
    assert liar.say(0, BlockReply(root, block)) == ()


# ------------------------------------------------------------------- silence, forgery


def test_silent_after_prepare(make: Make, cluster: Any) -> None:
    liar, _ = make(Strategy.SILENT_AFTER_PREPARE)
    mine = proposal(cluster.block(1))
    assert liar.say(0, mine) == (mine,)
    for each in (commit(), round_change(), partial(), DecidedBlocks(Height(1), ())):
        assert liar.say(0, each) == ()


def test_forged_locks_have_no_proof_or_one_vote_for_a_quorum(make: Make) -> None:
    liar, hands = make(Strategy.FORGE_ROUND_CHANGES)
    proofs = set()
    for height in range(1, 20):
        hands.told.clear()
        liar.hears(prepare(height=height, sender=0))
        liar.hears(prepare(height=height, sender=2))
        assert sorted(target for target, _ in hands.told) == list(OTHERS), "once a height"
        for _, each in hands.told:
            assert isinstance(each, RoundChangeMessage)
            assert is_mine(each.signed)
            assert each.signed.payload.height == height
            assert each.signed.payload.prepared_root is not None
            proofs.add((len(each.prepares), len(set(each.prepares))))
    assert proofs == {(0, 0), (quorum(N), 1)}
    (said,) = liar.say(0, round_change(3))
    assert isinstance(said, RoundChangeMessage)
    assert said.signed.payload.prepared_round == 2


# -------------------------------------------------------------------- partials, status


def test_bad_partials_go_to_some_and_always_to_the_same(make: Make) -> None:
    liar, _ = make(Strategy.BAD_PARTIALS)
    counts = set()
    for height in range(1, 30):
        said = {target: liar.say(target, partial(height)) for target in OTHERS}
        assert said == {target: liar.say(target, partial(height)) for target in OTHERS}
        bad = [words for words in said.values() if words != (partial(height),)]
        for (each,) in bad:
            assert isinstance(each, PartialSignature)
            assert not ideal.verify_partial(ME, SOME, each.signature)
        counts.add(len(bad))
    assert counts == {1, 2, 3}


def test_a_false_status_is_far_ahead_or_nothing(make: Make) -> None:
    liar, _ = make(Strategy.FALSE_STATUS)
    said = {liar.say(0, Status(Height(17)))[0] for _ in range(40)}
    assert said == {Status(Height(0), votes=False), Status(Height(FAR), votes=False)}


def test_a_flood_is_more_than_an_inbox_takes_once_a_second(make: Make) -> None:
    liar, hands = make(Strategy.FLOOD)
    liar.say(0, prepare())
    liar.hears(prepare(sender=0))
    assert len(hands.told) == FLOOD * len(OTHERS)
    liar.hears(prepare(sender=2))
    assert len(hands.told) == FLOOD * len(OTHERS)
    hands.clock += 1.0
    liar.hears(prepare(sender=2))
    assert len(hands.told) == 2 * FLOOD * len(OTHERS)
    assert len({type(each) for _, each in hands.told}) >= 8


def test_a_flood_is_about_the_height_that_is_open_whatever_a_fellow_says(make: Make) -> None:
    """Two that heard each other's far heights would flood with what nobody looks at."""
    liar, hands = make(Strategy.FLOOD)
    liar.say(0, prepare(height=100))
    liar.say(0, prepare(height=FAR, sender=3))
    for height in (101, FAR, 2 * FAR):
        liar.hears(prepare(height=height, sender=3))
    hands.told.clear()
    hands.clock += 1.0
    liar.hears(prepare(height=101, sender=0))
    heights = [at for _, each in hands.told if (at := height_of(each)) is not None]
    near = [at for at in heights if 99 <= at <= 102]
    assert len(near) > len(heights) / 2
    assert max(heights) <= 2 * FAR


def test_what_is_old_is_told_by_its_own_votes(make: Make) -> None:
    liar, hands = make(Strategy.STALE_RESEND)
    for height in range(1, 9):
        liar.say(0, commit(height=height))
    for height in (FAR, 7, 8):
        hands.clock += 1.0
        liar.hears(prepare(height=height, sender=3))
    told = {height_of(each) for _, each in hands.told}
    assert told
    assert told <= set(range(1, 7))


def test_a_claim_is_a_hoarders_lie_and_a_vote_kept_back_is_none(make: Make, cluster: Any) -> None:
    liar, _ = make(Strategy.CLAIM_LOCK)
    root = root_of(cluster.block(1))
    for each in (prepare(root), commit(root), round_change(), BlockReply(root, b"x")):
        assert not liar.is_lie(0, each, liar.say(0, each))
    for sender in OTHERS:
        liar.hears(prepare(root, sender=sender))
    claim = round_change(2)
    assert liar.is_lie(0, claim, liar.say(0, claim))


def test_what_is_long_decided_is_said_again(make: Make) -> None:
    liar, hands = make(Strategy.STALE_RESEND)
    for height in range(1, 9):
        hands.clock += 1.0
        liar.hears(prepare(height=height, sender=0))
        assert liar.say(0, commit(height=height)) == (commit(height=height),)
    newest = 8
    heights = {each.signed.payload.height for _, each in hands.told}  # type: ignore[union-attr]
    assert heights
    assert max(heights) < newest - 1
    senders = {each.signed.sender for _, each in hands.told}  # type: ignore[union-attr]
    assert senders == {0, ME}, "its own words, and what others signed"
    before = len(hands.told)
    liar.hears(prepare(height=newest, sender=3))
    assert len(hands.told) == before, "not sooner than a fifth of a second"


# ----------------------------------------------------------------------------- blocks

SENDER = Address(b"\x11" * 20)


def test_a_censor_proposes_an_empty_block_instead(
    make: Make, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Decoded:
        sender = SENDER

    monkeypatch.setattr(strategies, "decode_once", lambda raw: Decoded())
    empty, full = cluster.block(1), with_transactions(cluster.block(1), (b"\x02raw",))
    liar, _ = make(Strategy.CENSOR, censored=SENDER)
    block, asked = built(liar, full, empty)
    assert block == empty
    assert [each.no_tx_pool for each in asked] == [False, True]
    assert built(liar, empty)[0] == empty
    other, _ = make(Strategy.CENSOR, censored=Address(b"\x22" * 20))
    assert built(other, full)[0] == full


def with_transactions(block: bytes, transactions: tuple[bytes, ...]) -> bytes:
    decoded = ssz.decode(BeaconBlock, block)
    payload = with_fields(decoded.body.execution_payload, transactions=transactions)
    body = with_fields(decoded.body, execution_payload=payload)
    return ssz.encode(with_fields(decoded, body=body))


def test_an_invalid_block_has_one_wrong_field_and_its_own_vote(make: Make, cluster: Any) -> None:
    liar, _ = make(Strategy.INVALID_BLOCK)
    true = cluster.block(1)
    changed = set()
    for _ in range(60):
        block, _asked = built(liar, true)
        assert block is not None
        assert liar.vouches(block)
        before = ssz.decode(BeaconBlock, true).body.execution_payload
        after = ssz.decode(BeaconBlock, block).body.execution_payload
        names = type(before).__slots__
        wrong = {each for each in names if getattr(before, each) != getattr(after, each)}
        assert "block_hash" in wrong, "of what it says it is"
        (name,) = wrong - {"block_hash"} or {"block_hash"}
        changed.add(name)
    assert changed == {
        "state_root", "receipts_root", "block_hash", "gas_used", "timestamp", "base_fee_per_gas",
    }  # fmt: skip
    assert not liar.vouches(true)
