"""The simulator proves itself: every seeded bug dies of what `kill_table` says, the shipped code
survives just that, and whoever does not die is argued equivalent."""

from collections.abc import Callable
from typing import TypeAlias

import pytest

import dst.qbft.justification
import dst.sealing
from devnet.sim import lockstep
from devnet.sim.disk import Disk
from devnet.sim.findings import explain
from devnet.sim.mutants import MUTANTS, mutated
from tests.simulation import kill_table
from tests.simulation.conftest import FATE
from tests.simulation.kill_generators import CONTRARY, HEALED, Generator
from tests.simulation.kill_table import FATES, Equivalent, Kill

KILLS = {name: fate for name, fate in FATES.items() if isinstance(fate, Kill)}
EQUIVALENT = {name: fate for name, fate in FATES.items() if isinstance(fate, Equivalent)}

Record: TypeAlias = Callable[[str, object], None]


def told(generator: Generator, seed: int, broken: str | None) -> str:
    """That the shipped code fails, and how to see it again."""
    said = f"the shipped code breaks on seed {seed} of {generator.name}: {broken}"
    return f"{said}\n{explain(generator.tapes, seed, 4)}" if generator.tapes else said


def test_every_mutant_has_its_fate() -> None:
    assert FATES.keys() == MUTANTS.keys()


@pytest.mark.parametrize("name", KILLS)
def test_the_mutant_dies(name: str, record_property: Record) -> None:
    kill = KILLS[name]
    death = kill_table.execute(name, kill)
    record_property(FATE, kill_table.line_of(name, death))
    assert death is not None, f"{name} survives; `--search {name}` may find another seed"
    assert death.invariant in kill.breaks.split(", "), death.failure
    broken = kill.generator.play(death.seed)
    assert broken is None, told(kill.generator, death.seed, broken)


@pytest.mark.parametrize("name", EQUIVALENT)
def test_the_mutant_is_equivalent(name: str, record_property: Record) -> None:
    assert kill_table.argument_of(name), "argued where it stands"
    EQUIVALENT[name].shows(name)
    record_property(FATE, kill_table.line_of(name, None))


def test_nobody_who_dies_is_called_equivalent() -> None:
    assert [name for name in KILLS if kill_table.argument_of(name)] == []


def test_the_page_is_current() -> None:
    command = "python -m tests.simulation.kill_table --write"
    assert kill_table.PAGE.read_text() == kill_table.render(), f"run: {command}"


@pytest.mark.parametrize("n", [4, 7])
def test_the_real_core_survives_the_explorer(n: int) -> None:
    count = 3000 if n == 4 else 300
    found = lockstep.explore(range(count), n)
    assert found is None, explain("lockstep", found[0], n)


@pytest.mark.parametrize("generator", [HEALED, CONTRARY], ids=lambda each: each.name)
def test_the_real_core_survives_what_is_added_to_it(generator: Generator) -> None:
    assert [failure for seed in range(700) if (failure := generator.play(seed))] == []


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
