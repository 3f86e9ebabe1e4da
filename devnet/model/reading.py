"""From what YAML gave to values, or one precise error.

Every error names the place (`faults[0].until`) and what would be right there: a key that is
silently ignored would be a fault that silently does not happen.
"""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from reprlib import Repr
from typing import Any, Final, TypeVar

from devnet.model.terms import (
    Aim,
    At,
    Count,
    Delay,
    Duration,
    Edge,
    Moment,
    Repeat,
    Several,
    Target,
    Trigger,
    Until,
)
from dst.spec.errors import BadConfig

MAX_SECONDS: Final = 3600.0
MAX_HEIGHTS: Final = 10_000

MAX_NAME: Final = 64
NAME_PATTERN: Final = "[a-z0-9][a-z0-9-]{0,63}"
NODE_PATTERN: Final = "(op|f)[1-9][0-9]?"
SEVERAL_PATTERN: Final = r"random\((?:10|[1-9]|f(?:\+[1-9])?)\)"
MAX_TIMES: Final = 100
ENDINGS: Final = tuple(trigger for trigger in Trigger if trigger is not Trigger.START)
"""A fault stands from the start on, so that none ends with it."""
_NAME: Final = re.compile(NAME_PATTERN)
_NODE: Final = re.compile(NODE_PATTERN)
_TERM: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|slots?)")
_COUNT: Final = re.compile(r"(?:([1-9]?n)(?:\s*\+\s*([0-9]+))?|([0-9]+))")

_SHORT: Final = Repr()
_SHORT.maxstring = _SHORT.maxother = 120
_SHORT.maxlevel = 3

_Choice = TypeVar("_Choice", bound=StrEnum)


def shown(value: object) -> str:
    """As much of it as a person needs to find it."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # a number of thousands of digits
        return f"a huge {type(value).__name__}"


class Fields:
    """One mapping of the file: hands out its keys once each and complains about what is left."""

    def __init__(self, value: Any, where: str, allowed: Sequence[str]) -> None:
        """Raises: BadConfig when it is no mapping, or has a key that is not allowed."""
        if not isinstance(value, Mapping):
            raise BadConfig(f"{where}: expected a mapping with {', '.join(allowed)}")
        self._values: dict[str, Any] = {
            key if isinstance(key, str) else shown(key): item for key, item in value.items()
        }
        self.where = where
        for key in self._values:
            if key not in allowed:
                raise BadConfig(f"{where}: unknown key {shown(key)}; allowed: {', '.join(allowed)}")

    def has(self, key: str) -> bool:
        return key in self._values

    def at(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key

    def required(self, key: str) -> Any:
        """Raises: BadConfig when it is missing."""
        if key not in self._values:
            raise BadConfig(f"{self.where}: the key {key!r} is missing")
        return self._values[key]

    def get(self, key: str, default: Any) -> Any:
        return self._values.get(key, default)

    # What may be left out, with what it is then. Raises (all): BadConfig.

    def integer(self, key: str, default: int, low: int, high: int) -> int:
        return read_integer(self.get(key, default), self.at(key), low, high)

    def duration(self, key: str, default: Duration) -> Duration:
        return read_duration(self.required(key), self.at(key)) if self.has(key) else default

    def count(self, key: str, default: Count) -> Count:
        return read_count(self.required(key), self.at(key)) if self.has(key) else default

    def choice(self, key: str, kind: type[_Choice], default: _Choice) -> _Choice:
        return read_choice(self.get(key, default), self.at(key), kind)


def read_integer(value: object, where: str, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise BadConfig(
            f"{where}: expected a whole number from {low} to {high}, got {shown(value)}"
        )
    return value


def read_share(value: object, where: str) -> float:
    """Of none nothing would be there to be seen."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= 1:
        raise BadConfig(f"{where}: expected a number above 0 and at most 1, got {shown(value)}")
    return float(value)


