"""What the durable log holds: commitments of this node, never what it received.

A new release must find the old release's promises here, not re-derive them. All records of a height
may be dropped
once its `DecisionRecord` is durable; decisions themselves are kept and served.
"""

from typing import TypeAlias

import msgspec

from dst.qbft.messages import (
    Certificate,
    ProposalMessage,
    RoundChangeMessage,
    SignedCommit,
    SignedPrepare,
)


class ProposalRecord(
    msgspec.Struct, frozen=True, array_like=True, tag="proposal", forbid_unknown_fields=True
):
    """This node, as leader, is about to send this proposal (propose-once per (height, round))."""

    message: ProposalMessage


class PrepareRecord(
    msgspec.Struct, frozen=True, array_like=True, tag="prepare", forbid_unknown_fields=True
):
    """This node accepted `proposal` (with its block) and is about to send `prepare` for it."""

    proposal: ProposalMessage
    prepare: SignedPrepare


class CommitRecord(
    msgspec.Struct, frozen=True, array_like=True, tag="commit", forbid_unknown_fields=True
):
    """The lock: a prepare quorum and the COMMIT about to be sent."""

    prepares: tuple[SignedPrepare, ...]
    commit: SignedCommit


class RoundChangeRecord(
    msgspec.Struct, frozen=True, array_like=True, tag="round_change", forbid_unknown_fields=True
):
    """This node entered message.signed.payload.round; the message is frozen and retransmitted
    unchanged.

    Entering a later round because of a justified proposal (no round-change sent) is implied by
    that round's PrepareRecord.
    """

    message: RoundChangeMessage


class DecisionRecord(
    msgspec.Struct, frozen=True, array_like=True, tag="decision", forbid_unknown_fields=True
):
    certificate: Certificate
    block: bytes


Record: TypeAlias = (
    ProposalRecord | PrepareRecord | CommitRecord | RoundChangeRecord | DecisionRecord
)
