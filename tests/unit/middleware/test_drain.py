"""An operator that is told to leave hands over what it leads: four middlewares over real links."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import reduce
from operator import or_
from typing import Any, get_args

import msgspec
import pytest

from dst.apis.drain import Drain, DrainClient
from dst.apis.jwt import load_jwt_secret
from dst.cli.main import _parser
from dst.middleware import wire_messages
from dst.middleware.wire_messages import WireMessage
from dst.qbft.messages import PassMessage, RoundChangeMessage
from dst.runtime.http import serving
from dst.spec.errors import InvalidInput
from dst.spec.primitives import OperatorIndex
from tests.ports import free_port
from tests.unit.middleware.says import Says


@asynccontextmanager
async def all_four(network: Any, eventually: Any) -> AsyncIterator[list[Any]]:
    async with AsyncExitStack() as stack:
        everybody = [await stack.enter_async_context(network.operator(each)) for each in range(4)]
        await eventually(lambda: all(each.sealed_height() >= 3 for each in everybody))
        yield everybody


@asynccontextmanager
async def served(operator: Any) -> AsyncIterator[str]:
    """The address of its API."""
    address = f"127.0.0.1:{free_port()}"
    async with serving(operator.middleware.app(), address, what="middleware listen"):
        yield address


def secret_of(cluster: Any, index: int) -> bytes:
    return load_jwt_secret(cluster.folder / "operators" / f"op{index + 1}" / "own.hex")


def changes(operator: Any, cause: str) -> float:
    return float(operator.middleware.metrics.get("consensus_round_changes_total", cause=cause))


def undecodable(operator: Any) -> float:
    """Messages of operator 4."""
    metrics = operator.middleware.metrics
    return float(metrics.get("messages_refused_total", peer="op4", reason="undecodable"))


def led_by(operator: Any, above: int) -> list[int]:
    """Heights above that, decided in round 0, that operator 4 led."""
    certificates = [each.certificate for each in operator.rollup.chain[above:]]
    return [each.height for each in certificates if not each.round and each.height % 4 == 3]


async def test_others_go_on_without_a_timer_where_a_draining_operator_would_lead(
    network: Any, eventually: Any
) -> None:
    async with all_four(network, eventually) as everybody:
        last = everybody[3].middleware.shells.consensus
        last.leave(True)
        await eventually(lambda: last.drain() == Drain(leaving=True))
        above = max(each.sealed_height() for each in everybody)
        await eventually(lambda: all(e.sealed_height() >= above + 9 for e in everybody))
        assert not led_by(everybody[0], above + 1)
        await eventually(lambda: all(changes(each, "leader_passed") for each in everybody))
        last.leave(False)
        above = max(each.sealed_height() for each in everybody)
        await eventually(lambda: bool(led_by(everybody[0], above + 1)))  # it leads again


async def test_releases_that_do_not_know_the_message_refuse_it_and_wait_for_their_timer(
    network: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in an upgrade: the others decode as before it, no link ends, and the chain goes on."""
    known = (each for each in get_args(WireMessage) if each is not PassMessage)
    monkeypatch.setattr(wire_messages, "_decoder", msgspec.msgpack.Decoder(reduce(or_, known)))
    async with all_four(network, eventually) as (*others, last):
        last.middleware.shells.consensus.leave(True)
        await eventually(lambda: all(map(undecodable, others)))
        above = max(each.sealed_height() for each in others)
        await eventually(lambda: all(each.sealed_height() >= above + 5 for each in others))
        assert not any(changes(each, "leader_passed") for each in others)
        assert all(OperatorIndex(3) in each.middleware.transport.up_peers() for each in others)


