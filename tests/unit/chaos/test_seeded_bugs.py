"""A seeded bug as a fault: it is no fault to the checkers, and one that never shows is none."""

import random

import pytest

from devnet.bugs.names import KNOWN, Bug
from devnet.byzantine.names import Strategy
from devnet.faults.base import Sight
from devnet.faults.seeded_bug import SeededBug
from devnet.injector.injector import Injector
from devnet.injector.planned import Planned
from devnet.model.history import FaultReceipt, Record
from devnet.model.topology import compute_topology
from devnet.scenarios import catalogue
from tests.unit.chaos.fake_network import FakeNetwork, in_virtual_time

FOUR = compute_topology(operators=4, followers=1)


def applied(fault: SeededBug, network: FakeNetwork) -> FaultReceipt:
    """The receipt while it stands, or with what kept it from that."""
    found: list[Record] = []
    site = fault.aim(Sight(topology=FOUR, next_height=6, rng=random.Random(1)))
    planned = Planned(id="x", do=fault, site=site, aimed_height=6)

    async def work() -> FaultReceipt:
        injector = Injector(world=network, events=list, record=found.append)
        receipt = await injector.apply(planned)
        await injector.revert(planned)
        return receipt

    receipt: FaultReceipt = in_virtual_time(work)
    return receipt


@pytest.mark.parametrize("bug", Bug)
def test_nothing_is_forgiven_whoever_has_it(bug: Bug) -> None:
    """As if there were no fault: it is named, and neither excused nor waited for."""
    network = FakeNetwork()
    receipt = applied(SeededBug(bug=bug, target="op2"), network)
    assert receipt.verified is not None
    assert receipt.where == f"op2: {bug}"
    excused = receipt.targets, receipt.silenced, receipt.lying, receipt.forgetting
    assert excused == ((), (), (), ())
    assert receipt.components == ()


def test_each_program_is_told_its_part() -> None:
    network = FakeNetwork()
    fault = SeededBug(bug=Bug.DOUBLE_SIGNATURE, target="op2")
    site = fault.aim(Sight(topology=FOUR, next_height=6, rng=random.Random(1)))
    in_virtual_time(lambda: fault.inject(site, network))
    assert {name: flags[-1] for name, flags in network.programs.flags.items()} == {
        "op2.middleware": "middleware",
        "op2.validator": "validator",
    }


def test_a_bug_that_never_shows_is_not_proven() -> None:
    network = FakeNetwork(bugs=frozenset({"truthful"}))
    receipt = applied(SeededBug(bug=Bug.STALE_READS, target="op2"), network)
    assert receipt.verified is None
    assert receipt.error.endswith("op2 has not shown stale-reads yet")


@pytest.mark.parametrize("bug", Bug)
def test_each_has_a_scenario_that_must_fail_for_it(bug: Bug) -> None:
    scenario = catalogue.load(f"bug-{bug}")
    fault = scenario.faults[0]
    assert isinstance(fault.do, SeededBug)
    assert fault.do.bug is bug
    assert scenario.expect.fails.startswith(f"{KNOWN[bug].breaks} ")
    assert str(bug) not in set(Strategy), "a liar is another thing"
