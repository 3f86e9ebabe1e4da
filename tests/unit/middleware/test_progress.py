"""Who is behind, who may vote: claims of peers against what is certified here."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dst.middleware.inbox import IN_LINE_PER_PEER, MAX_BYTES_PER_PEER, MAX_PER_PEER, Inbox
from dst.middleware.progress import Progress
from dst.middleware.store import SqliteStore, open_store
from dst.qbft.messages import Certificate
from dst.qbft.records import DecisionRecord
from dst.rejoin.core import OPEN_AHEAD
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.spec.errors import ResetRequired
from dst.spec.primitives import Height, OperatorIndex, Root, Round, Term

LOCK = b"\x11" * 32
P1, P2, P3 = OperatorIndex(1), OperatorIndex(2), OperatorIndex(3)
Open = Callable[..., tuple[SqliteStore, Progress]]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    stores: list[SqliteStore] = []

    def build(
        *, rejoin: bool = False, term: int = 0, ready: Callable[[], bool] = lambda: True
    ) -> tuple[SqliteStore, Progress]:
        is_first = not stores
        for store in stores:
            store.close()
        store = open_store(tmp_path, LOCK, new=is_first and not rejoin, rejoin=rejoin)
        stores[:] = [store]
        return store, Progress(store, n=4, term=Term(term), log=Logger("test"), ready=ready)

    yield build
    for store in stores:
        store.close()


def decision(height: int) -> DecisionRecord:
    root = Root(height.to_bytes(32, "big"))
    certificate = Certificate(Term(0), Height(height), Round(0), root, ())
    return DecisionRecord(certificate, height.to_bytes(8, "little"))


def test_one_liar_cannot_hold_a_node_back(opened: Open) -> None:
    _, progress = opened()
    progress.peer_claims(OperatorIndex(1), Height(10**9))
    assert not progress.is_behind
    progress.peer_claims(OperatorIndex(2), Height(3))
    assert progress.claimed_height() == 3
    assert progress.is_syncing


def test_claims_never_fall(opened: Open) -> None:
    _, progress = opened()
    for height in (5, 2):
        progress.peer_claims(OperatorIndex(1), Height(height))
    assert progress.claims() == {1: 5}


def test_who_has_not_heard_f_plus_1_peers_knows_nothing_of_the_others(opened: Open) -> None:
    """Nothing is behind by itself: an old copy of the store looks caught up until they speak."""
    _, progress = opened()
    assert (progress.is_syncing, progress.knows_others) == (False, False)
    progress.peer_claims(P1, Height(0))
    assert not progress.knows_others
    progress.peer_claims(P1, Height(1000))
    assert not progress.knows_others
    progress.peer_claims(P2, Height(1000))
    assert (progress.is_syncing, progress.knows_others) == (True, True)


def test_a_single_operator_waits_for_nobody(tmp_path: Path) -> None:
    store = open_store(tmp_path, LOCK, new=True, rejoin=False)
    assert Progress(store, n=1, term=Term(0), log=Logger("test")).knows_others
    store.close()


async def test_rejoin_waits_for_a_quorum_then_for_two_more_certified_heights(
    opened: Open,
) -> None:
    store, progress = opened(rejoin=True)
    for peer, height in ((1, 3), (2, 4)):
        progress.peer_claims(OperatorIndex(peer), Height(height))
        progress.peer_proves(OperatorIndex(peer), Height(height))
        await progress.look(0.0)
    assert store.rejoin().vote_above is None  # type: ignore[union-attr]
    progress.peer_claims(OperatorIndex(3), Height(2))
    await progress.look(0.0)
    assert progress.unproven() == {3: 2}
    progress.peer_proves(OperatorIndex(3), Height(2))
    await progress.look(0.0)
    assert store.rejoin().vote_above == 4 + OPEN_AHEAD  # type: ignore[union-attr]
    still_rejoining = []
    for height in range(1, 7):
        await store.append((decision(height),))
        await progress.look(0.0)
        still_rejoining.append(progress.is_rejoining)
    assert still_rejoining == [True] * 5 + [False]
    assert progress.sign_above == 6
    assert store.rejoin() is None
    _, again = opened()
    assert again.sign_above == 6


async def test_a_claim_without_its_certificate_moves_no_bound(opened: Open) -> None:
    """op4 claims what nobody has decided and never shows it: two proven reports do not do."""
    store, progress = opened(rejoin=True)
    for peer, height in ((1, 3), (2, 4), (3, 2**53)):
        progress.peer_claims(OperatorIndex(peer), Height(height))
    progress.peer_proves(OperatorIndex(1), Height(3))
    progress.peer_proves(OperatorIndex(2), Height(4))
    await progress.look(0.0)
    assert store.rejoin().vote_above is None  # type: ignore[union-attr]
    progress.peer_proves(OperatorIndex(3), Height(2))  # it shows what it has after all
    await progress.look(0.0)
    assert store.rejoin().vote_above == 4 + OPEN_AHEAD  # type: ignore[union-attr]


async def test_at_genesis_there_is_nothing_to_prove(opened: Open) -> None:
    store, progress = opened(rejoin=True)
    for peer in (1, 2, 3):
        progress.peer_claims(OperatorIndex(peer), Height(0))
    await progress.look(0.0)
    assert store.rejoin().vote_above == OPEN_AHEAD  # type: ignore[union-attr]


async def test_rejoin_bound_survives_a_restart(opened: Open) -> None:
    _, progress = opened(rejoin=True)
    for peer in (1, 2, 3):
        progress.peer_claims(OperatorIndex(peer), Height(7))
        progress.peer_proves(OperatorIndex(peer), Height(7))
    await progress.look(0.0)
    _, again = opened()
    assert again.is_rejoining
    await again.look(0.0)
    assert again.is_rejoining


async def test_halt_holds_for_its_term_alone(opened: Open) -> None:
    _, progress = opened()
    assert await progress.halt(ResetRequired(9, "deep reorg")) is not None
    assert await progress.halt(ResetRequired(9, "deep reorg")) is None, "said once"
    _, same_term = opened()
    assert same_term.is_halted
    assert same_term.reset is not None
    assert same_term.reset.first_affected_height == 9
    _, next_term = opened(term=1)
    assert not next_term.is_halted


async def test_a_halt_that_ends_is_forgotten(opened: Open) -> None:
    _, progress = opened()
    halt = await progress.halt(ResetRequired(9, "a fork"))
    assert halt is not None
    assert await progress.resume() == halt
    assert await progress.resume() is None
    _, after = opened()
    assert not after.is_halted


async def test_a_peer_cannot_use_up_anothers_share_of_the_inbox() -> None:
    metrics = Metrics()
    inbox: Inbox[str] = Inbox("test", metrics)
    for _ in range(MAX_PER_PEER + 5):
        inbox.put_from(OperatorIndex(1), "flood", 10)
    assert inbox.put_from(OperatorIndex(2), "vote", 10)
    inbox.put("timer")
    assert len(inbox) == MAX_PER_PEER + 2
    assert metrics.get("inbox_dropped_total", inbox="test", peer="op2") == 5
    for _ in range(MAX_PER_PEER):
        await inbox.get()
    assert inbox.put_from(OperatorIndex(1), "again", 10)


async def test_a_vote_does_not_wait_behind_all_that_a_peer_floods() -> None:
    inbox: Inbox[str] = Inbox("test", Metrics())
    for _ in range(MAX_PER_PEER):
        inbox.put_from(OperatorIndex(1), "flood", 10)
    inbox.put_from(OperatorIndex(2), "vote", 10)
    inbox.put("timer")
    for _ in range(2 * MAX_PER_PEER):  # it goes on, as fast as it is served
        served = [await inbox.get() for _ in range(IN_LINE_PER_PEER + 2)]
        assert served == ["flood"] * IN_LINE_PER_PEER + ["vote", "timer"]
        for _ in range(IN_LINE_PER_PEER):
            assert inbox.put_from(OperatorIndex(1), "flood", 10)
        inbox.put_from(OperatorIndex(2), "vote", 10)
        inbox.put("timer")
    assert len(inbox) == MAX_PER_PEER + 2


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=300))
def test_each_peers_own_order_is_kept_and_nothing_is_lost(steps: list[tuple[int, bool]]) -> None:
    """Peers say their next number, or the core takes an input; at the end it takes all."""

    async def scenario() -> None:
        inbox: Inbox[tuple[int, int]] = Inbox("test", Metrics())
        said, heard = [0] * 4, [0] * 4

        async def take() -> None:
            peer, number = await inbox.get()
            assert number == heard[peer]
            heard[peer] += 1

        for peer, takes in steps:
            if takes and len(inbox):
                await take()
            elif inbox.put_from(OperatorIndex(peer), (peer, said[peer]), 1):
                said[peer] += 1
        while len(inbox):
            await take()
        assert heard == said

    asyncio.run(scenario())


@given(st.lists(st.integers(1, MAX_BYTES_PER_PEER // 2), max_size=20))
def test_inbox_is_bounded_in_bytes(sizes: list[int]) -> None:
    inbox: Inbox[int] = Inbox("test", Metrics())
    taken = [size for size in sizes if inbox.put_from(OperatorIndex(0), size, size)]
    assert sum(taken) <= MAX_BYTES_PER_PEER


async def test_a_new_store_that_began_is_new_no_more(opened: Open) -> None:
    store, progress = opened()
    assert store.is_new()
    assert progress.is_gathering
    for peer in (P1, P2, P3):
        progress.peer_claims(peer, Height(0), votes=True)
    await progress.look(0.0)
    assert progress.takes_part
    store, again = opened()
    assert not store.is_new()
    assert again.takes_part


async def test_a_forgotten_vote_makes_it_rejoin_durably(opened: Open) -> None:
    _, progress = opened()
    await progress.vote_forgotten()
    assert progress.is_rejoining
    _, again = opened()
    assert again.is_rejoining


async def test_what_is_written_is_of_the_state_that_is_held(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look that comes while the store is written waits: it saw a state that is gone then, and
    wrote of votes that are missing into the store of one that votes."""
    store, progress = opened()
    for peer in (P1, P2, P3):
        progress.peer_claims(peer, Height(0), votes=True)
    writing, written = asyncio.Event(), asyncio.Event()
    began = store.set_began

    async def slowly() -> None:
        writing.set()
        await written.wait()
        await began()

    monkeypatch.setattr(store, "set_began", slowly)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(progress.look(0.0))
        await writing.wait()
        forgotten = tasks.create_task(progress.vote_forgotten())
        await asyncio.sleep(0)
        assert store.rejoin() is None
        written.set()
        await forgotten
    assert progress.is_rejoining
    _, again = opened()
    assert again.is_rejoining


async def test_who_does_not_vote_says_what_he_waits_for(opened: Open) -> None:
    _, progress = opened()
    progress.peer_claims(P1, Height(0), votes=True)
    assert progress.waits_for() == "2 other operators that are ready, to begin; so far: op2"
    for peer in (P2, OperatorIndex(3)):
        progress.peer_claims(peer, Height(0), votes=True)
    await progress.look(0.0)
    assert progress.waits_for() is None
    await progress.halt(ResetRequired(9, "deep reorg"))
    assert "deep reorg" in (progress.waits_for() or "")


async def test_who_could_not_judge_yet_neither_begins_nor_says_that_it_votes(opened: Open) -> None:
    is_ready = False
    _, progress = opened(ready=lambda: is_ready)
    for peer in (P1, P2, OperatorIndex(3)):
        progress.peer_claims(peer, Height(0), votes=True)
    await progress.look(0.0)
    assert (progress.takes_part, progress.votes) == (False, False)
    assert progress.waits_for() == "its rollup node, which needs a first look at L1, to begin"
    is_ready = True
    assert progress.votes
    await progress.look(1.0)
    is_ready = False
    assert (progress.takes_part, progress.votes) == (True, True), "asked to begin, and never again"
