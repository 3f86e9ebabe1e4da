"""The injector's surface (`devnet.faults.surface`) over a simulated cluster, so that the faults of
running networks do the same here: one definition of a fault, two worlds.

A fault needs no counterpart of its own: what it calls has one, or not. What has none is refused in
words (`NoCounterpart`), whatever fault asks for it: a call that did nothing would be proven by
nobody. An operator has the four programs of a real one; execution layer and rollup node are one in
the simulator, so that without either it has neither.
"""

import asyncio
import copy
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from random import Random
from typing import Final

from devnet.byzantine.liar import Orders
from devnet.byzantine.names import IS_LIAR, LIES, PREFIX, Strategy
from devnet.byzantine.strategies import LIARS
from devnet.faults.byzantine import MODULE
from devnet.faults.restored import REJOIN
from devnet.faults.surface import NO_ENVIRONMENT, CannotInject, Said
from devnet.model.bend import Bend, Form, Late, OldHead, OtherFork, Result, Silence, Status, Torn
from devnet.model.code import OWN
from devnet.model.cut import CutMode
from devnet.model.shape import Shape, Streams
from devnet.model.topology import OPERATOR_ROLES, Link, LinkClass, Role, Service, Topology
from devnet.probes.health import sum_of
from devnet.sim import params
from devnet.sim.disk import Disk
from devnet.sim.l1 import BLOCK_US, L1
from devnet.sim.loop import VirtualLoop
from devnet.sim.network import LinkEnds, Network
from devnet.sim.operator import EndsAt, Operator
from dst.middleware.store import Rejoin
from dst.spec.drills import CRASH_EXIT_CODE, CRASH_POINTS, CRASH_VARIABLE

FOR_EVER_US: Final = 10**13
START_US: Final = (800_000, 2_000_000)
"""What a program takes until it serves."""
FREEZE_TICK_US: Final = 20_000
"""A process that stands still is held again so often; it thaws as late at most."""
HAND_OVER_US: Final = 20_000_000
HAND_OVER_LOOK_S: Final = 0.05
SILENT: Final = (CutMode.HOLD, CutMode.BLACKHOLE)
"""Alike here: what was held goes down with its connection, three seconds later; a silent cut is
proven only then."""
_READS_BLOCKS: Final = (Strategy.CENSOR, Strategy.INVALID_BLOCK)
"""They look into blocks, and those of the simulator are stand-ins."""


class NoCounterpart(CannotInject):
    """The simulator has nothing like it."""


class State(StrEnum):
    DOWN = "down"
    STARTING = "starting"
    RUNNING = "running"
    FROZEN = "frozen"


@dataclass
class Cluster:
    """What is under test. boot: start an operator's middleware. liar: told who begins to lie.

    lies: how often each operator lied.
    """

    topology: Topology
    loop: VirtualLoop
    network: Network
    l1: L1
    nodes: Sequence[Operator]
    rng: Random
    boot: Callable[[Operator], None]
    liar: Callable[[Operator], None]
    lies: Counter[str] = field(default_factory=Counter)
    _reasons: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))

    def node(self, name: str) -> Operator:
        """Raises: NoCounterpart."""
        for each in self.nodes:
            if each.name == name:
                return each
        raise NoCounterpart(f"{name}: the simulator has operators only")

    def gone(self, node: Operator, what: Role, reason: str, is_so: bool) -> None:
        """Rollup node, validator or L1 of an operator is gone for as long as there is a reason."""
        reasons = self._reasons[node.name, what]
        (reasons.add if is_so else reasons.discard)(reason)
        match what:
            case Role.ROLLUP:
                node.rollup_is_gone = bool(reasons)
            case Role.VALIDATOR:
                node.validator_is_gone = bool(reasons)
            case _:
                node.rollup.l1.is_silent = bool(reasons)

    def is_gone(self, node: Operator, what: Role) -> bool:
        return bool(self._reasons[node.name, what])


# ------------------------------------------------------------------------------- programs


