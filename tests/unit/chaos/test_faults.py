"""Every kind of fault, carried out on the fake cluster; whom each hits, what follows from it."""

import asyncio
import random
from itertools import combinations
from typing import Any

import pytest

from devnet.faults import KINDS
from devnet.faults.base import Fault, Sight, Site
from devnet.faults.bridge import Bridge
from devnet.faults.clock_drift import ClockDrift
from devnet.faults.clock_jump import ClockJump
from devnet.faults.clock_offset import ClockOffset
from devnet.faults.connectivity import components, has_quorum, silenced
from devnet.faults.crash import Crash, read_point
from devnet.faults.cut import Cut
from devnet.faults.drain import Drain
from devnet.faults.flipped_bytes import FlippedBytes
from devnet.faults.full_disk import FullDisk, Keeping
from devnet.faults.kill import Kill
from devnet.faults.latency import Latency
from devnet.faults.lost_store import LostStore
from devnet.faults.old_copy import OldCopy, Rejoin
from devnet.faults.overlap import Overlap, farthest_pairs
from devnet.faults.partition import Partition
from devnet.faults.power_loss import PowerLoss
from devnet.faults.regions import PLACES, RTT_MS, Matrix, Regions
from devnet.faults.restored import Restored
from devnet.faults.slow_fsync import SlowFsync
from devnet.faults.stopped import Part
from devnet.faults.swizzle import Swizzle
from devnet.faults.targets import leader_name
from devnet.faults.which import Direction, Kind, kind_of, matching
from devnet.injector.injector import Injector
from devnet.injector.planned import Planned
from devnet.model.history import FaultReceipt, Record
from devnet.model.shape import Streams
from devnet.model.terms import Aim, Duration
from devnet.model.topology import LinkClass, Topology, compute_topology
from devnet.scenarios.parse import parse_scenario
from dst.spec.errors import BadConfig
from dst.spec.primitives import faults_tolerated, quorum
from tests.unit.chaos.fake_network import FakeNetwork, in_virtual_time

FOUR = compute_topology(operators=4, followers=1)
OPERATORS = FOUR.operator_names

