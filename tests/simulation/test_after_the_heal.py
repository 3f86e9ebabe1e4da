"""A permanent minority of liars: after the heal, every honest operator decides within k rounds.

Phase by phase in the pure core, with the puppet going on (`synchrony`); with Twins (`twins`); and
the shipped shells with every kind of liar (`minority`). SIM_LONG=1, as `make sim-twins` sets it,
plays all scenarios of Twins, and ten times the seeds of the rest.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice
from typing import TypeAlias

import msgspec
import pytest

import dst.qbft.proposing
import dst.qbft.rounds
from devnet.model.verdict import Violation
from devnet.sim import synchrony
from devnet.sim.findings import explain
from devnet.sim.lockstep import Actor, Schedule, Stage
from devnet.sim.loop import VirtualLoop, play
from devnet.sim.minority import Minority, draw_minority, run_minority
from devnet.sim.mutants import mutated
from devnet.sim.params import DRAWN, Behaviour, Params
from devnet.sim.sometimes import TOO_RARE, watching
from devnet.sim.synchrony import HealedSchedule, rounds_owed
from devnet.sim.tape import Digits
from devnet.sim.twins import (
    Twins,
    draw_partitions,
    in_overlapping_sets,
    in_partitions,
    partitions,
    scenarios,
)
from devnet.sim.world import World
from dst.qbft import effects
from dst.spec.primitives import faults_tolerated

LONG = 10 if os.environ.get("SIM_LONG") else 1
EVERY = 1 if os.environ.get("SIM_LONG") else 4
"""Of the enumerated scenarios one in so many."""
SIZES = (4, 5, 6, 7, 10)


STATE_BYTES = 64 << 10
"""Of a consensus core: a few blocks, and a window of votes a peer."""


# ------------------------------------------------------------------------- phase by phase


def test_the_explorer_gets_where_chaos_seldom_does() -> None:
    met: Counter[str] = Counter()
    with watching(lambda name: met.update([name])):
        found = synchrony.explore(range(5000, 6000))
    assert found is None, explain("synchrony", found[0], 4)
    wanted = TOO_RARE | {"claim waited for", "locked block fetched", "lock moved", "f+1 skip"}
    assert not wanted - met.keys()


@pytest.mark.parametrize(
    ("n", "count"), [(2, 100), (3, 100), (4, 1500), (5, 200), (6, 200), (7, 250), (10, 100)]
)
def test_the_puppet_holds_up_no_more_rounds_than_it_leads(n: int, count: int) -> None:
    found = synchrony.explore(range(count * LONG), n)
    assert found is None, explain("synchrony", found[0], n)


def test_the_bound_is_reached_and_the_liar_had_a_lock_to_hoard() -> None:
    """Or the test above would pass with liars who do nothing."""
    rounds, hoarded = set(), 0
    for seed in range(300):
        schedule = HealedSchedule(seed)
        schedule.play()
        if schedule.synchrony is not None:
            rounds.add(schedule.synchrony.rounds)
            hoarded += schedule.hoards and schedule.hoarded_lock() is not None
    assert rounds == set(range(rounds_owed(4) + 1))
    assert hoarded >= 30


def test_a_claim_whose_block_is_forgotten_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks served from memory alone, and leaders who wait for any claim."""
    quorums = dst.qbft.proposing.quorums
    monkeypatch.setattr(
        dst.qbft.proposing, "quorums", lambda changes, q: islice(quorums(changes, q), 1)
    )
    monkeypatch.setattr(Stage, "fetch", _from_memory)
    found = synchrony.explore(range(300))
    assert found is not None
    assert found[1][0].checker == synchrony.NAME


def _from_memory(stage: Stage, effect: effects.FetchBlock) -> bytes | None:
    asked: list[Actor] = [stage.actors[each] for each in effect.holders if each in stage.actors]
    known = (each.state.blocks.get(effect.root) for each in asked)
    return next((block for block in known if block is not None), None)


def test_one_liar_too_many_forks_the_chain_and_is_noticed() -> None:
    """A control: with f + 1 of them nothing protects agreement, and the checkers must say so."""
    found = next(filter(None, (Schedule(seed, 4, liars=2).play() for seed in range(500))), [])
    assert [breach.checker for breach in found][:1] == ["S1 agreement"]


def test_whoever_repeats_nothing_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dst.qbft.rounds, "own_messages", lambda state, config: ())
    found = synchrony.explore(range(20))
    assert found is not None
    assert found[1][0].checker == synchrony.NAME


# ---------------------------------------------------------------------------------- Twins


Found: TypeAlias = tuple[int, list[Violation]]
"""The first seed that breaks something, and what."""


def enumerated(every: int) -> Found | None:
    return first_of(in_partitions, islice(scenarios(), 0, None, every), 4)


