"""The simulator proves itself: every seeded bug dies, and the real cores survive what killed it."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count, islice
from random import Random

import pytest

import dst.qbft.justification
import dst.sealing
from devnet.sim import lockstep
from devnet.sim.disk import Disk
from devnet.sim.mutants import MUTANTS, mutated
from devnet.sim.params import Behaviour, draw_params
from devnet.sim.world import run_seed


def by_chaos(seeds: range) -> str | None:
    return next((failure for seed in seeds if (failure := run_seed(seed, 4).failure)), None)


def by_hoarder(seeds: range) -> str | None:
    """As many runs as there are seeds, those whose draw has a hoarder."""
    drawn = (seed for seed in count() if _has_hoarder(seed))
    played = (run_seed(seed, 4).failure for seed in islice(drawn, len(seeds)))
    return next((failure for failure in played if failure), None)


def _has_hoarder(seed: int) -> bool:
    return Behaviour.HOARDER in draw_params(Random(f"{seed} 4"), 4).byzantine.values()


def by_lockstep(seeds: range) -> str | None:
    found = lockstep.explore(seeds)
    return None if found is None else f"schedule {found[0]}: {found[1][0].checker}"


@dataclass(frozen=True)
class Kill:
    """How a mutant dies. `budget`: at least three times the schedules it takes today.

    long: more than a minute; run with SIM_LONG=1.
    """

    generator: Callable[[range], str | None]
    budget: int
    invariants: tuple[str, ...]
    long: bool = False


KILLS = {
    "quorum-2f": Kill(by_lockstep, 100, ("S1", "S2")),
    "votes-not-persisted": Kill(by_lockstep, 150, ("S12",)),
    "proposal-without-justification": Kill(by_lockstep, 500, ("S1", "S2")),
    "round-change-without-proof": Kill(by_lockstep, 3000, ("S1", "S2")),
    "partials-not-resent": Kill(by_chaos, 20, ("L4",)),
    "certificate-unchecked": Kill(by_lockstep, 50, ("S1", "S2")),
    "signatures-unchecked": Kill(by_lockstep, 50, ("S1", "S2")),
    "lowest-lock-wins": Kill(by_lockstep, 40_000, ("S1", "S2"), long=True),
    "view-rules-for-locked-blocks": Kill(by_chaos, 50, ("L4",)),
    "prepared-block-lost": Kill(by_hoarder, 20, ("L4",)),
    "send-before-persist": Kill(by_chaos, 60, ("S12",)),
    "not-synced": Kill(by_chaos, 40, ("S12",)),
    "hold-for-ever": Kill(by_chaos, 20, ("L4",)),
    "certificates-ignored": Kill(by_chaos, 20, ("L4",)),
    "lost-store-votes": Kill(by_chaos, 60, ("S12",)),
    "log-not-read": Kill(by_lockstep, 100, ("S12",)),
}


def test_every_mutant_has_its_executioner() -> None:
    assert KILLS.keys() == MUTANTS.keys()


@pytest.mark.parametrize("name", KILLS)
def test_the_mutant_dies(name: str) -> None:
    kill = KILLS[name]
    if kill.long and not os.environ.get("SIM_LONG"):
        pytest.skip("long tier: SIM_LONG=1")
    with mutated(name):
        failure = kill.generator(range(kill.budget))
    assert failure is not None, f"{name} survived {kill.budget} schedules"
    assert any(invariant in failure for invariant in kill.invariants), failure


@pytest.mark.parametrize("n", [4, 7])
def test_the_real_core_survives_the_explorer(n: int) -> None:
    count = 3000 if n == 4 else 300
    found = lockstep.explore(range(count), n)
    assert found is None, found


def test_explored_schedules_reach_decisions_in_many_rounds() -> None:
    """An explorer that never decides, or only in round 0, would survive anything."""
    decided: set[int] = set()
    rounds: set[int] = set()
    for seed in range(150):
        schedule = lockstep.Schedule(seed)
        schedule.play()
        actors = schedule.stage.actors.values()
        decided.add(sum(actor.decided is not None for actor in actors))
        rounds.update(actor.state.round for actor in actors if actor.decided is None)
    assert decided == {0, 1, 2, 3}
    assert {1, 2, 3, 4, 5} <= rounds


def test_switching_off_restores_the_real_thing() -> None:
    def look() -> tuple[object, ...]:
        return dst.qbft.justification.quorum_size, dst.sealing.step, Disk.append

    before = look()
    for name in MUTANTS:
        with mutated(name):
            assert look() != before or name not in (
                "quorum-2f",
                "partials-not-resent",
                "votes-not-persisted",
            )
    assert look() == before
