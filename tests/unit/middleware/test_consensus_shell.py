"""The consensus shell's own decisions; the protocol is tested in `tests/unit/qbft`."""

import asyncio
from typing import Any

import pytest

from dst.middleware.wire import root_of
from dst.middleware.wire_messages import decode_message, encode_message
from dst.p2p.handshake import PROTOCOL_VERSION, Hello
from dst.qbft.messages import PrepareMessage, ProposalMessage, RoundChangeMessage
from dst.spec.errors import ResetRequired
from dst.spec.primitives import Height, OperatorIndex, Round
from tests.unit.middleware.says import H1, T0, Says


@pytest.fixture
async def operator(network: Any, running: Any, eventually: Any) -> Any:
    """Operator 0 takes part; no slot begins and nobody else is there."""
    network.clock_runs = False
    made = await running(0, gathers=False, validator=False)
    await eventually(lambda: made.middleware.shells.consensus._started)
    return made


@pytest.mark.parametrize("behind", [False, True])
async def test_rule_39_no_vote_while_others_are_known_to_be_further(
    operator: Any, cluster: Any, eventually: Any, behind: bool
) -> None:
    """Two of four claim more: one of them is honest, and this height is decided."""
    shells, metrics = operator.middleware.shells, operator.middleware.metrics
    say = Says(cluster)
    for peer in (2, 3) if behind else (3,):
        shells.progress.peer_claims(OperatorIndex(peer), Height(9))
    for mark in (0, 1):
        proposal = say.proposal(1, cluster.block(1, mark=mark))
        shells.router.received(OperatorIndex(1), encode_message(proposal))
    # The second is refused after the first was dealt with.
    await eventually(lambda: metrics.get("consensus_refused_total", reason="second_proposal"))
    if not behind:
        await eventually(lambda: shells.consensus._state.prepares)
    assert operator.rollup.validations == (not behind)


async def test_rule_36_a_link_that_comes_up_hears_what_the_round_said(
    operator: Any, cluster: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shells, sent = operator.middleware.shells, []
    proposal = Says(cluster).proposal(1, cluster.block(1))
    shells.router.received(OperatorIndex(1), encode_message(proposal))
    await eventually(lambda: shells.consensus._state.prepares)
    monkeypatch.setattr(
        operator.middleware.transport,
        "send",
        lambda to, body, height: sent.append((to, decode_message(body))),
    )
    hello = Hello(PROTOCOL_VERSION, 1, b"", 1, 1, 1, OperatorIndex(3), T0, Height(0))
    shells.router.link_up(OperatorIndex(3), hello)
    await eventually(lambda: len(sent) == 2)
    assert {to for to, _ in sent} == {3}
    assert sent[0][1] == proposal
    assert isinstance(sent[0][1], ProposalMessage)
    vote = sent[1][1]
    assert isinstance(vote, PrepareMessage)
    assert (vote.signed.payload.height, vote.signed.sender) == (H1, 0)


@pytest.mark.parametrize("forgotten", [True, False])
async def test_a_store_found_to_have_forgotten_votes_sends_nothing_that_the_same_step_holds(
    operator: Any, cluster: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch, forgotten: bool
) -> None:
    """The certificate of height 1 holds a COMMIT of this operator that its log lacks, and with it
    begins height 2, which two of four have left for round 1 already: it would follow them."""
    shells, said, say = operator.middleware.shells, [], Says(cluster)
    monkeypatch.setattr(
        operator.middleware.transport,
        "broadcast",
        lambda body, height: said.append(decode_message(body)),
    )
    for peer in (2, 3):
        change = say.round_change(peer, 1, height=2)
        shells.router.received(OperatorIndex(peer), encode_message(change))
    signers = (0, 1, 2) if forgotten else (1, 2, 3)
    for height, block in ((1, cluster.block(1)), (2, cluster.block(2))):
        certificate = cluster.certificate(height, block, signers=signers)
        shells.consensus.certificate_received(OperatorIndex(1), certificate, block, len(block))
    await eventually(lambda: operator.store.decided_height() == 2)  # so that step is over
    assert shells.progress.is_rejoining is forgotten
    follows = [each for each in said if isinstance(each, RoundChangeMessage)]
    assert [each.signed.payload.height for each in follows] == [2] * (not forgotten)


async def test_a_halt_takes_the_timers_with_it(
    operator: Any, cluster: Any, eventually: Any
) -> None:
    """One that fires after the halt ended would end the round that began anew before its time."""
    shells, say = operator.middleware.shells, Says(cluster)
    for peer in (2, 3):
        message = encode_message(say.round_change(peer, 1))
        shells.router.received(OperatorIndex(peer), message)
    await eventually(lambda: len(shells.consensus._timers) == 2)
    timers = list(shells.consensus._timers.values())
    await shells.progress.halt(ResetRequired(1, "a fork"))
    shells.consensus.peer_heard(OperatorIndex(2))
    await eventually(lambda: not shells.consensus._started)
    now = asyncio.get_running_loop().time()
    assert all(each.cancelled() or each.when() < now for each in timers), "none is to fire"


async def test_a_block_that_a_lock_forces_is_judged_once_for_the_latest_round_that_asks(
    operator: Any, cluster: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Executing it to the end may last longer than rounds. One that proposes it afresh meanwhile
    gets a verdict of its own, for its own round, and leaves the other's alone."""
    shells, rollup, say = operator.middleware.shells, operator.rollup, Says(cluster)
    block = cluster.block(1)
    root, proof = root_of(block), [say.signed_prepare(each, root_of(block)) for each in (1, 2, 3)]
    judged, finish = [], asyncio.Event()
    validate = rollup.validate

    async def slow_when_forced(block: bytes, **rest: Any) -> Any:
        judged.append((rest["round_"], rest["justified"]))
        if rest["justified"]:
            await finish.wait()
        return await validate(block, **rest)

    monkeypatch.setattr(rollup, "validate", slow_when_forced)

    def propose(round_: int, *, forced: bool) -> None:
        locked = say.round_change(1, round_, 0, proof, root) if forced else None
        asks = [say.round_change(each, round_) for each in (1, 2, 3)]
        leader, claims = (1 + round_) % 4, [locked or asks[0], *asks[1:]]
        proposal = say.proposal(leader, block, round_, claims, prepares=proof if forced else ())
        shells.router.received(OperatorIndex(leader), encode_message(proposal))

    def prepared(round_: int) -> bool:
        return 0 in shells.consensus._state.prepares.get(Round(round_), {})

    propose(1, forced=True)
    await eventually(lambda: judged == [(1, True)])
    propose(2, forced=False)
    await eventually(lambda: prepared(2))
    propose(4, forced=True)
    await eventually(lambda: shells.consensus.round == 4)
    finish.set()
    await eventually(lambda: prepared(4))
    assert judged == [(1, True), (2, False)]
