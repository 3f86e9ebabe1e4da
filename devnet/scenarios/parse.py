"""From YAML to a `Scenario`, or one precise error: unknown keys, wrong types and impossible
combinations are refused.

Every error names the place (`faults[0].until`) and what would be right there: a key that is
silently ignored would be a fault that silently does not happen.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import yaml

from devnet.model.fault import CutMode, FaultKind
from devnet.model.scenario import (
    SCHEMA_VERSION,
    At,
    Count,
    Delay,
    Duration,
    Expect,
    Fault,
    Hostile,
    LinkClass,
    Load,
    Role,
    RoundChanges,
    Scenario,
    Target,
    Trigger,
    Until,
)
from dst.spec.errors import BadConfig

MAX_FILE_BYTES: Final = 64 * 1024
"""A scenario is a page of text; anything longer is the wrong file."""
MAX_BRACKETS: Final = 512
"""Opening brackets and braces: the YAML reader takes minutes for some ten thousand nested ones."""
MAX_FAULTS: Final = 32
MAX_KINDS: Final = 200
MIN_HOSTILE_GAS: Final = 1_000_000
"""Below it some kinds cannot do what they are named after."""
MAX_HOSTILE_GAS: Final = 60_000_000
MAX_RATE: Final = 1000.0
"""Transactions per second: above it the generator, not the network, is measured."""
MAX_SECONDS: Final = 3600.0
MAX_HEIGHTS: Final = 10_000

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_NODE: Final = re.compile(r"(op|f)[1-9][0-9]?")
_TERM: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|slots?)")
_COUNT: Final = re.compile(r"(?:(n)(?:\s*\+\s*([0-9]+))?|([0-9]+))")

_Choice = TypeVar("_Choice", FaultKind, CutMode, LinkClass, RoundChanges, Trigger)


class _Fields:
    """One mapping of the file: hands out its keys once each and complains about what is left."""

    def __init__(self, value: Any, where: str, allowed: tuple[str, ...]) -> None:
        if not isinstance(value, Mapping):
            raise BadConfig(f"{where}: expected a mapping with {', '.join(allowed)}")
        self._values: dict[str, Any] = {str(key): item for key, item in value.items()}
        self.where = where
        for key in self._values:
            if key not in allowed:
                raise BadConfig(f"{where}: unknown key {key!r}; allowed: {', '.join(allowed)}")

    def has(self, key: str) -> bool:
        return key in self._values

    def at(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key

    def required(self, key: str) -> Any:
        if key not in self._values:
            raise BadConfig(f"{self.where}: the key {key!r} is missing")
        return self._values[key]

    def get(self, key: str, default: Any) -> Any:
        return self._values.get(key, default)


def parse_duration(value: object, where: str) -> Duration:
    """`300ms`, `5s`, `1 slot`, `2 slots + 4s`. A bare number has no unit and is refused."""
    seconds = slots = 0.0
    parts = value.split("+") if isinstance(value, str) else [""]
    for part in parts:
        match = _TERM.fullmatch(part.strip())
        if match is None:
            raise BadConfig(
                f"{where}: expected a duration such as 300ms, 5s, 1 slot or 2 slots + 4s, "
                f"got {value!r}"
            )
        amount, unit = float(match[1]), match[2]
        if unit.startswith("slot"):
            slots += amount
        else:
            seconds += amount / 1000 if unit == "ms" else amount
    if seconds > MAX_SECONDS or slots > MAX_SECONDS:
        raise BadConfig(f"{where}: {value!r} is longer than {MAX_SECONDS:.0f} s or slots")
    return Duration(seconds=seconds, slots=slots)


def parse_count(value: object, where: str) -> Count:
    """`3`, `n` (the number of operators) or `n + 2`."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    match = _COUNT.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise BadConfig(f"{where}: expected a number of heights, n, or n + 2, got {value!r}")
    plain = int(match[2] or match[3] or 0)
    if plain > MAX_HEIGHTS:
        raise BadConfig(f"{where}: at most {MAX_HEIGHTS} heights, got {value!r}")
    return Count(plain=plain, operators=1 if match[1] else 0)


