"""What a peer may put into a message at all: every field has its length or range."""

from typing import Final

import msgspec
import pytest

from dst.middleware.wire_messages import WireMessage, decode_message, encode_message
from dst.qbft.messages import (
    MAX_MEMBERS,
    Certificate,
    Commit,
    CommitMessage,
    Pass,
    PassMessage,
    Prepare,
    PrepareMessage,
    Proposal,
    ProposalMessage,
    RoundChange,
    RoundChangeMessage,
    SignedCommit,
    SignedPass,
    SignedPrepare,
    SignedProposal,
    SignedRoundChange,
)
from dst.sealing.messages import GroupSignature, PartialRequest, PartialSignature
from dst.spec.cluster import MAX_OPERATORS
from dst.spec.errors import InvalidInput
from dst.spec.primitives import BLSSignature, Height, OperatorIndex, Root, Round, Term

T, H, R = Term(0), Height(1), Round(0)
ROOT, WHO = Root(bytes(32)), OperatorIndex(1)
SIGNATURE, SEAL = bytes(64), BLSSignature(bytes(96))
VOTE: Final = SignedPrepare(Prepare(T, H, R, ROOT), WHO, SIGNATURE)
LONG = bytes(1000)

SOUND: tuple[WireMessage, ...] = (
    ProposalMessage(SignedProposal(Proposal(T, H, R, ROOT), WHO, SIGNATURE), b"block"),
    PrepareMessage(VOTE),
    CommitMessage(SignedCommit(Commit(T, H, R, ROOT), WHO, SIGNATURE)),
    RoundChangeMessage(
        SignedRoundChange(RoundChange(T, H, Round(2), Round(1), ROOT), WHO, SIGNATURE),
        (VOTE,) * MAX_MEMBERS,
    ),
    PassMessage(SignedPass(Pass(T, H, R), WHO, SIGNATURE)),
    PartialSignature(T, H, ROOT, WHO, SEAL),
    GroupSignature(T, H, ROOT, SEAL),
    PartialRequest(T, H),
)
HOSTILE: tuple[WireMessage, ...] = (
    PrepareMessage(SignedPrepare(VOTE.payload, WHO, LONG)),
    PrepareMessage(SignedPrepare(VOTE.payload, WHO, b"")),
    PrepareMessage(SignedPrepare(Prepare(T, H, R, Root(LONG)), WHO, SIGNATURE)),
    PrepareMessage(SignedPrepare(Prepare(T, H, Round(-1), ROOT), WHO, SIGNATURE)),
    PrepareMessage(SignedPrepare(Prepare(T, Height(2**64 - 1), R, ROOT), WHO, SIGNATURE)),
    PrepareMessage(SignedPrepare(Prepare(Term(2**32), H, R, ROOT), WHO, SIGNATURE)),
    PrepareMessage(SignedPrepare(VOTE.payload, OperatorIndex(-1), SIGNATURE)),
    CommitMessage(SignedCommit(Commit(T, H, R, Root(LONG)), WHO, SIGNATURE)),
    ProposalMessage(SignedProposal(Proposal(T, H, R, Root(LONG)), WHO, SIGNATURE), b"block"),
    RoundChangeMessage(
        SignedRoundChange(RoundChange(T, H, Round(2), Round(1), Root(LONG)), WHO, SIGNATURE)
    ),
    RoundChangeMessage(
        SignedRoundChange(RoundChange(T, H, Round(2), Round(1), ROOT), WHO, SIGNATURE),
        (VOTE,) * (MAX_MEMBERS + 1),
    ),
    PassMessage(SignedPass(Pass(T, H, Round(2**32)), WHO, SIGNATURE)),
    PassMessage(SignedPass(Pass(T, H, R), WHO, LONG)),
    PartialSignature(T, H, Root(LONG), WHO, SEAL),
    PartialSignature(T, H, ROOT, WHO, BLSSignature(LONG)),
    GroupSignature(T, H, ROOT, BLSSignature(b"short")),
    PartialRequest(T, Height(2**63)),
)


@pytest.mark.parametrize("message", SOUND, ids=lambda each: type(each).__name__)
def test_what_honest_peers_say_is_understood(message: WireMessage) -> None:
    assert decode_message(encode_message(message)) == message


@pytest.mark.parametrize("message", HOSTILE, ids=lambda each: type(each).__name__)
def test_fields_out_of_bounds_are_not_decoded(message: WireMessage) -> None:
    with pytest.raises(InvalidInput, match="undecodable"):
        decode_message(encode_message(message))


def test_no_certificate_has_more_votes_than_the_largest_cluster() -> None:
    assert MAX_MEMBERS == MAX_OPERATORS
    vote = SignedCommit(Commit(T, H, R, ROOT), WHO, SIGNATURE)
    for count, fits in ((MAX_MEMBERS, True), (MAX_MEMBERS + 1, False)):
        data = msgspec.msgpack.encode(Certificate(T, H, R, ROOT, (vote,) * count))
        if fits:
            assert len(msgspec.msgpack.decode(data, type=Certificate).commits) == count
        else:
            with pytest.raises(msgspec.ValidationError):
                msgspec.msgpack.decode(data, type=Certificate)