async def test_what_it_leads_is_under_way_until_it_is_decided(
    network: Any, running: Any, cluster: Any, eventually: Any
) -> None:
    """Nobody else is there: operator 1, who leads height 1, is asked before and after its slot."""
    network.clock_runs = False
    operator = await running(1, gathers=False, validator=False)
    shells = operator.middleware.shells
    await eventually(lambda: shells.consensus._started)
    assert shells.consensus.drain().under_way == "it leads height 1, round 0"
    shells.consensus.leave(True)
    await eventually(lambda: shells.consensus.drain().is_drained)
    for peer in (0, 2, 3):
        message = Says(cluster).round_change(peer, 4)
        assert isinstance(message, RoundChangeMessage)
        shells.consensus.message_received(OperatorIndex(peer), message, 100)
    await eventually(lambda: shells.consensus.round == 4)
    found = shells.consensus.drain()
    assert (found.leaving, found.under_way) == (True, "it leads height 1, round 4")
    assert found.others_lack == (
        "a quorum, 0 of 4 vote and 3 must: op1 is not reached, op3 is not reached,"
        " op4 is not reached"
    )


async def test_it_leaves_over_a_halt(operator_that_leads: Any, eventually: Any) -> None:
    consensus = operator_that_leads.middleware.shells.consensus
    consensus.leave(True)
    await eventually(lambda: consensus.drain().is_drained)
    consensus._pause()
    await eventually(lambda: consensus._started and consensus.drain().is_drained)


@pytest.fixture
async def operator_that_leads(network: Any, running: Any, eventually: Any) -> Any:
    network.clock_runs = False
    made = await running(1, gathers=False, validator=False)
    await eventually(lambda: made.middleware.shells.consensus._started)
    return made


async def test_it_is_told_by_its_own_people_alone(operator_that_leads: Any, cluster: Any) -> None:
    consensus = operator_that_leads.middleware.shells.consensus
    async with served(operator_that_leads) as address:
        for secret in (None, secret_of(cluster, 2)):
            async with DrainClient(f"http://{address}", secret=secret) as stranger:
                for method in ("GET", "POST", "DELETE"):
                    with pytest.raises(InvalidInput, match="token"):
                        await stranger.ask(method)
        assert not consensus._leaving
        async with DrainClient(f"http://{address}", secret=secret_of(cluster, 1)) as own:
            assert not (await own.ask("GET")).leaving
            await own.ask("POST")
            assert consensus._leaving
            await own.ask("DELETE")
            assert not consensus._leaving


def told(network: Any, index: int, address: str, *flags: str) -> int:
    """What `dst drain` says of operator `index`, whose configuration names `address`."""
    path = network.folder / f"op{index + 1}" / "middleware.json"
    config = msgspec.json.decode(path.read_bytes())
    path.write_bytes(msgspec.json.encode({**config, "listen": address}))
    options = _parser().parse_args(["drain", "--config", str(path), *flags])
    run: Any = options.run
    return int(run(options))


async def test_dst_drain_waits_until_the_operator_may_be_stopped(
    network: Any, eventually: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    async with all_four(network, eventually) as everybody, served(everybody[2]) as address:
        consensus = everybody[2].middleware.shells.consensus
        assert await asyncio.to_thread(told, network, 2, address, "--within", "20") == 0
        assert consensus.drain() == Drain(leaving=True)
        assert "op3 is drained: it leads nothing" in capsys.readouterr().out
        assert await asyncio.to_thread(told, network, 2, address, "--undo") == 0
        await eventually(lambda: not consensus.drain().leaving)
        assert "leads again" in capsys.readouterr().out


async def test_dst_drain_says_when_the_chain_stands_without_it(
    operator_that_leads: Any, network: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    async with served(operator_that_leads) as address:
        assert await asyncio.to_thread(told, network, 1, address, "--within", "20") == 1
    out = capsys.readouterr().out
    assert "the chain stands without it: a quorum, 0 of 4 vote and 3 must" in out
    assert "take it back with --undo" in out


def test_one_that_has_not_acted_on_it_is_not_drained() -> None:
    """Nothing is under way in a loop that stands still, or that was told to stay meanwhile."""
    assert "has not acted on that" in str(Drain(leaving=False).not_yet)
    assert Drain(leaving=True, under_way="its turn").not_yet == "its turn"
    assert Drain(leaving=True).not_yet is None