EXAMPLES: dict[str, dict[str, object]] = {
    "bandwidth": {"target": "op2", "kilobytes": 100},
    "bridge": {"mode": "blackhole"},
    "byzantine": {"target": "op3", "strategy": "equivocate"},
    "clock-drift": {"target": "op3", "ppm": -2000},
    "clock-jump": {"target": "not-leader", "by": "3s"},
    "clock-offset": {"target": "op1", "behind": "700ms"},
    "cpu-starved": {"target": "op2", "percent": 10},
    "crash": {"target": "op2", "point": "vote-after-persist", "count": 3},
    "cut": {"links": "l1", "target": "op1", "mode": "refuse"},
    "engine": {"target": "op2", "answer": "other-state"},
    "flap": {"target": "op3", "down": "100ms", "up": "200ms"},
    "flipped-bytes": {"target": "op2", "role": "validator"},
    "freeze": {"target": "random"},
    "drain": {"target": "op3"},
    "full-disk": {"target": "op4", "role": "rollup"},
    "host-lost": {"target": "op3"},
    "kill": {"target": "leader", "role": "execution"},
    "l1-answers": {"target": "op1", "answer": "half"},
    "l1-reorg": {"depth": 3},
    "latency": {"links": "engine", "target": "op4", "one_way": "20ms", "stream": "upstream"},
    "limit-data": {"links": "op1>op*.consensus", "bytes": 5000},
    "lost-store": {"target": "op3", "role": "all"},
    "old-copy": {"target": "op2"},
    "out-of-memory": {"target": "op2", "role": "execution"},
    "overlap": {},
    "packet-blackhole": {"target": "op2", "direction": "in"},
    "partition": {"groups": [["op1", "op4"], ["op2", "op3"]]},
    "power-loss": {"target": "op1"},
    "regions": {"matrix": "world"},
    "reset": {"links": "client", "after": "10ms"},
    "restarts": {"target": "f1", "every": "2s"},
    "seeded-bug": {"target": "op2", "bug": "double-signature"},
    "slicer": {"bytes": 7, "variation": 6, "toxicity": 0.5},
    "slow-fsync": {"target": "op2", "by": "300ms"},
    "slow-close": {"delay": "300ms"},
    "sources": {"target": "follower", "answer": "other-slot"},
    "stop": {"target": "op2", "role": "validator"},
    "swizzle": {"target": "not-leader", "step": "20ms"},
    "timeout": {"target": "op3", "after": "2s"},
    "upgrade": {"target": "all-operators", "to": "v2"},
    "validator-late": {"target": "random", "by": "2s"},
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
        assert traces(network), "it did nothing"
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
    assert last.looks == 10
    assert (last.cycles >= 3) is do.repeats
    assert last.healed is not None
    assert [each for each in traces(network) if each is not network.reorgs] == []


def traces(network: FakeNetwork) -> list[object]:
    """What of any fault is there; a reorg stays."""
    found = (
        network.cut, network.toxics, network.programs.down, network.programs.modules,
        network.machines.machines, network.bent, network.reorgs, network.firewalls.dropped,
        network.programs.held, network.programs.versions,
    )  # fmt: skip
    return [each for each in found if each]


@pytest.mark.parametrize("name", sorted({*KINDS} - {"l1-reorg"}))  # stays, and is whole so
def test_a_heal_that_does_nothing_is_not_proven(name: str) -> None:
    """The look after the heal sees what is left."""
    network = FakeNetwork()
    do = example(name)
    site = do.aim(sight())

    async def work() -> str:
        await do.inject(site, network)
        return await do.remaining(site, network)

    assert in_virtual_time(work)


@pytest.mark.parametrize("name", sorted({*KINDS} - {"flap", "restarts", "clock-jump"}))
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


@pytest.mark.parametrize("bug", ["", "leads-for-ever"])
def test_an_operator_is_stopped_once_it_has_handed_over_and_not_before(bug: str) -> None:
    network = FakeNetwork(bugs=frozenset({bug}))
    do = example("drain")
    fault = Planned(id="x", do=do, site=do.aim(sight()), aimed_height=6)

    async def work() -> FaultReceipt:
        injector = Injector(world=network, events=list, record=lambda _: None)
        return await injector.apply(fault)

    receipt = in_virtual_time(work)
    calls = [call for call, _ in network.programs.calls]
    assert calls == (["hand over"] if bug else ["hand over", "stop"])
    assert bool(receipt.error) is bool(bug)
    assert "f1 has no middleware" in Drain(target="f1").misfit(FOUR)


def test_a_drained_operator_starts_from_below() -> None:
    """Whoever leads is waited for as soon as its middleware is heard."""
    network = FakeNetwork()
    do = example("drain")
    site = do.aim(sight())

    async def work() -> None:
        await do.inject(site, network)
        network.programs.calls.clear()
        await do.take_back(site, network)

    in_virtual_time(work)
    assert network.programs.calls == [
        ("start", ("op3.execution", "op3.rollup")),
        ("start", ("op3.middleware", "op3.validator")),
    ]


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
    everybody = [f"{name}.rollup>{name}.engine" for name in OPERATORS]
    assert components(everybody, OPERATORS) == ((),)
    assert silenced(everybody, OPERATORS) == OPERATORS


@pytest.mark.parametrize(
    ("parted", "links", "left"),
    [
        ([], [], True),
        ([(("op1", "op2", "op3"),)], [], True),
        ([(("op1", "op2", "op3"),)] * 2, [], True),
        ([(("op1", "op2", "op3"),), (("op2", "op3", "op4"),)], [], False),
        ([(("op1", "op2"),), (("op3", "op4"),)], [], False),
        ([((),)], [], False),
        ([(("op1", "op2", "op3"), ("op4",)), (("op2", "op3", "op4"),)], [], False),
        ([(("op1", "op2", "op3"), ("op4",)), (("op1",), ("op2", "op3", "op4"))], [], False),
        ([], consensus("12"), True),
        ([], consensus("12", "34"), False),
        ([(("op1", "op3", "op4"),)], consensus("12"), True),
        ([(("op1", "op2", "op3"),)], consensus("12"), False),
        ([(("op1", "op3", "op4"),)], ["op2.rollup>op2.engine"], True),
        ([(("op1", "op3", "op4"),)], ["op1.rollup>op1.engine"], False),
    ],
)
def test_faults_that_stand_together_leave_what_none_of_them_takes(
    parted: list[tuple[tuple[str, ...], ...]], links: list[str], left: bool
) -> None:
    assert has_quorum(parted, links, OPERATORS) is left


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


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "50 ms each way on 1 op1>op2.consensus links"),
        (
            {"jitter": Duration(seconds=0.01), "stream": Streams.UPSTREAM, "toxicity": 0.25},
            "50 ± 10 ms upstream of 25% of the connections on 1 op1>op2.consensus links",
        ),
    ],
)
def test_a_shape_is_told_with_what_it_is_not_on(more: dict[str, Any], words: str) -> None:
    do = Latency(links="op1>op2.consensus", one_way=Duration(seconds=0.05), **more)
    assert do.told(do.aim(sight())) == words


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
    delay = network.toxics["op1>op2.consensus", "latency"].attributes["latency"]
    assert delay == RTT_MS[Matrix.WORLD]["virginia", "frankfurt"] // 2
    assert network.toxics["op4>op3.rpc", "latency"].attributes["latency"] == 35
    assert not any("l1" in link or "engine" in link for link in site.links)


