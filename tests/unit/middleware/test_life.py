"""An operator's life beside the happy path: lost stores, resets, lost neighbours, stop of all."""

from asyncio import Event, sleep, timeout
from contextlib import AsyncExitStack
from shutil import copytree, rmtree
from typing import Any

import pytest

from dst.apis.beacon import ProduceRequest
from dst.apis.dst_v1 import EventKind
from dst.qbft.messages import CommitMessage, PrepareMessage
from dst.spec.errors import ResetRequired
from dst.spec.primitives import Slot


async def test_lost_store_rejoins_by_certificates_and_votes_only_above(
    network: Any, eventually: Any
) -> None:
    async with AsyncExitStack() as stack:
        others = [await stack.enter_async_context(network.operator(index)) for index in (0, 1, 2)]
        async with network.operator(3) as victim:
            await eventually(lambda: victim.store.decided_height() >= 3)
        for file in (network.folder / "op4" / "data").iterdir():
            file.unlink()
        at_loss = max(each.store.decided_height() for each in others)
        async with network.operator(3, rejoin=True) as victim:
            own = victim.middleware.shells
            assert own.progress.is_syncing
            await eventually(lambda: not own.progress.is_rejoining)
            assert victim.store.decided_height() >= at_loss + 2
            assert own.progress.sign_above >= victim.store.decided(at_loss + 2).block[0]
            await eventually(
                lambda: victim.sealed_height() > victim.store.decided_height() - 2 > at_loss + 4
            )
            # Not a word about the heights where it may have voted before the loss.
            voted = [record for record in victim.store.promises()]
            heights = {own.consensus.height}
            assert all(height > at_loss + 2 for height in heights), voted
            partials = {each.message.height for each in victim.store.own_partials()}
            assert all(height > at_loss + 1 for height in partials)


async def test_who_begins_late_imports_and_votes(network: Any, eventually: Any) -> None:
    """A true `--new`, long after the others: it has no votes to miss, and asks nobody."""
    async with AsyncExitStack() as stack:
        others = [await stack.enter_async_context(network.operator(index)) for index in (0, 1, 2)]
        await eventually(lambda: others[0].store.decided_height() >= 3)
        async with network.operator(3) as late:
            progress = late.middleware.shells.progress
            await eventually(lambda: progress.takes_part)
            await eventually(lambda: 3 in voted(others[:1], others[0].store.decided_height()))
            assert late.store.rejoin() is None


async def test_new_store_after_a_lost_disk_rejoins_by_itself(network: Any, eventually: Any) -> None:
    """Somebody starts with --new what should be started with --rejoin."""
    async with AsyncExitStack() as stack:
        others = [await stack.enter_async_context(network.operator(index)) for index in (0, 1)]
        async with network.operator(2) as third, network.operator(3) as victim:
            for each in (third, victim):
                await eventually(lambda: each.store.decided_height() >= 1)  # noqa: B023
        async with network.operator(3) as victim:
            # Of three that are left each has a COMMIT in the certificate.
            without = max(each.store.decided_height() for each in (*others, victim)) + 1
            await eventually(lambda: victim.store.decided_height() > without)
        for file in (network.folder / "op4" / "data").iterdir():
            file.unlink()
        last_vote = max(each.store.decided_height() for each in others) + 1
        others.append(await stack.enter_async_context(network.operator(2)))
        await eventually(lambda: others[0].store.decided_height() > last_vote)
        async with network.operator(3) as victim:
            progress = victim.middleware.shells.progress
            await eventually(lambda: progress.is_rejoining)
            await eventually(lambda: progress.takes_part)
            assert victim.store.decided_height() > last_vote
            here = victim.store.decided_height()
            await eventually(lambda: victim.sealed_height() > here + 4)


async def test_an_old_copy_of_a_store_finds_its_own_vote_in_a_certificate_and_rejoins(
    network: Any, eventually: Any
) -> None:
    """Three of four decide meanwhile, so that every certificate holds a COMMIT of each of them."""
    store, backup = network.folder / "op4" / "data", network.folder / "backup"
    async with AsyncExitStack() as stack:
        others = [await stack.enter_async_context(network.operator(index)) for index in (0, 1)]
        async with network.operator(2) as third, network.operator(3) as victim:
            for each in (third, victim):
                await eventually(lambda: each.middleware.shells.progress.takes_part)  # noqa: B023
                await eventually(lambda: each.store.decided_height() >= 1)  # noqa: B023
        copytree(store, backup)
        async with network.operator(3) as victim:
            at_copy = victim.store.decided_height()
            await eventually(lambda: victim.store.decided_height() > at_copy + 2)
        last_vote = max(each.store.decided_height() for each in others) + 1
        rmtree(store)
        copytree(backup, store)
        others.append(await stack.enter_async_context(network.operator(2)))
        await eventually(lambda: others[0].store.decided_height() > last_vote)
        async with network.operator(3) as victim:
            own = victim.middleware.shells
            await eventually(lambda: own.progress.is_rejoining)
            await eventually(lambda: own.progress.takes_part)
            assert victim.store.decided_height() > last_vote
            here = victim.store.decided_height()
            await eventually(lambda: victim.sealed_height() > here + 4)


