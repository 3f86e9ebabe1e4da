"""Faults that bend answers: what they say of whom they silence, that a victim that feels nothing is
no proof, and how the benders of a network are led."""

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from devnet.backends.docker import DockerBackend
from devnet.faults.base import Fault
from devnet.faults.rise import Rise
from devnet.faults.surface import CannotInject
from devnet.model.bend import TABLE, TOLD, Bend, LinkTold, Status, Table, Told, bender_home
from devnet.model.topology import Link, compute_topology
from devnet.network.programs import Plan
from devnet.runner import bending
from devnet.runner.bending import LiveBends
from devnet.scenarios.parse import parse_scenario
from tests.unit.chaos.fake_network import FakeNetwork, FakeTelling, in_virtual_time
from tests.unit.chaos.test_faults import OPERATORS, sight

FOUR = compute_topology(operators=4, followers=1)
BENDS = (Bend(questions=("*",), form=Status(code=500)),)
ENGINE, BEACON = "op1.rollup>op1.engine", "op1.validator>op1.middleware"
L1 = "op1>l1.rpc"


def fault(do: str, **keys: object) -> Fault:
    wanted = {"id": "x", "do": do, "until": {"hold": "1s"}, **keys}
    document = {"scenario": 1, "name": "mine", "about": "x", "faults": [wanted]}
    return parse_scenario(document).faults[0].do


FELT = [
    *(("engine", a) for a in ("syncing", "invalid", "http-500", "nothing", "other-state")),
    ("engine", "other-build"),
    *(("l1-answers", a) for a in ("http-503", "nothing", "half", "short", "old-head")),
    *(("l1-answers", a) for a in ("other-block", "other-fork")),
    *(("sources", a) for a in ("other-block", "other-signature", "other-slot")),
]


WORDS = {"other-build": "no proposal was refused"}


@pytest.mark.parametrize(("do", "answer"), FELT)
def test_a_victim_that_feels_nothing_is_no_proof(do: str, answer: str) -> None:
    kind = fault(do, target="follower" if do == "sources" else "op2", answer=answer)
    site = kind.aim(sight())

    async def looked(network: FakeNetwork) -> str:
        await kind.inject(site, network)
        return await kind.missing(site, network)

    assert in_virtual_time(lambda: looked(FakeNetwork())) == ""
    assert WORDS.get(answer, site.targets[0]) in in_virtual_time(
        lambda: looked(FakeNetwork(bugs=frozenset({"unfelt"})))
    )


def test_a_reorg_that_an_operator_does_not_count_is_no_proof() -> None:
    kind = fault("l1-reorg", depth=2)
    site, network = kind.aim(sight()), FakeNetwork(bugs=frozenset({"unfelt"}))

    async def work() -> str:
        await kind.inject(site, network)
        return await kind.missing(site, network)

    assert in_virtual_time(work) == "no reorg seen by op1, op2, op3, op4"


# --- counters ---


def test_a_counter_proves_what_was_counted_since_and_a_proof_is_not_taken_back() -> None:
    rise = Rise()
    rise.note({"op1": 0.0, "op2": 7.0})
    assert rise.look({"op1": 0.0, "op2": 7.0, "op3": 7.0}) == frozenset()
    assert rise.look({"op1": 0.0, "op2": 0.0}) == frozenset()  # started anew
    assert rise.look({"op2": 1.0}) == {"op2"}
    assert rise.look({}) == rise.look({"op2": 0.0}) == {"op2"}
    with pytest.raises(CannotInject, match="nobody says"):
        Rise().note({})


class Answers:
    """Telling, scripted: at each question of a node the next of its answers, the last for ever. All
    are level with L1."""

    def __init__(self, **answers: list[float | None]) -> None:
        self._answers = answers

    async def metric(self, node: str, name: str) -> float | None:
        if name == "dst_l1_head":
            return 40.0
        left = self._answers[node]
        return left.pop(0) if len(left) > 1 else left[0]


def heard(**answers: list[float | None]) -> FakeNetwork:
    network = FakeNetwork()
    network.telling = Answers(**answers)  # type: ignore[assignment]
    return network


@pytest.mark.parametrize(
    ("op3", "op2", "complaint"),
    [
        ([None, 7.0], [7.0], "no proposal was refused"),
        ([7.0], [7.0, 0.0], "no proposal was refused"),
        ([7.0, 8.0], [7.0], ""),
    ],
)
async def test_what_was_refused_before_is_no_proof_of_another_build(
    op3: list[float | None], op2: list[float | None], complaint: str
) -> None:
    kind = fault("engine", target="op1", answer="other-build")
    site, network = kind.aim(sight()), heard(op1=[0.0], op2=op2, op3=op3, op4=[7.0])
    await kind.inject(site, network)
    assert await kind.missing(site, network) == complaint


