"""Who is connected to whom. Everything one middleware consists of, on one screen.

rollup node ◀─ Proposals ◀─ Consensus ─▶ CatchUp
     ▲                         ▲  │         ▲           Outcomes ─▶ Workflow ─▶ whoever must hear
     └──── Importer ◀── Store ◀┼──┘         │
                               Router ◀─▶ Transport ◀─▶ peers
validator client ─▶ ValidatorApi ─▶ Sealing ◀┘
"""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Protocol

from aiohttp import web

import dst.qbft
import dst.sealing
from dst.apis.beacon import BeaconNode, beacon_routes
from dst.apis.drain import drain_routes
from dst.crypto.committee import committee_of
from dst.middleware import importer as importing
from dst.middleware.catch_up import CatchUp
from dst.middleware.clocks import Clocks
from dst.middleware.config import Settings
from dst.middleware.consensus import Consensus, Observe
from dst.middleware.events import EventPusher, EventSink
from dst.middleware.progress import Progress
from dst.middleware.proposals import Builder, Proposals, Validator
from dst.middleware.router import Links, PeerLinks, Router
from dst.middleware.sealing import Sealing, sealing_config, signing_root_of
from dst.middleware.store import Store
from dst.middleware.validator_api import ValidatorApi
from dst.middleware.workflow import OutcomeQueue, Workflow
from dst.p2p.handshake import PROTOCOL_VERSION, Hello
from dst.p2p.transport import Transport
from dst.qbft.justification import is_valid_certificate
from dst.runtime.http import make_app
from dst.runtime.log import Logger
from dst.runtime.machine import wall_clock
from dst.runtime.metrics import Metrics
from dst.runtime.waiting import Waiting
from dst.spec import ssz
from dst.spec.beacon import BeaconBlock
from dst.spec.cluster import ChainConfig, ClusterLock
from dst.spec.primitives import OperatorIndex, Root, Term

CACHED_ROOTS: Final = 16
"""Blocks hashed lately: own, proposed, fetched; 8 MiB at most."""


class RollupDst(importing.RollupNode, Validator, EventSink, Protocol):
    """`/dst/v1/` of the own rollup node (`DstClient`)."""


class Publisher(importing.Publisher, Builder, Protocol):
    """The Beacon API of the own rollup node (`BeaconClient`), as far as duties need it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Functions:
    """What depends on keys: the cores' constants and functions, and what shares sign."""

    qbft: dst.qbft.Config
    sealing: dst.sealing.Config
    to_sign: Callable[[Root], Root]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What one operator's shells stand on; a simulator brings its own."""

    chain: ChainConfig
    functions: Functions
    store: Store
    links: Links
    rollup: RollupDst
    beacon: Publisher
    observe: Observe
    metrics: Metrics
    now: Callable[[], float]
    """Unix seconds."""
    monotonic: Callable[[], float]
    rng: random.Random = field(default_factory=random.Random)
    """For the jitter of what is tried again."""


