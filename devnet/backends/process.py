"""Process backend: every program a plain process on 127.0.0.1, without Docker and without root.

Each program leads its own session, so a signal to the group reaches its children; each dies with
the harness (PR_SET_PDEATHSIG where there is one) and has a pid file with its start time for the
next `devnet down` otherwise.
"""

import asyncio
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

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
from devnet.backends.cgroups import find_cpu_groups, remove_empty_groups
from devnet.backends.memory_groups import MemoryGroups, find_memory_groups
from devnet.backends.processes import (
    MEMORY_KILL,
    ProcessId,
    die_with_parent,
    memory_kills,
    read_pid_file,
    signal_group,
    state_of,
    told_end,
    write_pid_file,
)
from devnet.model.topology import Link, Role

STOP_GRACE_S: Final = 3.0
"""Between SIGTERM and SIGKILL at the end; roles need milliseconds."""
FREEZE_TIMEOUT_S: Final = 2.0
POLL_S: Final = 0.002
KEPT_ENVIRONMENT: Final = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "VIRTUAL_ENV", "SYSTEMROOT")
"""What a role inherits; secrets in the caller's environment stay with the caller."""


@dataclass
class _Running:
    process: asyncio.subprocess.Process
    identity: ProcessId
    watcher: "asyncio.Task[None]"
    memory_kills: int
    """Of the whole machine, when it started."""
    extra: Extra
    wanted_end: bool = False
    paused: bool = False


