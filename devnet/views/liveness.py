"""Can the cluster decide, does it, and what waits for it, in a few words for status and board.

A network that stands still looks healthy from each node alone: it answers, it takes transactions.
That it has no quorum shows only when all are asked which links they hold. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from devnet.probes.pools import SHOWN_SENDERS, Blocked, PoolSeen
from dst.spec.primitives import quorum

STALL_SLOTS: Final = 3
"""A missed slot is a round change, and two in a row happen; three are a standstill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The operators together."""

    operators: int
    quorum: int
    connected: int
    """Of the largest group whose members answer and reach one of them."""
    decided_age_s: float | None
    """Since the start of the newest decided block's slot; None when no node knows one."""
    slot_seconds: float

    @property
    def has_quorum(self) -> bool:
        return self.connected >= self.quorum

    @property
    def advances(self) -> bool:
        age = self.decided_age_s
        return age is not None and age <= STALL_SLOTS * self.slot_seconds

    @property
    def trouble(self) -> str:
        """One sentence; empty when all is well."""
        still = "" if self.decided_age_s is None else f" for {max(0.0, self.decided_age_s):.0f} s"
        if not self.has_quorum:
            return (
                f"NO QUORUM: {self.connected} of {self.operators} operators are up and connected, "
                f"{self.quorum} must be; nothing is decided{'' if self.advances else still}, "
                "transactions wait"
            )
        if not self.advances:
            return (
                f"STANDSTILL: nothing is decided{still}, although {self.connected} of "
                f"{self.operators} operators are up and connected"
            )
        return ""


def cluster_of(
    links: Mapping[str, Mapping[str, bool] | None],
    *,
    decided_at: float | None,
    now: float,
    slot_seconds: float,
    votes: bool = True,
) -> Cluster:
    """Args:
    links: operator -> peer -> whether it holds the link to it; None while it does not answer.
    decided_at, now: Unix seconds; start of the newest decided slot, and the present.
    votes: False of a baseline, where one sequencer is enough.
    """
    return Cluster(
        operators=len(links),
        quorum=quorum(len(links)) if votes else 1,
        connected=largest_group(links),
        decided_age_s=None if decided_at is None else now - decided_at,
        slot_seconds=slot_seconds,
    )


def largest_group(links: Mapping[str, Mapping[str, bool] | None]) -> int:
    """Size of the largest set of operators around one of them: it and those with a link both ways.

    A quorum needs a leader that reaches the others; that the others reach each other too is not
    asked.
    """
    groups = [
        1 + sum(_both_ways(links, name, other) for other in links if other != name)
        for name, held in links.items()
        if held is not None
    ]
    return max(groups, default=0)


def _both_ways(links: Mapping[str, Mapping[str, bool] | None], one: str, other: str) -> bool:
    ours, theirs = links[one], links[other]
    return bool(ours and theirs and ours.get(other) and theirs.get(one))


def peers_text(links: Mapping[str, Mapping[str, bool] | None]) -> dict[str, str]:
    """Operator -> `3/3`, the links to other operators (and to etcd) that it holds up; `-` while it
    is silent."""
    return {
        name: "-" if held is None else f"{sum(held.values())}/{max(len(held), len(links) - 1)}"
        for name, held in links.items()
    }


def waits_text(waits: Mapping[str, Sequence[str]]) -> list[str]:
    """`op3.middleware waits for height 9, ...`; a line for each wait of each program."""
    return [f"{name} waits for {text}" for name, texts in waits.items() for text in texts]


def blocked_text(pools: Mapping[str, PoolSeen]) -> list[str]:
    """`0xabc… waits for nonce 5 (2 transactions behind it)`, each account once, the first few."""
    found: dict[str, Blocked] = {}
    for pool in pools.values():
        for blocked in pool.blocked:
            found.setdefault(blocked.address.lower(), blocked)
    lines = [_blocked_line(blocked) for blocked in list(found.values())[:SHOWN_SENDERS]]
    queued = max((pool.queued for pool in pools.values()), default=0)
    if queued and not lines:
        behind = "1 transaction waits" if queued == 1 else f"{queued} transactions wait"
        lines = [f"{behind} behind a missing nonce"]
    return lines


def _blocked_line(blocked: Blocked) -> str:
    behind = "1 transaction" if blocked.waiting == 1 else f"{blocked.waiting} transactions"
    return f"{blocked.address} waits for nonce {blocked.missing} ({behind} behind it)"


def newest_decided_at(
    nodes: Sequence[Mapping[str, object]], *, genesis_time: int, slot_seconds: float
) -> float | None:
    """Unix seconds when the slot of the newest decided block began; None when no node tells."""
    slots = [
        slot
        for node in nodes
        if isinstance(slot := node.get("decided_slot"), int) and node.get("decided_height")
    ]
    return genesis_time + max(slots) * slot_seconds if slots else None
