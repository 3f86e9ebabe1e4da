"""Receipts, targets and the place of a hit."""

import asyncio
import contextlib
import itertools
import random
from collections.abc import Sequence
from typing import Any

import pytest

from devnet.faults import KINDS
from devnet.faults.base import Fault, Sight, Site
from devnet.faults.clock_jump import ClockJump
from devnet.faults.crash import Crash
from devnet.faults.drain import Drain
from devnet.faults.flap import Flap
from devnet.faults.flipped_bytes import FlippedBytes
from devnet.faults.freeze import Freeze
from devnet.faults.full_disk import FullDisk
from devnet.faults.host_lost import HostLost
from devnet.faults.kill import Kill
from devnet.faults.l1_reorg import L1Reorg
from devnet.faults.latency import Latency
from devnet.faults.old_copy import OldCopy
from devnet.faults.packet_blackhole import PacketBlackhole
from devnet.faults.partition import Partition
from devnet.faults.regions import Matrix, Regions
from devnet.faults.reset import Reset
from devnet.faults.restarts import Restarts
from devnet.faults.stopped import Part
from devnet.faults.surface import CannotInject
from devnet.faults.targets import draw_groups, isolate, resolve_target
from devnet.faults.timeout import Timeout
from devnet.injector.hit import Hit, Phase, hit_at
from devnet.injector.injector import Injector
from devnet.injector.planned import Planned
from devnet.model.history import Event, EventKind, FaultReceipt, Record
from devnet.model.terms import Aim, Duration
from devnet.model.topology import compute_topology
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
        compute_topology(operators=4, followers=1),
        next_height=next_height,
        rng=random.Random(seed),
    )


def test_the_leader_is_that_of_round_0_of_the_next_height() -> None:
    assert resolve(Aim.LEADER, 6) == ("op3",)
    assert resolve(Aim.LEADER, 7) == ("op4",)
    assert resolve(Aim.LEADER, 8) == ("op1",)


@pytest.mark.parametrize("seed", range(20))
def test_not_leader_leads_neither_of_the_next_two_heights(seed: int) -> None:
    assert resolve(Aim.NOT_LEADER, 6, seed)[0] in ("op1", "op2")


def test_the_other_roles_and_names() -> None:
    assert resolve(Aim.ALL_OPERATORS) == OPERATORS
    assert resolve(Aim.FOLLOWER) == ("f1",)
    assert resolve("op2") == ("op2",)
    with pytest.raises(BadConfig, match=r"target op9: this network has op1, op2, op3, op4, f1"):
        resolve("op9")


