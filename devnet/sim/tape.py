"""The choices of a run as data: one tape, on which 0 is the benign choice and what is absent is 0.

A run draws from one `random.Random`. `Choices` is one that also keeps what was drawn (the same
numbers in the same order, so that recording changes no story), or that reads a tape and draws
nothing. Any code that draws is on the tape; it need not know.

A choice is filed under its stream, whose name is who draws (`op2`, `op1>op3`), in which function,
and what: so taking one away shifts no other stream. Benign are a chance that does not come true,
the least number of a range and the first of several; where that is not so, the place that draws
says it with `longest` or `moments`.
"""

import json
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from random import Random
from typing import Any, Final, Self

import msgspec

from devnet.sim.params import Params, apart
from dst.spec.errors import InvalidInput

FLOAT_BITS: Final = 53
"""Of randomness in `Random.random`."""
HELPERS: Final = ("drawn",)
"""Functions that draw for their caller, after which the stream is named."""


class Schedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of faults. text: a scenario, YAML. seed: of what it draws itself."""

    text: str
    seed: int


class Tape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run, whole: what is not said is benign.

    generator: what plays it (`devnet.sim.replay`). failure: the invariant it breaks, with `mutant`
    switched on if there is one. params: of a chaos run. schedule: of a rehearsal. choices: stream
    -> place in it -> choice.
    """

    generator: str
    n: int
    mutant: str | None = None
    failure: str = ""
    why: str = ""
    params: dict[str, Any] = {}
    schedule: Schedule | None = None
    choices: dict[str, dict[int, int]] = {}

    @classmethod
    def read(cls, data: bytes) -> Self:
        """Raises: InvalidInput for what is not a tape."""
        try:
            return msgspec.convert(json.loads(data), cls, strict=False, str_keys=True)
        except (msgspec.ValidationError, ValueError) as error:
            raise InvalidInput(f"not a tape: {error}") from None

    def written(self) -> bytes:
        """JSON; of the library whose integers have no bound."""
        plain = msgspec.to_builtins(self)
        return json.dumps(plain, indent=1).encode() + b"\n"

    def __len__(self) -> int:
        """How much of it is not benign."""
        return len(self.params) + sum(map(len, self.choices.values()))


def params_of(tape: Tape) -> Params:
    """Raises: InvalidInput for parameters that a run does not have."""
    if unknown := tape.params.keys() - {each.name for each in fields(Params)}:
        raise InvalidInput(f"a run has no {', '.join(sorted(unknown))}")
    try:
        return msgspec.convert({"n": tape.n, **tape.params}, Params, str_keys=True)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"parameters: {error}") from None


def unusual(params: Params) -> dict[str, Any]:
    """Those that are not benign, as a tape has them."""
    benign, drawn = (
        msgspec.json.decode(msgspec.json.encode(each)) for each in (Params(n=params.n), params)
    )
    return {name: value for name, value in drawn.items() if value != benign[name]}


@dataclass
class Book:
    """What is read from, and what was taken: all choices of a run that were not benign."""

    choices: dict[str, dict[int, int]] = field(default_factory=dict)
    taken: dict[str, dict[int, int]] = field(default_factory=dict)
    scope: str = ""
    _places: dict[str, int] = field(default_factory=dict)

    def choose(self, stream: str, draw: Callable[[], int] | None) -> int:
        place = self._places.get(stream, 0)
        self._places[stream] = place + 1
        choice = self.choices.get(stream, {}).get(place, 0) if draw is None else draw()
        self.take(stream, place, choice)
        return choice

    def take(self, stream: str, place: int, choice: int) -> None:
        if choice:
            self.taken.setdefault(stream, {})[place] = choice


