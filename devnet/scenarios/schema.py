"""`python -m devnet.scenarios.schema`: writes what the kinds of fault say of themselves into
`scenario.schema.json` (for editors; the rest of that file is written by hand) and `docs/faults.md`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field
from inspect import getattr_static
from pathlib import Path
from typing import Any, Final

from devnet.faults import KINDS
from devnet.faults.base import BOTH_BACKENDS, Fault, Plane
from devnet.faults.keys import Key, keys_of
from devnet.model.reading import ENDINGS, MAX_TIMES, NODE_PATTERN, SEVERAL_PATTERN
from devnet.model.terms import Aim, Edge, Trigger
from devnet.scenarios import matrix, slo
from devnet.scenarios.write import written

FILE: Final = Path(__file__).parent / "scenario.schema.json"
SLO_FILE: Final = FILE.with_name("slo.schema.json")
MATRIX_FILE: Final = FILE.with_name("campaign.schema.json")
PAGE: Final = Path(__file__).parents[2] / "docs" / "faults.md"

_COMMON: Final[Mapping[str, Any]] = {
    "id": {"$ref": "#/$defs/name"},
    "at": {"$ref": "#/$defs/at"},
    "until": {"$ref": "#/$defs/until"},
}


def schema() -> dict[str, Any]:
    """JSON Schema of a scenario."""
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    found["$defs"]["fault"] = {"oneOf": [_fault(kind) for kind in KINDS.values()]}
    found["$defs"]["target"] = {
        "oneOf": [
            {"enum": [str(aim) for aim in Aim]},
            {"type": "string", "pattern": _whole(NODE_PATTERN)},
            {"type": "string", "pattern": _whole(SEVERAL_PATTERN)},
        ]
    }
    found["$defs"]["moment"] = _moment()
    found["$defs"]["at"]["properties"] |= _at()
    found["$defs"]["at"]["dependentRequired"] = {"every": ["times"], "times": ["every"]}
    found["$defs"]["until"]["properties"] |= {
        "total": {
            "$ref": "#/$defs/duration",
            "description": "Least time after its request; the proof's own time is within it.",
        },
        "after": {"$ref": "#/$defs/moment"},
        "forever": {
            "type": "boolean",
            "default": False,
            "description": "Not before all other faults that have an end.",
        },
        "event": {
            "enum": [str(trigger) for trigger in ENDINGS],
            "description": "The next one of any node after the other parts.",
        },
        "leader": found["$defs"]["at"]["properties"]["leader"],
    }
    found["$defs"]["until"]["properties"]["timeout"]["description"] = (
        "Longest wait for the heights, and for the event."
    )
    return found


def _moment() -> dict[str, Any]:
    edges = [
        {
            "type": "object",
            "additionalProperties": False,
            "required": [str(edge)],
            "properties": {str(edge): {"$ref": "#/$defs/name"}},
        }
        for edge in Edge
    ]
    about = (
        "The heal of this fault, its inject: {inject: ID}, or the return of whom it silenced: "
        "{rejoin: ID}."
    )
    return {"oneOf": [{"$ref": "#/$defs/name"}, *edges], "description": about}


def _at() -> dict[str, Any]:
    often = {"$ref": "#/$defs/duration"}, {"type": "string", "pattern": "^.+ heights?$"}
    return {
        "after": {"$ref": "#/$defs/moment"},
        "heights": {"$ref": "#/$defs/count", "description": "Decided after that."},
        "event": {
            "enum": [str(trigger) for trigger in Trigger],
            "default": str(Trigger.START),
            "description": "The next one of any node after that.",
        },
        "leader": {
            "$ref": "#/$defs/name",
            "description": "With event: decided, the next one after which this operator leads.",
        },
        "every": {
            "anyOf": list(often),
            "description": "From beginning to beginning; never before the heal of the one before.",
        },
        "times": {"type": "integer", "minimum": 2, "maximum": MAX_TIMES},
    }


def _whole(pattern: str) -> str:
    return f"^{pattern}$"


def _fault(kind: type[Fault]) -> dict[str, Any]:
    own = keys_of(kind)
    required = [name for name, (_, field) in own.items() if field.default is MISSING]
    return {
        "type": "object",
        "title": kind.name,
        "description": line_of(kind),
        "additionalProperties": False,
        "required": ["id", "do", "until", *required],
        "properties": {
            "do": {"const": kind.name},
            **_COMMON,
            **{name: _property(key, field) for name, (key, field) in own.items()},
        },
    }


def _property(key: Key, field: Field[Any]) -> dict[str, Any]:
    found = {**key.schema, "description": key.means}
    if field.default not in (MISSING, None, ()):
        found["default"] = written(field.default)
    return found


def line_of(kind: type[Fault]) -> str:
    """Its docstring on one line."""
    return " ".join((kind.__doc__ or "").split())


def page() -> str:
    """`docs/faults.md`."""
    return "\n".join([_HEAD, *_planes(), _FOOT])


def _planes() -> Iterator[str]:
    for plane in Plane:
        kinds = [kind for kind in KINDS.values() if kind.plane is plane]
        if not kinds:
            continue
        yield f"## {plane.capitalize()}\n"
        for kind in kinds:
            yield from _section(kind)


def _section(kind: type[Fault]) -> Iterator[str]:
    yield f"### `{kind.name}`\n"
    yield f"{line_of(kind)}\n"
    yield f"*Proven by:* {kind.proof}."
    if kind.backends != BOTH_BACKENDS:
        yield f"*Backend:* {', '.join(kind.backends)} only."
    if kind.weight and getattr_static(kind, "drawn") is not vars(Fault)["drawn"]:
        yield f"*In random schedules:* with weight {kind.weight}."
    yield ""
    yield "| key | default | meaning |"
    yield "|---|---|---|"
    for name, (key, field) in keys_of(kind).items():
        yield f"| `{name}` | {_usual(field)} | {key.means} |"
    yield ""
    if kind.more:
        yield f"{kind.more}\n"


def _usual(field: Field[Any]) -> str:
    if field.default is MISSING:
        return "required"
    return "-" if field.default in (None, ()) else f"`{written(field.default)}`"


_HEAD: Final = """\
# Faults

