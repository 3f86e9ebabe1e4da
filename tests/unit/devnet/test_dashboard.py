"""The board follows heights by first news, names leader and gap, and forgets what is old."""

from io import StringIO
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from devnet.backends.base import ProgramStatus, RunState
from devnet.model.history import Event, EventKind
from devnet.model.topology import OPERATOR_ROLES
from devnet.probes.pools import Blocked, PoolSeen
from devnet.views.dashboard import LEGEND, line_of, suggestion, table_of
from devnet.views.state import REMEMBERED_HEIGHTS, Look, NetworkState


def event(kind: EventKind, node: str, height: int, at: float, round_: int | None = 0) -> Event:
    return Event(
        kind=kind, node=node, height=height, round=round_, root="0x" + "ab" * 32, slot=height + 3,
        monotonic=at, wall=at,
    )  # fmt: skip


def board() -> NetworkState:
    return NetworkState(("op1", "op2", "op3", "op4"), ("f1",))


def look(**known: Any) -> Look:
    keys = ("links", "clocks", "pools", "waits", "faults", "programs")
    nothing: dict[str, Any] = {key: {} for key in keys}
    return Look(**{**nothing, **known})


def test_a_look_is_learned_whole_and_keeps_the_programs_when_the_backend_is_silent() -> None:
    seen = board()
    stopped = ProgramStatus(name="op2.rollup", state=RunState.KILLED)
    running = ProgramStatus(name="op1.rollup", state=RunState.RUNNING)
    first = look(
        programs={each.name: each for each in (stopped, running)},
        faults={"op1>op2.consensus": "drop"},
        clocks={"op1": 0.1},
        links={"op1": {"op2": True}, "op2": {"op1": True}},
    )
    seen.looked(first, decided_at=10.0, now=11.0)
    assert (seen.programs, seen.links, seen.clocks) == (
        {"op2.rollup": "killed"}, {"op1>op2.consensus": "drop"}, {"op1": 0.1},
    )  # fmt: skip
    assert seen.peers["op1"] == "1/1"
    assert seen.cluster is not None
    assert seen.cluster.decided_age_s == 1.0
    seen.looked(look(trouble="no daemon answers"), decided_at=10.0, now=12.0)
    assert (seen.programs, seen.links) == ({"op2.rollup": "killed"}, {})
    assert "no daemon answers" in shown(seen, 12.0)


def test_a_block_is_news_once() -> None:
    seen = board()
    assert seen.take(event(EventKind.SEALED, "op1", 5, 10.0)) is not None
    assert seen.take(event(EventKind.SEALED, "op2", 5, 10.1)) is None
    assert seen.take(event(EventKind.IMPORTED, "f1", 5, 10.2)) is None
    assert seen.nodes["f1"].sealed == 5


def test_leader_follows_height_and_round_and_the_gap_is_between_first_seals() -> None:
    seen = board()
    seen.take(event(EventKind.SEALED, "op1", 4, 10.0))
    seen.take(event(EventKind.DECIDED, "op1", 5, 11.8, round_=1))
    block = seen.take(event(EventKind.SEALED, "op2", 5, 12.0))
    assert block is not None
    assert (block.leader, block.round, block.gap_s) == ("op3", 1, 2.0)
    assert line_of(block) == "block 5  slot 8  leader op3  round 1  gap 2.00 s  0xabababababababab"


def test_a_restarted_node_that_repeats_old_news_changes_nothing() -> None:
    seen = board()
    for height in range(1, REMEMBERED_HEIGHTS + 20):
        seen.take(event(EventKind.SEALED, "op1", height, float(height)))
    assert seen.take(event(EventKind.SEALED, "op2", 1, 1.0)) is None
    assert seen.newest is not None
    assert seen.newest.height == REMEMBERED_HEIGHTS + 19


def shown(seen: NetworkState, now: float, *, styles: bool = False) -> str:
    colours: Literal["standard"] | None = "standard" if styles else None
    console = Console(width=140, file=StringIO(), force_terminal=True, color_system=colours)
    with console.capture() as capture:
        console.print(table_of(seen, "title", now))
    return capture.get()


def test_the_table_shows_nodes_peers_and_faults() -> None:
    seen = board()
    seen.take(event(EventKind.SEALED, "op1", 1, 1.0))
    seen.peers = {"op1": "3/3"}
    seen.programs = {"op2.rollup": "killed"}
    seen.links = {"op2.rollup>op2.engine": "latency 50 ms"}
    text = shown(seen, 1.0)
    assert "3/3" in text
    assert "rollup killed, engine link +50 ms" in text
    assert LEGEND in text