class Shells:
    """The shells of one operator and who hears of what. `router` hears the links; `run` works until
    cancelled."""

    def __init__(self, on: Surroundings) -> None:
        log, qbft = Logger("middleware"), on.functions.qbft
        outcomes, links = OutcomeQueue(), PeerLinks(on.links, log)
        self.importer = importer = importing.Importer(
            on.store, on.rollup, on.beacon, outcomes, on.rng
        )
        self.progress = Progress(
            on.store,
            n=qbft.n,
            term=qbft.term,
            log=log,
            ready=lambda: importer.is_ready,
        )
        self.clocks = Clocks(
            n=qbft.n,
            slot_s=on.chain.seconds_per_slot,
            now=on.now,
            log=log,
            metrics=on.metrics,
        )
        self.catch_up = CatchUp(
            store=on.store,
            peers=links,
            progress=self.progress,
            outcomes=outcomes,
            root_of=qbft.root_of,
            is_certified=lambda certificate: is_valid_certificate(certificate, qbft),
            max_block_bytes=qbft.max_block_bytes,
            log=log,
            metrics=on.metrics,
            now=on.monotonic,
        )
        self.sealing = Sealing(
            config=on.functions.sealing,
            to_sign=on.functions.to_sign,
            store=on.store,
            network=links,
            progress=self.progress,
            outcomes=outcomes,
            observe=on.observe,
            log=log,
            metrics=on.metrics,
            monotonic=on.monotonic,
        )
        proposals = Proposals(
            chain=on.chain,
            store=on.store,
            builder=on.beacon,
            validator=on.rollup,
            unsealed=lambda: self.sealing.unsealed,
            imported=lambda: self.importer.head,
            log=log,
            metrics=on.metrics,
            now=on.now,
            rng=on.rng,
        )
        self.consensus = Consensus(
            config=qbft,
            chain=on.chain,
            store=on.store,
            network=links,
            progress=self.progress,
            proposals=proposals,
            catch_up=self.catch_up,
            outcomes=outcomes,
            observe=on.observe,
            log=log,
            metrics=on.metrics,
            now=on.now,
            monotonic=on.monotonic,
        )
        self.router = Router(
            consensus=self.consensus,
            sealing=self.sealing,
            catch_up=self.catch_up,
            progress=self.progress,
            clocks=self.clocks,
            log=log,
            metrics=on.metrics,
            monotonic=on.monotonic,
        )
        self.waiting = Waiting(
            (
                on.store.waits_for,
                self.clocks.waits_for,
                self.consensus.waits_for,
                self.progress.lags,
                self.importer.waits_for,
            ),
            log=log,
            monotonic=on.monotonic,
        )
        self._workflow = Workflow(
            outcomes=outcomes,
            consensus=self.consensus,
            sealing=self.sealing,
            importer=self.importer,
            progress=self.progress,
            links=on.links,
            observe=on.observe,
        )

    def waits_for(self) -> tuple[str, ...]:
        """What this operator waits for, for a person: first, why it does not vote."""
        reason = self.progress.waits_for()
        return (() if reason is None else (reason,)) + self.waiting.told()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for loop in (
                self._workflow.run(),
                self.consensus.run(),
                self.sealing.run(),
                self.importer.run(),
                self.catch_up.poll(),
            ):
                group.create_task(loop)


class Middleware:
    """One operator. `start` binds the links, `run` works until cancelled."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        rollup: RollupDst,
        beacon: BeaconNode,
        now: Callable[[], float] = wall_clock,
        transport: Callable[..., Transport] = Transport,
    ) -> None:
        """`rollup`, `beacon`, `transport`: its neighbours, which a test bench may stand between."""
        lock, chain = settings.lock, settings.lock.chain
        self._policy, self._own_secret = settings.policy, settings.own_secret
        self.store, self.metrics = store, Metrics()
        self.events = EventPusher(rollup, settings.name, Term(chain.term), self.metrics)
        self.transport = transport(
            identity=settings.tls,
            hello=lambda: _hello(lock, settings.operator, store),
            host=settings.p2p_host,
            port=settings.p2p_port,
            peers=settings.peers,
            metrics=self.metrics,
            log=Logger("p2p"),
            now=now,
        )
        self.shells = Shells(
            Surroundings(
                chain=chain,
                functions=functions_of(settings),
                store=store,
                links=self.transport,
                rollup=rollup,
                beacon=beacon,
                observe=self.events.emit,
                metrics=self.metrics,
                now=now,
                monotonic=time.monotonic,
            )
        )
        self.api = ValidatorApi(
            lock=lock,
            operator=settings.operator,
            decided=self.shells.progress,
            rollup=beacon,
            on_partial=self.shells.sealing.own_partial,
            now=now,
        )

    def app(self) -> web.Application:
        return make_app(
            self.metrics,
            [
                *beacon_routes(self.api),
                *drain_routes(self.shells.consensus, self._own_secret),
            ],
            policy=self._policy,
            health=lambda: "; ".join(self.shells.waits_for()) or None,
            waits_for=self.shells.waits_for,
        )

    async def start(self) -> None:
        """Raises: BadConfig when the port is taken."""
        await self.transport.start(self.shells.router)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for loop in (
                self.transport.run(),
                self.shells.run(),
                self.shells.waiting.run(),
                self.events.run(),
            ):
                group.create_task(loop)


def functions_of(settings: Settings) -> Functions:
    """The cores' functions over this operator's identity and this cluster's keys."""
    lock = settings.lock
    return Functions(
        qbft=qbft_config(settings),
        sealing=sealing_config(lock, settings.operator),
        to_sign=signing_root_of(lock),
    )


def qbft_config(settings: Settings) -> dst.qbft.Config:
    chain = settings.lock.chain
    committee = committee_of(settings.lock)
    return dst.qbft.Config(
        genesis_validators_root=committee.genesis_validators_root,
        term=committee.term,
        n=committee.n,
        verify=committee.verify,
        self_index=settings.operator,
        round_timeout_ms=chain.round_timeout_ms,
        round_timeout_cap_ms=chain.round_timeout_cap_ms,
        max_block_bytes=chain.max_block_bytes,
        sign=settings.identity.sign,
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
