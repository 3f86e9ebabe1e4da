"""The board follows heights by first news, names leader and gap, and forgets what is old."""

from rich.console import Console

from devnet.dashboard import REMEMBERED_HEIGHTS, Board, line_of, table_of
from devnet.model.history import Event, EventKind


def event(kind: EventKind, node: str, height: int, at: float, round_: int | None = 0) -> Event:
    return Event(
        kind=kind, node=node, height=height, round=round_, root="0x" + "ab" * 32, slot=height + 3,
        monotonic=at, wall=at,
    )  # fmt: skip


def board() -> Board:
    return Board(("op1", "op2", "op3", "op4"), ("f1",))


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


def test_the_table_shows_nodes_peers_and_faults() -> None:
    seen = board()
    seen.take(event(EventKind.SEALED, "op1", 1, 1.0))
    seen.peers = {"op1": "3/3"}
    seen.faults = {"op2.rollup": "killed", "op1>op2.consensus": "hold", "op3>op2.consensus": "hold"}
    console = Console(width=140, record=True)
    console.print(table_of(seen, "title"))
    text = console.export_text()
    assert "3/3" in text
    assert "rollup killed, 2 links hold" in text
