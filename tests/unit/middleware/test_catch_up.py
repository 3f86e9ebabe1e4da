"""What unasked and lying answers cost: hardly anything, and never a hash."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from dst.middleware.catch_up import DISTRUST_S, UNASKED_INTERVAL_S, CatchUp
from dst.middleware.outcomes import CertificateFound, Outcome, SignatureFound
from dst.middleware.wire_messages import (
    BlockReply,
    DecidedBlocks,
    DecidedItem,
    GetBlock,
    WireMessage,
)
from dst.qbft.messages import Certificate
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.spec.errors import InvalidInput
from dst.spec.primitives import BLSSignature, Height, OperatorIndex, Root, Round, Term

PEER, OTHER = OperatorIndex(1), OperatorIndex(2)
HEAD = 5
MAX_BLOCK_BYTES = 1000
SEAL = BLSSignature(bytes(96))


def root_at(height: int) -> Root:
    return Root(height.to_bytes(32, "big"))


def item(height: int, *, block: bytes | None = None, seal: bool = False) -> DecidedItem:
    certificate = Certificate(Term(0), Height(height), Round(0), root_at(height), ())
    data = height.to_bytes(8, "big") if block is None else block
    return DecidedItem(certificate, data, SEAL if seal else None)


@dataclass
class Bench:
    """Heights 1 to HEAD are decided; certificates up to `certified` are genuine."""

    certified: int = 10
    now: float = 100.0
    hashed: int = 0
    taken: list[int] = field(default_factory=list)
    seals: list[int] = field(default_factory=list)
    claims: dict[int, int] = field(default_factory=dict)
    proven: dict[int, int] = field(default_factory=dict)
    sent: list[tuple[int, WireMessage]] = field(default_factory=list)
    promised: dict[Root, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        bench: Any = self
        self.catch_up = CatchUp(
            store=bench,
            peers=bench,
            progress=bench,
            outcomes=bench,
            root_of=self.root_of,
            is_certified=lambda certificate: certificate.height <= self.certified,
            max_block_bytes=MAX_BLOCK_BYTES,
            log=Logger("test"),
            metrics=Metrics(),
            now=lambda: self.now,
        )

    def hear(self, *items: DecidedItem, peer: OperatorIndex = PEER, head: int = 9) -> None:
        self.catch_up.received(peer, DecidedBlocks(Height(head), items), 100)

    def root_of(self, block: bytes) -> Root:
        self.hashed += 1
        return Root(block.rjust(32, b"\0")[-32:])

    # Store, Progress, Outcomes, Peers

    def decided_height(self) -> int:
        return HEAD

    def promised_block(self, root: Root) -> bytes | None:
        return self.promised.get(root)

    def decided_by_root(self, root: Root) -> None:
        return None

    def peer_claims(self, peer: int, height: int) -> None:
        self.claims[peer] = height

    def unproven(self) -> dict[int, int]:
        return {peer: claim for peer, claim in self.claims.items() if peer not in self.proven}

    def peer_proves(self, peer: int, height: int) -> None:
        self.proven[peer] = height

    def put(self, outcome: Outcome) -> None:
        match outcome:
            case CertificateFound(certificate=certificate):
                self.taken.append(certificate.height)
            case SignatureFound(certificate=certificate):
                self.seals.append(certificate.height)

    def send(self, to: int, message: WireMessage) -> None:
        self.sent.append((to, message))


def test_what_follows_the_head_is_taken_in_order() -> None:
    bench = Bench()
    bench.hear(item(4), item(5, seal=True), item(6, seal=True), item(7))
    assert (bench.taken, bench.seals, bench.hashed) == ([6, 7], [5, 6], 2)


@pytest.mark.parametrize(
    "hostile",
    [item(11), item(6, block=b"x" * (MAX_BLOCK_BYTES + 1)), item(8), item(2**53)],
    ids=["unproven, ahead", "oversized", "with a gap", "far ahead"],
)
def test_nothing_is_hashed_that_cannot_be_the_next_block(hostile: DecidedItem) -> None:
    bench = Bench()
    try:
        bench.hear(hostile)
    except InvalidInput:
        pass
    assert (bench.hashed, bench.taken, bench.seals) == (0, [], [])


def test_an_unproven_certificate_is_refused_before_its_block_is_hashed() -> None:
    bench = Bench(certified=HEAD)
    with pytest.raises(InvalidInput, match="does not prove"):
        bench.hear(item(6))
    assert bench.hashed == 0


def test_whoever_lied_is_not_listened_to_for_a_while() -> None:
    bench = Bench()
    with pytest.raises(InvalidInput, match="not the certified one"):
        bench.hear(item(6, block=b"another"))
    for _ in range(100):
        bench.now += DISTRUST_S / 200
        bench.hear(item(6, block=b"another"))
    assert bench.hashed == 1
    bench.hear(item(6), peer=OTHER)
    assert bench.taken == [6]
    bench.now += DISTRUST_S
    bench.hear(item(6))
    assert bench.taken == [6, 6]


def test_unasked_answers_are_taken_now_and_then_and_asked_ones_always() -> None:
    bench = Bench()
    for _ in range(10):
        bench.hear(item(6))
    assert bench.taken == [6]
    bench.catch_up.fetch_decided(PEER, Height(6))
    bench.hear(item(6))
    assert bench.taken == [6, 6]
    bench.now += 2 * UNASKED_INTERVAL_S
    bench.hear(item(6))
    assert bench.taken == [6, 6, 6]


def test_a_claim_is_proven_by_the_certificate_that_was_asked_for() -> None:
    bench = Bench()
    bench.hear(head=9)
    bench.catch_up.ask_for_proofs()
    bench.claims[PEER] = 10  # it decides on while the answer is on its way
    bench.hear(item(9), head=10)
    assert bench.proven == {PEER: 9}
    assert bench.hashed == 0


def test_a_claim_beyond_the_chain_is_never_proven() -> None:
    bench = Bench()
    bench.hear(head=2**53)
    bench.catch_up.ask_for_proofs()
    with pytest.raises(InvalidInput, match="does not prove"):
        bench.hear(item(2**53), head=2**53)
    assert bench.proven == {}


def test_a_block_nobody_asked_for_is_not_hashed() -> None:
    bench = Bench()
    bench.catch_up.received(PEER, BlockReply(root_at(6), b"x"), 1)
    assert bench.hashed == 0


BLOCK = b"block"
ROOT = Root(BLOCK.rjust(32, b"\0"))


async def asked(bench: Bench, count: int) -> None:
    """Until the fetch has asked `count` holders."""
    while len(bench.sent) < count:
        await asyncio.sleep(0)


@pytest.mark.parametrize("bad", [None, b"another", b"x" * (MAX_BLOCK_BYTES + 1), b""], ids=repr)
async def test_a_holder_without_the_block_costs_a_round_trip_not_a_timeout(
    bad: bytes | None,
) -> None:
    bench = Bench()
    async with asyncio.TaskGroup() as group:
        fetch = group.create_task(bench.catch_up.fetch_block(Height(6), ROOT, (PEER, OTHER)))
        await asked(bench, 1)
        try:
            bench.catch_up.received(PEER, BlockReply(ROOT, bad), 10)
        except InvalidInput:
            assert bad is not None
            assert not bench.catch_up._listens_to(PEER)
        await asked(bench, 2)
        assert [to for to, _ in bench.sent] == [PEER, OTHER]
        assert all(message == GetBlock(Height(6), ROOT) for _, message in bench.sent)
        bench.catch_up.received(OTHER, BlockReply(ROOT, BLOCK), 10)
    assert fetch.result() == BLOCK


async def test_a_late_answer_of_an_earlier_holder_counts_and_one_of_a_stranger_does_not() -> None:
    bench = Bench()
    async with asyncio.TaskGroup() as group:
        fetch = group.create_task(bench.catch_up.fetch_block(Height(6), ROOT, (PEER, OTHER)))
        await asked(bench, 2)
        bench.catch_up.received(OperatorIndex(3), BlockReply(ROOT, BLOCK), 10)
        assert not bench.hashed
        bench.catch_up.received(PEER, BlockReply(ROOT, BLOCK), 10)
    assert fetch.result() == BLOCK


async def test_what_this_node_promised_is_served_and_not_asked_for() -> None:
    bench = Bench(promised={ROOT: BLOCK})
    assert await bench.catch_up.fetch_block(Height(6), ROOT, (PEER,)) == BLOCK
    assert not bench.sent
    bench.catch_up.received(PEER, GetBlock(Height(6), ROOT), 10)
    assert bench.sent == [(PEER, BlockReply(ROOT, BLOCK))]
