"""Who is connected to whom. Everything one middleware consists of, on one screen.

rollup node ◀─ Proposals ◀─ Consensus ─▶ Sealing ◀─ ValidatorApi ◀─ validator client
     ▲                         │  ▲         │
     └──── Importer ◀── Store ◀┴──┼─────────┘
                               Router ◀─▶ Transport ◀─▶ peers
"""

import asyncio
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Final, Protocol

from aiohttp import web

import dst.qbft
from dst.apis.beacon import BeaconNode, beacon_routes
from dst.apis.dst_v1 import EventKind
from dst.crypto import secp256k1
from dst.middleware import importer as importing
from dst.middleware.catch_up import CatchUp
from dst.middleware.config import Settings
from dst.middleware.consensus import Consensus
from dst.middleware.events import EventPusher, EventSink
from dst.middleware.progress import Progress
from dst.middleware.proposals import Proposals, Validator
from dst.middleware.router import PeerLinks, Router
from dst.middleware.sealing import Sealing, sealing_config
from dst.middleware.store import Halt, Store
from dst.middleware.validator_api import ValidatorApi
from dst.p2p.handshake import PROTOCOL_VERSION, Hello
from dst.p2p.link import LinkContext
from dst.p2p.transport import Transport
from dst.qbft.justification import is_valid_certificate
from dst.qbft.messages import Certificate
from dst.runtime.http import make_app
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.spec import ssz
from dst.spec.beacon import BeaconBlock
from dst.spec.cluster import ClusterLock, genesis_validators_root
from dst.spec.errors import ResetRequired
from dst.spec.primitives import OperatorIndex, Root, Term

CACHED_SIGNATURES: Final = 8192
"""A vote is verified when it arrives, and again inside certificates and justifications."""
CACHED_ROOTS: Final = 16
"""Blocks hashed lately: own, proposed, fetched; 8 MiB at most."""


class RollupDst(importing.RollupNode, Validator, EventSink, Protocol):
    """`/dst/v1/` of the own rollup node (`DstClient`)."""


