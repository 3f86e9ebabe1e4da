"""What the harness needs of a backend, and how a program is described to it. Faults go through here
on both backends."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

from devnet.model.topology import Link
from dst.spec.errors import DstError

STOP_TIMEOUT_S: Final = 10.0
"""Roles need milliseconds; containers of a busy machine a second or two."""


class BackendError(DstError):
    """A program could not be started, stopped or found; the message is for a person."""


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
    """What a Python program runs, in the source's folder (containers see nothing else of it)."""

    @property
    def pod(self) -> str:
        return self.name.partition(".")[0]

    @property
    def role(self) -> str:
        return self.name.partition(".")[2]


def stand_in(program: Program, module: str, arguments: Sequence[str]) -> Program:
    """The same program with more arguments; run from `module`, if one is named, on the same
    configuration and in the same folders."""
    words, code = program.arguments, program.code
    if module:
        words = ("-P", "-m", module, *words[words.index("--config") :])
        code = (*code, "devnet/__init__.py", module.replace(".", "/"))
    return replace(program, arguments=(*words, *arguments), first_arguments=(), code=code)


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

    async def start(self, names: Iterable[str]) -> None:
        """Start programs that do not run; those that run are left alone."""

    async def start_as(self, name: str, module: str, arguments: Sequence[str]) -> None:
        """Start a program that does not run as its `stand_in`, once: the next start is its own."""

    async def kill(self, names: Iterable[str]) -> None:
        """SIGKILL, and wait for the end. Paused programs die too."""

    async def stop(self, names: Iterable[str]) -> None:
        """SIGTERM, and wait for the end: one that does not come within `STOP_TIMEOUT_S` is an
        error."""

    async def pause(self, names: Iterable[str]) -> None:
        """Freeze; returns once the kernel reports every one stopped. The kernel goes on accepting
        connections."""

    async def resume(self, names: Iterable[str]) -> None: ...

    async def status(self) -> Mapping[str, ProgramStatus]: ...

    async def listen_host(self) -> Callable[[Link], str]:
        """Where each link's proxy must listen, once its Toxiproxy runs."""

    async def close(self) -> None:
        """End and remove everything of this network."""


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
