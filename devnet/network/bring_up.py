"""Bring a network up and take it down: the order of things, and nothing that one of them does by
itself.

tools -> folder claimed, ports free -> Toxiproxies and anvil -> L1 block 0 -> keys dealt, configs
written, proxies set -> all roles at once -> first sealed block on every node -> proof ->
network.json
"""

import asyncio
import compileall
import contextlib
import errno
import shutil
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import aiohttp

from devnet.backends.base import Backend, OnCrash
from devnet.backends.process import ProcessBackend, python_executable
from devnet.links.mesh import Mesh
from devnet.links.standing import standing_in
from devnet.model.cluster import LEASE_SECONDS, SHORTEST_LEASE, ClusterKind
from devnet.model.code import read_codes
from devnet.model.descriptor import Descriptor, build_descriptor, read_descriptor, write_descriptor
from devnet.model.topology import Topology, compute_topology
from devnet.network.claim import claim, is_claimed, read_mark, remove_files
from devnet.network.control import RemoteBackend
from devnet.network.log_keeper import LogKeeper
from devnet.network.programs import L1_CHAIN_ID, L2_CHAIN_ID, Plan, write_configs
from devnet.network.proof import Proof
from devnet.network.proxy_keeper import ProxyKeeper
from devnet.network.versions import require_versions, version_of
from devnet.probes.rpc import Rpc, RpcRefused, RpcUnknown
from devnet.toolchain.etcd import ensure_etcd
from devnet.toolchain.tools import REPOSITORY, ensure_all
from dst.crypto.locks import load_lock
from dst.spec.cluster import ClusterLock
from dst.spec.errors import BadConfig, DstError

FIRST_BLOCK_TIMEOUT_S: Final = 60.0
"""Ten times what a start takes on two idle cores."""
L1_TIMEOUT_S: Final = 20.0
POLL_S: Final = 0.05
SHOWN_LOG_LINES: Final = 3

Say = Callable[[str], None]


class StartFailed(DstError):
    """The network did not come up; the message says what was seen and where the logs are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkOptions:
    """What a user may choose. `backend` None: docker when a daemon answers, else process."""

    directory: Path
    """Absolute: programs run with it as their working directory."""
    cluster: ClusterKind = ClusterKind.DST
    lease_seconds: int = LEASE_SECONDS
    """Of a stand-by's leader."""
    operators: int = 4
    followers: int = 1
    l1_follower: bool = False
    """One more follower that rebuilds the chain from L1 alone."""
    slot_seconds: int = 1
    chain_id: int = L2_CHAIN_ID
    """Of the L2; the dealer refuses what is out of range."""
    gas_limit: int | None = None
    """Of a block; None: the chain's default."""
    backend: str | None = None
    port_offset: int = 0
    seed: int = 0
    versions: tuple[str, ...] = ()
    """Of nodes that run another code than the harness's: `op2=v0.1.0`, or `v0.1.0` for all."""
    prove: bool = True
    """The quick proof is part of a start; benches that start often may skip it."""


@dataclass
class Network:
    """A running network: descriptor, keys' public side, and the two planes on which faults are
    injected."""

    directory: Path
    descriptor: Descriptor
    lock: ClusterLock
    topology: Topology
    mesh: Mesh
    backend: Backend
    session: aiohttp.ClientSession
    started_in_s: float = 0.0
    """From the call to the first block sealed on every node; 0 when another process started it."""
    proven: list[str] = field(default_factory=list)

    @property
    def nodes(self) -> tuple[str, ...]:
        return (*self.topology.operator_names, *self.topology.follower_names)

    def probe_url(self, node: str, what: str = "beacon") -> str:
        """`what`: beacon, rpc or (operators) middleware. No fault touches these."""
        return self.topology.host_url(f"probe>{node}.{what}")

    @property
    def proof(self) -> Proof:
        return Proof(
            directory=self.directory,
            identifier=self.descriptor.id,
            backend=self.descriptor.backend,
            topology=self.topology,
            mesh=self.mesh,
            session=self.session,
        )


def choose_backend(wanted: str | None, cluster: ClusterKind = ClusterKind.DST) -> str:
    """Docker when a daemon answers. Raises: BackendError when docker was asked for by name and does
    not; BadConfig when it cannot have such a cluster."""
    if cluster is ClusterKind.STANDBY and wanted == "docker":
        raise BadConfig("--cluster standby runs as processes only: give --backend process")
    if wanted == "process" or cluster is ClusterKind.STANDBY:
        return "process"
    from devnet.backends.docker import daemon_answers, docker_client

    if wanted == "docker":
        docker_client().close()
        return "docker"
    return "docker" if daemon_answers() else "process"


