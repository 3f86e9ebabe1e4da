"""The sealing shell's own decisions; the protocol is tested in `tests/unit/sealing`."""

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dst.middleware.events import EventPusher
from dst.middleware.progress import Progress
from dst.middleware.sealing import Sealing, sealing_config, signing_root_of
from dst.middleware.store import SqliteStore, open_store
from dst.middleware.wire_messages import DecidedBlocks, DecidedItem, encode_message
from dst.middleware.workflow import OutcomeQueue
from dst.qbft.messages import Certificate
from dst.qbft.records import DecisionRecord
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.sealing.messages import GroupSignature, PartialSignature
from dst.sealing.records import SealRecord
from dst.spec.primitives import BLSSignature, Height, OperatorIndex, Root, Round, Term


def root_at(height: int) -> Root:
    return Root(height.to_bytes(32, "big"))


async def filled(folder: Path, head: int, sealed: set[int]) -> SqliteStore:
    store = open_store(folder, b"\x11" * 32, new=True, rejoin=False)
    for number in range(1, head + 1):
        height = Height(number)
        certificate = Certificate(Term(0), height, Round(0), root_at(number), ())
        await store.append((DecisionRecord(certificate, number.to_bytes(8, "little")),))
        if number in sealed:
            seal = GroupSignature(Term(0), height, root_at(number), BLSSignature(bytes(96)))
            await store.append((SealRecord(seal),))
    return store


def shell(store: SqliteStore, cluster: Any) -> Sealing:
    log, metrics = Logger("test"), Metrics()
    return Sealing(
        to_sign=signing_root_of(cluster.lock),
        config=sealing_config(cluster.lock, OperatorIndex(0)),
        store=store,
        network=None,  # type: ignore[arg-type]
        progress=Progress(store, n=4, term=Term(0), log=log),
        observe=EventPusher(None, "op1", Term(0), metrics).emit,  # type: ignore[arg-type]
        outcomes=OutcomeQueue(),
        log=log,
        metrics=metrics,
        monotonic=time.monotonic,
    )


@pytest.mark.parametrize(
    ("sealed", "owed"), [(set(), 50), ({50}, 0), ({40}, 10), (set(range(41, 51)), 0)], ids=str
)
async def test_back_pressure_counts_what_no_sealed_block_covers(
    tmp_path: Path, cluster: Any, sealed: set[int], owed: int
) -> None:
    """A height that misses its quorum for good must not empty this leader's blocks for ever."""
    store = await filled(tmp_path, 50, sealed)
    try:
        assert shell(store, cluster).unsealed == owed
    finally:
        store.close()


async def test_rule_46_a_signature_is_good_whatever_round_decided(
    running: Any, network: Any, cluster: Any, eventually: Any
) -> None:
    """The seal names no round, so no partial is useless because operators learnt of a decision from
    certificates of different rounds."""
    network.clock_runs = False
    operator = await running(0, gathers=False, validator=False)
    shells, block = operator.middleware.shells, cluster.block(1)
    certificate = cluster.certificate(1, round_=3)
    shells.catch_up.fetch_decided(OperatorIndex(1), Height(1))
    answer = DecidedBlocks(Height(1), (DecidedItem(certificate, block, None),))
    shells.router.received(OperatorIndex(1), encode_message(answer))
    await eventually(lambda: shells.sealing._state.head == 1)
    root = signing_root_of(cluster.lock)(certificate.root)
    for sender in (1, 2, 3):
        signature = cluster.sign_share(sender, certificate.root)
        partial = PartialSignature(Term(0), Height(1), root, OperatorIndex(sender), signature)
        shells.router.received(OperatorIndex(sender), encode_message(partial))
    await eventually(lambda: operator.store.seal(Height(1)) is not None)


async def test_an_own_partial_waits_for_a_decision_that_is_in_the_store_already(
    tmp_path: Path, cluster: Any
) -> None:
    """The validator reads the decided block there, and may be the faster."""
    store = await filled(tmp_path, 0, set())
    sealing, sent = shell(store, cluster), list[PartialSignature]()
    sealing._network = SimpleNamespace(broadcast=sent.append)
    height, block = Height(1), (1).to_bytes(8, "little")
    certificate = Certificate(Term(0), height, Round(0), root_at(1), ())
    await store.append((DecisionRecord(certificate, block),))
    try:
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            running = group.create_task(sealing.run())
            signature = cluster.sign_share(0, certificate.root)
            signing = group.create_task(sealing.own_partial(height, certificate.root, signature))
            await asyncio.sleep(0.05)
            assert not signing.done()
            sealing.decided(certificate)
            await signing
            running.cancel()
        assert [each.height for each in sent] == [1]
        assert len(store.own_partials()) == 1
    finally:
        store.close()