# ------------------------------------------------------- stores and crash points


def started_with(do: Fault) -> dict[str, tuple[str, ...]]:
    """Program -> flags of its start after the fault."""
    network, site = FakeNetwork(), do.aim(sight())

    async def work() -> None:
        await do.inject(site, network)
        await do.take_back(site, network)

    in_virtual_time(work)
    return {name: network.programs.flags[name] for name in site.programs}


@pytest.mark.parametrize("kind", [LostStore, OldCopy, FlippedBytes])
@pytest.mark.parametrize("role", [Part.MIDDLEWARE, Part.VALIDATOR, Part.ROLLUP])
def test_who_may_have_forgotten_votes_starts_with_rejoin(kind: type[Restored], role: Part) -> None:
    votes = role is not Part.ROLLUP
    flags = started_with(kind(target="op2", role=role))
    assert flags == {f"op2.{role}": ("--rejoin",) if votes else ()}


@pytest.mark.parametrize("rejoin", list(Rejoin))
def test_a_copy_that_is_broken_off_while_it_ages_is_taken_back(rejoin: Rejoin) -> None:
    """Its programs run then, and cannot be started otherwise than they were."""
    network, do = FakeNetwork(), OldCopy(target="op2", rejoin=rejoin)
    site = do.aim(sight())

    async def work() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(do.age.seconds / 2):
                await do.inject(site, network)
        assert await network.programs.not_up(site.programs) == ""
        await do.take_back(site, network)
        assert await do.remaining(site, network) == ""

    in_virtual_time(work)
    wanted = ("--rejoin",) if rejoin is Rejoin.ASKED else ()
    assert network.programs.flags["op2.middleware"] == wanted


def test_an_operator_may_forget_it() -> None:
    forgets = OldCopy(target="op2", role=Part.ALL, rejoin=Rejoin.FORGOTTEN)
    assert set(started_with(forgets).values()) == {()}


def test_of_a_lost_host_those_alone_that_vote() -> None:
    assert {name for name, flags in started_with(LostStore(target="op2", role=Part.ALL)).items()
            if flags} == {"op2.middleware", "op2.validator"}  # fmt: skip


def test_whoever_keeps_blocks_and_loses_them_may_go_back() -> None:
    def forgets(do: Fault) -> tuple[str, ...]:
        return do.forgets(do.aim(sight()))

    for kind in (LostStore, PowerLoss):
        assert forgets(kind(target="op2", role=Part.ALL)) == ("op2",)
        assert forgets(kind(target="op2", role=Part.EXECUTION)) == ("op2",)
        assert forgets(kind(target="op2", role=Part.VALIDATOR)) == ()
    assert forgets(Kill(target="op2")) == ()


@pytest.mark.parametrize("role", [Part.MIDDLEWARE, Part.VALIDATOR])
def test_who_flushes_each_commit_has_no_power_loss_of_its_own(role: Part) -> None:
    assert "would lose nothing" in PowerLoss(target="op2", role=role).misfit(FOUR)
    assert PowerLoss(target="op2").misfit(FOUR) == ""


