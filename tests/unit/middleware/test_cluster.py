"""Four middlewares over real TLS and SQLite decide and seal, and survive losing one."""

from contextlib import AsyncExitStack
from typing import Any


async def test_decides_and_seals_and_survives_a_restart(network: Any, eventually: Any) -> None:
    async with AsyncExitStack() as stack:
        others = [await stack.enter_async_context(network.operator(index)) for index in (0, 1, 2)]
        async with network.operator(3) as last:
            everybody = [*others, last]
            await eventually(lambda: all(each.sealed_height() >= 5 for each in everybody))
        stopped_at = last.sealed_height()
        # Three of four go on, also through heights whose leader is gone.
        await eventually(lambda: all(e.sealed_height() >= stopped_at + 5 for e in others))
        async with network.operator(3) as last:
            target = max(each.sealed_height() for each in others) + 4
            everybody = [*others, last]
            await eventually(lambda: all(each.sealed_height() >= target for each in everybody))
            assert_one_chain(everybody, target)
            assert_seals_equal(everybody, target)
            voted = last.store.decided_height()
            assert voted >= target


def assert_one_chain(operators: list[Any], up_to: int) -> None:
    chains = {
        tuple(each.certificate.root for each in operator.rollup.chain[:up_to])
        for operator in operators
    }
    assert len(chains) == 1


def assert_seals_equal(operators: list[Any], up_to: int) -> None:
    for height in range(1, up_to + 1):
        assert len({operator.rollup.sealed.get(height) for operator in operators}) == 1


async def test_a_lost_leader_is_passed_over_without_its_timer(
    network: Any, eventually: Any
) -> None:
    """Somebody asks for the next round at each turn of the one that ended; the rest follow."""
    async with AsyncExitStack() as stack:
        others = [await stack.enter_async_context(network.operator(index)) for index in (0, 1, 2)]
        async with network.operator(3) as last:
            everybody = [*others, last]
            await eventually(lambda: all(each.sealed_height() >= 3 for each in everybody))
        await eventually(
            lambda: all(
                each.middleware.metrics.get("peer_lost_total", peer="op4") > 0 for each in others
            )
        )
        before = sum(map(hurried, others))
        turn = max(each.sealed_height() for each in others) + 9
        await eventually(lambda: all(each.sealed_height() >= turn for each in others))
        assert sum(map(hurried, others)) >= before + 2
        async with network.operator(3) as last:
            await eventually(lambda: last.sealed_height() >= turn + 4)


def hurried(operator: Any) -> float:
    return float(
        operator.middleware.metrics.get("consensus_round_changes_total", cause="leader_lost")
    )
