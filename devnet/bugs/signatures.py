"""An operator that forgets what it has signed. It takes two: its validator signs whatever it has
before it, and its middleware takes that for the operator's word. Behind both stands the sealing
core, which sends nobody a second signature, so that the cluster outlives the bug."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final

from devnet.bugs.names import IS_SEEDED, SHOWN, Bug
from dst.apis.beacon import BeaconNode, WireBlock
from dst.middleware.config import Settings
from dst.middleware.store import Store
from dst.middleware.validator_api import SLOT_BYTES, ValidatorApi
from dst.middleware.wire import Middleware, RollupDst, root_of
from dst.runtime.machine import wall_clock
from dst.spec.beacon import BeaconBlock, Bytes32
from dst.spec.domains import signing_root
from dst.spec.primitives import BLSSignature, Root, Slot
from dst.spec.ssz import decode, encode, hash_tree_root
from dst.validator.client import ValidatorClient
from dst.validator.signer import Signer

MARK: Final[Bytes32] = b"beside the decided block".ljust(32)
"""Graffiti of the block that nobody decided."""


def sibling_of(block: bytes) -> bytes:
    """Of the same slot, and another."""
    decided = decode(BeaconBlock, block)
    return encode(replace(decided, body=replace(decided.body, graffiti=MARK)))


def sign_unprotected(signer: Signer, root: Root) -> BLSSignature:
    """As `Signer.sign_block`, without its record."""
    return signer._checked(signing_root(root, signer._proposer_domain))


class ForgetfulClient(ValidatorClient):
    async def _sign_and_publish(self, slot: Slot, message: bytes) -> None:
        await super()._sign_and_publish(slot, message)
        block = sibling_of(message)
        root = hash_tree_root(decode(BeaconBlock, block))
        await self._publish(slot, block, sign_unprotected(self._signer, root))


class CredulousApi(ValidatorApi):
    """Whatever its share signed for a slot that was decided is this operator's signature."""

    def __init__(self, shown: Callable[[], None], **rest: Any) -> None:
        super().__init__(**rest)
        self._shown = shown

    async def publish_block(self, block: WireBlock) -> None:
        slot = Slot(int.from_bytes(block.message[SLOT_BYTES], "little"))
        found = self._decided.at_slot(slot)
        if found is None or found.block == block.message:
            return await super().publish_block(block)
        root = root_of(block.message)
        self._check_share(signing_root(root, self._domain), block.signature, "signature")
        self._shown()
        await self._on_partial(found.height, root, block.signature)


def credulous(
    settings: Settings, store: Store, rollup: RollupDst, beacon: BeaconNode, **rest: Any
) -> Middleware:
    """A `Middleware` with that API."""
    made, bug = Middleware(settings, store, rollup, beacon, **rest), Bug.DOUBLE_SIGNATURE
    made.metrics.set(IS_SEEDED, 1, bug=bug)
    made.metrics.inc(SHOWN, 0, bug=bug)
    made.api = CredulousApi(
        partial(made.metrics.inc, SHOWN, bug=bug),
        lock=settings.lock,
        operator=settings.operator,
        decided=made.shells.progress,
        rollup=beacon,
        on_partial=made.shells.sealing.own_partial,
        now=rest.get("now", wall_clock),
    )
    return made
