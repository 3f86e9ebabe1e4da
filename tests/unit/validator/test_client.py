"""Dialogues with a middleware that answers late, wrongly, twice, or not at all."""

import asyncio
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest
from aiohttp.test_utils import TestServer

from dst.apis.beacon import (
    BeaconClient,
    BeaconNode,
    ProduceRequest,
    Syncing,
    WireBlock,
    beacon_routes,
)
from dst.crypto import bls
from dst.runtime.disk import DiskFull
from dst.runtime.http import make_app
from dst.runtime.metrics import Metrics
from dst.spec.beacon import BeaconBlock
from dst.spec.cluster import lock_proposer_domain, lock_randao_domain
from dst.spec.domains import randao_signing_root, signing_root
from dst.spec.errors import InvalidInput, ResetRequired, Unavailable
from dst.spec.primitives import BLSPubkey, BLSSignature, Root, Slot
from dst.spec.rules import genesis_block, timestamp_at
from dst.spec.ssz import encode, hash_tree_root
from dst.validator.client import (
    FULL_RETRY_S,
    HALT_DELAY_S,
    Timing,
    ValidatorClient,
    WrongBlock,
    check_block,
    wait_until_synced,
)
from dst.validator.main import first_slot
from dst.validator.protection import FILE_NAME, ProtectionStore, SlashingRefused
from dst.validator.signer import Signer
from dst.validator.window import MAX_OPEN_SLOTS, SlotWindow
from tests.unit.spec.sample_blocks import unsigned_lock

LOCK = unsigned_lock()
CHAIN = LOCK.chain
SHARE = bls.SecretShare(12345)
KEY = bls.public_key(SHARE)
PATIENCE_S = 5.0


class GenesisHeader:
    hash = b"\x11" * 32
    state_root = b"\x12" * 32


GENESIS = genesis_block(LOCK, GenesisHeader())


def block_of(slot: int, mark: int = 0) -> BeaconBlock:
    return replace(GENESIS, slot=Slot(slot), parent_root=Root(bytes([mark]) * 32))


Answer = BeaconBlock | None | Exception


@dataclass
class FakeBeacon:
    """A middleware of scripted answers per slot; a slot without a script has no block (404)."""

    scripts: dict[int, deque[Answer]] = field(default_factory=dict)
    publish_errors: deque[Exception] = field(default_factory=deque)
    published: list[WireBlock] = field(default_factory=list)
    asked: list[ProduceRequest] = field(default_factory=list)
    open_now: int = 0
    most_open: int = 0
    hold: asyncio.Event | None = None

    def script(self, slot: int, *answers: Answer) -> None:
        self.scripts[slot] = deque(answers)

    async def produce_block(
        self, request: ProduceRequest, *, timeout_seconds: float
    ) -> bytes | None:
        self.asked.append(request)
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        try:
            if self.hold is not None:
                await self.hold.wait()
            await asyncio.sleep(0)
        finally:
            self.open_now -= 1
        answers = self.scripts.get(request.slot)
        answer = answers.popleft() if answers else None
        if isinstance(answer, Exception):
            raise answer
        return None if answer is None else encode(answer)

    async def publish_block(self, block: WireBlock) -> None:
        await asyncio.sleep(0)
        if self.publish_errors:
            raise self.publish_errors.popleft()
        self.published.append(block)

    async def syncing(self) -> Syncing:
        return Syncing(head_slot=Slot(40), sync_distance=1, is_syncing=len(self.asked) < 0)


@dataclass
class FakeTime:
    """Unix time that stands at a slot; `sleep` only yields."""

    unix: float
    slept: list[float] = field(default_factory=list)

    def now(self) -> float:
        return self.unix

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)


@pytest.fixture
def store(tmp_path: Path) -> ProtectionStore:
    return ProtectionStore.create(
        tmp_path / FILE_NAME, pubkey=BLSPubkey(KEY), genesis_validators_root=Root(bytes(32))
    )