@asynccontextmanager
async def running(options: NetworkOptions, say: Say, on_crash: OnCrash) -> AsyncIterator[Network]:
    """A network of our own, up inside the block; afterwards nothing of it is left but `logs/`.

    Raises: BadConfig, ToolMissing, BackendError, StartFailed, ProofFailed: all DstError, for a
    person.
    """
    started = time.monotonic()
    directory = options.directory
    topology = _topology_of(options)
    trees = await asyncio.to_thread(_trees, options, topology, say)
    tools = await asyncio.to_thread(ensure_all)
    if options.cluster is ClusterKind.STANDBY:
        tools["etcd"] = await asyncio.to_thread(ensure_etcd)
    kind = await asyncio.to_thread(choose_backend, options.backend, options.cluster)
    was_asked = options.backend or options.cluster is ClusterKind.STANDBY
    say(f"==> backend: {kind}" + ("" if was_asked else _why(kind)))
    with claim(directory, kind) as identifier:
        start = _Start(options, directory, identifier, kind, topology, tools, trees, say, on_crash)
        try:
            async with aiohttp.ClientSession() as session:
                logs = LogKeeper(directory / "logs", lambda line: say(f"==> {line}"))
                # Not of a TaskGroup: what the block raises would arrive as a group of errors.
                spawn = asyncio.get_running_loop().create_task
                keeping = [spawn(logs.run())]
                try:
                    network = await start.bring_up(session, started)
                    keeping.append(spawn(start.keep_proxies()))
                    yield network
                finally:
                    for task in keeping:
                        task.cancel()
        finally:
            await start.tear_down()


def _why(kind: str) -> str:
    return " (a Docker daemon answers)" if kind == "docker" else " (no Docker daemon answers)"


@asynccontextmanager
async def attached(directory: Path) -> AsyncIterator[Network]:
    """A network that another process runs in an absolute `directory`. Raises: BadConfig when none
    does."""
    if not is_claimed(directory) and read_mark(directory) is not None:
        raise BadConfig(f"the network in {directory} lost its harness; clean up with `devnet down`")
    descriptor = read_descriptor(directory)
    topology = descriptor.topology
    mesh = Mesh(topology, standing_in(directory))
    try:
        async with aiohttp.ClientSession() as session:
            yield Network(
                directory=directory,
                descriptor=descriptor,
                lock=load_lock(directory / "cluster" / "cluster-lock.json"),
                topology=topology,
                mesh=mesh,
                backend=RemoteBackend(directory, descriptor.backend, topology.links),
                session=session,
            )
    finally:
        await mesh.close()


def _topology_of(options: NetworkOptions) -> Topology:
    if options.slot_seconds < 1:
        raise BadConfig(f"--slot-seconds {options.slot_seconds}: whole seconds, at least 1")
    if options.lease_seconds < SHORTEST_LEASE:
        raise BadConfig(
            f"--lease-seconds {options.lease_seconds}: at least {SHORTEST_LEASE}, etcd knows no "
            "shorter one"
        )
    if options.l1_follower and options.cluster is ClusterKind.STANDBY:
        raise BadConfig("--l1-follower: stand-bys post no batches, so there is nothing to follow")
    if options.chain_id == L1_CHAIN_ID:
        raise BadConfig(
            f"--chain-id {L1_CHAIN_ID}: the L1 has that number, so a signature for one chain would "
            "be good on the other"
        )
    try:
        return compute_topology(
            operators=options.operators,
            followers=options.followers + int(options.l1_follower),
            port_offset=options.port_offset,
            cluster=options.cluster,
        )
    except ValueError as error:
        raise BadConfig(str(error)) from error


def _trees(options: NetworkOptions, topology: Topology, say: Say) -> dict[str, str]:
    """Node -> folder of other code, laid ready. Raises: BadConfig."""
    nodes = (*topology.operator_names, *topology.follower_names)
    chosen = read_codes(options.versions, nodes, "--version")
    if chosen and topology.cluster.is_baseline:
        raise BadConfig("--version: there are no other versions of a baseline")
    for version in require_versions(chosen.values()):
        say(f"==> {version.told()}")
    return {node: str(version_of(name).tree) for node, name in chosen.items()}