Written by `make docs` from `devnet/faults`, where each kind is one file: what it hits, how it is
injected, proven and taken back. How to use them is in [scenarios.md](scenarios.md); every fault has
the keys `id`, `do`, `at` and `until` too.

The look that proves a fault is taken again each second while it stands, and a last time before it
is taken back. A fault that two looks in a row do not find has *lapsed*: it ended early, or somebody
else took it back; so has one that goes on and off and was not seen to for three of its cycles, and
fifteen seconds at least. The run is *inconclusive* then, and the report names the moment. After the
heal the network must look whole again. Who does not come back in the time that the fault has for
it fails the run (L4): a program that was started again and does not serve, an operator that does
not dial again over links whose Toxiproxies list them as whole, a node that waits for L1 though L1
answers it. Where the fault could not be taken back, another one may be why, or nobody can read the
node, the run is inconclusive too. So it is where a fault cannot be proven, but for what a node had
to notice, and did not (*nodes notice what they have to*): damage that it serves on, blocks that it
had and L1 shows no more, that it is to hand over.

A Toxiproxy's list says what was asked of a link. Where those who dial it tell of it themselves
(round trips, dials, calls and their fate in `/metrics` of middlewares and rollup nodes), the look
goes by their word, too, and the receipt has it with its figures (`witness`); where nobody does, it
says *the Toxiproxies' list alone*. A link whose end does not answer, or that another fault has
taken down, is no witness.
"""

_FOOT: Final = """\
## A new kind of fault

One file in `devnet/faults` and its tests; nothing else names it. The class is a frozen dataclass
below `Fault` (`devnet/faults/base.py`): its fields are the keys of the YAML form
(`devnet/faults/keys.py`), its docstring is its line on this page, and its methods say whom it hits
(`misfit`, `aim`), how it is done (`inject`, `take_back`), how it is seen (`missing`, `remaining`)
and what follows for those who judge (`silences`, `components`, `cuts`). Random schedules have it as
soon as it says how one is drawn (`drawn`, `weight`; else it is never drawn). What it needs of the
network is in `devnet/faults/surface.py`; a method there that does not exist yet belongs into
`devnet/runner/surroundings.py` too, into the simulator's surface (`devnet/sim/surface.py`: it does
the same to a simulated cluster, or says that it has no counterpart), and into the fake of the
tests. Then `make docs`.
"""


def main() -> None:
    FILE.write_text(json.dumps(schema(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for file, one in ((SLO_FILE, slo.schema()), (MATRIX_FILE, matrix.schema())):
        file.write_text(json.dumps(one, indent=2) + "\n", encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
