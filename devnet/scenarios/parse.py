"""From YAML to a `Scenario`, or one precise error: unknown keys, wrong types and impossible
combinations are refused.
"""

from dataclasses import replace
from typing import Final

from devnet.checkers.must_fail import CHECKERS
from devnet.faults import KINDS
from devnet.faults.keys import keys_of, read_keys
from devnet.model.expect import Expect, RoundChanges
from devnet.model.reading import (
    Fields,
    read_at,
    read_duration,
    read_name,
    read_text,
    read_until,
    shown,
)
from devnet.model.terms import Edge, Until
from devnet.model.topology import OPERATOR_COUNTS
from devnet.model.work import Hostile, Load
from devnet.scenarios.document import read_text as read_document
from devnet.scenarios.lines import line_of
from devnet.scenarios.order import Order
from devnet.scenarios.scenario import SCHEMA_VERSION, Scenario, Scheduled
from dst.spec.errors import BadConfig

KIND: Final = "scenario"
MAX_FAULTS: Final = 32
MAX_KINDS: Final = 200
MIN_HOSTILE_GAS: Final = 1_000_000
"""Below it some kinds cannot do what they are named after."""
MAX_HOSTILE_GAS: Final = 60_000_000
MAX_RATE: Final = 1000.0
"""Transactions per second: above it the generator, not the network, is measured."""

FAULT_KEYS: Final = ("id", "do", "at", "until")
"""Of every kind; its own come after them."""
HOSTILE_KEYS: Final = ("kinds", "gas", "patience", "timeout")
EXPECT_KEYS: Final = (
    "round_changes", "settle_in", "no_progress", "progress", "gap", "rejoin", "fails",
)  # fmt: skip
SCENARIO_KEYS: Final = (
    "scenario", "name", "about", "operators", "followers", "min_operators",
    "load", "start", "faults", "hostile", "settle", "expect",
)  # fmt: skip


def _kind_of(value: object, where: str) -> str:
    """`do:`. Raises: BadConfig."""
    every = {name: None for kind in KINDS.values() for name in keys_of(kind)}
    name = Fields(value, where, (*FAULT_KEYS, *every)).required("do")
    if not isinstance(name, str) or name not in KINDS:
        raise BadConfig(f"{where}.do: expected one of {', '.join(KINDS)}; got {shown(name)}")
    return name


def _scheduled(value: object, where: str) -> Scheduled:
    name = _kind_of(value, where)
    kind = KINDS[name]
    fields = Fields(value, f"{where} ({name})", (*FAULT_KEYS, *keys_of(kind)))
    fault = Scheduled(
        id=read_name(fields.required("id"), fields.at("id")),
        at=read_at(fields.get("at", {}), fields.at("at")),
        until=read_until(fields.required("until"), fields.at("until")),
        do=read_keys(kind, fields),
    )
    if complaint := fault.do.nonsense():
        raise BadConfig(f"{fields.where}: {complaint}")
    return fault


