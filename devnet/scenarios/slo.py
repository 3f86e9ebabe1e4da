"""A team's own service levels: a YAML file of objectives, read strictly."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from devnet.model.reading import Fields, read_duration, read_integer, read_name
from devnet.scenarios.document import read_file
from dst.spec.errors import BadConfig

VERSION: Final = 1
MAX_OBJECTIVES: Final = 64
TIMES: Final = ("gap", "detection", "recovery", "inclusion", "cpu_block")
NUMBERS: Final = ("rounds", "cpu", "lost")
PASSES: Final = "passes"
MEASURES: Final = (*TIMES, *NUMBERS, PASSES)
SELECTORS: Final = ("scenarios", "operators", "regions", "slot_seconds")
HIGHEST: Final = 1_000_000
"""Of rounds: nobody promises more, and what is infinite promises nothing."""
_KEYS: Final = ("name", "measure", "percentile", "at_most", "at_least", *SELECTORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """`share` of the runs that it is about keep within `limit`; of `passes`: pass. Selectors that
    are empty select all."""

    name: str
    measure: str
    share: float
    limit: float = 0.0
    scenarios: tuple[str, ...] = ()
    operators: tuple[int, ...] = ()
    regions: tuple[str, ...] = ()
    slot_seconds: tuple[int, ...] = ()

    def is_about(self, scenario: str, operators: int, regions: str, slot_seconds: int) -> bool:
        return (
            (not self.scenarios or any(_matches(scenario, each) for each in self.scenarios))
            and operators in (self.operators or (operators,))
            and regions in (self.regions or (regions,))
            and slot_seconds in (self.slot_seconds or (slot_seconds,))
        )

    def idle(self, places: Sequence[tuple[str, int, str, int]]) -> str:
        """The first value of a selector that selects none of these: `regions: wrold`."""
        for index, key in enumerate(SELECTORS):
            for wanted in getattr(self, key):
                there = {place[index] for place in places}
                if not any(_matches(value, wanted) for value in there):
                    return f"{key}: {wanted}"
        return ""

    def told(self) -> str:
        """`gap: 95 % of runs within 4 s`."""
        of_runs = f"{100 * self.share:g} % of runs"
        if self.measure == PASSES:
            return f"{of_runs} pass"
        unit = " s" if self.measure in TIMES else ""
        return f"{self.measure}: {of_runs} within {self.limit:g}{unit}"


def _matches(value: str | int, wanted: str | int) -> bool:
    return fnmatchcase(value, str(wanted)) if isinstance(value, str) else value == wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLevels:
    name: str
    objectives: tuple[Objective, ...]


def load_service_levels(path: Path) -> ServiceLevels:
    """Raises: BadConfig, with file, line and reason."""
    return read_file(path, parse_service_levels, kind="file of service levels")


def parse_service_levels(value: object) -> ServiceLevels:
    """Raises: BadConfig."""
    fields = Fields(value, "", ("slo", "name", "objectives"))
    if fields.required("slo") != VERSION:
        raise BadConfig(f"slo: this reader knows version {VERSION} of the format only")
    listed = fields.required("objectives")
    if not isinstance(listed, list) or not 1 <= len(listed) <= MAX_OBJECTIVES:
        raise BadConfig(f"objectives: expected a list of 1 to {MAX_OBJECTIVES}")
    objectives = tuple(_objective(item, f"objectives[{i}]") for i, item in enumerate(listed))
    names = [each.name for each in objectives]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise BadConfig(f"objectives[{index}].name: {name!r} is used twice")
    return ServiceLevels(name=read_name(fields.required("name"), "name"), objectives=objectives)


def _objective(value: object, where: str) -> Objective:
    fields = Fields(value, where, _KEYS)
    measure = fields.required("measure")
    if measure not in MEASURES:
        known = ", ".join(MEASURES)
        raise BadConfig(f"{where}.measure: expected one of {known}; got {measure!r}")
    wanted, other = ("at_least", ("percentile", "at_most")) if measure == PASSES else (
        "at_most", ("at_least",)
    )  # fmt: skip
    for key in other:
        if fields.has(key):
            raise BadConfig(f"{where}.{key}: of {measure} give {wanted}")
    share, limit = 0.0, 0.0
    if measure == PASSES:
        share = _share(fields.required("at_least"), fields.at("at_least"))
    else:
        share = _share(_percent(fields.get("percentile", 95), where), f"{where}.percentile")
        limit = _limit(str(measure), fields.required("at_most"), fields.at("at_most"))
    return Objective(
        name=read_name(fields.required("name"), fields.at("name")),
        measure=str(measure),
        share=share,
        limit=limit,
        scenarios=tuple(str(each) for each in _list(fields, "scenarios")),
        operators=_whole(fields, "operators", 1, 10),
        regions=tuple(read_name(each, f"{where}.regions") for each in _list(fields, "regions")),
        slot_seconds=_whole(fields, "slot_seconds", 1, 60),
    )


def _percent(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise BadConfig(f"{where}.percentile: expected a number such as 95 or 99.9, got {value!r}")
    return value / 100


def _share(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.5 <= value < 1:
        raise BadConfig(
            f"{where}: expected a share of the runs from 0.5 (percentile 50) to less than all, "
            f"which no number of runs can show; got {value!r}"
        )
    return float(value)


def _limit(measure: str, value: object, where: str) -> float:
    if measure in TIMES:
        duration = read_duration(value, where)
        if duration.slots:
            raise BadConfig(f"{where}: expected seconds, not slots: campaigns have several slots")
        return duration.seconds
    # In this order nan and what is infinite or larger than any float are refused, too.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= HIGHEST:
        raise BadConfig(f"{where}: expected a number from 0 to {HIGHEST}, got {value!r}")
    return float(value)


def _list(fields: Fields, key: str) -> list[object]:
    value = fields.get(key, [])
    if not isinstance(value, list) or (fields.has(key) and not value):
        raise BadConfig(f"{fields.at(key)}: expected a list, got {value!r}")
    return value


def _whole(fields: Fields, key: str, low: int, high: int) -> tuple[int, ...]:
    return tuple(read_integer(each, fields.at(key), low, high) for each in _list(fields, key))


def schema() -> dict[str, Any]:
    """JSON Schema of a file of service levels."""
    name = {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,63}$"}
    duration = r"^\s*[0-9]+(\.[0-9]+)?\s*(ms|s)\s*(\+\s*[0-9]+(\.[0-9]+)?\s*(ms|s)\s*)*$"

    def some(item: dict[str, Any]) -> dict[str, Any]:
        return {"type": "array", "minItems": 1, "items": item}

    selectors = {
        "scenarios": {**some({"type": "string"}), "description": "Names or patterns; none: all."},
        "operators": some({"type": "integer", "minimum": 1, "maximum": 10}),
        "regions": some(name),
        "slot_seconds": some({"type": "integer", "minimum": 1, "maximum": 60}),
    }

    def objective(measures: tuple[str, ...], own: dict[str, Any], required: str) -> dict[str, Any]:
        return {
            "type": "object",
            "additionalProperties": False,
            "required": ["name", "measure", required],
            "properties": {"name": name, "measure": {"enum": list(measures)}, **own, **selectors},
        }

    percentile = {"type": "number", "minimum": 50, "exclusiveMaximum": 100, "default": 95}
    share = {"type": "number", "minimum": 0.5, "exclusiveMaximum": 1}
    kinds = [
        objective(
            TIMES,
            {"percentile": percentile, "at_most": {"type": "string", "pattern": duration}},
            "at_most",
        ),
        objective(
            NUMBERS,
            {
                "percentile": percentile,
                "at_most": {"type": "number", "minimum": 0, "maximum": HIGHEST},
            },
            "at_most",
        ),
        objective((PASSES,), {"at_least": share}, "at_least"),
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Service levels, format version 1",
        "description": "What a team promises, judged by `devnet chaos campaign FILE --slo FILE`.",
        "type": "object",
        "additionalProperties": False,
        "required": ["slo", "name", "objectives"],
        "properties": {
            "slo": {"const": VERSION},
            "name": name,
            "objectives": {
                "type": "array",
                "minItems": 1,
                "maxItems": MAX_OBJECTIVES,
                "items": {"oneOf": kinds},
            },
        },
    }
