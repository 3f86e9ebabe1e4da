"""The board of a running network: a table on a terminal, or a line a block elsewhere. It only shows
what `state.NetworkState` holds.
"""

import shlex
from pathlib import Path
from typing import Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from devnet.model.descriptor import Descriptor
from devnet.views.conditions import faults_of
from devnet.views.liveness import blocked_text, waits_text
from devnet.views.state import Block, NetworkState

STALL_SLOTS: Final = 2
"""A block a slot is the rule; one missed slot is a round change, two are worth red."""
LEGEND: Final = (
    "decided: final for the cluster; sealed: has the group signature; "
    "txs: waiting + behind a missing nonce"
)


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


def table_of(board: NetworkState, heading: str, now: float) -> Group:
    """The live board; `now` is CLOCK_MONOTONIC."""
    return Group(
        Text(heading),
        _nodes_of(board),
        Text(LEGEND, style="dim"),
        _last_block(board, now),
        *_waiting(board),
        Text("\n".join(filter(None, (board.trouble, *board.notes))), style="red"),
    )


def _nodes_of(board: NetworkState) -> Table:
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


def _waiting(board: NetworkState) -> list[Text]:
    """What stops all operators, what a program waits for, and who waits for a transaction; no line
    when nothing does."""
    trouble = board.cluster.trouble if board.cluster is not None else ""
    lines = [Text(trouble, style="bold red")] if trouble else []
    waits = [*waits_text(board.waits), *blocked_text(board.pools)]
    return lines + [Text(line, style="yellow") for line in waits]


def _last_block(board: NetworkState, now: float) -> Text:
    newest = board.newest
    if newest is None:
        return Text("waiting for a block")
    age = max(0.0, now - newest.sealed_at)
    text = Text(f"{line_of(newest)}\nlast block ")
    text.append(f"{age:.1f} s ago", "bold red" if age > STALL_SLOTS * board.slot_seconds else "")
    worst = max(board.worst_gap_s, age)
    return text.append(f"   longest gap {worst:.2f} s   round changes {board.round_changes}")
