"""What operators say to each other to seal a decided block.

Envelopes carry no identity signature: the link is authenticated, a partial is only taken from the
    operator it names, and every BLS signature is judged against the group's keys. Roots here are
    *signing roots* (block root and domain).
"""

from typing import TypeAlias

import msgspec

from dst.spec.primitives import BLSSignature, Height, OperatorIndex, Root, Term


class PartialSignature(
    msgspec.Struct, frozen=True, array_like=True, tag="partial", forbid_unknown_fields=True
):
    """`operator`'s BLS share signature over `root`, the signing root of the block decided at (term,
    height)."""

    term: Term
    height: Height
    root: Root
    operator: OperatorIndex
    signature: BLSSignature


class GroupSignature(
    msgspec.Struct, frozen=True, array_like=True, tag="group", forbid_unknown_fields=True
):
    """The combined signature; verifiable by anyone under the group public key."""

    term: Term
    height: Height
    root: Root
    signature: BLSSignature


class PartialRequest(
    msgspec.Struct, frozen=True, array_like=True, tag="request", forbid_unknown_fields=True
):
    """The sender lacks the group signature of `height`.

    Answered by it, or else by the receiver's own partial.
    """

    term: Term
    height: Height


Message: TypeAlias = PartialSignature | GroupSignature | PartialRequest
