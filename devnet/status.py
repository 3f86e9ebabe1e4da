"""`devnet status`: one look at a running network, for a person or as JSON."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table

from devnet.backends.base import BackendError
from devnet.network import Network, attached, read_status
from devnet.probes.health import links_up, read_metrics
from dst.spec.primitives import Height, Round, leader_of

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


async def peers_up(network: Network) -> dict[str, str]:
    """Operator -> `3/3`, the links to other operators that it holds up; `-` while it does not
    answer."""
    names = network.topology.operator_names
    urls = [f"{network.probe_url(name, 'middleware')}/metrics" for name in names]
    texts = await asyncio.gather(*(read_metrics(network.session, url) for url in urls))
    return {
        name: "-" if text is None else f"{sum(links_up(text).values())}/{len(names) - 1}"
        for name, text in zip(names, texts, strict=True)
    }


async def _collect(directory: Path) -> dict[str, Any]:
    async with attached(directory) as network:
        answers = asyncio.gather(*(_node(network, name) for name in network.nodes))
        nodes, peers = await asyncio.gather(answers, peers_up(network))
        return {
            "id": network.descriptor.id,
            "directory": str(network.directory),
            "backend": network.descriptor.backend,
            "next": next_duty(nodes, network.topology.operator_names),
            "nodes": [
                {**node, "peers": peers[node["name"]]} if node["name"] in peers else node
                for node in nodes
            ],
            "programs": await _programs(network),
            "faults": dict(await network.mesh.faults()),
        }


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
    if facts["next"] is not None:
        print("next: height {height}, leader of round {round} is {leader}".format(**facts["next"]))
    for name, state in facts["programs"].items():
        if not state.startswith("running"):
            print(f"{name}: {state}")
    for link, fault in facts["faults"].items():
        print(f"{link}: {fault}")


def _table(nodes: Sequence[dict[str, Any]]) -> Table:
    table = Table()
    columns = ("name", "decided_height", "sealed_height", "safe", "l1_head", "reset_height")
    for column in (*columns, "peers"):
        table.add_column(column.replace("_height", "").replace("_", " "))
    for node in nodes:
        row = (
            [_shown(node.get(column)) for column in columns]
            if node["answers"]
            else [node["name"], "no answer", "", "", "", ""]
        )
        table.add_row(*row, _shown(node.get("peers")))
    return table


def lines_of(table: Table) -> list[str]:
    """A table as lines without trailing spaces, coloured for a terminal only."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPED_WIDTH)
    with console.capture() as capture:
        console.print(table)
    return [line.rstrip() for line in capture.get().splitlines()]
