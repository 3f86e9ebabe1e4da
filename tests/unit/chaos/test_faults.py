"""Every kind of fault, carried out on the fake cluster; whom each hits, what follows from it."""

import asyncio
import random
from itertools import combinations

import pytest

from devnet.faults import KINDS
from devnet.faults.base import Fault, Sight, Site
from devnet.faults.bridge import Bridge
from devnet.faults.connectivity import components, silenced
from devnet.faults.cut import Cut
from devnet.faults.kill import Kill
from devnet.faults.overlap import Overlap, farthest_pairs
from devnet.faults.partition import Partition
from devnet.faults.regions import PLACES, RTT_MS, Matrix, Regions
from devnet.faults.stopped import Part
from devnet.faults.swizzle import Swizzle
from devnet.faults.which import Direction, Kind, kind_of, matching
from devnet.injector.injector import Injector
from devnet.injector.planned import Planned
from devnet.model.history import FaultReceipt, Record
from devnet.model.terms import Aim
from devnet.model.topology import LinkClass, Topology, compute_topology
from devnet.scenarios.parse import parse_scenario
from dst.spec.primitives import faults_tolerated, quorum
from tests.unit.chaos.fake_network import FakeNetwork, in_virtual_time

FOUR = compute_topology(operators=4, followers=1)
OPERATORS = FOUR.operator_names

EXAMPLES: dict[str, dict[str, object]] = {
    "bandwidth": {"target": "op2", "kilobytes": 100},
    "bridge": {"mode": "blackhole"},
    "byzantine": {"target": "op3", "strategy": "equivocate"},
    "cut": {"links": "l1", "target": "op1", "mode": "refuse"},
    "flap": {"target": "op3", "down": "100ms", "up": "200ms"},
    "freeze": {"target": "random"},
    "kill": {"target": "leader", "role": "execution"},
    "latency": {"links": "engine", "target": "op4", "one_way": "20ms"},
    "limit-data": {"links": "op1>op*.consensus", "bytes": 5000},
    "overlap": {},
    "partition": {"groups": [["op1", "op4"], ["op2", "op3"]]},
    "regions": {"matrix": "world"},
    "reset": {"links": "client", "after": "10ms"},
    "restarts": {"target": "f1", "every": "2s"},
    "slicer": {"bytes": 7},
    "slow-close": {"delay": "300ms"},
    "stop": {"target": "op2", "role": "validator"},
    "swizzle": {"target": "not-leader", "step": "20ms"},
}


def example(name: str) -> Fault:
    fault = {"id": "x", "do": name, "until": {"hold": "1s"}, **EXAMPLES[name]}
    scenario = {"scenario": 1, "name": "mine", "about": "x", "faults": [fault]}
    return parse_scenario(scenario).faults[0].do


def sight(topology: Topology = FOUR, seed: int = 1, next_height: int = 6) -> Sight:
    return Sight(topology=topology, next_height=next_height, rng=random.Random(seed))


def test_every_kind_has_an_example_here() -> None:
    assert set(EXAMPLES) == set(KINDS)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_kind_is_proven_stands_and_leaves_nothing_behind(name: str) -> None:
    network = FakeNetwork()
    records: list[Record] = []
    do = example(name)
    assert do.misfit(network.topology) == ""
    fault = Planned(id="x", do=do, site=do.aim(sight()), aimed_height=6)
    assert fault.told().startswith(f"{name} ")

    async def work() -> None:
        injector = Injector(world=network, events=list, record=records.append)
        applied = await injector.apply(fault)
        assert applied.error == ""
        assert applied.verified is not None
        programs = network.programs
        assert network.cut or network.toxics or programs.down or programs.words, "it did nothing"
        try:
            async with asyncio.timeout(9.5), asyncio.TaskGroup() as tasks:
                tasks.create_task(injector.watch(fault))
                tasks.create_task(injector.keep_up(fault))
        except TimeoutError:
            pass
        await injector.revert(fault)

    in_virtual_time(work)
    last = [record for record in records if isinstance(record, FaultReceipt)][-1]
    assert last.error == ""
    assert last.looks == 9
    assert (last.cycles >= 3) is do.repeats
    assert last.healed is not None
    assert (network.cut, network.toxics, network.programs.down) == (set(), {}, set())
    assert not network.programs.words


@pytest.mark.parametrize("name", sorted(KINDS))
def test_a_heal_that_does_nothing_is_not_proven(name: str) -> None:
    """The look after the heal sees what is left."""
    network = FakeNetwork()
    do = example(name)
    site = do.aim(sight())

    async def work() -> str:
        await do.inject(site, network)
        return await do.remaining(site, network)

    assert in_virtual_time(work)


