"""An operator's rollup node, as its middleware sees it: `/dst/v1` and the part of the Beacon API
that duties need. Judges like the real one, takes time, and is away now and then.

It is a program of its own: it outlives its middleware, and may lose what it held.
"""

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import Protocol

from devnet.sim import blocks, ideal
from devnet.sim.l1 import L1
from dst.apis.beacon import ProduceRequest, WireBlock
from dst.apis.dst_v1 import DecidedBlock, Event, OutOfOrder, Status
from dst.qbft.messages import Certificate
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
    """reset: set while this operator's own L1 node is on a fork that lacks an origin of ours.
    has_seen_l1: False before its first look at L1, since which it may build and judge.
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
        self._name, self._l1, self._rng, self._trouble = name, l1, rng, trouble
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

    @property
    def head(self) -> bytes:
        return self.chain[-1].block if self.chain else blocks.GENESIS_BYTES

    # --- /dst/v1

    async def status(self) -> Status:
        await self._call()
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
            ready=self.has_seen_l1 and self.reset is None,
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
        self._require_moving()
        if height > head + 1:
            raise OutOfOrder(Height(head))
        if decided.certificate.root != root or not self._is_certified(decided.certificate):
            raise InvalidInput("certificate: it proves no decision of this block")
        if blocks.decode(decided.block).parent != blocks.root_of(self.head):
            raise InvalidInput("decided block does not extend the decided head")
        self.chain.append(decided)
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
        self._require_moving()
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
            slot, moment = self._trouble.slot_now(), self._trouble.l1_moment_us()
            verdict = blocks.check_view(self.head, decoded, self._l1, slot, moment)
        return Judgement(verdict)

    async def push_events(self, events: Sequence[Event]) -> None:
        await self._call()

    # --- Beacon API

    async def produce_block(self, request: ProduceRequest) -> bytes | None:
        await self._call()
        self._require_moving()
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
        moment = self._trouble.l1_moment_us()
        return blocks.build(self.head, self._l1, request.slot, moment, salt)

    async def publish_block(self, block: WireBlock) -> None:
        await self._call()
        self._require_moving()
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

    def _require_moving(self) -> None:
        if self.reset is not None:
            raise self.reset
