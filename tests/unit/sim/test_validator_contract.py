"""The simulator's validator client and the real one, and what each middleware tells its own: the
same dialogues, both.

A fake that signs less, or more carefully, than the real one hides the bug.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol, TypeAlias

import pytest

from devnet.sim import blocks, ideal
from devnet.sim.validator import Duties, SimValidator
from dst.apis.beacon import ProduceRequest, Syncing, WireBlock
from dst.crypto import bls
from dst.spec.beacon import BeaconBlock
from dst.spec.cluster import lock_proposer_domain
from dst.spec.domains import signing_root
from dst.spec.errors import InvalidInput, ResetRequired, Unavailable
from dst.spec.primitives import (
    BLSPubkey,
    BLSSignature,
    OperatorIndex,
    Root,
    Slot,
)
from dst.spec.rules import timestamp_at
from dst.spec.ssz import decode, encode, hash_tree_root
from dst.validator.client import Timing, ValidatorClient
from dst.validator.main import first_slot
from dst.validator.protection import FILE_NAME, ProtectionStore
from dst.validator.window import SlotWindow
from tests.unit.middleware import test_validator_api as apis
from tests.unit.validator.test_client import CHAIN, KEY, LOCK, block_of, make_signer

PATIENCE_S = 5.0
INDEX = OperatorIndex(0)

Answer: TypeAlias = bytes | Exception | None


@dataclass
class Middleware:
    """Scripted answers per slot; up to `current` a slot without a script has no block, and what is
    later is not decided. `holds`: nobody is answered who publishes."""

    current: int = 1
    scripts: dict[int, deque[Answer]] = field(default_factory=dict)
    refusals: deque[Exception] = field(default_factory=deque)
    holds: bool = False
    asked: list[int] = field(default_factory=list)
    handed: list[WireBlock] = field(default_factory=list)
    published: list[WireBlock] = field(default_factory=list)

    def script(self, slot: int, *answers: Answer) -> None:
        self.scripts[slot] = deque(answers)

    async def produce_block(
        self, request: ProduceRequest, *, timeout_seconds: float = 0.0
    ) -> bytes | None:
        if request.slot > self.current:
            await asyncio.Event().wait()
        self.asked.append(request.slot)
        await asyncio.sleep(0)
        answers = self.scripts.get(request.slot)
        answer = answers.popleft() if answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def publish_block(self, block: WireBlock) -> None:
        self.handed.append(block)
        await asyncio.sleep(0)
        if self.holds:
            await asyncio.Event().wait()
        if self.refusals:
            raise self.refusals.popleft()
        self.published.append(block)

    async def syncing(self) -> Syncing:
        raise NotImplementedError("nobody rejoins here")

    def settled(self) -> set[int]:
        """Slots that were answered: nobody asks twice for one that had its answer."""
        return {each for each in self.asked if not self.scripts.get(each)}


class Bench(Protocol):
    """A validator whose record outlives it."""

    def block(self, slot: int, mark: int = 0) -> bytes: ...
    def is_signed(self, block: WireBlock) -> bool: ...
    async def running(self, middleware: Middleware) -> None: ...
    def fill(self, is_full: bool) -> None: ...


class Simulated:
    def __init__(self) -> None:
        self.is_full = False
        self.signed: dict[Slot, Root] = {}
        self._sign = ideal.partial_signer(INDEX)

    def block(self, slot: int, mark: int = 0) -> bytes:
        return blocks.encode(blocks.Block(slot, slot, bytes(32), 0, 0, b"%d" % mark))

    def is_signed(self, block: WireBlock) -> bool:
        return block.signature == self._sign(ideal.signing_root(blocks.root_of(block.message)))

    async def running(self, middleware: Middleware) -> None:
        await SimValidator(
            beacon=middleware,
            machine=self,
            signed=self.signed,
            sign=lambda root: self._sign(ideal.signing_root(root)),
            released=lambda _: None,
        ).run()

    def fill(self, is_full: bool) -> None:
        self.is_full = is_full

    async def pause(self, delay_us: int) -> None:
        await asyncio.sleep(0)

    async def take_time_to_sign(self, slot: Slot) -> None:
        await asyncio.sleep(0)


class Real:
    def __init__(self, tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        self._store = ProtectionStore.create(
            tmp_path / FILE_NAME, pubkey=BLSPubkey(KEY), genesis_validators_root=Root(bytes(32))
        )

    def block(self, slot: int, mark: int = 0) -> bytes:
        return encode(block_of(slot, mark))

    def is_signed(self, block: WireBlock) -> bool:
        root = hash_tree_root(decode(BeaconBlock, block.message))
        return bls.verify(KEY, signing_root(root, lock_proposer_domain(LOCK)), block.signature)

    async def running(self, middleware: Middleware) -> None:
        async def sleep(_: float) -> None:
            await asyncio.sleep(0)

        timing = Timing(now=lambda: float(timestamp_at(CHAIN, middleware.current)), sleep=sleep)
        window = SlotWindow(first_slot(self._store, rejoined=False))
        signer = make_signer(self._store)
        await ValidatorClient(middleware, signer, CHAIN, window, timing).run()

    def fill(self, is_full: bool) -> None:
        insert = no_room if is_full else partial(ProtectionStore._insert, self._store)
        self._patch.setattr(self._store, "_insert", insert)


def no_room(*_: object) -> None:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorname = "SQLITE_FULL"
    raise error


@pytest.fixture(params=["simulated", "real"])
def at(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Simulated() if request.param == "simulated" else Real(tmp_path, monkeypatch)


@asynccontextmanager
async def alive(at: Bench, middleware: Middleware) -> AsyncIterator[None]:
    """One life of the validator."""
    async with asyncio.TaskGroup() as group:
        life = group.create_task(at.running(middleware))
        yield
        life.cancel()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0)


async def all_settled(at: Bench, middleware: Middleware) -> None:
    """Every slot has its answer, and whatever comes of the last one has come."""
    async with alive(at, middleware):
        await until(lambda: middleware.settled() >= set(range(1, middleware.current + 1)))
        for _ in range(200):
            await asyncio.sleep(0)


async def test_each_slot_is_asked_for_and_its_block_signed(at: Bench) -> None:
    middleware = Middleware(current=4)
    for slot in (1, 3, 4):
        middleware.script(slot, at.block(slot))
    await all_settled(at, middleware)
    assert sorted(middleware.asked) == [1, 2, 3, 4], "a slot without a block is not asked again"
    assert {each.message for each in middleware.published} == {at.block(n) for n in (1, 3, 4)}
    assert all(map(at.is_signed, middleware.published))


@pytest.mark.parametrize("error", [Unavailable("away"), ResetRequired(1, "a fork")])
async def test_a_slot_is_owed_until_it_is_answered(at: Bench, error: Exception) -> None:
    middleware = Middleware(current=3, refusals=deque([error, error]))
    middleware.script(1, *[error] * 5, InvalidInput("another version"), at.block(1))
    middleware.script(2, error, at.block(2))
    await all_settled(at, middleware)
    assert {each.message for each in middleware.published} == {at.block(1), at.block(2)}
    assert len(middleware.handed) == 4, "handed over until it is taken"
    assert all(map(at.is_signed, middleware.handed))


async def test_a_signature_that_is_refused_is_not_handed_over_again(at: Bench) -> None:
    middleware = Middleware(current=2, refusals=deque([InvalidInput("not decided")]))
    middleware.script(1, at.block(1))
    await all_settled(at, middleware)
    assert len(middleware.handed) == 1


@pytest.mark.parametrize("wrong", ["another slot's", "no block"])
async def test_what_is_not_the_slots_block_is_not_signed(at: Bench, wrong: str) -> None:
    middleware = Middleware(current=2)
    middleware.script(1, at.block(2) if wrong == "another slot's" else b"garbage")
    middleware.script(2, at.block(2))
    await all_settled(at, middleware)
    assert [each.message for each in middleware.published] == [at.block(2)]


async def test_one_root_a_slot_whatever_comes_between(at: Bench) -> None:
    """Asked again after a restart: the same block is signed again, another one never."""
    for mark in (1, 1, 2, 1):
        middleware = Middleware(current=1)
        middleware.script(1, at.block(1, mark))
        await all_settled(at, middleware)
        signed = [each.message for each in middleware.handed]
        assert signed == ([at.block(1, 1)] if mark == 1 else [])


async def test_a_restart_between_the_record_and_the_answer_says_it_again(at: Bench) -> None:
    before = Middleware(current=1, holds=True)
    before.script(1, at.block(1))
    async with alive(at, before):
        await until(lambda: len(before.handed) == 1)
    other, after = Middleware(current=1), Middleware(current=1)
    other.script(1, at.block(1, mark=7))
    await all_settled(at, other)
    assert other.handed == [], "it has left this machine, heard or not"
    after.script(1, at.block(1))
    await all_settled(at, after)
    assert after.published == before.handed


async def test_a_full_disk_signs_nothing_until_there_is_room(at: Bench) -> None:
    middleware = Middleware(current=3)
    for slot in (1, 2, 3):
        middleware.script(slot, at.block(slot))
    at.fill(True)
    async with alive(at, middleware):
        await until(lambda: bool(middleware.asked))
        for _ in range(300):
            await asyncio.sleep(0)
        assert middleware.handed == []
        at.fill(False)
        await until(lambda: len(middleware.published) == 3)


# ----------------------------------------------------------------- what a middleware tells its own


class Telling:
    """What either API answers, from the same decisions, to the operator of index 0."""

    def __init__(self, kind: str) -> None:
        real = apis.Bench()
        self.decided, self.partials = real.decided, real.partials
        is_real = kind == "real"
        self.api = real.api if is_real else Duties(INDEX, real.decided, real.take)
        self._partial = apis.partial if is_real else _ideal_partial

    async def ask(self, slot: int) -> bytes | None:
        return await self.api.produce_block(ProduceRequest(slot=Slot(slot)))

    def by(self, share: int, slot: int, message: bytes | None = None) -> WireBlock:
        block = apis.block_of(slot) if message is None else message
        return WireBlock(message=block, signature=self._partial(share))


def _ideal_partial(share: int) -> BLSSignature:
    return ideal.partial_signer(OperatorIndex(share - 1))(ideal.signing_root(apis.ROOT))


@pytest.fixture(params=["simulated", "real"])
def telling(request: pytest.FixtureRequest) -> Telling:
    return Telling(request.param)


async def test_the_decided_block_of_a_slot_is_offered_when_it_is_decided(telling: Telling) -> None:
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(telling.ask(8))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not asked.done()
        telling.decided.decide(1, 8)
    assert asked.result() == apis.block_of(8)
    telling.decided.decide(2, 10)
    assert await telling.ask(9) is None, "passed over"
    telling.decided.sign_above = Slot(8)
    assert await telling.ask(8) is None, "perhaps signed before a loss"
    assert await telling.ask(10) == apis.block_of(10)


async def test_nothing_is_offered_while_syncing_or_reset(telling: Telling) -> None:
    telling.decided.decide(1, 8)
    telling.decided.is_syncing = True
    with pytest.raises((TimeoutError, Unavailable)):
        async with asyncio.timeout(0.01):
            await telling.ask(8)
    telling.decided.is_syncing = False
    telling.decided.reset = ResetRequired(1, "a fork")
    with pytest.raises(ResetRequired):
        await telling.ask(8)
    with pytest.raises(ResetRequired):
        await telling.api.publish_block(telling.by(1, 8))
    assert telling.partials == []


async def test_a_partial_is_taken_of_this_share_over_the_decided_block(telling: Telling) -> None:
    telling.decided.decide(1, 8)
    other = apis.block_of(8) + b"!"
    for wrong in (telling.by(2, 8), telling.by(1, 9), telling.by(1, 8, other)):
        with pytest.raises(InvalidInput):
            await telling.api.publish_block(wrong)
    assert telling.partials == []
    right = telling.by(1, 8)
    for _ in range(2):
        await telling.api.publish_block(right)
    assert telling.partials == [(1, apis.ROOT, right.signature)] * 2
