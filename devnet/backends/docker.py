"""Docker backend: each pod is a Toxiproxy container that owns the network namespace; the pod's
roles join it.

So a role can die while its host's address and listeners live. Services listen on the pod's own
loopback; the mesh is an internal network (no way out), the control port listens on a management
network that each pod has for itself, and is published, like client and probe links, on the host's
127.0.0.1 alone. Containers run without root, without capabilities (but for a packet filter, while a
fault wants one), with a read-only root, and see exactly the files that their program names.
Everything carries the label `dst.devnet=ID`; removal goes by that label and by nothing else.
"""

import asyncio
import contextlib
import hashlib
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import docker
import docker.errors
from docker.context import ContextAPI
from docker.context.config import get_current_context_name

from devnet.backends import image
from devnet.backends.base import (
    MEMORY_END,
    NOTHING_EXTRA,
    STOP_TIMEOUT_S,
    BackendError,
    CpuUse,
    Crashes,
    Extra,
    OnCrash,
    Program,
    ProgramStatus,
    RanOn,
    RunState,
    listed,
    refuse_if_extra,
    take_first_arguments,
    with_extra,
)
from devnet.backends.processes import told_end
from devnet.model.topology import Link, Role, Topology

LABEL: Final = "dst.devnet"
PROGRAM_LABEL: Final = "dst.program"
ONCE_LABEL: Final = "dst.once"
EXTRA_LABEL: Final = "dst.extra"
"""Its command holds once (`--new`, or what one start asked for): the next needs another."""
CHECKOUT_LABEL: Final = "dst.checkout"
"""On images: whose they are, so that one checkout never removes another's."""
IMAGE_KEPT_S: Final = 24 * 3600
"""An older image of this checkout goes when a new one is made. Younger ones stay: a harness that
has just found its image has no container yet that would keep it."""
INSIDE: Final = "/devnet"
API_TIMEOUT_S: Final = 60
ANSWER_TIMEOUT_S: Final = 3
"""To the first word: a daemon that takes longer is not one to start 25 containers on."""
WORKERS: Final = 8
"""Calls at once: the daemon starts containers in parallel, and more than this it queues itself."""
PIDS_LIMIT: Final = 512
ENDED: Final = ("exited", "dead")
EXITED: Final = re.compile(r"exited \((\d+)\)", re.IGNORECASE)
"""The daemon's words for it in a list of containers."""
NO_POOL: Final = "non-overlapping IPv4 address pool"
"""The daemon's words, old and new, for having none left."""
SIGNALLED: Final = 128
"""Exit codes above it are signals."""
KILLED_CODE: Final = 137
"""Of a container that SIGKILL ended."""
STOP_GRACE_S: Final = 3
_LEAVING: Final = threading.Lock()
"""Held while a container that owns a network of its own ends. Two that leave the mesh at the same
instant can lock up the whole daemon, for good: before 20.10.27 (Debian 12 has 20.10.24) one takes
the network's lock, then the controller's, and the other the other way round (moby issue 46661)."""
CPU_PERIOD_US: Final = 100_000
ROOM_BYTES: Final = 8 << 20
"""Left to a container whose memory is to be used up: no kernel takes a limit below what is in use,
and what is started there must stay smaller than every role, for the kernel ends the largest."""
TRIES: Final = 3
"""To use it up: the kernel may end the small one first."""
EATEN_TIMEOUT_S: Final = 3
EXEC_TRIES: Final = 3
REMOVAL_TIMEOUT_S: Final = 30.0
REMOVAL_PAUSE_S: Final = 0.5
_EATER: Final = "x = []\nwhile True: x.append(bytes([1]) * (1 << 20))"

T = TypeVar("T")


def docker_client(timeout_s: float = API_TIMEOUT_S) -> Any:
    """A client of the daemon that DOCKER_HOST or the default socket names.

    Raises: BackendError saying what to do.
    """
    try:
        client = _client_of_context(timeout_s)
        client.ping()
        return client
    except (docker.errors.DockerException, OSError) as error:
        raise BackendError(
            f"no Docker daemon answers at {_endpoint()} ({_short(error)}); start it, or use "
            "--backend process"
        ) from error


