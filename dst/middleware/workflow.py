"""Who hears of what: the one place where the parts of the middleware meet."""

import asyncio
from typing import Protocol, assert_never

from dst.apis.dst_v1 import EventKind
from dst.middleware.consensus import Consensus, Observe
from dst.middleware.importer import Importer
from dst.middleware.outcomes import (
    CertificateFound,
    HeightDecided,
    HeightSealed,
    NoResetSeen,
    Outcome,
    ResetSeen,
    SignatureFound,
)
from dst.middleware.progress import Progress
from dst.middleware.sealing import Sealing
from dst.spec.errors import ResetRequired
from dst.spec.primitives import Height


class Links(Protocol):
    def raise_floor(self, height: Height) -> None: ...


class OutcomeQueue:
    """`Outcomes`. What fills it is bounded before: one decision or answer at a time."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Outcome] = asyncio.Queue()

    def put(self, outcome: Outcome) -> None:
        self._queue.put_nowait(outcome)

    async def get(self) -> Outcome:
        return await self._queue.get()


class Workflow:
    def __init__(
        self,
        *,
        outcomes: OutcomeQueue,
        consensus: Consensus,
        sealing: Sealing,
        importer: Importer,
        progress: Progress,
        links: Links,
        observe: Observe,
    ) -> None:
        self._outcomes, self._consensus, self._sealing = outcomes, consensus, sealing
        self._importer, self._progress = importer, progress
        self._links, self._observe = links, observe

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._route(await self._outcomes.get())

    async def _route(self, outcome: Outcome) -> None:
        match outcome:
            case HeightDecided(certificate=certificate):
                self._sealing.decided(certificate)
                self._importer.wake()
                self._links.raise_floor(certificate.height)
            case HeightSealed():
                self._importer.wake()
            case CertificateFound(peer=peer, certificate=certificate):
                self._consensus.certificate_received(
                    peer, certificate, outcome.block, outcome.size_bytes
                )
            case SignatureFound(peer=peer, certificate=certificate, signature=signature):
                self._sealing.group_signature_received(peer, certificate, signature)
            case ResetSeen(error=error):
                await self._halt(error)
            case NoResetSeen():
                await self._resume()
            case _:
                assert_never(outcome)

    async def _halt(self, error: ResetRequired) -> None:
        halt = await self._progress.halt(error)
        if halt is not None:
            self._observe(EventKind.RESET, height=halt.height, detail=halt.detail)

    async def _resume(self) -> None:
        halt = await self._progress.resume()
        if halt is not None:
            self._observe(EventKind.RESET_ENDED, height=halt.height)
            self._sealing.resume()