def test_a_network_without_followers_cannot_lose_one() -> None:
    with pytest.raises(BadConfig, match="no such node"):
        resolve_target(
            Aim.FOLLOWER,
            compute_topology(operators=4, followers=0),
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


HALVES = (("op1", "op2"), ("op3", "op4"))
KILL, FREEZE = Kill(target="op3"), Freeze(target="op1")
SPLIT, SLOW = Partition(split=(2, 2)), Latency(one_way=Duration(seconds=0.05))


def test_components_say_who_can_reach_whom() -> None:
    assert KILL.components(Site(targets=("op3",)), OPERATORS) == (("op1", "op2", "op4"),)
    assert KILL.components(Site(targets=OPERATORS), OPERATORS) == ((),)
    assert KILL.components(Site(targets=("f1",)), OPERATORS) == ()
    assert SLOW.components(Site(), OPERATORS) == ()
    groups = isolate(("op3",), OPERATORS)
    assert SPLIT.components(Site(groups=groups), OPERATORS) == groups


def test_only_groups_without_a_quorum_count_as_disturbed() -> None:
    three_one = Site(groups=(("op1", "op2", "op3"), ("op4",)))
    assert SPLIT.disturbs(three_one, OPERATORS) == ("op4",)
    assert SPLIT.disturbs(Site(groups=HALVES), OPERATORS) == OPERATORS


def test_who_is_slow_is_disturbed_and_takes_part() -> None:
    slow = Site(targets=("op2",), links=("op2.rollup>op2.engine",))
    assert SLOW.disturbs(slow, OPERATORS) == ("op2",)
    assert SLOW.silences(slow, OPERATORS) == ()


def test_every_kind_is_found_by_its_file() -> None:
    for name, kind in KINDS.items():
        assert kind.name == name
        assert kind.__doc__, f"{name} has no line for the documentation"
        assert kind.proof


class Bench:
    """An injector on a fake network, and what it recorded."""

    def __init__(self) -> None:
        self.network = FakeNetwork()
        self.records: list[Record] = []
        self.injector = Injector(world=self.network, events=list, record=self.records.append)

    @property
    def receipts(self) -> list[FaultReceipt]:
        return [record for record in self.records if isinstance(record, FaultReceipt)]


def planned(do: Fault, id: str = "x") -> Planned:
    topology = compute_topology(operators=4, followers=1)
    aimed = do.aim(Sight(topology=topology, next_height=6, rng=random.Random(1)))
    return Planned(id=id, do=do, site=aimed, aimed_height=6)


def test_a_receipt_grows_moment_by_moment_and_names_the_hit() -> None:
    bench = Bench()

    async def work() -> None:
        await bench.injector.apply(planned(KILL))
        await bench.injector.restore()

    in_virtual_time(work)
    last = bench.receipts[-1]
    assert [r.verified is not None for r in bench.receipts] == [False] * 2 + [True] * 5
    assert last.hits_leader
    assert (last.kind, last.where, last.silenced) == ("kill", "op3", ("op3",))
    assert (last.height, last.round, last.phase) == (1, 0, "idle")
    assert last.healed is not None


def test_a_heal_takes_several_good_looks_in_a_row() -> None:
    """A program that ends again just after it came up has not been healed by coming up."""
    bench = Bench()
    fault = planned(KILL)

    async def work() -> None:
        await bench.injector.apply(fault)
        loop, down = asyncio.get_running_loop(), bench.network.programs.down
        again = set(down)
        loop.call_later(0.3, down.update, again)
        loop.call_later(2.0, down.clear)
        before = loop.time()
        receipt = await bench.injector.revert(fault)
        assert receipt.healed == pytest.approx(before + 2.0, abs=0.06)
        assert loop.time() == pytest.approx(before + 2.5, abs=0.06)
        assert receipt.whole_looks == 3

    in_virtual_time(work)


def test_what_comes_and_goes_is_not_healed_in_time() -> None:
    bench = Bench()
    fault = planned(KILL)

    async def work() -> None:
        await bench.injector.apply(fault)
        loop, down = asyncio.get_running_loop(), bench.network.programs.down
        again = set(down)
        for tenth in range(4, 1000, 4):
            loop.call_later(tenth / 10, down.update, again)
            loop.call_later(tenth / 10 + 0.2, down.clear)
        receipt = await bench.injector.revert(fault)
        assert receipt.healed is None
        assert receipt.error.startswith("revert: not healed after 60 s: op3.execution")

    in_virtual_time(work)


def test_restore_lets_processes_run_before_it_touches_links() -> None:
    bench = Bench()

    async def work() -> None:
        await bench.injector.apply(planned(SPLIT, "cut"))
        await bench.injector.apply(planned(FREEZE, "ice"))
        await bench.injector.restore()

    in_virtual_time(work)
    assert [call for call, _ in bench.network.programs.calls] == ["freeze", "thaw"]
    assert [r.id for r in bench.receipts if r.healed is not None] == ["ice", "cut"]


def test_a_fault_is_looked_at_as_long_as_it_stands() -> None:
    bench = Bench()
    fault = planned(KILL)

    async def work() -> None:
        await bench.injector.apply(fault)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5.5):
                await bench.injector.watch(fault)
        await bench.injector.revert(fault)

    in_virtual_time(work)
    assert bench.receipts[-1].looks == 6, "five times, and before it was taken back"
    assert bench.receipts[-1].lapsed is None


def test_a_fault_that_somebody_else_took_back_has_lapsed_and_says_when() -> None:
    bench = Bench()
    fault = planned(KILL)

    async def work() -> None:
        receipt = await bench.injector.apply(fault)
        verified = receipt.verified
        assert verified is not None
        asyncio.get_running_loop().call_later(2.5, bench.network.programs.down.clear)
        receipt = await bench.injector.watch(fault)
        assert receipt.looks == 2
        assert receipt.lapsed == pytest.approx(verified + 3.0, abs=0.5)
        assert receipt.error == (
            "it did not stand to its end: op3.execution, op3.rollup, op3.middleware, op3.validator"
        )

    in_virtual_time(work)


