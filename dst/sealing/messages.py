"""What operators say to each other to seal a decided block.

Envelopes carry no identity signature: the link is authenticated, a partial is only taken from the
    operator it names, and every BLS signature is judged against the group's keys. Roots here are
    *signing roots* (block root and domain).
"""

from typing import Annotated, TypeAlias

import msgspec

from dst.spec.primitives import BLSSignature, Height, OperatorIndex, Root, Term

# Checked when bytes are decoded, so that no peer makes this node keep more than a partial takes.
_Term = Annotated[Term, msgspec.Meta(ge=0, le=2**32 - 1)]
_Height = Annotated[Height, msgspec.Meta(ge=0, le=2**53)]
_Root = Annotated[Root, msgspec.Meta(min_length=32, max_length=32)]
_Operator = Annotated[OperatorIndex, msgspec.Meta(ge=0, le=255)]
_Signature = Annotated[BLSSignature, msgspec.Meta(min_length=96, max_length=96)]


class PartialSignature(
    msgspec.Struct, frozen=True, array_like=True, tag="partial", forbid_unknown_fields=True
):
    """`operator`'s BLS share signature over `root`, the signing root of the block decided at (term,
    height)."""

    term: _Term
    height: _Height
    root: _Root
    operator: _Operator
    signature: _Signature


class GroupSignature(
    msgspec.Struct, frozen=True, array_like=True, tag="group", forbid_unknown_fields=True
):
    """The combined signature; verifiable by anyone under the group public key."""

    term: _Term
    height: _Height
    root: _Root
    signature: _Signature


class PartialRequest(
    msgspec.Struct, frozen=True, array_like=True, tag="request", forbid_unknown_fields=True
):
    """The sender lacks the group signature of `height`.

    Answered by it, or else by the receiver's own partial.
    """

    term: _Term
    height: _Height


Message: TypeAlias = PartialSignature | GroupSignature | PartialRequest
