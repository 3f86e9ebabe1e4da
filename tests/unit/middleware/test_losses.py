"""The consensus shell and who is lost: told before it takes part, it knows when it does."""

from types import SimpleNamespace
from typing import Any

import pytest

from dst.middleware.progress import Progress
from dst.middleware.router import Router
from dst.qbft import inputs
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.spec.primitives import OperatorIndex


async def test_who_was_lost_before_the_start_is_lost_after_it(
    network: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alone, it hears of refused connections while it does not vote."""
    async with network.operator(0) as alone:
        consensus = alone.middleware.shells.consensus
        metrics = alone.middleware.metrics
        await eventually(
            lambda: all(metrics.get("peer_lost_total", peer=f"op{i}") for i in (2, 3, 4))
        )
        assert not consensus._state.lost
        monkeypatch.setattr(Progress, "takes_part", property(lambda progress: True))
        consensus._inbox.put(inputs.Start())
        await eventually(lambda: consensus._state.lost == {1, 2, 3})
        consensus.peer_heard(OperatorIndex(2))
        await eventually(lambda: consensus._state.lost == {1, 3})


def test_the_router_tells_consensus_alone() -> None:
    told: list[tuple[str, int]] = []
    consensus: Any = SimpleNamespace(
        peer_lost=lambda peer: told.append(("lost", peer)),
        peer_heard=lambda peer: told.append(("heard", peer)),
    )
    nobody: Any = SimpleNamespace()
    metrics = Metrics()
    clocks: Any = SimpleNamespace(forget=lambda peer: told.append(("forgotten clock", peer)))
    router = Router(
        consensus=consensus,
        sealing=nobody,
        catch_up=nobody,
        progress=nobody,
        clocks=clocks,
        log=Logger("test"),
        metrics=metrics,
        monotonic=lambda: 0.0,
    )
    router.peer_lost(OperatorIndex(2))
    router.peer_heard(OperatorIndex(2))
    router.link_down(OperatorIndex(2))
    assert told == [("lost", 2), ("heard", 2), ("forgotten clock", 2)]
    assert metrics.get("peer_lost_total", peer="op3") == 1
