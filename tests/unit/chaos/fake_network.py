"""A cluster of a few dozen lines in virtual time: what a scenario run can be tested on in
milliseconds.

It seals a block a slot while a quorum is connected, changes round when the leader is away, and
catches up when a node returns. Bugs are switched on by name: `fork`, `decides-without-quorum`,
`never-back`, `cannot-cut`, `loses`, `crashes`, `silent`, `vanishes`, `slow-blocks`, `stuck`,
`unfelt`, `stays-as-it-is`, `outlives`, and those of `FakeTelling`.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from itertools import combinations
from typing import Any, ClassVar

import msgspec

from devnet.bugs.names import IS_SEEDED, SHOWN
from devnet.bugs.names import PREFIX as SEEDED
from devnet.byzantine.names import IS_LIAR, LIES, PREFIX
from devnet.faults.surface import NO_ENVIRONMENT, CannotInject, RanOn, Said, Unmoved
from devnet.faults.targets import leader_name
from devnet.faults.upgrade import PREPARED
from devnet.model.bend import Bend, Form, OldHead, OtherBlock, OtherFork, Patched
from devnet.model.clock import now
from devnet.model.cut import CutMode
from devnet.model.history import (
    Answer,
    BlockRead,
    Event,
    EventKind,
    Fate,
    GroupSignatureSeen,
    HostileFate,
    ObjectRead,
    ObjectWrite,
    ReceiptSeen,
    Setup,
    TransactionSubmitted,
)
from devnet.model.shape import Shape, Streams
from devnet.model.topology import compute_topology
from devnet.model.work import BANK_ACCOUNTS, BANK_COINS
from devnet.runner.journal import Journal
from devnet.scenarios.scenario import Scenario
from devnet.workload.hostile.catalogue import CATALOGUE
from dst.spec.drills import AS_IT_IS, Machine
from dst.spec.primitives import quorum

SLOT = 1.0
EARLIER = 3
"""What counters had counted before."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time jumps to the next timer instead of passing."""

    def __init__(self) -> None:
        self._virtual = 1000.0
        super().__init__()

    def time(self) -> float:
        return self._virtual

    def _run_once(self) -> None:
        scheduled, ready = self._scheduled, self._ready  # type: ignore[attr-defined]
        if not ready and scheduled:
            self._virtual = max(self._virtual, scheduled[0]._when)
        super()._run_once()  # type: ignore[misc]


def in_virtual_time(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run `work()` to its end on a loop of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work())


