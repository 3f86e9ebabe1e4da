"""What the harness needs of a backend, and how a program is described to it. Faults go through here
on both backends."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

from devnet.model.topology import Link
from dst.spec.errors import DstError

STOP_TIMEOUT_S: Final = 10.0
"""Roles need milliseconds; containers of a busy machine a second or two."""

MEMORY_END: Final = "by the kernel: its memory was used up"
"""How the detail of a program ends that the kernel ended for want of its own memory."""


class BackendError(DstError):
    """A program could not be started, stopped or found; the message is for a person."""


class RanOn(BackendError):
    """Programs that SIGTERM did not end within `STOP_TIMEOUT_S`."""

    def __init__(self, programs: Iterable[str]) -> None:
        self.programs = tuple(programs)
        names = ", ".join(self.programs)
        super().__init__(f"{names} runs on {STOP_TIMEOUT_S:.0f} s after SIGTERM")


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One role: what to run and which files it may see. Paths are relative to the network's
    directory, which is the working directory on both backends, so one argument list serves both."""

    name: str
    """`op1.rollup`; the part before the dot is the pod."""
    command: str
    """`python`, `anvil` or `toxiproxy-server`; the backend knows where it is."""
    arguments: tuple[str, ...]
    first_arguments: tuple[str, ...] = ()
    """Added at the first start only: `--new` creates a store once."""
    environment: tuple[tuple[str, str], ...] = ()
    reads: tuple[str, ...] = ()
    """Files and folders that it reads (containers mount these read-only, and nothing else)."""
    writes: tuple[str, ...] = ()
    """Folders that it writes; the first is its home."""
    code: tuple[str, ...] = ("dst",)
    """What of the source a Python program imports (containers see nothing else of it)."""
    tree: str = ""
    """Folder of the source where it is another version of the code than the harness's."""
    capabilities: tuple[str, ...] = ()
    """Of the kernel's, in its pod, where it runs as root for them (docker alone)."""
    on_demand: bool = False
    """Started by a fault that needs it, not with the network; listed only while it runs."""

    @property
    def pod(self) -> str:
        return self.name.partition(".")[0]

    @property
    def role(self) -> str:
        return self.name.partition(".")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Extra:
    """How one start of a program is another than ever; the next start is as ever."""

    module: str = ""
    """Another one that runs in its place, on the same configuration and in the same folders."""
    flags: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    ends_with: int | None = None
    """An exit code that is asked for, and so no crash."""
    tree: str = ""
    """Folder of the source that it runs from."""

    @property
    def told(self) -> str:
        """What a fault has to take back of it; its flags do no harm when it is left as it is."""
        parts = [f"run as {self.module}"] if self.module else []
        parts += [f"started with {key}={value}" for key, value in self.environment]
        parts += [f"to end with {self.ends_with}"] if self.ends_with is not None else []
        parts += [f"run from {self.tree}"] if self.tree else []
        return ", ".join(parts)


NOTHING_EXTRA: Final = Extra()


def with_extra(program: Program, extra: Extra) -> Program:
    """The program as it is at that start. Another module is never its first start: it gets none of
    the arguments of that. It is made of the harness's own code, whatever ran before."""
    changed = replace(
        program,
        arguments=(*program.arguments, *extra.flags),
        environment=(*program.environment, *extra.environment),
        tree=extra.tree or program.tree,
    )
    if not extra.module:
        return changed
    words = changed.arguments[changed.arguments.index("--config") :]
    return replace(
        changed,
        arguments=("-P", "-m", extra.module, *words),
        first_arguments=(),
        tree="",
        code=(*program.code, "devnet/__init__.py", extra.module.replace(".", "/")),
    )


def refuse_if_extra(program: Program, extra: Extra) -> None:
    """Of one that runs. Raises: BackendError."""
    if extra != NOTHING_EXTRA:
        raise BackendError(f"{program.name} runs already, and so not as asked for")


