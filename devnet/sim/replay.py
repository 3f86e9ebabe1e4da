"""Play a tape, or a seed so that its tape remains; the one way for every generator."""

from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from devnet.sim import lockstep, world
from devnet.sim.mutants import MUTANTS, mutated
from devnet.sim.params import draw_params
from devnet.sim.story import Story
from devnet.sim.tape import Book, Choices, Tape, params_of, unusual
from dst.spec.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """failure: empty when nothing broke. trace: of a chaos run, the checksum of its records."""

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


def invariant(failure: str) -> str:
    """`S1 agreement` of `S1 agreement: two roots ...`."""
    return failure.partition(":")[0]


def _play(tape: Tape, book: Book, seed: int | None, story: Story | None) -> Played:
    if tape.generator not in GENERATORS or tape.mutant not in (None, *MUTANTS):
        raise InvalidInput(f"nothing here is called {tape.generator} or {tape.mutant}")
    with mutated(tape.mutant):
        played = GENERATORS[tape.generator](tape, book, seed, story)
    found = msgspec.structs.replace(
        played.tape, choices=book.taken, failure=invariant(played.failure)
    )
    return Played(tape=found, failure=played.failure, trace=played.trace)


def _chaos(tape: Tape, book: Book, seed: int | None, story: Story | None) -> Played:
    if seed is None:
        source, params = None, params_of(tape)
    else:
        source = world.seeded(seed, tape.n)
        params = draw_params(source, tape.n)
    rng = Choices(book, source)
    found = msgspec.structs.replace(tape, params=unusual(params))
    try:
        outcome = world.run_seed(seed or 0, tape.n, params=params, rng=rng, story=story)
    except Exception as error:  # what a run must not raise is a finding, too
        return Played(tape=found, failure=f"{type(error).__name__}: {error}")
    return Played(tape=found, failure=outcome.failure, trace=outcome.trace)


def _lockstep(tape: Tape, book: Book, seed: int | None, story: Story | None) -> Played:
    sources = (None, None) if seed is None else lockstep.seeded(seed, tape.n)
    draws = Choices(book, sources[0]), Choices(book, sources[1], "links")
    try:
        schedule = lockstep.Schedule(seed or 0, tape.n, draws=draws, story=story)
        failure = lockstep.told(schedule.play())
    except Exception as error:
        failure = f"{type(error).__name__}: {error}"
    return Played(tape=tape, failure=failure)


GENERATORS: Final[dict[str, Generator]] = {"chaos": _chaos, "lockstep": _lockstep}
