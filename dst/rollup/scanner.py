"""Reads the inbox on L1 block by block: the derived chain, and with it the safe and finalized
heads.

Every node scans from the L1 genesis and so finds the same batches. Each scanned block links to the
one before by hash; where it does not, L1 has reorganised, and the cursor walks back.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

from dst.derivation.batch import DerivedHead, extend
from dst.derivation.frame import Batch, decode_frame, split_frame
from dst.l1.rpc import L1Block, L1Client
from dst.l1.source import L1Source
from dst.rollup.chain import Chain
from dst.rollup.events import BeaconBus, finalized_event
from dst.rollup.importer import Candidate
from dst.rollup.store import StoredBatch
from dst.rollup.trust import VerifySeal
from dst.runtime.backoff import Backoff
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.spec import ssz
from dst.spec.beacon import BeaconBlock
from dst.spec.cluster import ClusterLock
from dst.spec.errors import BadConfig, InvalidInput, Unavailable
from dst.spec.primitives import Hash32, Height

IDLE_SECONDS: Final = 1.0
"""Looks again this often even when L1 shows no new head: finality moves without one."""

OnBatch: TypeAlias = Callable[[Sequence[Candidate], str], Awaitable[None]]
"""What a node does with the blocks of a batch: a follower imports them, an operator compares."""


class InboxScanner:
    """Owns the scan cursor and moves `chain.safe_height` and `chain.finalized_height`."""

    def __init__(
        self,
        *,
        client: L1Client,
        l1: L1Source,
        lock: ClusterLock,
        chain: Chain,
        verify_seal: VerifySeal,
        bus: BeaconBus,
        on_batch: OnBatch,
        log: Logger,
        metrics: Metrics,
    ) -> None:
        self._client, self._l1, self._lock, self._chain = client, l1, lock, chain
        self._verify_seal, self._bus, self._on_batch = verify_seal, bus, on_batch
        self._log, self._metrics = log, metrics
        self._woken = asyncio.Event()
        self._l1_was_ours = chain.store.cursor() is not None or chain.head.height > 0
        """Whoever has scanned a block of it, or holds one of ours, has seen it."""
        self._elsewhere: str | None = None
        metrics.function("derived_height", lambda: self.derived.height)
        self.move_heads()

    def waits_for(self) -> str | None:
        """For a person; None while L1 shows the chain that was scanned."""
        return self._elsewhere

    def wake(self) -> None:
        """L1 has a new head."""
        self._woken.set()

    @property
    def derived(self) -> DerivedHead:
        """The last block found on L1, whether this node has it yet or not."""
        newest = self._chain.store.newest_batch()
        if newest is None:
            return DerivedHead(height=Height(0), root=self._chain.genesis_root)
        return DerivedHead(height=newest.last_height, root=newest.last_root)

    async def run(self) -> None:
        """Scan until cancelled. Raises: BadConfig when L1 never was the chain of the lock."""
        backoff = Backoff()
        while True:
            try:
                await self.scan()
                backoff.reset()
            except BadConfig:
                raise
            except (Unavailable, InvalidInput) as error:
                self._log.debug("scan_paused", error=str(error))
                await asyncio.sleep(backoff.next_delay())
                continue
            await self._wait()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                await self._woken.wait()
        except TimeoutError:
            pass
        self._woken.clear()

    async def scan(self) -> None:
        """Read every L1 block up to the head. Raises: Unavailable, InvalidInput, BadConfig."""
        while self._l1.chain is not None:
            number, block_hash = self._cursor()
            if self._is_dropped(number, block_hash):
                self._rewind(number)
                continue
            if self._l1.chain.contains(block_hash, number):
                self._l1_was_ours, self._elsewhere = True, None
            if number >= self._l1.chain.head.number:
                break
            block = await self._client.block(number + 1)
            if block is None:
                break
            if block.ref.parent_hash != block_hash:
                self._rewind(number)
                continue
            await self._take(block)
            self._l1_was_ours, self._elsewhere = True, None
        self.move_heads()

    def _cursor(self) -> tuple[int, Hash32]:
        genesis = self._lock.chain.l1_genesis
        return self._chain.store.cursor() or (genesis.number, genesis.hash)

    def _is_dropped(self, number: int, block_hash: Hash32) -> bool:
        assert self._l1.chain is not None, "scanned only once L1 answered"
        ref = self._l1.chain.at(number)
        return ref is not None and ref.hash != block_hash

    def _rewind(self, number: int) -> None:
        genesis = self._lock.chain.l1_genesis
        if number <= genesis.number:
            other = (
                f"L1 block {genesis.number} is not the genesis origin 0x{genesis.hash.hex()} of "
                "the lock"
            )
            if self._l1_was_ours:  # one that lies or is on a fork may be back any time
                self._elsewhere = f"{other} any more"
                raise Unavailable(self._elsewhere)
            raise BadConfig(f"{other}: point `l1` at the right network")
        self._chain.store.forget_scanned_from(number)
        if self._chain.store.cursor() is None:
            # Deeper than the hashes kept: derive anew from the beginning.
            self._chain.store.forget_scanned_from(0)
        self._metrics.inc("scan_rewinds_total")

    async def _take(self, block: L1Block) -> None:
        derived = self.derived
        found: list[StoredBatch] = []
        for transaction in block.transactions:
            if transaction.to != self._lock.chain.batch_inbox:
                continue
            batch = await self._read(transaction.data, block.ref.number, derived)
            new = "not a new batch" if batch is None else extend(derived, batch)
            if batch is None or isinstance(new, str):
                self._log.debug("batch_skipped", l1_block=block.ref.number, reason=new)
                continue
            await self._on_batch(_candidates(new, batch), f"L1 block {block.ref.number}")
            derived = DerivedHead(height=Height(batch.last_height), root=batch.last_root)
            found.append(
                StoredBatch(
                    l1_number=block.ref.number,
                    position=len(found),
                    last_height=derived.height,
                    last_root=derived.root,
                )
            )
        self._chain.store.put_scanned(block.ref.number, block.ref.hash, found)
        for each in found:  # once they are kept: a full disk has them looked for again
            self._log.info("batch_found", l1_block=each.l1_number, last_height=each.last_height)

    async def _read(self, data: bytes, l1_number: int, derived: DerivedHead) -> Batch | None:
        """The batch that `data` is, read in a thread: anybody may send anything to the inbox, and
        34 MiB of zeros or one full block of garbage take a tenth of a second."""
        try:
            if self._is_derived(data, derived):
                return None
            return await asyncio.to_thread(
                decode_frame, data, chain_id=self._lock.chain.chain_id, verify=self._verify_seal
            )
        except InvalidInput as error:
            self._metrics.inc("inbox_refused_total")
            self._log.debug("inbox_refused", l1_block=l1_number, reason=str(error))
            return None

    def _is_derived(self, data: bytes, derived: DerivedHead) -> bool:
        """Whether the frame's last block is known to add nothing: a copy of an old one is free.

        Raises: InvalidInput when it is no frame.
        """
        known = self._chain.store.by_root(ssz.hash_tree_root(split_frame(data).header))
        return known is not None and known.height <= derived.height

    def move_heads(self) -> None:
        """Recompute safe and finalized from the batches found that end in a block held here.

        L1 alone says what it has finalised: what it takes back of that, finalized goes on with as
        long as it is safe."""
        chain, store = self._chain, self._chain.store
        held = chain.head.height
        chain.safe_height = self._height_of(store.newest_batch(up_to_height=held))
        before = chain.finalized_height
        finalized = store.newest_batch(up_to_l1=self._l1.finalized_number, up_to_height=held)
        chain.finalized_height = min(chain.safe_height, max(before, self._height_of(finalized)))
        if chain.finalized_height < before:
            self._log.warning("finalized_taken_back", height=chain.finalized_height, was=before)
        if chain.finalized_height > before:
            self._tell_finalized(chain.finalized_height)

    def _height_of(self, batch: StoredBatch | None) -> Height:
        """Of a batch's last block, when this node holds the same one."""
        if batch is None or self._chain.root_at(batch.last_height) != batch.last_root:
            return Height(0)
        return batch.last_height

    def _tell_finalized(self, height: Height) -> None:
        stored = self._chain.store.by_height(height)
        assert stored is not None, "a finalized block is held"
        block = ssz.decode(BeaconBlock, stored.block)
        self._bus.publish(finalized_event(stored.slot, stored.root, block.state_root))


def _candidates(new: Sequence[BeaconBlock], batch: Batch) -> list[Candidate]:
    """The last blocks of a batch; only the very last has a signature."""
    count = len(new)
    parts = zip(new, batch.roots[-count:], batch.messages[-count:], strict=True)
    return [
        Candidate(
            block=block,
            root=root,
            message=message,
            signature=batch.signature if root == batch.last_root else None,
        )
        for block, root, message in parts
    ]
