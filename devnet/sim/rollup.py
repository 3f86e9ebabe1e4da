"""An operator's rollup node, as its middleware sees it: `/dst/v1` and the part of the Beacon API
that duties need. Judges like the real one, takes time, and is away now and then.

It is a program of its own: it outlives its middleware, and may lose what it held.
"""

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import Protocol

from devnet.sim import blocks, chain, ideal
from devnet.sim.l1 import CONFIRMATIONS, L1, L1Node
from dst.apis.beacon import ProduceRequest, WireBlock
from dst.apis.dst_v1 import DecidedBlock, Event, OutOfOrder, Status
from dst.l1.source import L1Source
from dst.l1.view import CanonicalChain
from dst.qbft.messages import Certificate
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.spec.errors import InvalidInput, ResetRequired, Unavailable
from dst.spec.judgement import Judgement, Verdict
from dst.spec.primitives import BLSSignature, Height, Round


class Trouble(Protocol):
    """What makes it slow, or absent."""

    def rollup_delay_us(self) -> int: ...
    def rollup_is_away(self) -> bool: ...
    def slot_now(self) -> int: ...
    def l1_moment_us(self) -> int: ...


def is_of_height(block: blocks.Block, height: Height) -> bool:
    """A rule of its own, so that a mutant can take it away."""
    return block.height == height


