"""The liars who read blocks, on blocks that are executed: alone, and one more than is borne."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from devnet.byzantine.liar import Orders
from devnet.byzantine.middleware import lying
from devnet.byzantine.names import LIES, Strategy
from devnet.model.accounts import ACCOUNTS
from dst.middleware.wire import Middleware
from dst.qbft.messages import Certificate
from dst.spec import ssz
from dst.spec.beacon import BeaconBlock
from dst.spec.primitives import Address, Height, OperatorIndex, leader_of, to_hex
from tests.ports import free_ports
from tests.unit.byzantine.real_blocks import RealNetwork, Rollup, deal, four
from tests.unit.byzantine.test_middleware import count_at
from tests.unit.execution.worlds import signed
from tests.unit.middleware.conftest import Cluster

HEIGHTS = 6
CENSORED = ACCOUNTS[0]


@pytest.fixture(scope="module")
def dealt(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    return deal(tmp_path_factory.mktemp("dealt"))


@asynccontextmanager
async def started(
    strategy: Strategy, liars: Sequence[int], cluster: Cluster, folder: Path
) -> AsyncIterator[tuple[list[Rollup], list[Any]]]:
    """Four operators, of which those lie together."""
    together = frozenset(map(OperatorIndex, liars))
    address = Address(bytes.fromhex(CENSORED.address[2:]))
    orders = Orders(fellows=together, censored=address if strategy is Strategy.CENSOR else None)
    lies = partial(lying, strategy=strategy, orders=orders, seed=1)
    network = RealNetwork(cluster, folder, free_ports(4))
    async with four(network) as rollups, AsyncExitStack() as stack:
        operators = []
        for index in range(4):
            assemble = lies if index in together else Middleware
            operators.append(
                await stack.enter_async_context(network.operator(index, assemble=assemble))
            )
        yield rollups, operators


def height(rollup: Rollup) -> int:
    return int(rollup.chain.sealed_height)


def leader_at(rollup: Rollup, at: int) -> int:
    """Who proposed the decided block."""
    stored = rollup.chain.store.by_height(Height(at))
    assert stored is not None
    assert stored.certificate is not None
    round_ = msgspec.msgpack.decode(stored.certificate, type=Certificate).round
    return int(leader_of(Height(at), round_, 4))


def transactions_at(rollup: Rollup, at: int) -> tuple[bytes, ...]:
    stored = rollup.chain.store.by_height(Height(at))
    assert stored is not None
    return ssz.decode(BeaconBlock, stored.block).body.execution_payload.transactions


@pytest.mark.parametrize("liars", [(3,), (1, 3)], ids=["f", "f + 1"])
async def test_a_block_that_does_not_execute_as_it_says_is_never_decided(
    liars: tuple[int, ...], dealt: Cluster, tmp_path: Path, eventually: Any
) -> None:
    async with started(Strategy.INVALID_BLOCK, liars, dealt, tmp_path) as (rollups, operators):
        honest = [index for index in range(4) if index not in liars]
        await eventually(lambda: all(height(each) >= HEIGHTS for each in rollups))
        await eventually(lambda: all(rollups[index].refused for index in honest))
        for index in liars:
            assert operators[index].middleware.metrics.get(LIES, strategy="invalid-block") > 0
        assert any(count_at(operators[index], Strategy.INVALID_BLOCK) for index in honest)
        leaders = {leader_at(rollups[honest[0]], at) for at in range(1, HEIGHTS + 1)}
        assert leaders <= set(honest), "no turn of a liar brings a block"
        states = [await each.ask("eth_getBlockByNumber", hex(HEIGHTS), False) for each in rollups]
        assert len({block["stateRoot"] for block in states}) == 1


@pytest.mark.parametrize("liars", [(3,), (1, 2, 3)], ids=["f", "all but one"])
async def test_whom_some_censor_the_others_include(
    liars: tuple[int, ...], dealt: Cluster, tmp_path: Path, eventually: Any
) -> None:
    """One transaction after another of the censored account, so that each liar meets one in its
    turn; and one of somebody else's beside it."""
    async with started(Strategy.CENSOR, liars, dealt, tmp_path) as (rollups, operators):

        def has_lied(index: int) -> bool:
            metrics = operators[index].middleware.metrics
            return bool(metrics.get(LIES, strategy=Strategy.CENSOR))

        witness, nonce = rollups[0], 0
        while nonce < 2 or not all(map(has_lied, liars)):
            sent = signed(
                bytes.fromhex(CENSORED.private_key[2:]),
                nonce=nonce,
                chainId=dealt.lock.chain.chain_id,
            )
            since = height(witness)
            for each in rollups:
                await each.send(sent.raw)
            under_way = height(witness) + 2
            await eventually(partial(_holds, witness, sent.raw, since))
            (at,) = (h for h in _heights(witness, since) if sent.raw in transactions_at(witness, h))
            assert leader_at(witness, at) not in liars
            passed = [h for h in range(under_way + 1, at) if leader_at(witness, h) not in liars]
            assert passed == [], "the next honest turn has it"
            nonce += 1
        receipt = await rollups[liars[0]].ask("eth_getTransactionReceipt", to_hex(sent.hash))
        assert receipt["status"] == "0x1", "a censor follows all the same"


def _heights(rollup: Rollup, since: int) -> range:
    return range(since + 1, height(rollup) + 1)


def _holds(rollup: Rollup, raw: bytes, since: int) -> bool:
    return any(raw in transactions_at(rollup, at) for at in _heights(rollup, since))