def read_text(value: object, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise BadConfig(f"{where}: expected text, got {shown(value)}")
    return value.strip()


def read_name(value: object, where: str) -> str:
    if not isinstance(value, str) or _NAME.fullmatch(value) is None:
        raise BadConfig(
            f"{where}: expected a name of a-z, 0-9 and - (at most 64), got {shown(value)}"
        )
    return value


def read_choice(value: object, where: str, kind: type[_Choice]) -> _Choice:
    try:
        return kind(value)  # type: ignore[arg-type]  # whatever is no value of it is refused
    except ValueError:
        allowed = ", ".join(kind)
        raise BadConfig(f"{where}: expected one of {allowed}; got {shown(value)}") from None


def read_duration(value: object, where: str) -> Duration:
    """`300ms`, `5s`, `1 slot`, `2 slots + 4s`. A bare number has no unit and is refused."""
    seconds = slots = 0.0
    parts = value.split("+") if isinstance(value, str) else [""]
    for part in parts:
        match = _TERM.fullmatch(part.strip())
        if match is None:
            raise BadConfig(
                f"{where}: expected a duration such as 300ms, 5s, 1 slot or 2 slots + 4s, "
                f"got {shown(value)}"
            )
        amount, unit = float(match[1]), match[2]
        if unit.startswith("slot"):
            slots += amount
        else:
            seconds += amount / 1000 if unit == "ms" else amount
    if seconds > MAX_SECONDS or slots > MAX_SECONDS:
        raise BadConfig(f"{where}: {shown(value)} is longer than {MAX_SECONDS:.0f} s or slots")
    return Duration(seconds=seconds, slots=slots)


def read_count(value: object, where: str) -> Count:
    """`3`, `n` (the number of operators), `2n` or `n + 2`."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    match = _COUNT.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise BadConfig(
            f"{where}: expected a number of heights, n, 2n, or n + 2, got {shown(value)}"
        )
    plain = int(match[2] or match[3] or 0)
    if plain > MAX_HEIGHTS:
        raise BadConfig(f"{where}: at most {MAX_HEIGHTS} heights, got {shown(value)}")
    operators = match[1] and (match[1].removesuffix("n") or 1)
    return Count(plain=plain, operators=int(operators or 0))


def read_delay(value: object, where: str) -> Delay:
    """A duration, or `{upto: 1 slot}` for a seeded draw."""
    if not isinstance(value, Mapping):
        return Delay(fixed=read_duration(value, where))
    fields = Fields(value, where, ("upto",))
    return Delay(upto=read_duration(fields.required("upto"), fields.at("upto")))


def read_at(value: object, where: str) -> At:
    """Every part of it may be left out."""
    known = ("after", "heights", "event", "leader", "delay", "every", "times")
    fields = Fields(value, where, known)
    return At(
        after=_read_after(fields),
        heights=fields.count("heights", Count()),
        trigger=fields.choice("event", Trigger, Trigger.START),
        leader=_read_leader(fields),
        repeat=_read_repeat(fields),
        delay=read_delay(fields.required("delay"), fields.at("delay"))
        if fields.has("delay")
        else Delay(),
    )


def _read_leader(fields: Fields) -> str:
    """Goes with `event: decided`: only then it is known who leads next."""
    if not fields.has("leader"):
        return ""
    where = fields.at("leader")
    if fields.get("event", "") != Trigger.DECIDED:
        raise BadConfig(f"{where}: goes with event: {Trigger.DECIDED}")
    return read_name(fields.required("leader"), where)


def _read_after(fields: Fields) -> Moment | None:
    """`kill` (its heal), `{inject: kill}`, `{heal: kill}`, `{rejoin: kill}`."""
    if not fields.has("after"):
        return None
    value, where = fields.required("after"), fields.at("after")
    if not isinstance(value, Mapping):
        return Moment(fault=read_name(value, where))
    edges = Fields(value, where, tuple(Edge))
    given = [edge for edge in Edge if edges.has(edge)]
    if len(given) != 1:
        raise BadConfig(
            f"{where}: expected the id of a fault, or one of "
            f"{', '.join(f'{{{edge}: ID}}' for edge in Edge)}"
        )
    name = read_name(edges.required(given[0]), edges.at(given[0]))
    return Moment(fault=name, edge=given[0])


def _read_repeat(fields: Fields) -> Repeat:
    """`every: 5 heights` or `every: 20s`, and how many `times`."""
    if fields.has("every") is not fields.has("times"):
        raise BadConfig(f"{fields.where}: every and times go together")
    if not fields.has("every"):
        return Repeat()
    times = fields.integer("times", 0, 2, MAX_TIMES)
    value, where = fields.required("every"), fields.at("every")
    number, _, unit = value.rpartition(" ") if isinstance(value, str) else ("", "", "")
    if unit in ("height", "heights"):
        return Repeat(times=times, heights=read_count(number, where))
    return Repeat(times=times, pause=read_duration(value, where))


def read_until(value: object, where: str) -> Until:
    known = ("heights", "hold", "total", "after", "forever", "event", "leader", "timeout")
    fields = Fields(value, where, known)
    forever = fields.get("forever", False)
    if not isinstance(forever, bool):
        raise BadConfig(f"{where}.forever: expected true or false, got {shown(forever)}")
    until = Until(
        after=_read_after(fields),
        forever=forever,
        heights=fields.count("heights", Count()),
        hold=fields.duration("hold", Duration()),
        total=fields.duration("total", Duration()),
        trigger=_read_end(fields),
        leader=_read_leader(fields),
        timeout=fields.duration("timeout", Until().timeout),
    )
    lasts = until.heights != Count() or {until.hold, until.total} != {Duration()}
    if not (lasts or until.after or forever or until.trigger):
        raise BadConfig(
            f"{where}: a fault needs an end: give heights, hold, total, after, event or forever"
        )
    return until


def _read_end(fields: Fields) -> Trigger | None:
    """Of the events that a fault can begin with, those that can come while it stands."""
    if not fields.has("event"):
        return None
    value, where = fields.required("event"), fields.at("event")
    if value not in ENDINGS:
        raise BadConfig(f"{where}: expected one of {', '.join(ENDINGS)}; got {shown(value)}")
    return Trigger(value)


def read_target(value: object, where: str) -> Target:
    """An aim or a node's name."""
    if isinstance(value, str) and _NODE.fullmatch(value):
        return value
    if isinstance(value, str) and re.fullmatch(SEVERAL_PATTERN, value):
        words = value.removeprefix("random(").removesuffix(")").split("+")
        plain = sum(int(word) for word in words if word != "f")
        return Several(plain=plain, tolerated="f" in words)
    try:
        return Aim(value)  # type: ignore[arg-type]  # whatever is not one of its values is refused
    except ValueError:
        raise BadConfig(
            f"{where}: expected {', '.join(Aim)}, random(2), random(f) or a node "
            f"such as op2 or f1; "
            f"got {shown(value)}"
        ) from None