@dataclass
class _Start:
    """One start, step by step; it remembers what must be taken down."""

    options: NetworkOptions
    directory: Path
    identifier: str
    kind: str
    topology: Topology
    tools: dict[str, Path]
    trees: dict[str, str]
    say: Say
    on_crash: OnCrash
    crashed: dict[str, str] = field(default_factory=dict)
    _backend: Backend | None = None
    _mesh: Mesh | None = None
    _keeper: ProxyKeeper | None = None
    _ending: bool = False

    async def bring_up(self, session: aiohttp.ClientSession, started: float) -> Network:
        for line in check_ports_free(self.topology, self.kind):
            self.say(f"==> {line}")
        plan = Plan(
            self.topology,
            self.kind,
            self._l1_followers,
            lease_seconds=self.options.lease_seconds,
            trees=self.trees,
        )
        backend = self._backend = self._make_backend(plan)
        mesh = self._mesh = Mesh(self.topology, standing_in(self.directory))
        # The dealer needs py-evm for the genesis hash: load it while the L1 starts.
        await asyncio.gather(
            self._start_hosts(backend, mesh, plan),
            asyncio.to_thread(import_module, "dst.execution.genesis"),
            asyncio.to_thread(_compile_roles),
        )
        lock = await self._deal(await self._l1_genesis(session))
        if self.topology.cluster.is_baseline:
            share_key(self.directory / "cluster", self.topology.operator_names)
        write_configs(self.directory, plan)
        self.say(
            f"==> starting {len(plan.configs)} programs of {len(self.topology.pods) - 1} nodes"
        )
        await backend.start(plan.configs)
        await self._first_block(session)
        took = time.monotonic() - started
        self.say(f"==> first sealed block on every node after {took:.1f} s")
        network = Network(
            directory=self.directory,
            descriptor=self._describe(lock),
            lock=lock,
            topology=self.topology,
            mesh=mesh,
            backend=backend,
            session=session,
            started_in_s=took,
        )
        self._keeper = ProxyKeeper(mesh, backend, lambda line: self.say(f"==> {line}"))
        if self.options.prove:
            network.proven = await network.proof.quick()
        write_descriptor(self.directory, network.descriptor)
        return network

    async def keep_proxies(self) -> None:
        assert self._keeper is not None, "it is up"
        await self._keeper.run()

    async def tear_down(self) -> None:
        """All of it, whatever failed before. Logs stay."""
        self._ending = True
        if self._mesh is not None:
            await self._mesh.close()
        if self._backend is not None:
            await self._backend.close()
        remove_files(self.directory)

    def _make_backend(self, plan: Plan) -> Backend:
        if self.kind == "process":
            return ProcessBackend(
                directory=self.directory,
                programs=plan.programs,
                executables={"python": python_executable(), **self.tools},
                source=REPOSITORY,
                on_crash=self._note_crash,
            )
        from devnet.backends.docker import DockerBackend

        return DockerBackend(
            directory=self.directory,
            programs=plan.programs,
            executables=self.tools,
            source=REPOSITORY,
            on_crash=self._note_crash,
            topology=self.topology,
            identifier=self.identifier,
            say=self.say,
        )

    def _note_crash(self, name: str, detail: str) -> None:
        self.crashed[name] = detail
        if self._ending:
            return
        self.on_crash(name, detail)
        if self._keeper is not None:
            self._keeper.on_crash(name)

    async def _start_hosts(self, backend: Backend, mesh: Mesh, plan: Plan) -> None:
        await backend.prepare()
        hosts = [
            name
            for name, program in plan.programs.items()
            if name not in plan.configs and not program.on_demand
        ]
        await backend.start(hosts)
        await mesh.wait_until_up()
        await mesh.populate(await backend.listen_host())

    async def _l1_genesis(self, session: aiohttp.ClientSession) -> dict[str, object]:
        """Number and hash of L1 block 0, once anvil answers."""
        rpc = Rpc(session, self.topology.host_url("probe>l1.rpc"))
        deadline = time.monotonic() + L1_TIMEOUT_S
        while True:
            self._stop_if_crashed()
            try:
                block = await rpc.call("eth_getBlockByNumber", "0x0", False)
                return {"number": 0, "hash": block["hash"]}
            except (RpcUnknown, RpcRefused) as error:
                if time.monotonic() > deadline:
                    raise StartFailed(
                        f"the L1 does not answer: {error}; {self._logs_of('l1.anvil')}"
                    ) from error
            await asyncio.sleep(POLL_S)

    async def _deal(self, l1_genesis: dict[str, object]) -> ClusterLock:
        # Imported late: the dealer brings keystore and genesis code that no other command needs.
        from dst.cli.cluster import create_cluster

        chain: dict[str, object] = {
            "chain_id": self.options.chain_id,
            "l1_chain_id": L1_CHAIN_ID,
            "l1_genesis": l1_genesis,
            "seconds_per_slot": self.options.slot_seconds,
            "genesis_time": int(time.time()),
            "dev": True,
        }
        if self.options.gas_limit is not None:
            chain["gas_limit"] = self.options.gas_limit
        folder = self.directory / "cluster"
        members = 1 if self.topology.cluster.is_baseline else self.topology.operators
        return await asyncio.to_thread(
            lambda: create_cluster(folder, operators=members, name="devnet", chain=chain)
        )

    @property
    def _l1_followers(self) -> frozenset[str]:
        return frozenset(self.topology.follower_names[-1:] if self.options.l1_follower else ())

    def _describe(self, lock: ClusterLock) -> Descriptor:
        return build_descriptor(
            lock,
            self.topology,
            identifier=self.identifier,
            backend=self.kind,
            seed=self.options.seed,
            l1_followers=self._l1_followers,
        )

    async def _first_block(self, session: aiohttp.ClientSession) -> None:
        """Until every node has a sealed block; one that rebuilds from L1 waits for a batch, so it
        is not waited for."""
        nodes = [
            n
            for n in (*self.topology.operator_names, *self.topology.follower_names)
            if n not in self._l1_followers
        ]
        waiting, deadline = (
            dict.fromkeys(nodes, "no answer"),
            time.monotonic() + FIRST_BLOCK_TIMEOUT_S,
        )
        while waiting:
            self._stop_if_crashed()
            if time.monotonic() > deadline:
                raise StartFailed(self._why_no_block(waiting))
            for node in list(waiting):
                port = self.topology.host_port(f"probe>{node}.beacon")
                status = await read_status(session, f"http://127.0.0.1:{port}")
                if status is not None and status["sealed_height"] >= 1:
                    del waiting[node]
                elif status is not None:
                    waiting[node] = f"decided height {status['decided_height']}, none sealed"
            await asyncio.sleep(POLL_S)

    def _why_no_block(self, waiting: dict[str, str]) -> str:
        seen = "; ".join(f"{node}: {what}" for node, what in waiting.items())
        first = next(iter(waiting))
        logs = self._logs_of(f"{first}.rollup")
        return f"no sealed block after {FIRST_BLOCK_TIMEOUT_S:.0f} s ({seen}); {logs}"

    def _stop_if_crashed(self) -> None:
        for name, detail in self.crashed.items():
            raise StartFailed(f"{name} ended while starting ({detail}); {self._logs_of(name)}")

    def _logs_of(self, name: str) -> str:
        path = self.directory / "logs" / f"{name}.log"
        lines: list[str] = []
        with contextlib.suppress(OSError):
            lines = path.read_text(errors="replace").strip().splitlines()[-SHOWN_LOG_LINES:]
        return f"see {path}" + (": " + " | ".join(lines) if lines else " (empty)")


