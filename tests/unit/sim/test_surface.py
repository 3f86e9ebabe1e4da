"""What faults call does something to a simulated cluster, and is undone."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from devnet.faults.surface import CannotInject
from devnet.model.bend import Bend, Late, OldHead, OtherBlock, Silence
from devnet.model.cut import CutMode
from devnet.model.shape import Shape, Streams
from devnet.sim.loop import VirtualLoop, play
from devnet.sim.operator import Operator
from devnet.sim.rehearsal import Rehearsal, SimNetwork
from devnet.sim.surface import NoCounterpart

Work = Callable[[SimNetwork, Operator], Awaitable[None]]


def on_a_cluster(work: Work) -> None:
    """Of four, decided up to some height; the operator is op2."""

    async def run(loop: VirtualLoop) -> None:
        world = Rehearsal(loop, 3, 4)
        await world.warm_up()
        await work(SimNetwork(world.cluster), world.cluster.nodes[1])

    play(run)


def state(operator: Operator) -> set[str]:
    """What is so of it."""
    known = {
        "up": operator.up,
        "frozen": operator.is_frozen,
        "no rollup": operator.rollup_is_gone,
        "no validator": operator.validator_is_gone,
    }
    return {name for name, is_so in known.items() if is_so}


def test_a_killed_middleware_is_down_until_its_start_has_taken_its_time() -> None:
    async def work(net: SimNetwork, op2: Operator) -> None:
        programs = net.topology.pod("op2").programs[1:]
        await net.programs.kill(programs)
        assert state(op2) == {"no rollup", "no validator"}
        assert await net.programs.not_down(programs) == ""
        assert "op2.middleware" in await net.programs.not_up(programs)
        await net.programs.start(programs)
        assert "up" not in state(op2)
        await asyncio.sleep(2.1)
        assert state(op2) == {"up"}
        assert await net.programs.not_up(programs) == ""

    on_a_cluster(work)


def test_one_that_is_killed_while_it_starts_does_not_come_up() -> None:
    async def work(net: SimNetwork, op2: Operator) -> None:
        await net.programs.start(["op2.middleware"])
        await net.programs.kill(["op2.middleware"])
        await asyncio.sleep(3.0)
        assert not op2.up

    on_a_cluster(work)


def test_a_frozen_one_stands_still_until_it_thaws() -> None:
    async def work(net: SimNetwork, op2: Operator) -> None:
        programs = net.topology.pod("op2").programs[1:]
        await net.programs.freeze(programs)
        before = op2.disk.head()
        await asyncio.sleep(5.0)
        assert state(op2) == {"up", "frozen", "no validator"}
        assert op2.disk.head() <= before + 1, "what was written when it froze"
        await net.programs.thaw(programs)
        await asyncio.sleep(3.0)
        assert state(op2) == {"up"}
        assert op2.disk.head() > before + 4

    on_a_cluster(work)


def test_without_rollup_node_or_validator_it_goes_on_with_the_rest() -> None:
    async def work(net: SimNetwork, op2: Operator) -> None:
        await net.programs.kill(["op2.execution", "op2.validator"])
        assert state(op2) == {"up", "no rollup", "no validator"}
        with pytest.raises(NoCounterpart, match="frozen execution layer or rollup node"):
            await net.programs.freeze(["op2.rollup"])

    on_a_cluster(work)


@pytest.mark.parametrize(
    ("link", "what"),
    [
        ("op2>l1.rpc", "l1"),
        ("op2.rollup>op2.engine", "rollup"),
        ("op2.middleware>op2.rollup", "rollup"),
        ("op2.validator>op2.middleware", "validator"),
    ],
)
def test_whom_a_cut_link_leads_to_is_gone(link: str, what: str) -> None:
    def gone(op2: Operator) -> dict[str, bool]:
        return {
            "l1": op2.rollup.l1.is_silent,
            "rollup": op2.rollup_is_gone,
            "validator": op2.validator_is_gone,
        }

    async def work(net: SimNetwork, op2: Operator) -> None:
        await net.links.cut([link], CutMode.REFUSE)
        assert [name for name, is_gone in gone(op2).items() if is_gone] == [what]
        assert await net.links.not_set([link], CutMode.REFUSE) == ""
        await net.links.heal([link], CutMode.REFUSE)
        assert not any(gone(op2).values())
        assert await net.links.not_whole([link]) == ""

    on_a_cluster(work)


def test_a_silent_cut_is_felt_after_three_seconds_and_an_open_one_at_once() -> None:
    async def work(net: SimNetwork, op2: Operator) -> None:
        await net.links.cut(["op2>op3.consensus"], CutMode.BLACKHOLE)
        await net.links.cut(["op3>op2.consensus"], CutMode.DROP)
        assert await net.links.not_cut(["op3>op2.consensus"], CutMode.DROP) == ""
        assert "not down" in await net.links.not_cut(["op2>op3.consensus"], CutMode.BLACKHOLE)
        await asyncio.sleep(3.1)
        assert await net.links.not_cut(["op2>op3.consensus"], CutMode.BLACKHOLE) == ""

    on_a_cluster(work)


def test_links_that_nobody_here_uses_and_other_toxics_are_refused() -> None:
    async def work(net: SimNetwork, op2: Operator) -> None:
        with pytest.raises(NoCounterpart, match="anybody who uses client"):
            await net.links.cut(["client>op2.rpc"], CutMode.DROP)
        with pytest.raises(NoCounterpart, match="under the toxic slicer"):
            await net.links.shape(["op2>op3.consensus"], "slicer", Shape(attributes={}))
        with pytest.raises(NoCounterpart, match="the four programs of operators"):
            await net.programs.kill(["l1.anvil"])

    on_a_cluster(work)


def test_what_is_late_here() -> None:
    """Only what is sent out is waited for between operators; the rollup node's answer is late by
    each stream that is."""

    def late(streams: Streams, **more: float) -> Shape:
        return Shape(attributes={"latency": 40, "jitter": 0}, streams=streams, **more)

    async def work(net: SimNetwork, op2: Operator) -> None:
        operators, engine = ["op2>op3.consensus"], ["op2.rollup>op2.engine"]
        await net.links.shape(operators, "latency", late(Streams.UPSTREAM))
        assert await net.links.not_shaped(operators, "latency", late(Streams.UPSTREAM)) == ""
        with pytest.raises(NoCounterpart):
            await net.links.shape(operators, "latency", late(Streams.DOWNSTREAM))
        for streams, wanted in ((Streams.DOWNSTREAM, 40_000), (Streams.BOTH, 80_000)):
            await net.links.shape(engine, "latency", late(streams))
            assert op2.rollup_late_us == wanted
        await net.links.shape(engine, "latency", None)
        assert op2.rollup_late_us == 0
        for toxic in (
            late(Streams.BOTH, toxicity=0.5),
            Shape(attributes={"latency": 40, "jitter": 5}),
        ):
            with pytest.raises(NoCounterpart):
                await net.links.shape(engine, "latency", toxic)

    on_a_cluster(work)


def test_a_jitter_varies_what_messages_take_here() -> None:
    async def work(net: SimNetwork, op2: Operator) -> None:
        network, links = net.links._cluster.network, ["op2>op3.consensus"]

        def drawn() -> list[int]:
            return [network._draw_late((1, 2)) for _ in range(200)]

        shape = Shape(attributes={"latency": 40, "jitter": 30})
        await net.links.shape(links, "latency", shape)
        assert min(drawn()) >= 10_000
        assert max(drawn()) <= 70_000
        assert min(drawn()) < 20_000 < 60_000 < max(drawn())
        assert {network._draw_late((2, 1))} == {0}
        await net.links.shape(links, "latency", None)
        assert set(drawn()) == {0}

    on_a_cluster(work)


def test_machines_stores_and_answers() -> None:
    async def work(net: SimNetwork, op2: Operator) -> None:
        await net.machines.change(["op2.middleware"], ahead_s=3.0, drift=0.0)
        assert op2.ahead_us() == 3_000_000
        await net.machines.change(["op2.middleware"], full=True, flush_s=0.5)
        assert op2.full_until > op2.loop.now_us()
        assert op2.flush_us == 500_000
        await net.machines.change(["op2.rollup"], full=True)
        assert state(op2) == {"up", "no rollup"}
        await net.machines.change(["op2.rollup"], full=False)
        assert state(op2) == {"up"}

        late = Bend(questions=("*",), form=Late(seconds=3.0))
        await net.bends.bend(["op2.validator>op2.middleware"], [late])
        assert op2.signs_late_us == 3_000_000
        await net.bends.bend(["op2>l1.rpc"], [Bend(questions=("*",), form=OldHead())])
        stands = op2.l1_moment_us()
        await asyncio.sleep(5.0)
        assert op2.l1_moment_us() == stands
        await net.bends.straighten(["op2>l1.rpc", "op2.validator>op2.middleware"])
        assert op2.l1_moment_us() > stands
        assert op2.signs_late_us == 0
        await net.bends.bend(["op2>l1.rpc"], [Bend(questions=("*",), form=Silence())])
        assert "L1: it does not answer" in await net.telling.waits_for("op2")
        with pytest.raises(NoCounterpart, match="OtherBlock"):
            await net.bends.bend(["op2>l1.rpc"], [Bend(questions=("*",), form=OtherBlock())])

    on_a_cluster(work)


def test_a_lost_store_is_empty_and_its_validator_remembers() -> None:
    async def work(net: SimNetwork, op2: Operator) -> None:
        signed, head = dict(op2.disk.signed), op2.disk.head()
        assert head > 5
        await net.programs.kill(["op2.middleware"])
        await net.stores.lose(["op2.middleware"])
        assert op2.disk.head() == 0
        assert op2.disk.signed == signed
        await net.programs.start(["op2.middleware"], flags=("--rejoin",))
        assert op2.disk.rejoin is not None
        await asyncio.sleep(5.0)
        assert op2.disk.head() > head
        await net.programs.kill(["op2.middleware", "op2.validator"])
        await net.stores.lose(["op2.middleware", "op2.validator", "op2.rollup"])
        assert op2.disk.signed == {}
        assert op2.rollup.chain == []
        with pytest.raises(NoCounterpart, match="a validator that forgets by itself"):
            await net.stores.lose(["op2.validator"])

    on_a_cluster(work)


def test_an_old_copy_is_what_was_set_aside() -> None:
    async def work(net: SimNetwork, op2: Operator) -> None:
        await net.stores.copy(["op2.middleware"])
        head, signed = op2.disk.head(), max(op2.disk.signed)
        await asyncio.sleep(3.0)
        await net.programs.kill(["op2.middleware"])
        await net.stores.bring_copy(["op2.middleware"])
        assert op2.disk.head() == head
        assert max(op2.disk.signed) > signed, "the validator's own store was not the copy's"

    on_a_cluster(work)


def test_a_program_that_is_not_there_is_refused() -> None:
    async def work(net: SimNetwork, op2: Operator) -> None:
        await net.programs.kill(["op2.middleware"])
        with pytest.raises(NoCounterpart, match="in the place of a program"):
            await net.programs.start(["op2.middleware"], module="devnet.bugs")

    on_a_cluster(work)


def test_a_refusal_is_one_of_the_injector_too() -> None:
    assert issubclass(NoCounterpart, CannotInject), "its words become the receipt's"
