"""The written form of what a scenario is made of: the reader's inverse."""

from dataclasses import MISSING
from enum import StrEnum
from typing import Any, Final

import yaml

from devnet.faults.base import Fault
from devnet.faults.keys import keys_of
from devnet.model.expect import Expect
from devnet.model.terms import At, Count, Delay, Duration, Edge, Moment, Repeat, Several, Until
from devnet.model.work import Hostile, Load
from devnet.scenarios.scenario import SCHEMA_VERSION, Scenario, Scheduled

_USUAL: Final = Scenario(name="x", about="x")
_UNTIL: Final = ("heights", "hold", "total", "after", "forever", "leader", "timeout")


def written(value: object) -> Any:
    """A value as YAML has it."""
    match value:
        case Duration():
            return _duration(value)
        case Count(plain=plain, operators=0):
            return plain
        case Count(plain=plain, operators=times):
            of_all = "n" if times == 1 else f"{times}n"
            return f"{of_all} + {plain}" if plain else of_all
        case Moment(edge=Edge.HEAL):
            return value.fault
        case Moment():
            return {str(value.edge): value.fault}
        case StrEnum() | Several():
            return str(value)
        case tuple():
            return [written(item) for item in value]
        case _:
            return value


def _duration(value: Duration) -> str:
    slots = f"{value.slots:g} slot{'' if value.slots == 1 else 's'}" if value.slots else ""
    whole = value.seconds == int(value.seconds)
    seconds = f"{int(value.seconds)}s" if whole else f"{value.seconds * 1000:.10g}ms"
    if slots and value.seconds:
        return f"{slots} + {seconds}"
    return slots or seconds


def keys_written(fault: Fault) -> dict[str, Any]:
    """Its own keys, without those that have their usual value."""
    found: dict[str, Any] = {}
    for name, (_, field) in keys_of(type(fault)).items():
        value = getattr(fault, field.name)
        if field.default is MISSING or value != field.default:
            found[name] = written(value)
    return found


def scenario_yaml(scenario: Scenario) -> str:
    """A file that `parse_text` reads back to the same scenario; what is usual is left out."""
    document = {
        "scenario": SCHEMA_VERSION,
        "name": scenario.name,
        "about": scenario.about,
        **_unusual(scenario, _USUAL, ("operators", "followers", "min_operators")),
        "load": _unusual(scenario.load, Load(), ("rate", "senders")),
        "start": _unusual_as(scenario.start, _USUAL.start, "heights"),
        "faults": [_scheduled(fault) for fault in scenario.faults],
        "hostile": None if scenario.hostile is None else _hostile(scenario.hostile),
        "settle": _unusual_as(scenario.settle, _USUAL.settle, "heights")
        | _unusual_as(scenario.settle_timeout, _USUAL.settle_timeout, "timeout"),
        "expect": _unusual(scenario.expect, Expect(), tuple(Expect.__dataclass_fields__)),
    }
    kept = {key: value for key, value in document.items() if value not in ({}, [], None)}
    return yaml.safe_dump(kept, sort_keys=False, width=100, allow_unicode=True)


def _scheduled(fault: Scheduled) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": fault.id, "do": fault.do.name, **keys_written(fault.do)}
    if at := _at(fault.at):
        entry["at"] = at
    event = {} if fault.until.trigger is None else {"event": str(fault.until.trigger)}
    entry["until"] = event | _unusual(fault.until, Until(), _UNTIL)
    return entry


def _at(at: At) -> dict[str, Any]:
    found = _unusual(at, At(), ("after", "heights"))
    if at.trigger is not At().trigger:
        found["event"] = str(at.trigger)
    if at.leader:
        found["leader"] = at.leader
    if at.delay.upto is not None:
        found["delay"] = {"upto": written(at.delay.upto)}
    elif at.delay != Delay():
        found["delay"] = written(at.delay.fixed)
    if at.repeat != Repeat():
        heights, pause = at.repeat.heights, at.repeat.pause
        found["every"] = written(pause) if heights == Count() else f"{written(heights)} heights"
        found["times"] = at.repeat.times
    return found


def _hostile(hostile: Hostile) -> dict[str, Any]:
    kinds = list(hostile.kinds) or "all"
    return {"kinds": kinds, **_unusual(hostile, Hostile(), ("gas", "patience", "timeout"))}


def _unusual(value: object, usual: object, names: tuple[str, ...]) -> dict[str, Any]:
    """Its fields that differ from the usual ones."""
    found = {name: getattr(value, name) for name in names}
    return {name: written(item) for name, item in found.items() if item != getattr(usual, name)}


def _unusual_as(value: object, usual: object, name: str) -> dict[str, Any]:
    return {} if value == usual else {name: written(value)}
