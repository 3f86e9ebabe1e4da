"""Another version of the code: named, rolled out one node after another, proven, rolled back."""

import asyncio
from pathlib import Path

import pytest

from devnet.faults.stopped import Part
from devnet.faults.upgrade import Upgrade
from devnet.injector.injector import Injector
from devnet.injector.planned import Planned
from devnet.model.cluster import ClusterKind
from devnet.model.history import FaultReceipt
from devnet.model.terms import Aim
from devnet.model.topology import compute_topology
from devnet.model.verdict import Outcome
from devnet.runner.journal import Journal
from devnet.runner.plan import versions_of
from devnet.runner.stages import Run, Runner
from devnet.scenarios import catalogue
from devnet.scenarios.parse import parse_scenario, parse_text
from devnet.scenarios.write import scenario_yaml
from dst.spec.errors import BadConfig
from tests.unit.chaos.fake_network import FakeNetwork, in_virtual_time
from tests.unit.chaos.test_faults import sight

EVERYBODY = Upgrade(target=Aim.ALL_OPERATORS, to="v2")


def carried_out(do: Upgrade, network: FakeNetwork) -> tuple[FaultReceipt, FaultReceipt]:
    """Its receipt when it was applied, and when it was taken back."""
    fault = Planned(id="x", do=do, site=do.aim(sight()), aimed_height=6)

    async def work() -> tuple[FaultReceipt, FaultReceipt]:
        injector = Injector(world=network, events=list, record=lambda _: None)
        applied = await injector.apply(fault)
        return applied, await injector.revert(fault)

    receipts: tuple[FaultReceipt, FaultReceipt] = in_virtual_time(work)
    return receipts


def nodes_called(network: FakeNetwork) -> list[tuple[str, str]]:
    return [
        (call, " ".join(sorted({name.partition(".")[0] for name in programs})))
        for call, programs in network.programs.calls
    ]


def test_one_node_after_another_goes_over_and_comes_back() -> None:
    network = FakeNetwork()
    applied, healed = carried_out(EVERYBODY, network)
    assert (applied.error, healed.error) == ("", "")
    assert applied.verified is not None
    assert applied.witness == "code code of own before, code of v2 since"
    assert healed.healed is not None
    assert (healed.silenced, healed.unreturned) == ((), ())
    assert healed.restarted == healed.targets == network.operators
    steps = [(call, name) for name in network.operators for call in ("stop", "start")]
    assert nodes_called(network) == [*steps, *steps]
    assert network.programs.versions == {}
    every = [set(programs) for _, programs in network.programs.calls]
    assert every[0] == set(network.topology.pod("op1").programs[1:])


def test_the_next_is_left_alone_when_one_does_not_come_back_and_the_run_fails_for_it() -> None:
    network = FakeNetwork(bugs=frozenset({"never-back"}))
    applied, healed = carried_out(EVERYBODY, network)
    assert "op1, started from v2, is not back after 60 s: it has prepared no block" in applied.error
    assert applied.unreturned == healed.unreturned == ("op1",)
    assert {name for _, name in nodes_called(network)} == {"op1"}


def test_a_follower_is_back_once_it_is_level() -> None:
    network = FakeNetwork()
    network.height = 9
    assert carried_out(Upgrade(target="f1", to="v2"), network)[0].error == ""
    network.telling.metric = lagging(network)  # type: ignore[method-assign]
    applied, _ = carried_out(Upgrade(target="f1", to="v2"), network)
    assert "it is not at height 8" in applied.error
    assert applied.unreturned == ("f1",)


def lagging(network: FakeNetwork):  # type: ignore[no-untyped-def]
    told = network.telling.metric

    async def metric(node: str, name: str) -> float | None:
        return 7 if name == "dst_sealed_height" else await told(node, name)

    return metric


def test_a_role_alone_goes_over_alone() -> None:
    network = FakeNetwork()
    applied, _ = carried_out(Upgrade(target="op2", to="v2", role=Part.ROLLUP), network)
    assert applied.error == ""
    assert {name for _, programs in network.programs.calls for name in programs} == {"op2.rollup"}


def test_a_program_that_runs_what_it_ran_before_is_not_taken_for_another() -> None:
    network = FakeNetwork(bugs=frozenset({"stays-as-it-is"}))
    applied, healed = carried_out(EVERYBODY, network)
    assert "op1.execution tells that it runs code of own, not code of v2" in applied.error
    assert applied.unreturned == healed.unreturned == ()
    assert {name for _, name in nodes_called(network)} == {"op1"}, "nor is the next one stopped"


