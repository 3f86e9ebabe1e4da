"""Which links a fault on links means: a class of them, or a pattern of their names."""

import re
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, Final

from devnet.model.terms import Target
from devnet.model.topology import Link, LinkClass, Service, Topology
from dst.spec.errors import BadConfig


class Kind(StrEnum):
    """Classes as a person thinks of them; probe links, the harness's own eyes, are in none."""

    CONSENSUS = "consensus"
    """Between operators."""
    ENGINE = "engine"
    """Rollup node to execution layer."""
    BEACON = "beacon"
    """Validator to middleware, middleware to rollup node, execution layer to rollup node."""
    L1 = "l1"
    """Rollup nodes to L1."""
    CLIENT = "client"
    """Users of JSON-RPC and Beacon API to the nodes, and to L1."""
    FORWARD = "forward"
    """Transactions between nodes."""
    FOLLOW = "follow"
    """Followers to operators."""


class Direction(StrEnum):
    """As seen from the target: an operator dials those that it talks to."""

    BOTH = "both"
    OUT = "out"
    """Links that it dials: the others do not hear it."""
    IN = "in"
    """Links that others dial to it: it does not hear them."""


_PATTERN: Final = re.compile(r"[a-z0-9*?.\[\]!-]{1,40}>[a-z0-9*?.\[\]!-]{1,40}")
SCHEMA: Final[dict[str, Any]] = {
    "oneOf": [
        {"enum": [str(kind) for kind in Kind]},
        {"type": "string", "pattern": "^[a-z0-9*?.\\[\\]!-]{1,40}>[a-z0-9*?.\\[\\]!-]{1,40}$"},
    ]
}
MEANS: Final = (
    f"a class ({', '.join(f'`{kind}`' for kind in Kind)}), or a pattern of names such as"
    " `op1>op*.consensus` ([ports.md](ports.md) lists them)"
)


def read_which(value: object, where: str) -> str:
    """Raises: BadConfig."""
    if isinstance(value, str) and (value in set(Kind) or _PATTERN.fullmatch(value)):
        return value
    raise BadConfig(
        f"{where}: expected {', '.join(Kind)}, or a pattern such as op1>op*.consensus; "
        f"got {value!r}"
    )


def matching(topology: Topology, which: str) -> tuple[Link, ...]:
    """Links that `which` names; never a probe link."""
    touchable = [link for link in topology.links if link.kind is not LinkClass.PROBE]
    if which not in set(Kind):
        return tuple(link for link in touchable if fnmatchcase(link.name, which))
    return tuple(link for link in touchable if kind_of(link) == which)


def kind_of(link: Link) -> Kind:
    if link.kind is LinkClass.INTERNAL:
        return Kind.ENGINE if link.service is Service.ENGINE else Kind.BEACON
    return Kind(link.kind.value)


def around(links: tuple[Link, ...], node: str, direction: Direction) -> tuple[Link, ...]:
    """Of these, those of one node; links within it have no direction."""
    found = []
    for link in links:
        dials, answers = link.source == node, link.target == node
        wanted = {
            Direction.BOTH: dials or answers,
            Direction.OUT: dials,
            Direction.IN: answers,
        }[direction]
        if wanted:
            found.append(link)
    return tuple(found)


def misfit_of_links(
    topology: Topology, which: str, target: Target | None, nodes: tuple[str, ...]
) -> str:
    """Why nothing is meant; empty when something is. nodes: those that `target` may turn out to
    be."""
    links = matching(topology, which)
    if not links:
        return f"links {which}: no link of this network is called so"
    if target is None or any(around(links, node, Direction.BOTH) for node in nodes):
        return ""
    return f"target {target} has no {which} links"