@pytest.mark.parametrize("name", sorted({*KINDS} - {"flap", "restarts"}))
def test_a_fault_that_does_nothing_is_not_proven(name: str) -> None:
    do = example(name)
    site = do.aim(sight())
    assert in_virtual_time(lambda: do.missing(site, FakeNetwork()))


def apply_both(first: Fault, second: Fault) -> list[FaultReceipt]:
    network = FakeNetwork()

    async def work() -> list[FaultReceipt]:
        injector = Injector(world=network, events=list, record=lambda _: None)
        plans = [
            Planned(id=name, do=do, site=do.aim(sight()), aimed_height=6)
            for name, do in (("a", first), ("b", second))
        ]
        applied = [await injector.apply(plan) for plan in plans]
        for plan in plans:
            await injector.revert(plan)
        assert (network.cut, network.toxics, network.programs.down) == (set(), {}, set())
        return applied

    receipts: list[FaultReceipt] = in_virtual_time(work)
    return receipts


def test_two_faults_that_would_undo_each_other_are_not_both_injected() -> None:
    _, second = apply_both(Cut(links="consensus"), Partition(split=(2, 2)))
    assert second.error.endswith(".consensus (cut) is under the fault a already")
    assert second.verified is None
    _, second = apply_both(Kill(target="op2"), Kill(target="op2", role=Part.ROLLUP))
    assert second.error == "op2.rollup is under the fault a already"


def test_faults_of_different_kinds_may_overlap_on_a_link() -> None:
    slow, cut = apply_both(Regions(matrix=Matrix.WORLD), Partition(split=(2, 2)))
    assert slow.error == cut.error == ""
    one, other = apply_both(
        Kill(target="op2", role=Part.ROLLUP), Kill(target="op2", role=Part.VALIDATOR)
    )
    assert one.error == other.error == ""


# --------------------------------------------------------------------- links


@pytest.mark.parametrize("operators", [1, 4, 7, 10])
def test_every_link_but_the_probes_is_in_one_class(operators: int) -> None:
    topology = compute_topology(operators=operators, followers=2)
    named = [link.name for kind in Kind for link in matching(topology, kind)]
    assert len(named) == len(set(named))
    probes = {link.name for link in topology.links if link.kind is LinkClass.PROBE}
    assert set(named) | probes == {link.name for link in topology.links}
    assert matching(topology, "probe>*") == ()


@pytest.mark.parametrize(
    ("direction", "names"),
    [
        (Direction.OUT, {f"op2>op{i}.consensus" for i in (1, 3, 4)}),
        (Direction.IN, {f"op{i}>op2.consensus" for i in (1, 3, 4)}),
    ],
)
def test_one_direction_is_what_the_target_dials_or_what_dials_it(
    direction: Direction, names: set[str]
) -> None:
    assert set(Cut(target="op2", direction=direction).aim(sight()).links) == names
    both = Cut(target="op2").aim(sight())
    assert len(both.links) == 6


def test_a_pattern_names_links_one_by_one() -> None:
    site = Cut(links="op[12]>op3.consensus").aim(sight())
    assert site.links == ("op1>op3.consensus", "op2>op3.consensus")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Cut(links="op9>op1.consensus"), "no link of this network is called so"),
        (Cut(links="consensus", target="f1"), "target f1 has no consensus links"),
        (Cut(links="follow", target="l1"), "target l1: the network has op1"),
        (Kill(target="f1", role=Part.VALIDATOR), "f1 has no validator"),
        (Kill(target="f2"), "target f2: the network has"),
        (Partition(groups=(("op1",), ("op2", "op3"))), "groups must name each operator once"),
    ],
)
def test_what_hits_nothing_is_said(fault: Fault, words: str) -> None:
    assert words in fault.misfit(FOUR)


def test_engine_and_beacon_are_the_links_within_a_node() -> None:
    inside = [link for link in FOUR.links if link.kind is LinkClass.INTERNAL]
    assert {kind_of(link) for link in inside} == {Kind.ENGINE, Kind.BEACON}
    assert Cut(links="engine", target="op1").aim(sight()).links == ("op1.rollup>op1.engine",)


# -------------------------------------------------------------- connectivity


def consensus(*pairs: str) -> list[str]:
    """`"12"`: op1 and op2 do not hear each other."""
    both = (*pairs, *(pair[::-1] for pair in pairs))
    return [f"op{pair[0]}>op{pair[1]}.consensus" for pair in both]