class FakePrograms:
    """A node is away while its middleware is."""

    def __init__(self, network: "FakeNetwork") -> None:
        self._network = network
        self.calls: list[tuple[str, tuple[str, ...]]] = []
        self.down: set[str] = set()
        self.ended: dict[str, int] = {}
        self.held: dict[str, int] = {}
        """Program -> percent of a processor."""
        self.starved_of_memory: set[str] = set()
        self.flags: dict[str, tuple[str, ...]] = {}
        """Program -> of its last start."""
        self.modules: dict[str, str] = {}
        """Of those that run as another."""
        self.versions: dict[str, str] = {}
        """Of those that run from other code."""
        self.began: dict[str, float] = {}

    def _take(self, call: str, programs: Sequence[str]) -> None:
        self.calls.append((call, tuple(programs)))
        self.down |= set(programs)
        self._network.away |= {name.partition(".")[0] for name in programs}

    async def kill(self, programs: Sequence[str]) -> None:
        self._take("kill", programs)

    async def stop(self, programs: Sequence[str]) -> None:
        if "outlives" in self._network.bugs:
            raise RanOn("op1.rollup runs on", programs=["op1.rollup"], seconds=10.0)
        self._take("stop", programs)

    async def hand_over(self, nodes: Sequence[str]) -> None:
        self.calls.append(("hand over", tuple(nodes)))
        if "leads-for-ever" in self._network.bugs:
            raise Unmoved(f"{', '.join(nodes)} is not drained", nodes=nodes)

    async def freeze(self, programs: Sequence[str]) -> None:
        self._take("freeze", programs)

    async def start(
        self,
        programs: Sequence[str],
        *,
        module: str = "",
        flags: Sequence[str] = (),
        environment: Mapping[str, str] = NO_ENVIRONMENT,
        ends_with: int | None = None,
        version: str = "",
    ) -> None:
        otherwise = module or flags or version
        assert not otherwise or self.down.issuperset(programs), "they have to be stopped"
        self.ended = {name: code for name, code in self.ended.items() if name not in programs}
        self.starved_of_memory -= set(programs)
        if ends_with is not None:
            self._take("start", programs)
            self.ended |= dict.fromkeys(programs, ends_with)
            return
        self.flags |= {name: tuple(flags) for name in programs}
        for name in programs:
            self._network.stores.begin(name)
            self.modules.pop(name, None)
            self.versions.pop(name, None)
            self.began[name] = now()
            if version and "stays-as-it-is" not in self._network.bugs:
                self.versions[name] = version
            if module:
                self.modules[name] = module
                self._network.lies_since[name.partition(".")[0]] = now()
        self._give("start", programs)

    async def code_of(self, version: str) -> str:
        return f"code of {version}"

    async def codes(self, programs: Sequence[str]) -> Mapping[str, str]:
        up = [name for name in programs if name not in self.down]
        return {name: await self.code_of(self.versions.get(name, "own")) for name in up}

    async def hold_cpu(self, programs: Sequence[str], percent: int | None) -> None:
        """Whoever is held does nothing in time."""
        nodes = {name.partition(".")[0] for name in programs if name.endswith(".middleware")}
        self._network.away = (
            self._network.away - nodes if percent is None else (self._network.away | nodes)
        )
        for name in programs:
            self.held.pop(name, None)
            if percent is not None:
                self.held[name] = percent

    async def use_up_memory(self, programs: Sequence[str]) -> None:
        self.starved_of_memory |= set(programs)
        self._take("use up memory", programs)

    async def not_held(self, programs: Sequence[str], percent: int) -> str:
        return ", ".join(name for name in programs if self.held.get(name) != percent)

    async def not_free(self, programs: Sequence[str]) -> str:
        return ", ".join(name for name in programs if name in self.held)

    async def not_out_of_memory(self, programs: Sequence[str]) -> str:
        return ", ".join(name for name in programs if name not in self.starved_of_memory)

    async def thaw(self, programs: Sequence[str]) -> None:
        self._give("thaw", programs)

    def _give(self, call: str, programs: Sequence[str]) -> None:
        self.calls.append((call, tuple(programs)))
        self.down -= set(programs)
        if "never-back" not in self._network.bugs:  # else its programs run, and do nothing
            self._network.away -= {name.partition(".")[0] for name in programs}

    async def not_down(self, programs: Sequence[str]) -> str:
        return ", ".join(name for name in programs if name not in self.down)

    async def not_up(self, programs: Sequence[str]) -> str:
        return ", ".join(name for name in programs if name in self.down)

    async def not_ended_with(self, programs: Sequence[str], code: int) -> str:
        return ", ".join(name for name in programs if self.ended.get(name) != code)


class FakeStores:
    """What lies on disk: `new`, `old`, or how it was damaged; nothing where it is lost."""

    def __init__(self, network: "FakeNetwork") -> None:
        self._network = network
        self.kept: dict[str, str] = {}
        self.copies: dict[str, str] = {}

    def begin(self, name: str) -> None:
        self.kept[name] = "new"

    def _put(self, programs: Sequence[str], state: str) -> None:
        running = set(programs) - self._network.programs.down
        assert not running, f"touched the store of {running}"
        self.kept |= dict.fromkeys(programs, state)

    async def copy(self, programs: Sequence[str]) -> None:
        self._put(programs, "old")
        self.copies |= dict.fromkeys(programs, "old")

    async def bring_copy(self, programs: Sequence[str]) -> None:
        assert set(programs) <= set(self.copies), "there is no copy"
        self._put(programs, "old")

    async def lose(self, programs: Sequence[str]) -> None:
        self._put(programs, "")

    async def lose_unsynced(self, programs: Sequence[str]) -> None:
        self._put(programs, "touched")

    async def flip(self, programs: Sequence[str]) -> None:
        self._put(programs, "touched")

    async def not_copy(self, programs: Sequence[str]) -> str:
        return self._not(programs, "old")

    async def not_lost(self, programs: Sequence[str]) -> str:
        return self._not(programs, "")

    async def not_touched(self, programs: Sequence[str]) -> str:
        return self._not(programs, "touched")

    def _not(self, programs: Sequence[str], state: str) -> str:
        return ", ".join(name for name in programs if self.kept.get(name, "new") != state)


