"""What one part of the middleware found out and others must hear: values, routed by `workflow`.

A shell does its own job and says what came of it; it knows nobody who waits for that.
"""

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from dst.qbft.messages import Certificate
from dst.spec.errors import ResetRequired
from dst.spec.primitives import BLSSignature, Height, OperatorIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class HeightDecided:
    """By consensus; its record is on disk."""

    certificate: Certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class HeightSealed:
    """The group signature of a decided block is on disk."""

    height: Height


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFound:
    """By catch-up: it proves the next height, and `block` hashes to its root."""

    peer: OperatorIndex
    certificate: Certificate
    block: bytes
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureFound:
    """By catch-up, beside a proven certificate; not verified."""

    peer: OperatorIndex
    certificate: Certificate
    signature: BLSSignature


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetSeen:
    """Our rollup node says that L1 dropped an origin of the chain."""

    error: ResetRequired


@dataclass(frozen=True, slots=True, kw_only=True)
class NoResetSeen:
    """Our rollup node answers and knows of no reset (any more)."""


Outcome: TypeAlias = (
    HeightDecided | HeightSealed | CertificateFound | SignatureFound | ResetSeen | NoResetSeen
)


class Outcomes(Protocol):
    """Where they go. Never blocks; handled in order, soon."""

    def put(self, outcome: Outcome) -> None: ...
