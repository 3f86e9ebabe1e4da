"""A running network as faults and runs see it: backend, Toxiproxies and probes behind the
injector's two surfaces."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiohttp

from devnet.backends.base import (
    MEMORY_END,
    STOP_TIMEOUT_S,
    Backend,
    BackendError,
    CpuUse,
    Extra,
    RanOn,
    RunState,
)
from devnet.faults import surface as faults
from devnet.faults.surface import NO_ENVIRONMENT, CannotInject, Said
from devnet.links.mesh import LINK_ERRORS, Mesh
from devnet.model.clock import now
from devnet.model.cut import CutMode
from devnet.model.history import Genesis, HostileFate, TransactionSubmitted
from devnet.model.shape import Shape
from devnet.model.topology import Link, Role, Topology
from devnet.model.work import OBJECT_WRITERS
from devnet.network.programs import L1_BLOCK_SECONDS
from devnet.network.versions import Version, version_of
from devnet.probes.chain import read_end_state
from devnet.probes.cpu import watch_cpu
from devnet.probes.derived import FromL1
from devnet.probes.events import EventTail
from devnet.probes.heads import watch_safe_head
from devnet.probes.health import answers, links_up, probe_url, read_metrics
from devnet.probes.logs import watch_logs
from devnet.probes.machine import watch_machine
from devnet.probes.rpc import Rpc
from devnet.probes.seals import BeaconSeals, Certificates, Verifier, genesis_of
from devnet.runner.bending import LiveBends
from devnet.runner.dependencies import LiveL1, LiveTelling
from devnet.runner.dialling import told_of
from devnet.runner.firewalls import LiveFirewalls
from devnet.runner.hosts import LiveHosts
from devnet.runner.journal import Journal
from devnet.runner.leaving import hand_over
from devnet.runner.machines import LiveMachines
from devnet.runner.stages import HarnessError
from devnet.runner.stores import LiveStores
from devnet.scenarios.scenario import Scenario
from devnet.workload.hostile.client import HostileClient
from devnet.workload.load import NodeRpc, run_load
from devnet.workload.objects import use_objects
from dst.spec.cluster import ClusterLock
from dst.spec.errors import BadConfig, InvalidInput

READ_TIMEOUT: Final = 10.0
EASY_S: Final = 5.0
"""Without having to wait for a processor for so long, a node is not short of it any more."""
READY: Final = b" validator ready "
"""In the line that a validator logs when its store is open."""
_CODE: Final = re.compile(rb" validator ready .*\bcode=([0-9a-f]+)")
_BUILD: Final = re.compile(r'^dst_build_info\{[^}]*\bcode="([0-9a-f]+)"', re.MULTILINE)
CODE_SECONDS: Final = 2.0
"""Patient: whoever looks is not to take a busy machine for a silent node."""
MAX_WORDS: Final = 1 << 16
"""Of a log after a start: that line is the first."""


class LivePrograms:
    """`Programs` over a backend, proven through probe links; a validator, which listens nowhere, by
    its log."""

    def __init__(
        self, backend: Backend, topology: Topology, session: aiohttp.ClientSession, logs: Path
    ) -> None:
        """`logs`: folder of what the programs print."""
        self._backend = backend
        self._topology = topology
        self._session = session
        self._held_back: dict[tuple[str, ...], tuple[float, float]] = {}
        """Programs of a node -> seconds that they had to wait for a processor, and when a look last
        found more of them."""
        self._logs = logs
        self._quiet_up_to: dict[str, int] = {}
        """Validator that has not said yet that it serves -> bytes of its log before it started."""
        self._codes_told: dict[str, tuple[int, str]] = {}
        """Validator -> how much of its log was read, and the code that it told of there."""

    async def kill(self, programs: Sequence[str]) -> None:
        await self._call(self._backend.kill, programs)

    async def stop(self, programs: Sequence[str]) -> None:
        await self._call(self._backend.stop, programs)

    async def hand_over(self, nodes: Sequence[str]) -> None:
        for node in nodes:
            await hand_over(self._topology, self._logs.parent, self._session, node)

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
        extra = Extra(
            module=module,
            flags=tuple(flags),
            environment=tuple(environment.items()),
            ends_with=ends_with,
            tree=str((await self._version(version)).tree) if version else "",
        )
        await self._expect_word_of(programs)
        await self._call(partial(self._backend.start, extra=extra), programs)

    async def code_of(self, version: str) -> str:
        return (await self._version(version)).formats.code

    async def _version(self, name: str) -> Version:
        """Found before anything started. Raises: CannotInject."""
        try:
            return await asyncio.to_thread(version_of, name)
        except BadConfig as error:
            raise CannotInject(str(error)) from error

    async def codes(self, programs: Sequence[str]) -> Mapping[str, str]:
        told = await asyncio.gather(*(self._code(name) for name in programs))
        return {name: code for name, code in zip(programs, told, strict=True) if code}

    async def _code(self, name: str) -> str:
        url = probe_url(self._topology, name)
        if url is None:
            return await self._code_of_a_validator(name)
        text = await read_metrics(self._session, f"{url}/metrics", CODE_SECONDS)
        found = _BUILD.search(text or "")
        return found[1] if found else ""

    async def _code_of_a_validator(self, name: str) -> str:
        """Of its last start, if it runs: it listens nowhere."""
        states = await self._states([name])
        if states[name] is not RunState.RUNNING or not self._serves(name):
            return ""
        read_to, code = self._codes_told.get(name, (0, ""))
        try:
            with self._log(name).open("rb") as log:
                log.seek(read_to)
                words = log.read()
        except FileNotFoundError:
            return ""
        whole = words[: words.rfind(b"\n") + 1]
        told = _CODE.findall(whole)
        code = told[-1].decode() if told else code
        self._codes_told[name] = (read_to + len(whole), code)
        return code

    async def freeze(self, programs: Sequence[str]) -> None:
        await self._call(self._backend.pause, programs)

    async def thaw(self, programs: Sequence[str]) -> None:
        await self._call(self._backend.resume, programs)

    async def hold_cpu(self, programs: Sequence[str], percent: int | None) -> None:
        for group, seconds in _held_back(programs, await self._cpu(programs)).items():
            self._held_back[group] = (seconds, 0.0)  # what was before is not what comes now
        await self._call(partial(self._backend.hold_cpu, percent=percent), programs)

    async def use_up_memory(self, programs: Sequence[str]) -> None:
        await self._call(self._backend.use_up_memory, programs)

    async def not_held(self, programs: Sequence[str], percent: int) -> str:
        found = await self._cpu(programs)
        free = [name for name in programs if name not in found or found[name].percent != percent]
        if free:
            return f"{', '.join(free)} not held to {percent} %"
        easy: list[str] = []
        for group, seconds in _held_back(programs, found).items():
            before, since = self._held_back.get(group, (0.0, 0.0))
            if seconds > before:
                self._held_back[group] = (seconds, now())
            elif now() - since >= EASY_S:
                easy += group
        return f"none of {', '.join(easy)} had to wait for a processor" if easy else ""

    async def not_free(self, programs: Sequence[str]) -> str:
        found = await self._cpu(programs)
        held = [name for name, use in found.items() if use.percent is not None]
        return f"{', '.join(held)} still held" if held else ""

    async def _cpu(self, programs: Sequence[str]) -> Mapping[str, CpuUse]:
        try:
            return await self._backend.cpu(programs)
        except BackendError as error:
            raise CannotInject(str(error)) from error

    async def not_out_of_memory(self, programs: Sequence[str]) -> str:
        try:
            status = await self._backend.status()
        except BackendError as error:
            raise CannotInject(str(error)) from error
        wrong = [
            f"{name} is {status[name].state} ({status[name].detail})"
            for name in programs
            if status[name].state is not RunState.KILLED
            or not status[name].detail.endswith(MEMORY_END)
        ]
        return ", ".join(wrong)

    async def not_down(self, programs: Sequence[str]) -> str:
        states = await self._states(programs)
        alive = [name for name, state in states.items() if state is RunState.RUNNING]
        if alive:
            return f"{', '.join(alive)} still running"
        answering = await self._answering(programs, seconds=0.25)
        return f"{', '.join(answering)} still answers" if answering else ""

    async def not_up(self, programs: Sequence[str]) -> str:
        states = await self._states(programs)
        down = [name for name, state in states.items() if state is not RunState.RUNNING]
        if down:
            return f"{', '.join(down)} not running"
        answering = await self._answering(programs, seconds=READ_TIMEOUT)
        if silent := [name for name in self._urls(programs) if name not in answering]:
            return f"no answer from {', '.join(silent)}"
        unready = [name for name in programs if not self._serves(name)]
        return f"{', '.join(unready)} not ready" if unready else ""

    async def otherwise(self) -> dict[str, str]:
        """Program -> what is another than ever about how it runs; of those that run, also where a
        fault alone starts them. Raises: CannotInject."""
        known = {program for pod in self._topology.pods for program in pod.programs}
        try:
            status = await self._backend.status()
        except BackendError as error:
            raise CannotInject(str(error)) from error
        return {
            name: each.extra or "runs"
            for name, each in status.items()
            if each.state in (RunState.RUNNING, RunState.PAUSED)
            and (each.extra or name not in known)
        }

    async def not_ended_with(self, programs: Sequence[str], code: int) -> str:
        try:
            status = await self._backend.status()
        except BackendError as error:
            raise CannotInject(str(error)) from error
        ended = re.compile(rf"exit code {code}$|^Exited \({code}\)")
        wrong = [
            f"{name} is {status[name].state} ({status[name].detail})"
            for name in programs
            if status[name].state is not RunState.KILLED or not ended.search(status[name].detail)
        ]
        return ", ".join(wrong)

    async def _expect_word_of(self, programs: Sequence[str]) -> None:
        """Of validators that do not run: those that do have said it."""
        validators = [name for name in programs if name.endswith(f".{Role.VALIDATOR}")]
        if not validators:
            return
        for name, state in (await self._states(validators)).items():
            if state not in (RunState.RUNNING, RunState.PAUSED):
                self._quiet_up_to[name] = self._log_size(name)

    def _log_size(self, name: str) -> int:
        try:
            return self._log(name).stat().st_size
        except FileNotFoundError:
            return 0

    def _serves(self, name: str) -> bool:
        """It says so once its store is open; whoever was not started here may have, long ago."""
        if name not in self._quiet_up_to:
            return True
        try:
            with self._log(name).open("rb") as log:
                log.seek(self._quiet_up_to[name])
                words = log.read(MAX_WORDS)
        except FileNotFoundError:
            return False
        if READY not in words:
            return False
        del self._quiet_up_to[name]
        return True

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    async def _call(
        self, call: Callable[[Sequence[str]], Awaitable[None]], programs: Sequence[str]
    ) -> None:
        try:
            await call(programs)
        except RanOn as error:
            raise faults.RanOn(
                str(error), programs=error.programs, seconds=STOP_TIMEOUT_S
            ) from error
        except BackendError as error:
            raise CannotInject(str(error)) from error

    async def _states(self, programs: Sequence[str]) -> dict[str, RunState]:
        try:
            status = await self._backend.status()
        except BackendError as error:
            raise CannotInject(str(error)) from error
        return {name: status[name].state for name in programs}

    async def _answering(self, programs: Sequence[str], seconds: float) -> list[str]:
        urls = self._urls(programs)
        served = await asyncio.gather(
            *(answers(self._session, url, seconds=seconds) for url in urls.values())
        )
        return [name for name, ok in zip(urls, served, strict=True) if ok]

    def _urls(self, programs: Sequence[str]) -> dict[str, str]:
        """Program -> its `/livez`, of those that have one."""
        urls = {name: probe_url(self._topology, name) for name in programs}
        return {name: f"{url}/livez" for name, url in urls.items() if url}


def _held_back(programs: Sequence[str], use: Mapping[str, CpuUse]) -> dict[tuple[str, ...], float]:
    """Programs of a node -> seconds, of all together: one of them may have little to do."""
    nodes: dict[str, list[str]] = {}
    for name in programs:
        nodes.setdefault(name.partition(".")[0], []).append(name)
    return {
        tuple(names): sum(use[name].held_back_s for name in names if name in use)
        for names in nodes.values()
    }


class LiveLinks:
    """`Links` over the Toxiproxies, proven by what both ends report of their links."""

    def __init__(self, mesh: Mesh, topology: Topology, session: aiohttp.ClientSession) -> None:
        self._mesh = mesh
        self._topology = topology
        self._session = session

    async def cut(self, links: Sequence[str], mode: CutMode) -> None:
        await self._call(self._mesh.cut(self._links(links), mode))

    async def heal(self, links: Sequence[str], mode: CutMode) -> None:
        await self._call(self._mesh.heal(self._links(links), mode))

    async def shape(self, links: Sequence[str], toxic: str, shape: Shape | None) -> None:
        await self._call(self._mesh.shape(self._links(links), toxic, shape))

    async def not_cut(self, links: Sequence[str], mode: CutMode) -> str:
        dialled, others = self._divided(links)
        return await self._not_reported(dialled, up=False) or await self.not_set(others, mode)

    async def not_set(self, links: Sequence[str], mode: CutMode) -> str:
        return await self._not_in_state(self._links(links), mode)

    async def not_whole(self, links: Sequence[str]) -> str:
        dialled, others = self._divided(links)
        healed = await self._not_in_state(self._links(others), None)
        return healed or await self._not_reported(dialled, up=True)

    async def not_healed(self, links: Sequence[str]) -> str:
        return await self._not_in_state(self._links(links), None)

    async def down(self, links: Sequence[str]) -> tuple[str, ...]:
        wrong, _ = await self._reported(links, up=True)
        return tuple(wrong)

    async def silent(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(await self._mesh.silent(nodes))

    async def told(self, links: Sequence[str]) -> Mapping[str, Said]:
        return await told_of(self._links(links), self._topology, self._session)

    async def not_shaped(self, links: Sequence[str], toxic: str, shape: Shape | None) -> str:
        try:
            wrong = await self._mesh.not_shaped(self._links(links), toxic, shape)
        except LINK_ERRORS as error:
            return str(error)
        state = "still" if shape is None else "not as asked"
        return f"{toxic} {state}: {', '.join(wrong)}" if wrong else ""

    def _divided(self, names: Sequence[str]) -> tuple[list[str], list[str]]:
        """Consensus links, whose ends tell how they are, and the others."""
        consensus = {link.name for link in self._topology.consensus_links}
        return [n for n in names if n in consensus], [n for n in names if n not in consensus]

    async def _not_in_state(self, links: Sequence[Link], mode: CutMode | None) -> str:
        try:
            wrong = await self._mesh.not_in_state(links, mode)
        except LINK_ERRORS as error:
            return str(error)
        state = "still cut" if mode is None else f"no {mode}"
        return f"{state}: {', '.join(wrong)}" if wrong else ""

    def _links(self, names: Sequence[str]) -> list[Link]:
        return [self._topology.link(name) for name in names]

    async def _call(self, work: Awaitable[None]) -> None:
        try:
            await work
        except (*LINK_ERRORS, InvalidInput) as error:
            raise CannotInject(str(error)) from error

    async def _not_reported(self, names: Sequence[str], *, up: bool) -> str:
        """A dialling end that does not answer says nothing of its links: another fault may stand
        there, and its peers' links tell."""
        wrong, silent = await self._reported(names, up=up)
        dialling = {link.source for link in self._links(names)}
        if dialling and dialling == set(silent):
            return f"{', '.join(silent)} tell nothing of their links"
        state = "not up" if up else "not down"
        told = [f"{', '.join(wrong)} {state}"] if wrong else []
        told += [f"{', '.join(silent)} tell nothing of their links"] if silent and up else []
        return "; ".join(told)

    async def _reported(self, names: Sequence[str], *, up: bool) -> tuple[list[str], list[str]]:
        """Links that are otherwise by the word of the end that dials them, and ends that say
        nothing."""
        wanted = self._links(names)
        dialling = sorted({link.source for link in wanted})
        reports = await asyncio.gather(*(self._report(node) for node in dialling))
        known = {node: report for node, report in zip(dialling, reports, strict=True) if report}
        wrong = [
            link.name
            for link in wanted
            if link.source in known and known[link.source].get(link.target) is not up
        ]
        return wrong, [node for node in dialling if node not in known]

    async def _report(self, node: str) -> dict[str, bool]:
        url = f"{probe_url(self._topology, f'{node}.{self._topology.voting_role}')}/metrics"
        text = await read_metrics(self._session, url)
        return {} if text is None else dict(links_up(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What the load signs with: the network's public development accounts."""

    chain_id: int
    private_keys: tuple[str, ...]


class LiveNetwork:
    """`Surroundings` of a running network. The session is the caller's."""

    is_read_at_end = True

    def __init__(
        self,
        *,
        backend: Backend,
        mesh: Mesh,
        topology: Topology,
        lock: ClusterLock,
        credentials: Credentials,
        session: aiohttp.ClientSession,
        directory: Path,
    ) -> None:
        """`directory`: of the network."""
        self.topology = topology
        self._directory = directory
        self._backend, self._mesh = backend, mesh
        self.programs = LivePrograms(backend, topology, session, directory / "logs")
        self.links = LiveLinks(mesh, topology, session)
        self.bends = LiveBends(backend, mesh, topology, directory)
        self.telling = LiveTelling(topology, session)
        self.l1 = LiveL1(topology, session)
        self.stores = LiveStores(directory)
        self.machines = LiveMachines(directory, topology, session)
        self.hosts = LiveHosts(backend, mesh, topology)
        self.firewalls = LiveFirewalls(backend, topology, directory)
        self._credentials = credentials
        self._session = session
        self._verifier = Verifier(lock)
        self.genesis: Genesis = genesis_of(lock, L1_BLOCK_SECONDS)
        self._from_l1 = FromL1(
            _ProbeRpc("l1", self._url("probe>l1.rpc"), session),
            chain_id=lock.chain.chain_id,
            inbox=lock.chain.batch_inbox,
            genesis=lock.chain.l1_genesis.number,
            verifier=self._verifier,
        )

    @property
    def _nodes(self) -> tuple[str, ...]:
        return (*self.topology.operator_names, *self.topology.follower_names)

    @property
    def _roles(self) -> list[str]:
        """Of operators and followers, without the Toxiproxies."""
        return [name for node in self._nodes for name in self.topology.pod(node).programs[1:]]

    def _url(self, link: str) -> str:
        return self.topology.host_url(link)

    def tails(self, journal: Journal) -> list[Coroutine[Any, Any, None]]:
        return [
            watch_machine(self._directory, journal.record),
            watch_cpu(self._sequencing, journal.record),
            watch_logs(self._directory / "logs", self._roles, journal.record),
            *(
                EventTail(name, self._url(f"probe>{name}.beacon"), journal.record).run()
                for name in self._nodes
            ),
            *(
                watch_safe_head(name, self._url(f"probe>{name}.beacon"), journal.record)
                for name in self._nodes
            ),
        ]

    async def _sequencing(self) -> Mapping[str, int]:
        """Processes of all operators' programs, and of the etcd of stand-bys; of containers,
        none."""
        if self._backend.kind != "process":
            return {}
        try:
            status = await self._backend.status()
        except BackendError:
            return {}
        beside = {"l1", *self.topology.follower_names}
        pods = (pod for pod in self.topology.pods if pod.name not in beside)
        counted = {program for pod in pods for program in pod.programs[1:]}
        pids = {name: status[name].detail.removeprefix("pid ") for name in counted & set(status)}
        return {name: int(pid) for name, pid in pids.items() if pid.isdigit()}

    def load(self, journal: Journal, scenario: Scenario, seed: int) -> Coroutine[Any, Any, None]:
        return self._load(journal, scenario, seed)

    async def _load(self, journal: Journal, scenario: Scenario, seed: int) -> None:
        keys, chain_id = self._credentials.private_keys, self._credentials.chain_id
        clients, readers = self._clients(), self._readers(self._nodes)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(
                run_load(scenario.load, clients, keys, chain_id, seed, journal.record)
            )
            tasks.create_task(
                use_objects(
                    clients, readers, keys[-OBJECT_WRITERS:], chain_id, seed, journal.record
                )
            )

    def _clients(self) -> list[NodeRpc]:
        """Every operator's JSON-RPC as its users reach it."""
        names = self.topology.operator_names
        return [NodeRpc(name, self._url(f"client>{name}.rpc"), self._session) for name in names]

    def _readers(self, names: Sequence[str]) -> list[NodeRpc]:
        """JSON-RPC as only the harness reaches it."""
        return [_ProbeRpc(name, self._url(f"probe>{name}.rpc"), self._session) for name in names]

    def hostile(
        self, journal: Journal, scenario: Scenario, say: Callable[[str], None]
    ) -> Coroutine[Any, Any, None]:
        assert scenario.hostile is not None, "asked by scenarios that have some"
        client = HostileClient(
            senders=self._clients(),
            readers=self._readers(self.topology.operator_names),
            keys=self._credentials.private_keys[scenario.load.senders : -OBJECT_WRITERS],
            chain_id=self._credentials.chain_id,
            record=journal.record,
            say=say,
        )
        return client.run(scenario.hostile, float(journal.setup.slot_seconds))

    async def standing(self) -> Mapping[str, str]:
        return {
            **await self._mesh.unlike_written(),
            **await self._mesh.faults(),
            **self.machines.left(),
            **await self.programs.otherwise(),
        }

    async def crashes(self) -> dict[str, tuple[int, str, float]]:
        try:
            status = await self._backend.status()
        except BackendError as error:
            raise HarnessError(str(error)) from error
        return {
            each.name: (each.crashes, each.last_crash, each.crashed_at)
            for each in status.values()
            if each.crashes
        }

    async def read_end_state(self, journal: Journal, first: int, last: int) -> dict[str, str]:
        names = self._nodes
        endpoints = self._readers(names)
        urls = {name: self._url(f"probe>{name}.beacon") for name in names}
        readers: list[BeaconSeals | Certificates] = [
            BeaconSeals(name, url, self._verifier, journal.events) for name, url in urls.items()
        ]
        readers += [Certificates(name, urls[name]) for name in self.topology.operator_names]
        sent = [
            item.hash
            for item in journal.records
            if isinstance(item, TransactionSubmitted | HostileFate) and item.hash
        ]
        unread = await read_end_state(
            endpoints=endpoints,
            proof_readers=readers,
            transactions=sent,
            first=first,
            last=last,
            record=journal.record,
        )
        for block in await self._from_l1.read(first):
            journal.record(block)
        return unread


class _ProbeRpc(NodeRpc):
    """JSON-RPC over a probe link, patient: the end state is read under no fault but on a busy
    machine."""

    def __init__(self, name: str, url: str, session: aiohttp.ClientSession) -> None:
        super().__init__(name, url, session)
        self._rpc = Rpc(session, url, READ_TIMEOUT)
