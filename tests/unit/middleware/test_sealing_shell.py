"""The sealing shell's own decisions; the protocol is tested in `tests/unit/sealing`."""

import time
from pathlib import Path
from typing import Any

import pytest

from dst.middleware.events import EventPusher
from dst.middleware.progress import Progress
from dst.middleware.sealing import Sealing, sealing_config, signing_root_of
from dst.middleware.store import SqliteStore, open_store
from dst.middleware.workflow import OutcomeQueue
from dst.qbft.messages import Certificate
from dst.qbft.records import DecisionRecord
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.sealing.messages import GroupSignature
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
