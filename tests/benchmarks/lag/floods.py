"""What a hostile member with genuine keys may say as fast as the link takes it. Frames are made
once a height; sending them costs next to nothing, so that the victim is what is measured."""

import random
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from dst.middleware.wire import root_of
from dst.middleware.wire_messages import (
    MAX_RANGE,
    BlockReply,
    DecidedBlocks,
    DecidedItem,
    GetBlock,
    GetDecided,
    Status,
    WireMessage,
    encode_message,
)
from dst.p2p.framing import MAX_FRAME_BYTES, encode_frame
from dst.p2p.handshake import Data, Ping, Pong, encode_link_frame
from dst.qbft.messages import (
    Certificate,
    Commit,
    CommitMessage,
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
)
from dst.sealing.messages import GroupSignature, PartialRequest, PartialSignature
from dst.spec.primitives import BLSSignature, Height, OperatorIndex, Root, Round, Term
from tests.unit.middleware.conftest import Cluster, Puppet

MANY: Final = 64
"""Different messages of a kind, repeated in turn."""
LARGE: Final = 500 << 10
T0: Final = Term(0)

Flood = Callable[[Puppet, Cluster, Height], list[bytes]]
"""Frames for a height that is open now."""


def floods() -> Mapping[str, Flood]:
    return {
        **over_its_link(),
        "all of them": everything,
        "pongs on the link that it is dialled by": pongs,
        "a megabyte for a HELLO where it is dialled": greetings,
    }


def over_its_link() -> Mapping[str, Flood]:
    return {
        "pings": pings,
        "frames that are no messages": garbage,
        "frames of a megabyte": large_garbage,
        "votes with bad signatures": bad_signatures,
        "votes of other terms, heights, rounds": misplaced,
        "two votes in each round": second_votes,
        "proposals with forged justifications": forged_proposals,
        "round-changes with forged locks": forged_locks,
        "requests and statuses": requests,
        "answers nobody asked for": answers,
        "bad partial and group signatures": bad_seals,
    }


def framed(message: WireMessage) -> bytes:
    return framed_body(encode_message(message))


def framed_body(body: bytes) -> bytes:
    return encode_frame(encode_link_frame(Data(msgspec.Raw(body))))


def pings(_: Puppet, __: Cluster, ___: Height) -> list[bytes]:
    return [encode_frame(encode_link_frame(Ping(number))) * 1000 for number in range(4)]


def pongs(_: Puppet, __: Cluster, ___: Height) -> list[bytes]:
    return [encode_frame(encode_link_frame(Pong(number, clock_ms=0))) * 1000 for number in range(4)]


def greetings(_: Puppet, __: Cluster, ___: Height) -> list[bytes]:
    """What is dearest to decode: an array of empty ones."""
    room = MAX_FRAME_BYTES - 5
    return [encode_frame(b"\xdd" + room.to_bytes(4, "big") + b"\x90" * room)]


def garbage(_: Puppet, __: Cluster, ___: Height) -> list[bytes]:
    values: list[object] = ["no_such_message", {"a": 1}, [1, [2, [3]]], ["prepare", 1], ["block"]]
    return [framed_body(msgspec.msgpack.encode(value)) for value in values]


def large_garbage(_: Puppet, __: Cluster, ___: Height) -> list[bytes]:
    room = MAX_FRAME_BYTES - 64
    deep = msgspec.msgpack.encode(["prepare", [[0] * 1000 for _ in range(900)]])
    wide = msgspec.msgpack.encode(["no_such_message", [1] * (room - 100)])
    return [framed_body(deep), framed_body(wide), framed(BlockReply(Root(bytes(32)), bytes(room)))]


def bad_signatures(puppet: Puppet, _: Cluster, height: Height) -> list[bytes]:
    rng = random.Random(height)
    found = []
    for number in range(MANY):
        vote = Prepare(T0, height, Round(number % 8), Root(rng.randbytes(32)))
        sender = OperatorIndex(number % 4)
        found.append(framed(PrepareMessage(SignedPrepare(vote, sender, rng.randbytes(64)))))
    return found