class FakeMachines:
    def __init__(self) -> None:
        self.machines: dict[str, Machine] = {}

    async def change(self, programs: Sequence[str], **fields: float | bool) -> None:
        for name in programs:
            machine = msgspec.structs.replace(self.machines.pop(name, AS_IT_IS), **fields)
            if machine != AS_IT_IS:
                self.machines[name] = machine

    def _not(self, programs: Sequence[str], is_right: Callable[[Machine], bool]) -> str:
        of = self.machines
        return ", ".join(name for name in programs if not is_right(of.get(name, AS_IT_IS)))

    async def not_telling(self, programs: Sequence[str], *, ahead_s: float, drift: float) -> str:
        return self._not(programs, lambda m: (m.ahead_s, m.drift) == (ahead_s, drift))

    async def not_slow(self, programs: Sequence[str], flush_s: float) -> str:
        return self._not(programs, lambda machine: machine.flush_s >= flush_s)

    async def not_quick(self, programs: Sequence[str], flush_s: float) -> str:
        return self._not(programs, lambda machine: machine.flush_s < flush_s)

    async def not_full(self, programs: Sequence[str]) -> str:
        return self._not(programs, lambda machine: machine.full)

    async def not_roomy(self, programs: Sequence[str]) -> str:
        return self._not(programs, lambda machine: not machine.full)


