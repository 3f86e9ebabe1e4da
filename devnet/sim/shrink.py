"""Make a failing tape short: take away whatever the failure does not need.

Coarse first (all that one function drew, all that happened to one operator), then halves of what
is left, down to single choices; parameters in between. A candidate counts when it breaks the same
invariant, and keeps of itself only what its run met.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec

from devnet.sim.params import Params
from devnet.sim.replay import play
from devnet.sim.tape import Tape
from dst.spec.errors import InvalidInput

FIRST_PLACES: Final = 32
"""More than an operator draws of one kind in a height."""
BUDGET: Final = 600
"""Replays of one shrinking; half a minute to a minute of them."""

SELDOM_SPARED: Final = ("byzantine", "chaos_us", "loss")
"""Parameters that many failures need; all the others are first taken away together."""

OF_OPERATORS: Final = ("byzantine", "drift_ppm")
"""Parameters that say something of each operator."""

Place: TypeAlias = tuple[str, int]
"""(stream, place in it)."""


@dataclass
class Shrinking:
    """`tape` is the shortest so far. budget: replays that are left."""

    tape: Tape
    budget: int = BUDGET
    shown: Callable[["Shrinking"], None] | None = None
    replays: int = 0

    def run(self) -> Tape:
        """Until nothing more can be taken away, or the budget is spent."""
        before = None
        while before != self.tape and self.budget:
            before = self.tape
            self._without(_places(self.tape))
            for group in (_function, _whose, _stream):
                self._without_groups(group)
            self._calmer()
            self._without_halves()
            self._sooner()
        return self.tape

    def _try(self, candidate: Tape) -> bool:
        if not self.budget or candidate == self.tape:
            return False
        self.budget -= 1
        self.replays += 1
        try:
            played = play(candidate)
        except InvalidInput:  # parameters that do not go together
            return False
        if played.tape.failure != self.tape.failure:
            return False
        self.tape = played.tape
        if self.shown is not None:
            self.shown(self)
        return True

    def _without(self, places: Iterable[Place]) -> bool:
        gone = set(places)
        left: dict[str, dict[int, int]] = defaultdict(dict)
        for place, choice in _places(self.tape).items():
            if place not in gone:
                left[place[0]][place[1]] = choice
        return self._try(msgspec.structs.replace(self.tape, choices=dict(left)))

    def _without_groups(self, group: Callable[[str], str]) -> None:
        groups: dict[str, list[Place]] = defaultdict(list)
        for place in _places(self.tape):
            groups[group(place[0])].append(place)
        for name in sorted(groups, key=lambda each: (-len(groups[each]), each)):
            self._without(groups[name])

    def _without_halves(self) -> None:
        size = (len(_places(self.tape)) + 1) // 2
        while size and self.budget:
            at = 0
            while at < len(places := list(_places(self.tape))) and self.budget:
                if not self._without(places[at : at + size]):
                    at += size
            size //= 2

    def _sooner(self) -> None:
        """What befalls somebody in the ninth height would mostly do in the first: a choice that is
        alone in its stream, at one of the first places."""
        for stream, choices in sorted(self.tape.choices.items()):
            if len(choices) > 1:
                continue
            [(place, choice)] = choices.items()
            for sooner in range(min(place, FIRST_PLACES)):
                moved = {**self.tape.choices, stream: {sooner: choice}}
                if self._try(msgspec.structs.replace(self.tape, choices=moved)):
                    break

    def _calmer(self) -> None:
        """Fewer liars and wrong clocks, benign parameters, a shorter time of trouble."""
        for name in OF_OPERATORS:
            for index in sorted(self.tape.params.get(name, {})):
                others = self.tape.params[name].items()
                self._with(**{name: {each: how for each, how in others if each != index}})
        few = {each: value for each, value in self.tape.params.items() if each in SELDOM_SPARED}
        self._try(msgspec.structs.replace(self.tape, params=few))
        for name in sorted(self.tape.params):
            left = {each: value for each, value in self.tape.params.items() if each != name}
            self._try(msgspec.structs.replace(self.tape, params=left))
        while longer := self.tape.params.get("chaos_us"):
            if not self._with(chaos_us=max(longer // 2, Params(n=1).chaos_us)):
                break

    def _with(self, **changes: Any) -> bool:
        params = {**self.tape.params, **changes}
        return self._try(msgspec.structs.replace(self.tape, params=params))


def shrink(
    tape: Tape, *, budget: int = BUDGET, shown: Callable[[Shrinking], None] | None = None
) -> Tape:
    """The shortest tape found that breaks what `tape` breaks."""
    return Shrinking(tape, budget, shown).run()


def _places(tape: Tape) -> dict[Place, int]:
    return {
        (stream, place): choice
        for stream, choices in sorted(tape.choices.items())
        for place, choice in sorted(choices.items())
    }


def _function(stream: str) -> str:
    """`Network._draw_delay below` of `op1>op2 Network._draw_delay below`."""
    return " ".join(stream.split()[-2:])


def _whose(stream: str) -> str:
    return " ".join(stream.split()[:-2])


def _stream(stream: str) -> str:
    return stream