def test_components_follow_from_what_is_cut() -> None:
    assert components([], OPERATORS) == ()
    assert components(consensus("12"), OPERATORS) == ()
    halves = consensus("13", "14", "23", "24")
    assert components(halves, OPERATORS) == (("op1", "op2"), ("op3", "op4"))
    assert silenced(halves, OPERATORS) == OPERATORS
    alone = consensus("12", "13", "14")
    assert components(alone, OPERATORS) == (("op1",), ("op2", "op3", "op4"))
    assert silenced(alone, OPERATORS) == ("op1",)


def test_a_leader_that_hears_and_is_heard_by_a_quorum_is_not_enough() -> None:
    """op1 is heard by all; whoever else could commit hears too few that prepare."""
    star = consensus("23", "24", "34")
    assert components(star, OPERATORS) == (("op1",), ("op2",), ("op3",), ("op4",))
    assert silenced(star, OPERATORS) == OPERATORS


def test_who_is_heard_and_hears_nobody_is_not_joined() -> None:
    deaf = [f"op{i}>op1.consensus" for i in (2, 3, 4)]
    assert silenced(deaf, OPERATORS) == ("op1",)


def test_who_cannot_execute_can_take_no_part() -> None:
    assert components(["op2.rollup>op2.engine"], OPERATORS) == (("op1", "op3", "op4"),)
    assert silenced(["op2.middleware>op2.rollup"], OPERATORS) == ("op2",)
    assert silenced(["op2.validator>op2.middleware", "op2>l1.rpc"], OPERATORS) == ()


@pytest.mark.parametrize("n", [4, 7, 10])
def test_in_overlapping_majorities_everybody_reaches_just_a_quorum(n: int) -> None:
    circle = [f"op{i}" for i in range(n)]
    pairs = farthest_pairs(circle, faults_tolerated(n))
    reached = {
        name: frozenset(o for o in circle if frozenset((name, o)) not in pairs) for name in circle
    }
    assert {len(group) for group in reached.values()} == {quorum(n)}
    assert len(set(reached.values())) > 1
    topology = compute_topology(operators=n, followers=0)
    site = Overlap().aim(sight(topology))
    assert len(site.links) == n * faults_tolerated(n)
    assert Overlap().silences(site, topology.operator_names) == topology.operator_names


@pytest.mark.parametrize(("n", "has_quorum"), [(4, True), (7, False), (10, False)])
def test_only_a_bridge_of_four_leaves_a_quorum(n: int, has_quorum: bool) -> None:
    topology = compute_topology(operators=n, followers=0)
    do = Bridge()
    site = do.aim(sight(topology))
    (bridge,) = set(site.groups[0]) & set(site.groups[1])
    assert not any(bridge in link.replace(".consensus", "").split(">") for link in site.links)
    largest = max(len(group) for group in do.components(site, topology.operator_names))
    assert (largest >= quorum(n)) is has_quorum
    assert len(do.silences(site, topology.operator_names)) == (1 if has_quorum else n)


def test_a_swizzle_heals_in_another_order() -> None:
    site = Swizzle(target=Aim.LEADER).aim(sight())
    assert sorted(site.links) == sorted(site.links_back)
    assert site.links != site.links_back


def test_a_validator_alone_silences_nobody() -> None:
    assert Kill(target="op2", role=Part.VALIDATOR).silences(Site(targets=("op2",)), OPERATORS) == ()
    assert Kill(target="op2", role=Part.ROLLUP).silences(Site(targets=("op2",)), OPERATORS) == (
        "op2",
    )


# ------------------------------------------------------------------- regions


@pytest.mark.parametrize("matrix", Matrix)
def test_round_trips_are_symmetric_and_complete(matrix: Matrix) -> None:
    rtt = RTT_MS[matrix]
    for one, other in combinations(PLACES[matrix], 2):
        assert rtt[one, other] == rtt[other, one] > 0


def test_each_pair_of_operators_gets_half_a_round_trip_each_way() -> None:
    network = FakeNetwork()
    do = Regions(matrix=Matrix.WORLD)
    site = do.aim(sight())
    in_virtual_time(lambda: do.inject(site, network))
    delay = network.toxics["op1>op2.consensus", "latency"]["latency"]
    assert delay == RTT_MS[Matrix.WORLD]["virginia", "frankfurt"] // 2
    assert network.toxics["op4>op3.rpc", "latency"] == {"latency": 35}
    assert not any("l1" in link or "engine" in link for link in site.links)
