"""A stand-by takes over what others signed, makes no block while another leads, and one whose chain
is another says so and keeps its own."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from devnet.baseline.config import Settings, load_settings
from devnet.baseline.following import Following
from devnet.baseline.sequencer import Sequencer
from dst.apis.beacon import WireBlock, reading_routes
from dst.apis.dst_v1 import DecidedBlock, telling_routes
from dst.runtime.http import make_app
from dst.runtime.metrics import Metrics
from dst.spec import ssz
from dst.spec.beacon import BeaconBlock
from dst.spec.errors import InvalidInput
from dst.spec.primitives import G2_POINT_AT_INFINITY, Height, Root
from tests.unit.baseline.test_sequencer import Rollup, Time, config_in
from tests.unit.middleware.conftest import Cluster, eventually


class Node(Rollup):
    """One that others read, and that refuses what does not extend its chain."""

    unsigned_served = 0

    async def block(self, block_id: object) -> WireBlock | None:
        for height, decided in enumerate(self.chain, 1):
            if ssz.decode(BeaconBlock, decided.block).slot == block_id:
                signature = self.sealed.get(height, G2_POINT_AT_INFINITY)
                self.unsigned_served += height not in self.sealed
                return WireBlock(message=decided.block, signature=signature)
        return None

    async def decided(self, decided: DecidedBlock) -> Height:
        parent: Root = ssz.decode(BeaconBlock, decided.block).parent_root
        is_next = decided.certificate.height == len(self.chain) + 1
        if is_next and parent != self.head_root:
            raise InvalidInput("decided block does not extend the decided head")
        return await super().decided(decided)


@pytest.fixture
def settings(single: Cluster, tmp_path: Path) -> Settings:
    return load_settings(config_in(tmp_path, single))


async def grown(node: Node, settings: Settings, time: Time, blocks: int) -> None:
    sequencer = Sequencer(settings, node, node, Metrics(), time)
    for _ in range(blocks):
        await sequencer.turn()
        time.now += 1.0


def app_of(node: Node) -> web.Application:
    return make_app(Metrics(), [*reading_routes(node), *telling_routes(node)])  # type: ignore[arg-type]


async def test_it_takes_over_signed_blocks_in_order(settings: Settings, single: Cluster) -> None:
    leader, own, metrics = Node(single), Node(single), Metrics()
    await grown(leader, settings, Time(), 3)
    late = leader.sealed.pop(2)  # not signed yet
    standby = Sequencer(settings, own, own, Metrics(), leads=lambda: False)
    async with TestServer(app_of(leader)) as server, asyncio.TaskGroup() as tasks:
        following = Following("op1", str(server.make_url("")).rstrip("/"), standby, metrics)
        running = tasks.create_task(following.run())
        await eventually(lambda: leader.unsigned_served >= 2)
        assert (len(own.chain), list(own.sealed)) == (1, [1])
        assert metrics.get("p2p_link_up", peer="op1") == 1
        leader.sealed[2] = late
        await eventually(lambda: list(own.sealed) == [1, 2, 3])
        assert following.waits_for() is None
        running.cancel()
    assert [each.certificate.root for each in own.chain] == [
        each.certificate.root for each in leader.chain
    ]


async def test_it_makes_nothing_while_it_does_not_lead_and_goes_on_from_what_it_has(
    settings: Settings, single: Cluster
) -> None:
    own, time, leads = Node(single), Time(), [False]
    standby = Sequencer(settings, own, own, Metrics(), time, leads=lambda: leads[0])
    await standby.turn()
    assert own.chain == []
    leads[0] = True
    await standby.turn()
    assert list(own.sealed) == [1]


async def test_a_lease_that_ends_while_a_block_is_built_leaves_it_unmade(
    settings: Settings, single: Cluster
) -> None:
    own, answers = Node(single), iter([True, False])
    await Sequencer(settings, own, own, Metrics(), Time(), leads=lambda: next(answers)).turn()
    assert own.chain == []


async def test_a_block_owed_is_not_signed_by_who_leads_no_more(
    settings: Settings, single: Cluster
) -> None:
    own, time = Node(single), Time()
    await grown(own, settings, time, 1)
    own.sealed.clear()
    await Sequencer(settings, own, own, Metrics(), time, leads=lambda: False).turn()
    assert own.sealed == {}


async def test_two_chains_are_told_and_none_is_given_up(
    settings: Settings, single: Cluster
) -> None:
    """What a leader signed that nobody fetched: the new one made others in its place."""
    leader, old = Node(single), Node(single)
    time = Time()
    await grown(leader, settings, time, 3)
    await grown(old, settings, time, 1)
    assert old.head_root != leader.chain[0].certificate.root
    back = Sequencer(settings, old, old, Metrics(), leads=lambda: False)
    async with TestServer(app_of(leader)) as server, asyncio.TaskGroup() as tasks:
        following = Following("op2", str(server.make_url("")).rstrip("/"), back, Metrics())
        running = tasks.create_task(following.run())
        await eventually(lambda: following.waits_for() is not None)
        running.cancel()
    assert "a person: it has other blocks than op2" in (following.waits_for() or "")
    assert len(old.chain) == 1