def _client_of_context(timeout_s: float) -> Any:
    """As the `docker` command chooses it: DOCKER_HOST, else DOCKER_CONTEXT, else the current
    context, which Colima, Docker Desktop and rootless daemons set."""
    context = None if os.environ.get("DOCKER_HOST") else _context()
    if context is None:
        return docker.from_env(timeout=timeout_s, max_pool_size=WORKERS * 2)
    return docker.DockerClient(
        base_url=context.Host,
        tls=context.TLSConfig,
        timeout=timeout_s,
        max_pool_size=WORKERS * 2,
    )


def _context() -> Any:
    """None for the default one. Raises: DockerException for one that does not exist, or that cannot
    be read."""
    name = os.environ.get("DOCKER_CONTEXT") or get_current_context_name()
    if name == "default":
        return None
    try:
        found = ContextAPI.get_context(name)
        known = found is not None and bool(found.Host)
    except Exception as error:  # docker-py raises what its files make it raise
        raise docker.errors.ContextException(f"Docker context {name}: {error}") from error
    if not known:
        raise docker.errors.ContextNotFound(name)
    return found


def _endpoint() -> str:
    """Where it was looked for, and who said so."""
    if host := os.environ.get("DOCKER_HOST"):
        return f"{host} (DOCKER_HOST)"
    try:
        context = _context()
    except (docker.errors.DockerException, OSError):
        context = None
    if context is None:
        return "the default socket"
    return f"{context.Host} (Docker context {context.Name})"


def daemon_answers() -> bool:
    with contextlib.suppress(BackendError):
        docker_client(ANSWER_TIMEOUT_S).close()
        return True
    return False


