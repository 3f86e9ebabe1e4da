"""Liars among real operators, over TLS and SQLite in one process: the lie is counted where it
leaves, its victims notice where they can, and the chain goes on."""

from contextlib import AsyncExitStack
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest

from devnet.byzantine import middleware
from devnet.byzantine.__main__ import main
from devnet.byzantine.liar import Orders
from devnet.byzantine.middleware import Mouth, lying
from devnet.byzantine.names import IS_LIAR, KNOWN, LIAR, LIES, Strategy
from dst.apis.beacon import ProduceRequest
from dst.middleware.wire import root_of
from dst.middleware.wire_messages import Status
from dst.qbft.messages import Proposal, ProposalMessage, SignedProposal
from dst.runtime.metrics import Metrics
from dst.spec.primitives import Address, Height, OperatorIndex, Root, Round, Slot, Term

HONEST = (0, 1, 2)
HEIGHTS = 5
"""A turn of each, and one more."""
NOT_HERE = (Strategy.CENSOR, Strategy.INVALID_BLOCK, Strategy.FLOOD)
"""The fake rollup node has no transactions, and executes nothing: see test_real_blocks.py. And all
four operators share one thread here, in which a flood holds up its victims by the work of sending
it: see test_flood.py."""


def liar(strategy: Strategy, *fellows: int) -> Any:
    together = frozenset(OperatorIndex(each) for each in fellows or (3,))
    orders = Orders(fellows=together, censored=Address(bytes(20)))
    return partial(lying, strategy=strategy, orders=orders, seed=1)


def labels_of(strategy: Strategy) -> dict[str, str]:
    noticed = KNOWN[strategy].noticed
    assert noticed is not None
    return {key: "op4" if value == LIAR else value for key, value in noticed.labels.items()}


@pytest.mark.parametrize("strategy", sorted(set(Strategy) - set(NOT_HERE)))
async def test_one_of_four_lies_and_the_chain_goes_on(
    strategy: Strategy, network: Any, eventually: Any
) -> None:
    async with AsyncExitStack() as stack:
        others = [await stack.enter_async_context(network.operator(index)) for index in HONEST]
        false = await stack.enter_async_context(network.operator(3, assemble=liar(strategy)))
        metrics = false.middleware.metrics
        assert metrics.get(IS_LIAR, strategy=strategy) == 1
        await eventually(lambda: all(each.sealed_height() >= HEIGHTS for each in others))
        chains = {
            tuple(each.certificate.root for each in operator.rollup.chain[:HEIGHTS])
            for operator in others
        }
        assert len(chains) == 1
        await eventually(lambda: metrics.get(LIES, strategy=strategy) > 0)
        noticed = KNOWN[strategy].noticed
        if noticed is not None:
            await eventually(lambda: any(count_at(each, strategy) for each in others))


ALONE = SimpleNamespace(n=4, chain=SimpleNamespace(term=0))