class FakeLinks:
    """Who dials has two answers a second while a link is not cut, and fails whenever it is cut or
    asked of one whose connections end. Bug `unfelt`: nobody feels anything."""

    def __init__(self, network: "FakeNetwork") -> None:
        self._network = network
        self.calls: list[tuple[str, tuple[str, ...]]] = []
        self._failures: Counter[str] = Counter()
        self._answers: dict[str, tuple[float, float]] = {}
        """Link -> how many, and up to when."""

    async def cut(self, links: Sequence[str], mode: CutMode) -> None:
        self.calls.append((f"cut {mode}", tuple(links)))
        if "cannot-cut" in self._network.bugs:
            raise CannotInject("the Toxiproxy of op1 does not answer")
        self._network.cut |= set(links)
        self._failures.update(links)

    async def heal(self, links: Sequence[str], mode: CutMode) -> None:
        self.calls.append((f"heal {mode}", tuple(links)))
        self._network.cut -= set(links)

    async def shape(self, links: Sequence[str], toxic: str, shape: Shape | None) -> None:
        self.calls.append((f"shape {toxic} {shape}", tuple(links)))
        for link in links:
            self._network.toxics.pop((link, toxic), None)
            if shape is not None:
                self._network.toxics[link, toxic] = shape
        if toxic == "timeout" and shape is None:
            self._network.cut -= set(links)
        elif toxic == "timeout":
            self._network.cut |= set(links)

    async def told(self, links: Sequence[str]) -> Mapping[str, Said]:
        there = [link for link in links if _dialling(link) not in self._network.away]
        return {link: self._said(link) for link in there}

    def _said(self, link: str) -> Said:
        network, toxics = self._network, self._network.toxics
        answers, upto = self._answers.get(link, (100.0, now()))
        unfelt = "unfelt" in network.bugs
        if link not in network.cut or unfelt:
            answers += 2 * (now() - upto)
        self._answers[link] = answers, now()
        if unfelt:
            return Said(answers=answers, failures=1, trip_s=0.001, sent=1000 * answers)
        ends = any((link, toxic) in toxics for toxic in ("reset_peer", "limit_data"))
        self._failures[link] += ends or link in network.cut
        late = toxics.get((link, "latency"))
        each_ms = late.attributes["latency"] - late.attributes["jitter"] if late else 0
        streams = 2 if late and late.streams is Streams.BOTH else 1
        return Said(
            answers=answers,
            failures=self._failures[link],
            trip_s=None if link in network.cut else 0.001 + streams * each_ms / 1000,
            sent=1000 * answers,
        )

    async def not_cut(self, links: Sequence[str], mode: CutMode) -> str:
        return await self.not_set(links, mode)

    async def not_set(self, links: Sequence[str], mode: CutMode) -> str:
        return ", ".join(link for link in links if link not in self._network.cut)

    async def not_whole(self, links: Sequence[str]) -> str:
        return ", ".join(link for link in links if link in self._network.cut)

    async def not_healed(self, links: Sequence[str]) -> str:
        return ", ".join(link for link in links if link in self._network.cut)

    async def down(self, links: Sequence[str]) -> tuple[str, ...]:
        return tuple([link for link in links if await self.not_whole([link])])

    async def silent(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return ()

    async def not_shaped(self, links: Sequence[str], toxic: str, shape: Shape | None) -> str:
        known = self._network.toxics
        return ", ".join(link for link in links if known.get((link, toxic)) != shape)


class FakeBends:
    def __init__(self, network: "FakeNetwork") -> None:
        self._network = network

    async def bend(self, links: Sequence[str], bends: Sequence[Bend]) -> None:
        self._network.bent |= dict.fromkeys(links, tuple(bends))
        if any(_stops(link, bends) for link in links):
            self._network.away |= {_dialling(link) for link in links}

    async def straighten(self, links: Sequence[str]) -> None:
        for link in links:
            del self._network.bent[link]
        self._network.away -= {_dialling(link) for link in links}

    async def not_bent(self, links: Sequence[str]) -> str:
        return ", ".join(link for link in links if link not in self._network.bent)

    async def not_straight(self, links: Sequence[str]) -> str:
        return ", ".join(link for link in links if link in self._network.bent)


def _dialling(link: str) -> str:
    return link.partition(">")[0].partition(".")[0]


def _stops(link: str, bends: Sequence[Bend]) -> bool:
    """Whether an operator whose answers there are bent so cannot vote."""
    forms = [bend.form for bend in bends]
    if link.endswith(".engine"):
        return not all(isinstance(form, Patched) for form in forms)
    return any(isinstance(form, OtherFork) for form in forms)


class FakeTelling:
    """What nodes say follows from the forms in which their answers are bent, as on real ones. A
    liar lies once a second; each lie is counted by everybody else, and a seeded bug shows at once.
    Bugs: `truthful`: neither does;
    `unnoticed`: nobody counts it, `unnoticed-from-now`: any more; `tires`: it lies for two
    seconds."""

    def __init__(self, network: "FakeNetwork") -> None:
        self._network = network
        self._lies_noticed: dict[str, float] = {}

    async def waits_for(self, node: str) -> tuple[str, ...] | None:
        told: list[str] = []
        for form in self._forms(node, "l1"):
            if isinstance(form, OtherFork):
                told.append("an L1 that shows the origins of our blocks again")
            elif not isinstance(form, OldHead | OtherBlock):
                told.append("L1: no answer")
        return tuple(told)

    async def metric(self, node: str, name: str) -> float | None:
        network = self._network
        match name:
            case "dst_sealed_height":
                return network.height
            case "dst_decided_height":
                return network.height - bool(self._forms(node, "engine"))
            case "dst_l1_head":
                lags = any(isinstance(f, OldHead | OtherBlock) for f in self._forms(node, "l1"))
                return network.l1_head - 5 * lags
            case "dst_source_lies_total":
                return EARLIER + 4 * len(self._forms(node, "op"))
            case "dst_l1_reorgs_total":
                return EARLIER + network.reorgs * ("unfelt" not in network.bugs)
            case "dst_proposals_refused_total":
                return EARLIER + sum(len(self._forms(n, "engine")) for n in network.operators)
        raise AssertionError(name)

    async def counted(
        self,
        nodes: Sequence[str],
        name: str,
        labels: Mapping[str, str],
        *,
        role: str = "middleware",
    ) -> Mapping[str, float]:
        up = (node for node in nodes if node not in self._network.away)
        if name in (SEEDED + IS_SEEDED, SEEDED + SHOWN):
            return {node: self._shown(f"{node}.{role}", name) for node in up}
        return {node: self._count(node, name) for node in up}

    def _shown(self, program: str, name: str) -> float:
        is_seeded = self._network.programs.modules.get(program) == "devnet.bugs"
        return float(is_seeded and (name != SEEDED + SHOWN or "truthful" not in self._network.bugs))

    def _count(self, node: str, name: str) -> float:
        network, is_liar = self._network, f"{node}.middleware" in self._network.programs.modules
        if name == PREPARED:  # a block a second
            began = network.programs.began.get(f"{node}.middleware", 0.0)
            return 0.0 if node in network.away else now() - began
        if name == PREFIX + IS_LIAR:
            return float(is_liar)
        if name == PREFIX + LIES:
            return self._lies(node) if is_liar else 0.0
        if "unnoticed" in network.bugs:
            return 0.0
        if "unnoticed-from-now" not in network.bugs:
            told = sum(self._lies(liar) for liar in network.lies_since if liar != node)
            self._lies_noticed[node] = max(told, self._lies_noticed.get(node, 0.0))
        return self._lies_noticed.get(node, 0.0)

    def _lies(self, node: str) -> float:
        if "truthful" in self._network.bugs:
            return 0.0
        told = 1 + int(now() - self._network.lies_since[node])
        return float(min(told, 2) if "tires" in self._network.bugs else told)

    def _forms(self, node: str, to: str) -> list[Form]:
        if "unfelt" in self._network.bugs:
            return []
        return [
            bend.form
            for link, bends in self._network.bent.items()
            for bend in bends
            if link.startswith(node) and to in link.partition(">")[2]
        ]


class FakeL1:
    def __init__(self, network: "FakeNetwork") -> None:
        self._network = network

    async def head(self) -> int:
        return self._network.l1_head

    async def reorg(self, depth: int) -> None:
        self._network.reorgs += 1

    async def not_reorged(self) -> str:
        return "" if self._network.reorgs else "it dropped nothing"


class FakeHosts:
    """A host is gone while all of its programs are down, its Toxiproxy with them."""

    def __init__(self, network: "FakeNetwork") -> None:
        self._network = network

    def _programs(self, nodes: Sequence[str]) -> list[str]:
        return [name for node in nodes for name in self._network.topology.pod(node).programs]

    async def lose(self, nodes: Sequence[str]) -> None:
        await self._network.programs.kill(self._programs(nodes))
        self._network.cut |= self._links(nodes)

    async def bring_back(self, nodes: Sequence[str]) -> None:
        await self._network.programs.start(self._programs(nodes))
        self._network.cut -= self._links(nodes)

    async def not_lost(self, nodes: Sequence[str]) -> str:
        return await self._network.programs.not_down(self._programs(nodes))

    def _links(self, nodes: Sequence[str]) -> set[str]:
        links = self._network.topology.consensus_links
        return {link.name for link in links if {link.source, link.target} & set(nodes)}


class FakeFirewalls:
    def __init__(self, network: "FakeNetwork") -> None:
        self._network = network
        self.dropped: dict[str, tuple[str, ...]] = {}
        """Pod -> links."""

    async def drop(self, links: Mapping[str, Sequence[str]]) -> None:
        self.dropped |= {pod: tuple(names) for pod, names in links.items()}
        self._network.cut |= {name for names in links.values() for name in names}

    async def let_pass(self, pods: Sequence[str]) -> None:
        for pod in pods:
            self._network.cut -= set(self.dropped.pop(pod))

    async def not_dropping(self, links: Mapping[str, Sequence[str]]) -> str:
        return ", ".join(pod for pod in links if self.dropped.get(pod) != tuple(links[pod]))

    async def not_passing(self, pods: Sequence[str]) -> str:
        return ", ".join(pod for pod in pods if pod in self.dropped)


class FakeNetwork:
    """`Surroundings` of nodes that do not exist."""

    genesis: ClassVar[None] = None
    """Its signatures are ideal."""
    is_read_at_end = True

    def __init__(self, operators: int = 4, bugs: frozenset[str] = frozenset()) -> None:
        self.topology = compute_topology(operators=operators, followers=1)
        self.operators = self.topology.operator_names
        self.followers = self.topology.follower_names
        self.bugs = bugs
        self.away: set[str] = set()
        self.cut: set[str] = set()
        self.toxics: dict[tuple[str, str], Shape] = {}
        self.programs = FakePrograms(self)
        self.links = FakeLinks(self)
        self.bent: dict[str, tuple[Bend, ...]] = {}
        self.bends = FakeBends(self)
        self.telling = FakeTelling(self)
        self.l1_head = 40
        self.reorgs = 0
        self.l1 = FakeL1(self)
        self.stores = FakeStores(self)
        self.machines = FakeMachines()
        self.hosts = FakeHosts(self)
        self.firewalls = FakeFirewalls(self)
        self.lies_since: dict[str, float] = {}
        self.crashed_at = 0.0
        self.height = 0
        self.pool: list[str] = []
        self.blocks: dict[int, tuple[str, ...]] = {}
        self.known: dict[str, int] = dict.fromkeys((*self.operators, "f1"), 0)

    def setup(self, scenario: str = "test") -> Setup:
        return Setup(
            operators=self.operators,
            followers=self.followers,
            slot_seconds=SLOT,
            scenario=scenario,
            load=1.0,
        )

    def tails(self, journal: Journal) -> list[Coroutine[Any, Any, None]]:
        return [self._chain(journal)]

    async def load(self, journal: Journal, scenario: Scenario, seed: int) -> None:
        count = 0
        while True:
            await asyncio.sleep(1 / scenario.load.rate)
            count += 1
            via = self.operators[count % len(self.operators)]
            if via in self.away:
                continue
            transaction = "0x" + f"{count:064x}"
            journal.record(
                TransactionSubmitted(
                    via=via, hash=transaction, sent=now(), answered=now(), answer=Answer.OK
                )
            )
            if count == 1:  # it creates the objects, of which nothing more is asked
                journal.record(ObjectWrite(transaction=transaction, arguments=(), monotonic=now()))
            if "loses" not in self.bugs:
                self.pool.append(transaction)

    async def hostile(
        self, journal: Journal, scenario: Scenario, say: Callable[[str], None]
    ) -> None:
        """Each takes a block; `vanishes`: the third is never heard of again."""
        assert scenario.hostile is not None
        for number, kind in enumerate(scenario.hostile.kinds or tuple(CATALOGUE)):
            sent = now()
            await asyncio.sleep(SLOT)
            gone = "vanishes" in self.bugs and number == 2
            journal.record(
                HostileFate(
                    kind=kind,
                    via=self.operators[number % len(self.operators)],
                    hash=f"0xh{number}",
                    gas=scenario.hostile.gas,
                    sent=sent,
                    settled=now(),
                    fate=Fate.UNKNOWN if gone else Fate.INCLUDED,
                    height=None if gone else self.height,
                )
            )

    async def standing(self) -> dict[str, str]:
        left = {"op1>op2.consensus": "hold"} if "left-over" in self.bugs else {}
        machines = dict.fromkeys(self.machines.machines, "another machine")
        return {**left, **machines, **self.programs.modules, **self.programs.versions}

    async def crashes(self) -> dict[str, tuple[int, str, float]]:
        found = {"op1.validator": (1, "exit code 1, before this run", 1.0)}
        if "crashes" in self.bugs and self.height > 4:
            self.crashed_at = self.crashed_at or now() - 0.2
            found["op3.validator"] = (1, "exit code 1", self.crashed_at)
        if "proxy-dies" in self.bugs and self.height:
            found["op2.toxiproxy"] = (1, "killed by SIGSEGV", now())
        return found

    async def read_end_state(self, journal: Journal, first: int, last: int) -> dict[str, str]:
        for node in (*self.operators, *self.followers):
            for height in range(first, last + 1):
                journal.record(self._block(node, height))
        for height in range(first, last + 1):
            journal.record(
                GroupSignatureSeen(
                    height=height,
                    root=_root(height),
                    signature="0xaa",
                    source="op1.beacon",
                    monotonic=now(),
                )
            )
            for index, transaction in enumerate(self.blocks.get(height, ())):
                journal.record(
                    ReceiptSeen(
                        transaction=transaction,
                        block_hash=f"0x{height:064x}",
                        height=height,
                        index=index,
                        node="op1",
                        monotonic=now(),
                    )
                )
        for node in (*self.operators, *self.followers):
            journal.record(
                ObjectRead(
                    node=node,
                    asked=now(),
                    monotonic=now(),
                    height=last,
                    register=0,
                    balances=(BANK_COINS,) * BANK_ACCOUNTS,
                )
            )
        return {"op3": "no answer"} if "silent" in self.bugs else {}

    def _block(self, node: str, height: int) -> BlockRead:
        return BlockRead(
            node=node,
            height=height,
            block_hash=f"0x{height:064x}",
            parent_hash=f"0x{height - 1:064x}",
            state_root=f"0x{height:064x}",
            transactions=self.blocks.get(height, ()),
        )

    async def _chain(self, journal: Journal) -> None:
        while True:
            await asyncio.sleep(SLOT)
            for node in (*self.operators, "f1"):
                self._catch_up(journal, node)
            group = self._largest_group()
            if len(group) >= quorum(len(self.operators)) or "decides-without-quorum" in self.bugs:
                await self._next_block(journal, group)

    def _hear_each_other(self, one: str, other: str) -> bool:
        return not {f"{one}>{other}.consensus", f"{other}>{one}.consensus"} & self.cut

    def _largest_group(self) -> set[str]:
        """Those that hear each other, all of them."""
        alive = [name for name in self.operators if name not in self.away]
        for size in range(len(alive), 0, -1):
            for group in combinations(alive, size):
                if all(self._hear_each_other(*pair) for pair in combinations(group, 2)):
                    return set(group)
        return set()

    async def _next_block(self, journal: Journal, group: set[str]) -> None:
        height, round_ = self.height + 1, 0
        if "needs-all" in self.bugs and self.away:
            return
        if "slow-blocks" in self.bugs and height == 9:
            await asyncio.sleep(2 * SLOT)
        while group and leader_name(self.operators, height, round_) not in group:
            round_ += 1
            await asyncio.sleep(0.5)  # a round takes no longer where blocks do
            for name in sorted(group):
                self._tell(journal, EventKind.ROUND_CHANGE, name, height, round_)
        self.height = height
        self.blocks[height], self.pool = tuple(self.pool), []
        for name in sorted(group):
            for kind in (EventKind.PROPOSAL, EventKind.PREPARED, EventKind.DECIDED):
                self._tell(journal, kind, name, height, round_)
        for name in (*sorted(group), "f1"):
            if name not in self.away and not self._is_stuck(name, height):
                self.known[name] = height
                self._tell(journal, EventKind.SEALED, name, height, round_)

    def _is_mute(self, height: int) -> bool:
        return height > 5 and (
            "mute" in self.bugs or ("mute-for-long" in self.bugs and height < 30)
        )

    def _is_stuck(self, node: str, height: int) -> bool:
        return "stuck" in self.bugs and node == "f1" and height > 7

    def _catch_up(self, journal: Journal, node: str) -> None:
        if self._is_stuck(node, self.height):
            return
        reachable = self._largest_group() | {"f1"}
        if node in self.away or node not in reachable or self.known[node] >= self.height:
            return
        self.known[node] = self.height
        self._tell(journal, EventKind.SEALED, node, self.height, 0)

    def _tell(self, journal: Journal, kind: EventKind, node: str, height: int, round_: int) -> None:
        if kind is EventKind.PREPARED and node == "op2" and self._is_mute(height):
            return
        forked = "fork" in self.bugs and node == "op2" and height == 6
        journal.record(
            Event(
                kind=kind,
                node=node,
                height=height,
                round=round_,
                root=_root(height + 1000 * forked),
                slot=height,
                monotonic=now(),
                wall=0.0,
            )
        )


def _root(height: int) -> str:
    return f"0x{height:064x}"
