"""The kinds of fault a scenario can ask for, and the ways a cut can look: names, no behaviour.

What a fault did, and the proof of it, is `devnet.model.history.FaultReceipt`.
"""

from enum import StrEnum


class FaultKind(StrEnum):
    KILL = "kill"
    """SIGKILL to every role of the node at once; its Toxiproxy lives on. Reverted by starting the
    roles again."""
    FREEZE = "freeze"
    """Every role of the node stopped as by SIGSTOP; reverted by letting them run on."""
    PARTITION = "partition"
    """Consensus links between groups of operators cut, both directions."""
    LATENCY = "latency"
    """A fixed one-way delay on both streams of a class of links."""


class CutMode(StrEnum):
    """How a cut looks to its two ends: four different code paths in the node under test."""

    DROP = "drop"
    """Established connections close, new ones are accepted and closed: lost messages, reconnect,
    resend."""
    HOLD = "hold"
    """Nothing moves and nothing closes; held bytes arrive, in order, after the heal: late
    messages."""
    REFUSE = "refuse"
    """Connections close and new ones are refused at once: error paths, retry storms."""
    BLACKHOLE = "blackhole"
    """Writes succeed and vanish; the connection survives the heal with a hole in it."""


class Phase(StrEnum):
    """How far a height had come when a fault hit: the last thing any event stream said of it by
    then."""

    IDLE = "idle"
    """Nothing yet: the slot had not begun, or the leader was still building."""
    PROPOSAL = "proposal"
    PREPARED = "prepared"
    DECIDED = "decided"
    """Decided, its group signature still owed."""
    ROUND_CHANGE = "round_change"