def make_signer(store: ProtectionStore) -> Signer:
    return Signer(
        SHARE,
        store,
        proposer_domain=lock_proposer_domain(LOCK),
        randao_domain=lock_randao_domain(LOCK),
    )


@asynccontextmanager
async def running(
    beacon: FakeBeacon, store: ProtectionStore, *, slot: int, lowest: int = 1
) -> AsyncIterator[tuple[SlotWindow, FakeTime]]:
    """A client at work at the beginning of `slot`."""
    clock = FakeTime(float(timestamp_at(CHAIN, slot)))
    window = SlotWindow(Slot(lowest))
    timing = Timing(now=clock.now, sleep=clock.sleep)
    client = ValidatorClient(beacon, make_signer(store), CHAIN, window, timing)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(client.run())
        yield window, clock
        task.cancel()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0)


def is_ours(block: WireBlock, expected: BeaconBlock) -> bool:
    message = signing_root(hash_tree_root(expected), lock_proposer_domain(LOCK))
    return block.message == encode(expected) and bls.verify(KEY, message, block.signature)


async def test_signs_the_decided_block_of_its_slot(store: ProtectionStore) -> None:
    beacon = FakeBeacon()
    beacon.script(1, block_of(1))
    async with running(beacon, store, slot=1):
        await until(lambda: len(beacon.published) == 1)
    assert is_ours(beacon.published[0], block_of(1))
    reveal = randao_signing_root(0, lock_randao_domain(LOCK))
    assert bls.verify(KEY, reveal, beacon.asked[0].randao_reveal)


async def test_keeps_asking_until_decided_and_signs_late(store: ProtectionStore) -> None:
    beacon = FakeBeacon()
    beacon.script(1, *[Unavailable("not decided")] * 20, block_of(1))
    beacon.script(2, block_of(2))
    async with running(beacon, store, slot=2) as (window, _):
        await until(lambda: len(beacon.published) == 2)
        await until(lambda: window.lowest == 3)
    live, late = beacon.published
    assert is_ours(live, block_of(2))
    assert is_ours(late, block_of(1))


async def test_a_definite_no_ends_the_question(store: ProtectionStore) -> None:
    beacon = FakeBeacon()
    async with running(beacon, store, slot=3) as (window, _):
        await until(lambda: window.lowest == 4)
    assert sorted(request.slot for request in beacon.asked) == [1, 2, 3]
    assert beacon.published == []


async def test_survives_a_middleware_that_is_down_at_both_calls(store: ProtectionStore) -> None:
    beacon = FakeBeacon(publish_errors=deque([Unavailable("down")] * 5))
    beacon.script(1, *[Unavailable("connection refused")] * 5, block_of(1))
    async with running(beacon, store, slot=1) as (_, clock):
        await until(lambda: len(beacon.published) == 1)
    assert max(pause for pause in clock.slept if pause < 1) <= 0.5


async def test_refuses_a_second_block_in_a_slot(store: ProtectionStore) -> None:
    make_signer(store).sign_block(Slot(1), hash_tree_root(block_of(1, mark=1)))
    beacon = FakeBeacon()
    beacon.script(1, block_of(1, mark=2))
    async with running(beacon, store, slot=1) as (window, _):
        await until(lambda: window.lowest == 2)
    assert beacon.published == []


async def test_the_same_block_again_is_signed_again(store: ProtectionStore) -> None:
    make_signer(store).sign_block(Slot(1), hash_tree_root(block_of(1)))
    beacon = FakeBeacon()
    beacon.script(1, block_of(1))
    async with running(beacon, store, slot=1):
        await until(lambda: len(beacon.published) == 1)


@pytest.mark.parametrize(
    "wrong", [block_of(2), replace(block_of(1), proposer_index=1), InvalidInput("bad clock")]
)
async def test_signs_nothing_wrong(store: ProtectionStore, wrong: Answer) -> None:
    beacon = FakeBeacon()
    beacon.script(1, wrong)
    async with running(beacon, store, slot=1) as (window, _):
        await until(lambda: window.lowest == 2)
    assert beacon.published == []
    assert store.newest() == 0


