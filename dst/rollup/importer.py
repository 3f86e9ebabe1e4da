"""Outside the cluster: take blocks that a group signature covers, and nothing else.

A run is a chain of blocks on our head whose last one is sealed; it commits to the others through
`parent_root`. Every block is judged by the deterministic rules and executed before it is kept.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from dst.apis.beacon import WireBlock
from dst.apis.dst_v1 import EventKind
from dst.derivation.frame import MAX_BLOCKS
from dst.l1.source import L1Source
from dst.rollup.chain import Chain, wire_of
from dst.rollup.engine_controller import EngineController
from dst.rollup.events import BeaconBus, EventRing, block_event, head_event
from dst.rollup.evidence import Claim
from dst.rollup.halting import Halting
from dst.rollup.origins import judge_deterministic
from dst.rollup.store import StoredBlock
from dst.runtime.log import Logger
from dst.spec.beacon import BeaconBlock
from dst.spec.cluster import ClusterLock
from dst.spec.errors import InvalidInput, Unavailable
from dst.spec.primitives import G2_POINT_AT_INFINITY, BLSSignature, Height, Root


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A decoded block of a run; `signature` is verified, or None."""

    block: BeaconBlock
    root: Root
    message: bytes
    signature: BLSSignature | None

    @property
    def height(self) -> Height:
        return Height(self.block.body.execution_payload.block_number)

    @property
    def wire(self) -> WireBlock:
        return WireBlock(message=self.message, signature=self.signature or G2_POINT_AT_INFINITY)


class Importer:
    """The one writer of a follower's chain."""

    def __init__(
        self,
        *,
        lock: ClusterLock,
        chain: Chain,
        execution: EngineController,
        l1: L1Source,
        ring: EventRing,
        bus: BeaconBus,
        halting: Halting,
        log: Logger,
    ) -> None:
        self._lock, self._chain, self._execution, self._l1 = lock, chain, execution, l1
        self._ring, self._bus, self._halting, self._log = ring, bus, halting, log
        self._moving = asyncio.Lock()

    async def import_run(self, run: Sequence[Candidate], source: str) -> None:
        """Import what is new of a run whose last block is sealed.

        Raises: InvalidInput when a block breaks a rule or the run conflicts with our chain
        (evidence
        is written then); Unavailable while the engine or L1 is away, or after a halt.
        """
        assert run, "a run has at least one block"
        assert run[-1].signature is not None, "a run ends in a sealed block"
        assert len(run) <= MAX_BLOCKS, "a seal covers at most 64 ancestors"
        async with self._moving:
            self._halting.require_moving()
            new = self._new_part(run, source)
            for candidate in new:
                await self._import(candidate)
            if new:
                await self._announce(new[-1])

    def _new_part(self, run: Sequence[Candidate], source: str) -> Sequence[Candidate]:
        for position, candidate in enumerate(run):
            known = self._chain.store.by_height(candidate.height)
            if known is None:
                return run[position:]
            if known.root != candidate.root:
                self._report_conflict(known, run[position:], source)
            elif candidate.signature is not None and known.signature is None:
                self._chain.seal(known, candidate.signature)
        return ()

    def _report_conflict(
        self, known: StoredBlock, theirs: Sequence[Candidate], source: str
    ) -> None:
        self.report_double(known.height, theirs, source)
        raise InvalidInput(f"conflicts with our block at height {known.height}")

    def report_double(self, height: Height, theirs: Sequence[Candidate], source: str) -> None:
        """Two blocks at `height`, each covered by a valid seal: evidence, and the node stops."""
        cover = self._chain.store.first_sealed_from(height)
        last = self._chain.head.height if cover is None else cover.height
        ours = tuple(wire_of(stored) for stored in self._chain.store.range(height, last))
        what = f"two signed blocks at height {height}"
        claims = (
            Claim(blocks=ours, source="own chain"),
            Claim(blocks=tuple(each.wire for each in theirs), source=source),
        )
        self._halting.stop_on_evidence(height, claims, what)

    async def _import(self, candidate: Candidate) -> None:
        head = self._chain.head
        if candidate.block.parent_root != head.root:
            raise InvalidInput(f"block {candidate.height} does not extend our head {head.height}")
        judgement = await judge_deterministic(
            self._lock, self._l1, head, candidate.block, l1_optional=True
        )
        if not judgement.is_valid:
            raise InvalidInput(f"sealed block {candidate.height}: {judgement.reason}")
        await self._execution.execute(candidate.block)
        self._chain.append(candidate.block, candidate.root, signature=candidate.signature)
        self._ring.emit(
            EventKind.IMPORTED,
            height=candidate.height,
            root=candidate.root,
            slot=candidate.block.slot,
            sealed=candidate.signature is not None,
        )
        self._bus.publish(block_event(candidate.block.slot, candidate.root))

    async def _announce(self, newest: Candidate) -> None:
        block = newest.block
        self._log.info("imported", height=newest.height, slot=block.slot, root=newest.root)
        self._bus.publish(
            head_event(block.slot, newest.root, block.state_root, self._chain.genesis_root)
        )
        try:
            await self._execution.announce()
        except Unavailable as error:
            self._log.warning("announce_failed", error=str(error))