def last_seen(back: float | None) -> FaultReceipt:
    """A fault that is taken back 0.8 s after it was proven; back: seconds for which it was gone
    until then."""
    bench = Bench()
    fault = planned(KILL)

    async def work() -> FaultReceipt:
        await bench.injector.apply(fault)
        loop, down = asyncio.get_running_loop(), bench.network.programs.down
        loop.call_later(0.3, down.clear)
        if back is not None:
            loop.call_later(0.3 + back, down.update, set(down))
        await asyncio.sleep(0.8)
        return await bench.injector.revert(fault)

    receipt: FaultReceipt = in_virtual_time(work)
    return receipt


def test_a_fault_is_looked_at_right_before_it_is_taken_back() -> None:
    """However short it was to stand."""
    gone = last_seen(None)
    assert gone.looks == 0
    assert gone.error.startswith("it did not stand to its end: op3.execution")
    assert gone.lapsed is not None
    assert gone.revert_requested == pytest.approx(gone.lapsed + 1.0)
    assert gone.healed is not None, "it is taken back all the same"
    slow = last_seen(1.0)
    assert (slow.looks, slow.lapsed, slow.error) == (1, None, ""), "one look may fail"


REPEATING: dict[str, tuple[Fault, str]] = {
    "restarts": (Restarts(target="op3", every=Duration(seconds=2.0)), "start"),
    "flap": (Flap(links="op1>op2.consensus"), "heal"),
    "clock-jump": (ClockJump(target="op3", every=Duration(seconds=4.0)), "change"),
}


@pytest.mark.parametrize("name", REPEATING)
@pytest.mark.parametrize(("hangs", "lapses"), [(6.0, False), (60.0, True)])
def test_a_fault_that_goes_on_and_off_has_lapsed_when_it_does_not(
    name: str, hangs: float, lapses: bool
) -> None:
    bench = Bench()
    do, call = REPEATING[name]
    fault = planned(do)
    network = bench.network
    of = {"start": network.programs, "heal": network.links, "change": network.machines}[call]
    real, calls = getattr(of, call), itertools.count()

    async def slow(*args: Any, **kwargs: Any) -> None:
        if next(calls) == 4:
            await asyncio.sleep(hangs)
        await real(*args, **kwargs)

    setattr(of, call, slow)

    async def work() -> FaultReceipt:
        await bench.injector.apply(fault)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(100.0):
                return await bench.injector.keep_up(fault)
        return bench.receipts[-1]

    receipt = in_virtual_time(work)
    assert (receipt.lapsed is not None) is lapses
    if lapses:
        assert 2 < receipt.cycles < 5
        bound = max(15.0, 3 * (do.period_s or 0.0))
        assert receipt.error == f"it did not stand to its end: it did not repeat for {bound:g} s"
    else:
        assert receipt.cycles > 15


def test_one_look_that_fails_is_no_lapse() -> None:
    bench = Bench()
    fault = planned(KILL)

    async def work() -> None:
        await bench.injector.apply(fault)
        loop, down = asyncio.get_running_loop(), bench.network.programs.down
        loop.call_later(0.5, down.clear)
        loop.call_later(1.5, down.update, set(down))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(6.0):
                await bench.injector.watch(fault)

    in_virtual_time(work)
    assert bench.receipts[-1].lapsed is None


# ------------------------------------------------------------ who does not come back from it


def hanging(bench: Bench, *hung: str) -> None:
    """These programs come up no more once they were started again."""
    told = bench.network.programs.not_up

    async def not_up(programs: Sequence[str]) -> str:
        found = [name for name in programs if name in hung]
        return f"{', '.join(found)} not ready" if found else await told(programs)

    bench.network.programs.not_up = not_up  # type: ignore[method-assign]


