"""Transport keys for a handful of operators, made once per run, and a rig of live TLS links."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

from dst.p2p.handshake import PROTOCOL_VERSION, Hello
from dst.p2p.link import Peer
from dst.p2p.tls import TlsIdentity, load_identity
from dst.p2p.transport import Transport
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.spec.primitives import Height, OperatorIndex, Term


def make_transport_key(folder: Path, name: str) -> bytes:
    """Write NAME.key and NAME.crt; return the SPKI pin."""
    key = Ed25519PrivateKey.generate()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=36500))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, None)
    )
    (folder / f"{name}.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).digest()


@dataclass
class Heard:
    """Records what the links tell their owner, and wakes whoever waits for it."""

    ups: list[tuple[OperatorIndex, Hello]] = field(default_factory=list)
    downs: list[OperatorIndex] = field(default_factory=list)
    lost: list[OperatorIndex] = field(default_factory=list)
    bodies: list[tuple[OperatorIndex, bytes]] = field(default_factory=list)
    clocks: list[tuple[OperatorIndex, float, float]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def link_up(self, peer: OperatorIndex, hello: Hello) -> None:
        self.ups.append((peer, hello))
        self.changed.set()

    def link_down(self, peer: OperatorIndex) -> None:
        self.downs.append(peer)
        self.changed.set()

    def peer_lost(self, peer: OperatorIndex) -> None:
        self.lost.append(peer)
        self.changed.set()

    def peer_heard(self, peer: OperatorIndex) -> None:
        self.lost.remove(peer)
        self.changed.set()

    def clock_told(self, peer: OperatorIndex, clock_s: float, round_trip_s: float) -> None:
        self.clocks.append((peer, clock_s, round_trip_s))
        self.changed.set()

    def received(self, peer: OperatorIndex, body: bytes) -> None:
        self.bodies.append((peer, body))
        self.changed.set()

    async def until(self, condition: Callable[["Heard"], bool], within_s: float = 8) -> None:
        async with asyncio.timeout(within_s):
            while not condition(self):
                self.changed.clear()
                await self.changed.wait()


@dataclass
class Node:
    transport: Transport
    heard: Heard
    metrics: Metrics


class Keys:
    """Transport keys of op1, op2, op3 and of a stranger, with loaders for each one's view."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names = ("op1", "op2", "op3", "stranger")
        self.pins = {name: make_transport_key(folder, name) for name in self.names}

    def identity(self, own: str, others: tuple[str, ...]) -> TlsIdentity:
        return load_identity(
            own_certificate=self.folder / f"{own}.crt",
            own_key=self.folder / f"{own}.key",
            own_pin=self.pins[own],
            peers=[
                (OperatorIndex(int(name[2:]) - 1), self.folder / f"{name}.crt", self.pins[name])
                for name in others
            ],
        )


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("transport-keys"))


def hello_of(index: int, **changes: object) -> Hello:
    values: dict[str, object] = {
        "protocol_version": PROTOCOL_VERSION,
        "chain_id": 7,
        "lock_hash": b"\x11" * 32,
        "round_timeout_ms": 500,
        "round_timeout_cap_ms": 4000,
        "seconds_per_slot": 1,
        "index": OperatorIndex(index),
        "term": Term(0),
        "decided_height": Height(0),
    }
    return Hello(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture
def make_hello() -> Callable[..., Hello]:
    return hello_of


StartNode = Callable[..., Awaitable[Node]]


@pytest.fixture
async def start_node(keys: Keys) -> AsyncIterator[StartNode]:
    """start_node(index, peers={index: port}, port=0, identity=…, hello changes) -> running Node."""
    async with AsyncExitStack() as stack:

        async def start(
            index: int,
            peers: dict[int, int],
            port: int = 0,
            identity: TlsIdentity | None = None,
            **changes: object,
        ) -> Node:
            return await stack.enter_async_context(
                running_node(keys, index, peers, port, identity, changes)
            )

        yield start


@pytest.fixture
def run_node(keys: Keys) -> Callable[..., object]:
    """As `start_node`, but an async context manager: leaving it stops the node."""

    def run(index: int, peers: dict[int, int], port: int = 0, **changes: object) -> object:
        return running_node(keys, index, peers, port, None, changes)

    return run


@asynccontextmanager
async def running_node(
    keys: Keys,
    index: int,
    peers: dict[int, int],
    port: int,
    identity: TlsIdentity | None,
    changes: dict[str, object],
) -> AsyncIterator[Node]:
    others = tuple(name for name in ("op1", "op2", "op3") if name != f"op{index + 1}")
    heard, metrics = Heard(), Metrics()
    now = changes.pop("now", time.time)
    transport = Transport(
        identity=identity or keys.identity(f"op{index + 1}", others),
        hello=lambda: hello_of(**{"index": index, **changes}),  # type: ignore[arg-type]
        metrics=metrics,
        log=Logger("p2p").bind(node=f"op{index + 1}"),
        host="127.0.0.1",
        port=port,
        peers=[
            Peer(index=OperatorIndex(peer), host="127.0.0.1", port=peer_port)
            for peer, peer_port in peers.items()
        ],
        now=now,  # type: ignore[arg-type]
    )
    await transport.start(heard)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(transport.run())
        try:
            yield Node(transport, heard, metrics)
        finally:
            task.cancel()
