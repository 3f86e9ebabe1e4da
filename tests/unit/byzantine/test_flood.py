"""A flooder over TLS, in a process of its own: its victims count what they do not take, and the
chain goes on all the while."""

from contextlib import AsyncExitStack
from typing import Any

from devnet.byzantine.names import Strategy
from tests.unit.byzantine.apart import lying_apart
from tests.unit.byzantine.test_middleware import HONEST, count_at

HEIGHTS = 6


def floods(operators: list[Any]) -> list[float]:
    return [count_at(each, Strategy.FLOOD) for each in operators]


async def test_one_of_four_floods_and_the_chain_goes_on(network: Any, eventually: Any) -> None:
    async with AsyncExitStack() as stack:
        others = [await stack.enter_async_context(network.operator(index)) for index in HONEST]
        with lying_apart(network, Strategy.FLOOD):
            await eventually(lambda: all(floods(others)))
            begun, before = floods(others), max(each.sealed_height() for each in others)
            goal = before + HEIGHTS
            await eventually(lambda: all(each.sealed_height() >= goal for each in others))
            await eventually(
                lambda: all(now > was for now, was in zip(floods(others), begun, strict=True))
            )
        chains = {
            tuple(each.certificate.root for each in operator.rollup.chain[:goal])
            for operator in others
        }
        assert len(chains) == 1
