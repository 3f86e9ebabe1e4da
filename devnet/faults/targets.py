"""From aims to names, and from sizes to groups: pure, all chance from the random generator that is
passed in."""

import random
from collections.abc import Sequence

from devnet.model.terms import Aim, Several, Target
from devnet.model.topology import Topology
from dst.spec.errors import BadConfig
from dst.spec.primitives import Height, Round, leader_of


def leader_name(operators: Sequence[str], height: int, round_: int = 0) -> str:
    """Name of the leader of (height, round)."""
    return operators[leader_of(Height(height), Round(round_), len(operators))]


def resolve_target(
    target: Target,
    topology: Topology,
    *,
    next_height: int,
    rng: random.Random,
    leader: str | None = None,
    liars: Sequence[str] = (),
) -> tuple[str, ...]:
    """Names of the nodes that `target` means now.

    Args:
        next_height: the height after the newest decided one; its round-0 leader is `leader`.
        leader: who leads, where that is no function of the height.
        liars: operators that a fault made lie.
    Raises: BadConfig when the network has no such node.
    """
    operators, followers = topology.operator_names, topology.follower_names
    match target:
        case Aim.LEADER:
            return (leader or leader_name(operators, next_height),)
        case Aim.NOT_LEADER:
            soon = {leader or leader_name(operators, next_height + ahead) for ahead in (0, 1)}
            return (_one_of([name for name in operators if name not in soon], target, rng),)
        case Aim.RANDOM:
            return (_one_of(operators, target, rng),)
        case Aim.FOLLOWER:
            return (_one_of(followers, target, rng),)
        case Aim.ALL_OPERATORS:
            return operators
        case Aim.BYZANTINE:
            if not liars:
                raise BadConfig(f"target {target}: nobody has lied yet")
            return tuple(name for name in operators if name in liars)
        case Several():
            if complaint := misfit_of(target, topology):
                raise BadConfig(complaint)
            drawn = rng.sample(operators, target.for_operators(len(operators)))
            return tuple(sorted(drawn, key=operators.index))
        case _:
            if target not in (*operators, *followers):
                known = ", ".join((*operators, *followers))
                raise BadConfig(f"target {target}: this network has {known}")
            return (str(target),)


def misfit_of(target: Target | None, topology: Topology) -> str:
    """Why this network has no such target; empty when it has."""
    operators, followers = topology.operator_names, topology.follower_names
    match target:
        case None | Aim.LEADER | Aim.RANDOM | Aim.ALL_OPERATORS | Aim.BYZANTINE:
            return ""
        case Aim.FOLLOWER:
            return "" if followers else "its target is a follower, the network has none"
        case Aim.NOT_LEADER if len(operators) < 3:
            return f"target not-leader needs at least 3 operators, the network has {len(operators)}"
        case Aim.NOT_LEADER:
            return ""
        case Several():
            wanted = target.for_operators(len(operators))
            if 1 <= wanted <= len(operators):
                return ""
            return f"target {target} is {wanted} operators, the network has {len(operators)}"
    known = (*operators, *followers)
    return "" if target in known else f"target {target}: the network has {', '.join(known)}"


def misfit_of_program(target: Target, role: str, topology: Topology) -> str:
    """Why some node that it may mean has no such program; empty when all have."""
    if complaint := misfit_of(target, topology):
        return complaint
    nodes = possible(target, topology)
    without = [node for node in nodes if f"{node}.{role}" not in topology.pod(node).programs]
    return f"{', '.join(without)} has no {role}" if without else ""


def how_many(target: Target | None, topology: Topology) -> int:
    """Nodes that it means; of those that lie, the fewest."""
    operators = len(topology.operator_names)
    match target:
        case None:
            return len((*topology.operator_names, *topology.follower_names))
        case Aim.ALL_OPERATORS:
            return operators
        case Several():
            return target.for_operators(operators)
        case _:
            return 1


def possible(target: Target | None, topology: Topology) -> tuple[str, ...]:
    """Nodes that it may turn out to be."""
    if target is None:
        return (*topology.operator_names, *topology.follower_names)
    if target is Aim.FOLLOWER:
        return topology.follower_names
    return topology.operator_names if isinstance(target, Aim | Several) else (str(target),)


def is_follower(target: Target | None, topology: Topology) -> bool:
    return target is Aim.FOLLOWER or target in topology.follower_names


def _one_of(candidates: Sequence[str], target: Target, rng: random.Random) -> str:
    if not candidates:
        raise BadConfig(f"target {target}: this network has no such node")
    return rng.choice(list(candidates))


def draw_groups(
    sizes: Sequence[int], operators: Sequence[str], rng: random.Random
) -> tuple[tuple[str, ...], ...]:
    """Deal the operators into groups of these sizes.

    Raises: BadConfig when the sizes do not add up to the cluster.
    """
    if sum(sizes) != len(operators):
        raise BadConfig(
            f"split {list(sizes)} is for {sum(sizes)} operators; this network has {len(operators)}"
        )
    dealt = list(operators)
    rng.shuffle(dealt)
    groups, start = [], 0
    for size in sizes:
        groups.append(tuple(sorted(dealt[start : start + size])))
        start += size
    return tuple(groups)


def isolate(nodes: Sequence[str], operators: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Two groups: these nodes, and the rest of the operators."""
    rest = tuple(name for name in operators if name not in nodes)
    return (tuple(nodes), rest)


def pair_links(topology: Topology, pairs: frozenset[frozenset[str]]) -> tuple[str, ...]:
    """Consensus links of these pairs of operators, both directions."""
    return tuple(
        link.name
        for link in topology.consensus_links
        if frozenset((link.source, link.target)) in pairs
    )


def links_between(topology: Topology, groups: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Consensus links that join two different groups, both directions. What is in none, such as
    etcd, stays with the largest."""
    place = {name: index for index, group in enumerate(groups) for name in group}
    with_rest = max(range(len(groups)), key=lambda index: len(groups[index]))
    return tuple(
        link.name
        for link in topology.consensus_links
        if place.get(link.source, with_rest) != place.get(link.target, with_rest)
    )