class SimRollup:
    """l1: the node that it asks, through the shipped source and when it needs to know. reset: while
    that node is on a fork that lacks an origin of ours. has_seen_l1: False before its first look at
    L1, since which it may build and judge.

    Left out: what L1 at large drops halts a cluster for good, and the run would say nothing more.
    """

    def __init__(
        self,
        *,
        name: str,
        l1: L1,
        rng: Random,
        trouble: Trouble,
        is_certified: Callable[[Certificate], bool],
    ) -> None:
        self._name, self._at_large, self._rng, self._trouble = name, l1, rng, trouble
        self.l1 = L1Node()
        self._source = L1Source(self.l1, chain.CONFIG, Logger("l1"), Metrics())
        self._must_look = False
        self._is_certified = is_certified
        self.chain: list[DecidedBlock] = []
        self.sealed: dict[Height, BLSSignature] = {}
        self.reset: ResetRequired | None = None
        self.has_seen_l1 = True
        self._builds = 0

    def lose(self, kept: int) -> None:
        """An old copy of its data comes back: blocks above `kept` are gone."""
        del self.chain[kept:]
        self.sealed = {height: each for height, each in self.sealed.items() if height <= kept}

    def leave_l1(self, first: Height) -> None:
        """The L1 node is on a fork that lacks the origins of our blocks from there on; all have the
        genesis of L1."""
        above = self.chain[first - 1].block if first <= len(self.chain) else self.head
        number = blocks.decode(above).origin_number
        self.l1.leave(number if first <= len(self.chain) else number + 1)

    @property
    def head(self) -> bytes:
        return self.chain[-1].block if self.chain else blocks.GENESIS_BYTES

    # --- /dst/v1

    async def status(self) -> Status:
        await self._call()
        view = await self._look_at_l1()
        return Status(
            decided_height=len(self.chain),
            decided_slot=blocks.decode(self.head).slot,
            decided_root="0x" + blocks.root_of(self.head).hex(),
            sealed_height=max(self.sealed, default=0),
            unsafe=len(self.chain),
            safe=0,
            finalized=0,
            l1_head=0,
            reset_height=None if self.reset is None else self.reset.first_affected_height,
            lowest_unsealed_height=next(
                height for height in range(1, len(self.chain) + 2) if height not in self.sealed
            ),
            ready=self.has_seen_l1 and view is not None and self.reset is None,
        )

    async def decided(self, decided: DecidedBlock) -> Height:
        await self._call()
        height = decided.certificate.height
        root = blocks.root_of(decided.block)
        head = len(self.chain)
        if height <= head:
            if self.chain[height - 1].certificate.root != root:
                raise InvalidInput(f"two certificates decide height {height}")
            return Height(head)
        await self._require_moving()
        if height > head + 1:
            raise OutOfOrder(Height(head))
        if decided.certificate.root != root or not self._is_certified(decided.certificate):
            raise InvalidInput("certificate: it proves no decision of this block")
        if blocks.decode(decided.block).parent != blocks.root_of(self.head):
            raise InvalidInput("decided block does not extend the decided head")
        self.chain.append(decided)
        self._must_look = True
        return height

    async def validate(
        self,
        block: bytes,
        *,
        height: Height,
        round_: Round,
        justified: bool,
        deadline_ms: int | None,
    ) -> Judgement:
        await self._require_moving()
        decoded = blocks.decode(block)
        try:
            async with asyncio.timeout(None if deadline_ms is None else deadline_ms / 1000):
                await self._call()
        except TimeoutError:
            return Judgement(Verdict.HOLD, "execution not finished before the deadline")
        if not justified and not self.has_seen_l1:
            return Judgement(Verdict.HOLD, "L1 was not seen yet")
        if not is_of_height(decoded, height):
            return Judgement(
                Verdict.INVALID, f"block {decoded.height} is proposed at height {height}"
            )
        if decoded.height <= len(self.chain):
            return Judgement(Verdict.INVALID, f"height {decoded.height} is decided already")
        if decoded.height > len(self.chain) + 1:
            return Judgement(Verdict.HOLD, f"decided head is {len(self.chain)} here")
        verdict = blocks.check_deterministic(self.head, decoded)
        if verdict is Verdict.VALID and not justified:
            view = await self._look_at_l1()
            verdict = blocks.check_view(self.head, decoded, view, self._trouble.slot_now())
        return Judgement(verdict)

    async def push_events(self, events: Sequence[Event]) -> None:
        await self._call()

    # --- Beacon API

    async def produce_block(self, request: ProduceRequest) -> bytes | None:
        await self._call()
        view = await self._require_moving()
        if not self.has_seen_l1:
            raise Unavailable("L1 was not seen yet")
        above = blocks.decode(self.head)
        slot_now = self._trouble.slot_now()
        if request.slot <= above.slot:
            return None
        if abs(request.slot - slot_now) > 1:
            raise InvalidInput(f"slot {request.slot} is not the current slot {slot_now}")
        self._builds += 1
        salt = f"{self._name} {self._builds}".encode()
        return blocks.build(self.head, view, request.slot, salt)

    async def publish_block(self, block: WireBlock) -> None:
        await self._call()
        await self._require_moving()
        root = blocks.root_of(block.message)
        if not ideal.verify_group(ideal.signing_root(root), block.signature):
            raise InvalidInput("the group key did not sign this block")
        height = Height(blocks.decode(block.message).height)
        if height > len(self.chain):
            raise Unavailable(f"height {height} is not decided here yet")
        if self.chain[height - 1].certificate.root != root:
            raise InvalidInput(f"another block is decided at height {height}")
        self.sealed[height] = block.signature

    async def _call(self) -> None:
        await asyncio.sleep(self._trouble.rollup_delay_us() / 1e6)
        if self._trouble.rollup_is_away():
            raise Unavailable("the rollup node is away")

    async def _require_moving(self) -> CanonicalChain | None:
        view = await self._look_at_l1()
        if self.reset is not None:
            raise self.reset
        return view

    # --- L1

    async def _look_at_l1(self) -> CanonicalChain | None:
        """As it is now; as it was when the node last spoke; None when it never did."""
        self.l1.follow(self._at_large, self._trouble.l1_moment_us())
        try:
            await self._source.poll(self._l1_moved)
        except Unavailable:
            return self._source.chain
        view = self._source.chain
        if view is not None and self._must_look:
            self._look_for_origins(view)
        return view

    def _l1_moved(self, reorged: bool) -> None:
        self._must_look |= reorged or self.reset is not None

    def _look_for_origins(self, view: CanonicalChain) -> None:
        """The first block whose origin our node does not show any more stops us, until it shows all
        of them, deep enough. A node that is behind proves nothing, and is asked again."""
        affected: int | None = None
        for height in range(len(self.chain), 0, -1):
            block = blocks.decode(self.chain[height - 1].block)
            if view.at(block.origin_number) is None:
                return
            if blocks.shows(view, block):
                break
            if self.l1.is_at_large(block.origin_number, block.origin_fork):
                affected = height
        self._must_look = False
        deepest = view.head.number - CONFIRMATIONS
        if affected is not None:
            self.reset = ResetRequired(affected, "our L1 node does not have its origin")
        elif self.reset and blocks.decode(self.head).origin_number <= deepest:
            self.reset = None
