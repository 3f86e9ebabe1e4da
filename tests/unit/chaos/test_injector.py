"""Receipts, targets and the place of a hit."""

import random
from typing import Any

import pytest

from devnet.injector.hit import Hit, hit_at
from devnet.injector.injector import Injector, PlannedFault, components_of, disturbed_by
from devnet.injector.targets import draw_groups, isolate, resolve_target
from devnet.model.fault import FaultKind, Phase
from devnet.model.history import Event, EventKind, FaultReceipt, Record
from devnet.model.scenario import Role
from dst.spec.errors import BadConfig
from tests.unit.chaos.fake_network import FakeNetwork, in_virtual_time

OPERATORS = ("op1", "op2", "op3", "op4")


def event(kind: EventKind, height: int, moment: float, round_: int = 0) -> Event:
    return Event(
        kind=kind, node="op1", height=height, round=round_, monotonic=moment, wall=0.0, root="0x01"
    )


@pytest.mark.parametrize(
    ("events", "wanted"),
    [
        ([], Hit(height=1, round=0, phase=Phase.IDLE)),
        (
            [event(EventKind.DECIDED, 4, 1.0), event(EventKind.SEALED, 4, 2.0)],
            Hit(height=5, round=0, phase=Phase.IDLE),
        ),
        ([event(EventKind.DECIDED, 4, 1.0)], Hit(height=4, round=0, phase=Phase.DECIDED)),
        (
            [event(EventKind.SEALED, 4, 1.0), event(EventKind.PROPOSAL, 5, 2.0)],
            Hit(height=5, round=0, phase=Phase.PROPOSAL),
        ),
        (
            [
                event(EventKind.SEALED, 4, 1.0),
                event(EventKind.PREPARED, 5, 2.0),
                event(EventKind.ROUND_CHANGE, 5, 3.0, 1),
            ],
            Hit(height=5, round=1, phase=Phase.ROUND_CHANGE),
        ),
        (
            [event(EventKind.SEALED, 4, 1.0), event(EventKind.PREPARED, 5, 99.0)],
            Hit(height=5, round=0, phase=Phase.IDLE),
        ),
    ],
)
def test_a_hit_is_placed_by_what_was_known_at_its_moment(events: list[Event], wanted: Hit) -> None:
    assert hit_at(events, 10.0) == wanted


def resolve(target: Any, next_height: int = 6, seed: int = 1) -> tuple[str, ...]:
    return resolve_target(
        target,
        operators=OPERATORS,
        followers=("f1",),
        next_height=next_height,
        rng=random.Random(seed),
    )


def test_the_leader_is_that_of_round_0_of_the_next_height() -> None:
    assert resolve(Role.LEADER, 6) == ("op3",)
    assert resolve(Role.LEADER, 7) == ("op4",)
    assert resolve(Role.LEADER, 8) == ("op1",)


@pytest.mark.parametrize("seed", range(20))
def test_not_leader_leads_neither_of_the_next_two_heights(seed: int) -> None:
    assert resolve(Role.NOT_LEADER, 6, seed)[0] in ("op1", "op2")


def test_the_other_roles_and_names() -> None:
    assert resolve(Role.ALL_OPERATORS) == OPERATORS
    assert resolve(Role.FOLLOWER) == ("f1",)
    assert resolve("op2") == ("op2",)
    with pytest.raises(BadConfig, match=r"target op9: this network has op1, op2, op3, op4, f1"):
        resolve("op9")


def test_a_network_without_followers_cannot_lose_one() -> None:
    with pytest.raises(BadConfig, match="no such node"):
        resolve_target(
            Role.FOLLOWER,
            operators=OPERATORS,
            followers=(),
            next_height=1,
            rng=random.Random(1),
        )


@pytest.mark.parametrize("seed", range(10))
def test_groups_have_the_sizes_and_share_nobody(seed: int) -> None:
    groups = draw_groups([2, 2], OPERATORS, random.Random(seed))
    assert [len(group) for group in groups] == [2, 2]
    assert sorted(name for group in groups for name in group) == list(OPERATORS)


def test_sizes_must_add_up() -> None:
    with pytest.raises(BadConfig, match="is for 5 operators; this network has 4"):
        draw_groups([3, 2], OPERATORS, random.Random(1))


def fault(kind: FaultKind, **more: Any) -> PlannedFault:
    return PlannedFault(id="x", kind=kind, aimed_height=6, **more)


def test_components_say_who_can_reach_whom() -> None:
    assert components_of(fault(FaultKind.KILL, targets=("op3",)), OPERATORS) == (
        ("op1", "op2", "op4"),
    )
    assert components_of(fault(FaultKind.KILL, targets=OPERATORS), OPERATORS) == ((),)
    assert components_of(fault(FaultKind.KILL, targets=("f1",)), OPERATORS) == ()
    assert components_of(fault(FaultKind.LATENCY), OPERATORS) == ()
    groups = isolate(("op3",), OPERATORS)
    assert components_of(fault(FaultKind.PARTITION, groups=groups), OPERATORS) == groups


def test_only_groups_without_a_quorum_count_as_disturbed() -> None:
    three_one = fault(FaultKind.PARTITION, groups=(("op1", "op2", "op3"), ("op4",)))
    halves = fault(FaultKind.PARTITION, groups=(("op1", "op2"), ("op3", "op4")))
    assert disturbed_by(three_one, OPERATORS) == ("op4",)
    assert disturbed_by(halves, OPERATORS) == OPERATORS


def run_faults(*faults: PlannedFault) -> tuple[FakeNetwork, list[Record]]:
    network = FakeNetwork()
    records: list[Record] = []

    async def work() -> None:
        injector = Injector(
            nodes=network.nodes,
            links=network.links,
            operators=OPERATORS,
            events=list,
            record=records.append,
        )
        for item in faults:
            await injector.apply(item)
        await injector.restore()

    in_virtual_time(work)
    return network, records


def test_a_receipt_grows_moment_by_moment_and_names_the_hit() -> None:
    _, records = run_faults(fault(FaultKind.KILL, targets=("op3",)))
    receipts = [record for record in records if isinstance(record, FaultReceipt)]
    last = receipts[-1]
    assert [r.verified is not None for r in receipts] == [False] * 2 + [True] * 5
    assert last.hits_leader
    assert (last.height, last.round, last.phase) == (1, 0, "idle")
    assert last.healed is not None


def test_restore_lets_processes_run_before_it_touches_links() -> None:
    links = ("op1>op2.consensus",)
    groups = (("op1", "op2"), ("op3", "op4"))
    network, records = run_faults(
        PlannedFault(
            id="cut", kind=FaultKind.PARTITION, groups=groups, links=links, aimed_height=1
        ),
        PlannedFault(id="ice", kind=FaultKind.FREEZE, targets=("op1",), aimed_height=1),
    )
    assert network.nodes.calls[-1] == ("thaw", ("op1",))
    healed = [r.id for r in records if isinstance(r, FaultReceipt) and r.healed is not None]
    assert healed == ["ice", "cut"]