def _integer(fields: _Fields, key: str, default: int, low: int, high: int) -> int:
    value = fields.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise BadConfig(
            f"{fields.at(key)}: expected a whole number from {low} to {high}, got {value!r}"
        )
    return value


def _text(fields: _Fields, key: str) -> str:
    value = fields.required(key)
    if not isinstance(value, str) or not value.strip():
        raise BadConfig(f"{fields.at(key)}: expected text, got {value!r}")
    return value.strip()


def _name(fields: _Fields, key: str) -> str:
    value = fields.required(key)
    if not isinstance(value, str) or _NAME.fullmatch(value) is None:
        raise BadConfig(
            f"{fields.at(key)}: expected a name of a-z, 0-9 and - (at most 64), got {value!r}"
        )
    return value


def _choice(fields: _Fields, key: str, kind: type[_Choice], default: _Choice | None) -> _Choice:
    value = fields.required(key) if default is None else fields.get(key, default)
    try:
        return kind(value)
    except ValueError:
        allowed = ", ".join(kind)
        raise BadConfig(f"{fields.at(key)}: expected one of {allowed}; got {value!r}") from None


def _duration(fields: _Fields, key: str, default: Duration) -> Duration:
    return parse_duration(fields.required(key), fields.at(key)) if fields.has(key) else default


def _count(fields: _Fields, key: str, default: Count) -> Count:
    return parse_count(fields.required(key), fields.at(key)) if fields.has(key) else default


def parse_delay(value: object, where: str) -> Delay:
    """A duration, or `{upto: 1 slot}` for a seeded draw."""
    if not isinstance(value, Mapping):
        return Delay(fixed=parse_duration(value, where))
    fields = _Fields(value, where, ("upto",))
    return Delay(upto=parse_duration(fields.required("upto"), fields.at("upto")))


def _at(value: object, where: str) -> At:
    fields = _Fields(value, where, ("event", "after", "delay"))
    if fields.has("event") and fields.has("after"):
        raise BadConfig(f"{where}: give either event or after, not both")
    after = _name(fields, "after") if fields.has("after") else None
    delay = (
        parse_delay(fields.required("delay"), fields.at("delay"))
        if fields.has("delay")
        else Delay()
    )
    return At(trigger=_choice(fields, "event", Trigger, Trigger.START), after=after, delay=delay)


def _until(value: object, where: str) -> Until:
    fields = _Fields(value, where, ("heights", "hold", "timeout"))
    until = Until(
        heights=_count(fields, "heights", Count()),
        hold=_duration(fields, "hold", Duration()),
        timeout=_duration(fields, "timeout", Duration(seconds=60.0)),
    )
    if until.heights == Count() and until.hold == Duration():
        raise BadConfig(f"{where}: a fault needs an end: give heights or hold")
    return until


def parse_target(value: object, where: str) -> Target:
    """A role or a node's name."""
    if isinstance(value, str) and _NODE.fullmatch(value):
        return value
    try:
        return Role(value)  # type: ignore[arg-type]  # whatever is not one of its values is refused
    except ValueError:
        raise BadConfig(
            f"{where}: expected {', '.join(Role)} or a node such as op2 or f1; got {value!r}"
        ) from None


_SPLIT_SHAPE: Final = "expected sizes of the groups such as [2, 2]"


def _split(fields: _Fields) -> tuple[int, ...]:
    value = fields.get("split", [])
    if not isinstance(value, list) or not all(type(item) is int and item > 0 for item in value):
        raise BadConfig(f"{fields.at('split')}: {_SPLIT_SHAPE}, got {value!r}")
    if len(value) == 1:
        raise BadConfig(f"{fields.at('split')}: {_SPLIT_SHAPE}: one group is no partition")
    return tuple(value)


