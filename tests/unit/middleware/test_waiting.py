"""An operator that stands says what it waits for: four middlewares over real links."""

from contextlib import AsyncExitStack
from typing import Any

import pytest

from dst.middleware import consensus
from dst.qbft import effects as fx
from dst.runtime import waiting
from dst.spec.primitives import Height, OperatorIndex, Root


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time runs ten times faster here."""
    monkeypatch.setattr(waiting, "PATIENCE_S", 0.3)
    monkeypatch.setattr(consensus, "LATE_SLOTS", 0.5)


def votes_from(height: int, operators: list[Any]) -> bool:
    """All have decided `height` and vote: nobody came so late that it rejoins."""
    return all(
        each.middleware.shells.progress.takes_part and each.store.decided_height() >= height
        for each in operators
    )


def said_by(operator: Any) -> str:
    return "; ".join(operator.middleware.shells.waits_for())


async def test_two_of_four_that_rejoin_and_the_two_that_vote_say_what_they_wait_for(
    network: Any, eventually: Any
) -> None:
    """The chain stands, and must: a quorum would need one that may have forgotten its vote."""
    async with AsyncExitStack() as stack:
        others = [await stack.enter_async_context(network.operator(index)) for index in (0, 1)]
        async with network.operator(2) as third, network.operator(3) as fourth:
            everybody = [*others, third, fourth]
            await eventually(lambda: votes_from(3, everybody))
        for name in ("op3", "op4"):
            for file in (network.folder / name / "data").iterdir():
                file.unlink()
        lost = [
            await stack.enter_async_context(network.operator(index, rejoin=True))
            for index in (2, 3)
        ]
        for operator, other in zip(lost, ("op4", "op3"), strict=True):
            await eventually(
                lambda o=operator, p=other: (
                    f"that takes 3 that vote, and these do not either: {p}" in said_by(o)
                )
            )
            assert "votes may be lost below" in said_by(operator)
        for operator in others:
            await eventually(
                lambda o=operator: (
                    "a quorum, 2 of 4 vote and 3 must: op3 does not vote, op4 does not vote"
                    in said_by(o)
                )
            )


async def test_operators_out_of_reach_are_named_until_they_are_back(
    network: Any, running: Any, eventually: Any
) -> None:
    operators = [await running(index) for index in (0, 1)]
    async with network.operator(2) as third:
        await eventually(lambda: votes_from(2, [*operators, third]))
    expected = "a quorum, 2 of 4 vote and 3 must: op3 is not reached, op4 is not reached"
    await eventually(lambda: all(expected in said_by(each) for each in operators))
    async with network.operator(2) as third:
        await eventually(lambda: not any(map(said_by, [*operators, third])))


async def test_an_operator_without_its_rollup_node_says_so(running: Any, eventually: Any) -> None:
    operators = [await running(index) for index in range(4)]
    await eventually(lambda: votes_from(2, operators))
    operators[3].rollup.down = True
    await eventually(lambda: "its rollup node: fake rollup node is down" in said_by(operators[3]))
    assert not any("rollup node" in said_by(each) for each in operators[:3])
    operators[3].rollup.down = False
    await eventually(lambda: not said_by(operators[3]))


async def test_a_height_that_cannot_be_built_or_judged_says_why(
    running: Any, eventually: Any
) -> None:
    operators = [await running(index) for index in range(4)]
    await eventually(lambda: votes_from(2, operators))
    for operator in operators:
        operator.rollup.down = True
    await eventually(
        lambda: all(
            ": a block to propose: fake rollup node is down" in said_by(each)
            or ": a verdict on the proposal: fake rollup node is down" in said_by(each)
            for each in operators
        )
    )


async def test_a_block_that_nobody_hands_out_is_named(
    running: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = await running(0, gathers=False)
    own = operator.middleware.shells.consensus
    holders = (OperatorIndex(1), OperatorIndex(3))
    root = Root(b"\xab" * 32)
    await eventually(lambda: own._started)
    own._fetch_block(fx.FetchBlock(height=Height(1), root=root, holders=holders))
    await eventually(lambda: len(own._lost) == 3)
    own._lost.clear()
    monkeypatch.setattr(own._network, "up", lambda: holders)
    await eventually(lambda: "block 0xabababab" in said_by(operator))
    assert "asked for at op2, op4" in said_by(operator)
