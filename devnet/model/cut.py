"""How a cut looks to its two ends: four different code paths in the node under test."""

from enum import StrEnum


class CutMode(StrEnum):
    DROP = "drop"
    """Established connections end, new ones are accepted and end at once: lost messages, reconnect,
    resend."""
    HOLD = "hold"
    """Silence; everything sent is delivered, in order, after the heal: late messages."""
    REFUSE = "refuse"
    """Established connections end, new ones are refused: error paths, retry storms."""
    BLACKHOLE = "blackhole"
    """Silence; what is sent is lost for ever, and the connection survives the heal with a hole in
    it."""
