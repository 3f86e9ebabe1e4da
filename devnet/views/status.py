"""`devnet status`: one look at a running network, for a person or as JSON."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table

from devnet.backends.base import BackendError
from devnet.model.topology import Role
from devnet.network.bring_up import Network, attached, read_status
from devnet.probes.health import clock_ahead, links_up, read_metrics, read_waits
from devnet.probes.pools import POOL_SECONDS, PoolSeen, read_pool
from devnet.probes.rpc import Rpc
from devnet.views.liveness import (
    blocked_text,
    cluster_of,
    newest_decided_at,
    peers_text,
    waits_text,
)
from dst.spec.primitives import Height, Round, leader_of

POOL_COLUMNS: Final = ("pending", "queued")
"""Transactions that could be in the next block, and those behind a missing nonce."""
_TELLS_WAITS: Final = (
    (Role.MIDDLEWARE, "middleware"),
    (Role.ROLLUP, "beacon"),
    (Role.EXECUTION, "rpc"),
)
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


async def links_of(network: Network) -> dict[str, Mapping[str, bool] | None]:
    """Operator -> peer -> whether the link that it dials is up; None while it does not answer."""
    return _links_in(await _metrics_of(network))


async def _metrics_of(network: Network) -> dict[str, str | None]:
    """Of the middlewares; None while one does not answer."""
    names = network.topology.operator_names
    urls = [f"{network.probe_url(name, 'middleware')}/metrics" for name in names]
    texts = await asyncio.gather(*(read_metrics(network.session, url) for url in urls))
    return dict(zip(names, texts, strict=True))


def _links_in(metrics: Mapping[str, str | None]) -> dict[str, Mapping[str, bool] | None]:
    return {name: None if text is None else links_up(text) for name, text in metrics.items()}


async def waits_of(network: Network) -> dict[str, tuple[str, ...]]:
    """`op1.middleware` -> what it says that it waits for; programs that wait for nothing are
    absent. A validator has no listener: it says so in its log alone."""
    asked = {
        f"{name}.{role}": f"{network.probe_url(name, link)}/healthz"
        for name in network.nodes
        for role, link in _TELLS_WAITS
        if role is not Role.MIDDLEWARE or name in network.topology.operator_names
    }
    told = await asyncio.gather(*(read_waits(network.session, url) for url in asked.values()))
    return {name: texts for name, texts in zip(asked, told, strict=True) if texts}


async def pools_of(network: Network) -> dict[str, PoolSeen]:
    """Node -> its transaction pool, of those that tell."""
    rpcs = [Rpc(network.session, network.probe_url(n, "rpc"), POOL_SECONDS) for n in network.nodes]
    seen = await asyncio.gather(*(read_pool(rpc) for rpc in rpcs))
    return {name: pool for name, pool in zip(network.nodes, seen, strict=True) if pool is not None}


async def _collect(directory: Path) -> dict[str, Any]:
    async with attached(directory) as network:
        answers = asyncio.gather(*(_node(network, name) for name in network.nodes))
        seen, metrics, pools, waits = await asyncio.gather(
            answers, _metrics_of(network), pools_of(network), waits_of(network)
        )
        nodes, links = with_lag(seen), _links_in(metrics)
        peers = peers_text(links)
        return {
            "id": network.descriptor.id,
            "directory": str(network.directory),
            "backend": network.descriptor.backend,
            "chain_id": network.descriptor.chain_id,
            "next": next_duty(nodes, network.topology.operator_names),
            "cluster": _cluster(network, nodes, links),
            "blocked": blocked_text(pools),
            "waits_for": waits,
            "nodes": [
                {
                    **node,
                    **({"peers": peers[node["name"]]} if node["name"] in peers else {}),
                    **_clock_facts(metrics.get(node["name"])),
                    **_pool_facts(pools.get(node["name"])),
                }
                for node in nodes
            ],
            "programs": await _programs(network),
            "faults": dict(await network.mesh.faults()),
        }


def _cluster(
    network: Network,
    nodes: Sequence[dict[str, Any]],
    links: Mapping[str, Mapping[str, bool] | None],
) -> dict[str, Any]:
    descriptor = network.descriptor
    decided_at = newest_decided_at(
        nodes, genesis_time=descriptor.genesis_time, slot_seconds=descriptor.slot_seconds
    )
    seen = cluster_of(
        links, decided_at=decided_at, now=time.time(), slot_seconds=descriptor.slot_seconds
    )
    return {
        "operators": seen.operators,
        "quorum": seen.quorum,
        "connected": seen.connected,
        "has_quorum": seen.has_quorum,
        "decided_age_seconds": seen.decided_age_s,
        "advances": seen.advances,
        "trouble": seen.trouble,
    }


def _clock_facts(metrics: str | None) -> dict[str, float]:
    ahead_s = None if metrics is None else clock_ahead(metrics)
    return {} if ahead_s is None else {"clock_ahead_seconds": ahead_s}


def _pool_facts(pool: PoolSeen | None) -> dict[str, int]:
    return {} if pool is None else {"pending": pool.pending, "queued": pool.queued}


def with_lag(nodes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each node that answers with how many sealed heights it is `behind` the highest one: a node
    that lags still answers, and looks healthy from itself."""
    highest = max((node.get("sealed_height", 0) for node in nodes), default=0)
    return [
        {**node, "behind": highest - node["sealed_height"]} if "sealed_height" in node else node
        for node in nodes
    ]


def next_duty(
    nodes: Sequence[dict[str, Any]], operators: Sequence[str]
) -> dict[str, int | str] | None:
    """The height after the highest decided one and the leader of its round 0; None when no node
    answers."""
    decided = [node["decided_height"] for node in nodes if node.get("decided_height") is not None]
    if not decided:
        return None
    height = max(decided) + 1
    leader = operators[leader_of(Height(height), Round(0), len(operators))]
    return {"height": height, "round": 0, "leader": leader}


async def _node(network: Network, name: str) -> dict[str, Any]:
    status = await read_status(network.session, network.probe_url(name))
    return {"name": name, "answers": status is not None, **(status or {})}


async def _programs(network: Network) -> dict[str, str]:
    try:
        found = await network.backend.status()
    except BackendError as error:
        return {"backend": str(error)}
    return {name: f"{status.state} ({status.detail})" for name, status in found.items()}


def _shown(value: object) -> str:
    return "" if value is None else str(value)


def _print(facts: dict[str, Any]) -> None:
    print(f"devnet {facts['id']}  {facts['backend']}  {facts['directory']}")
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