_COMMON: Final = ("id", "do", "at", "until")
FAULT_KEYS: Final[Mapping[FaultKind, tuple[str, ...]]] = {
    FaultKind.KILL: (*_COMMON, "target"),
    FaultKind.FREEZE: (*_COMMON, "target"),
    FaultKind.PARTITION: (*_COMMON, "target", "split", "mode"),
    FaultKind.LATENCY: (*_COMMON, "target", "links", "one_way"),
}
"""Which keys mean something for which kind; the others are refused, not ignored."""


def _kind_of(value: object, where: str) -> FaultKind:
    every = tuple(dict.fromkeys(key for keys in FAULT_KEYS.values() for key in keys))
    return _choice(_Fields(value, where, every), "do", FaultKind, None)


def _fault(value: object, where: str) -> Fault:
    kind = _kind_of(value, where)
    fields = _Fields(value, f"{where} ({kind})", FAULT_KEYS[kind])
    fault = Fault(
        id=_name(fields, "id"),
        kind=kind,
        at=_at(fields.get("at", {}), fields.at("at")),
        until=_until(fields.required("until"), fields.at("until")),
        target=(
            parse_target(fields.required("target"), fields.at("target"))
            if fields.has("target")
            else None
        ),
        split=_split(fields),
        mode=_choice(fields, "mode", CutMode, CutMode.DROP),
        links=_choice(fields, "links", LinkClass, LinkClass.CONSENSUS),
        one_way=_duration(fields, "one_way", Duration()),
    )
    _require_sense(fault, fields.where)
    return fault


def _require_sense(fault: Fault, where: str) -> None:
    """What no single key can get wrong alone."""
    match fault.kind:
        case FaultKind.KILL | FaultKind.FREEZE:
            if fault.target is None:
                raise BadConfig(f"{where}: needs a target")
        case FaultKind.PARTITION:
            if (fault.target is None) == (not fault.split):
                raise BadConfig(f"{where}: needs either target (isolated alone) or split")
        case FaultKind.LATENCY:
            if fault.one_way == Duration():
                raise BadConfig(f"{where}: needs one_way, the delay added to each direction")
            if fault.links is LinkClass.ENGINE and fault.target is None:
                raise BadConfig(f"{where}: engine links need a target, the operator they belong to")