@dataclass
class DockerBackend:
    """Containers of one network. Arguments as in ProcessBackend; `identifier` is the value of the
    label."""

    directory: Path
    programs: Mapping[str, Program]
    executables: Mapping[str, Path]
    source: Path
    on_crash: OnCrash
    topology: Topology
    identifier: str
    say: Callable[[str], None] = lambda _line: None
    kind: str = field(default="docker", init=False)
    stood_in: set[str] = field(default_factory=set, init=False)
    _client: Any = field(default=None, init=False)
    _pool: ThreadPoolExecutor = field(init=False)
    _turns: dict[str, threading.Lock] = field(default_factory=dict, init=False)
    """One call at a time for each program: two starts would both create its container."""
    _image: str = field(default="", init=False)
    _subnets: dict[str, str] = field(default_factory=dict, init=False)
    _wanted_ends: set[str] = field(default_factory=set, init=False)
    _crashed: dict[str, str] = field(default_factory=dict, init=False)
    """Those that have not been started again."""
    _started: dict[str, int] = field(default_factory=dict, init=False)
    """When each was started last, Unix nanoseconds."""
    _crashes: Crashes = field(default_factory=Crashes, init=False)
    _out_of_memory: dict[str, str] = field(default_factory=dict, init=False)
    """Those whose container has a limit, which cannot be taken away again -> how they ended."""
    _ends_with: dict[str, int | None] = field(default_factory=dict, init=False)
    _events: Any = field(default=None, init=False)
    _closing: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="docker")

    async def prepare(self) -> None:
        """Client, image and networks, in parallel where the daemon allows."""
        self._client = await self._call(docker_client)
        await asyncio.gather(self._prepare_image(), self._prepare_networks())
        await self._watch_events()

    async def start(self, names: Iterable[str], extra: Extra = NOTHING_EXTRA) -> None:
        """Toxiproxies first: they own the network that the others join."""
        wanted = [self._program(name) for name in names]
        if extra.module:
            self.stood_in.update(program.name for program in wanted)
        for hosts in (True, False):
            group = [p for p in wanted if (p.role == Role.TOXIPROXY) is hosts]
            await self._each(group, partial(self._start, extra=extra))

    async def kill(self, names: Iterable[str]) -> None:
        chosen = [self._program(name) for name in names]
        self._wanted_ends.update(program.name for program in chosen)
        await self._each(chosen, self._kill)

    async def stop(self, names: Iterable[str]) -> None:
        chosen = [self._program(name) for name in names]
        self._wanted_ends.update(program.name for program in chosen)
        await self._each(chosen, self._stop)

    async def pause(self, names: Iterable[str]) -> None:
        await self._each([self._program(name) for name in names], self._pause)

    async def resume(self, names: Iterable[str]) -> None:
        await self._each([self._program(name) for name in names], self._resume)

    async def hold_cpu(self, names: Iterable[str], percent: int | None) -> None:
        quota = -1 if percent is None else CPU_PERIOD_US * percent // 100
        call = partial(self._hold_cpu, quota=quota)
        await self._each([self._program(name) for name in names], call)

    async def cpu(self, names: Iterable[str]) -> Mapping[str, CpuUse]:
        programs = [self._program(name) for name in names]
        found = await asyncio.gather(*(self._call(partial(self._cpu, each)) for each in programs))
        return {program.name: use for program, use in zip(programs, found, strict=True)}

    async def use_up_memory(self, names: Iterable[str]) -> None:
        chosen = [self._program(name) for name in names]
        self._wanted_ends.update(program.name for program in chosen)
        await self._each(chosen, self._use_up_memory)

    async def status(self) -> Mapping[str, ProgramStatus]:
        expected = self._wanted_ends | self._crashed.keys()  # as of before the look
        found = await self._call(self._containers)
        states = {c["Labels"][PROGRAM_LABEL]: c for c in found if PROGRAM_LABEL in c["Labels"]}
        for name, container in states.items():
            if container["State"] in ENDED and name not in expected:
                # Told by the daemon's events, unless those ended too.
                code = EXITED.search(container["Status"])
                self._ended(name, code[1] if code else "?", container["Status"])
        found_states = [self._status(name, states.get(name)) for name in self.programs]
        return listed(self.programs, found_states)

    async def close(self) -> None:
        self._closing = True
        if self._events is not None:
            with contextlib.suppress(
                Exception
            ):  # docker-py closes a socket that may be gone already
                self._events.close()
        # A start may have been cancelled with calls under way: what they still create must be there
        # when we look for what to remove.
        await asyncio.to_thread(partial(self._pool.shutdown, cancel_futures=True))
        if self._client is not None:
            await asyncio.to_thread(self._terminate_roles)
            await asyncio.to_thread(remove_everything, self._client, self.identifier)
            self._client.close()

    # ------------------------------------------------------------------------- addresses of pods

    async def listen_host(self) -> Callable[[Link], str]:
        """Where each link's proxy listens: own loopback, mesh, or management address of its pod."""
        addresses = {
            pod.name: await self._call(
                partial(pod_addresses, self._client, self.identifier, pod.name)
            )
            for pod in self.topology.pods
        }

        def host_of(link: Link) -> str:
            if link.is_inside_pod:
                return "127.0.0.1"
            return addresses[link.target]["management" if link.is_from_host else "mesh"]

        return host_of

    def falls_with(self, host: str) -> tuple[str, ...]:
        """The others of its pod: they live in its network, and with it that has ended."""
        pod = self._program(host).pod
        return tuple(n for n, p in self.programs.items() if p.pod == pod and n != host)

    # ---------------------------------------------------------------------------------- preparing

    async def _prepare_image(self) -> None:
        tools = {name: path for name, path in self.executables.items() if name != "python"}
        self._image = await self._call(
            lambda: ensure_image(self._client, tools, self.source, self.say)
        )

    async def _prepare_networks(self) -> None:
        def create(name: str, internal: bool) -> None:
            try:
                made = self._client.networks.create(
                    name,
                    driver="bridge",
                    internal=internal,
                    labels={LABEL: self.identifier},
                    check_duplicate=True,
                )
            except docker.errors.APIError as error:
                if NO_POOL not in str(error):
                    raise
                raise BackendError(
                    f"Docker has no address pool left for {len(self.topology.pods) + 1} networks: "
                    "remove unused ones (`docker network prune`), or give the daemon more "
                    "(`default-address-pools` in daemon.json)"
                ) from error
            made.reload()
            self._subnets[name] = made.attrs["IPAM"]["Config"][0]["Subnet"]

        names = [
            (self._mesh, True),
            *((self._management(pod.name), False) for pod in self.topology.pods),
        ]
        await asyncio.gather(
            *(self._call(partial(create, name, internal)) for name, internal in names)
        )

    @property
    def _mesh(self) -> str:
        return f"dst-{self.identifier}-mesh"

    def _management(self, pod: str) -> str:
        return f"dst-{self.identifier}-manage-{pod}"

    def _name(self, program: str) -> str:
        return f"dst-{self.identifier}-{program}"

    # ----------------------------------------------------------------------------- one container

    def _start(self, program: Program, extra: Extra) -> None:
        name = self._name(program.name)
        try:
            facts = self._client.api.inspect_container(name)
        except docker.errors.NotFound:
            self._create(program, extra)
        else:
            if facts["State"]["Running"]:
                refuse_if_extra(program, extra)
                return
            limited = self._out_of_memory.pop(program.name, None) is not None
            if limited or facts["Config"]["Labels"].get(ONCE_LABEL) or extra != NOTHING_EXTRA:
                self._client.api.remove_container(name, v=True)
                self._create(program, extra)
        self._ends_with[program.name] = extra.ends_with
        self._started[program.name] = time.time_ns()
        self._client.api.start(name)
        # Not before: a look meanwhile would take the old end for a new one.
        self._wanted_ends.discard(program.name)
        self._crashed.pop(program.name, None)

    def _create(self, program: Program, extra: Extra) -> None:
        program = with_extra(program, extra)
        self._make_files(program)
        first = take_first_arguments(self.directory, program)
        pod = self.topology.pod(program.pod)
        is_host = program.role == Role.TOXIPROXY
        host_config = self._client.api.create_host_config(
            binds=self._binds(program),
            network_mode=self._management(pod.name)
            if is_host
            else f"container:{self._name(pod.programs[0])}",
            port_bindings={port: ("127.0.0.1", port) for port in self.topology.host_ports(pod)}
            if is_host
            else None,
            read_only=True,
            tmpfs={"/tmp": "size=64m"},
            cap_drop=["ALL"],
            cap_add=list(program.capabilities),
            security_opt=["no-new-privileges"],
            pids_limit=PIDS_LIMIT,
            # What comes before the launcher opened the program's own log, which the network keeps.
            log_config={"Type": "json-file", "Config": {"max-size": "1m"}},
        )
        self._client.api.create_container(
            self._image,
            command=self._command(program, first),
            name=self._name(program.name),
            hostname=pod.name if is_host else None,
            labels={
                LABEL: self.identifier,
                PROGRAM_LABEL: program.name,
                **({ONCE_LABEL: "1"} if first or extra != NOTHING_EXTRA else {}),
                **({EXTRA_LABEL: extra.told} if extra.told else {}),
            },
            user=":".join(str(number) for number in _user_of(program)),
            ports=list(self.topology.host_ports(pod)) if is_host else None,
            environment=dict(program.environment),
            host_config=host_config,
        )
        if is_host:
            name, mesh = self._name(program.name), self._mesh
            self._client.api.connect_container_to_network(name, mesh, aliases=[pod.name])

    def _command(self, program: Program, first: tuple[str, ...]) -> list[str]:
        subnet = (
            self._subnets[self._management(program.pod)] if program.role == Role.TOXIPROXY else "-"
        )
        launcher = [f"{image.APP}/bin/python", "-I", "-S", f"{image.APP}/launch.py"]
        command = [f"{image.APP}/bin/{program.command}", *program.arguments, *first]
        return [*launcher, f"{INSIDE}/logs/{program.name}.log", subnet, *command]

    def _binds(self, program: Program) -> list[str]:
        reads = [f"{self.directory / path}:{INSIDE}/{path}:ro" for path in program.reads]
        writes = [f"{self.directory / path}:{INSIDE}/{path}:rw" for path in program.writes]
        log = f"logs/{program.name}.log"
        code = [f"{self.source / 'devnet/backends/launch.py'}:{image.APP}/launch.py:ro"]
        if program.command == "python":
            tree = Path(program.tree or self.source)
            code += [f"{tree / path}:{image.APP}/{path}:ro" for path in program.code]
        return [*reads, *writes, f"{self.directory / log}:{INSIDE}/{log}:rw", *code]

    def _make_files(self, program: Program) -> None:
        """What the container writes must exist and be its user's; what it reads may be secret, so
        be its user's too."""
        log = self.directory / "logs" / f"{program.name}.log"
        log.touch(mode=0o600)
        for path in program.writes:
            (self.directory / path).mkdir(parents=True, exist_ok=True)
        if os.getuid() != 0:
            return
        user, group = _user_of(program)
        named = [self.directory / path for path in (*program.reads, *program.writes)]
        for top in (log, *named):
            for one in (top, *(top.rglob("*") if top.is_dir() else ())):
                shutil.chown(one, user, group)

    def _kill(self, program: Program) -> None:
        name = self._name(program.name)
        self._wanted_ends.add(program.name)  # a start on its way has just taken it out
        with _leaving(program):
            try:
                self._client.api.kill(name, "SIGKILL")
            except docker.errors.APIError as error:
                if "paused" not in str(error).lower():
                    return  # not running: already what was asked for
                self._client.api.unpause(name)
                self._client.api.kill(name, "SIGKILL")
            self._client.api.wait(name, timeout=API_TIMEOUT_S)
            # Answered once the daemon has let go of its addresses and ports.
            self._client.api.inspect_container(name)

    def _stop(self, program: Program) -> None:
        name = self._name(program.name)
        self._wanted_ends.add(program.name)
        try:
            with _leaving(program):
                self._client.api.stop(name, timeout=int(STOP_TIMEOUT_S))
                code = self._client.api.inspect_container(name)["State"]["ExitCode"]
        except docker.errors.APIError as error:
            raise BackendError(f"{program.name}: {_short(error)}") from error
        if code == KILLED_CODE:
            raise RanOn([program.name])

    def _hold_cpu(self, program: Program, quota: int) -> None:
        name = self._name(program.name)
        self._client.api.update_container(name, cpu_period=CPU_PERIOD_US, cpu_quota=quota)

    def _cpu(self, program: Program) -> CpuUse:
        name = self._name(program.name)
        quota = self._client.api.inspect_container(name)["HostConfig"]["CpuQuota"]
        stats = self._client.api.stats(name, stream=False, one_shot=True)
        held_back = stats["cpu_stats"]["throttling_data"]["throttled_time"]
        percent = 100 * quota / CPU_PERIOD_US if quota > 0 else None
        return CpuUse(percent=percent, held_back_s=held_back / 1e9)

    def _use_up_memory(self, program: Program) -> None:
        """A limit a little above what it uses, and then something beside it that takes the rest."""
        api, name = self._client.api, self._name(program.name)
        self._out_of_memory[program.name] = ""
        self._limit_memory(name, api.stats(name, stream=False, one_shot=True)["memory_stats"])
        state = {"Running": True}
        for _ in range(TRIES):
            eater = [f"{image.APP}/bin/python", "-I", "-S", "-c", _EATER]
            with contextlib.suppress(docker.errors.APIError, OSError):  # it ended, or runs on
                api.exec_start(api.exec_create(name, eater)["Id"])
                api.wait(name, timeout=EATEN_TIMEOUT_S)
            state = api.inspect_container(name)["State"]
            if not state["Running"]:
                break
        if not state.get("OOMKilled"):
            self._kill(program)
            raise BackendError(f"the kernel did not end {program.name} for want of memory")
        self._out_of_memory[program.name] = told_exit(str(state["ExitCode"]), memory=True)

    def _limit_memory(self, name: str, memory: Mapping[str, Any]) -> None:
        """To what it cannot do without; where the kernel does not let go of the rest at once, to
        what it has."""
        for used in (in_need(memory), memory["usage"]):
            limit = used + ROOM_BYTES
            try:
                self._client.api.update_container(name, mem_limit=limit, memswap_limit=limit)
                return
            except docker.errors.APIError:
                if used == memory["usage"]:
                    raise

    def _pause(self, program: Program) -> None:
        self._tolerating("already paused", self._client.api.pause, program)

    def _resume(self, program: Program) -> None:
        self._tolerating("not paused", self._client.api.unpause, program)

    def _tolerating(self, harmless: str, call: Callable[[str], None], program: Program) -> None:
        try:
            call(self._name(program.name))
        except docker.errors.APIError as error:
            if harmless not in str(error).lower():
                raise BackendError(f"{program.name}: {_short(error)}") from error

    def _status(self, name: str, container: Mapping[str, Any] | None) -> ProgramStatus:
        if container is None:
            return self._crashes.status(name, RunState.KILLED, "not started")
        states = {"running": RunState.RUNNING, "paused": RunState.PAUSED}
        state = states.get(container["State"])
        if state is not None:
            extra = container["Labels"].get(EXTRA_LABEL, "")
            detail = f"container {container['Id'][:12]}"
            return self._crashes.status(name, state, detail, extra=extra)
        if name in self._crashed:
            return self._crashes.status(name, RunState.CRASHED, self._crashed[name])
        detail = self._out_of_memory.get(name) or container["Status"]
        return self._crashes.status(name, RunState.KILLED, detail)

    def _containers(self) -> list[dict[str, Any]]:
        found = self._client.api.containers(
            all=True, filters={"label": f"{LABEL}={self.identifier}"}
        )
        return list(found)

    def _terminate_roles(self) -> None:
        """SIGTERM to the roles, so that the last log lines are theirs; then removal takes what is
        left."""
        try:
            running = [c for c in self._containers() if c["State"] == "running"]
        except (docker.errors.DockerException, OSError):
            return  # the removal says it
        roles = [each for each in running if not _is_host(each)]
        with ThreadPoolExecutor(max(1, len(roles))) as pool:  # each only waits for a role to end
            list(pool.map(self._terminate, [c["Id"] for c in roles]))

    def _terminate(self, container: str) -> None:
        with contextlib.suppress(docker.errors.APIError, OSError):
            self._client.api.stop(container, timeout=STOP_GRACE_S)

    # ------------------------------------------------------------------------------------ crashes

    async def _watch_events(self) -> None:
        """A thread reads the daemon's stream: a container that ends unasked is a crash."""
        loop = asyncio.get_running_loop()
        filters = {"label": f"{LABEL}={self.identifier}", "event": "die", "type": "container"}
        self._events = await self._call(
            lambda: self._client.api.events(filters=filters, decode=True)
        )
        threading.Thread(
            target=self._read_events, args=(loop,), daemon=True, name="docker-events"
        ).start()

    def _read_events(self, loop: asyncio.AbstractEventLoop) -> None:
        with contextlib.suppress(Exception):  # the stream breaks when we close it, in many ways
            for event in self._events:
                attributes = event["Actor"]["Attributes"]
                name, code = attributes.get(PROGRAM_LABEL, ""), attributes.get("exitCode", "?")
                is_of_before = event.get("timeNano", 0) < self._started.get(name, 0)
                if name in self._wanted_ends or is_of_before:
                    continue
                detail = told_exit(code, memory=self._ran_out_of_memory(event["Actor"]["ID"], code))
                loop.call_soon_threadsafe(self._ended, name, code, detail)

    def _ran_out_of_memory(self, container: str, code: str) -> bool:
        if code != str(KILLED_CODE):
            return False
        with contextlib.suppress(docker.errors.APIError, OSError):
            return bool(self._client.api.inspect_container(container)["State"].get("OOMKilled"))
        return False

    def _ended(self, name: str, code: str, detail: str) -> None:
        if self._closing or name in self._wanted_ends or name in self._crashed:
            return
        if code == str(self._ends_with.get(name)):
            return
        self._crashed[name] = detail
        self._crashes.note(name, detail)
        self.on_crash(name, detail)

    # ------------------------------------------------------------------------------------ helpers

    def _program(self, name: str) -> Program:
        if name not in self.programs:
            raise BackendError(f"no program {name!r}; there are {', '.join(self.programs)}")
        return self.programs[name]

    async def _each(self, programs: Iterable[Program], call: Callable[[Program], None]) -> None:
        def in_turn(program: Program) -> None:
            with self._turns.setdefault(program.name, threading.Lock()):
                call(program)

        await asyncio.gather(*(self._call(partial(in_turn, program)) for program in programs))

    async def _call(self, call: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, call)
        except (docker.errors.DockerException, OSError) as error:
            raise BackendError(f"Docker: {_short(error)}") from error