class SimPrograms:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._states = {
            name: State.RUNNING
            for node in cluster.nodes
            for name in cluster.topology.pod(node.name).programs[1:]
        }
        self._starts: Counter[str] = Counter()
        self._exits: dict[str, int] = {}
        """Of those that ended at a crash point."""
        self._codes: dict[str, str] = {}
        """Of those that were started again."""

    async def kill(self, programs: Sequence[str]) -> None:
        self._become(programs, State.DOWN)
        for name in programs:
            self._cluster.node(name.partition(".")[0]).ends_at = None

    async def stop(self, programs: Sequence[str]) -> None:
        self._become(programs, State.DOWN)

    async def hand_over(self, nodes: Sequence[str]) -> None:
        for name in nodes:
            life = self._cluster.node(name).life
            if life is None or self._states[f"{name}.{Role.MIDDLEWARE}"] is not State.RUNNING:
                raise CannotInject(f"{name} does not answer")
            consensus = life.shells.consensus
            consensus.leave(True)
            ends = self._cluster.loop.now_us() + HAND_OVER_US
            while not consensus.drain().is_drained:
                if self._cluster.loop.now_us() >= ends or life.dead:
                    raise CannotInject(f"{name} still leads")
                await asyncio.sleep(HAND_OVER_LOOK_S)
            if complaint := consensus.drain().others_lack:
                consensus.leave(False)
                raise CannotInject(f"{name} is not drained: {complaint}")

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
        if module not in ("", MODULE):
            raise NoCounterpart(f"{module} in the place of a program")
        if ends_with not in (None, CRASH_EXIT_CODE):
            raise NoCounterpart("a program that refuses its store")
        for name in programs if environment else ():
            self._end_at(name, environment[CRASH_VARIABLE])
        strategy = _strategy_of(flags) if module == MODULE else None
        for name in programs:
            node, _, role = name.partition(".")
            if role == Role.MIDDLEWARE:
                self._commission(self._cluster.node(node), strategy, flags)
        self._become(programs, State.STARTING)
        for name in programs:
            self._codes[name] = await self.code_of(version or OWN)
            self._exits.pop(name, None)
            self._starts[name] += 1
            delay = self._cluster.rng.randrange(*START_US)
            self._cluster.loop.after(delay, self._ready, name, self._starts[name])

    async def code_of(self, version: str) -> str:
        """There is one code here, under every name: what is played is who restarts when."""
        return version

    async def codes(self, programs: Sequence[str]) -> Mapping[str, str]:
        up = [name for name in programs if self._states.get(name) is State.RUNNING]
        return {name: self._codes.get(name, OWN) for name in up}

    def _end_at(self, name: str, where: str) -> None:
        point, _, count = where.partition(":")
        if CRASH_POINTS[point].role != Role.MIDDLEWARE:
            raise NoCounterpart(f"the crash point {point}: it has those of middlewares")
        node = self._cluster.node(name.partition(".")[0])
        node.ends_at = EndsAt(point, int(count or 1), partial(self._ended, name))

    def _ended(self, name: str) -> None:
        self._states[name] = State.DOWN
        self._exits[name] = CRASH_EXIT_CODE

    def _commission(self, node: Operator, strategy: Strategy | None, flags: Sequence[str]) -> None:
        """As whom the middleware starts."""
        node.liar = None
        if strategy is not None:
            fellows = flags[flags.index("--fellows") + 1 :]
            known = (each.index for each in self._cluster.nodes if each.name in fellows)
            orders = Orders(fellows=frozenset(known))
            n = len(self._cluster.nodes)
            node.liar = LIARS[strategy](node.index, n, node.rng, node, orders)
            self._cluster.liar(node)
        if REJOIN in flags:
            node.disk.rejoin = Rejoin(vote_above=None)

    def _ready(self, name: str, start: int) -> None:
        if self._starts[name] == start and self._states[name] is State.STARTING:
            self._become([name], State.RUNNING)

    async def freeze(self, programs: Sequence[str]) -> None:
        self._become(programs, State.FROZEN)

    async def thaw(self, programs: Sequence[str]) -> None:
        self._become(programs, State.RUNNING)

    def _become(self, programs: Sequence[str], state: State) -> None:
        for name in programs:
            if name not in self._states:
                raise NoCounterpart(f"{name}: the simulator has the four programs of operators")
        nodes = [self._cluster.node(each) for each in {name.partition(".")[0] for name in programs}]
        changed = self._states | dict.fromkeys(programs, state)
        for node in nodes:
            _require_whole_freeze(node.name, changed)
        self._states = changed
        for node in sorted(nodes, key=lambda node: node.index):
            self._apply(node)

    def _apply(self, node: Operator) -> None:
        cluster, states = self._cluster, {role: self._of(node, role) for role in OPERATOR_ROLES}
        for role in (Role.EXECUTION, Role.ROLLUP):
            is_down = states[role] in (State.DOWN, State.STARTING)
            cluster.gone(node, Role.ROLLUP, role, is_down)
        away = states[Role.VALIDATOR] is not State.RUNNING
        cluster.gone(node, Role.VALIDATOR, Role.VALIDATOR, away)
        match states[Role.MIDDLEWARE]:
            case State.DOWN | State.STARTING:
                node.crash()
            case State.RUNNING:
                cluster.boot(node)
            case State.FROZEN:
                self._hold(node)

    def _hold(self, node: Operator) -> None:
        if self._of(node, Role.MIDDLEWARE) is State.FROZEN:
            node.frozen_until = self._cluster.loop.now_us() + 2 * FREEZE_TICK_US
            self._cluster.loop.after(FREEZE_TICK_US, self._hold, node)

    def _of(self, node: Operator, role: Role) -> State:
        return self._states[f"{node.name}.{role}"]

    async def not_down(self, programs: Sequence[str]) -> str:
        alive = (State.RUNNING, State.STARTING)
        return _told("still running", (name for name in programs if self._states[name] in alive))

    async def not_up(self, programs: Sequence[str]) -> str:
        """What the simulator does not have is up."""
        known = (name for name in programs if name in self._states)
        return _told("not running", (n for n in known if self._states[n] is not State.RUNNING))

    async def hold_cpu(self, programs: Sequence[str], percent: int | None) -> None:
        raise NoCounterpart("a processor that is shared out")

    async def use_up_memory(self, programs: Sequence[str]) -> None:
        raise NoCounterpart("memory that runs out")

    async def not_held(self, programs: Sequence[str], percent: int) -> str:
        return "held by nothing"

    async def not_free(self, programs: Sequence[str]) -> str:
        return ""

    async def not_out_of_memory(self, programs: Sequence[str]) -> str:
        return await self.not_down(programs)

    async def not_ended_with(self, programs: Sequence[str], code: int) -> str:
        wrong = (name for name in programs if self._exits.get(name) != code)
        return _told(f"did not end with {code}", wrong)