def test_a_cluster_without_a_quorum_and_a_missing_nonce_are_told() -> None:
    seen = board()
    seen.take(event(EventKind.SEALED, "op1", 1, 1.0))
    quiet = shown(seen, 1.0)
    assert "NO QUORUM" not in quiet
    assert "nonce 5" not in quiet
    pools = {"op1": PoolSeen(3, 2, (Blocked("0xabc", 5, 2),)), "op2": PoolSeen(4, 0)}
    links = {"op1": {"op2": True}, "op2": {"op1": True}, "op3": None, "op4": None}
    seen.looked(look(links=links, pools=pools), decided_at=1.0, now=9.0)
    text = shown(seen, 1.0)
    assert "NO QUORUM: 2 of 4" in text
    assert "0xabc waits for nonce 5 (2 transactions behind it)" in text
    assert "3+2" in text


def test_what_a_program_waits_for_is_shown_while_it_waits() -> None:
    seen = board()
    seen.take(event(EventKind.SEALED, "op1", 1, 1.0))
    assert "waits for" not in shown(seen, 1.0)
    seen.waits = {"op3.middleware": ("height 9, votes may be lost below",), "f1.rollup": ("L1: x",)}
    text = shown(seen, 1.0)
    assert "op3.middleware waits for height 9, votes may be lost below" in text
    assert "f1.rollup waits for L1: x" in text


def test_the_newest_decided_height_keeps_its_first_news() -> None:
    seen = board()
    seen.take(event(EventKind.DECIDED, "op1", 5, 10.0))
    seen.take(event(EventKind.DECIDED, "op2", 5, 10.4))
    seen.take(event(EventKind.DECIDED, "op3", 4, 11.0))
    assert seen.newest_decided is not None
    assert (seen.newest_decided.height, seen.newest_decided.monotonic) == (5, 10.0)


def test_a_stall_is_seen_while_it_lasts_and_is_red_after_two_slots() -> None:
    seen = NetworkState(("op1", "op2", "op3", "op4"), ("f1",), slot_seconds=2)
    assert "waiting for a block" in shown(seen, 3.0)
    seen.take(event(EventKind.SEALED, "op1", 5, 10.0))
    assert "last block 4.0 s ago" in shown(seen, 14.0)
    assert "\x1b[1;31m4.0 s ago" not in shown(seen, 14.0, styles=True)
    assert "\x1b[1;31m4.2 s ago" in shown(seen, 14.2, styles=True)
    assert "longest gap 4.20 s" in shown(seen, 14.2)


def test_round_changes_are_counted_by_height_not_by_node() -> None:
    seen = board()
    for node in ("op1", "op2", "op3"):
        seen.take(event(EventKind.ROUND_CHANGE, node, 5, 1.0, round_=1))
        seen.take(event(EventKind.ROUND_CHANGE, node, 5, 2.0, round_=2))
        seen.take(event(EventKind.DECIDED, node, 5, 3.0, round_=2))
        seen.take(event(EventKind.DECIDED, node, 6, 4.0, round_=0))
    assert seen.round_changes == 1
    seen.take(event(EventKind.DECIDED, "op1", 7, 5.0, round_=1))
    assert seen.round_changes == 2, "also when only its outcome was told"


def test_a_node_that_is_up_but_low_catches_up_unless_it_is_cut_off_or_meant_to_be() -> None:
    seen = NetworkState(("op1", "op2", "op3", "op4"), ("f1",), l1_followers=frozenset({"f1"}))
    for name in ("op1", "op2"):
        seen.take(event(EventKind.SEALED, name, 9, 9.0))
    seen.take(event(EventKind.SEALED, "op3", 8, 9.0))
    seen.links = {"op1>op4.consensus": "drop", "op4>op1.consensus": "drop"}
    conditions = {name: seen.condition_of(name) for name in seen.nodes}
    assert conditions == {"op1": "", "op2": "", "op3": "", "op4": "behind", "f1": "follows L1"}
    seen.links = {}
    assert seen.condition_of("op4") == "catching up"
    seen.programs = {f"op4.{role}": "killed" for role in OPERATOR_ROLES}
    assert seen.condition_of("op4") == "killed"


def test_the_suggested_command_finds_the_network(tmp_path: Path) -> None:
    assert suggestion(tmp_path, tmp_path) == "try: devnet chaos run leader-kill"
    other = tmp_path / "my net"
    assert suggestion(other, tmp_path) == f"try: devnet chaos run leader-kill --dir '{other}'"