def in_need(memory: Mapping[str, Any]) -> int:
    """Bytes, without the files that the kernel keeps at hand and can drop; `memory_stats` of either
    version of control groups."""
    known: Mapping[str, int] = memory.get("stats", {})
    whose = "total_" if "total_active_file" in known else ""
    files = sum(known.get(f"{whose}{which}_file", 0) for which in ("active", "inactive"))
    used: int = memory["usage"]
    return max(0, used - files)


def told_exit(code: str, *, memory: bool) -> str:
    """An exit code as the daemon has it: 128 and more is a signal.

    memory: whether the kernel ended it for want of memory.
    """
    if not code.isdigit():
        return f"exit code {code}"
    number = int(code)
    told = told_end(128 - number if SIGNALLED < number <= SIGNALLED + 64 else number)
    return f"{told} {MEMORY_END}" if memory else told


def ensure_image(
    client: Any, tools: Mapping[str, Path], source: Path, say: Callable[[str], None]
) -> str:
    """The tag of the image, made when it is not there; then this checkout's old images that nobody
    uses go.

    Raises: BackendError.
    """
    tag = image.image_tag(tools, source)
    with contextlib.suppress(docker.errors.ImageNotFound):
        client.images.get(tag)
        return tag
    say(f"==> image {tag}: making it from this machine's Python, packages and tools (under 30 s)")
    if sys.platform.startswith("linux"):
        _import_image(client, tag, tools, source)
    else:
        client.images.build(
            path=str(source),
            dockerfile="devnet/Dockerfile",
            tag=tag,
            labels={CHECKOUT_LABEL: _checkout(source)},
        )
    _remove_old_images(client, tag, source)
    return tag