@dataclass
class ProcessBackend:
    """Programs of one network as children of this process.

    Args:
        directory: the network's directory: working directory, `logs/`, `run/`.
        programs: every program by name.
        executables: command name -> path (`python`, `anvil`, `toxiproxy-server`).
        on_crash: told when a program ends that nobody asked to end.
    """

    directory: Path
    programs: Mapping[str, Program]
    executables: Mapping[str, Path]
    source: Path
    """Folder that holds `dst/`."""
    on_crash: OnCrash
    kind: str = field(default="process", init=False)
    stood_in: set[str] = field(default_factory=set, init=False)
    _running: dict[str, _Running] = field(default_factory=dict, init=False)
    _starts: defaultdict[str, asyncio.Lock] = field(
        default_factory=lambda: defaultdict(asyncio.Lock), init=False
    )
    """A program is started once at a time: of two nobody could end the first."""
    _ends: dict[str, tuple[RunState, str]] = field(default_factory=dict, init=False)
    _crashes: Crashes = field(default_factory=Crashes, init=False)
    _held: dict[str, int] = field(default_factory=dict, init=False)
    """Program -> percent of a processor."""

    async def prepare(self) -> None:
        """Nothing to fetch or build."""

    async def start(self, names: Iterable[str], extra: Extra = NOTHING_EXTRA) -> None:
        await asyncio.gather(*(self._start(self._program(name), extra) for name in names))

    async def kill(self, names: Iterable[str]) -> None:
        """SIGKILL at once for all, then wait: a group of victims dies together."""
        victims = await self._started(names)
        for running in victims.values():
            running.wanted_end = True
            signal_group(running.identity, signal.SIGKILL)
        await asyncio.gather(*(running.watcher for running in victims.values()))

    async def stop(self, names: Iterable[str]) -> None:
        victims = await self._started(names)
        for running in victims.values():
            running.wanted_end = True
            signal_group(running.identity, signal.SIGTERM)
        watchers = {running.watcher: name for name, running in victims.items()}
        if not watchers:
            return
        _, late = await asyncio.wait(watchers, timeout=STOP_TIMEOUT_S)
        if late:
            raise RanOn(sorted(watchers[watcher] for watcher in late))

    async def pause(self, names: Iterable[str]) -> None:
        chosen = self._chosen(names)
        for running in chosen.values():
            running.paused = True
            signal_group(running.identity, signal.SIGSTOP)
        for name, running in chosen.items():
            await _until_state(name, running.identity, stopped=True)

    async def resume(self, names: Iterable[str]) -> None:
        chosen = self._chosen(names)
        for running in chosen.values():
            running.paused = False
            signal_group(running.identity, signal.SIGCONT)
        for name, running in chosen.items():
            await _until_state(name, running.identity, stopped=False)

    async def hold_cpu(self, names: Iterable[str], percent: int | None) -> None:
        groups = find_cpu_groups()
        for name in [self._program(name).name for name in names]:
            self._held.pop(name, None)
            if percent is None:
                await groups.release(name)
                continue
            self._held[name] = percent
            if name in self._running:
                groups.hold(name, self._running[name].process.pid, percent)

    async def cpu(self, names: Iterable[str]) -> Mapping[str, CpuUse]:
        groups, known = find_cpu_groups(), self._chosen(names)
        return {name: groups.use(name, each.process.pid) for name, each in known.items()}

    async def use_up_memory(self, names: Iterable[str]) -> None:
        groups, victims = find_memory_groups(), await self._started(names)
        ends = (self._use_up_memory(groups, name, each) for name, each in victims.items())
        await asyncio.gather(*ends)

    async def _use_up_memory(self, groups: MemoryGroups, name: str, victim: _Running) -> None:
        victim.wanted_end = True
        try:
            await groups.use_up(name, victim.process.pid, victim.watcher)
        finally:
            signal_group(victim.identity, signal.SIGKILL)  # where the kernel did not
            await victim.watcher
        state, detail = self._ends[name]
        self._ends[name] = (state, f"{detail} {MEMORY_END}")

    async def status(self) -> Mapping[str, ProgramStatus]:
        return listed(self.programs, map(self._status, self.programs))

    async def close(self) -> None:
        """End everything: roles by SIGTERM, then whatever is left (and Toxiproxies, whose SIGTERM
        can take 25 s) by SIGKILL."""
        everybody = await self._started(self.programs)
        for running in everybody.values():
            running.wanted_end = True
        roles = {n: r for n, r in everybody.items() if not n.endswith(f".{Role.TOXIPROXY}")}
        for running in roles.values():
            signal_group(running.identity, signal.SIGTERM)
            signal_group(running.identity, signal.SIGCONT)
        if roles:
            await asyncio.wait([r.watcher for r in roles.values()], timeout=STOP_GRACE_S)
        await self.kill(list(self._running))
        if self._held:
            await self.hold_cpu(list(self._held), None)

    async def listen_host(self) -> Callable[[Link], str]:
        """All proxies lie side by side on loopback."""
        return lambda _link: "127.0.0.1"

    def falls_with(self, host: str) -> tuple[str, ...]:
        """A Toxiproxy is a neighbour here like any other."""
        return ()

    async def _start(self, program: Program, extra: Extra) -> None:
        async with self._starts[program.name]:
            await self._start_once(program, extra)

    async def _start_once(self, program: Program, extra: Extra) -> None:
        if program.name in self._running:
            refuse_if_extra(program, extra)
            return
        if extra.module:
            self.stood_in.add(program.name)
        program = with_extra(program, extra)
        folder = self.directory
        log_path = folder / "logs" / f"{program.name}.log"
        for path in program.writes:
            (folder / path).mkdir(parents=True, exist_ok=True)
        with log_path.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *self._command(program),
                cwd=folder,
                env=self._environment(program),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )
        self._adopt(program, process, extra)

    def _adopt(self, program: Program, process: asyncio.subprocess.Process, extra: Extra) -> None:
        identity = ProcessId.of(process.pid) or ProcessId(process.pid, "ended")
        write_pid_file(self._pid_file(program.name), identity)
        self._ends.pop(program.name, None)
        # Kept in _running until it ends, so it is neither lost nor left behind.
        watcher = asyncio.get_running_loop().create_task(
            self._watch(program.name, process, extra.ends_with)
        )
        self._running[program.name] = _Running(process, identity, watcher, memory_kills(), extra)
        if percent := self._held.get(program.name):
            find_cpu_groups().hold(program.name, process.pid, percent)

    async def _watch(
        self, name: str, process: asyncio.subprocess.Process, ends_with: int | None
    ) -> None:
        code = await process.wait()
        running = self._running.pop(name)
        self._pid_file(name).unlink(missing_ok=True)
        detail = told_end(code)
        if running.wanted_end or code == ends_with:
            self._ends[name] = (RunState.KILLED, detail)
            return
        if code == -signal.SIGKILL and memory_kills() > running.memory_kills:
            detail += MEMORY_KILL
        self._ends[name] = (RunState.CRASHED, detail)
        self._crashes.note(name, detail)
        self.on_crash(name, detail)

    def _status(self, name: str) -> ProgramStatus:
        running = self._running.get(name)
        if running is None:
            state, detail = self._ends.get(name, (RunState.KILLED, "not started"))
            return self._crashes.status(name, state, detail)
        state = RunState.PAUSED if running.paused else RunState.RUNNING
        detail = f"pid {running.process.pid}"
        return self._crashes.status(name, state, detail, extra=running.extra.told)

    def _command(self, program: Program) -> list[str]:
        executable = self.executables[program.command]
        first = take_first_arguments(self.directory, program)
        return [str(executable), *program.arguments, *first]

    def _environment(self, program: Program) -> dict[str, str]:
        kept = {key: os.environ[key] for key in KEPT_ENVIRONMENT if key in os.environ}
        home = self.directory / (program.writes[0] if program.writes else "run")
        kept |= dict(program.environment)
        tree = program.tree or str(self.source)
        return {**kept, "HOME": str(home), "PYTHONPATH": tree, "PYTHONUNBUFFERED": "1"}

    def _program(self, name: str) -> Program:
        if name not in self.programs:
            raise BackendError(f"no program {name!r}; there are {', '.join(self.programs)}")
        return self.programs[name]

    async def _started(self, names: Iterable[str]) -> dict[str, _Running]:
        """The chosen ones, those among them that are on their way up."""
        wanted = list(names)
        for name in wanted:
            async with self._starts[name]:
                pass
        return self._chosen(wanted)

    def _chosen(self, names: Iterable[str]) -> dict[str, _Running]:
        wanted = [self._program(name).name for name in names]
        return {name: self._running[name] for name in wanted if name in self._running}

    def _pid_file(self, name: str) -> Path:
        return self.directory / "run" / f"{name}.pid"


async def _until_state(name: str, identity: ProcessId, *, stopped: bool) -> None:
    """Wait for the kernel's word: SIGSTOP takes effect a moment after it was sent."""
    deadline = time.monotonic() + FREEZE_TIMEOUT_S
    while identity.is_alive() and (state_of(identity.pid) in ("T", "t")) is not stopped:
        if time.monotonic() > deadline:
            raise BackendError(
                f"{name} is in state {state_of(identity.pid)} {FREEZE_TIMEOUT_S} s after the signal"
            )
        await asyncio.sleep(POLL_S)


def reap_leftovers(directory: Path) -> list[str]:
    """Kill what a dead harness left in this directory, by pid files; returns names. A recycled pid
    is never touched."""
    reaped: list[str] = []
    for path in sorted((directory / "run").glob("*.*.pid")):
        process = read_pid_file(path)
        if process is not None and signal_group(process, signal.SIGKILL):
            reaped.append(path.stem)
        path.unlink(missing_ok=True)
    remove_empty_groups()
    return reaped


def python_executable() -> Path:
    """The interpreter of this environment, unresolved: resolving would lose the virtual
    environment."""
    return Path(sys.executable)
