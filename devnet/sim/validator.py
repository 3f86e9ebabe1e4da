"""An operator's validator client, and what its middleware tells it: small fakes of
`dst.validator.client` and `dst.middleware.validator_api` over the simulator's blocks and ideal
signatures.

The client asks for one slot after the other, and for the next one when this has its answer; the
real one has many questions open. What it signs, refuses, keeps on record and says again is the
same (tests/unit/sim/test_validator_contract.py holds both to it).
"""

from collections.abc import Callable
from typing import Final, Protocol

from devnet.sim import blocks, ideal
from dst.apis.beacon import ProduceRequest, WireBlock
from dst.middleware.validator_api import SLOT_BYTES, DecidedView, OnPartial
from dst.runtime.backoff import CAP_S
from dst.slashing.rules import check_block
from dst.spec.errors import InvalidInput, ResetRequired, Unavailable
from dst.spec.primitives import BLSSignature, OperatorIndex, Root, Slot
from dst.validator.client import FULL_RETRY_S, HALT_DELAY_S, REFUSAL_DELAY_S, RESIGN_SLOTS

WATERMARK: Final = Slot(0)
"""Of a new store: genesis, which is never signed."""


class Duties:
    """Answers from decisions; a question waits for its answer as long as that takes, where the real
    API lets the client ask again."""

    def __init__(self, index: OperatorIndex, decided: DecidedView, on_partial: OnPartial) -> None:
        self._sign = ideal.partial_signer(index)
        self._decided, self._on_partial = decided, on_partial

    async def produce_block(self, request: ProduceRequest) -> bytes | None:
        decided, slot = self._decided, request.slot
        while True:
            self._require_no_reset()
            if not decided.is_syncing and slot <= decided.head_slot:
                break
            await decided.changed()
        found = decided.at_slot(slot)
        return None if found is None or slot <= decided.sign_above else found.block

    async def publish_block(self, block: WireBlock) -> None:
        self._require_no_reset()
        slot = Slot(int.from_bytes(block.message[SLOT_BYTES], "little"))
        found = self._decided.at_slot(slot)
        if found is None or found.block != block.message:
            raise InvalidInput(f"not the block that the cluster decided for slot {slot}")
        if block.signature != self._sign(ideal.signing_root(found.root)):
            raise InvalidInput("not a signature by this operator's share")
        await self._on_partial(found.height, found.root, block.signature)

    def _require_no_reset(self) -> None:
        if self._decided.reset is not None:
            raise self._decided.reset


class Beacon(Protocol):
    """What the client asks."""

    async def produce_block(self, request: ProduceRequest) -> bytes | None: ...
    async def publish_block(self, block: WireBlock) -> None: ...


class Machine(Protocol):
    """What the client runs on."""

    @property
    def is_full(self) -> bool:
        """Of the disk: nothing can be recorded."""

    async def pause(self, delay_us: int) -> None: ...
    async def take_time_to_sign(self, slot: Slot) -> None: ...


class SimValidator:
    """signed: slot -> root, the slashing protection, which outlives it. released: told of each
    signature before anybody else has it."""

    def __init__(
        self,
        *,
        beacon: Beacon,
        machine: Machine,
        signed: dict[Slot, Root],
        sign: Callable[[Root], BLSSignature],
        released: Callable[[bytes], None],
    ) -> None:
        self._beacon, self._machine, self._signed = beacon, machine, signed
        self._sign, self._released = sign, released

    async def run(self) -> None:
        """Until cancelled. A crash may have fallen between a record and its signature, so the
        newest slots are asked for again."""
        slot = Slot(max(1, max(self._signed, default=0) - RESIGN_SLOTS + 1))
        while True:
            message = await self._ask(slot)
            if message is not None:
                await self._sign_and_publish(slot, message)
            slot = Slot(slot + 1)

    async def _ask(self, slot: Slot) -> bytes | None:
        while True:
            try:
                return await self._beacon.produce_block(ProduceRequest(slot=slot))
            except Unavailable:
                await self._wait(CAP_S)
            except ResetRequired:
                await self._wait(HALT_DELAY_S)
            except InvalidInput:
                await self._wait(REFUSAL_DELAY_S)

    async def _sign_and_publish(self, slot: Slot, message: bytes) -> None:
        try:
            if blocks.decode(message).slot != slot:
                raise InvalidInput(f"asked for slot {slot}, got another one's block")
            root = blocks.root_of(message)
            await self._machine.take_time_to_sign(slot)
            await self._record(slot, root)
        except InvalidInput:
            return
        self._released(message)
        await self._publish(WireBlock(message=message, signature=self._sign(root)))

    async def _record(self, slot: Slot, root: Root) -> None:
        """By the shipped rule; nothing is signed before there is room for it."""
        at_slot = [self._signed[slot]] if slot in self._signed else []
        if refusal := check_block(slot, root, at_slot=at_slot, minimum=WATERMARK):
            raise InvalidInput(f"slashing protection: {refusal} at slot {slot}")
        while self._machine.is_full:
            await self._wait(FULL_RETRY_S)
        self._signed[slot] = root

    async def _publish(self, block: WireBlock) -> None:
        while True:
            try:
                return await self._beacon.publish_block(block)
            except Unavailable:
                await self._wait(CAP_S)
            except ResetRequired:
                await self._wait(HALT_DELAY_S)
            except InvalidInput:
                return

    async def _wait(self, seconds: float) -> None:
        await self._machine.pause(round(seconds * 1e6))