def reverted(bench: Bench, do: Fault, *before: tuple[str, Fault]) -> FaultReceipt:
    """Its receipt in the end. before: others, that stand all the time."""
    fault = planned(do)

    async def work() -> FaultReceipt:
        for id, other in before:
            receipt = await bench.injector.apply(planned(other, id))
            assert not receipt.error
        await bench.injector.apply(fault)
        return await bench.injector.revert(fault)

    receipt: FaultReceipt = in_virtual_time(work)
    return receipt


@pytest.mark.parametrize(
    "do",
    [KILL, Freeze(target="op3"), Crash(target="op3", point="vote-after-persist")],
    ids=lambda do: do.name,
)
def test_who_hangs_when_it_is_started_again_is_named(do: Fault) -> None:
    bench = Bench()
    hanging(bench, "op3.middleware")
    receipt = reverted(bench, do)
    assert receipt.healed is None
    assert receipt.unreturned == ("op3",)
    assert receipt.error == "revert: not healed after 60 s: op3.middleware not ready"
    assert receipt.reverted is not None
    assert receipt.given_up == pytest.approx(receipt.reverted + 60.0, abs=0.2)


def test_who_hangs_after_the_stop_for_its_backup_is_named() -> None:
    bench = Bench()
    hanging(bench, "op3.middleware")
    receipt = reverted(bench, OldCopy(target="op3"))
    assert receipt.applied is None
    assert receipt.unreturned == ("op3",)


def test_of_several_only_who_is_not_back_is_named() -> None:
    bench = Bench()
    hanging(bench, "op3.rollup")
    assert reverted(bench, Kill(target=Aim.ALL_OPERATORS)).unreturned == ("op3",)


@pytest.mark.parametrize(("says", "blamed"), [("", ("op3",)), ("no answer", ())])
def test_who_still_waits_for_room_that_it_has_is_named_if_it_says_so(
    says: str, blamed: tuple[str, ...]
) -> None:
    bench = Bench()
    machines = bench.network.machines

    async def waits(programs: Sequence[str]) -> str:
        return "op3.middleware waits for room"

    async def not_full(programs: Sequence[str]) -> str:
        return says

    fault = planned(FullDisk(target="op3"))

    async def work() -> FaultReceipt:
        await bench.injector.apply(fault)
        machines.not_roomy = waits  # type: ignore[method-assign]
        machines.not_full = not_full  # type: ignore[method-assign]
        return await bench.injector.revert(fault)

    receipt: FaultReceipt = in_virtual_time(work)
    assert receipt.healed is None
    assert receipt.unreturned == blamed


def test_who_was_not_started_again_is_not_to_blame() -> None:
    bench = Bench()

    async def start(programs: Sequence[str], **_: object) -> None:
        raise CannotInject("docker does not answer")

    bench.network.programs.start = start  # type: ignore[method-assign]
    receipt = reverted(bench, KILL)
    assert receipt.error == "revert: docker does not answer"
    assert (receipt.unreturned, receipt.given_up) == ((), None)