async def test_rejoining_node_says_nothing_before_a_quorum_of_peers_reported(
    network: Any, running: Any, puppet: Any
) -> None:
    """One peer is not a quorum: whatever it says, the node stays silent."""
    victim = await running(0, rejoin=True)
    listener = await puppet(3, links=1)
    assert victim.middleware.shells.progress.is_rejoining
    with pytest.raises(TimeoutError):
        await _until_voted(listener)
    assert victim.middleware.shells.progress.is_rejoining


async def _until_voted(listener: Any) -> None:
    async with timeout(1.5):
        while not any(isinstance(m, PrepareMessage | CommitMessage) for _, m in listener.heard):
            await sleep(0.02)


async def test_all_stopped_at_once_go_on_from_their_logs(network: Any, eventually: Any) -> None:
    heights: list[int] = []
    for _ in range(3):
        async with AsyncExitStack() as stack:
            all_four = [
                await stack.enter_async_context(network.operator(index)) for index in range(4)
            ]
            target = max(heights, default=0) + 3
            await eventually(lambda: all(e.sealed_height() >= target for e in all_four))  # noqa: B023
            heights.append(max(each.store.decided_height() for each in all_four))
    chains = {tuple(r.certificate.root for r in network.rollup(i).chain[:9]) for i in range(4)}
    assert len(chains) == 1


async def test_l1_reset_halts_durably_with_one_alarm(
    network: Any, running: Any, eventually: Any, caplog: pytest.LogCaptureFixture
) -> None:
    operators = [await running(index) for index in range(4)]
    await eventually(lambda: all(each.sealed_height() >= 2 for each in operators))
    for operator in operators:
        operator.rollup.reset = ResetRequired(2, "test")
    await eventually(lambda: all(each.store.halt() is not None for each in operators))
    height = [each.middleware.shells.consensus.height for each in operators]
    api = operators[0].middleware.api
    with pytest.raises(ResetRequired):
        await api.produce_block(ProduceRequest(slot=Slot(1)))
    root = operators[0].store.decided(1).certificate.root
    with pytest.raises(ResetRequired):
        await operators[0].middleware.shells.sealing.own_partial(1, root, bytes(96))
    assert [each.middleware.shells.consensus.height for each in operators] == height
    assert [each.store.halt().height for each in operators] == [2] * 4
    alarms = [r for r in caplog.records if "halted_by_l1_reset" in r.getMessage()]
    assert len(alarms) == 4

    def resets() -> int:
        return sum(e.kind is EventKind.RESET for e in operators[0].rollup.events_seen)

    # Said after the halt is on disk, and pushed beside the loop.
    await eventually(lambda: resets() > 0)
    assert resets() == 1


async def test_halt_outlives_the_process(network: Any, eventually: Any) -> None:
    async with network.operator(0) as operator:
        operator.rollup.reset = ResetRequired(1, "test")
        await eventually(lambda: operator.store.halt() is not None)
    async with network.operator(0) as operator:
        assert operator.middleware.shells.progress.is_halted
        with pytest.raises(ResetRequired):
            await operator.middleware.api.produce_block(ProduceRequest(slot=Slot(1)))


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_halt_ends_with_the_fork_of_the_own_l1(
    network: Any, eventually: Any, restarted: bool
) -> None:
    """Two of four saw a fork, so the chain stood; both take up the height they left."""
    async with AsyncExitStack() as stack:
        operators = [await stack.enter_async_context(network.operator(i)) for i in range(4)]
        await eventually(lambda: all(each.sealed_height() >= 2 for each in operators))
        for operator in operators[:2]:
            operator.rollup.reset = ResetRequired(2, "a fork")
        await eventually(lambda: all(each.store.halt() is not None for each in operators[:2]))
        if restarted:
            await stack.aclose()
            operators = [await stack.enter_async_context(network.operator(i)) for i in range(4)]
        height = max(each.store.decided_height() for each in operators)
        for operator in operators[:2]:
            assert operator.middleware.shells.progress.is_halted
            operator.rollup.reset = None
        await eventually(lambda: all(each.sealed_height() >= height + 3 for each in operators))
        assert all(each.store.halt() is None for each in operators)
        assert operators[0].rollup.events_seen[-1] is not None
        ended = [e for e in operators[0].rollup.events_seen if e.kind is EventKind.RESET_ENDED]
        assert len(ended) == 1


