"""A dealt cluster, and whole middlewares over real TLS links and real SQLite in one process.

Rollup node and validator client are fakes with the contracts of the real ones; time runs ten times
faster than the wall clock, so that a slot is a tenth of a second.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dst.apis.beacon import (
    BeaconEvent,
    BlockId,
    Genesis,
    HeaderView,
    ProduceRequest,
    Syncing,
    WireBlock,
)
from dst.apis.dst_v1 import DecidedBlock, Event, OutOfOrder, Status
from dst.cli.cluster import create_cluster
from dst.crypto import bls, keystore
from dst.crypto.locks import load_lock
from dst.crypto.secp256k1 import IdentityKey
from dst.middleware.config import Settings, load_settings
from dst.middleware.store import SqliteStore, open_store
from dst.middleware.wire import Middleware, root_of
from dst.middleware.wire_messages import WireMessage, decode_message, encode_message
from dst.p2p.handshake import PROTOCOL_VERSION, Hello
from dst.p2p.transport import Transport
from dst.qbft.messages import Certificate, Commit, Payload, SignedCommit, signing_digest
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.spec import ssz
from dst.spec.beacon import BeaconBlock
from dst.spec.cluster import ClusterLock, genesis_validators_root, lock_proposer_domain
from dst.spec.domains import signing_root
from dst.spec.errors import DstError, ResetRequired, Unavailable
from dst.spec.judgement import Judgement, Verdict
from dst.spec.primitives import (
    BLSPubkey,
    BLSSignature,
    Hash32,
    Height,
    OperatorIndex,
    Root,
    Round,
    Slot,
    Term,
)
from dst.spec.rules import genesis_block
from tests import ports

SPEED = 10
GENESIS_TIME = 1_800_000_000
DEADLINE_S = 25.0
"""Generous: the machine may be busy. Nothing waits this long when it works."""


@dataclass(frozen=True)
class _L2Genesis:
    hash: bytes
    state_root: bytes


@dataclass(frozen=True)
class Cluster:
    """A dealt cluster with its secrets, for any number of networks."""

    folder: Path
    lock: ClusterLock
    shares: tuple[bls.SecretShare, ...]
    identities: tuple[IdentityKey, ...]

    @property
    def genesis(self) -> BeaconBlock:
        header = _L2Genesis(self.lock.chain.l2_genesis_hash, bytes(32))
        return genesis_block(self.lock, header)

    def sign_share(self, operator: int, root: Root) -> BLSSignature:
        message = signing_root(root, lock_proposer_domain(self.lock))
        return bls.sign(self.shares[operator], message)

    def certificate(
        self,
        height: int,
        block: bytes | None = None,
        *,
        round_: int = 0,
        signers: Sequence[int] | None = None,
    ) -> Certificate:
        """By operators 1 to q, or the `signers`, over `block` (by default `block(height)`)."""
        root = root_of(self.block(height) if block is None else block)
        commit = Commit(Term(0), Height(height), Round(round_), root)
        digest = signing_digest(genesis_validators_root(self.lock), commit)
        votes = tuple(
            SignedCommit(commit, OperatorIndex(index), self.identities[index].sign(digest))
            for index in signers or range(self.lock.threshold)
        )
        return Certificate(Term(0), Height(height), Round(round_), root, votes)

    def block(
        self, height: int, *, slot: int | None = None, parent: Root | None = None, mark: int = 0
    ) -> bytes:
        """An encoded block; `mark` makes blocks of one height differ."""
        base = self.genesis
        payload = replace(
            base.body.execution_payload,
            block_number=height,
            block_hash=Hash32(mark.to_bytes(32, "big")),
        )
        return ssz.encode(
            replace(
                base,
                slot=Slot(height if slot is None else slot),
                parent_root=root_of(ssz.encode(base)) if parent is None else parent,
                body=replace(base.body, execution_payload=payload),
            )
        )


def deal(folder: Path, operators: int) -> Cluster:
    create_cluster(
        folder,
        operators=operators,
        chain={"seconds_per_slot": 1, "genesis_time": GENESIS_TIME, "round_timeout_ms": 500},
    )
    return load_cluster(folder)


def load_cluster(folder: Path) -> Cluster:
    lock = load_lock(folder / "cluster-lock.json")
    shares, identities = [], []
    for index in range(1, lock.n + 1):
        secrets = folder / "operators" / f"op{index}"
        password = (secrets / "keystore.password").read_text()
        shares.append(keystore.decrypt((secrets / "keystore.json").read_bytes(), password))
        identities.append(IdentityKey.load(secrets / "identity.key"))
    return Cluster(folder, lock, tuple(shares), tuple(identities))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    return deal(tmp_path_factory.mktemp("cluster"), 4)


@pytest.fixture(scope="session")
def single(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    return deal(tmp_path_factory.mktemp("single"), 1)


class FakeRollup:
    """`RollupDst` and `BeaconNode`: keeps a decided chain in memory and judges like the real one.

    down: every call is Unavailable. reset: every call that moves the chain raises it.
    verdict: replaces the judgement of `validate`. ready: it has seen L1, so that it builds and
    judges.
    """

    def __init__(self, cluster: Cluster, now: Callable[[], float]) -> None:
        self.cluster, self.now = cluster, now
        self.chain: list[DecidedBlock] = []
        self.sealed: dict[int, BLSSignature] = {}
        self.events_seen: list[Event] = []
        self.down = False
        self.ready = True
        self.reset: ResetRequired | None = None
        self.verdict: Callable[[bytes], Judgement] | None = None
        self.validations = 0
        self.built_without_pool = 0
        self._changed = asyncio.Event()

    def _gate(self) -> None:
        if self.down:
            raise Unavailable("fake rollup node is down")
        if self.reset is not None:
            raise self.reset

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    @property
    def head_root(self) -> Root:
        if self.chain:
            return self.chain[-1].certificate.root
        return root_of(ssz.encode(self.cluster.genesis))

    # /dst/v1

    async def status(self) -> Status:
        if self.down:
            raise Unavailable("fake rollup node is down")
        return Status(
            decided_height=len(self.chain),
            decided_slot=0,
            decided_root="0x",
            sealed_height=max(self.sealed, default=0),
            unsafe=0,
            safe=0,
            finalized=0,
            l1_head=1,
            reset_height=None if self.reset is None else self.reset.first_affected_height,
            ready=self.ready,
        )

    async def decided(self, decided: DecidedBlock) -> Height:
        self._gate()
        height = decided.certificate.height
        if height > len(self.chain) + 1:
            raise OutOfOrder(Height(len(self.chain)))
        if height == len(self.chain) + 1:
            self.chain.append(decided)
            self._notify()
        return Height(len(self.chain))

    async def validate(
        self,
        block: bytes,
        *,
        height: Height,
        round_: Round,
        justified: bool,
        deadline_ms: int | None,
    ) -> Judgement:
        self._gate()
        self.validations += 1
        if self.verdict is not None:
            return self.verdict(block)
        if not justified and not self.ready:
            return Judgement(Verdict.HOLD, "L1 was not seen yet")
        decoded = ssz.decode(BeaconBlock, block)
        if decoded.body.execution_payload.block_number != height:
            return Judgement(Verdict.INVALID, "of another height")
        if height > len(self.chain) + 1:
            return Judgement(Verdict.HOLD, "parent not here yet")
        if decoded.parent_root != self.head_root:
            return Judgement(Verdict.INVALID, "wrong parent")
        return Judgement(Verdict.VALID)

    async def push_events(self, events: Sequence[Event]) -> None:
        self.events_seen.extend(events)
        self._notify()

    # Beacon API

    async def produce_block(self, request: ProduceRequest) -> bytes | None:
        self._gate()
        if not self.ready:
            raise Unavailable("L1 was not seen yet")
        self.built_without_pool += request.no_tx_pool
        return self.cluster.block(len(self.chain) + 1, slot=request.slot, parent=self.head_root)

    async def publish_block(self, block: WireBlock) -> None:
        self._gate()
        root = root_of(block.message)
        height = next(
            each.certificate.height for each in self.chain if each.certificate.root == root
        )
        message = signing_root(root, lock_proposer_domain(self.cluster.lock))
        assert bls.verify(self.cluster.lock.group_public_key, message, block.signature)
        self.sealed[height] = block.signature
        self._notify()

    async def genesis(self) -> Genesis:
        raise NotImplementedError

    async def config_spec(self) -> dict[str, object]:
        return {"SECONDS_PER_SLOT": "1"}

    async def node_version(self) -> str:
        return "fake"

    async def syncing(self) -> Syncing:
        raise NotImplementedError

    async def validator_pubkey(self) -> BLSPubkey:
        raise NotImplementedError

    async def header(self, block_id: BlockId) -> HeaderView | None:
        return None

    async def block(self, block_id: BlockId) -> WireBlock | None:
        return None

    async def events(self, topics: frozenset[str]) -> AsyncIterator[BeaconEvent]:
        return
        yield


async def eventually(condition: Callable[[], bool], within_s: float = DEADLINE_S) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)


@dataclass
class Operator:
    """One running operator of a test network."""

    index: int
    middleware: Middleware
    rollup: FakeRollup
    store: SqliteStore

    def sealed_height(self) -> int:
        return max(self.rollup.sealed, default=0)


@dataclass
class Network:
    """Four operators on loopback; each can be started and stopped alone and keeps its folder."""

    cluster: Cluster
    folder: Path
    ports: list[int]
    began: float = field(default_factory=time.monotonic)
    clock_runs: bool = True
    """False: genesis is still to come, so no round begins by itself."""
    rollups: dict[int, FakeRollup] = field(default_factory=dict)
    peer_ports: dict[tuple[int, int], int] = field(default_factory=dict)
    validator_signs: dict[int, Callable[[int, Root], BLSSignature]] = field(default_factory=dict)

    def now(self) -> float:
        elapsed_s = (time.monotonic() - self.began) * SPEED if self.clock_runs else -1000.0
        return GENESIS_TIME + elapsed_s

    def rollup(self, index: int) -> FakeRollup:
        if index not in self.rollups:
            self.rollups[index] = FakeRollup(self.cluster, self.now)
        return self.rollups[index]

    def settings(self, index: int) -> Settings:
        own = self.folder / f"op{index + 1}"
        own.mkdir(parents=True, exist_ok=True)
        secrets = self.cluster.folder / "operators" / f"op{index + 1}"
        config = {
            "name": f"op{index + 1}",
            "data_dir": "data",
            "lock": str(self.cluster.folder / "cluster-lock.json"),
            "index": index + 1,
            "identity_key": str(secrets / "identity.key"),
            "transport_key": str(secrets / "transport.key"),
            "transport_cert": str(secrets / "transport.crt"),
            "certs_dir": str(self.cluster.folder / "certs"),
            "rollup": "http://127.0.0.1:1",
            "own_secret": str(secrets / "own.hex"),
            "listen": "127.0.0.1:1",
            "p2p_listen": f"127.0.0.1:{self.ports[index]}",
            "peers": [
                {
                    "index": other + 1,
                    "address": f"127.0.0.1:{self.peer_ports.get((index, other), port)}",
                }
                for other, port in enumerate(self.ports)
                if other != index
            ],
        }
        path = own / "middleware.json"
        path.write_bytes(msgspec.json.encode(config))
        return load_settings(path)

    @asynccontextmanager
    async def operator(
        self,
        index: int,
        *,
        rejoin: bool = False,
        validator: bool = True,
        gathers: bool = True,
        assemble: Callable[..., Middleware] = Middleware,
    ) -> AsyncIterator[Operator]:
        """`gathers` False: a new store that begins without having heard from anybody."""
        settings = self.settings(index)
        exists = (settings.data_dir / "middleware.sqlite").exists()
        store = open_store(
            settings.data_dir,
            settings.lock.lock_hash,
            new=not exists and not rejoin,
            rejoin=rejoin,
        )
        if not gathers:
            await store.set_began()
        rollup = self.rollup(index)
        middleware = assemble(settings, store, rollup, rollup, now=self.now)
        operator = Operator(index, middleware, rollup, store)
        try:
            await middleware.start()
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(middleware.run())]
                if validator:
                    tasks.append(group.create_task(self._sign_slots(operator)))
                try:
                    yield operator
                finally:
                    for task in tasks:
                        task.cancel()
        finally:
            store.close()

    async def _sign_slots(self, operator: Operator) -> None:
        """A validator client: asks for each slot until it gets the block or a definite none."""
        sign = self.validator_signs.get(operator.index, self.cluster.sign_share)
        slot = 1
        api = operator.middleware.api
        while True:
            try:
                block = await api.produce_block(ProduceRequest(slot=Slot(slot)))
                if block is not None:
                    signature = sign(operator.index, root_of(block))
                    await api.publish_block(WireBlock(message=block, signature=signature))
            except DstError:  # a reset too: a real client goes on asking
                await asyncio.sleep(0.02)
                continue
            slot += 1


class Puppet:
    """Holds one operator's real keys and says whatever a test wants; also `LinkEvents`."""

    def __init__(self, network: Network, index: int) -> None:
        self.index = OperatorIndex(index)
        self.settings = network.settings(index)
        self.heard: list[tuple[OperatorIndex, WireMessage]] = []
        chain = self.settings.lock.chain
        self.hello = Hello(
            protocol_version=PROTOCOL_VERSION,
            chain_id=chain.chain_id,
            lock_hash=self.settings.lock.lock_hash,
            round_timeout_ms=chain.round_timeout_ms,
            round_timeout_cap_ms=chain.round_timeout_cap_ms,
            seconds_per_slot=chain.seconds_per_slot,
            index=self.index,
            term=Term(0),
            decided_height=Height(0),
        )
        self.transport = Transport(
            identity=self.settings.tls,
            hello=lambda: self.hello,
            metrics=Metrics(),
            log=Logger("p2p"),
            host=self.settings.p2p_host,
            port=self.settings.p2p_port,
            peers=self.settings.peers,
            now=network.now,
        )

    def link_up(self, peer: OperatorIndex, hello: Hello) -> None: ...

    def link_down(self, peer: OperatorIndex) -> None: ...

    def peer_lost(self, peer: OperatorIndex) -> None: ...

    def peer_heard(self, peer: OperatorIndex) -> None: ...

    def clock_told(self, peer: OperatorIndex, clock_s: float, round_trip_s: float) -> None: ...

    def received(self, peer: OperatorIndex, body: bytes) -> None:
        self.heard.append((peer, decode_message(body)))

    def says(self, message: WireMessage) -> None:
        self.transport.broadcast(encode_message(message), height=None)

    def sign(self, payload: Payload) -> bytes:
        digest = signing_digest(genesis_validators_root(self.settings.lock), payload)
        return self.settings.identity.sign(digest)