async def test_a_refused_signature_is_not_repeated(store: ProtectionStore) -> None:
    beacon = FakeBeacon(publish_errors=deque([InvalidInput("key share index mismatch")]))
    beacon.script(1, block_of(1))
    async with running(beacon, store, slot=1) as (window, _):
        await until(lambda: window.lowest == 2)
    assert beacon.published == []


async def test_an_l1_reset_halts_without_a_signature(store: ProtectionStore) -> None:
    beacon = FakeBeacon()
    beacon.script(1, *[ResetRequired(1, "gone")] * 3, None)
    async with running(beacon, store, slot=1) as (window, clock):
        await until(lambda: window.lowest == 2)
    assert clock.slept.count(HALT_DELAY_S) >= 3
    assert beacon.published == []


async def test_at_most_64_slots_are_open_and_the_current_one_is(store: ProtectionStore) -> None:
    beacon = FakeBeacon(hold=asyncio.Event())
    async with running(beacon, store, slot=500):
        await until(lambda: beacon.open_now == MAX_OPEN_SLOTS)
        assert Slot(500) in {request.slot for request in beacon.asked}
        assert beacon.hold is not None
        beacon.hold.set()
        await until(lambda: len({request.slot for request in beacon.asked}) == 500)
    assert beacon.most_open <= MAX_OPEN_SLOTS


async def test_the_next_slot_is_opened_when_it_begins(store: ProtectionStore) -> None:
    beacon = FakeBeacon()
    async with running(beacon, store, slot=1) as (window, clock):
        await until(lambda: window.lowest == 2)
        clock.unix += CHAIN.seconds_per_slot
        await until(lambda: window.lowest == 3)


async def test_rejoin_waits_for_a_synced_middleware() -> None:
    """And signs above the slot that it is then: the head may be one of peers that lag."""
    clock = FakeTime(0.0)
    answers: deque[Syncing | Exception] = deque(
        [
            Unavailable("down"),
            Syncing(head_slot=Slot(3), sync_distance=9, is_syncing=True),
            Syncing(head_slot=Slot(40), sync_distance=5),
        ]
    )

    class Scripted(FakeBeacon):
        async def syncing(self) -> Syncing:
            answer = answers.popleft()
            if isinstance(answer, Exception):
                raise answer
            return answer

    assert await wait_until_synced(Scripted(), Timing(now=clock.now, sleep=clock.sleep)) == 45


def fill(store: ProtectionStore) -> None:
    """SQLite's own way to be full: no page may be added, and the last one has no room for a row
    (slots 2 to 127 take equal room).
    """
    store._connection.execute("PRAGMA max_page_count = 1")
    with suppress(DiskFull):
        for slot in range(10, 128):
            store.record(Slot(slot), Root(bytes(32)))
    assert store.newest() < 127