class RunState(StrEnum):
    RUNNING = "running"
    PAUSED = "paused"
    KILLED = "killed"
    """Stopped because the harness asked for it."""
    CRASHED = "crashed"
    """Ended on its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramStatus:
    name: str
    state: RunState
    detail: str = ""
    """Process id, container id or exit code: what a person needs to look further."""
    crashes: int = 0
    """How often it ended on its own in this network's life, whether or not it runs again."""
    last_crash: str = ""
    """What is known about the last of them."""
    crashed_at: float = 0.0
    """When that was, CLOCK_MONOTONIC."""
    extra: str = ""
    """Of one that runs: what is another than ever about it (`Extra.told`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuUse:
    percent: float | None
    """Of one processor, that it is held to; None: it is not held."""
    held_back_s: float
    """How long the kernel has kept it from running for that, so far, in seconds of its threads."""


@dataclass
class Crashes:
    """A backend's memory of what ended unasked."""

    _counts: dict[str, int] = field(default_factory=dict)
    _last: dict[str, str] = field(default_factory=dict)
    _at: dict[str, float] = field(default_factory=dict)

    def note(self, name: str, detail: str) -> None:
        self._counts[name] = self._counts.get(name, 0) + 1
        self._last[name], self._at[name] = detail, time.monotonic()

    def status(self, name: str, state: RunState, detail: str, *, extra: str = "") -> ProgramStatus:
        return ProgramStatus(
            name=name,
            state=state,
            detail=detail,
            crashes=self._counts.get(name, 0),
            last_crash=self._last.get(name, ""),
            crashed_at=self._at.get(name, 0.0),
            extra=extra,
        )


class Backend(Protocol):
    """Names are program names (`op1.rollup`); all calls return when the effect is there, not
    before.

    Raises (all): BackendError for an unknown name or a refused operation.
    """

    kind: str
    stood_in: set[str]
    """Programs that run, or ran, as another module: whoever watches must not believe them."""

    async def prepare(self) -> None:
        """Whatever must be there before the first start: images, networks."""

    async def start(self, names: Iterable[str], extra: Extra = NOTHING_EXTRA) -> None:
        """Start programs that do not run; those that run are left alone, and are an error where
        the start is to be another than ever."""

    async def kill(self, names: Iterable[str]) -> None:
        """SIGKILL, and wait for the end. Paused programs die too."""

    async def stop(self, names: Iterable[str]) -> None:
        """SIGTERM, and wait for the end. Raises: RanOn, when one does not come within
        `STOP_TIMEOUT_S`."""

    async def pause(self, names: Iterable[str]) -> None:
        """Freeze; returns once the kernel reports every one stopped. The kernel goes on accepting
        connections."""

    async def resume(self, names: Iterable[str]) -> None: ...

    async def hold_cpu(self, names: Iterable[str], percent: int | None) -> None:
        """Each to so much of one processor, also when it is started anew; None: to nothing."""

    async def cpu(self, names: Iterable[str]) -> Mapping[str, CpuUse]:
        """As the kernel has it."""

    async def use_up_memory(self, names: Iterable[str]) -> None:
        """Until the kernel ends them for want of it, which is then no crash. Their next start is as
        ever."""

    async def status(self) -> Mapping[str, ProgramStatus]: ...

    async def listen_host(self) -> Callable[[Link], str]:
        """Where each link's proxy must listen, once its Toxiproxy runs."""

    def falls_with(self, host: str) -> tuple[str, ...]:
        """Programs that cannot be reached any more once this Toxiproxy has ended, even if another
        one starts in its place."""

    async def close(self) -> None:
        """End and remove everything of this network."""


def listed(
    programs: Mapping[str, Program], states: Iterable[ProgramStatus]
) -> Mapping[str, ProgramStatus]:
    """Without the programs that nobody has started, nor had to."""
    return {
        each.name: each
        for each in states
        if not (programs[each.name].on_demand and each.state is RunState.KILLED)
    }


OnCrash = Callable[[str, str], None]
"""Told the name of a program that ended unasked, and what is known about its end."""


def take_first_arguments(directory: Path, program: Program) -> tuple[str, ...]:
    """The arguments of a first start, once in a network's life; also when the program dies at once.

    The mark lies in `run/`, not beside the data: a scenario that loses a store must not get `--new`
    for it.
    """
    mark = directory / "run" / f"{program.name}.started"
    if not program.first_arguments or mark.exists():
        return ()
    mark.touch()
    return program.first_arguments
