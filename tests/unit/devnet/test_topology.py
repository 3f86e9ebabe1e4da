"""Ports never collide, names are unique, and docs/ports.md says what the code does."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devnet.faults.targets import isolate, links_between
from devnet.model.cluster import SIZES, ClusterKind
from devnet.model.topology import (
    HIGHEST_OFFSET,
    SERVICE_PORT,
    LinkClass,
    Service,
    Topology,
    compute_topology,
    resolve_programs,
)

PAGE = Path(__file__).parents[3] / "docs" / "ports.md"

topologies = st.builds(
    lambda sequenced, **rest: compute_topology(
        cluster=sequenced[0], operators=sequenced[1], **rest
    ),
    sequenced=st.sampled_from([(kind, n) for kind, sizes in SIZES.items() for n in sizes]),
    followers=st.integers(0, 5),
    port_offset=st.integers(0, HIGHEST_OFFSET),
)


@given(topologies)
def test_every_port_has_one_use_and_lies_below_the_ephemeral_range(topology: Topology) -> None:
    ports = [port for port, _use in topology.all_ports()]
    assert len(ports) == len(set(ports))
    assert 20_000 <= min(ports)
    assert max(ports) < 32_768


@given(topologies)
def test_link_names_are_unique_and_live_where_they_are_answered(topology: Topology) -> None:
    names = [link.name for link in topology.links]
    assert len(names) == len(set(names))
    for link in topology.links:
        answering = link.name.partition(">")[2].partition(".")[0]
        assert link.target == answering
        assert link.service_port == topology.pod(link.target).port(link.service)


def test_four_operators_have_a_consensus_link_per_direction() -> None:
    topology = compute_topology(operators=4)
    consensus = [k.name for k in topology.links if k.kind is LinkClass.CONSENSUS]
    pairs = [(i, j) for i in range(1, 5) for j in range(1, 5) if i != j]
    assert sorted(consensus) == sorted(f"op{i}>op{j}.consensus" for i, j in pairs)


def test_stand_bys_agree_over_etcd_and_one_cut_off_alone_loses_it_too() -> None:
    topology = compute_topology(operators=3, cluster=ClusterKind.STANDBY)
    consensus = {link.name for link in topology.consensus_links}
    pairs = {f"op{i}>op{j}.consensus" for i in (1, 2, 3) for j in (1, 2, 3) if i != j}
    assert consensus == pairs | {f"op{i}>etcd.lease" for i in (1, 2, 3)}
    alone = set(links_between(topology, isolate(("op2",), topology.operator_names)))
    assert alone == {name for name in consensus if "op2" in name}


def test_a_single_sequencer_has_nobody_to_agree_with() -> None:
    topology = compute_topology(operators=1, cluster=ClusterKind.SINGLE)
    assert topology.consensus_links == ()
    assert topology.pod("op1").programs == (
        "op1.toxiproxy", "op1.execution", "op1.rollup", "op1.sequencer",
    )  # fmt: skip


def test_a_partition_cuts_both_directions_and_nothing_inside_a_side() -> None:
    topology = compute_topology(operators=4)
    left, right = frozenset({"op1", "op2"}), frozenset({"op3", "op4"})
    cut = topology.between(left, right, LinkClass.CONSENSUS)
    assert len(cut) == 8
    assert all((k.source in left) != (k.target in left) for k in cut)


def test_links_of_an_operator_leave_the_probes_alone() -> None:
    topology = compute_topology(operators=4)
    links = topology.links_of("op2")
    assert "probe>op2.rpc" not in {k.name for k in links}
    assert {
        "op2>op1.consensus",
        "op1>op2.consensus",
        "op2>l1.rpc",
        "f1>op2.beacon",
        "client>op2.rpc",
    } <= {k.name for k in links}


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"operators": 4, "cluster": ClusterKind.SINGLE}, "a single cluster has 1; leave"),
        ({"operators": 4, "cluster": ClusterKind.STANDBY}, "a standby cluster has 2 or 3"),
        ({"operators": 5}, "1, 4, 7 or 10"),
        ({"operators": 4, "port_offset": -1}, "port-offset"),
        ({"operators": 4, "port_offset": HIGHEST_OFFSET + 1}, "port-offset"),
        ({"operators": 4, "followers": 6}, "followers"),
    ],
)
def test_wrong_numbers_are_refused_with_what_is_allowed(
    arguments: dict[str, Any], word: str
) -> None:
    with pytest.raises(ValueError, match=word):
        compute_topology(**arguments)


def test_targets_resolve_to_programs_without_the_host() -> None:
    topology = compute_topology(operators=4)
    assert resolve_programs(topology, "op2") == (
        "op2.execution",
        "op2.rollup",
        "op2.middleware",
        "op2.validator",
    )
    assert resolve_programs(topology, "op2.rollup") == ("op2.rollup",)
    for wrong in ("op5", "op2.follower", "x", "op0", "f1.validator", ""):
        with pytest.raises(KeyError):
            resolve_programs(topology, wrong)


_LETTERS = {"i": 2, "j": 1, "k": 3}
"""Which operator, follower and dialling operator the page's letters stand for below."""


