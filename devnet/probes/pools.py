"""How many transactions a node holds, and which accounts wait behind a missing nonce."""

from dataclasses import dataclass
from typing import Any, Final

from devnet.probes.rpc import Rpc, RpcRefused, RpcUnknown

POOL_SECONDS: Final = 0.5
"""A healthy node answers in milliseconds; a status must not wait for a frozen one."""


SHOWN_SENDERS: Final = 3


@dataclass(frozen=True, slots=True)
class Blocked:
    """An account whose transactions wait behind one that nobody has."""

    address: str
    missing: int
    """The nonce that is missing."""
    waiting: int
    """How many wait behind it."""


@dataclass(frozen=True, slots=True)
class PoolSeen:
    """A node's transaction pool, as it tells."""

    pending: int
    """Could be in the next block."""
    queued: int
    """Behind a missing nonce."""
    blocked: tuple[Blocked, ...] = ()
    """Some of the accounts, when the node can name them."""

    def __str__(self) -> str:
        return f"{self.pending}+{self.queued}" if self.queued else str(self.pending)


async def read_pool(rpc: Rpc) -> PoolSeen | None:
    """None when the node does not answer, or not so that it can be read."""
    try:
        status = await rpc.call("txpool_status")
        pending, queued = int(status["pending"], 16), int(status["queued"], 16)
        blocked = await _blocked(rpc) if queued else ()
    except (RpcRefused, RpcUnknown, KeyError, TypeError, ValueError):
        return None
    return PoolSeen(pending, queued, blocked)


async def _blocked(rpc: Rpc) -> tuple[Blocked, ...]:
    """The first few accounts with queued transactions; none when the node does not list them."""
    try:
        listed: Any = await rpc.call("txpool_inspect")
        queued = list(dict(listed["queued"]).items())[:SHOWN_SENDERS]
    except RpcRefused:
        return ()
    return tuple([await _of(rpc, address, len(nonces)) for address, nonces in queued])


async def _of(rpc: Rpc, address: str, waiting: int) -> Blocked:
    # The pending nonce counts what could be in the next block, so it is the first that is missing.
    missing = int(await rpc.call("eth_getTransactionCount", address, "pending"), 16)
    return Blocked(address, missing, waiting)