class Middleware:
    """One operator. `start` binds the links, `run` works until cancelled."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        rollup: RollupDst,
        beacon: BeaconNode,
        now: Callable[[], float] = time.time,
    ) -> None:
        lock, chain, me = settings.lock, settings.lock.chain, settings.operator
        log = Logger("middleware")
        consensus = qbft_config(settings)
        self._policy = settings.policy
        self.store, self.metrics = store, Metrics()
        self._resets: asyncio.Queue[ResetRequired | None] = asyncio.Queue()
        self.events = EventPusher(rollup, settings.name, Term(chain.term), self.metrics)
        self.progress = Progress(store, n=lock.n, term=Term(chain.term), log=log)
        self.progress.on_reset = self._tell_reset
        self.progress.on_resumed = self._resumed
        self.importer = importing.Importer(store, rollup, beacon, self._resets.put_nowait)
        self._peers = PeerLinks(log)
        self.sealing = Sealing(
            lock=lock,
            config=sealing_config(lock, me),
            store=store,
            network=self._peers,
            progress=self.progress,
            observe=self.events.emit,
            log=log,
            metrics=self.metrics,
        )
        proposals = Proposals(
            chain=chain,
            store=store,
            builder=beacon,
            validator=rollup,
            unsealed=lambda: self.sealing.unsealed,
            imported=lambda: self.importer.head,
            log=log,
            metrics=self.metrics,
            now=now,
        )
        self.consensus = Consensus(
            config=consensus,
            chain=chain,
            store=store,
            network=self._peers,
            progress=self.progress,
            proposals=proposals,
            observe=self.events.emit,
            log=log,
            metrics=self.metrics,
            now=now,
        )
        self._catch_up = CatchUp(
            store=store,
            peers=self._peers,
            progress=self.progress,
            receivers=_Receivers(self.consensus, self.sealing),
            open_block=self.consensus.open_block,
            root_of=root_of,
            is_certified=lambda certificate: is_valid_certificate(certificate, consensus),
            max_block_bytes=chain.max_block_bytes,
            log=log,
            metrics=self.metrics,
            now=time.monotonic,
        )
        router = Router(
            consensus=self.consensus,
            sealing=self.sealing,
            catch_up=self._catch_up,
            progress=self.progress,
            log=log,
            metrics=self.metrics,
        )
        self.transport = Transport(
            LinkContext(
                identity=settings.tls,
                hello=lambda: _hello(lock, me, store),
                events=router,
                metrics=self.metrics,
                log=Logger("p2p"),
            ),
            host=settings.p2p_host,
            port=settings.p2p_port,
            peers=settings.peers,
        )
        self._peers.transport = self.transport
        self.consensus.catch_up = self._catch_up
        self.consensus.on_decided = self._on_decided
        self.consensus.on_reset = self._resets.put_nowait
        self.sealing.on_sealed = self.importer.wake
        self.api = ValidatorApi(
            lock=lock,
            operator=me,
            decided=self.progress,
            rollup=beacon,
            on_partial=self.sealing.own_partial,
            now=now,
        )

    def app(self) -> web.Application:
        return make_app(self.metrics, beacon_routes(self.api), policy=self._policy)

    async def start(self) -> None:
        """Raises: BadConfig when the port is taken."""
        await self.transport.start()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for loop in (
                self.transport.run(),
                self.consensus.run(),
                self.sealing.run(),
                self.importer.run(),
                self.events.run(),
                self._catch_up.poll(),
                self._heed_l1(),
            ):
                group.create_task(loop)

    def _on_decided(self, certificate: Certificate, block: bytes) -> None:
        self.sealing.decided(certificate)
        self.importer.wake()
        self._peers.decided(certificate.height)

    async def _heed_l1(self) -> None:
        while True:
            reset = await self._resets.get()
            if reset is None:
                await self.progress.resume()
            else:
                await self.progress.halt(reset)

    def _tell_reset(self, halt: Halt) -> None:
        self.events.emit(EventKind.RESET, height=halt.height, detail=halt.detail)

    def _resumed(self, halt: Halt) -> None:
        self.events.emit(EventKind.RESET_ENDED, height=halt.height)
        self.sealing.resume()


class _Receivers:
    """What catch-up brings goes to the two shells."""

    def __init__(self, consensus: Consensus, sealing: Sealing) -> None:
        self.certificate_received = consensus.certificate_received
        self.group_signature_received = sealing.group_signature_received


def qbft_config(settings: Settings) -> dst.qbft.Config:
    """The consensus core's constants and functions over this operator's identity."""
    chain = settings.lock.chain
    identities = tuple(operator.identity for operator in settings.lock.operators)

    @lru_cache(CACHED_SIGNATURES)
    def verify(index: OperatorIndex, digest: bytes, signature: bytes) -> bool:
        return secp256k1.verify(identities[index], digest, signature)

    return dst.qbft.Config(
        genesis_validators_root=genesis_validators_root(settings.lock),
        term=Term(chain.term),
        n=settings.lock.n,
        self_index=settings.operator,
        round_timeout_ms=chain.round_timeout_ms,
        round_timeout_cap_ms=chain.round_timeout_cap_ms,
        max_block_bytes=chain.max_block_bytes,
        sign=settings.identity.sign,
        verify=verify,
        root_of=root_of,
    )


@lru_cache(CACHED_ROOTS)
def root_of(block: bytes) -> Root:
    """Hash tree root of an encoded block. Raises: InvalidInput for what is not a block."""
    return ssz.hash_tree_root(ssz.decode(BeaconBlock, block))


def _hello(lock: ClusterLock, me: OperatorIndex, store: Store) -> Hello:
    chain = lock.chain
    return Hello(
        protocol_version=PROTOCOL_VERSION,
        chain_id=chain.chain_id,
        lock_hash=lock.lock_hash,
        round_timeout_ms=chain.round_timeout_ms,
        round_timeout_cap_ms=chain.round_timeout_cap_ms,
        seconds_per_slot=chain.seconds_per_slot,
        index=me,
        term=Term(chain.term),
        decided_height=store.decided_height(),
    )
