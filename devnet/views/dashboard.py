"""The board of a running network: what the event streams tell, as a table on a terminal or a line a
block elsewhere.

`Board` is fed records and knows nothing of terminals; `table_of` and `line_of` only show what it
holds.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from devnet.model.descriptor import Descriptor
from devnet.model.history import Event, EventKind
from devnet.probes.pools import PoolSeen
from devnet.views.conditions import faults_of, is_cut_off, state_of
from devnet.views.liveness import blocked_text, waits_text
from dst.spec.primitives import Height, Round, leader_of

REMEMBERED_HEIGHTS: Final = 64
"""Rounds and times of older heights are of no use to a board."""
SHOWN_NOTES: Final = 5
STALL_SLOTS: Final = 2
"""A block a slot is the rule; one missed slot is a round change, two are worth red."""
BEHIND: Final = 2
"""Heights below the highest from which on a node counts as behind: news of one block reaches the
nodes at different times."""
LEGEND: Final = (
    "decided: final for the cluster; sealed: has the group signature; "
    "txs: waiting + behind a missing nonce"
)


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
    sealed_at: float
    """CLOCK_MONOTONIC."""


@dataclass
class Board:
    """State of a network by its events. Heights only grow: a node that starts anew repeats old
    news."""

    operators: tuple[str, ...]
    followers: tuple[str, ...]
    slot_seconds: float = 1.0
    l1_followers: frozenset[str] = frozenset()
    """They follow the batches on L1, so they are always some blocks behind."""
    nodes: dict[str, Node] = field(init=False)
    newest: Block | None = field(default=None, init=False)
    worst_gap_s: float = field(default=0.0, init=False)
    round_changes: int = field(default=0, init=False)
    """Heights that needed a round above 0, however many nodes told so."""
    peers: Mapping[str, str] = field(default_factory=dict, init=False)
    """Operator -> `3/3`."""
    pools: Mapping[str, PoolSeen] = field(default_factory=dict, init=False)
    """Node -> its transaction pool, of those that tell."""
    waits: Mapping[str, Sequence[str]] = field(default_factory=dict, init=False)
    """`op1.rollup` -> what it says that it waits for; those that wait for nothing are absent."""
    cluster: str = field(default="", init=False)
    """What keeps the operators together from deciding; empty when nothing does."""
    newest_decided: Event | None = field(default=None, init=False)
    """The first news of the highest decided height."""
    links: Mapping[str, str] = field(default_factory=dict, init=False)
    """Link -> its fault; healthy links are absent."""
    programs: Mapping[str, str] = field(default_factory=dict, init=False)
    """`op1.rollup` -> its state; those that run are absent."""
    trouble: str = field(default="", init=False)
    """Why the backend could not be asked."""
    notes: list[str] = field(default_factory=list, init=False)
    _rounds: dict[int, int] = field(default_factory=dict, init=False)
    _sealed_at: dict[int, float] = field(default_factory=dict, init=False)
    _changed: set[int] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        self.nodes = {name: Node() for name in (*self.operators, *self.followers)}

    def take(self, event: Event) -> Block | None:
        """Learn from an event; the block when it is the first news of a sealed height."""
        node = self.nodes.setdefault(event.node, Node())
        match event.kind:
            case EventKind.DECIDED:
                self._note_decided(event)
                node.decided = max(node.decided, event.height)
                if event.round is not None:
                    self._rounds.setdefault(event.height, event.round)
                    self._count_round(event)
            case EventKind.SEALED | EventKind.IMPORTED:
                node.sealed = max(node.sealed, event.height)
                node.decided = max(node.decided, event.height)
                return self._sealed(event) if event.kind is EventKind.SEALED else None
            case EventKind.ROUND_CHANGE:
                self._count_round(event)
            case EventKind.EVIDENCE | EventKind.RESET:
                self.note(
                    f"{event.node}: {event.kind} at height {event.height} {dict(event.detail)}"
                )
            case _:
                pass
        return None

    def _note_decided(self, event: Event) -> None:
        if self.newest_decided is None or event.height > self.newest_decided.height:
            self.newest_decided = event

    def note(self, text: str) -> None:
        """Something that a person should read; the newest few are shown."""
        self.notes.append(text)
        del self.notes[:-SHOWN_NOTES]

    def _count_round(self, event: Event) -> None:
        is_old = self.newest is not None and event.height < self.newest.height - REMEMBERED_HEIGHTS
        if (event.round or 0) > 0 and event.height not in self._changed and not is_old:
            self._changed.add(event.height)
            self.round_changes += 1

    def condition_of(self, name: str) -> str:
        """One word on a node, empty when all is well."""
        state = state_of(name, self.programs)
        highest = max((node.sealed for node in self.nodes.values()), default=0)
        if state or self.nodes[name].sealed > highest - BEHIND:
            return state
        if name in self.l1_followers:
            return "follows L1"
        return "behind" if is_cut_off(name, self.links) else "catching up"

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
            sealed_at=event.monotonic,
        )
        self.worst_gap_s = max(self.worst_gap_s, gap or 0.0)
        self._forget(event.height - REMEMBERED_HEIGHTS)
        return self.newest

    def _forget(self, height: int) -> None:
        for kept in (self._rounds, self._sealed_at):
            for old in [h for h in kept if h < height]:
                del kept[old]
        self._changed = {h for h in self._changed if h >= height}


def line_of(block: Block) -> str:
    """`block 12  slot 30  leader op1  round 0  gap 1.00 s  0x12ab…`"""
    gap = "-" if block.gap_s is None else f"{block.gap_s:.2f} s"
    slot = "-" if block.slot is None else str(block.slot)
    return (
        f"block {block.height}  slot {slot}  leader {block.leader}  round {block.round}  "
        f"gap {gap}  {block.root[:18]}"
    )


def endpoints_of(descriptor: Descriptor) -> str:
    """`RPC op1 http://127.0.0.1:20100  follower f1 http://…  chain id 42`: what a wallet needs."""
    words = [f"RPC {descriptor.operators[0].name} {descriptor.operators[0].rpc}"]
    words += [f"follower {each.name} {each.rpc}" for each in descriptor.followers[:1]]
    return "  ".join((*words, f"chain id {descriptor.chain_id}"))


def suggestion(directory: Path, default: Path) -> str:
    """A first fault to inject, as a command that finds this network."""
    where = "" if directory == default.resolve() else f" --dir {shlex.quote(str(directory))}"
    return f"try: devnet chaos run leader-kill{where}"


def table_of(board: Board, heading: str, now: float) -> Group:
    """The live board; `now` is CLOCK_MONOTONIC."""
    return Group(
        Text(heading),
        _nodes_of(board),
        Text(LEGEND, style="dim"),
        _last_block(board, now),
        *_waiting(board),
        Text("\n".join(filter(None, (board.trouble, *board.notes))), style="red"),
    )


def _nodes_of(board: Board) -> Table:
    table = Table()
    for heading in ("node", "sealed", "decided"):
        table.add_column(heading, justify="left" if heading == "node" else "right")
    table.add_column("peers")
    table.add_column("txs", justify="right")
    # Wide enough for the usual words: the columns do not jump when a fault comes or goes.
    table.add_column("state", min_width=len("catching up"))
    table.add_column("faults", min_width=24)
    for name, node in board.nodes.items():
        condition = board.condition_of(name)
        table.add_row(
            name,
            str(node.sealed),
            str(node.decided),
            board.peers.get(name, ""),
            str(board.pools.get(name, "")),
            condition,
            faults_of(name, board.programs, board.links, board.operators),
            style="yellow" if condition and name not in board.l1_followers else "",
        )
    return table


def _waiting(board: Board) -> list[Text]:
    """What stops all operators, what a program waits for, and who waits for a transaction; no line
    when nothing does."""
    lines = [Text(board.cluster, style="bold red")] if board.cluster else []
    waits = [*waits_text(board.waits), *blocked_text(board.pools)]
    return lines + [Text(line, style="yellow") for line in waits]


def _last_block(board: Board, now: float) -> Text:
    newest = board.newest
    if newest is None:
        return Text("waiting for a block")
    age = max(0.0, now - newest.sealed_at)
    text = Text(f"{line_of(newest)}\nlast block ")
    text.append(f"{age:.1f} s ago", "bold red" if age > STALL_SLOTS * board.slot_seconds else "")
    worst = max(board.worst_gap_s, age)
    return text.append(f"   longest gap {worst:.2f} s   round changes {board.round_changes}")
