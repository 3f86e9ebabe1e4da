"""`devnet status`: one look at a running network, for a person or as JSON."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table

from devnet.model.cluster import ClusterKind
from devnet.network.bring_up import Network, attached, read_status
from devnet.views.liveness import blocked_text, newest_decided_at, waits_text
from devnet.views.look import look_at, state_for
from devnet.views.state import NetworkState

POOL_COLUMNS: Final = ("pending", "queued")
"""Transactions that could be in the next block, and those behind a missing nonce."""
PIPED_WIDTH: Final = 200
"""Columns when nobody's terminal says otherwise: rows are lines, whatever the reader."""


def show_status(directory: Path, *, as_json: bool) -> int:
    """Print what the nodes, the backend and the Toxiproxies say. Raises: BadConfig when no network
    runs there."""
    facts = asyncio.run(_collect(directory))
    if as_json:
        print(msgspec.json.encode(facts).decode())
        return 0
    _print(facts)
    return 0


async def _collect(directory: Path) -> dict[str, Any]:
    async with attached(directory) as network:
        state = await state_of_network(network)
        descriptor = network.descriptor
        return {
            "id": descriptor.id,
            "directory": str(network.directory),
            "backend": descriptor.backend,
            "kind": descriptor.cluster,
            "chain_id": descriptor.chain_id,
            "genesis_hash": descriptor.genesis_hash,
            **facts_of(state),
        }


async def state_of_network(network: Network) -> NetworkState:
    """Of one look, without events."""
    look, *statuses = await asyncio.gather(
        look_at(network),
        *(read_status(network.session, network.probe_url(name)) for name in network.nodes),
    )
    descriptor = network.descriptor
    state = state_for(network)
    for name, status in zip(network.nodes, statuses, strict=True):
        state.told(name, status)
    decided_at = newest_decided_at(
        [status for status in statuses if status is not None],
        genesis_time=descriptor.genesis_time,
        slot_seconds=descriptor.slot_seconds,
    )
    state.looked(look, decided_at=decided_at, now=time.time())
    return state


def facts_of(state: NetworkState) -> dict[str, Any]:
    """As `--json` has them."""
    duty, cluster = state.next_duty(), state.cluster
    assert cluster is not None, "it was looked at"
    return {
        "next": None if duty is None else {"height": duty[0], "round": 0, "leader": duty[1]},
        "cluster": {
            "operators": cluster.operators,
            "quorum": cluster.quorum,
            "connected": cluster.connected,
            "has_quorum": cluster.has_quorum,
            "decided_age_seconds": cluster.decided_age_s,
            "advances": cluster.advances,
            "trouble": cluster.trouble,
        },
        "blocked": blocked_text(state.pools),
        "waits_for": state.waits,
        "nodes": [_node_facts(state, name) for name in state.nodes],
        "programs": {"backend": state.trouble}
        if state.trouble
        else {name: f"{each.state} ({each.detail})" for name, each in state.details.items()},
        "faults": dict(state.links),
    }


def _node_facts(state: NetworkState, name: str) -> dict[str, Any]:
    """What a node says, and what all of them say of it: a node that lags still answers, and looks
    healthy from itself."""
    node = state.nodes[name]
    facts: dict[str, Any] = {"name": name, "answers": node.answers, **node.status}
    if "sealed_height" in facts:
        facts["behind"] = state.highest_sealed - facts["sealed_height"]
    if name in state.peers:
        facts["peers"] = state.peers[name]
    if name in state.clocks:
        facts["clock_ahead_seconds"] = state.clocks[name]
    if (pool := state.pools.get(name)) is not None:
        facts |= {"pending": pool.pending, "queued": pool.queued}
    return facts


def _shown(value: object) -> str:
    return "" if value is None else str(value)


def _print(facts: dict[str, Any]) -> None:
    kind = "" if facts["kind"] == ClusterKind.DST else f"{facts['kind']}  "
    print(f"devnet {facts['id']}  {facts['backend']}  {kind}{facts['directory']}")
    genesis = f"  genesis {facts['genesis_hash']}" if facts["genesis_hash"] else ""
    print(f"chain id {facts['chain_id']}{genesis}")
    for line in lines_of(_table(facts["nodes"])):
        print(line)
    if facts["cluster"]["trouble"]:
        print(facts["cluster"]["trouble"])
    for line in (*waits_text(facts["waits_for"]), *facts["blocked"]):
        print(line)
    if facts["next"] is not None:
        print("next: height {height}, leader of round {round} is {leader}".format(**facts["next"]))
    for name, state in facts["programs"].items():
        if not state.startswith("running"):
            print(f"{name}: {state}")
    for link, fault in facts["faults"].items():
        print(f"{link}: {fault}")


def _table(nodes: Sequence[dict[str, Any]]) -> Table:
    table = Table()
    columns = (
        "name", "decided_height", "sealed_height", "behind", "safe", "l1_head", "reset_height",
    )  # fmt: skip
    for column in (*columns, "peers", "clock", *POOL_COLUMNS):
        table.add_column(column.replace("_height", "").replace("_", " "))
    for node in nodes:
        row = (
            [_shown(node.get(column)) for column in columns]
            if node["answers"]
            else [node["name"], "no answer", *[""] * (len(columns) - 2)]
        )
        pools = (node.get(column) for column in POOL_COLUMNS)
        more = (node.get("peers"), _clock(node.get("clock_ahead_seconds")), *pools)
        table.add_row(*row, *map(_shown, more))
    return table


def _clock(ahead_s: float | None) -> str | None:
    """Against the other operators' clocks."""
    return None if ahead_s is None else f"{ahead_s:+.2f} s"


def lines_of(table: Table) -> list[str]:
    """A table as lines without trailing spaces, coloured for a terminal only."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPED_WIDTH)
    with console.capture() as capture:
        console.print(table)
    return [line.rstrip() for line in capture.get().splitlines()]
