"""Whoever watches a network judges its honest operators alone, also where a scenario of somebody
else's makes liars of some."""

import asyncio
from types import SimpleNamespace
from typing import Any

from devnet.model.history import Event, EventKind
from devnet.model.topology import compute_topology
from devnet.supervisor.supervise import Watch
from devnet.views.state import NetworkState

FOUR = compute_topology(operators=4, followers=1)


def watch() -> tuple[Watch, set[str]]:
    stood_in: set[str] = set()
    network: Any = SimpleNamespace(
        topology=FOUR,
        descriptor=SimpleNamespace(slot_seconds=1, chain_id=901, seed=0, backend="process"),
        backend=SimpleNamespace(stood_in=stood_in),
    )
    board = NetworkState(FOUR.operator_names, FOUR.follower_names, slot_seconds=1)
    return Watch(network, board, asyncio.Event(), keep_on=True), stood_in


def event(node: str, kind: EventKind, root: str = "0xa", **detail: str | int) -> Event:
    return Event(
        kind=kind, node=node, height=5, root=root, monotonic=1e12, wall=0.0, detail=dict(detail)
    )


def accusation(culprit: int) -> Event:
    return event("op1", EventKind.EVIDENCE, culprit=culprit, reason="second_proposal")


def test_an_honest_operator_that_is_accused_is_a_violation() -> None:
    watching, _ = watch()
    watching.record(accusation(2))
    assert watching.violated


def test_one_that_was_told_to_lie_may_be_accused_and_is_not_believed() -> None:
    watching, stood_in = watch()
    stood_in.add("op2.middleware")
    watching.record(accusation(2))
    watching.record(event("op1", EventKind.DECIDED))
    watching.record(event("op2", EventKind.DECIDED, root="0xb"))
    assert not watching.violated
    watching.record(event("op3", EventKind.DECIDED, root="0xb"))
    assert watching.violated
