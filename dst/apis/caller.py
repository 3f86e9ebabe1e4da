"""Who asks: set by the binding that takes a request, read where work is shared out fairly."""

from contextvars import ContextVar
from typing import Final

CALLER: Final[ContextVar[str]] = ContextVar("caller", default="")
"""A key for one client: its address; on loopback, where everybody has one address, its connection.
Empty: this process itself."""


def caller_key(peer: object) -> str:
    """`peer` is what a transport calls its peer name: (address, port, ...) or nothing."""
    if not isinstance(peer, tuple) or len(peer) < 2:
        return ""
    address, port = str(peer[0]), str(peer[1])
    local = address == "::1" or address.startswith("127.") or address.startswith("::ffff:127.")
    return f"{address}:{port}" if local else address