def _compile_roles() -> None:
    """Bytecode beside the sources, once for all: containers mount them read-only, and 18 processes
    that each compile the same files cost seconds."""
    compileall.compile_dir(REPOSITORY / "dst", quiet=2)


def share_key(cluster: Path, names: Sequence[str]) -> None:
    """The keys of a cluster of one for each of several sequencers: a hot stand-by has them all."""
    first, *others = names
    for name in others:
        shutil.copytree(cluster / "operators" / first, cluster / "operators" / name)


async def read_status(
    session: aiohttp.ClientSession, beacon_url: str, timeout_s: float = 1.0
) -> dict[str, Any] | None:
    """`GET /dst/v1/status`, or None while nobody answers."""
    try:
        async with (
            asyncio.timeout(timeout_s),
            session.get(f"{beacon_url}/dst/v1/status") as response,
        ):
            if response.status != 200:
                return None
            status: dict[str, Any] = await response.json(content_type=None)
            return status
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        return None


def check_ports_free(topology: Topology, backend: str) -> list[str]:
    """What a person should know of: a stranger at one of our ports of ::1, which `localhost` may
    mean.

    Raises: BadConfig naming the first port that is taken, its use, and what to do.
    """
    published = {port for pod in topology.pods for port in topology.host_ports(pod)}
    for port, use in topology.all_ports():
        if backend == "docker" and port not in published:
            continue
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise BadConfig(
                    f"port {port} of 127.0.0.1 ({use}) is taken ({error.strerror}): end what uses "
                    "it (`devnet down` if it is a devnet), or shift all ports with "
                    "--port-offset 2000"
                ) from error
    return [
        f"another program has port {port} of ::1 ({use}): say 127.0.0.1, not localhost"
        for port, use in topology.all_ports()
        if port in published and _somebody_has(port)
    ]


def _somebody_has(port: int) -> bool:
    """Of ::1; False where there is no IPv6."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("::1", port))
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False
