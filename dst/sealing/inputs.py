"""Everything that can happen to the sealing core. Each is a value."""

from dataclasses import dataclass
from typing import TypeAlias

from dst.sealing.messages import GroupSignature, PartialRequest, PartialSignature
from dst.spec.primitives import BLSSignature, Height, OperatorIndex, Root


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """First input after `restore`: send what is owed, ask for what is missing, start the timer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockDecided:
    """The block at `height` is decided (its DecisionRecord is durable); `root` is its *signing*
    root.

    Fed in ascending order; repeating one is harmless.
    """

    height: Height
    root: Root


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPartial:
    """Our validator client signed.

    The shell has verified `signature` under our own share public key.
    """

    height: Height
    root: Root
    signature: BLSSignature


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialReceived:
    link_peer: OperatorIndex
    message: PartialSignature


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSignatureReceived:
    """A group signature from a peer, or (link_peer = own index) one that the shell found elsewhere.

    Verified here.
    """

    link_peer: OperatorIndex
    message: GroupSignature


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialRequested:
    link_peer: OperatorIndex
    message: PartialRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerConnected:
    """A link to `peer` came up (again): it may have missed our partials."""

    peer: OperatorIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class RetransmitDue:
    """The one timer of this core ran out."""


Input: TypeAlias = (
    Start
    | BlockDecided
    | OwnPartial
    | PartialReceived
    | GroupSignatureReceived
    | PartialRequested
    | PeerConnected
    | RetransmitDue
)
