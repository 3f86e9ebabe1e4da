"""What the heal owes, with forged histories that must fail; and that a run tells its checkers what
they judge."""

import logging
from collections.abc import Callable, Iterator

import msgspec
import pytest

from devnet.model.history import Event, EventKind, FaultReceipt, Record
from devnet.sim import blocks
from devnet.sim.loop import VirtualLoop, play
from devnet.sim.owed import BOUND_S, DISK_LOST, HEIGHTS, Owed
from devnet.sim.params import Params
from devnet.sim.world import Breach, World
from dst.qbft.messages import Certificate
from dst.qbft.records import DecisionRecord
from dst.spec.primitives import Height, Root, Round, Term

HONEST = ("op1", "op2", "op3")
HEALED = 10.0
LATE = HEALED + BOUND_S + 1
TOP = 5
LAST = TOP + HEIGHTS


def event(kind: EventKind, node: str, height: int, at: float) -> Event:
    return Event(
        kind=kind, node=node, height=height, root=f"{height}", monotonic=at, wall=at, term=0
    )


def had(node: str, height: int, at: float) -> list[Record]:
    return [event(kind, node, height, at) for kind in (EventKind.DECIDED, EventKind.SEALED)]


def fault(kind: str = "chaos", healed: float | None = HEALED) -> FaultReceipt:
    return FaultReceipt(id=kind, kind=kind, targets=(), requested=0.0, applied=0.0, healed=healed)


def sound() -> list[Record]:
    """All seals are had at the end, those of before the heal by one operator after it only."""
    before = [each for height in range(1, TOP) for node in HONEST for each in had(node, height, 1)]
    before += had("op1", TOP, 9.0)
    after = [each for node in HONEST[1:] for each in had(node, TOP, 11.0)]
    new = range(TOP + 1, LAST + 1)
    after += [each for height in new for node in HONEST for each in had(node, height, 6.0 + height)]
    return [*before, fault(), *after]


def judged(records: list[Record], now: float = LATE) -> str | None:
    owed = Owed(HONEST)
    for record in records:
        assert owed.feed(record) == []
    late = owed.overdue(now)
    return None if late is None else late.summary


def without(node: str, height: int, *kinds: EventKind) -> list[Record]:
    return [
        each
        for each in sound()
        if not (isinstance(each, Event) and (each.node, each.height) == (node, height))
        or each.kind not in kinds
    ]


def test_a_sound_history_passes_and_before_its_time_so_does_every_other() -> None:
    assert judged(sound()) is None
    assert judged([fault()], now=HEALED + BOUND_S - 0.1) is None
    assert judged([], now=LATE) is None, "nothing is healed, nothing owed"


@pytest.mark.parametrize("node", HONEST)
def test_one_operator_without_the_last_height_fails_it(node: str) -> None:
    lacking = without(node, LAST, EventKind.DECIDED, EventKind.SEALED)
    assert f"'{node}': 'is at {LAST - 1}'" in (judged(lacking) or "")


@pytest.mark.parametrize("height", [1, TOP, LAST])
def test_one_seal_less_fails_it(height: int) -> None:
    lacking = without("op2", height, EventKind.SEALED)
    assert f"'op2': 'has no seal of [{height}]'" in (judged(lacking) or "")


def test_where_a_disk_was_lost_old_heights_owe_no_seal_and_new_ones_do() -> None:
    lost = fault(DISK_LOST, healed=None)
    assert judged([lost, *without("op2", TOP, EventKind.SEALED)]) is None
    assert judged([lost, *without("op2", LAST, EventKind.SEALED)]) is not None


def test_what_comes_too_late_fails_it() -> None:
    last = [msgspec.structs.replace(each, monotonic=LATE) for each in had("op3", LAST, 0)]
    late = [*without("op3", LAST, EventKind.DECIDED, EventKind.SEALED), *last]
    assert "it came later" in (judged(late, now=LATE + 5) or "")


def test_liars_are_owed_nothing() -> None:
    assert judged([*had("op4", 99, 1.0), *sound()]) is None


# ------------------------------------------------------------------------ what a run is told of


@pytest.fixture
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def broken(act: Callable[[World], None], params: Params | None = None) -> str:
    """Of a calm run in which that happened, once all had decided something."""

    async def scenario(loop: VirtualLoop) -> str:
        world = World(loop, 3, 4, params=params or Params(n=4, chaos_us=4_000_000))
        loop.after(3_500_000, act, world)
        try:
            await world._play()
        except Breach as breach:
            return breach.violations[0].checker
        return ""

    return play(scenario)


def file(world: World, height: int, block: blocks.Block) -> None:
    """Into one disk, past all that would refuse it."""
    node, encoded = world.honest[0], blocks.encode(block)
    root = blocks.root_of(encoded)
    certificate = Certificate(Term(0), Height(height), Round(0), root, ())
    node.disk.decisions[Height(height)] = DecisionRecord(certificate, encoded)
    world._decided(node, Height(height))


def next_block(world: World) -> tuple[int, blocks.Block]:
    disk = world.honest[0].disk
    below = disk.decisions[disk.head()]
    number, parent = disk.head() + 1, Root(below.certificate.root)
    slot = blocks.decode(below.block).slot + 1
    return number, blocks.Block(number, slot, parent, 0, 0, b"forged")


def _on_another_parent(world: World) -> None:
    height, block = next_block(world)
    file(world, height, msgspec.structs.replace(block, parent=bytes(32)))


def _of_another_height(world: World) -> None:
    height, block = next_block(world)
    file(world, height, msgspec.structs.replace(block, height=height + 1))


def _again(world: World) -> None:
    disk = world.honest[0].disk
    file(world, disk.head() + 1, blocks.decode(disk.decisions[disk.head()].block))


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("forge", [_on_another_parent, _of_another_height, _again])
def test_a_decided_block_that_does_not_follow_breaks_a_run(
    forge: Callable[[World], None],
) -> None:
    assert broken(forge) == "S10 linked chain"


def _raise(world: World) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a mistake of the shell")

    life = world.honest[2].life
    assert life is not None
    life.shells.consensus._handle = fail  # type: ignore[method-assign, assignment]


def _die(world: World) -> None:
    world.honest[2].crash()


@pytest.mark.usefixtures("quiet")
def test_a_shell_that_raises_breaks_a_run_and_a_machine_that_dies_does_not() -> None:
    assert broken(_raise) == "S17 no program ends on its own"
    assert broken(_die) == ""


def _stand_still_after_the_heal(world: World) -> None:
    """Two of four, for good; the heal would wake them."""

    def stop() -> None:
        for node in world.honest[:2]:
            node.frozen_until = 10**12

    world.loop.after(world.params.chaos_us - 3_400_000, stop)


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("heal_us", [4_000_000, 5_000_000])
def test_a_heal_that_brings_nothing_breaks_a_run(heal_us: int) -> None:
    params = Params(n=4, chaos_us=heal_us)
    assert broken(_stand_still_after_the_heal, params) == "L4 recovery after heal"