def test_who_cannot_be_read_is_not_to_blame() -> None:
    bench = Bench()
    hanging(bench, "op3.validator")

    async def silent(nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(nodes)

    bench.network.links.silent = silent  # type: ignore[method-assign]
    assert reverted(bench, KILL).unreturned == ()


@pytest.mark.parametrize(
    ("other", "blamed"),
    [
        (ClockJump(target="op3"), ()),
        (ClockJump(target="op2"), ("op3",)),
        (Regions(matrix=Matrix.WORLD), ("op3",)),
    ],
    ids=["on it", "elsewhere", "the distances"],
)
def test_what_another_fault_may_have_done_is_blamed_on_nobody(
    other: Fault, blamed: tuple[str, ...]
) -> None:
    bench = Bench()
    hanging(bench, "op3.validator")
    assert reverted(bench, KILL, ("other", other)).unreturned == blamed


def never_dialled(bench: Bench, *lost: str) -> None:
    """Links that are whole at their Toxiproxies, and that nobody dials any more."""
    told = bench.network.links.not_whole

    async def not_whole(links: Sequence[str]) -> str:
        found = [name for name in links if name in lost]
        return f"{', '.join(found)} not up" if found else await told(links)

    bench.network.links.not_whole = not_whole  # type: ignore[method-assign]


ALONE = Partition(target="op3")
LINKS: tuple[Fault, ...] = (
    ALONE,
    Flap(links="op2>op3.consensus"),
    Timeout(links="op2>op3.consensus"),
    PacketBlackhole(target="op3"),
    HostLost(target="op3"),
)


@pytest.mark.parametrize("do", LINKS, ids=lambda do: do.name)
def test_who_does_not_dial_again_is_named(do: Fault) -> None:
    bench = Bench()
    never_dialled(bench, "op2>op3.consensus")
    receipt = reverted(bench, do)
    assert "op2>op3.consensus not up" in receipt.error
    assert receipt.unreturned == ("op2",)


@pytest.mark.parametrize("do", LINKS, ids=lambda do: do.name)
def test_a_link_that_its_toxiproxy_does_not_list_as_whole_is_nobodys_fault(do: Fault) -> None:
    bench = Bench()
    never_dialled(bench, "op2>op3.consensus")

    async def not_healed(links: Sequence[str]) -> str:
        return "still cut: op2>op3.consensus"

    bench.network.links.not_healed = not_healed  # type: ignore[method-assign]
    receipt = reverted(bench, do)
    assert "op2>op3.consensus not up" in receipt.error
    assert receipt.unreturned == ()


def test_a_link_that_another_fault_disturbs_is_nobodys_fault() -> None:
    bench = Bench()
    never_dialled(bench, "op2>op3.consensus")
    others = (("reset", Reset(links="op2>op3.consensus")),)
    assert reverted(bench, ALONE, *others).unreturned == ()
    bench = Bench()
    never_dialled(bench, "op2>op3.consensus")
    others = (("reset", Reset(links="op1>op2.consensus")),)
    assert reverted(bench, ALONE, *others).unreturned == ("op2",)


# ------------------------------------------------------------ who notices nothing of it


def applied(bench: Bench, do: Fault, *before: tuple[str, Fault]) -> FaultReceipt:
    async def work() -> FaultReceipt:
        for id, other in before:
            await bench.injector.apply(planned(other, id))
        return await bench.injector.apply(planned(do))

    receipt: FaultReceipt = in_virtual_time(work)
    return receipt


FLIPPED = FlippedBytes(target="op3", role=Part.MIDDLEWARE)


def blind_to_damage(bench: Bench, *, serves: bool) -> None:
    programs = bench.network.programs

    async def start(names: Sequence[str], *, ends_with: int | None = None) -> None:
        if serves:
            programs.down -= set(names)

    programs.start = start  # type: ignore[method-assign,assignment]


def test_who_serves_on_a_damaged_store_is_named() -> None:
    bench = Bench()
    blind_to_damage(bench, serves=True)
    receipt = applied(bench, FLIPPED)
    assert receipt.verified is None
    assert receipt.error == "not in place after 20 s: op3.middleware"
    assert receipt.unmoved == ("op3",)
    assert receipt.given_up == pytest.approx(receipt.requested + 20.0, abs=0.2)


def test_who_is_slow_to_start_on_it_or_is_under_another_fault_is_not() -> None:
    bench = Bench()
    blind_to_damage(bench, serves=False)
    assert applied(bench, FLIPPED).unmoved == ()
    bench = Bench()
    blind_to_damage(bench, serves=True)
    assert applied(bench, FLIPPED, ("clock", ClockJump(target="op3"))).unmoved == ()


@pytest.mark.parametrize(("depth", "blamed"), [(1, ()), (2, OPERATORS)])
def test_who_counts_no_reorg_of_blocks_that_it_had_is_named(
    depth: int, blamed: tuple[str, ...]
) -> None:
    """Whether it had the newest one nobody knows."""
    bench = Bench()
    bench.network.bugs = frozenset({"unfelt"})
    receipt = applied(bench, L1Reorg(depth=depth))
    assert receipt.error == "not in place after 15 s: no reorg seen by op1, op2, op3, op4"
    assert receipt.unmoved == blamed


def test_who_does_not_hand_over_is_named() -> None:
    bench = Bench()
    bench.network.bugs = frozenset({"leads-for-ever"})
    assert applied(bench, Drain(target="op3")).unmoved == ("op3",)
