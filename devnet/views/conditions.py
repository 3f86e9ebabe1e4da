"""What is wrong with a node, in a few words: from the states of its programs and the faults on its
links to what the board's columns say. Pure.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from devnet.backends.base import RunState
from devnet.model.topology import BASELINE_ROLES, FOLLOWER_ROLES, OPERATOR_ROLES, Role

CUT_MODES: Final = frozenset({"refuse", "hold", "drop", "blackhole"})
"""What `Mesh.faults` says of a link that carries nothing."""
_STATE_WORDS: Final = {RunState.PAUSED: "frozen"}


def state_of(node: str, programs: Mapping[str, str]) -> str:
    """`killed`, `frozen` or `crashed` when all programs of a node are; else empty.

    Args:
        programs: `op1.rollup` -> its state, of those that do not run.
    """
    states = [programs.get(f"{node}.{role}", "") for role in _roles_of(node, programs)]
    return _word(states[0]) if len(set(states)) == 1 else ""


def faults_of(
    node: str, programs: Mapping[str, str], links: Mapping[str, str], operators: Sequence[str]
) -> str:
    """`rollup killed, cut from op3, op4, engine link +50 ms`; empty for a whole node.

    Args:
        links: link name -> fault, as `Mesh.faults` tells it.
    """
    found: dict[str, list[str]] = {}
    if not state_of(node, programs):
        for name, state in programs.items():
            if name.startswith(f"{node}."):
                found.setdefault(_word(state), []).append(name.partition(".")[2])
    for name, fault in links.items():
        if name.startswith(f"{node}.") and ">" not in name:  # its Toxiproxy: not a link
            found.setdefault(fault, []).append(name.partition(".")[2])
    words = [f"{', '.join(roles)} {state}" for state, roles in found.items()]
    others = [name for name in operators if name != node]
    for what, peers in _by_what(node, links).items():
        everyone = len(others) > 1 and set(others) <= set(peers)
        rest = [peer for peer in peers if not everyone or peer not in others]
        words.append(f"{what} {', '.join((['all operators'] if everyone else []) + rest)}")
    return ", ".join(words + _own_links(node, links))


def is_cut_off(node: str, links: Mapping[str, str]) -> bool:
    """Does a cut keep it from another pod?"""
    return any(what.startswith("cut") for what in _by_what(node, links))


def _roles_of(node: str, programs: Mapping[str, str]) -> tuple[str, ...]:
    if node.startswith("f"):
        return FOLLOWER_ROLES
    return BASELINE_ROLES if f"{node}.{Role.SEQUENCER}" in programs else OPERATOR_ROLES


def _word(state: str) -> str:
    return str(_STATE_WORDS.get(RunState(state), state)) if state in set(RunState) else state


def _by_what(node: str, links: Mapping[str, str]) -> dict[str, list[str]]:
    """`cut from` -> the pods at the other ends of this node's links, in the order of their names.

    Operators dial one another both ways; a cut of one way only says which.
    """
    found: dict[str, set[str]] = {}
    for link, fault in links.items():
        source, target = _ends(link)
        if source == target or node not in (source, target) or source in ("client", ""):
            continue
        peer = target if source == node else source
        for word in fault.split(", "):
            if word not in CUT_MODES:
                found.setdefault(f"{_short(word)} with", set()).add(peer)
            elif not _may_be_one_way(link) or links.get(_reverse(link)) is not None:
                found.setdefault("cut from", set()).add(peer)
            else:
                way = "cannot reach" if source == node else "not reached by"
                found.setdefault(f"cut, {way}", set()).add(peer)
    return {what: sorted(peers, key=_numerically) for what, peers in sorted(found.items())}


def _own_links(node: str, links: Mapping[str, str]) -> list[str]:
    """Links inside the pod and from clients: `engine link +50 ms`, `client rpc link cut`."""
    found = []
    for link, fault in links.items():
        source, target = _ends(link)
        if target != node or source not in (node, "client"):
            continue
        name = _name_of(link)
        words = dict.fromkeys(
            "cut" if word in CUT_MODES else _short(word) for word in fault.split(", ")
        )
        found.append(f"{name} link {' '.join(words)}")
    return found


def _name_of(link: str) -> str:
    """By the service that answers; two roles dial the rollup node, one only for `dst_finality`."""
    dialling, _, answering = link.partition(">")
    service = answering.rpartition(".")[2]
    if dialling == "client":
        return f"client {service}"
    return "finality" if dialling.endswith(f".{Role.EXECUTION}") else service


def _ends(link: str) -> tuple[str, str]:
    """Pods of `op1.rollup>op1.engine`; empty names for what is no link."""
    source, arrow, target = link.partition(">")
    return (source.partition(".")[0], target.partition(".")[0]) if arrow else ("", "")


def _may_be_one_way(link: str) -> bool:
    return link.endswith(".consensus")


def _reverse(link: str) -> str:
    source, target = _ends(link)
    return f"{target}>{source}.{link.rpartition('.')[2]}"


def _short(word: str) -> str:
    return word.replace("latency ", "+")


def _numerically(name: str) -> tuple[int, str]:
    return len(name), name