def test_nobody_is_stopped_for_what_runs_already() -> None:
    network = FakeNetwork()
    applied, healed = carried_out(Upgrade(target="op3", to="own"), network)
    assert applied.error == "op3 runs that code already (code of own)"
    assert healed.error == applied.error
    assert network.programs.calls == []


def test_somebody_elses_restart_is_noticed() -> None:
    network = FakeNetwork()
    site = EVERYBODY.aim(sight())

    async def work() -> str:
        await EVERYBODY.inject(site, network)
        assert await EVERYBODY.missing(site, network) == ""
        await network.programs.stop(["op2.validator"])
        silent = await EVERYBODY.missing(site, network)
        assert silent == "op2.validator does not tell which code it runs"
        await network.programs.start(["op2.validator"])
        return await EVERYBODY.missing(site, network)

    assert in_virtual_time(work) == "op2.validator tells that it runs code of own, not code of v2"


def test_what_was_broken_off_is_taken_back_where_it_had_come_to() -> None:
    network = FakeNetwork()
    fault = Planned(id="x", do=EVERYBODY, site=EVERYBODY.aim(sight()), aimed_height=6)

    async def work() -> FaultReceipt:
        injector = Injector(world=network, events=list, record=lambda _: None)
        applying = asyncio.get_running_loop().create_task(injector.apply(fault))
        while len(network.programs.calls) < 3:
            await asyncio.sleep(0.05)
        assert network.programs.calls[2][1][0].startswith("op2."), "op1 is done, op2 is down"
        applying.cancel()
        await asyncio.gather(applying, return_exceptions=True)
        (receipt,) = await injector.restore()
        return receipt

    receipt = in_virtual_time(work)
    assert receipt.error == ""
    assert receipt.healed is not None
    assert network.programs.versions == {}
    assert network.programs.down == set()
    assert {name for _, name in nodes_called(network)} == {"op1", "op2"}


# -------------------------------------------------------------------------------- whole runs


def shipped(bugs: frozenset[str] = frozenset()) -> tuple[Run, FakeNetwork]:
    network = FakeNetwork(bugs=bugs)

    async def work() -> Run:
        journal = Journal(network.setup("rolling-upgrade"))
        scenario = catalogue.load("rolling-upgrade")
        return await Runner(scenario, 1, network, journal, lambda _: None).run()

    return in_virtual_time(work), network


def test_an_operator_that_does_not_come_back_from_an_upgrade_is_a_fail() -> None:
    result, _ = shipped(frozenset({"never-back"}))
    assert result.outcome is Outcome.FAIL
    (verdict,) = (v for v in result.verdicts if v.checker == "L5 caught up and voting again")
    assert verdict.outcome is Outcome.FAIL
    assert verdict.violations[0].summary.startswith("op1 did not come back from the fault upgrade")


def test_everybody_who_was_restarted_is_judged_by_its_return() -> None:
    result, _ = shipped()
    assert result.outcome is Outcome.PASS
    (verdict,) = (v for v in result.verdicts if v.checker == "L5 caught up and voting again")
    assert verdict.note == "4 nodes"


# ------------------------------------------------------------------------------------- words


def scenario_with(to: object) -> dict[str, object]:
    fault = {"id": "a", "do": "upgrade", "target": "op2", "to": to, "until": {"hold": "1s"}}
    return {"scenario": 1, "name": "mine", "about": "x", "faults": [fault]}


@pytest.mark.parametrize("name", ["v1.2", "HEAD~3", "copy", "own", "feature/fast"])
def test_a_revision_is_taken_as_it_stands(name: str) -> None:
    scenario = parse_scenario(scenario_with(name))
    assert versions_of(scenario) == {name}
    assert parse_text(scenario_yaml(scenario), what="again").faults[0].do == scenario.faults[0].do


@pytest.mark.parametrize("name", ["./old", "../old", "/old", "~/old", "old.whl", "."])
def test_a_path_means_the_same_wherever_the_scenario_is_written_to(name: str) -> None:
    (found,) = versions_of(parse_scenario(scenario_with(name)))
    assert found == str(Path(name).expanduser().absolute())


@pytest.mark.parametrize("name", ["", 3, None, "--upload-pack=x", "v1 v2"])
def test_what_names_no_version_is_refused_with_its_place(name: object) -> None:
    with pytest.raises(BadConfig, match=r"faults\[0\] \(upgrade\)\.to: "):
        parse_scenario(scenario_with(name))


def test_a_baseline_has_no_other_version() -> None:
    topology = compute_topology(operators=1, cluster=ClusterKind.SINGLE)
    assert "baseline" in Upgrade(target="op1", to="v2").misfit(topology)
