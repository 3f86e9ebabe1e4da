"""The driver of a cluster member: it builds, judges and keeps blocks for its own middleware.

The decided head moves by `decided` alone, one height after another; `publish` adds the group's
signature to a decided block. Nothing here votes or signs.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from dst.apis.beacon import ProduceRequest, WireBlock
from dst.apis.dst_v1 import DecidedBlock, EventKind, OutOfOrder
from dst.apis.engine import PayloadStatusKind
from dst.l1.source import L1Source
from dst.l1.view import select_origin
from dst.rollup.chain import Chain, Head, wire_of
from dst.rollup.engine_controller import Aborted, EngineController, InvalidPayload, describe
from dst.rollup.events import BeaconBus, EventRing, block_event, head_event
from dst.rollup.evidence import Claim
from dst.rollup.halting import Halting
from dst.rollup.importer import Candidate
from dst.rollup.origins import judge_deterministic
from dst.rollup.reset_watch import ResetWatch
from dst.rollup.store import StoredBlock
from dst.rollup.trust import CertificateVerifier, VerifySeal
from dst.rollup.wrapping import build_attributes, decode_block, wrap
from dst.runtime.crash_points import crash_point
from dst.runtime.log import Logger
from dst.runtime.machine import wall_clock
from dst.runtime.metrics import Metrics
from dst.spec import rules, ssz
from dst.spec.beacon import BeaconBlock, L1Origin
from dst.spec.cluster import ClusterLock
from dst.spec.errors import InvalidInput, Unavailable
from dst.spec.judgement import Judgement, Verdict
from dst.spec.primitives import G2_POINT_AT_INFINITY, BLSSignature, Height, Root, Round, Slot


class Operator:
    """Blocks in from the middleware, blocks out to it; the engine and L1 behind."""

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
        watch: ResetWatch,
        verify_seal: VerifySeal,
        certificates: CertificateVerifier,
        log: Logger,
        metrics: Metrics,
        now: Callable[[], float] = wall_clock,
    ) -> None:
        self._lock, self._chain, self._execution, self._l1 = lock, chain, execution, l1
        self._ring, self._bus, self._halting, self._watch = ring, bus, halting, watch
        self._verify_seal, self._certificates = verify_seal, certificates
        self._log, self._metrics, self._now = log, metrics, now
        self.sealed: Final = asyncio.Event()
        """Set when the newest sealed block moved; who waits for that clears it."""
        self._moving = asyncio.Lock()
        origin = chain.store.origin()
        if origin is not None:
            l1.remember(origin)  # so that an L1 outage does not hide how old it is

    @property
    def is_ready(self) -> bool:
        """Whether it could build and judge a block since its start: L1 was there, and no halt."""
        return self._watch.has_looked and not self._halting.is_halted

    def _require_moving(self) -> None:
        """Raises: ResetRequired, Unavailable when the chain may not move."""
        self._halting.require_moving()
        self._watch.require_looked()

    # --- produce ---

    async def produce(self, request: ProduceRequest) -> bytes | None:
        """SSZ of a block for this slot on the decided head; None when the slot is over.

        Raises: InvalidInput for a slot that is not now; Unavailable while L1 or the engine is.
        """
        self._require_moving()
        head = self._chain.head
        current = rules.slot_at(self._lock.chain, self._now())
        if request.slot <= head.block.slot:
            return None
        if abs(request.slot - current) > 1:
            raise InvalidInput(f"slot {request.slot} is not the current slot {current}")
        origin = self._origin_after(head.block.l1_origin)
        started = time.monotonic()
        empty = request.no_tx_pool or await self._is_drifted(request.slot, origin)
        block = await self._build(head, request.slot, origin, no_tx_pool=empty)
        if len(block) > self._lock.chain.max_block_bytes and not empty:
            self._log.warning("block_too_large", slot=request.slot, size=len(block))
            block = await self._build(head, request.slot, origin, no_tx_pool=True)
        self._metrics.observe("produce", time.monotonic() - started)
        return block

    def _origin_after(self, parents: L1Origin) -> L1Origin:
        """Raises: Unavailable before the first look at L1; where L1 is out, the parent's has to
        do."""
        if self._l1.is_out_since_start:
            return parents
        if self._l1.chain is None:
            raise Unavailable("L1 has not answered yet: no origin to build on")
        return select_origin(self._lock.chain, self._l1.chain, parents)

    async def _build(self, head: Head, slot: Slot, origin: L1Origin, *, no_tx_pool: bool) -> bytes:
        attributes = build_attributes(self._lock, slot, origin, no_tx_pool=no_tx_pool)
        built = await self._execution.build(attributes)
        if built.payload.parent_hash != head.execution_hash:
            raise Unavailable("the head moved while the payload was built")
        return ssz.encode(wrap(self._lock, head.root, slot, origin, built))

    async def _is_drifted(self, slot: Slot, origin: L1Origin) -> bool:
        """Whether the block's time leaves no room for mempool transactions on its origin."""
        ref = await self._l1.ref_by_hash(origin.hash)
        if ref is None:
            raise Unavailable("the L1 origin's time is not known yet")
        drift = rules.timestamp_at(self._lock.chain, slot) - ref.timestamp
        return drift > self._lock.chain.max_sequencer_drift

    # --- validate ---

    async def validate(
        self,
        data: bytes,
        *,
        height: Height,
        round_: Round,
        justified: bool,
        deadline_ms: int | None,
    ) -> Judgement:
        """Judge a proposal. HOLD: not yet, ask again; a deadline that passes is a HOLD too."""
        self._halting.require_moving()
        block, root = decode_block(data)
        try:
            if not justified:
                self._watch.require_looked()
            async with asyncio.timeout(None if deadline_ms is None else deadline_ms / 1000):
                result = await self._judge(block, height, justified=justified)
        except (TimeoutError, Aborted):
            result = Judgement(Verdict.HOLD, "execution not finished before the deadline")
        except Unavailable as error:
            result = Judgement(Verdict.HOLD, str(error))
        if result.status is Verdict.INVALID:
            self._metrics.inc("proposals_refused_total")
            self._ring.emit(
                EventKind.REFUSED,
                height=height,
                round_=round_,
                root=root,
                slot=block.slot,
                reason=result.reason,
            )
        return result

    async def _judge(self, block: BeaconBlock, height: Height, *, justified: bool) -> Judgement:
        """Against our head once that is what the cluster decided below `height`. While it is being
        imported, its own block and every sibling of it look like the next one here."""
        head = self._chain.head
        number = block.body.execution_payload.block_number
        if number != height:
            return Judgement(Verdict.INVALID, f"block {number} is proposed at height {height}")
        if height <= head.height:
            return Judgement(Verdict.INVALID, f"height {height} is decided already")
        if height > head.height + 1:
            return Judgement(Verdict.HOLD, f"decided head is {head.height} here")
        judgement = await judge_deterministic(
            self._lock, self._l1, head, block, l1_optional=justified
        )
        if judgement.is_valid and not justified:
            judgement = await self._check_view(block, head)
        if not judgement.is_valid:
            return judgement
        return await self._judge_execution(block, justified=justified)

    async def _check_view(self, block: BeaconBlock, parent: Head) -> Judgement:
        """Where L1 is out, the origin of the decided parent needs no look: f+1 honest operators had
        one, and if L1 dropped it since, the parent is lost as well (docs/consensus.md, 'A restart
        while L1 is out')."""
        head_number, l1 = self._l1.head_number, None
        if head_number is not None:
            canonical = await self._l1.canonical_hash(block.l1_origin.number)
            l1 = rules.L1View(head_number=head_number, hash_at_origin=canonical)
        elif block.l1_origin != parent.block.l1_origin:
            return Judgement(Verdict.HOLD, "L1 has not answered yet")
        return rules.check_view(self._lock.chain, block, now=self._now(), l1=l1)

    async def _judge_execution(self, block: BeaconBlock, *, justified: bool) -> Judgement:
        if justified:
            try:
                await self._execution.execute(block)
            except InvalidPayload as error:
                return Judgement(Verdict.INVALID, str(error))
            return Judgement(Verdict.VALID)
        status = await self._execution.validate(block)
        match status.status:
            case PayloadStatusKind.VALID:
                return Judgement(Verdict.VALID)
            case PayloadStatusKind.INVALID:
                reason = f"execution: {status.validation_error or 'invalid'}"
                return Judgement(Verdict.INVALID, reason)
            case _:
                return Judgement(Verdict.HOLD, describe(status))

    # --- decided ---

    async def decided(self, decided: DecidedBlock) -> Height:
        """Take the next decided block: verify, execute to the end, store, announce. Idempotent.

        Raises: InvalidInput for a bad certificate; OutOfOrder; ResetRequired; Unavailable.
        """
        block, root = decode_block(decided.block)
        height = Height(block.body.execution_payload.block_number)
        if decided.certificate.height != height:
            raise InvalidInput("certificate: it decides another height than the block's")
        async with self._moving:
            if height <= self._chain.head.height:
                self._check_known(height, root, decided)
                return self._chain.head.height
            self._halting.require_moving()
            if height > self._chain.head.height + 1:
                raise OutOfOrder(self._chain.head.height)
            self._certificates.check(decided.certificate, root)
            await self._import(block, root, decided)
        crash_point("block-before-forkchoice")
        await self._announce()
        return height

    def _check_known(self, height: Height, root: Root, decided: DecidedBlock) -> None:
        known = self._chain.store.by_height(height)
        assert known is not None, "every height up to the head is stored"
        if known.root == root:
            return
        self._certificates.check(decided.certificate, root)
        ours = Claim(blocks=(wire_of(known),), source="own store")
        theirs = Claim(
            blocks=(WireBlock(message=decided.block, signature=G2_POINT_AT_INFINITY),),
            source="middleware, with a valid certificate",
        )
        what = f"two certificates decide height {height}"
        self._halting.stop_on_evidence(height, (ours, theirs), what)
        raise InvalidInput(what)

    async def _import(self, block: BeaconBlock, root: Root, decided: DecidedBlock) -> None:
        head = self._chain.head
        if block.parent_root != head.root:
            # A quorum decided on a parent that is not our decided one: not ours to resolve.
            raise InvalidInput("decided block does not extend the decided head")
        started = time.monotonic()
        try:
            await self._execution.execute(block)
        except InvalidPayload as error:
            self._log.error("decided_block_invalid", height=head.height + 1, error=str(error))
            raise Unavailable(f"this node's execution layer refuses the block: {error}") from error
        crash_point("block-before-store")
        certificate = msgspec.msgpack.encode(decided.certificate)
        origin = self._l1.recall(block.l1_origin.hash)
        self._chain.append(block, root, certificate=certificate, origin=origin)
        self._watch.note_appended()
        self._metrics.observe("import", time.monotonic() - started)
        self._log.debug("decided", height=self._chain.head.height, root=root)

    async def _announce(self) -> None:
        try:
            await self._execution.announce()
        except Unavailable as error:
            # The block is stored; `keep_announced` and the next block say it again.
            self._log.warning("announce_failed", error=str(error))

    # --- publish ---

    async def publish(self, wire: WireBlock) -> None:
        """Keep the group's signature of a decided block.

        Raises: InvalidInput for a bad signature or another block; Unavailable when the height is
        not decided here yet; ResetRequired, because after a reset nothing is sealed either.
        """
        self._halting.require_moving()
        block, root = decode_block(wire.message)
        if not self._verify_seal(root, wire.signature):
            raise InvalidInput("the group key did not sign this block")
        height = Height(block.body.execution_payload.block_number)
        stored = self._chain.store.by_height(height)
        if stored is None:
            raise Unavailable(
                f"height {height} is not decided here yet: send it by /dst/v1/decided"
            )
        if stored.root != root:
            self._report_double(height, stored, wire)
            raise InvalidInput(f"another block is decided at height {height}")
        if stored.signature is None:
            self._seal(stored, wire.signature, block)

    async def compare(self, candidates: Sequence[Candidate], source: str) -> None:
        """Blocks of a batch on L1 against our decided ones; a difference is evidence, and we stop.

        Raises: InvalidInput then.
        """
        for position, candidate in enumerate(candidates):
            known = self._chain.store.by_height(candidate.height)
            if known is None:
                return
            if known.root != candidate.root:
                theirs = tuple(each.wire for each in candidates[position:])
                ours = Claim(blocks=(wire_of(known),), source="own store, decided")
                what = f"the batch on L1 holds another block than the decided one at {known.height}"
                claims = (ours, Claim(blocks=theirs, source=source))
                self._halting.stop_on_evidence(known.height, claims, what)
                raise InvalidInput(what)

    def _report_double(self, height: Height, stored: StoredBlock, wire: WireBlock) -> None:
        ours = Claim(blocks=(wire_of(stored),), source="own store, decided")
        theirs = Claim(blocks=(wire,), source="published with a valid group signature")
        what = f"the group signed another block than the decided one at height {height}"
        self._halting.stop_on_evidence(height, (ours, theirs), what)

    def _seal(self, stored: StoredBlock, signature: BLSSignature, block: BeaconBlock) -> None:
        is_newest = self._chain.seal(stored, signature)
        self._log.info(
            "sealed",
            height=stored.height,
            slot=stored.slot,
            root=stored.root,
            txs=len(block.body.execution_payload.transactions),
        )
        self._ring.emit(EventKind.SEALED, height=stored.height, root=stored.root, slot=stored.slot)
        self._bus.publish(block_event(stored.slot, stored.root))
        if is_newest:
            dependent = self._chain.genesis_root
            self._bus.publish(head_event(stored.slot, stored.root, block.state_root, dependent))
            self.sealed.set()
