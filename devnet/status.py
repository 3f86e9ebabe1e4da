"""`devnet status`: one look at a running network, for a person or as JSON."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from devnet.backends.base import BackendError
from devnet.network import Network, attached, read_status


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
        nodes = await asyncio.gather(*(_node(network, name) for name in network.nodes))
        return {
            "id": network.descriptor.id,
            "directory": str(network.directory),
            "backend": network.descriptor.backend,
            "nodes": list(nodes),
            "programs": await _programs(network),
            "faults": dict(await network.mesh.faults()),
        }


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
    console = Console()
    table = Table(
        title=f"devnet {facts['id']}  {facts['backend']}  {facts['directory']}",
        title_justify="left",
    )
    columns = ("name", "decided_height", "sealed_height", "safe", "l1_head", "reset_height")
    for column in columns:
        table.add_column(column.replace("_height", "").replace("_", " "))
    for node in facts["nodes"]:
        row = (
            [_shown(node.get(column)) for column in columns]
            if node["answers"]
            else [node["name"], "no answer"]
        )
        table.add_row(*row)
    console.print(table)
    for name, state in facts["programs"].items():
        if not state.startswith("running"):
            console.print(f"{name}: {state}")
    for link, fault in facts["faults"].items():
        console.print(f"{link}: {fault}")