def test_a_power_loss_is_no_reason_to_rejoin() -> None:
    flags = started_with(PowerLoss(target="op2"))
    assert set(flags.values()) == {()}


ONE = compute_topology(operators=1, followers=1)


@pytest.mark.parametrize(
    ("fault", "topology", "words"),
    [
        (LostStore(target=Aim.ALL_OPERATORS), FOUR, "none would be left to say"),
        (LostStore(target="op1"), ONE, "has nobody to rejoin"),
        (OldCopy(target="f1"), FOUR, "f1 has no middleware"),
        (FlippedBytes(target="op1", role=Part.EXECUTION), FOUR, "no checksums"),
        (FullDisk(target="f1"), FOUR, "f1 has no middleware"),
        (Crash(target="f1", point="vote-after-persist"), FOUR, "f1 has no middleware"),
        (ClockOffset(target="f2", ahead=Duration(seconds=1)), FOUR, "target f2: the network has"),
    ],
)
def test_what_a_store_or_a_clock_cannot_suffer_is_said(
    fault: Fault, topology: Topology, words: str
) -> None:
    assert words in fault.misfit(topology)


@pytest.mark.parametrize(
    "fault",
    [
        LostStore(target=Aim.ALL_OPERATORS, role=Part.ROLLUP),
        LostStore(target="f1", role=Part.ALL),
        LostStore(target="op1", role=Part.EXECUTION),
        FullDisk(target="f1", role=Keeping.EXECUTION),
        Crash(target="f1", point="block-before-forkchoice"),
    ],
)
def test_what_they_can_is_not_refused(fault: Fault) -> None:
    assert fault.misfit(FOUR) == ""
    assert fault.misfit(ONE) == ""


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (ClockOffset(target="op1"), "ahead or behind"),
        (
            ClockOffset(target="op1", ahead=Duration(seconds=1), behind=Duration(seconds=1)),
            "ahead or behind",
        ),
        (ClockOffset(target="op1", ahead=Duration(slots=1)), "seconds, not slots"),
        (ClockJump(target="op1", by=Duration(slots=1)), "seconds, not slots"),
        (SlowFsync(target="op1", by=Duration()), "seconds"),
        (OldCopy(target="op1", age=Duration(slots=2)), "seconds, not slots"),
        (OldCopy(target="op1", age=Duration()), "not none"),
        (SlowFsync(target="op1", by=Duration(seconds=10.1)), "at most 10 s"),
        (SlowFsync(target="op1", by=Duration(seconds=0.049)), "at least 50ms"),
        (ClockOffset(target="op1", behind=Duration(seconds=0.09)), "at least 100ms"),
        (ClockJump(target="op1", by=Duration(seconds=0.09)), "at least 100ms"),
        (ClockDrift(target="op1", ppm=-999), "1000 at least, fast or slow"),
        (ClockJump(target="op1", every=Duration(seconds=0.09)), "at least 0.1 s"),
    ],
)
def test_what_makes_no_sense_is_said(fault: Fault, words: str) -> None:
    assert words in fault.nonsense()


def test_behind_is_a_clock_that_goes_after() -> None:
    network, do = FakeNetwork(), ClockOffset(target="op1", behind=Duration(seconds=2))
    in_virtual_time(lambda: do.inject(do.aim(sight()), network))
    assert network.machines.machines["op1.validator"].ahead_s == -2.0
    assert len(network.machines.machines) == 4, "one clock for all programs of the host"


def test_a_point_that_is_none_is_refused_with_those_there_are() -> None:
    with pytest.raises(BadConfig, match="vote-after-persist"):
        read_point("after-lunch", "faults[0].point")


def test_a_crash_does_not_claim_the_leader_that_it_was_aimed_at() -> None:
    """It comes by its place some heights later."""
    network = FakeNetwork()

    async def work(do: Fault) -> FaultReceipt:
        injector = Injector(world=network, events=list, record=lambda _: None)
        return await injector.apply(Planned(id="x", do=do, site=do.aim(sight()), aimed_height=6))

    leader = leader_name(OPERATORS, 6)
    crash = in_virtual_time(lambda: work(Crash(target=leader, point="vote-after-persist")))
    assert not crash.hits_leader
    network.programs.down.clear()
    assert in_virtual_time(lambda: work(Kill(target=leader))).hits_leader
