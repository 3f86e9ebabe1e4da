"""What is done to that which flows over a link, while something of it still arrives."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Streams(StrEnum):
    """Of a connection; with Toxiproxy's names."""

    BOTH = "both"
    UPSTREAM = "upstream"
    """What the end that dials sends."""
    DOWNSTREAM = "downstream"
    """What it is answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A toxic of some type on one stream, or one on each. toxicity: the share of connections that
    it acts on."""

    attributes: Mapping[str, int]
    streams: Streams = Streams.BOTH
    toxicity: float = 1.0