@pytest.mark.parametrize(
    ("heads", "blamed"),
    [([None], ()), ([38.0], ("op2",)), ([39.0], ())],
    ids=["silent", "behind", "level"],
)
async def test_who_does_not_follow_l1_after_a_reorg_is_to_blame_if_it_answers(
    heads: list[float | None], blamed: tuple[str, ...]
) -> None:
    kind = fault("l1-reorg", depth=2)
    site, network = kind.aim(sight()), FakeNetwork()
    told = network.telling.metric

    async def metric(node: str, name: str) -> float | None:
        return heads[0] if node == "op2" and name == "dst_l1_head" else await told(node, name)

    await kind.inject(site, network)
    network.telling.metric = metric  # type: ignore[method-assign]
    assert await kind.not_back(site, network, frozenset()) == blamed


async def test_a_reorg_is_seen_once_seen_and_needs_a_mark_of_everybody() -> None:
    kind = fault("l1-reorg", depth=2)
    site = kind.aim(sight())
    network = heard(op1=[3.0, 4.0, 0.0], op2=[3.0, 4.0, None], op3=[3.0, 4.0], op4=[3.0, 4.0])
    await kind.inject(site, network)
    assert await kind.missing(site, network) == ""
    assert await kind.missing(site, network) == ""
    anew = heard(op1=[3.0, 0.0], op2=[3.0, 0.0], op3=[3.0, 0.0], op4=[None, None, 3.0, 0.0])
    again = kind.aim(sight())
    await kind.inject(again, anew)
    assert await kind.missing(again, anew) == "no reorg seen by op1, op2, op3, op4"
    silent = heard(op1=[3.0], op2=[None], op3=[3.0], op4=[3.0])
    with pytest.raises(CannotInject, match="op2 does not say"):
        await kind.inject(kind.aim(sight()), silent)


@pytest.mark.parametrize("answer", ["half", "old-head", "other-fork"])
def test_a_victim_that_still_feels_it_is_not_whole(answer: str) -> None:
    kind = fault("l1-answers", target="op2", answer=answer)
    site, network = kind.aim(sight()), FakeNetwork()

    async def work() -> str:
        await kind.inject(site, network)
        kept = dict(network.bent)
        await kind.take_back(site, network)
        assert await kind.remaining(site, network) == ""
        network.bends.not_straight = _nothing  # type: ignore[assignment]
        network.bent = kept
        return await kind.remaining(site, network)

    assert "op2" in in_virtual_time(work)


BENT = [
    ("l1-answers", "half"),
    ("l1-answers", "old-head"),
    ("engine", "nothing"),
    ("sources", "endless"),
]


@pytest.mark.parametrize(("do", "answer"), BENT)
def test_a_victim_that_says_nothing_is_not_whole_and_not_to_blame(do: str, answer: str) -> None:
    kind = fault(do, target="follower" if do == "sources" else "op2", answer=answer)
    site, network = kind.aim(sight()), FakeNetwork()

    async def work() -> tuple[str, tuple[str, ...]]:
        await kind.inject(site, network)
        await kind.take_back(site, network)
        assert await kind.remaining(site, network) == ""
        network.telling = Silent(network)
        complaint = await kind.remaining(site, network)
        return complaint, await kind.not_back(site, network, frozenset())

    (node,) = site.targets
    complaint, blamed = in_virtual_time(work)
    assert f"no answer from {node}" in complaint
    assert blamed == ()


class Silent(FakeTelling):
    async def waits_for(self, node: str) -> tuple[str, ...] | None:
        return None

    async def metric(self, node: str, name: str) -> float | None:
        return None


def test_a_view_of_l1_that_nobody_tells_is_not_level() -> None:
    """Also where the node still says what it waits for."""
    kind = fault("l1-answers", target="op2", answer="old-head")
    site, network = kind.aim(sight()), FakeNetwork()

    class Vague(FakeTelling):
        async def metric(self, node: str, name: str) -> float | None:
            return None

    network.telling = Vague(network)
    assert in_virtual_time(lambda: kind.remaining(site, network)) == "no answer from op2"


@pytest.mark.parametrize("answer", ["half", "old-head", "other-fork"])
def test_a_victim_that_still_feels_straight_answers_is_to_blame(answer: str) -> None:
    kind = fault("l1-answers", target="random(2)", answer=answer)
    site, network = kind.aim(sight()), FakeNetwork()
    stuck = site.targets[0]

    async def work() -> None:
        await kind.inject(site, network)
        kept = dict(network.bent)
        assert await kind.not_back(site, network, frozenset()) == (), "they are bent still"
        await kind.take_back(site, network)
        network.bends.not_straight = _nothing  # type: ignore[assignment]
        network.bent = {link: bends for link, bends in kept.items() if link.startswith(stuck)}
        assert stuck in await kind.remaining(site, network)
        assert await kind.not_back(site, network, frozenset()) == (stuck,)

    in_virtual_time(work)


