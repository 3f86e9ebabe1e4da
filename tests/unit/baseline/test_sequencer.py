"""A sequencer makes a block a slot that its rollup node takes and followers believe, and after a
restart signs what it left unsigned, once."""

import asyncio
import json
from pathlib import Path

import msgspec
import pytest

from devnet.baseline.config import Settings, load_settings
from devnet.baseline.sequencer import Sequencer
from dst.apis.dst_v1 import DecidedBlock, EventKind, Status
from dst.rollup.trust import CertificateVerifier
from dst.runtime.metrics import Metrics
from dst.spec import ssz
from dst.spec.beacon import BeaconBlock
from dst.spec.errors import BadConfig, Unavailable
from dst.spec.primitives import Height
from tests.unit.middleware.conftest import GENESIS_TIME, Cluster, FakeRollup, deal, eventually


def config_in(folder: Path, cluster: Cluster, **changes: object) -> Path:
    secrets = cluster.folder / "operators" / "op1"
    (folder / "own.hex").write_text("11" * 32)
    (folder / "own.hex").chmod(0o600)
    written = {
        "name": "op1",
        "lock": str(cluster.folder / "cluster-lock.json"),
        "keystore": str(secrets / "keystore.json"),
        "password_file": str(secrets / "keystore.password"),
        "identity_key": str(secrets / "identity.key"),
        "rollup": "http://127.0.0.1:1",
        "own_secret": "own.hex",
        "listen": "127.0.0.1:2",
        **changes,
    }
    path = folder / "config.json"
    path.write_text(json.dumps(written))
    return path


@pytest.fixture
def settings(single: Cluster, tmp_path: Path) -> Settings:
    return load_settings(config_in(tmp_path, single))


class Rollup(FakeRollup):
    """Looks at certificates as the real one does, and may end between block and signature."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster, lambda: 0.0)
        self.verifier = CertificateVerifier(cluster.lock)
        self.loses_signatures = False

    async def status(self) -> Status:
        told = await super().status()
        newest = ssz.decode(BeaconBlock, self.chain[-1].block).slot if self.chain else 0
        return msgspec.structs.replace(told, decided_slot=newest)

    async def decided(self, decided: DecidedBlock) -> Height:
        root = ssz.hash_tree_root(ssz.decode(BeaconBlock, decided.block))
        self.verifier.check(decided.certificate, root)
        height = await super().decided(decided)
        self.down = self.loses_signatures
        return height

    async def get_decided(self, height: Height) -> DecidedBlock | None:
        return self.chain[height - 1]


class Time:
    def __init__(self) -> None:
        self.now = GENESIS_TIME + 1.25

    def __call__(self) -> float:
        return self.now


async def test_a_block_a_slot_certified_and_signed(settings: Settings, single: Cluster) -> None:
    rollup, time = Rollup(single), Time()
    sequencer = Sequencer(settings, rollup, rollup, Metrics(), time)
    assert await sequencer.turn() == pytest.approx(0.75)
    assert await sequencer.turn() == pytest.approx(0.75)  # the slot has its block
    assert (len(rollup.chain), list(rollup.sealed)) == (1, [1])
    time.now += 2.0  # a slot was missed
    await sequencer.turn()
    slots = [ssz.decode(BeaconBlock, each.block).slot for each in rollup.chain]
    assert (slots, list(rollup.sealed)) == ([1, 3], [1, 2])


async def test_what_a_restart_left_unsigned_is_signed_before_anything_else(
    settings: Settings, single: Cluster
) -> None:
    rollup, time = Rollup(single), Time()
    rollup.loses_signatures = True
    with pytest.raises(Unavailable):
        await Sequencer(settings, rollup, rollup, Metrics(), time).turn()
    assert (len(rollup.chain), list(rollup.sealed)) == (1, [])
    rollup.loses_signatures = rollup.down = False
    await Sequencer(settings, rollup, rollup, Metrics(), time).turn()
    assert (len(rollup.chain), list(rollup.sealed)) == (1, [1])


async def test_its_stream_says_who_made_which_block(settings: Settings, single: Cluster) -> None:
    rollup = Rollup(single)
    sequencer = Sequencer(settings, rollup, rollup, Metrics(), Time())
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(sequencer.run())
        await eventually(lambda: len(rollup.events_seen) == 3)
        running.cancel()
    kinds = [event.kind for event in rollup.events_seen]
    assert kinds == [EventKind.PROPOSAL, EventKind.DECIDED, EventKind.SIGNED]
    (root,) = {event.root for event in rollup.events_seen}
    assert root == rollup.chain[0].certificate.root


async def test_one_that_cannot_reach_its_rollup_node_says_so_until_it_can(
    settings: Settings, single: Cluster
) -> None:
    rollup = Rollup(single)
    rollup.down = True
    sequencer = Sequencer(settings, rollup, rollup, Metrics(), Time())
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(sequencer.run())
        await eventually(lambda: "is down" in (sequencer.waits_for() or ""))
        rollup.down = False
        await eventually(lambda: list(rollup.sealed) == [1])
        running.cancel()


def test_a_share_of_a_key_is_no_sequencers(tmp_path: Path) -> None:
    cluster = deal(tmp_path / "c", 4)
    with pytest.raises(BadConfig, match=r"config\.json: the lock has 4 operators"):
        load_settings(config_in(tmp_path, cluster))


def test_another_key_is_refused(single: Cluster, tmp_path: Path) -> None:
    other = deal(tmp_path / "other", 1)
    key = str(other.folder / "operators" / "op1" / "identity.key")
    with pytest.raises(BadConfig, match="identity_key is not the one in the lock"):
        load_settings(config_in(tmp_path, single, identity_key=key))
