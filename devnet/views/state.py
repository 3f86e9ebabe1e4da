"""What is known of a running network, from its events and from looks at it: the board draws it,
`devnet status` prints it after one look. No I/O, no terminal.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from devnet.backends.base import ProgramStatus, RunState
from devnet.model.history import Event, EventKind
from devnet.probes.pools import PoolSeen
from devnet.views.conditions import is_cut_off, state_of
from devnet.views.liveness import Cluster, cluster_of, peers_text
from dst.spec.primitives import Height, Round, leader_of

REMEMBERED_HEIGHTS: Final = 64
"""Rounds and times of older heights are of no use to a board."""
SHOWN_NOTES: Final = 5
BEHIND: Final = 2
"""Heights below the highest from which on a node counts as behind: news of one block reaches the
nodes at different times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What no event tells, at one moment."""

    links: Mapping[str, Mapping[str, bool] | None]
    """Operator -> peer -> whether the link that it dials is up; None while it does not answer."""
    clocks: Mapping[str, float]
    """Operator -> seconds that its clock is ahead of the others'."""
    pools: Mapping[str, PoolSeen]
    """Node -> its transaction pool, of those that tell."""
    waits: Mapping[str, Sequence[str]]
    """`op1.rollup` -> what it says that it waits for; those that wait for nothing are absent."""
    faults: Mapping[str, str]
    """Link -> its fault; healthy links are absent."""
    programs: Mapping[str, ProgramStatus]
    trouble: str = ""
    """Why the backend could not be asked for the programs."""


@dataclass(slots=True)
class Node:
    """What a node has reached."""

    decided: int = 0
    sealed: int = 0
    answers: bool = False
    """When it was asked for its status last."""
    status: Mapping[str, Any] = field(default_factory=dict)
    """What it said."""


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
class NetworkState:
    """Heights only grow: a node that starts anew repeats old news."""

    operators: tuple[str, ...]
    followers: tuple[str, ...]
    slot_seconds: float = 1.0
    votes: bool = True
    """False of a baseline: who leads is no function of the height."""
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
    clocks: Mapping[str, float] = field(default_factory=dict, init=False)
    cluster: Cluster | None = field(default=None, init=False)
    """The operators together; None before the first look."""
    newest_decided: Event | None = field(default=None, init=False)
    """The first news of the highest decided height."""
    links: Mapping[str, str] = field(default_factory=dict, init=False)
    """Link -> its fault; healthy links are absent."""
    programs: Mapping[str, str] = field(default_factory=dict, init=False)
    """`op1.rollup` -> its state; those that run are absent."""
    details: Mapping[str, ProgramStatus] = field(default_factory=dict, init=False)
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

    def told(self, name: str, status: Mapping[str, Any] | None) -> None:
        """Learn from a node's own status (`GET /dst/v1/status`); None: it does not answer."""
        node = self.nodes.setdefault(name, Node())
        node.status, node.answers = status or {}, status is not None
        node.decided = max(node.decided, node.status.get("decided_height") or 0)
        node.sealed = max(node.sealed, node.status.get("sealed_height") or 0)

    def looked(self, look: Look, *, decided_at: float | None, now: float) -> None:
        """Learn from a look. decided_at, now: seconds of one clock: when the newest decided block
        was due or known, and the present."""
        self.peers, self.clocks = peers_text(look.links), look.clocks
        self.pools, self.waits, self.links = look.pools, look.waits, look.faults
        self.cluster = cluster_of(
            look.links,
            decided_at=decided_at,
            now=now,
            slot_seconds=self.slot_seconds,
            votes=self.votes,
        )
        self.trouble = look.trouble
        if not look.trouble:
            self.details = look.programs
            self.programs = {
                name: status.state
                for name, status in look.programs.items()
                if status.state is not RunState.RUNNING
            }

    @property
    def highest_sealed(self) -> int:
        return max((node.sealed for node in self.nodes.values()), default=0)

    def next_duty(self) -> tuple[int, str] | None:
        """The height after the highest decided one, and the leader of its round 0; None while no
        node tells, and where no rule does."""
        if not self.votes:
            return None
        decided = max((node.decided for node in self.nodes.values()), default=0)
        if not decided and not any(node.answers for node in self.nodes.values()):
            return None
        leader = leader_of(Height(decided + 1), Round(0), len(self.operators))
        return decided + 1, self.operators[leader]

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
        if state or self.nodes[name].sealed > self.highest_sealed - BEHIND:
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
