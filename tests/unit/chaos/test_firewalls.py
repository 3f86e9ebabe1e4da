"""Packet filters of pods: which program drops what, and when that counts as proven."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from devnet.backends.base import NOTHING_EXTRA, BackendError, Extra, ProgramStatus, RunState
from devnet.faults.packet_blackhole import PacketBlackhole, places
from devnet.faults.surface import CannotInject
from devnet.faults.which import Direction
from devnet.model.firewall import DROPPED, firewall_home
from devnet.model.topology import compute_topology
from devnet.runner import firewalls
from devnet.runner.firewalls import LiveFirewalls
from tests.unit.chaos.test_faults import FOUR, OPERATORS, sight

LINK, QUIET_LINK = "op1>op2.consensus", "client>op2.beacon"


class Programs:
    """A backend with nothing but what was started."""

    def __init__(self) -> None:
        self.started: dict[str, Extra] = {}

    async def start(self, names: Iterable[str], extra: Extra = NOTHING_EXTRA) -> None:
        for name in names:
            if name in self.started:
                raise BackendError(f"{name} runs already")
            self.started[name] = extra

    async def kill(self, names: Iterable[str]) -> None:
        for name in names:
            self.started.pop(name, None)

    async def status(self) -> Mapping[str, ProgramStatus]:
        return {name: ProgramStatus(name=name, state=RunState.RUNNING) for name in self.started}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    moment = [100.0]
    monkeypatch.setattr(firewalls, "now", lambda: moment[0])
    return moment


class Pods:
    def __init__(self, directory: Path) -> None:
        self.directory, self.backend = directory, Programs()
        self.live = LiveFirewalls(self.backend, FOUR, directory)  # type: ignore[arg-type]

    def count(self, pod: str = "op2", **counts: int) -> None:
        folder = self.directory / firewall_home(pod)
        folder.mkdir(parents=True, exist_ok=True)
        names = {"consensus": LINK, "client": QUIET_LINK}
        (folder / DROPPED).write_text(json.dumps({names[k]: n for k, n in counts.items()}))


@pytest.fixture
def pods(tmp_path: Path, clock: list[float]) -> Pods:
    return Pods(tmp_path)


async def test_each_pod_drops_its_links_by_their_ports(pods: Pods) -> None:
    await pods.live.drop({"op2": [LINK, QUIET_LINK], "l1": ["op1>l1.rpc"]})
    told = {name: extra.flags for name, extra in pods.backend.started.items()}
    assert told == {
        "op2.firewall": (f"{LINK}=20230", f"{QUIET_LINK}=20201"),
        "l1.firewall": ("op1>l1.rpc=20020",),
    }
    with pytest.raises(CannotInject, match="runs already"):
        await pods.live.drop({"l1": ["op2>l1.rpc"]})
    await pods.live.let_pass(["op2"])
    assert await pods.live.not_passing(["op2"]) == ""
    assert await pods.live.not_passing(["op2", "l1"]) == "l1.firewall still drops packets"


async def test_nothing_counted_is_nothing_proven(pods: Pods) -> None:
    wanted = {"op2": [LINK, QUIET_LINK]}
    pods.count(consensus=9, client=9)
    assert await pods.live.not_dropping(wanted) == "op2.firewall does not run"
    await pods.live.drop(wanted)
    assert "no rule in op2" in await pods.live.not_dropping(wanted), "what an earlier one counted"
    pods.count(consensus=3)
    assert await pods.live.not_dropping(wanted) == f"no rule in op2 for {QUIET_LINK}"
    pods.count(consensus=0, client=4)
    assert await pods.live.not_dropping(wanted) == f"no packet was dropped of {LINK}"
    pods.count(consensus=1, client=0)
    assert await pods.live.not_dropping(wanted) == "", "nobody need use a client's link"


async def test_counters_that_stand_still_are_a_fault_that_ended(
    pods: Pods, clock: list[float]
) -> None:
    wanted = {"op2": [QUIET_LINK]}
    await pods.live.drop(wanted)
    pods.count(client=0)
    assert await pods.live.not_dropping(wanted) == "op2 drops no packets"
    pods.count(client=2)
    for wait, told in ((0.0, ""), (9.0, ""), (2.0, "op2 drops no packets")):
        clock[0] += wait
        assert await pods.live.not_dropping(wanted) == told
    pods.count(client=3)
    assert await pods.live.not_dropping(wanted) == ""
    pods.backend.started.clear()
    assert await pods.live.not_dropping(wanted) == "op2.firewall does not run"


def test_a_target_drops_in_its_own_pod_both_ways() -> None:
    site = PacketBlackhole(target="op2").aim(sight())
    assert places(site) == {"op2": site.links}
    assert len(site.links) == 6
    whole = PacketBlackhole(target="op2", links="*>*").aim(sight())
    everything = {link.name for link in FOUR.links_of("op2")}
    assert set(whole.links) == everything
    assert PacketBlackhole().silences(whole, OPERATORS) == ("op2",)
    ways = [PacketBlackhole(target="op2", direction=way).aim(sight()) for way in Direction]
    assert {len(places(each)["op2"]) for each in ways} == {3, 6}


def test_links_without_a_target_are_dropped_where_they_are_dialled() -> None:
    site = PacketBlackhole(links="op[12]>op3.consensus").aim(sight())
    assert places(site) == {"op3": ("op1>op3.consensus", "op2>op3.consensus")}
    both_ways = PacketBlackhole(links="op[13]>op[13].consensus").aim(sight())
    assert places(both_ways) == {"op1": ("op3>op1.consensus",), "op3": ("op1>op3.consensus",)}
    inside = PacketBlackhole(links="engine").aim(sight(compute_topology(operators=1)))
    assert places(inside) == {
        "op1": ("op1.rollup>op1.engine",),
        "f1": ("f1.rollup>f1.engine",),
    }


def test_two_filters_in_a_pod_would_undo_each_other() -> None:
    one = PacketBlackhole(links="op1>op2.consensus").aim(sight())
    other = PacketBlackhole(links="op3>op2.rpc").aim(sight())
    both = PacketBlackhole().claims(one) & PacketBlackhole().claims(other)
    assert both == {"op2 (packets)"}
