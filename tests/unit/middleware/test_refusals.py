"""Every wrong thing that a member can say, through the shipped router, inboxes and shells: refused
for its reason, counted, and held against whom it convicts alone.

The links' own refusals are in `tests/unit/p2p`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from dst.middleware import refusals, refusals_page
from dst.middleware.inbox import MAX_PER_PEER
from dst.middleware.wire import root_of
from dst.middleware.wire_messages import (
    DecidedBlocks,
    DecidedItem,
    GetBlock,
    WireMessage,
    encode_message,
)
from dst.qbft import effects as consensus
from dst.qbft import messages as qbft
from dst.sealing import effects as sealing
from dst.sealing.messages import GroupSignature, PartialSignature
from dst.spec.cluster import lock_proposer_domain
from dst.spec.domains import signing_root
from dst.spec.judgement import Judgement, Verdict
from dst.spec.primitives import BLSSignature, Height, OperatorIndex, Root, Round, Term
from tests.unit.middleware.says import H1, SOME, T0, Says

ROOT = Path(__file__).parents[3]
OTHER_CHAIN = Root(b"\x77" * 32)
OTHER = Root(b"\x02" * 32)
SEAL = BLSSignature(b"\xaa" * 96)


def test_the_page_is_current() -> None:
    found = (ROOT / refusals_page.PAGE).read_text()
    assert found == refusals_page.render(), "run: python -m dst.middleware.refusals_page"


class Case(NamedTuple):
    """`link` brings `messages`; the last one is refused."""

    what: str
    link: int
    messages: tuple[WireMessage, ...]
    reason: consensus.Reason
    convicts: int | None = None


def wrong_things(say: Says) -> list[Case]:
    """Said to operator 0 at height 1, round 0: operator 1 leads it, 2 the next."""
    of, block, other = consensus.Reason, say.cluster.block(1), say.cluster.block(1, mark=1)
    asked = [say.round_change(sender, 1) for sender in (1, 2, 3)]
    twice = [say.signed_prepare(sender) for sender in (1, 2, 2)]
    crowd = [say.signed_prepare(sender) for sender in (1, 2, 3, 1, 2, 3)]
    oversized = bytes(say.cluster.lock.chain.max_block_bytes + 1)
    return [
        Case("another signer", 3, (say.prepare(1, signer=3),), of.BAD_SIGNATURE),
        Case("another chain", 3, (say.prepare(3, chain=OTHER_CHAIN),), of.BAD_SIGNATURE),
        Case("no member", 3, (say.prepare(9, signer=3),), of.NOT_A_MEMBER),
        Case("another term", 3, (say.prepare(3, term=1),), of.WRONG_TERM),
        Case("genesis", 3, (say.prepare(3, height=0),), of.STALE),
        Case("a far round", 3, (say.prepare(3, round_=65),), of.TOO_FAR_AHEAD),
        Case("not its turn", 3, (say.proposal(3, block),), of.NOT_THE_LEADER, 3),
        Case("another block", 1, (say.proposal(1, block, root=SOME),), of.ROOT_MISMATCH, 1),
        Case("... passed on", 3, (say.proposal(2, block, 1, asked, SOME),), of.ROOT_MISMATCH),
        Case("too large", 1, (say.proposal(1, oversized, root=SOME),), of.OVERSIZED_BLOCK, 1),
        Case("needless", 1, (say.proposal(1, block, 0, asked),), of.UNJUSTIFIED_PROPOSAL, 1),
        Case("no quorum", 2, (say.proposal(2, block, 1, asked[1:]),), of.UNJUSTIFIED_PROPOSAL, 2),
        Case(
            "voters twice",
            2,
            (say.proposal(2, block, 1, [*asked[1:], asked[2]]),),
            of.UNJUSTIFIED_PROPOSAL,
            2,
        ),
        Case("a crowd", 2, (say.proposal(2, block, 1, asked * 4),), of.UNJUSTIFIED_PROPOSAL, 2),
        Case("no proof", 3, (say.round_change(3, 2, 0),), of.UNJUSTIFIED_ROUND_CHANGE, 3),
        Case("... passed on", 3, (say.round_change(2, 2, 0),), of.UNJUSTIFIED_ROUND_CHANGE),
        Case("twice", 3, (say.round_change(3, 2, 0, twice),), of.UNJUSTIFIED_ROUND_CHANGE, 3),
        Case("crowded", 3, (say.round_change(3, 2, 0, crowd),), of.UNJUSTIFIED_ROUND_CHANGE, 3),
        Case("two votes", 3, (say.prepare(3), say.prepare(3, OTHER)), of.CONFLICTING_VOTE, 3),
        Case(
            "two blocks",
            1,
            (say.proposal(1, block), say.proposal(1, other)),
            of.SECOND_PROPOSAL,
            1,
        ),
        Case("not to be had", 2, (say.proposal(2, other, 1, asked),), of.INVALID_BLOCK),
    ]


@pytest.fixture
async def victim(network: Any, running: Any, eventually: Any) -> Any:
    """Operator 0 takes part; no slot begins and nobody else is there."""
    network.clock_runs = False
    operator = await running(0, gathers=False, validator=False)
    await eventually(lambda: operator.middleware.shells.consensus._started)
    return operator


@pytest.fixture
def tell(victim: Any) -> Callable[[int, WireMessage], None]:
    router = victim.middleware.shells.router
    return lambda link, message: router.received(OperatorIndex(link), encode_message(message))


def kept(victim: Any) -> set[tuple[int | None, str]]:
    """Who stands accused of what."""
    return {(each.culprit, each.reason) for each in victim.store.evidence()}


async def test_what_consensus_refuses(
    victim: Any, tell: Any, cluster: Any, eventually: Any
) -> None:
    shell, metrics = victim.middleware.shells.consensus, victim.middleware.metrics
    impossible = cluster.block(1, mark=1)
    victim.rollup.verdict = lambda block: Judgement(
        Verdict.INVALID if block == impossible else Verdict.VALID
    )
    cases = wrong_things(Says(cluster))

    def count(reason: consensus.Reason) -> float:
        return float(metrics.get("consensus_refused_total", reason=reason))

    for case in cases:
        before = count(case.reason)
        for message in case.messages:
            tell(case.link, message)
        await eventually(lambda case=case, before=before: count(case.reason) > before)
    certificate = qbft.Certificate(T0, H1, Round(0), SOME, cluster.certificate(1).commits)
    shell.certificate_received(OperatorIndex(3), certificate, b"", 0)
    await eventually(lambda: count(consensus.Reason.BAD_CERTIFICATE) == 1)
    assert all(count(reason) for reason in consensus.Reason), "the list is closed"
    convicted = {(each.convicts, each.reason) for each in cases if each.convicts is not None}
    assert kept(victim) == convicted
    assert victim.store.decided_height() == 0


async def test_what_no_core_sees(victim: Any, tell: Any, cluster: Any, eventually: Any) -> None:
    shells, metrics = victim.middleware.shells, victim.middleware.metrics
    say, of = Says(cluster), refusals.Reason

    def count(link: int, reason: refusals.Reason) -> float:
        return float(metrics.get("messages_refused_total", peer=f"op{link + 1}", reason=reason))

    def answers(link: int, *items: DecidedItem) -> None:
        shells.catch_up.fetch_decided(OperatorIndex(link), H1)
        tell(link, DecidedBlocks(H1, items))

    proof = [say.signed_prepare(3) for _ in range(qbft.MAX_MEMBERS + 1)]
    tell(3, say.round_change(3, 2, 0, proof))
    assert count(3, of.UNDECODABLE) == 1, "more votes than any cluster has members"
    shells.router.received(OperatorIndex(3), b"\xc1")
    assert count(3, of.UNDECODABLE) == 2
    for _ in range(2):
        tell(3, DecidedBlocks(Height(0), ()))
        tell(3, GetBlock(H1, SOME))
    assert (count(3, of.UNASKED), count(3, of.TOO_OFTEN)) == (1, 1)

    certificate, block = cluster.certificate(1), cluster.block(1)
    forged = qbft.Certificate(T0, H1, Round(0), SOME, certificate.commits)
    answers(1, DecidedItem(forged, block, None))
    assert count(1, of.BAD_CERTIFICATE) == 1
    answers(2, DecidedItem(certificate, cluster.block(1, mark=1), None))
    assert count(2, of.WRONG_BLOCK) == 1
    answers(2, DecidedItem(certificate, block, None))
    assert count(2, of.DISTRUSTED) == 1
    largest = cluster.lock.chain.max_block_bytes
    answers(3, DecidedItem(certificate, bytes(largest + 1), None))
    assert count(3, of.OVERSIZED_BLOCK) == 1
    assert all(any(count(link, reason) for link in (1, 2, 3)) for reason in of)
    assert victim.store.decided_height() == 0


async def test_a_flood_fills_its_own_share_alone(
    victim: Any, tell: Any, cluster: Any, eventually: Any
) -> None:
    shells, metrics = victim.middleware.shells, victim.middleware.metrics
    say = Says(cluster)
    vote, partial = say.prepare(3), PartialSignature(T0, H1, SOME, OperatorIndex(3), SEAL)
    for _ in range(MAX_PER_PEER + 44):
        tell(3, vote)
        tell(3, partial)
    for core in ("consensus", "sealing"):
        assert metrics.get("inbox_dropped_total", inbox=core, peer="op4") == 44
    tell(1, say.prepare(1))
    await eventually(lambda: set(shells.consensus._state.prepares.get(0, ())) == {1, 3})
    assert kept(victim) == set()


async def test_what_sealing_refuses(
    victim: Any, tell: Any, cluster: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shells, metrics = victim.middleware.shells, victim.middleware.metrics
    of, decided = sealing.Reason, root_of(cluster.block(1))
    root = signing_root(decided, lock_proposer_domain(cluster.lock))

    def partial(sender: int, *, over: Root = root, **changes: Any) -> PartialSignature:
        signature = cluster.sign_share(sender, changes.pop("really", decided))
        made = PartialSignature(T0, H1, over, OperatorIndex(sender), signature)
        return msgspec.structs.replace(made, **changes)

    async def is_counted(reason: sealing.Reason) -> None:
        await eventually(lambda: metrics.get("sealing_refused_total", reason=reason) == 1)

    async def decide(height: int, parent: Root | None = None) -> None:
        block = cluster.block(height, parent=parent)
        item = DecidedItem(cluster.certificate(height, block), block, None)
        shells.catch_up.fetch_decided(OperatorIndex(1), Height(height))
        tell(1, DecidedBlocks(Height(height), (item,)))
        await eventually(lambda: shells.sealing._state.head == height)

    await decide(1)
    for message, reason in [
        (partial(3, term=Term(1)), of.WRONG_TERM),
        (partial(3, operator=OperatorIndex(9)), of.NOT_A_MEMBER),
        (partial(3, operator=OperatorIndex(2)), of.WRONG_SENDER),
        (partial(3, height=Height(66)), of.TOO_FAR_AHEAD),
        (partial(3, over=SOME), of.WRONG_ROOT),
        (GroupSignature(T0, Height(2), root, SEAL), of.NOT_DECIDED),
        (GroupSignature(T0, H1, root, SEAL), of.BAD_GROUP_SIGNATURE),
        (GroupSignature(T0, H1, root, SEAL), of.SUSPECT),
    ]:
        tell(3, message)
        await is_counted(reason)
    tell(2, partial(2, really=SOME))
    tell(2, partial(2))
    await is_counted(of.CONFLICTING_PARTIAL)
    await shells.sealing.own_partial(H1, decided, cluster.sign_share(0, decided))
    await shells.sealing.own_partial(H1, SOME, cluster.sign_share(0, SOME))
    await is_counted(of.ALREADY_SIGNED)
    tell(1, partial(1))
    await is_counted(of.BAD_PARTIAL)
    monkeypatch.setattr("dst.sealing.core.MAX_COLLECTING", 1)
    await decide(2, parent=decided)
    tell(3, partial(3))
    await is_counted(of.TOO_MANY_OPEN)
    assert all(metrics.get("sealing_refused_total", reason=reason) for reason in of)
    assert kept(victim) == {
        (3, of.WRONG_ROOT),
        (2, of.CONFLICTING_PARTIAL),
        (2, of.BAD_PARTIAL),
    }
    assert victim.store.seal(H1) is None