def misplaced(puppet: Puppet, _: Cluster, height: Height) -> list[bytes]:
    rng = random.Random(height)
    places = [(Term(1), height, 0), (T0, height + 10**6, 0), (T0, height, 10**6), (T0, 1, 0)]
    found = []
    for number in range(MANY):
        term, where, round_ = places[number % len(places)]
        vote = Commit(term, Height(where), Round(round_), Root(rng.randbytes(32)))
        found.append(framed(CommitMessage(SignedCommit(vote, puppet.index, puppet.sign(vote)))))
    return found


def second_votes(puppet: Puppet, _: Cluster, height: Height) -> list[bytes]:
    rng = random.Random(height)
    found = []
    for number in range(MANY):
        vote = Prepare(T0, height, Round(number % 16), Root(rng.randbytes(32)))
        found.append(framed(PrepareMessage(SignedPrepare(vote, puppet.index, puppet.sign(vote)))))
    return found


def forged_proposals(puppet: Puppet, cluster: Cluster, height: Height) -> list[bytes]:
    """Large blocks for the rounds that he leads, with round-changes in others' names."""
    found = []
    for round_ in range(1, 16):
        if (height + round_) % 4 != puppet.index:
            continue
        block = cluster.block(height, mark=round_) + bytes(LARGE)
        change = RoundChange(T0, height, Round(round_), None, None)
        forged = tuple(
            SignedRoundChange(change, OperatorIndex(sender), puppet.sign(change))
            for sender in range(3)
        )
        proposal = Proposal(T0, height, Round(round_), root_of(cluster.block(height, mark=round_)))
        signed = SignedProposal(proposal, puppet.index, puppet.sign(proposal))
        found.append(framed(ProposalMessage(signed, block, forged)))
    return found


def forged_locks(puppet: Puppet, _: Cluster, height: Height) -> list[bytes]:
    rng = random.Random(height)
    found = []
    for number in range(MANY):
        root = Root(rng.randbytes(32))
        change = RoundChange(T0, height, Round(2 + number % 8), Round(1), root)
        vote = Prepare(T0, height, Round(1), root)
        proof = tuple(SignedPrepare(vote, OperatorIndex(s), puppet.sign(vote)) for s in range(3))
        signed = SignedRoundChange(change, puppet.index, puppet.sign(change))
        found.append(framed(RoundChangeMessage(signed, proof)))
    return found


def requests(_: Puppet, __: Cluster, height: Height) -> list[bytes]:
    return [
        framed(GetDecided(first=Height(1), count=MAX_RANGE)),
        framed(GetBlock(height=Height(1), root=Root(b"\x01" * 32))),
        framed(Status(Height(2**53), votes=False)),
        framed(PartialRequest(T0, Height(max(1, height - 1)))),
    ]


def answers(puppet: Puppet, cluster: Cluster, height: Height) -> list[bytes]:
    """The next height's block, large, with a certificate that he signed alone."""
    block = cluster.block(height) + bytes(LARGE)
    root = root_of(cluster.block(height))
    commit = Commit(T0, height, Round(0), root)
    forged = tuple(
        SignedCommit(commit, OperatorIndex(sender), puppet.sign(commit)) for sender in range(3)
    )
    item = DecidedItem(Certificate(T0, height, Round(0), root, forged), block, None)
    return [framed(DecidedBlocks(height, (item,))), framed(BlockReply(root, block))]


def bad_seals(puppet: Puppet, _: Cluster, height: Height) -> list[bytes]:
    rng = random.Random(height)
    found = []
    for number in range(MANY):
        where = Height(max(1, height - number % 4))
        signature, root = BLSSignature(rng.randbytes(96)), Root(rng.randbytes(32))
        found.append(framed(GroupSignature(T0, where, root, signature)))
        found.append(framed(PartialSignature(T0, where, root, puppet.index, signature)))
    return found


def everything(puppet: Puppet, cluster: Cluster, height: Height) -> list[bytes]:
    found = [
        frame
        for flood in over_its_link().values()
        for frame in flood(puppet, cluster, height)[:MANY]
    ]
    random.Random(height).shuffle(found)
    return found