class Choices(Random):
    """source: what is drawn from; None: read from the book."""

    def __new__(cls, *_: object) -> Self:
        return super().__new__(cls)

    def __init__(self, book: Book, source: Random | None = None, whose: str = "") -> None:
        super().__init__(0)
        self.book, self._source, self._whose = book, source, whose

    def of(self, whose: str) -> "Choices":
        return Choices(self.book, self._source, whose)

    def apart(self, name: str) -> "Choices":
        """Its draws take nothing from these."""
        source = None if self._source is None else apart(self._source, name)
        return Choices(self.book, source, self._whose)

    # ------------------------------------------ what every method of `Random` comes down to

    def random(self) -> float:
        ones = 1 << FLOAT_BITS
        choice = self._choose("random", lambda source: ones - 1 - int(source.random() * ones))
        return (ones - 1 - choice) / ones

    def getrandbits(self, k: int, /) -> int:
        return self._choose("bits", lambda source: source.getrandbits(k))

    def _randbelow(self, n: int) -> int:
        return self._choose("below", lambda source: source.randrange(n)) % n

    # ---------------------------------------------------------- choices with another benign end

    def chance(self, rate: float) -> bool:
        return bool(self._choose("chance", lambda source: int(source.random() < rate)))

    def longest(self, least: int, most: int) -> int:
        last = most - 1
        return max(least, last - self._choose("wait", lambda s: last - s.randrange(least, most)))

    def moments(self, what: str, every: int, until: int) -> list[tuple[int, int]]:
        if self._source is None:
            found = sorted(self.book.choices.get(what, {}).items())
        else:
            found = list(enumerate(_moments(self._source, every, until)))
        for place, at in found:
            self.book.take(what, place, at)
        return found

    def _choose(self, what: str, draw: Callable[[Random], int]) -> int:
        source = self._source
        stream = f"{self.book.scope or self._whose} {_who_draws()} {what}".lstrip()
        return self.book.choose(stream, None if source is None else lambda: draw(source))


def _who_draws() -> str:
    """The function, without what only some Pythons see as one (comprehensions)."""
    frame = sys._getframe(2)
    while frame.f_code.co_filename in (__file__, random.__file__) or (
        frame.f_code.co_name in HELPERS
    ):
        assert frame.f_back is not None, "somebody draws"
        frame = frame.f_back
    return frame.f_code.co_qualname.partition(".<locals>")[0]


class Digits(Random):
    """Draws that are the digits of a number: 0, 1, 2, ... are all that can be drawn, in order."""

    def __init__(self, number: int) -> None:
        super().__init__(0)
        self._left = number

    def _randbelow(self, n: int) -> int:
        self._left, digit = divmod(self._left, n)
        return digit


# ------------------------------------------------------- for what draws from either, seed or tape


def stream(rng: Random, whose: str) -> Random:
    """The same randomness; on a tape under that name."""
    return rng.of(whose) if isinstance(rng, Choices) else rng


def drawn_apart(rng: Random, name: str) -> Random:
    """Randomness of its own, for a fault that came later than the seeds: it shifts none of them."""
    return rng.apart(name) if isinstance(rng, Choices) else apart(rng, name)


@contextmanager
def step(rng: Random, name: str) -> Iterator[None]:
    """Whatever is drawn within belongs to that one fault."""
    if not isinstance(rng, Choices):
        yield
        return
    before, rng.book.scope = rng.book.scope, name
    try:
        yield
    finally:
        rng.book.scope = before


def chance(rng: Random, rate: float) -> bool:
    """Whether it comes true; benign: no."""
    return rng.chance(rate) if isinstance(rng, Choices) else rng.random() < rate


def longest(rng: Random, least: int, most: int) -> int:
    """As `randrange`; benign: the longest, for what happens again after that time."""
    return rng.longest(least, most) if isinstance(rng, Choices) else rng.randrange(least, most)


def moments(rng: Random, what: str, every: int, until: int) -> list[tuple[int, int]]:
    """Numbered times of a fault that happens `every` so often on average; benign: never."""
    if isinstance(rng, Choices):
        return rng.moments(what, every, until)
    return list(enumerate(_moments(rng, every, until)))


def _moments(rng: Random, every: int, until: int) -> Iterator[int]:
    at = 0
    while every and (at := at + rng.randrange(1, 2 * every)) < until:
        yield at
