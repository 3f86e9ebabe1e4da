"""The board of a running network: what the event streams tell, as a table on a terminal or a line a
block elsewhere.

`Board` is fed records and knows nothing of terminals; `table_of` and `line_of` only show what it
holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from devnet.model.history import Event, EventKind
from dst.spec.primitives import Height, Round, leader_of

REMEMBERED_HEIGHTS: Final = 64
"""Rounds and times of older heights are of no use to a board."""
SHOWN_NOTES: Final = 5
SHOWN_FAULTS: Final = 12


@dataclass(slots=True)
class Node:
    """What a node has reached."""

    decided: int = 0
    sealed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A newly sealed height, as the first node to seal it told."""

    height: int
    slot: int | None
    round: int
    leader: str
    gap_s: float | None
    """Since the height before was first sealed."""
    root: str


@dataclass
class Board:
    """State of a network by its events. Heights only grow: a node that starts anew repeats old
    news."""

    operators: tuple[str, ...]
    followers: tuple[str, ...]
    nodes: dict[str, Node] = field(init=False)
    newest: Block | None = field(default=None, init=False)
    worst_gap_s: float = field(default=0.0, init=False)
    round_changes: int = field(default=0, init=False)
    peers: Mapping[str, str] = field(default_factory=dict, init=False)
    """Operator -> `3/3`."""
    faults: Mapping[str, str] = field(default_factory=dict, init=False)
    notes: list[str] = field(default_factory=list, init=False)
    _rounds: dict[int, int] = field(default_factory=dict, init=False)
    _sealed_at: dict[int, float] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.nodes = {name: Node() for name in (*self.operators, *self.followers)}

    def take(self, event: Event) -> Block | None:
        """Learn from an event; the block when it is the first news of a sealed height."""
        node = self.nodes.setdefault(event.node, Node())
        match event.kind:
            case EventKind.DECIDED:
                node.decided = max(node.decided, event.height)
                if event.round is not None:
                    self._rounds.setdefault(event.height, event.round)
            case EventKind.SEALED | EventKind.IMPORTED:
                node.sealed = max(node.sealed, event.height)
                node.decided = max(node.decided, event.height)
                return self._sealed(event) if event.kind is EventKind.SEALED else None
            case EventKind.ROUND_CHANGE:
                self.round_changes += 1
            case EventKind.EVIDENCE | EventKind.RESET:
                self.note(
                    f"{event.node}: {event.kind} at height {event.height} {dict(event.detail)}"
                )
            case _:
                pass
        return None

    def note(self, text: str) -> None:
        """Something that a person should read; the newest few are shown."""
        self.notes.append(text)
        del self.notes[:-SHOWN_NOTES]

    def _sealed(self, event: Event) -> Block | None:
        if event.height in self._sealed_at or (self.newest and event.height < self.newest.height):
            return None
        self._sealed_at[event.height] = event.monotonic
        before = self._sealed_at.get(event.height - 1)
        gap = None if before is None else event.monotonic - before
        round_ = self._rounds.get(event.height, 0)
        leader = leader_of(Height(event.height), Round(round_), len(self.operators))
        self.newest = Block(
            height=event.height,
            slot=event.slot,
            round=round_,
            leader=self.operators[leader],
            gap_s=gap,
            root=event.root or "",
        )
        self.worst_gap_s = max(self.worst_gap_s, gap or 0.0)
        self._forget(event.height - REMEMBERED_HEIGHTS)
        return self.newest

    def _forget(self, height: int) -> None:
        for kept in (self._rounds, self._sealed_at):
            for old in [h for h in kept if h < height]:
                del kept[old]


def line_of(block: Block) -> str:
    """`block 12  slot 30  leader op1  round 0  gap 1.00 s  0x12ab…`"""
    gap = "-" if block.gap_s is None else f"{block.gap_s:.2f} s"
    slot = "-" if block.slot is None else str(block.slot)
    return (
        f"block {block.height}  slot {slot}  leader {block.leader}  round {block.round}  "
        f"gap {gap}  {block.root[:18]}"
    )


def table_of(board: Board, title: str) -> Group:
    """The live board."""
    table = Table()
    for heading in ("node", "sealed", "decided", "peers", "faults"):
        table.add_column(heading, justify="right" if heading in ("sealed", "decided") else "left")
    highest = max((node.sealed for node in board.nodes.values()), default=0)
    for name, node in board.nodes.items():
        style = "" if node.sealed >= highest - 1 else "yellow"
        faults = _faults_of(name, board.faults)
        table.add_row(
            name,
            str(node.sealed),
            str(node.decided),
            board.peers.get(name, ""),
            faults,
            style=style,
        )
    newest = board.newest
    last = "waiting for a block" if newest is None else line_of(newest)
    text = f"{last}\nround changes {board.round_changes}   longest gap {board.worst_gap_s:.2f} s"
    return Group(
        Text(title, no_wrap=True, overflow="ellipsis"),
        table,
        Text(text),
        Text("\n".join(board.notes), style="red"),
    )


def _faults_of(name: str, faults: Mapping[str, str]) -> str:
    """Faults of a node's programs and of the links that it answers."""
    own = [
        f"{where.removeprefix(name + '.')} {what}"
        for where, what in faults.items()
        if where.startswith(f"{name}.") and ">" not in where
    ]
    links = [what for where, what in faults.items() if f">{name}." in where]
    kinds = {what: links.count(what) for what in links}
    own += [f"{count} links {what}" for what, count in sorted(kinds.items())]
    return ", ".join(own[:SHOWN_FAULTS])