async def test_rollup_node_that_lost_everything_is_refilled_and_one_that_is_down_waited_for(
    running: Any, eventually: Any
) -> None:
    operators = [await running(index) for index in range(4)]
    await eventually(lambda: all(each.sealed_height() >= 3 for each in operators))
    victim = operators[1].rollup
    victim.down = True
    victim.chain.clear()
    victim.sealed.clear()
    before = operators[0].store.decided_height()
    await eventually(lambda: operators[0].store.decided_height() >= before + 3)
    victim.down = False
    await eventually(lambda: operators[1].sealed_height() >= before + 3)
    assert sorted(victim.sealed)[: before + 3] == list(range(1, before + 4))


def told(operator: Any, height: int) -> list[EventKind]:
    """The kinds of its events at a height, in the order in which the rollup node got them."""
    return [event.kind for event in operator.rollup.events_seen if event.height == height]


def voted(operators: list[Any], height: int) -> set[int]:
    """Whose COMMIT anybody's certificate shows. Three are enough to decide, so a busy machine may
    leave the fourth without a vote of its own."""
    certificates = [each.store.decided(height).certificate for each in operators]
    return {int(commit.sender) for each in certificates for commit in each.commits}


async def test_events_tell_the_whole_height(running: Any, eventually: Any) -> None:
    operators = [await running(index) for index in range(4)]
    await eventually(lambda: all(each.sealed_height() >= 3 for each in operators))
    for height in (1, 2, 3):
        voters = voted(operators, height)
        assert len(voters) >= 3

        def is_whole(operator: Any, height: int = height, voters: set[int] = voters) -> bool:
            steps = [EventKind.PROPOSAL, EventKind.PREPARED] * (operator.index in voters)
            steps += [EventKind.DECIDED]
            return [kind for kind in told(operator, height) if kind in steps][
                -len(steps) :
            ] == steps

        def signers(height: int = height) -> int:
            return sum(EventKind.SIGNED in told(each, height) for each in operators)

        await eventually(lambda is_whole=is_whole: all(map(is_whole, operators)))
        await eventually(lambda signers=signers: signers() >= 3)
    for operator in operators:
        (decided,) = (
            e for e in operator.rollup.events_seen if e.kind is EventKind.DECIDED and e.height == 2
        )
        assert decided.root == operator.store.decided(2).certificate.root
        assert decided.slot is not None
        assert decided.operator == f"op{operator.index + 1}"


async def test_who_was_too_late_to_vote_tells_the_decision_alone(
    network: Any, running: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rollup node is still executing the block when the others have decided it."""
    late = network.rollup(3)
    validate, others_decided = late.validate, Event()

    async def slowly(block: bytes, **rest: Any) -> Any:
        await others_decided.wait()
        return await validate(block, **rest)

    monkeypatch.setattr(late, "validate", slowly)
    operators = [await running(index) for index in range(4)]
    await eventually(lambda: operators[3].store.decided_height() >= 2)
    others_decided.set()
    await eventually(lambda: EventKind.DECIDED in told(operators[3], 2))
    for height in (1, 2):
        assert operators[3].index not in voted(operators, height)
        assert EventKind.PREPARED not in told(operators[3], height)


async def test_unsealed_backlog_empties_the_blocks(
    running: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dst.middleware.proposals.MAX_UNSEALED", 2)
    operators = [await running(index, validator=False) for index in range(4)]
    await eventually(lambda: all(each.store.decided_height() >= 7 for each in operators))
    assert sum(each.rollup.built_without_pool for each in operators) >= 3
    assert all(each.middleware.shells.sealing.unsealed >= 5 for each in operators)


async def test_far_laggard_catches_up_with_certificates_and_seals(
    network: Any, running: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small answers stand in for a long absence: many requests, one after another."""
    monkeypatch.setattr("dst.middleware.catch_up.MAX_RANGE", 3)
    monkeypatch.setattr("dst.middleware.catch_up.HELP_RANGE", 1)
    others = [await running(index) for index in (0, 1, 2)]
    await eventually(lambda: all(each.store.decided_height() >= 12 for each in others))
    laggard = await running(3)
    await eventually(lambda: laggard.sealed_height() >= 14)
    assert sorted(laggard.rollup.sealed)[:14] == list(range(1, 15))
    own = {each.message.height for each in laggard.store.own_partials()}
    assert not own & set(range(1, 12))  # sealed long ago: its signature is owed to nobody