@pytest.fixture
async def puppet(network: Network) -> AsyncIterator[Callable[[int, int], Any]]:
    """puppet(index, links) -> Puppet whose links to that many running operators are up."""
    async with AsyncExitStack() as stack:
        group = await stack.enter_async_context(asyncio.TaskGroup())

        async def start(index: int, links: int) -> Puppet:
            made = Puppet(network, index)
            await made.transport.start(made)
            task = group.create_task(made.transport.run())
            stack.callback(task.cancel)
            await eventually(lambda: len(made.transport.up_peers()) == links)
            # Each operator says its status once a second: the links towards the puppet are up too.
            await eventually(lambda: len({peer for peer, _ in made.heard}) == links)
            return made

        yield start


@pytest.fixture
def network(cluster: Cluster, tmp_path: Path) -> Network:
    return Network(cluster, tmp_path, ports.free_ports(4))


@pytest.fixture
async def running(network: Network) -> AsyncIterator[Callable[..., Any]]:
    """running(index, **options) -> Operator, stopped at the end of the test."""
    async with AsyncExitStack() as stack:

        async def start(index: int, **options: Any) -> Operator:
            return await stack.enter_async_context(network.operator(index, **options))

        yield start


@pytest.fixture
def lock(cluster: Cluster) -> ClusterLock:
    return load_lock(cluster.folder / "cluster-lock.json")


@pytest.fixture(name="eventually")
def _eventually() -> Callable[..., Any]:
    return eventually


@pytest.fixture
def free_port() -> Callable[[], int]:
    return ports.free_port
