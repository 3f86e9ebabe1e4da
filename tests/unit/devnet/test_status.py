"""One look: who leads next, and a table that a pipe can read."""

import asyncio
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from devnet.model.topology import Topology
from devnet.views.look import waits_of
from devnet.views.state import Look, NetworkState
from devnet.views.status import _print, _table, facts_of, lines_of

OPERATORS = ("op1", "op2", "op3", "op4")


def state(**heights: int | None) -> NetworkState:
    """Of nodes that say how far they are; None: it does not answer."""
    made = NetworkState(OPERATORS, ("f1",))
    for name in made.nodes:
        height = heights.get(name)
        told = None if height is None else {"decided_height": height, "sealed_height": height}
        made.told(name, told)
    quiet: dict[str, Any] = {name: {} for name in ("clocks", "pools", "waits", "faults")}
    links = dict.fromkeys(OPERATORS)
    made.looked(Look(links=links, programs={}, **quiet), decided_at=None, now=1.0)
    return made


def test_the_next_height_is_above_the_highest_decided_and_has_its_leader() -> None:
    facts = facts_of(state(op1=4, f1=5))
    assert facts["next"] == {"height": 6, "round": 0, "leader": "op3"}


def test_nobody_answers_nobody_leads() -> None:
    facts = facts_of(state())
    assert facts["next"] is None
    assert facts["cluster"]["has_quorum"] is False


def test_the_chain_is_named_with_its_genesis(capsys: pytest.CaptureFixture[str]) -> None:
    network = {"id": "0a1b", "directory": "/d", "backend": "process", "kind": "dst"}
    for known, line in (("0xab", "chain id 7  genesis 0xab"), ("", "chain id 7")):
        _print({**network, "chain_id": 7, "genesis_hash": known, **facts_of(state(op1=4))})
        assert capsys.readouterr().out.splitlines()[:2] == ["devnet 0a1b  process  /d", line]


def test_a_node_that_lags_shows_by_how_much() -> None:
    nodes = facts_of(state(op1=30, f1=5))["nodes"]
    behind = {node["name"]: node.get("behind") for node in nodes}
    assert behind == {"op1": 0, "op2": None, "op3": None, "op4": None, "f1": 25}
    assert any("25" in line for line in lines_of(_table(nodes)))


def test_an_operator_whose_clock_is_off_shows_by_how_much() -> None:
    nodes: list[dict[str, Any]] = [
        {"name": "op1", "answers": True, "clock_ahead_seconds": 0.0},
        {"name": "op2", "answers": True, "clock_ahead_seconds": -20.004},
        {"name": "f1", "answers": True},
    ]
    _, _, _, first, second, third, _ = lines_of(_table(nodes))
    assert "+0.00 s" in first
    assert "-20.00 s" in second
    assert " s " not in third


async def test_status_asks_every_program_with_a_listener_what_it_waits_for() -> None:
    """op2 is frozen, f1 answers what no health is: neither holds up what the others say."""
    told = {
        "/op1.middleware/healthz": (503, {"ok": False, "reason": "x", "waits_for": ["a quorum"]}),
        "/op1.beacon/healthz": (200, {"ok": True, "waits_for": ["L1: away", "room"]}),
        "/op1.rpc/healthz": (503, {"ok": False, "reason": "x", "waits_for": ["room"]}),
        "/f1.beacon/healthz": (200, []),
        "/f1.rpc/healthz": (200, {"ok": True}),
    }
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        if request.path.startswith("/op2"):
            await asyncio.Event().wait()
        status, body = told[request.path]
        return web.json_response(body, status=status)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        network: Any = SimpleNamespace(
            nodes=("op1", "op2", "f1"),
            topology=Topology(operators=2, followers=1, port_offset=0),
            session=session,
            probe_url=lambda node, link="beacon": str(server.make_url(f"/{node}.{link}")),
        )
        waits = await waits_of(network)
    assert waits == {
        "op1.middleware": ("a quorum",),
        "op1.rollup": ("L1: away", "room"),
        "op1.execution": ("room",),
    }
    assert len(asked) == 8


def test_the_piped_table_has_no_trailing_spaces_and_one_line_a_node() -> None:
    nodes: list[dict[str, Any]] = [
        {"name": "op1", "answers": True, "decided_height": 4, "sealed_height": 4, "peers": "3/3"},
        {"name": "op2", "answers": False, "peers": "-"},
    ]
    lines = lines_of(_table(nodes))
    assert lines == [line.rstrip() for line in lines]
    assert [line for line in lines if "op2" in line and "no answer" in line and "-" in line]
    assert len(lines) == 6
