"""The network a campaign runs on: the one that runs in DIR, or one of its own, brought up and taken
down through the `devnet` command in a process of its own (a campaign that is killed leaves what
`devnet down` removes)."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from devnet.claim import is_claimed
from devnet.control import RemoteBackend
from devnet.links.mesh import Mesh
from devnet.model.descriptor import Descriptor, read_descriptor
from devnet.runner.stages import HarnessError
from devnet.runner.surroundings import Credentials, LiveNetwork
from dst.spec.cluster import load_lock
from dst.spec.errors import BadConfig

UP_TIMEOUT: Final = 300.0
"""Seconds: the first start on a fresh machine also fetches tools and builds the image."""
DOWN_TIMEOUT: Final = 60.0
LOCK_FILE: Final = Path("cluster") / "cluster-lock.json"
MAX_SHOWN_OUTPUT: Final = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the command line asked for; None means: whatever runs, else the default."""

    directory: Path
    backend: str | None = None
    operators: int | None = None
    slot_seconds: int | None = None
    port_offset: int | None = None

    def up_arguments(self, default_operators: int) -> list[str]:
        """Arguments of `devnet up --detach` for a network like this."""
        found = ["up", "--detach", "--dir", str(self.directory)]
        found += ["--operators", str(self.operators or default_operators)]
        for flag, value in (
            ("--backend", self.backend),
            ("--slot-seconds", self.slot_seconds),
            ("--port-offset", self.port_offset),
        ):
            if value is not None:
                found += [flag, str(value)]
        return found


def require_same(wanted: Wanted, running: Descriptor) -> None:
    """A running network is used as it is; asking for another one in its folder is a mistake.

    Raises: BadConfig.
    """
    differences = [
        f"{name} {got} instead of {asked}"
        for name, asked, got in (
            ("backend", wanted.backend, running.backend),
            ("operators", wanted.operators, len(running.operators)),
            ("slot seconds", wanted.slot_seconds, running.slot_seconds),
            ("port offset", wanted.port_offset, running.port_offset),
        )
        if asked is not None and asked != got
    ]
    if differences:
        raise BadConfig(
            f"a network runs in {wanted.directory}, with {', '.join(differences)}; "
            "leave the flags out, or choose another --dir (and --port-offset)"
        )


async def devnet_command(arguments: Sequence[str], timeout: float) -> None:
    """Run `devnet ARGUMENTS`. Raises: HarnessError with the end of its output."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "devnet",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": _source_path()},
    )
    try:
        async with asyncio.timeout(timeout):
            output, _ = await process.communicate()
    except (TimeoutError, asyncio.CancelledError) as error:
        process.terminate()
        await process.wait()
        if isinstance(error, asyncio.CancelledError):
            raise
        raise HarnessError(f"devnet {arguments[0]}: not done after {timeout:.0f} s") from error
    if process.returncode != 0:
        told = output.decode("utf-8", "replace")[-MAX_SHOWN_OUTPUT:].strip()
        raise HarnessError(f"devnet {arguments[0]} failed ({process.returncode}): {told}")


def _source_path() -> str:
    """The folder that holds this `devnet`, so that the command is the same one from any working
    folder."""
    own = str(Path(__file__).resolve().parents[2])
    inherited = os.environ.get("PYTHONPATH")
    return own if not inherited else f"{own}{os.pathsep}{inherited}"


@asynccontextmanager
async def network_for(
    wanted: Wanted, default_operators: int
) -> AsyncIterator[tuple[Descriptor, bool]]:
    """Yields the descriptor of the network to use, and whether it is the campaign's own.

    Raises: BadConfig, HarnessError.
    """
    if is_claimed(wanted.directory):
        running = read_descriptor(wanted.directory)
        require_same(wanted, running)
        yield running, False
        return
    try:
        await devnet_command(wanted.up_arguments(default_operators), UP_TIMEOUT)
        yield read_descriptor(wanted.directory), True
    finally:
        await asyncio.shield(devnet_command(["down", "--dir", str(wanted.directory)], DOWN_TIMEOUT))


@asynccontextmanager
async def attached(directory: Path, descriptor: Descriptor) -> AsyncIterator[LiveNetwork]:
    """Everything needed to hurt and to watch the network that runs in `directory`."""
    topology = descriptor.topology
    lock = load_lock(directory / LOCK_FILE)
    mesh = Mesh(topology)
    connector = aiohttp.TCPConnector(limit=0, force_close=False)
    async with aiohttp.ClientSession(connector=connector) as session:
        try:
            yield LiveNetwork(
                backend=RemoteBackend(directory, descriptor.backend),
                mesh=mesh,
                topology=topology,
                lock=lock,
                credentials=Credentials(
                    chain_id=descriptor.chain_id,
                    private_keys=tuple(account.private_key for account in descriptor.accounts),
                ),
                session=session,
            )
        finally:
            await mesh.close()