class SimHosts:
    async def lose(self, nodes: Sequence[str]) -> None:
        raise NoCounterpart("hosts: who dials a program that is gone is told at once")

    async def bring_back(self, nodes: Sequence[str]) -> None:
        pass

    async def not_lost(self, nodes: Sequence[str]) -> str:
        return "it has none"


class SimFirewalls:
    async def drop(self, links: Mapping[str, Sequence[str]]) -> None:
        raise NoCounterpart("packets that a kernel drops")

    async def let_pass(self, pods: Sequence[str]) -> None:
        pass

    async def not_dropping(self, links: Mapping[str, Sequence[str]]) -> str:
        return "nothing drops them"

    async def not_passing(self, pods: Sequence[str]) -> str:
        return ""


def _require_whole_freeze(node: str, states: Mapping[str, State]) -> None:
    """Whoever asks one that stands still waits in the simulator for ever."""
    frozen = {role for role in OPERATOR_ROLES if states[f"{node}.{role}"] is State.FROZEN}
    if frozen & {Role.EXECUTION, Role.ROLLUP} and Role.MIDDLEWARE not in frozen:
        raise NoCounterpart("a frozen execution layer or rollup node beside a middleware that runs")


def _strategy_of(flags: Sequence[str]) -> Strategy:
    strategy = Strategy(flags[flags.index("--strategy") + 1])
    if strategy in _READS_BLOCKS:
        raise NoCounterpart(f"the strategy {strategy}, which looks into blocks")
    return strategy


def _told(what: str, names: Iterable[str]) -> str:
    found = ", ".join(names)
    return f"{found} {what}" if found else ""


# ---------------------------------------------------------------------------------- links


