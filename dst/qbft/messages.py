"""What operators say to each other about one height. Names follow the QBFT formal specification.

A *payload* is what an operator signs (secp256k1 over `signing_digest`); a *message* is a signed
payload with what justifies it. The block travels in the proposal message only; everything else
carries its 32-byte root. The sender is the operator's 0-based index, and the signature must verify
under that operator's key.
"""

import hashlib
from typing import Final, TypeAlias

import msgspec

from dst.spec.primitives import Height, OperatorIndex, Root, Round, Term

SIGNING_TAG: Final = b"dst/qbft/1"


class Proposal(msgspec.Struct, frozen=True, array_like=True, tag="P", forbid_unknown_fields=True):
    """The leader of (height, round) proposes the block with this root."""

    term: Term
    height: Height
    round: Round
    root: Root


class Prepare(msgspec.Struct, frozen=True, array_like=True, tag="V", forbid_unknown_fields=True):
    """The sender accepted and validated the proposal of (height, round)."""

    term: Term
    height: Height
    round: Round
    root: Root


class Commit(msgspec.Struct, frozen=True, array_like=True, tag="C", forbid_unknown_fields=True):
    """The sender saw a prepare quorum for `root` in this round and is locked on it."""

    term: Term
    height: Height
    round: Round
    root: Root


class RoundChange(
    msgspec.Struct, frozen=True, array_like=True, tag="R", forbid_unknown_fields=True
):
    """The sender wants `round`; its highest lock, or None twice. prepared_round < round always."""

    term: Term
    height: Height
    round: Round
    prepared_round: Round | None
    prepared_root: Root | None


Payload: TypeAlias = Proposal | Prepare | Commit | RoundChange


def signing_digest(chain_id: int, payload: Payload) -> bytes:
    """32 bytes an operator signs.

    SHA-256 over tag, chain id, and the canonical msgpack of the tagged payload.
    """
    return hashlib.sha256(
        SIGNING_TAG + chain_id.to_bytes(8, "big") + msgspec.msgpack.encode(payload)
    ).digest()


class SignedProposal(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    payload: Proposal
    sender: OperatorIndex
    signature: bytes


class SignedPrepare(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    payload: Prepare
    sender: OperatorIndex
    signature: bytes


class SignedCommit(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    payload: Commit
    sender: OperatorIndex
    signature: bytes


class SignedRoundChange(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    payload: RoundChange
    sender: OperatorIndex
    signature: bytes


Signed: TypeAlias = SignedProposal | SignedPrepare | SignedCommit | SignedRoundChange


class ProposalMessage(
    msgspec.Struct, frozen=True, array_like=True, tag="proposal", forbid_unknown_fields=True
):
    """PROPOSAL with the encoded block. Round 0 carries no justification.

    round_changes: a quorum for exactly (height, round) when round > 0.
    prepares: a quorum for the highest prepared (round, root) among them, when any claims a lock.
    """

    signed: SignedProposal
    block: bytes
    round_changes: tuple[SignedRoundChange, ...] = ()
    prepares: tuple[SignedPrepare, ...] = ()


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
    prepares: tuple[SignedPrepare, ...] = ()


class Certificate(
    msgspec.Struct, frozen=True, array_like=True, tag="certificate", forbid_unknown_fields=True
):
    """Commit certificate.

    A quorum of COMMITs of one (term, height, round, root). Self-contained, transferable.
    """

    term: Term
    height: Height
    round: Round
    root: Root
    commits: tuple[SignedCommit, ...]


Message: TypeAlias = ProposalMessage | PrepareMessage | CommitMessage | RoundChangeMessage