def _import_image(client: Any, tag: str, tools: Mapping[str, Path], source: Path) -> None:
    name, _, version = tag.partition(":")
    with image.temporary_tar() as tar:
        image.write_image_tar(tar, tools, source)
        tar.seek(0)
        answer = client.api.import_image(
            src=tar,
            repository=name,
            tag=version,
            changes=[*image.import_changes(), f"LABEL {CHECKOUT_LABEL}={_checkout(source)}"],
        )
    if "error" in answer:
        raise BackendError(f"docker import refused the image: {answer[-300:]}")


def _remove_old_images(client: Any, keep: str, source: Path) -> None:
    own = {"label": f"{CHECKOUT_LABEL}={_checkout(source)}"}
    for old in client.images.list(name=image.REPOSITORY_NAME, filters=own):
        if keep not in old.tags and _age_s(old.attrs["Created"]) > IMAGE_KEPT_S:
            with contextlib.suppress(docker.errors.APIError):  # in use by another network
                client.images.remove(old.id)


def _checkout(source: Path) -> str:
    return hashlib.sha256(bytes(source.resolve())).hexdigest()[:16]


def _age_s(created: str) -> float:
    """Seconds since `2026-01-31T12:00:00.123456789Z`; Docker's nine digits are more than Python
    reads."""
    made = datetime.strptime(created[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    return (datetime.now(UTC) - made).total_seconds()


def run_in_pod(client: Any, identifier: str, pod: str, script: str, *arguments: str) -> str:
    """Output of a Python script inside a pod's network (0.3 to 0.8 s): for proofs, never for
    faults. It prints something and changes nothing: a daemon under load may lose what was said, and
    is asked again.

    Raises: BackendError with the script's last words.
    """
    container = client.containers.get(f"dst-{identifier}-{pod}.{Role.TOXIPROXY}")
    command = [f"{image.APP}/bin/python", "-I", "-S", "-c", script, *arguments]
    for _ in range(EXEC_TRIES):
        code, output = container.exec_run(command)
        if code != 0:
            raise BackendError(f"script in pod {pod} failed: {output.decode()[-300:]}")
        if output:
            return str(output.decode())
    raise BackendError(f"script in pod {pod}: Docker lost its answer {EXEC_TRIES} times")


def pod_addresses(client: Any, identifier: str, pod: str) -> dict[str, str]:
    """A pod's addresses: `mesh` and `management`."""
    facts = client.api.inspect_container(f"dst-{identifier}-{pod}.{Role.TOXIPROXY}")
    networks = facts["NetworkSettings"]["Networks"]
    names = {"mesh": f"dst-{identifier}-mesh", "management": f"dst-{identifier}-manage-{pod}"}
    return {kind: networks[name]["IPAddress"] for kind, name in names.items()}


def remove_everything(client: Any, identifier: str) -> list[str]:
    """Force-remove containers and networks that carry our label; returns their names. Again and
    again for a while: a daemon that was killed comes back with containers that it is still busy
    with, and networks that hold endpoints of containers that are gone.

    Raises: BackendError, naming what is left.
    """
    filters, removed = {"label": f"{LABEL}={identifier}"}, dict[str, None]()
    deadline = time.monotonic() + REMOVAL_TIMEOUT_S
    while True:
        try:
            left = _remove_once(client, filters, removed)
        except (docker.errors.DockerException, OSError) as error:
            raise BackendError(f"Docker: {_short(error)}; then `devnet down` again") from error
        if not left:
            return list(removed)
        if time.monotonic() > deadline:
            names = ", ".join(sorted(left))
            raise BackendError(
                f"Docker does not remove {names}: {next(iter(left.values()))}; restart the daemon, "
                "then `devnet down` again"
            )
        time.sleep(REMOVAL_PAUSE_S)


def _remove_once(
    client: Any, filters: Mapping[str, str], removed: dict[str, None]
) -> dict[str, str]:
    """What is left, and why; what is gone is added to `removed`."""
    containers = client.api.containers(all=True, filters=filters)
    roles = [each for each in containers if not _is_host(each)]
    hosts = [each for each in containers if _is_host(each)]
    names = [str(each["Names"][0]).lstrip("/") for each in (*roles, *hosts)]
    with ThreadPoolExecutor(WORKERS) as pool:
        answers = list(pool.map(lambda c: _refusal(_removal(client, c)), roles))
    for each in hosts:
        with _LEAVING:
            answers.append(_refusal(_removal(client, each)))
    networks = client.networks.list(filters=filters)
    names += [network.name for network in networks]
    answers += [_refusal(partial(_remove_network, network)) for network in networks]
    told = dict(zip(names, answers, strict=True))
    removed |= dict.fromkeys(name for name, why in told.items() if not why)
    return {name: why for name, why in told.items() if why}


def _is_host(container: Mapping[str, Any]) -> bool:
    """The others of its pod use its network."""
    return str(container["Labels"].get(PROGRAM_LABEL, "")).endswith(f".{Role.TOXIPROXY}")


def _leaving(program: Program) -> AbstractContextManager[object]:
    return _LEAVING if program.role == Role.TOXIPROXY else contextlib.nullcontext()


def _removal(client: Any, container: Mapping[str, Any]) -> Callable[[], None]:
    return partial(client.api.remove_container, container["Id"], force=True, v=True)


def _remove_network(network: Any) -> None:
    """With endpoints that nobody has any more."""
    network.reload()
    for endpoint in (network.attrs.get("Containers") or {}).values():
        network.disconnect(endpoint["Name"], force=True)
    network.remove()


def _refusal(call: Callable[[], None]) -> str:
    """Why it was not done; nothing where it was, or there is nothing any more. Raises: OSError."""
    try:
        call()
    except docker.errors.NotFound:
        return ""
    except docker.errors.APIError as error:
        return _short(error)
    return ""


def _user_of(program: Program) -> tuple[int, int]:
    """Capabilities take effect for root alone."""
    return (0, 0) if program.capabilities else _container_user()


def _container_user() -> tuple[int, int]:
    """The caller's own numbers, so that files stay the caller's; never root."""
    if os.getuid() == 0:
        return image.CONTAINER_USER, image.CONTAINER_USER
    return os.getuid(), os.getgid()


def _short(error: Exception) -> str:
    if "timed out" in str(error):  # the HTTP client's words
        return (
            "the daemon did not answer in time: it is overloaded, or it hangs (`kill -USR1` of "
            "dockerd writes where); a restart of it helps"
        )
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