def _faults(value: object) -> tuple[Fault, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_FAULTS:
        raise BadConfig(f"faults: expected a list of 1 to {MAX_FAULTS} faults")
    faults = tuple(_fault(item, f"faults[{index}]") for index, item in enumerate(value))
    seen: set[str] = set()
    for fault in faults:
        if fault.id in seen:
            raise BadConfig(f"faults: the id {fault.id!r} is used twice")
        if fault.at.after is not None and fault.at.after not in seen:
            raise BadConfig(
                f"faults: {fault.id}.at.after names no fault above it: {fault.at.after!r}"
            )
        seen.add(fault.id)
    return faults


def _load(value: object) -> Load:
    fields = _Fields(value, "load", ("rate", "senders"))
    rate = fields.get("rate", Load().rate)
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate <= MAX_RATE:
        raise BadConfig(
            f"load.rate: expected transactions per second up to {MAX_RATE}, got {rate!r}"
        )
    return Load(rate=float(rate), senders=_integer(fields, "senders", Load().senders, 1, 10))


def _hostile(value: object) -> Hostile:
    """Whether the kinds exist is the catalogue's to say, before anything starts."""
    fields = _Fields(value, "hostile", HOSTILE_KEYS)
    usual = Hostile()
    kinds = fields.get("kinds", "all")
    if kinds != "all" and not (
        isinstance(kinds, list)
        and 1 <= len(kinds) <= MAX_KINDS
        and all(isinstance(kind, str) and _NAME.fullmatch(kind) for kind in kinds)
    ):
        raise BadConfig(f"hostile.kinds: expected all, or a list of names, got {kinds!r}")
    return Hostile(
        kinds=() if kinds == "all" else tuple(kinds),
        gas=_integer(fields, "gas", usual.gas, MIN_HOSTILE_GAS, MAX_HOSTILE_GAS),
        patience=_duration(fields, "patience", usual.patience),
        timeout=_duration(fields, "timeout", usual.timeout),
    )


HOSTILE_KEYS: Final = ("kinds", "gas", "patience", "timeout")
EXPECT_KEYS: Final = (
    "round_changes", "settle_in", "no_progress", "progress", "gap", "rejoin",
)  # fmt: skip


def _expect(value: object) -> Expect:
    fields = _Fields(value, "expect", EXPECT_KEYS)
    usual = Expect()
    no_progress = fields.get("no_progress", False)
    if not isinstance(no_progress, bool):
        raise BadConfig(f"expect.no_progress: expected true or false, got {no_progress!r}")
    return Expect(
        round_changes=_choice(fields, "round_changes", RoundChanges, usual.round_changes),
        settle_in=_count(fields, "settle_in", usual.settle_in),
        no_progress=no_progress,
        progress=_count(fields, "progress", usual.progress),
        gap=_duration(fields, "gap", Duration()) if fields.has("gap") else None,
        rejoin=_duration(fields, "rejoin", Duration()) if fields.has("rejoin") else None,
    )


SCENARIO_KEYS: Final = (
    "scenario", "name", "about", "operators", "followers", "min_operators",
    "load", "start", "faults", "hostile", "settle", "expect",
)  # fmt: skip


def parse_scenario(value: object) -> Scenario:
    """Build a `Scenario` from what YAML gave.

    Raises: BadConfig, naming the place and the keys or values allowed there.
    """
    fields = _Fields(value, "scenario", SCENARIO_KEYS)
    if fields.required("scenario") != SCHEMA_VERSION:
        raise BadConfig(f"scenario: this reader knows version {SCHEMA_VERSION} of the format only")
    settle = _Fields(fields.get("settle", {}), "settle", ("heights", "timeout"))
    start = _Fields(fields.get("start", {}), "start", ("heights",))
    usual = Scenario(name="x", about="x", faults=())
    scenario = Scenario(
        name=_name(fields, "name"),
        about=_text(fields, "about"),
        faults=_faults(fields.required("faults")) if fields.has("faults") else (),
        hostile=_hostile(fields.required("hostile")) if fields.has("hostile") else None,
        operators=_integer(fields, "operators", usual.operators, 1, 10),
        followers=_integer(fields, "followers", usual.followers, 0, 4),
        min_operators=_integer(fields, "min_operators", usual.min_operators, 1, 10),
        load=_load(fields.get("load", {})),
        start=_count(start, "heights", usual.start),
        settle=_count(settle, "heights", usual.settle),
        settle_timeout=_duration(settle, "timeout", usual.settle_timeout),
        expect=_expect(fields.get("expect", {})),
    )
    if not scenario.faults and scenario.hostile is None:
        raise BadConfig("scenario: the key 'faults' is missing (or give 'hostile')")
    _require_splits_fit(scenario)
    return scenario


def _require_splits_fit(scenario: Scenario) -> None:
    for fault in scenario.faults:
        if fault.split and sum(fault.split) > scenario.operators:
            raise BadConfig(
                f"faults: {fault.id}.split has {sum(fault.split)} operators, "
                f"the scenario only {scenario.operators}"
            )


def parse_text(text: str, *, what: str) -> Scenario:
    """Read one YAML document; `what` (a file name) opens every error."""
    if len(text) > MAX_FILE_BYTES:
        raise BadConfig(f"{what}: longer than {MAX_FILE_BYTES} bytes, this is no scenario")
    if text.count("[") + text.count("{") > MAX_BRACKETS:
        raise BadConfig(f"{what}: more than {MAX_BRACKETS} brackets, this is no scenario")
    try:
        value = yaml.safe_load(text)
        return parse_scenario(value)
    except yaml.YAMLError as error:
        raise BadConfig(f"{what}: not YAML: {error}") from error
    except BadConfig as error:
        raise BadConfig(f"{what}: {error}") from error