async def _nothing(_: object) -> str:
    return ""


@pytest.mark.parametrize(
    ("kind", "silenced"),
    [
        (fault("engine", target="op3", answer="syncing"), ("op3",)),
        (fault("engine", target="op3", answer="other-build"), ()),
        (fault("l1-answers", target="op3", answer="other-fork"), ("op3",)),
        (fault("l1-answers", target="op3", answer="old-head"), ()),
        (fault("validator-late", target="op3"), ()),
        (fault("sources", target="f1", answer="endless"), ()),
        (fault("sources", target="f1", answer="endless", honest=0), ("f1",)),
        (fault("l1-reorg", depth=4), ()),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_who_is_silenced(kind: Fault, silenced: tuple[str, ...]) -> None:
    site = kind.aim(sight())
    assert kind.silences(site, OPERATORS) == silenced
    if "op3" in silenced:
        assert kind.components(site, OPERATORS) == (("op1", "op2", "op4"),)


def test_an_l1_that_lies_to_all_leaves_no_quorum() -> None:
    kind = fault("l1-answers", target="all-operators", answer="other-fork")
    assert kind.components(kind.aim(sight()), OPERATORS) == ((),)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (fault("sources", target="op1", answer="endless"), "no follower"),
        (fault("sources", target="f1", answer="endless", honest=4), "one has to lie"),
        (fault("l1-answers", target="f1", answer="half"), "a follower"),
        (fault("validator-late", target="f1"), "f1 asks for no such answers"),
        (fault("engine", target="op9", answer="nothing"), "op9"),
    ],
)
def test_what_cannot_work_is_refused(kind: Fault, words: str) -> None:
    assert words in kind.misfit(FOUR)


def test_one_honest_source_is_drawn_by_the_seed() -> None:
    kind = fault("sources", target="f1", answer="endless")
    drawn = {kind.aim(sight(seed=seed)).links for seed in range(20)}
    assert {len(links) for links in drawn} == {3}
    assert len(drawn) == 4
    assert kind.aim(sight(seed=3)) == kind.aim(sight(seed=3))


# --- the benders of a network ---


class Benders:
    """A backend whose benders do what their tables say, but bend nothing by themselves."""

    def __init__(self, directory: Path, *, deaf: bool = False) -> None:
        self._directory, self._deaf = directory, deaf
        self.running: set[str] = set()
        self.beat = 0

    def folder(self, pod: str) -> Path:
        return self._directory / bender_home(pod)

    async def start(self, names: Iterable[str]) -> None:
        for name in names:
            self.running.add(name)
            self.say(name.partition(".")[0], bent=0)

    def say(self, pod: str, bent: int) -> None:
        table = msgspec.json.decode((self.folder(pod) / TABLE).read_bytes(), type=Table)
        links = {
            name: LinkTold(port=40_000 + place, bent=bent)
            for place, name in enumerate(sorted(table.links))
        }
        self.beat += 1
        edition = "" if self._deaf else table.edition
        told = Told(edition=edition, links=links, beat=self.beat)
        (self.folder(pod) / TOLD).write_bytes(msgspec.json.encode(told))

    async def kill(self, names: Iterable[str]) -> None:
        self.running -= set(names)


class Leads:
    """A mesh, as far as it says where links lead."""

    def __init__(self) -> None:
        self.ports: dict[str, int] = {}

    async def lead_to(self, ports: Mapping[Link, int]) -> None:
        self.ports |= {link.name: port for link, port in ports.items()}

    async def not_leading_to(self, ports: Mapping[Link, int]) -> list[str]:
        return [link.name for link, port in ports.items() if self.ports.get(link.name) != port]


def bends_of(tmp_path: Path, *, deaf: bool = False) -> tuple[Any, Benders, Leads]:
    backend, mesh = Benders(tmp_path, deaf=deaf), Leads()
    made: Any = LiveBends(backend, mesh, FOUR, tmp_path)  # type: ignore[arg-type]  # as used there
    return made, backend, mesh


async def test_a_bender_is_there_while_a_link_of_its_pod_is_bent(tmp_path: Path) -> None:
    live, backend, mesh = bends_of(tmp_path)
    await live.bend([ENGINE], BENDS)
    await live.bend([BEACON, L1], BENDS)
    assert backend.running == {"op1.bender", "l1.bender"}
    assert (mesh.ports[ENGINE], mesh.ports[L1]) == (40_000, 40_000)
    await live.straighten([ENGINE, L1])
    assert backend.running == {"op1.bender"}
    assert mesh.ports[ENGINE] == FOUR.link(ENGINE).service_port
    assert await live.not_straight([ENGINE, L1]) == ""
    assert BEACON in await live.not_straight([BEACON])
    await live.straighten([BEACON])
    assert backend.running == set()