def overlapping(count: int, n: int) -> Found | None:
    return first_of(in_overlapping_sets, range(count), n)


def first_of(scenario: Callable[[int, int], Twins], seeds: Iterable[int], n: int) -> Found | None:
    played = ((seed, scenario(seed, n).play()) for seed in seeds)
    return next(((seed, found) for seed, found in played if found), None)


def test_the_enumeration_is_whole_and_has_nothing_twice() -> None:
    found = [draw_partitions(Digits(number), 4) for number in scenarios()]
    assert len(found) == len(set(found)) == 9216
    assert {twin for twin, _ in found} == {0, 1, 2, 3}
    assert len(partitions(5)) == len(set(partitions(5))) == 16


def test_twins_in_every_partition() -> None:
    found = enumerated(EVERY)
    assert found is None, explain("twins", found[0], 4)


@pytest.mark.parametrize(("n", "count"), [(4, 1000), (7, 250)])
def test_twins_in_overlapping_sets(n: int, count: int) -> None:
    found = overlapping(count * LONG, n)
    assert found is None, explain("twins-overlapping", found[0], n)


def test_twins_equivocate_and_find_a_quorum_that_is_too_small() -> None:
    with mutated("quorum-2f"):
        for found in (enumerated(16), overlapping(100, 4)):
            assert found is not None
            assert found[1][0].checker == "S1 agreement"


# ---------------------------------------------------------------------- the shipped shells


@pytest.mark.parametrize(("n", "count"), [(4, 40), (5, 8), (6, 8), (7, 8), (10, 3)])
def test_liars_who_never_stop_cost_the_rounds_they_lead(n: int, count: int) -> None:
    worst = set()
    for seed in range(count * LONG):
        outcome, round_ = run_minority(seed, n)
        assert not outcome.failure, explain("minority", seed, n)
        worst.add(round_)
    assert max(worst) >= 1, "no liar cost a round: they do nothing"


def test_every_kind_of_liar_has_its_turn() -> None:
    met = {each for seed in range(60) for each in draw_minority(seed, 4).byzantine.values()}
    assert met == set(DRAWN)
    for n in SIZES:
        drawn = [draw_minority(seed, n) for seed in range(20)]
        faulty = {len(each.byzantine) + (each.loss is not None) for each in drawn}
        assert faulty == {faults_tolerated(n)}
        assert any(each.loss for each in drawn) == (n >= 7)


@pytest.mark.parametrize(("seed", "n"), [(0, 4), (1, 4), *([(0, 7)] if LONG > 1 else [])])
def test_a_flood_fills_the_liars_share_and_nobody_elses(seed: int, n: int) -> None:
    """f members say at once, each second, four times what an inbox takes of one peer."""
    params = draw_minority(seed, n)
    liars = dict.fromkeys(params.byzantine, Behaviour.FLOODER)
    params = replace(params, byzantine=liars)
    dropped: Counter[str] = Counter()
    largest = 0

    async def run(loop: VirtualLoop) -> str:
        world = Minority(loop, seed, params)

        def look() -> None:
            nonlocal largest
            for node in world.honest:
                if node.life is not None:
                    state = node.life.shells.consensus._state
                    largest = max(largest, len(msgspec.msgpack.encode(state)))
            loop.after(20_000, look)

        look()
        outcome = await world.run()
        for node in world.honest:
            assert node.life is not None
            for peer in range(n):
                name = f"op{peer + 1}"
                count = node.life.metrics.get("inbox_dropped_total", inbox="consensus", peer=name)
                dropped["liar" if peer in liars else "honest"] += int(count)
        return outcome.failure

    assert play(run) == ""
    assert dropped["liar"] > 0, "the flood is too small to fill anything"
    assert dropped["honest"] == 0
    assert largest <= STATE_BYTES


@pytest.mark.parametrize("seed", range(4 * LONG))
def test_nothing_is_decided_twice_while_rollup_nodes_are_slow(seed: int) -> None:
    """`any-height-will-do` in the kill table shows that the lie is told."""
    validate_us = (1_000, 250_000, 2_000_000)[seed % 3]
    params = Params(
        n=4,
        byzantine={3: Behaviour.REPEATER},
        chaos_us=12_000_000,
        validate_us=validate_us,
    )
    outcome = play(lambda loop: World(loop, seed, 4, params=params).run())
    assert outcome.failure == ""
    assert outcome.heights >= 3


def test_a_liar_who_holds_the_height_would_be_noticed() -> None:
    found = set()
    with mutated("prepared-block-lost"):
        for seed in range(20):
            params = draw_minority(seed, 4)
            liars = dict.fromkeys(params.byzantine, Behaviour.HOARDER)
            params = replace(params, byzantine=liars, phases=False)
            found.add(run_minority(seed, 4, params=params)[0].failure[:3])
    assert found <= {"", "L13", "L4 "}
    assert "L13" in found
