"""Why a link is refused or ended at the other side's fault."""

from enum import StrEnum


class Reason(StrEnum):
    """A closed set: `p2p_refused_total` counts each, and `docs/refusals.md` is made from it. First
    sentence: when; then what it says of the other side."""

    CERTIFICATE = "certificate"
    """The other side does not prove the key that the cluster lock pins for it.
    Who dials finds another operator, or a stranger, at a configured address; strangers who dial in
    are turned away by TLS before anything is read."""
    HELLO = "hello"
    """The HELLOs differ: protocol version, chain, lock, timers, or another operator's index.
    One of the two was started with another lock, release or configuration; both logs name the field
    and both values. Never a moment of the network."""
    GARBLED = "garbled"
    """The bytes are no sequence of frames, or no frame that may come here.
    The sender is faulty or hostile, since TLS lets nothing on the way change them; or it was killed
    while it sent, which cuts a frame off, too. The link ends and is dialled anew."""