async def test_it_is_seen_that_nothing_is_bent_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = 1000.0
    monkeypatch.setattr(bending, "now", lambda: moment)
    live, backend, mesh = bends_of(tmp_path)
    await live.bend([ENGINE], BENDS)
    assert "no answer was bent" in await live.not_bent([ENGINE])
    backend.say("op1", bent=1)
    assert await live.not_bent([ENGINE]) == ""
    moment += bending.QUIET_S - 1
    backend.say("op1", bent=1)
    assert await live.not_bent([ENGINE]) == ""
    moment += 2
    assert "no answer was bent" in await live.not_bent([ENGINE])
    backend.say("op1", bent=2)
    assert await live.not_bent([ENGINE]) == ""
    mesh.ports[ENGINE] = FOUR.link(ENGINE).service_port  # by somebody else
    assert "not through the bender" in await live.not_bent([ENGINE])


async def test_a_bender_that_ended_after_its_first_bent_answer_is_seen_within_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = 1000.0
    monkeypatch.setattr(bending, "now", lambda: moment)
    live, backend, _ = bends_of(tmp_path)
    await live.bend([ENGINE], BENDS)
    backend.say("op1", bent=1)
    assert await live.not_bent([ENGINE]) == ""
    moment += bending.DEAF_S - 0.1
    assert await live.not_bent([ENGINE]) == ""
    moment += 0.2
    assert await live.not_bent([ENGINE]) == "op1.bender has said nothing for 3 s"
    backend.say("op1", bent=1)
    assert await live.not_bent([ENGINE]) == ""


async def test_two_faults_that_come_to_one_bender_at_once_find_both_their_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bender reads the newest table alone, a while after it was written."""
    monkeypatch.setattr(bending, "START_TIMEOUT_S", 1.0)
    live, backend, _ = bends_of(tmp_path)

    async def start(names: Iterable[str]) -> None:
        await asyncio.sleep(0)
        backend.running |= set(names)
        asyncio.get_running_loop().call_later(0.01, backend.say, "l1", 0)

    backend.start = start  # type: ignore[method-assign]
    other = "op2>l1.rpc"
    await asyncio.gather(live.bend([L1], BENDS), live.bend([other], BENDS))
    assert await live._not_leading_to({FOUR.link(L1): 40_000, FOUR.link(other): 40_001}) == []
    await asyncio.gather(live.straighten([L1]), live.straighten([other]))
    assert backend.running == set()
    assert await live.not_straight([L1, other]) == ""


async def test_a_bender_that_does_not_listen_is_an_error_that_names_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bending, "START_TIMEOUT_S", 0.1)
    live, _, mesh = bends_of(tmp_path, deaf=True)
    with pytest.raises(CannotInject, match=r"op1\.bender does not listen.*logs/op1\.bender\.log"):
        await live.bend([ENGINE], BENDS)
    assert mesh.ports == {}


def test_every_pod_has_a_bender_that_is_not_started_with_the_network() -> None:
    programs = Plan(FOUR, "docker", frozenset()).programs
    on_demand = {name for name, program in programs.items() if program.on_demand}
    assert on_demand == {f"{pod.name}.{one}" for pod in FOUR.pods for one in ("bender", "firewall")}
    assert not on_demand & {name for pod in FOUR.pods for name in pod.programs}
    assert all("dst" not in programs[name].code for name in on_demand)


def test_a_benders_container_sees_its_table_and_its_own_code(tmp_path: Path) -> None:
    programs = Plan(FOUR, "docker", frozenset()).programs
    backend = DockerBackend(
        directory=tmp_path,
        programs=programs,
        executables={},
        source=Path("/source"),
        on_crash=lambda _name, _detail: None,
        topology=FOUR,
        identifier="x",
    )
    shown = [bind.rpartition(":")[0].split(":") for bind in backend._binds(programs["op1.bender"])]
    assert {there: here for here, there in shown} == {
        "/devnet/nodes/op1/bender": f"{tmp_path}/nodes/op1/bender",
        "/devnet/logs/op1.bender.log": f"{tmp_path}/logs/op1.bender.log",
        "/app/launch.py": "/source/devnet/backends/launch.py",
        "/app/devnet/bender": "/source/devnet/bender",
        "/app/devnet/model/bend.py": "/source/devnet/model/bend.py",
        "/app/devnet/model/whole.py": "/source/devnet/model/whole.py",
    }
