"""The network a campaign runs on: the one that runs in DIR, or one of its own, up for as long as
the campaign."""

import fcntl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from devnet.model.cluster import USUAL_SIZE, ClusterKind
from devnet.model.descriptor import Descriptor, read_descriptor
from devnet.network.bring_up import Network, NetworkOptions, running
from devnet.network.bring_up import attached as attached_network
from devnet.network.claim import is_claimed
from devnet.runner.surroundings import Credentials, LiveNetwork
from dst.spec.errors import BadConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the command line asked for; None means: whatever runs, else the default."""

    directory: Path
    backend: str | None = None
    cluster: ClusterKind | None = None
    operators: int | None = None
    slot_seconds: int | None = None
    port_offset: int | None = None

    @property
    def kind(self) -> ClusterKind:
        """Of the network that it will be: the one that runs there, else the one asked for.

        Raises: BadConfig.
        """
        if is_claimed(self.directory):
            return read_descriptor(self.directory).cluster
        return self.cluster or ClusterKind.DST

    def size(self, default_operators: int) -> int:
        """Of a network of our own; `default_operators` of a DST cluster."""
        if self.operators is not None:
            return self.operators
        cluster = self.cluster or ClusterKind.DST
        return USUAL_SIZE[cluster] if cluster.is_baseline else default_operators

    def options(self, default_operators: int, followers: int) -> NetworkOptions:
        """Of a network of our own."""
        return NetworkOptions(
            directory=self.directory,
            cluster=self.cluster or ClusterKind.DST,
            operators=self.size(default_operators),
            followers=followers,
            slot_seconds=1 if self.slot_seconds is None else self.slot_seconds,
            backend=self.backend,
            port_offset=0 if self.port_offset is None else self.port_offset,
        )


def require_same(wanted: Wanted, descriptor: Descriptor) -> None:
    """A running network is used as it is; asking for another one in its folder is a mistake.

    Raises: BadConfig.
    """
    differences = [
        f"{name} {got} instead of {asked}"
        for name, asked, got in (
            ("backend", wanted.backend, descriptor.backend),
            ("cluster", wanted.cluster, descriptor.cluster),
            ("operators", wanted.operators, len(descriptor.operators)),
            ("slot seconds", wanted.slot_seconds, descriptor.slot_seconds),
            ("port offset", wanted.port_offset, descriptor.port_offset),
        )
        if asked is not None and asked != got
    ]
    if differences:
        raise BadConfig(
            f"a network runs in {wanted.directory}, with {', '.join(differences)}; "
            "leave the flags out, or choose another --dir (and --port-offset)"
        )


@asynccontextmanager
async def network_for(
    wanted: Wanted, *, default_operators: int, followers: int, say: Callable[[str], None]
) -> AsyncIterator[Network]:
    """The running network of the folder, else one of our own.

    Raises: BadConfig, and what a start raises (all DstError).
    """
    if is_claimed(wanted.directory):
        async with attached_network(wanted.directory) as network:
            require_same(wanted, network.descriptor)
            say(f"using the network that runs in {wanted.directory}")
            with _alone(wanted.directory):
                yield network
        return

    def crashed(name: str, detail: str) -> None:
        say(f"CRASH {name} ended on its own: {detail}")

    async with running(wanted.options(default_operators, followers), say, crashed) as network:
        yield network


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Two runs on one network would hurt each other's. Raises: BadConfig."""
    with (directory / "run" / "chaos.lock").open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadConfig(
                f"another run uses the network in {directory}; wait for it, or choose another --dir"
            ) from None
        yield


@asynccontextmanager
async def surroundings_of(network: Network) -> AsyncIterator[LiveNetwork]:
    """Everything needed to hurt and to watch a network. Its connections are its own: as many as
    there are probes."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield LiveNetwork(
            backend=network.backend,
            mesh=network.mesh,
            topology=network.topology,
            lock=network.lock,
            credentials=Credentials(
                chain_id=network.descriptor.chain_id,
                private_keys=tuple(a.private_key for a in network.descriptor.accounts),
            ),
            session=session,
            directory=network.directory,
        )