class SimLinks:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._cut: dict[str, CutMode] = {}
        self._shapes: dict[tuple[str, str], Shape] = {}

    async def cut(self, links: Sequence[str], mode: CutMode) -> None:
        self._require_some(links, felt)
        self._cut |= dict.fromkeys(links, mode)
        kind = params.CutMode.HOLD if mode in SILENT else params.CutMode.DROP
        self._cluster.network.cut(self._ends(links), kind)
        self._go(links, True)

    async def heal(self, links: Sequence[str], mode: CutMode) -> None:
        for name in links:
            self._cut.pop(name, None)
        self._cluster.network.mend(self._ends(links))
        self._go(links, False)

    def _go(self, links: Sequence[str], is_cut: bool) -> None:
        """What an operator does not reach is gone for it."""
        for name in links:
            link = self._cluster.topology.link(name)
            if (what := felt(link)) is not None and what is not Role.MIDDLEWARE:
                self._cluster.gone(self._cluster.node(link.source), what, name, is_cut)

    async def shape(self, links: Sequence[str], toxic: str, shape: Shape | None) -> None:
        late = _lateness(toxic, shape)
        self._require_some(links, late.felt_on)
        self._cluster.network.slow_down(self._ends(links), late.out_us, late.jitter_us)
        for name in links:
            if (link := self._cluster.topology.link(name)).service is Service.ENGINE:
                self._cluster.node(link.source).rollup_late_us = late.round_trip_us
            if shape is None:
                self._shapes.pop((name, toxic), None)
            else:
                self._shapes[name, toxic] = shape

    def _require_some(
        self, links: Sequence[str], counterpart: Callable[[Link], Role | None]
    ) -> None:
        """Where some of the links have one, the others carry nothing in the simulator that anybody
        would miss. Raises: NoCounterpart where none has."""
        if not any(counterpart(self._cluster.topology.link(name)) for name in links):
            raise NoCounterpart(f"anybody who uses {', '.join(links[:3])}")

    def _ends(self, links: Sequence[str]) -> list[LinkEnds]:
        """Those between operators."""
        found = map(self._cluster.topology.link, links)
        node = self._cluster.node
        return [
            (node(link.source).index, node(link.target).index)
            for link in found
            if link.kind is LinkClass.CONSENSUS
        ]

    async def not_cut(self, links: Sequence[str], mode: CutMode) -> str:
        is_open = self._cluster.network.is_open
        if still := [f"op{a + 1}>op{b + 1}" for a, b in self._ends(links) if is_open(a, b)]:
            return f"{', '.join(still)} not down"
        return await self.not_set(links, mode)

    async def not_set(self, links: Sequence[str], mode: CutMode) -> str:
        return _told(f"no {mode}", (name for name in links if self._cut.get(name) is not mode))

    async def not_whole(self, links: Sequence[str]) -> str:
        is_open = self._cluster.network.is_open
        if down := [f"op{a + 1}>op{b + 1}" for a, b in self._ends(links) if not is_open(a, b)]:
            return f"{', '.join(down)} not up"
        return _told("still cut", (name for name in links if name in self._cut))

    async def not_healed(self, links: Sequence[str]) -> str:
        return _told("still cut", (name for name in links if name in self._cut))

    async def down(self, links: Sequence[str]) -> tuple[str, ...]:
        is_open = self._cluster.network.is_open
        return tuple(name for name in links if any(not is_open(*e) for e in self._ends((name,))))

    async def silent(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return ()

    async def told(self, links: Sequence[str]) -> Mapping[str, Said]:
        """Nobody: what is looked at is the network itself."""
        return {}

    async def not_shaped(self, links: Sequence[str], toxic: str, shape: Shape | None) -> str:
        wrong = (name for name in links if self._shapes.get((name, toxic)) != shape)
        return _told(f"not under {toxic} {shape}", wrong)


def felt(link: Link) -> Role | None:
    """Who is gone for the operator that dials it when nothing passes; None: nobody here would
    notice. `MIDDLEWARE` stands for the network between operators."""
    if link.kind is LinkClass.CONSENSUS:
        return Role.MIDDLEWARE
    if link.kind is LinkClass.L1 and link.source.startswith("op"):
        return Role.ANVIL
    if link.kind is LinkClass.INTERNAL and link.source.startswith("op"):
        return {
            Service.ENGINE: Role.ROLLUP,
            Service.ROLLUP_OWN: Role.ROLLUP,
            Service.MIDDLEWARE: Role.VALIDATOR,
        }.get(link.service)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Late:
    """Of a link: a message that goes out, what that varies by, and an answer."""

    out_us: int
    jitter_us: int
    round_trip_us: int

    def felt_on(self, link: Link) -> Role | None:
        """Those whose delay somebody waits for: between operators nobody waits for an answer, and
        an answer of the rollup node takes a fixed time."""
        match link.kind, link.service:
            case LinkClass.CONSENSUS, _:
                return None if self.round_trip_us and not self.out_us else felt(link)
            case _, Service.ENGINE:
                return None if self.jitter_us else felt(link)
        return None


def _lateness(toxic: str, shape: Shape | None) -> _Late:
    """Raises: NoCounterpart."""
    if toxic != "latency":
        raise NoCounterpart(f"links under the toxic {toxic}")
    if shape is None:
        return _Late(out_us=0, jitter_us=0, round_trip_us=0)
    if shape.toxicity < 1:
        raise NoCounterpart("connections that a toxic spares")
    latency, jitter = (1000 * shape.attributes[name] for name in ("latency", "jitter"))
    goes_out = shape.streams is not Streams.DOWNSTREAM
    both = 2 if shape.streams is Streams.BOTH else 1
    return _Late(
        out_us=latency if goes_out else 0,
        jitter_us=jitter if goes_out else 0,
        round_trip_us=both * latency,
    )


# ----------------------------------------------------------------------- answers and L1


class SimBends:
    """What an operator's L1, execution layer and middleware answer."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def bend(self, links: Sequence[str], bends: Sequence[Bend]) -> None:
        """The first tells: an execution layer that answers to no block builds none either."""
        for link in map(self._cluster.topology.link, links):
            self._bend(link, bends[0].form)

    def _bend(self, link: Link, form: Form) -> None:
        node = self._cluster.node(link.source)
        match felt(link), form:
            case Role.ANVIL, Status() | Silence() | Torn():
                self._cluster.gone(node, Role.ANVIL, link.name, True)
            case Role.ANVIL, OldHead():
                node.l1_stands_us = node.l1_moment_us()
            case Role.ANVIL, OtherFork(depth=depth):
                head = node.l1_moment_us() // BLOCK_US
                node.rollup.l1.leave(max(1, head - depth + 1))
            case Role.ROLLUP, Status() | Silence() | Result():
                self._cluster.gone(node, Role.ROLLUP, link.name, True)
            case Role.VALIDATOR, Late(seconds=seconds):
                node.signs_late_us = round(seconds * 1e6)
            case _:
                raise NoCounterpart(f"{_worded(form)} on {link.name}")

    async def straighten(self, links: Sequence[str]) -> None:
        for name in links:
            link = self._cluster.topology.link(name)
            node = self._cluster.node(link.source)
            match felt(link):
                case Role.ANVIL:
                    self._cluster.gone(node, Role.ANVIL, name, False)
                    node.l1_stands_us = None
                    node.rollup.l1.come_back()
                case Role.ROLLUP:
                    self._cluster.gone(node, Role.ROLLUP, name, False)
                case _:
                    node.signs_late_us = 0

    async def not_bent(self, links: Sequence[str]) -> str:
        return ""

    async def not_straight(self, links: Sequence[str]) -> str:
        return ""


def _worded(form: Form) -> str:
    return f"answers of the form {type(form).__name__}"


class SimTelling:
    """What nodes say of themselves, in the words that faults look for."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def waits_for(self, node: str) -> tuple[str, ...]:
        operator = self._cluster.node(node)
        found = []
        if self._cluster.is_gone(operator, Role.ANVIL):
            found.append("L1: it does not answer")
        if operator.rollup.reset is not None:
            found.append("L1: it lacks origins of our blocks")
        return tuple(found)

    async def metric(self, node: str, name: str) -> float | None:
        operator = self._cluster.node(node)
        match name:
            case "dst_l1_head":
                return operator.l1_moment_us() // BLOCK_US
            case "dst_l1_reorgs_total":
                heard = operator.l1_moment_us()
                return sum(at <= heard for at, _ in self._cluster.l1.reorgs)
            case "dst_decided_height":
                return len(operator.rollup.chain)
            case "dst_proposals_refused_total":
                return 0.0  # whoever asks bends what is refused above
        raise NoCounterpart(f"the metric {name}")

    async def counted(
        self,
        nodes: Sequence[str],
        name: str,
        labels: Mapping[str, str],
        *,
        role: Role = Role.MIDDLEWARE,
    ) -> Mapping[str, float]:
        assert role is Role.MIDDLEWARE, "what others count is asked of who runs as another program"
        if name == PREFIX + LIES:
            return {node: float(self._cluster.lies[node]) for node in nodes}
        if name == PREFIX + IS_LIAR:
            return {node: float(self._cluster.node(node).liar is not None) for node in nodes}
        lives = {node: self._cluster.node(node).life for node in nodes}
        return {
            node: sum_of(life.metrics.render(), name, labels)
            for node, life in lives.items()
            if life is not None
        }


class SimL1:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def head(self) -> int:
        return self._cluster.loop.now_us() // BLOCK_US

    async def reorg(self, depth: int) -> None:
        first = max(1, await self.head() - depth + 1)
        self._cluster.l1.reorgs.append((self._cluster.loop.now_us(), first))

    async def not_reorged(self) -> str:
        return ""


# ------------------------------------------------------------------------ stores, machines


class SimStores:
    """Middleware and validator share a disk, which the rollup node outlives."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._copies: dict[str, Disk] = {}
        self._kept: dict[str, int] = {}

    async def copy(self, programs: Sequence[str]) -> None:
        for node, roles in self._by_node(programs):
            _require_both(roles)
            self._copies[node.name] = copy.deepcopy(node.disk)
            self._kept[node.name] = len(node.rollup.chain)

    async def bring_copy(self, programs: Sequence[str]) -> None:
        for node, roles in self._by_node(programs):
            signed = node.disk.signed
            node.disk = self._copies[node.name]
            if Role.VALIDATOR not in roles:
                node.disk.signed = signed
            if Role.ROLLUP in roles:
                node.rollup.lose(self._kept[node.name])

    async def lose(self, programs: Sequence[str]) -> None:
        for node, roles in self._by_node(programs):
            _require_both(roles)
            if Role.MIDDLEWARE in roles:
                signed, node.disk = node.disk.signed, Disk()
                if Role.VALIDATOR not in roles:
                    node.disk.signed = signed
            if Role.ROLLUP in roles:
                node.rollup.lose(0)

    async def lose_unsynced(self, programs: Sequence[str]) -> None:
        """Middleware and validator flush before they promise."""
        for node, roles in self._by_node(programs):
            if Role.ROLLUP in roles:
                node.rollup.lose(self._cluster.rng.randrange(len(node.rollup.chain) + 1))

    def _by_node(self, programs: Sequence[str]) -> list[tuple[Operator, set[str]]]:
        roles: dict[str, set[str]] = {}
        for name in programs:
            node, _, role = name.partition(".")
            roles.setdefault(node, set()).add(role)
        return [(self._cluster.node(name), each) for name, each in roles.items()]

    async def flip(self, programs: Sequence[str]) -> None:
        raise NoCounterpart("bits that flip on a disk")

    async def not_copy(self, programs: Sequence[str]) -> str:
        return ""

    async def not_lost(self, programs: Sequence[str]) -> str:
        return ""

    async def not_touched(self, programs: Sequence[str]) -> str:
        return ""


def _require_both(roles: set[str]) -> None:
    if Role.VALIDATOR in roles and Role.MIDDLEWARE not in roles:
        raise NoCounterpart("a validator that forgets by itself: it has no --rejoin of its own")
    if not roles & {Role.MIDDLEWARE, Role.ROLLUP}:
        raise NoCounterpart("an execution layer with a store of its own")


class SimMachines:
    """Clock and disk of an operator's middleware, which its validator shares."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def change(self, programs: Sequence[str], **fields: float | bool) -> None:
        """Without room for its rollup node or execution layer an operator has neither."""
        for name in programs:
            node, _, role = name.partition(".")
            if role == Role.MIDDLEWARE:
                self._change(self._cluster.node(node), **fields)
            elif "full" in fields:
                full = bool(fields["full"])
                what = Role.VALIDATOR if role == Role.VALIDATOR else Role.ROLLUP
                self._cluster.gone(self._cluster.node(node), what, f"{name} disk", full)
            elif "flush_s" in fields:
                raise NoCounterpart(f"a disk of its own for {name}")

    def _change(self, node: Operator, **fields: float | bool) -> None:
        if fields.keys() & {"ahead_s", "drift"}:
            node.drift_ppm = round(float(fields.get("drift", 0)) * 1e6)
            node.set_clock(round(float(fields.get("ahead_s", 0)) * 1e6))
        if "flush_s" in fields:
            node.flush_us = round(float(fields["flush_s"]) * 1e6)
        if "full" in fields:
            node.full_until = FOR_EVER_US if fields["full"] else self._cluster.loop.now_us()

    async def not_telling(self, programs: Sequence[str], *, ahead_s: float, drift: float) -> str:
        return ""

    async def not_slow(self, programs: Sequence[str], flush_s: float) -> str:
        return ""

    async def not_quick(self, programs: Sequence[str], flush_s: float) -> str:
        return ""

    async def not_full(self, programs: Sequence[str]) -> str:
        return ""

    async def not_roomy(self, programs: Sequence[str]) -> str:
        return ""