def _faults(value: object) -> tuple[Scheduled, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_FAULTS:
        raise BadConfig(f"faults: expected a list of 1 to {MAX_FAULTS} faults")
    faults = tuple(_scheduled(item, f"faults[{index}]") for index, item in enumerate(value))
    _require_order(faults)
    return faults


def _operators(fields: Fields, usual: int) -> int:
    wanted = fields.integer("operators", usual, 1, max(OPERATOR_COUNTS))
    if wanted not in OPERATOR_COUNTS:
        raise BadConfig(f"operators: a cluster has 1, 4, 7 or 10, got {wanted}")
    return wanted


def _require_order(faults: tuple[Scheduled, ...]) -> None:
    """Every fault is named once, and begins and ends at some time. Raises: BadConfig."""
    seen: set[str] = set()
    for index, fault in enumerate(faults):
        for name in dict.fromkeys((fault.id, *fault.occurrences)):
            if name in seen:
                raise BadConfig(f"faults[{index}].id: the id {name!r} is used twice")
            seen.add(name)
    known = [fault.id for fault in faults]
    for index, fault in enumerate(faults):
        for key, moment in (("at", fault.at.after), ("until", fault.until.after)):
            if moment is not None and moment.fault not in known:
                raise BadConfig(
                    f"faults[{index}].{key}.after: names no fault: {moment.fault!r}; "
                    f"there are {', '.join(known)}"
                )
    if circle := Order.of(faults).circle():
        index = known.index(circle[0].fault)
        way = ", which waits for the ".join(str(moment) for moment in circle)
        raise BadConfig(f"faults[{index}]: they wait for each other: the {way}")
    if all(fault.until == Until(forever=True, timeout=fault.until.timeout) for fault in faults):
        raise BadConfig("faults: all are forever, and nothing ends them: give one an end")


def _load(value: object) -> Load:
    fields = Fields(value, "load", ("rate", "senders"))
    rate = fields.get("rate", Load().rate)
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate <= MAX_RATE:
        raise BadConfig(
            f"load.rate: expected transactions per second up to {MAX_RATE}, got {shown(rate)}"
        )
    return Load(rate=float(rate), senders=fields.integer("senders", Load().senders, 1, 10))


def _hostile(value: object) -> Hostile:
    """Whether the kinds exist is the catalogue's to say, before anything starts."""
    fields = Fields(value, "hostile", HOSTILE_KEYS)
    usual = Hostile()
    kinds = fields.get("kinds", "all")
    if kinds != "all":
        if not isinstance(kinds, list) or not 1 <= len(kinds) <= MAX_KINDS:
            raise BadConfig(f"hostile.kinds: expected all, or a list of names, got {shown(kinds)}")
        kinds = [read_name(kind, "hostile.kinds") for kind in kinds]
    return Hostile(
        kinds=() if kinds == "all" else tuple(kinds),
        gas=fields.integer("gas", usual.gas, MIN_HOSTILE_GAS, MAX_HOSTILE_GAS),
        patience=fields.duration("patience", usual.patience),
        timeout=fields.duration("timeout", usual.timeout),
    )


def _read_checker(value: object, where: str) -> str:
    """By its name (`S1 agreement`), or the number that it begins with. Raises: BadConfig."""
    for name in CHECKERS:
        if value in (name, name.partition(" ")[0]):
            return name
    raise BadConfig(f"{where}: expected one of {'; '.join(CHECKERS)}; got {shown(value)}")


def _expect(value: object) -> Expect:
    fields = Fields(value, "expect", EXPECT_KEYS)
    usual = Expect()
    no_progress = fields.get("no_progress", False)
    if not isinstance(no_progress, bool):
        raise BadConfig(f"expect.no_progress: expected true or false, got {shown(no_progress)}")
    return Expect(
        round_changes=fields.choice("round_changes", RoundChanges, usual.round_changes),
        settle_in=fields.count("settle_in", usual.settle_in),
        no_progress=no_progress,
        progress=fields.count("progress", usual.progress),
        gap=read_duration(fields.required("gap"), fields.at("gap")) if fields.has("gap") else None,
        rejoin=read_duration(fields.required("rejoin"), fields.at("rejoin"))
        if fields.has("rejoin")
        else None,
        fails=_read_checker(fields.required("fails"), fields.at("fails"))
        if fields.has("fails")
        else "",
    )


def parse_scenario(value: object) -> Scenario:
    """Build a `Scenario` from what YAML gave.

    Raises: BadConfig, naming the place and the keys or values allowed there.
    """
    fields = Fields(value, "scenario", SCENARIO_KEYS)
    if fields.required("scenario") != SCHEMA_VERSION:
        raise BadConfig(f"scenario: this reader knows version {SCHEMA_VERSION} of the format only")
    settle = Fields(fields.get("settle", {}), "settle", ("heights", "timeout"))
    start = Fields(fields.get("start", {}), "start", ("heights",))
    usual = Scenario(name="x", about="x")
    scenario = Scenario(
        name=read_name(fields.required("name"), "scenario.name"),
        about=read_text(fields.required("about"), "scenario.about"),
        faults=_faults(fields.required("faults")) if fields.has("faults") else (),
        hostile=_hostile(fields.required("hostile")) if fields.has("hostile") else None,
        operators=_operators(fields, usual.operators),
        followers=fields.integer("followers", usual.followers, 0, 4),
        min_operators=fields.integer("min_operators", usual.min_operators, 1, 10),
        load=_load(fields.get("load", {})),
        start=start.count("heights", usual.start),
        settle=settle.count("heights", usual.settle),
        settle_timeout=settle.duration("timeout", usual.settle_timeout),
        expect=_expect(fields.get("expect", {})),
    )
    if not scenario.faults and scenario.hostile is None:
        raise BadConfig("scenario: the key 'faults' is missing (or give 'hostile')")
    if scenario.expect.rejoin is None:
        _require_no_return(scenario.faults)
    return scenario


def _require_no_return(faults: tuple[Scheduled, ...]) -> None:
    """One that waits for a return that is never judged would pass without it."""
    for index, fault in enumerate(faults):
        for key, moment in (("at", fault.at.after), ("until", fault.until.after)):
            if moment is not None and moment.edge is Edge.REJOIN:
                raise BadConfig(
                    f"faults[{index}].{key}.after: a return is waited for and must be judged: "
                    "add expect: {rejoin: 60s}"
                )


def parse_text(text: str, *, what: str) -> Scenario:
    """Read one YAML document; `what` (a file name) opens every error, with the line where it can
    be told.

    Raises: BadConfig.
    """
    scenario = read_document(text, parse_scenario, what=what, kind=KIND)
    located = (
        replace(fault, where=f"{what}:{line_of(text, f'faults[{index}]: ')}")
        for index, fault in enumerate(scenario.faults)
    )
    return replace(scenario, faults=tuple(located))
