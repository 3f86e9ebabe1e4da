"""Play a tape, or a seed so that its tape remains; the one way for every generator."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from devnet.model.verdict import Violation
from devnet.scenarios.parse import parse_text
from devnet.sim import lockstep, synchrony, twins, world
from devnet.sim.minority import draw_minority, run_minority
from devnet.sim.mutants import MUTANTS, mutated
from devnet.sim.params import Params, draw_params
from devnet.sim.rehearsal import rehearse, require_playable
from devnet.sim.story import Story
from devnet.sim.tape import Book, Choices, Schedule, Tape, params_of, unusual
from devnet.sim.world import Outcome
from dst.spec.errors import BadConfig, InvalidInput

SCHEDULE: Final = "schedule"
"""A tape's generator where faults come from a scenario, and nothing of them from the seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """failure: empty when nothing broke. trace: of a run of the shells, the checksum of its
    records."""

    tape: Tape
    failure: str
    trace: int = 0


class Generator(Protocol):
    """seed: draw from it; None: read the tape."""

    def __call__(self, tape: Tape, book: Book, seed: int | None, story: Story | None) -> Played: ...


def play(tape: Tape, story: Story | None = None) -> Played:
    """`Played.tape` holds those choices only that were met.

    Raises: InvalidInput for a tape that names what is not here.
    """
    return _play(tape, Book(tape.choices), None, story)


def record(generator: str, seed: int, n: int, mutant: str | None = None) -> Played:
    """Play a seed; its tape plays the same run."""
    return _play(Tape(generator=generator, n=n, mutant=mutant), Book(), seed, None)


def record_schedule(schedule: Schedule, seed: int, n: int, mutant: str | None = None) -> Played:
    """The same of a rehearsal."""
    tape = Tape(generator=SCHEDULE, n=n, mutant=mutant, schedule=schedule)
    return _play(tape, Book(), seed, None)


def invariant(failure: str) -> str:
    """`S1 agreement` of `S1 agreement: two roots ...`."""
    return failure.partition(":")[0]


def _play(tape: Tape, book: Book, seed: int | None, story: Story | None) -> Played:
    generator = _schedule if tape.generator == SCHEDULE else GENERATORS.get(tape.generator)
    if generator is None or tape.mutant not in (None, *MUTANTS):
        raise InvalidInput(f"nothing here is called {tape.generator} or {tape.mutant}")
    with mutated(tape.mutant):
        played = generator(tape, book, seed, story)
    found = msgspec.structs.replace(
        played.tape, choices=book.taken, failure=invariant(played.failure)
    )
    return Played(tape=found, failure=played.failure, trace=played.trace)


# ------------------------------------------------------------------------ the shells


def _chaos(tape: Tape, book: Book, seed: int | None, story: Story | None) -> Played:
    if seed is None:
        source, params = None, params_of(tape)
    else:
        source = world.seeded(seed, tape.n)
        params = draw_params(source, tape.n)
    rng = Choices(book, source)
    return _in_time(
        tape,
        params,
        lambda: world.run_seed(seed or 0, tape.n, params=params, rng=rng, story=story),
    )


def _minority(tape: Tape, book: Book, seed: int | None, story: Story | None) -> Played:
    if seed is None:
        source, params = None, params_of(tape)
    else:
        source, params = world.seeded(seed, tape.n), draw_minority(seed, tape.n)
    rng = Choices(book, source)
    return _in_time(
        tape,
        params,
        lambda: run_minority(seed or 0, tape.n, params=params, rng=rng, story=story)[0],
    )


def _schedule(tape: Tape, book: Book, seed: int | None, story: Story | None) -> Played:
    if tape.schedule is None:
        raise InvalidInput("the tape of a schedule has none")
    try:
        scenario = parse_text(tape.schedule.text, what="the schedule of the tape")
        require_playable(scenario, tape.schedule.seed)
    except BadConfig as error:
        raise InvalidInput(str(error)) from error
    rng = Choices(book, None if seed is None else world.seeded(seed, tape.n))
    drawn_from = tape.schedule.seed
    try:
        rehearsed = rehearse(scenario, seed or 0, drawn_from=drawn_from, rng=rng, story=story)
    except Exception as error:
        return Played(tape=tape, failure=f"{type(error).__name__}: {error}")
    return Played(tape=tape, failure=rehearsed.failure, trace=rehearsed.trace)


def _in_time(tape: Tape, params: Params, run: Callable[[], Outcome]) -> Played:
    found = msgspec.structs.replace(tape, params=unusual(params))
    try:
        outcome = run()
    except Exception as error:  # what a run must not raise is a finding, too
        return Played(tape=found, failure=f"{type(error).__name__}: {error}")
    return Played(tape=found, failure=outcome.failure, trace=outcome.trace)


# --------------------------------------------------------------------- the pure core


def _lockstep(tape: Tape, book: Book, seed: int | None, story: Story | None) -> Played:
    sources = (None, None) if seed is None else lockstep.seeded(seed, tape.n)
    draws = Choices(book, sources[0]), Choices(book, sources[1], "links")
    return _on_stage(
        tape, lambda: lockstep.Schedule(seed or 0, tape.n, draws=draws, story=story).play()
    )


def _synchrony(tape: Tape, book: Book, seed: int | None, story: Story | None) -> Played:
    sources = (None,) * 3 if seed is None else synchrony.seeded(seed, tape.n)
    draws = (
        Choices(book, sources[0]),
        Choices(book, sources[1], "links"),
        Choices(book, sources[2], "turn"),
    )
    return _on_stage(
        tape, lambda: synchrony.HealedSchedule(seed or 0, tape.n, draws=draws, story=story).play()
    )


def _twins(tape: Tape, book: Book, seed: int | None, story: Story | None) -> Played:
    sources = (None, None) if seed is None else twins.seeded(seed)
    draws = Choices(book, sources[0]), Choices(book, sources[1])
    scenario = twins.in_partitions(seed or 0, tape.n, draws=draws, story=story)
    return _on_stage(tape, scenario.play)


def _overlapping(tape: Tape, book: Book, seed: int | None, story: Story | None) -> Played:
    rng = Choices(book, None if seed is None else twins.overlapping(seed, tape.n))
    scenario = twins.in_overlapping_sets(seed or 0, tape.n, rng=rng, story=story)
    return _on_stage(tape, scenario.play)


def _on_stage(tape: Tape, run: Callable[[], Sequence[Violation]]) -> Played:
    try:
        failure = lockstep.told(run())
    except Exception as error:
        failure = f"{type(error).__name__}: {error}"
    return Played(tape=tape, failure=failure)


GENERATORS: Final[dict[str, Generator]] = {
    "chaos": _chaos,
    "minority": _minority,
    "lockstep": _lockstep,
    "synchrony": _synchrony,
    "twins": _twins,
    "twins-overlapping": _overlapping,
}
