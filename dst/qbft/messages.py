"""What operators say to each other about one height. Names follow the QBFT formal specification.

A *payload* is what an operator signs (secp256k1 over `signing_digest`); a *message* is a signed
payload with what justifies it. The block travels in the proposal message only; everything else
carries its 32-byte root. The sender is the operator's 0-based index, and the signature must verify
under that operator's key.
"""

import hashlib
from typing import Annotated, Final, TypeAlias

import msgspec

from dst.spec.primitives import Height, OperatorIndex, Root, Round, Term

SIGNING_TAG: Final = b"dst/qbft/1"

MAX_MEMBERS: Final = 64
"""The largest cluster (`dst.spec.cluster.MAX_OPERATORS`): no quorum has more votes."""

# Checked when bytes are decoded, so that no peer makes this node verify, cache or keep more than a
# vote takes.
_Term = Annotated[Term, msgspec.Meta(ge=0, le=2**32 - 1)]
_Height = Annotated[Height, msgspec.Meta(ge=0, le=2**53)]
_Round = Annotated[Round, msgspec.Meta(ge=0, le=2**32 - 1)]
_Root = Annotated[Root, msgspec.Meta(min_length=32, max_length=32)]
_Sender = Annotated[OperatorIndex, msgspec.Meta(ge=0, le=255)]
_Signature = Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]


class Proposal(msgspec.Struct, frozen=True, array_like=True, tag="P", forbid_unknown_fields=True):
    """The leader of (height, round) proposes the block with this root."""

    term: _Term
    height: _Height
    round: _Round
    root: _Root


class Prepare(msgspec.Struct, frozen=True, array_like=True, tag="V", forbid_unknown_fields=True):
    """The sender accepted and validated the proposal of (height, round)."""

    term: _Term
    height: _Height
    round: _Round
    root: _Root


class Commit(msgspec.Struct, frozen=True, array_like=True, tag="C", forbid_unknown_fields=True):
    """The sender saw a prepare quorum for `root` in this round and is locked on it."""

    term: _Term
    height: _Height
    round: _Round
    root: _Root


class RoundChange(
    msgspec.Struct, frozen=True, array_like=True, tag="R", forbid_unknown_fields=True
):
    """The sender wants `round`; its highest lock, or None twice. prepared_round < round always."""

    term: _Term
    height: _Height
    round: _Round
    prepared_round: _Round | None
    prepared_root: _Root | None


class Pass(msgspec.Struct, frozen=True, array_like=True, tag="L", forbid_unknown_fields=True):
    """The leader of (height, round) will not propose in it: it is leaving. A hint when to ask for
    the next round, and no vote: whoever trusts it loses the sender's proposal, and nothing else."""

    term: _Term
    height: _Height
    round: _Round


Payload: TypeAlias = Proposal | Prepare | Commit | RoundChange | Pass


def signing_digest(genesis_validators_root: Root, payload: Payload) -> bytes:
    """32 bytes an operator signs.

    SHA-256 over tag, identity of the chain, and the canonical msgpack of the tagged payload. The
    identity commits to chain id, L2 genesis and group key: votes of an earlier cluster with the
    same operators and chain id count for nothing in this one.
    """
    return hashlib.sha256(
        SIGNING_TAG + genesis_validators_root + msgspec.msgpack.encode(payload)
    ).digest()


class SignedProposal(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    payload: Proposal
    sender: _Sender
    signature: _Signature


class SignedPrepare(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    payload: Prepare
    sender: _Sender
    signature: _Signature


class SignedCommit(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    payload: Commit
    sender: _Sender
    signature: _Signature


class SignedRoundChange(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    payload: RoundChange
    sender: _Sender
    signature: _Signature


class SignedPass(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    payload: Pass
    sender: _Sender
    signature: _Signature


Signed: TypeAlias = SignedProposal | SignedPrepare | SignedCommit | SignedRoundChange | SignedPass

_Votes = msgspec.Meta(max_length=MAX_MEMBERS)


class ProposalMessage(
    msgspec.Struct, frozen=True, array_like=True, tag="proposal", forbid_unknown_fields=True
):
    """PROPOSAL with the encoded block. Round 0 carries no justification.

    round_changes: a quorum for exactly (height, round) when round > 0.
    prepares: a quorum for the highest prepared (round, root) among them, when any claims a lock.
    """

    signed: SignedProposal
    block: bytes
    round_changes: Annotated[tuple[SignedRoundChange, ...], _Votes] = ()
    prepares: Annotated[tuple[SignedPrepare, ...], _Votes] = ()


class PrepareMessage(
    msgspec.Struct, frozen=True, array_like=True, tag="prepare", forbid_unknown_fields=True
):
    signed: SignedPrepare


class CommitMessage(
    msgspec.Struct, frozen=True, array_like=True, tag="commit", forbid_unknown_fields=True
):
    signed: SignedCommit


class RoundChangeMessage(
    msgspec.Struct, frozen=True, array_like=True, tag="round_change", forbid_unknown_fields=True
):
    """ROUND-CHANGE; `prepares` proves the claimed lock and is empty when none is claimed."""

    signed: SignedRoundChange
    prepares: Annotated[tuple[SignedPrepare, ...], _Votes] = ()


class PassMessage(
    msgspec.Struct, frozen=True, array_like=True, tag="pass", forbid_unknown_fields=True
):
    signed: SignedPass


class Certificate(
    msgspec.Struct, frozen=True, array_like=True, tag="certificate", forbid_unknown_fields=True
):
    """Commit certificate.

    A quorum of COMMITs of one (term, height, round, root). Self-contained, transferable.
    """

    term: _Term
    height: _Height
    round: _Round
    root: _Root
    commits: Annotated[tuple[SignedCommit, ...], _Votes]


Message: TypeAlias = (
    ProposalMessage | PrepareMessage | CommitMessage | RoundChangeMessage | PassMessage
)
