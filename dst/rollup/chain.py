"""The chain as this node holds it: decided head, sealed head, safe and finalized, and look-ups.

Everything is in the store; this keeps the decoded head and the heights, and tells listeners when
they move. Heights are those of the execution layer; genesis is height 0, slot 0, and never sealed.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from dst.apis.beacon import BlockId, HeaderView, WireBlock
from dst.l1.rpc import L1BlockRef
from dst.rollup.store import Store, StoredBlock
from dst.spec import ssz
from dst.spec.beacon import BeaconBlock, header_of
from dst.spec.errors import BadConfig
from dst.spec.primitives import (
    G2_POINT_AT_INFINITY,
    BLSSignature,
    Hash32,
    Height,
    Root,
)

CACHED_HEADERS: Final = 256
"""Headers served again and again to followers; hashing a full block's body costs milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The newest decided (operator) or covered (follower) block, decoded."""

    height: Height
    root: Root
    block: BeaconBlock

    @property
    def execution_hash(self) -> Hash32:
        return self.block.body.execution_payload.block_hash


class Chain:
    """`append` and `seal` are the only ways it grows."""

    def __init__(self, store: Store, genesis: BeaconBlock) -> None:
        """Raises: BadConfig when the store begins with another genesis block."""
        self.store = store
        self.genesis_root = ssz.hash_tree_root(genesis)
        self._put_genesis(genesis)
        stored = store.head()
        assert stored is not None, "genesis was just put there"
        block = ssz.decode(BeaconBlock, stored.block)
        self.head = Head(height=stored.height, root=stored.root, block=block)
        sealed = store.newest_sealed()
        self.sealed_height = Height(0) if sealed is None else sealed.height
        self.safe_height = Height(0)
        self.finalized_height = Height(0)
        self._headers: OrderedDict[Root, HeaderView] = OrderedDict()

    def _put_genesis(self, genesis: BeaconBlock) -> None:
        known = self.store.by_height(0)
        if known is None:
            self.store.put_block(_stored(genesis, self.genesis_root))
        elif known.root != self.genesis_root:
            raise BadConfig(
                "the store's genesis block is not that of the lock and execution layer: "
                "use another data_dir"
            )

    def append(
        self,
        block: BeaconBlock,
        root: Root,
        *,
        certificate: bytes | None = None,
        signature: BLSSignature | None = None,
        origin: L1BlockRef | None = None,
    ) -> None:
        """Make `block`, the executed child of the head, the new head. origin: its L1 block, where
        L1 has shown it."""
        assert block.parent_root == self.head.root, "only the head's child is appended"
        stored = _stored(block, root, certificate=certificate, signature=signature)
        self.store.put_block(stored, origin)
        height = Height(block.body.execution_payload.block_number)
        self.head = Head(height=height, root=root, block=block)
        if signature is not None:
            self.sealed_height = height

    def seal(self, stored: StoredBlock, signature: BLSSignature) -> bool:
        """Keep the group's signature of a block; True when it is the newest sealed one now."""
        self.store.put_signature(stored.height, signature)
        self._headers.pop(stored.root, None)
        if stored.height <= self.sealed_height:
            return False
        self.sealed_height = stored.height
        return True

    @property
    def lowest_unsealed_height(self) -> Height:
        """Lowest height above genesis without its own signature, the next one when all have it."""
        return self.store.lowest_unsealed() or Height(self.head.height + 1)

    def root_at(self, height: int) -> Root | None:
        stored = self.store.by_height(height)
        return None if stored is None else stored.root

    def execution_hash_at(self, height: int) -> Hash32:
        """Hash of the L2 block at a height that this node has."""
        stored = self.store.by_height(height)
        assert stored is not None, f"height {height} is at most the head"
        return stored.execution_hash

    def find(self, block_id: BlockId) -> StoredBlock | None:
        """The block an id names; `head` is the newest sealed one."""
        if block_id == "head":
            return self.store.by_height(self.sealed_height)
        if block_id == "genesis":
            return self.store.by_height(0)
        if block_id == "finalized":
            return self.store.by_height(self.finalized_height)
        if isinstance(block_id, bytes):
            return self.store.by_root(block_id)
        return self.store.by_slot(block_id) if isinstance(block_id, int) else None

    def header(self, block_id: BlockId) -> HeaderView | None:
        """Beacon API form; the signature is the infinity point while unsealed."""
        stored = self.find(block_id)
        if stored is None:
            return None
        view = self._headers.get(stored.root)
        if view is None or view.finalized != (stored.height <= self.finalized_height):
            view = self._header_of(stored)
            self._headers[stored.root] = view
            if len(self._headers) > CACHED_HEADERS:
                self._headers.popitem(last=False)
        return view

    def _header_of(self, stored: StoredBlock) -> HeaderView:
        block = (
            self.head.block
            if stored.root == self.head.root
            else ssz.decode(BeaconBlock, stored.block)
        )
        return HeaderView(
            root=stored.root,
            header=header_of(block),
            signature=stored.signature or G2_POINT_AT_INFINITY,
            finalized=stored.height <= self.finalized_height,
        )

    def wire_block(self, block_id: BlockId) -> WireBlock | None:
        stored = self.find(block_id)
        return None if stored is None else wire_of(stored)


def wire_of(stored: StoredBlock) -> WireBlock:
    """As it is served: the infinity point stands for 'not sealed yet'."""
    return WireBlock(message=stored.block, signature=stored.signature or G2_POINT_AT_INFINITY)


def _stored(
    block: BeaconBlock,
    root: Root,
    *,
    certificate: bytes | None = None,
    signature: BLSSignature | None = None,
) -> StoredBlock:
    payload = block.body.execution_payload
    return StoredBlock(
        height=Height(payload.block_number),
        slot=block.slot,
        root=root,
        execution_hash=payload.block_hash,
        block=ssz.encode(block),
        certificate=certificate,
        signature=signature,
    )
