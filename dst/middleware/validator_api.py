"""The Beacon API towards this operator's validator client: its duty is every slot, its block the
decided one.

Production blocks until consensus has decided, so that a validator's signature is never a vote.
Slots that consensus passed over are answered with a definite 'none' (404), undecided ones with
'ask again' (503).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from dst import __version__
from dst.apis.beacon import (
    BeaconEvent,
    BeaconNode,
    BlockId,
    Genesis,
    HeaderView,
    ProduceRequest,
    Syncing,
    WireBlock,
)
from dst.crypto import bls
from dst.spec.beacon import SLOTS_PER_EPOCH
from dst.spec.cluster import ClusterLock
from dst.spec.domains import (
    compute_fork_version,
    compute_genesis_validators_root,
    proposer_domain,
    randao_domain,
    randao_signing_root,
    signing_root,
)
from dst.spec.errors import InvalidInput, ResetRequired, Unavailable
from dst.spec.primitives import (
    G2_POINT_AT_INFINITY,
    BLSPubkey,
    BLSSignature,
    Height,
    OperatorIndex,
    Root,
    Slot,
)
from dst.spec.rules import slot_at

MAX_SLOTS_AHEAD: Final = 2
"""A question for a slot further in the future is a client with a wrong clock."""
SLOT_BYTES: Final = slice(0, 8)
"""`slot` is the first field of an SSZ BeaconBlock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidedSlot:
    """The decided block of one slot."""

    height: Height
    root: Root
    block: bytes


class DecidedView(Protocol):
    """What consensus has decided so far, as this API needs it."""

    @property
    def head_slot(self) -> Slot:
        """Slot of the highest decided block; 0 at genesis."""

    @property
    def is_syncing(self) -> bool:
        """Catching up (or rejoining): nothing is to be signed yet."""

    @property
    def knows_others(self) -> bool:
        """Enough peers were heard since the start to say whether it has to catch up."""

    @property
    def sign_above(self) -> Slot:
        """Slots at or below are never offered: a rejoined operator may have signed them before."""

    @property
    def reset(self) -> ResetRequired | None:
        """Set while an L1 reset halts the cluster."""

    def at_slot(self, slot: Slot) -> DecidedSlot | None: ...

    async def changed(self) -> None:
        """Returns at the next decision (or change of the flags above)."""


OnPartial = Callable[[Height, Root, BLSSignature], Awaitable[None]]
"""Takes this operator's verified partial signature over a decided block root; returns once it is
durable."""


class ValidatorApi(BeaconNode):
    """`BeaconNode` for one key share; what is not about duties is the rollup node's to answer."""

    def __init__(
        self,
        *,
        lock: ClusterLock,
        operator: OperatorIndex,
        decided: DecidedView,
        rollup: BeaconNode,
        on_partial: OnPartial,
        now: Callable[[], float],
    ) -> None:
        chain = lock.chain
        self._lock = lock
        self._operator = operator
        self._decided = decided
        self._rollup = rollup
        self._on_partial = on_partial
        self._now = now
        self._domain = proposer_domain(chain.chain_id, chain.l2_genesis_hash, lock.group_public_key)
        self._randao_domain = randao_domain(
            chain.chain_id, chain.l2_genesis_hash, lock.group_public_key
        )
        self._verified_reveal: tuple[int, BLSSignature] | None = None

    # ------------------------------------------------------------------ constants

    async def genesis(self) -> Genesis:
        chain = self._lock.chain
        root = compute_genesis_validators_root(
            chain.chain_id, chain.l2_genesis_hash, self._lock.group_public_key
        )
        return Genesis(
            genesis_time=chain.genesis_time,
            genesis_validators_root=root,
            genesis_fork_version=compute_fork_version(chain.chain_id),
        )

    async def config_spec(self) -> Mapping[str, object]:
        return await self._rollup.config_spec()

    async def node_version(self) -> str:
        # go-eth2-client compares the RANDAO reveal of a block with its own unless it reads this
        # word; ours is combined by others.
        return f"dst/v{__version__} (charon-compatible)"

    async def validator_pubkey(self) -> BLSPubkey:
        return self._lock.share_public_keys[self._operator]

    async def syncing(self) -> Syncing:
        head = self._decided.head_slot
        current = max(slot_at(self._lock.chain, self._now()), head)
        return Syncing(
            head_slot=head,
            sync_distance=current - head,
            is_syncing=self._decided.is_syncing or not self._decided.knows_others,
        )

    # ----------------------------------------------------------------------- duty

    async def produce_block(self, request: ProduceRequest) -> bytes | None:
        """The decided block of the slot; waits for it up to one slot."""
        self._check_reveal(request)
        slot = request.slot
        if slot > slot_at(self._lock.chain, self._now()) + MAX_SLOTS_AHEAD:
            raise InvalidInput(f"slot {slot} is in the future; compare the clocks")
        try:
            async with asyncio.timeout(self._lock.chain.seconds_per_slot):
                while not self._is_settled(slot):
                    await self._decided.changed()
        except TimeoutError:
            raise Unavailable(f"slot {slot} is not decided yet; ask again") from None
        found = self._decided.at_slot(slot)
        return None if found is None or slot <= self._decided.sign_above else found.block

    def _is_settled(self, slot: Slot) -> bool:
        if self._decided.reset is not None:
            raise self._decided.reset
        return not self._decided.is_syncing and slot <= self._decided.head_slot

    def _check_reveal(self, request: ProduceRequest) -> None:
        """Verified, so that a wrong key shows at once; used for nothing: L1 brings randomness."""
        reveal, epoch = request.randao_reveal, request.slot // SLOTS_PER_EPOCH
        if reveal == G2_POINT_AT_INFINITY or self._verified_reveal == (epoch, reveal):
            return
        self._check_share(randao_signing_root(epoch, self._randao_domain), reveal, "randao_reveal")
        self._verified_reveal = (epoch, reveal)

    async def publish_block(self, block: WireBlock) -> None:
        """A partial signature: it must be over exactly the decided block, by exactly this
        operator's share."""
        if self._decided.reset is not None:
            raise self._decided.reset
        slot = Slot(int.from_bytes(block.message[SLOT_BYTES], "little"))
        found = self._decided.at_slot(slot)
        if found is None or found.block != block.message:
            raise InvalidInput(f"not the block that the cluster decided for slot {slot}")
        self._check_share(signing_root(found.root, self._domain), block.signature, "signature")
        await self._on_partial(found.height, found.root, block.signature)

    def _check_share(self, message: Root, signature: BLSSignature, what: str) -> None:
        keys = self._lock.share_public_keys
        if bls.verify(keys[self._operator], message, signature):
            return
        for index, key in enumerate(keys):
            if index != self._operator and bls.verify(key, message, signature):
                raise InvalidInput(
                    f"{what}: mismatching validator client key share index: key share "
                    f"{index + 1} was submitted to operator {self._operator + 1}"
                )
        raise InvalidInput(f"{what}: not a signature by key share {self._operator + 1}")

    # --------------------------------------------------------- the rollup node's

    async def header(self, block_id: BlockId) -> HeaderView | None:
        return await self._rollup.header(block_id)

    async def block(self, block_id: BlockId) -> WireBlock | None:
        return await self._rollup.block(block_id)

    def events(self, topics: frozenset[str]) -> AsyncIterator[BeaconEvent]:
        return self._rollup.events(topics)