def opened(
    strategy: Strategy, *, up: bool, lock: object = ALONE
) -> tuple[Mouth, Metrics, list[bytes]]:
    """A mouth, what it counts, what leaves it."""
    uttered: list[bytes] = []
    settings: Any = SimpleNamespace(
        operator=OperatorIndex(3),
        lock=lock,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(middleware, "genesis_validators_root", lambda _: Root(bytes(32)))
        mouth = Mouth(settings, strategy, Orders(), seed=1)
    transport: Any = SimpleNamespace(
        reaches=lambda _: up, utter=lambda _to, body, *, height: uttered.append(body)
    )
    metrics = Metrics()
    mouth.open(transport, metrics)
    return mouth, metrics, uttered


@pytest.mark.parametrize("up", [True, False])
def test_a_lie_counts_where_it_can_be_heard(up: bool) -> None:
    mouth, metrics, uttered = opened(Strategy.FALSE_STATUS, up=up)
    status, to = Status(Height(5)), OperatorIndex(0)
    mouth.has_said(to, status, mouth.words(to, status))
    mouth.has_said(to, status, (status,))
    assert metrics.get(LIES, strategy=Strategy.FALSE_STATUS) == int(up)
    mouth.tell(0, status)
    assert (metrics.get(LIES, strategy=Strategy.FALSE_STATUS), len(uttered)) == (2 * int(up), 1)


async def test_a_block_that_was_built_otherwise_is_a_lie_when_it_is_proposed(cluster: Any) -> None:
    mouth, metrics, _ = opened(Strategy.INVALID_BLOCK, up=True, lock=cluster.lock)
    true = cluster.block(1)

    class Builds:
        async def produce_block(self, _: ProduceRequest) -> bytes:
            return bytes(true)

    block = await mouth.build(cast(Any, Builds()), ProduceRequest(slot=Slot(5)))
    assert block is not None
    counts = []
    for each in (true, block):
        payload = Proposal(Term(0), Height(1), Round(0), root_of(each))
        said = ProposalMessage(SignedProposal(payload, OperatorIndex(3), b""), each)
        mouth.has_said(OperatorIndex(0), said, (said,))
        counts.append(metrics.get(LIES, strategy=Strategy.INVALID_BLOCK))
    assert counts == [0, 1]


def count_at(operator: Any, strategy: Strategy) -> float:
    noticed = KNOWN[strategy].noticed
    assert noticed is not None
    wanted = labels_of(strategy)
    lines = operator.middleware.metrics.render().splitlines()
    shown = [f'{key}="{value}"' for key, value in wanted.items()]
    found = [
        float(line.split()[-1])
        for line in lines
        if line.startswith(f"dst_{noticed.name}{{") and all(each in line for each in shown)
    ]
    return sum(found)


async def test_two_of_four_have_two_blocks_decided_at_one_height(
    network: Any, eventually: Any
) -> None:
    """Beyond f: what S1 has to see."""
    async with AsyncExitStack() as stack:
        for index in (2, 3):
            false = network.operator(index, assemble=liar(Strategy.EQUIVOCATE, 2, 3))
            await stack.enter_async_context(false)
        honest = [await stack.enter_async_context(network.operator(index)) for index in (0, 1)]
        one, other = (each.rollup.chain for each in honest)
        await eventually(
            lambda: any(
                a.certificate.height == b.certificate.height
                and a.certificate.root != b.certificate.root
                for a, b in zip(one, other, strict=False)
            )
        )


async def test_two_of_four_that_do_not_commit_stop_the_chain(network: Any, eventually: Any) -> None:
    """Beyond f: what L9 has to see. The first height is left for another round, and stays open,
    although a liar has it decided: the other may be in another round by then."""
    strategy = Strategy.SILENT_AFTER_PREPARE
    async with AsyncExitStack() as stack:
        false = [
            await stack.enter_async_context(network.operator(index, assemble=liar(strategy, 2, 3)))
            for index in (2, 3)
        ]
        honest = [await stack.enter_async_context(network.operator(index)) for index in (0, 1)]
        await eventually(lambda: all(each.middleware.shells.consensus.round for each in honest))
        await eventually(
            lambda: all(e.middleware.metrics.get(LIES, strategy=strategy) > 9 for e in false)
        )
        await eventually(lambda: any(each.rollup.chain for each in false))
        assert not any(each.rollup.chain for each in honest)


async def test_an_honest_return_rejoins_and_is_accused_of_nothing_new(
    network: Any, eventually: Any
) -> None:
    """The same store, with the flag: it votes again above all that the liar can have voted at, and
    nobody finds two votes of it."""
    async with AsyncExitStack() as stack:
        others = [await stack.enter_async_context(network.operator(index)) for index in HONEST]
        async with network.operator(3, assemble=liar(Strategy.EQUIVOCATE)) as false:
            metrics = false.middleware.metrics
            await eventually(lambda: metrics.get(LIES, strategy=Strategy.EQUIVOCATE) > 0)
            await eventually(lambda: any(count_at(e, Strategy.EQUIVOCATE) for e in others))
            lied_at = max(each.store.decided_height() for each in (*others, false)) + 1
        before = len(false.rollup.events_seen)
        async with network.operator(3, rejoin=True) as honest:
            progress = honest.middleware.shells.progress
            assert progress.is_rejoining
            await eventually(lambda: progress.takes_part)
            goal = max(each.sealed_height() for each in others) + 8
            await eventually(lambda: all(e.sealed_height() >= goal for e in (*others, honest)))
        voted = [e.height for e in honest.rollup.events_seen[before:] if e.kind == "prepared"]
        assert voted
        assert min(voted) > lied_at
        assert max(accused_at(each) for each in others) <= lied_at


def accused_at(operator: Any) -> int:
    """The last height at which it convicts somebody."""
    return max(int(each.height) for each in operator.rollup.events_seen if each.kind == "evidence")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--strategy", "censor"], "--address goes with --strategy censor"),
        (["--strategy", "flood", "--address", "0x" + "11" * 20], "--address goes with"),
        (["--strategy", "censor", "--address", "0x11"], "--address 0x11: "),
        (["--strategy", "flood", "--fellows", "f1"], "--fellows f1: expected operators such as"),
        (["--strategy", "flood"], "nowhere.json"),
    ],
)
def test_what_is_wrong_ends_in_one_line(
    words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--config", "nowhere.json", *words]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert complaint in told