async def test_full_disk_holds_signatures_back_until_there_is_room(
    store: ProtectionStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    fill(store)
    beacon = FakeBeacon()
    for slot in (4, 5, 6):
        beacon.script(slot, block_of(slot))
    async with running(beacon, store, slot=6, lowest=4) as (window, clock):
        await until(lambda: clock.slept.count(FULL_RETRY_S) >= 3)
        assert (window.lowest, beacon.published) == (4, [])
        store._connection.execute("PRAGMA max_page_count = 1000000")
        await until(lambda: window.lowest == 7)
    assert len(beacon.published) == 3
    assert caplog.text.count("disk_full_not_signing") == 1
    assert caplog.text.count("disk_takes_writes_again") == 1


async def test_a_disk_that_fails_otherwise_ends_the_process(
    store: ProtectionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorname = "SQLITE_IOERR_FSYNC"
        raise error

    monkeypatch.setattr(store, "_insert", fail)
    beacon = FakeBeacon()
    beacon.script(1, block_of(1))
    with pytest.raises(ExceptionGroup) as crash:
        async with running(beacon, store, slot=1):
            await asyncio.sleep(PATIENCE_S)
    assert crash.group_contains(sqlite3.OperationalError)
    assert beacon.published == []


async def test_a_backlog_is_not_forgotten_by_a_kill(store: ProtectionStore) -> None:
    """The live slots are signed first, so the newest record says nothing of the oldest debt."""
    answered = [1, 2, 3, 299, 300]

    class Undecided(FakeBeacon):
        """Holds the question for every slot that has no script."""

        async def produce_block(
            self, request: ProduceRequest, *, timeout_seconds: float
        ) -> bytes | None:
            if request.slot not in answered:
                await asyncio.Event().wait()
            return await super().produce_block(request, timeout_seconds=timeout_seconds)

    beacon = Undecided()
    for slot in answered:
        beacon.script(slot, block_of(slot))
    async with running(beacon, store, slot=300):
        await until(lambda: len(beacon.published) == len(answered))
    assert store.newest() == 300
    assert 1 <= first_slot(store, rejoined=False) <= 4


def test_check_block() -> None:
    assert check_block(encode(block_of(3)), Slot(3)) == hash_tree_root(block_of(3))
    with pytest.raises(WrongBlock, match="asked for slot 4"):
        check_block(encode(block_of(3)), Slot(4))
    with pytest.raises(InvalidInput):
        check_block(b"garbage", Slot(3))


def test_record_precedes_signature(store: ProtectionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    record, sign = store.record, bls.sign

    def recorded(slot: Slot, root: Root, *, owed_from: Slot | None) -> None:
        order.append("record")
        record(slot, root, owed_from=owed_from)

    def signed(secret: bls.SecretShare, message: bytes) -> BLSSignature:
        order.append("sign")
        return sign(secret, message)

    monkeypatch.setattr(store, "record", recorded)
    monkeypatch.setattr(bls, "sign", signed)
    monkeypatch.setattr("dst.validator.signer.crash_point", order.append)
    signer = make_signer(store)
    signer.sign_block(Slot(1), hash_tree_root(block_of(1)))
    with pytest.raises(SlashingRefused):
        signer.sign_block(Slot(1), hash_tree_root(block_of(1, mark=9)))
    assert order == ["record", "protection-before-signature", "sign", "record"]


def test_first_slot(tmp_path: Path, store: ProtectionStore) -> None:
    assert first_slot(store, rejoined=False) == 1
    store.record(Slot(100), Root(bytes(32)))
    assert first_slot(store, rejoined=False) == 37
    store.record(Slot(300), Root(bytes(32)), owed_from=Slot(21))
    assert first_slot(store, rejoined=False) == 21
    store.record(Slot(301), Root(bytes(32)), owed_from=Slot(301))
    assert first_slot(store, rejoined=False) == 238
    store.record(Slot(302), Root(bytes(32)), owed_from=Slot(21))
    store.finish_rejoin(Slot(60))
    assert first_slot(store, rejoined=True) == 61
    assert first_slot(store, rejoined=False) == 61


async def test_over_http_with_the_real_beacon_client(store: ProtectionStore) -> None:
    """The client's two calls against the server binding that rollup node and middleware use."""
    behind = FakeBeacon()
    behind.script(1, Unavailable("not decided"), block_of(1))

    class Node:
        async def produce_block(self, request: ProduceRequest) -> bytes | None:
            return await behind.produce_block(request, timeout_seconds=1)

        async def publish_block(self, block: WireBlock) -> None:
            await behind.publish_block(block)

    app = make_app(Metrics(), beacon_routes(cast(BeaconNode, Node())))
    async with TestServer(app) as server, BeaconClient(str(server.make_url("/"))) as beacon:
        clock = FakeTime(float(timestamp_at(CHAIN, 2)))
        timing = Timing(now=clock.now)
        window = SlotWindow(Slot(1))
        client = ValidatorClient(beacon, make_signer(store), CHAIN, window, timing)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(client.run())
            async with asyncio.timeout(PATIENCE_S):
                while window.lowest < 3:
                    await asyncio.sleep(0.001)
            task.cancel()
    assert is_ours(behind.published[0], block_of(1))
