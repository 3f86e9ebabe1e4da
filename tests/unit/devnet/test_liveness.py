"""A network that stands still is told from one that goes on, and why it does."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from devnet.probes.pools import Blocked, PoolSeen, read_pool
from devnet.probes.rpc import RpcRefused, RpcUnknown
from devnet.views.liveness import (
    Cluster,
    blocked_text,
    cluster_of,
    largest_group,
    newest_decided_at,
    peers_text,
)

NAMES = ("op1", "op2", "op3", "op4")
Links = dict[str, Mapping[str, bool] | None]


def links(*, silent: tuple[str, ...] = (), cut: tuple[tuple[str, str], ...] = ()) -> Links:
    """All up, but for the silent ones and the cut pairs (both ways)."""
    made: Links = {}
    for name in NAMES:
        held = {
            other: other not in silent and (name, other) not in cut and (other, name) not in cut
            for other in NAMES
            if other != name
        }
        made[name] = None if name in silent else held
    return made


def cluster(seen: Links, *, age: float = 0.5) -> Cluster:
    return cluster_of(seen, decided_at=100.0, now=100.0 + age, slot_seconds=1.0)


def test_all_is_well() -> None:
    seen = cluster(links())
    assert (seen.connected, seen.quorum, seen.trouble) == (4, 3, "")
    assert seen.advances


def test_one_may_be_missing_two_may_not() -> None:
    assert cluster(links(silent=("op4",))).trouble == ""
    seen = cluster(links(silent=("op3", "op4")), age=12.0)
    assert not seen.has_quorum
    assert seen.trouble == (
        "NO QUORUM: 2 of 4 operators are up and connected, 3 must be; nothing is decided for 12 s, "
        "transactions wait"
    )


def test_a_split_cluster_is_as_large_as_its_larger_part() -> None:
    halves = (("op1", "op3"), ("op1", "op4"), ("op2", "op3"), ("op2", "op4"))
    assert largest_group(links(cut=halves)) == 2
    alone = (("op1", "op2"), ("op1", "op3"), ("op1", "op4"))
    assert largest_group(links(cut=alone)) == 3


def test_a_link_counts_when_both_ends_hold_it() -> None:
    seen = links()
    seen["op1"] = dict.fromkeys(("op2", "op3", "op4"), False)
    assert largest_group(seen) == 3
    assert largest_group(dict.fromkeys(NAMES)) == 0


def test_a_standstill_with_a_quorum_is_told_too() -> None:
    assert cluster(links(), age=3.0).trouble == ""
    assert cluster(links(), age=4.0).trouble == (
        "STANDSTILL: nothing is decided for 4 s, although 4 of 4 operators are up and connected"
    )
    silent = cluster_of(links(), decided_at=None, now=1.0, slot_seconds=1.0)
    assert silent.trouble.startswith("STANDSTILL: nothing is decided, although")


def test_the_age_is_that_of_the_newest_decided_slot() -> None:
    nodes = [
        {"name": "op1", "decided_height": 8, "decided_slot": 10},
        {"name": "op2", "decided_height": 9, "decided_slot": 12},
        {"name": "op3", "answers": False},
    ]
    assert newest_decided_at(nodes, genesis_time=1_000, slot_seconds=2.0) == 1_024.0
    assert newest_decided_at([{"name": "op1"}], genesis_time=1_000, slot_seconds=2.0) is None


def test_peers_are_counted_as_before() -> None:
    assert peers_text(links(silent=("op4",))) == {
        "op1": "2/3",
        "op2": "2/3",
        "op3": "2/3",
        "op4": "-",
    }


def test_an_account_that_waits_is_named_once() -> None:
    blocked = Blocked("0xAbC", 5, 1)
    pools = {
        "op1": PoolSeen(0, 1, (blocked,)),
        "op2": PoolSeen(0, 1, (Blocked("0xabc", 5, 1),)),
    }
    assert blocked_text(pools) == ["0xAbC waits for nonce 5 (1 transaction behind it)"]
    assert blocked_text({"op1": PoolSeen(1, 3)}) == ["3 transactions wait behind a missing nonce"]
    assert blocked_text({"op1": PoolSeen(7, 0)}) == []


class FakeRpc:
    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers

    async def call(self, method: str, *_params: Any) -> Any:
        answer = self.answers.get(method, RpcRefused(-32601, "no such method"))
        if isinstance(answer, Exception):
            raise answer
        return answer


def seen_of(answers: dict[str, Any]) -> PoolSeen | None:
    return asyncio.run(read_pool(FakeRpc(answers)))  # type: ignore[arg-type]  # a call is all it needs


STATUS = {"pending": "0x2", "queued": "0x3"}
INSPECTED = {"pending": {}, "queued": {"0xaa": {"7": "x", "8": "x"}, "0xbb": {"1": "x"}}}


def test_a_pool_tells_who_waits_for_what() -> None:
    answers = {
        "txpool_status": STATUS,
        "txpool_inspect": INSPECTED,
        "eth_getTransactionCount": "0x5",
    }
    assert seen_of(answers) == PoolSeen(2, 3, (Blocked("0xaa", 5, 2), Blocked("0xbb", 5, 1)))


def test_a_node_that_cannot_list_its_pool_still_counts_it() -> None:
    assert seen_of({"txpool_status": STATUS}) == PoolSeen(2, 3)


@pytest.mark.parametrize(
    "answers",
    [
        {"txpool_status": RpcUnknown("no answer")},
        {},
        {"txpool_status": {"pending": "0x1"}},
        {"txpool_status": STATUS, "txpool_inspect": "nonsense"},
    ],
)
def test_a_pool_that_cannot_be_read_is_not_an_empty_one(answers: dict[str, Any]) -> None:
    assert seen_of(answers) is None
