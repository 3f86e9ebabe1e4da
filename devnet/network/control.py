"""The supervisor's control socket: another process of the same user asks the running network's
backend.

A scenario that uses a running network must not start processes itself: they would die with the
scenario, and the supervisor would take an intended kill for a crash. One JSON object a line, each
answered by one; a Unix socket of mode 0600. `RemoteBackend` speaks it and is a Backend like the
others.
"""

import asyncio
import hashlib
import json
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from devnet.backends.base import (
    NOTHING_EXTRA,
    Backend,
    BackendError,
    CpuUse,
    Extra,
    ProgramStatus,
    RanOn,
    RunState,
)
from devnet.model.topology import Link

MAX_LINE: Final = 256 * 1024
"""All links of the largest network are a quarter of it."""
CALL_TIMEOUT_S: Final = 70.0
"""Above the docker backend's own 60 s; a healthy call takes milliseconds."""
LONGEST_SOCKET_PATH: Final = 100
"""The kernel allows 107 bytes."""


def socket_path(directory: Path) -> Path:
    """In the network's folder, or in the temporary folder where that path would be too long for a
    socket."""
    path = directory / "run" / "control.sock"
    if len(bytes(path)) <= LONGEST_SOCKET_PATH:
        return path
    digest = hashlib.sha256(bytes(directory)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"devnet-{os.getuid()}-{digest}.sock"


@asynccontextmanager
async def serve_control(directory: Path, backend: Backend) -> AsyncIterator[None]:
    """Answer on the socket while the block runs."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await _perform(backend, line)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            pass  # the other side left, or sent a line longer than any of ours
        finally:
            writer.close()

    path = socket_path(directory)
    path.unlink(missing_ok=True)
    mask = os.umask(0o177)
    try:
        server = await asyncio.start_unix_server(answer, path, limit=MAX_LINE)
    finally:
        os.umask(mask)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)


async def _perform(backend: Backend, line: bytes) -> dict[str, Any]:
    calls: Mapping[str, Callable[[list[str]], Awaitable[None]]] = {
        "kill": backend.kill,
        "stop": backend.stop,
        "pause": backend.pause,
        "resume": backend.resume,
        "use_up_memory": backend.use_up_memory,
    }
    try:
        request = json.loads(line)
        action = request["do"]
        if action == "status":
            found = await backend.status()
            return {
                "programs": [
                    [s.name, s.state, s.detail, s.crashes, s.last_crash, s.crashed_at, s.extra]
                    for s in found.values()
                ],
                "kind": backend.kind,
            }
        if action == "listen_host":
            host_of = await backend.listen_host()
            links = msgspec.convert(request["links"], list[Link])
            return {"hosts": {link.name: host_of(link) for link in links}}
        names = [str(name) for name in request["names"]]
        if action == "cpu":
            use = await backend.cpu(names)
            return {"cpu": {name: [each.percent, each.held_back_s] for name, each in use.items()}}
        if action == "hold_cpu":
            await backend.hold_cpu(names, msgspec.convert(request["percent"], int | None))
        elif action == "start":
            await backend.start(names, msgspec.convert(request.get("extra", {}), Extra))
        else:
            await calls[action](names)
    except (ValueError, KeyError, TypeError, msgspec.ValidationError) as error:
        return {"error": f"not a request of ours: {error!r}"}
    except RanOn as error:
        return {"error": str(error), "ran_on": error.programs}
    except BackendError as error:
        return {"error": str(error)}
    return {"ok": True}


@dataclass
class RemoteBackend:
    """The backend of a network that another process runs. Raises (all): BackendError.

    links: those of its pods.
    """

    directory: Path
    kind: str
    links: tuple[Link, ...] = ()
    stood_in: set[str] = field(default_factory=set, init=False)
    """Known to whoever watches the network, which is its supervisor."""

    async def prepare(self) -> None:
        """The supervisor did."""

    async def start(self, names: Iterable[str], extra: Extra = NOTHING_EXTRA) -> None:
        await self._ask("start", names, extra=msgspec.to_builtins(extra))

    async def kill(self, names: Iterable[str]) -> None:
        await self._ask("kill", names)

    async def stop(self, names: Iterable[str]) -> None:
        await self._ask("stop", names)

    async def pause(self, names: Iterable[str]) -> None:
        await self._ask("pause", names)

    async def resume(self, names: Iterable[str]) -> None:
        await self._ask("resume", names)

    async def hold_cpu(self, names: Iterable[str], percent: int | None) -> None:
        await self._ask("hold_cpu", names, percent=percent)

    async def cpu(self, names: Iterable[str]) -> Mapping[str, CpuUse]:
        found = (await self._ask("cpu", names))["cpu"]
        return {
            name: CpuUse(percent=percent, held_back_s=held_back)
            for name, (percent, held_back) in found.items()
        }

    async def use_up_memory(self, names: Iterable[str]) -> None:
        await self._ask("use_up_memory", names)

    async def status(self) -> Mapping[str, ProgramStatus]:
        answer = await self._ask("status", ())
        return {
            name: ProgramStatus(
                name=name,
                state=RunState(state),
                detail=detail,
                crashes=crashes,
                last_crash=last,
                crashed_at=crashed_at,
                extra=extra,
            )
            for name, state, detail, crashes, last, crashed_at, extra in answer["programs"]
        }

    async def listen_host(self) -> Callable[[Link], str]:
        """As it is now: what is asked of it later is another question."""
        links = [msgspec.to_builtins(link) for link in self.links]
        hosts: dict[str, str] = (await self._ask("listen_host", (), links=links))["hosts"]
        return lambda link: hosts[link.name]

    def falls_with(self, host: str) -> tuple[str, ...]:
        raise BackendError("the supervisor looks after the proxies")

    async def close(self) -> None:
        """The network belongs to its supervisor: nothing ends here."""

    async def _ask(self, action: str, names: Iterable[str], **more: object) -> dict[str, Any]:
        path = socket_path(self.directory)
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                reader, writer = await asyncio.open_unix_connection(path, limit=MAX_LINE)
                writer.write(
                    json.dumps({"do": action, "names": list(names), **more}).encode() + b"\n"
                )
                line = await reader.readline()
                writer.close()
        except (OSError, TimeoutError) as error:
            raise BackendError(
                f"the devnet in {self.directory} does not answer ({error!r}); is it running?"
            ) from error
        answer: dict[str, Any] = json.loads(line or b'{"error": "the devnet ended"}')
        if "ran_on" in answer:
            raise RanOn(answer["ran_on"])
        if "error" in answer:
            raise BackendError(answer["error"])
        return answer