def _documented(section: str) -> dict[str, str]:
    """Port column -> what, of one table of the page."""
    text = PAGE.read_text().split(f"## {section}\n", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| (\+[^|]+?) \| ([^|]+?) \| (yes|no) \|$", text, re.MULTILINE)
    return {port: what for port, what, _published in rows}


def _place(cell: str, **letters: int) -> int:
    total = 0
    for term in cell.removeprefix("+").split(" + "):
        total += letters[term.strip("*")] if term.startswith("*") else int(term)
    return total


@pytest.mark.parametrize(("section", "pod"), [("l1", "l1"), ("op *i*", "op2"), ("f *j*", "f1")])
def test_the_page_of_ports_is_true(section: str, pod: str) -> None:
    topology = compute_topology(operators=4)
    base = topology.pod(pod).base_port
    links = {k.name: k.listen_port - base for k in topology.links_on(pod)}
    seen = set()
    for cell, what in _documented(section).items():
        match = re.search(r"`([^`]+>[^`]+)`", what)
        if match is None:
            continue
        name = re.sub(r"\{([ijk])\}", lambda m: str(_LETTERS[m[1]]), match[1])
        assert links[name] == _place(cell, **_LETTERS), name
        seen.add(re.sub(r"[0-9]+(?=>)", "", name))
    assert seen == {re.sub(r"[0-9]+(?=>)", "", name) for name in links}


def test_the_page_tells_where_a_baseline_differs() -> None:
    topology = compute_topology(operators=3, cluster=ClusterKind.STANDBY)
    text = PAGE.read_text().split("## Baselines\n", 1)[1]
    etcd, one = topology.pod("etcd"), topology.pod("op1")
    assert f"pod, `etcd`, at {etcd.base_port}" in text
    (row,) = re.findall(r"^\| (\+[^|]+?) \| `op\{i\}>etcd.lease`", text, re.MULTILINE)
    lease = topology.link("op2>etcd.lease").listen_port
    assert etcd.base_port + _place(row, i=2) == lease
    assert one.port(Service.SEQUENCER) == one.base_port + 13
    assert topology.link("op1.sequencer>op1.rollup").listen_port == one.base_port + 21
    assert topology.link("probe>op1.sequencer").listen_port == one.base_port + 5


def test_the_page_names_the_service_ports() -> None:
    page = _documented("op *i*")
    words = {
        Service.ENGINE: "Engine",
        Service.RPC: "JSON-RPC",
        Service.ROLLUP: "rollup",
        Service.MIDDLEWARE: "Beacon",
    }
    for service, word in words.items():
        assert word in page[f"+{SERVICE_PORT[service]}"]
