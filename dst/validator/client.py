"""The loop: ask the middleware for each slot's decided block, check it, sign it, hand the signature
back.

A slot is asked for until there is an answer: the block, or a definite 'no block in this slot'. A
middleware that is down costs nothing but time. What to ask is `SlotWindow`'s to say, what may be
signed the store's.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from dst.apis.beacon import ProduceRequest, Syncing, WireBlock
from dst.runtime.backoff import Backoff
from dst.runtime.crash_points import crash_point
from dst.runtime.disk import DiskFull
from dst.runtime.log import Logger
from dst.spec.beacon import SLOTS_PER_EPOCH, BeaconBlock
from dst.spec.cluster import ChainConfig
from dst.spec.errors import InvalidInput, ResetRequired, Unavailable
from dst.spec.primitives import BLSSignature, Root, Slot
from dst.spec.rules import PROPOSER_INDEX, slot_at, timestamp_at
from dst.spec.ssz import decode, hash_tree_root
from dst.validator.protection import SlashingRefused
from dst.validator.signer import Signer
from dst.validator.window import SlotWindow

T = TypeVar("T")

log = Logger("validator")

RESIGN_SLOTS: Final = 64
"""On start the newest slots on record are asked for again: a crash may have fallen between signing
and publishing.
"""
HALT_DELAY_S: Final = 2.0
"""Pause between questions while L1 is reset: nothing is to be signed until people act."""
REFUSAL_DELAY_S: Final = 1.0
"""Pause after a question that the middleware calls wrong (another version, a bad clock): it may be
mended.
"""
FULL_RETRY_S: Final = 1.0
"""A full disk is asked again this often; until it takes the record, nothing is signed."""
MIN_WAIT_S: Final = 0.001
"""Shortest wait for a slot to begin: a clock that steps back must not make the loop spin."""


class Beacon(Protocol):
    """What the client asks of the Beacon API; `BeaconClient` satisfies it."""

    async def produce_block(
        self, request: ProduceRequest, *, timeout_seconds: float
    ) -> bytes | None: ...

    async def publish_block(self, block: WireBlock) -> None: ...

    async def syncing(self) -> Syncing: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How the client meets time; tests pass their own."""

    now: Callable[[], float]
    """Unix seconds."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class WrongBlock(InvalidInput):
    """The middleware offered a block that is not for this validator and slot."""


def check_block(message: bytes, slot: Slot) -> Root:
    """Root of the offered block, after checking that it is the asked slot's and the group's to
    propose.

    Raises: WrongBlock; InvalidInput when it does not decode.
    """
    block = decode(BeaconBlock, message)
    if block.slot != slot:
        raise WrongBlock(f"asked for slot {slot}, got a block of slot {block.slot}")
    if block.proposer_index != PROPOSER_INDEX:
        raise WrongBlock(f"proposer_index is {block.proposer_index}, expected {PROPOSER_INDEX}")
    return hash_tree_root(block)


class ValidatorClient:
    """Asks, signs and publishes until cancelled."""

    def __init__(
        self, beacon: Beacon, signer: Signer, chain: ChainConfig, window: SlotWindow, timing: Timing
    ) -> None:
        self._beacon = beacon
        self._signer = signer
        self._chain = chain
        self._window = window
        self._timing = timing
        self._open: dict[Slot, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._signing = asyncio.Lock()
        self._halted = False
        self._complained = False

    async def run(self) -> None:
        """Keep the wanted slots open; wake at each slot start and at each answer."""
        async with asyncio.TaskGroup() as group:
            while True:
                current = slot_at(self._chain, self._timing.now())
                self._changed.clear()
                self._follow(self._window.wanted(current), group)
                wait = timestamp_at(self._chain, max(current, 0) + 1) - self._timing.now()
                alarm = group.create_task(self._ring(max(wait, MIN_WAIT_S)))
                await self._changed.wait()
                alarm.cancel()

    def _follow(self, wanted: list[Slot], group: asyncio.TaskGroup) -> None:
        for slot in self._open.keys() - set(wanted):
            self._open.pop(slot).cancel()
        for slot in wanted:
            if slot not in self._open:
                self._open[slot] = group.create_task(self._settle(slot))

    async def _ring(self, seconds: float) -> None:
        await self._timing.sleep(seconds)
        self._changed.set()

    async def _settle(self, slot: Slot) -> None:
        """Ask until `slot` has its answer."""
        message = await self._ask(slot)
        if message is not None:
            await self._sign_and_publish(slot, message)
        self._window.resolve(slot)
        self._open.pop(slot, None)
        self._changed.set()

    async def _ask(self, slot: Slot) -> bytes | None:
        backoff = Backoff()
        # The middleware holds the question for about a slot; only a dead link takes longer.
        patience = 2.0 * self._chain.seconds_per_slot + 5.0
        while True:
            try:
                message = await self._beacon.produce_block(
                    self._request(slot), timeout_seconds=patience
                )
                self._complained = self._halted = False
                return message
            except Unavailable as error:
                self._note_silence(error)
                await self._timing.sleep(backoff.next_delay())
            except ResetRequired as error:
                await self._halt(error)
            except InvalidInput as error:
                log.warning("question_refused", slot=slot, reason=str(error))
                await self._timing.sleep(REFUSAL_DELAY_S)

    def _note_silence(self, error: Unavailable) -> None:
        """Say once that there is nothing to sign, and again only after an answer."""
        if not self._complained:
            self._complained = True
            log.info("waiting_for_middleware", reason=str(error))

    def _request(self, slot: Slot) -> ProduceRequest:
        reveal = self._signer.randao_reveal(slot // SLOTS_PER_EPOCH)
        return ProduceRequest(slot=slot, randao_reveal=reveal)

    async def _sign_and_publish(self, slot: Slot, message: bytes) -> None:
        try:
            root = check_block(message, slot)
            signature = await self._sign(slot, root)
        except SlashingRefused as error:
            log.error("refused_to_sign", slot=slot, reason=str(error))
            return
        except InvalidInput as error:
            log.error("refused_block", slot=slot, reason=str(error))
            return
        crash_point("signature-before-publish")
        if await self._publish(slot, message, signature):
            log.debug("signed", slot=slot, root=root)

    async def _sign(self, slot: Slot, root: Root) -> BLSSignature:
        # One at a time: when the disk is full the others wait behind the one that complains.
        async with self._signing:
            return await when_there_is_room(
                lambda: self._signer.sign_block(slot, root, owed_from=self._window.lowest),
                self._timing,
            )

    async def _publish(self, slot: Slot, message: bytes, signature: BLSSignature) -> bool:
        """Hand the signature over, again and again while the middleware is away. False when it is
        not wanted.
        """
        backoff = Backoff()
        while True:
            try:
                await self._beacon.publish_block(WireBlock(message=message, signature=signature))
                return True
            except Unavailable:
                await self._timing.sleep(backoff.next_delay())
            except ResetRequired as error:
                await self._halt(error)
            except InvalidInput as error:
                log.error("signature_refused", slot=slot, reason=str(error))
                return False

    async def _halt(self, error: ResetRequired) -> None:
        if not self._halted:
            self._halted = True
            log.error("halted_by_l1_reset", reason=str(error))
        await self._timing.sleep(HALT_DELAY_S)


async def when_there_is_room(write: Callable[[], T], timing: Timing) -> T:
    """What `write` returns, once the disk has room for its record."""
    while True:
        try:
            return write()
        except DiskFull:
            await timing.sleep(FULL_RETRY_S)


async def wait_until_synced(beacon: Beacon, timing: Timing) -> Slot:
    """The slot that it is, once the middleware has caught up with those that it heard; `--rejoin`
    signs above it alone. Not the head's: f + 1 peers may lag as far as their f liars like, but no
    slot is signed before it begins.
    """
    backoff = Backoff()
    while True:
        try:
            syncing = await beacon.syncing()
            if not syncing.is_syncing:
                return syncing.current_slot
        except (Unavailable, InvalidInput, ResetRequired) as error:
            log.debug("middleware_not_ready", reason=str(error))
        await timing.sleep(backoff.next_delay())
