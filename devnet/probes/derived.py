"""The chain as the batches on L1 tell it, read by the harness alone: no node is asked.

A second reader of the format that `dst.derivation` writes and reads, so that a mistake in that one
shows. L1 is read from its head down, to a batch that begins at the first height wanted or below;
from there up, the rules of the derived chain decide which batches count.
"""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from devnet.model.clock import now
from devnet.model.history import DerivedBlock
from devnet.probes.chain import Endpoint, patient_call
from devnet.probes.rpc import RpcRefused, RpcUnknown
from devnet.probes.seals import Verifier
from dst.spec import ssz
from dst.spec.beacon import BeaconBlock, BeaconBlockHeader
from dst.spec.errors import InvalidInput
from dst.spec.primitives import BLSSignature, to_hex

MAX_L1_BLOCKS: Final = 4096
"""Read at the end of one run: two hours of L1."""
MAX_CONTENT: Final = 64 * 2**20
HEADER: Final = slice(13, 125)
SIGNATURE: Final = slice(125, 221)


class NoBatch(Exception):
    """Data in the inbox that is no batch of this chain: anybody may send some."""


@dataclass(frozen=True, slots=True)
class Posted:
    """A batch, its blocks linked up to one that the group signed."""

    l1_block: int
    blocks: tuple[BeaconBlock, ...]
    last_root: bytes

    @property
    def first_height(self) -> int:
        return self.blocks[0].body.execution_payload.block_number

    def derived(self, moment: float) -> list[DerivedBlock]:
        """moment: monotonic seconds, at which L1 was read."""
        roots = [*(block.parent_root for block in self.blocks[1:]), self.last_root]
        return [
            DerivedBlock(
                height=block.body.execution_payload.block_number,
                root=to_hex(root),
                parent_root=to_hex(block.parent_root),
                block_hash=to_hex(block.body.execution_payload.block_hash),
                l1_block=self.l1_block,
                monotonic=moment,
            )
            for block, root in zip(self.blocks, roots, strict=True)
        ]


class FromL1:
    """Reads what L1 holds. inbox: address of the batches; genesis: the L1 block below the first."""

    def __init__(
        self, l1: Endpoint, *, chain_id: int, inbox: bytes, genesis: int, verifier: Verifier
    ) -> None:
        self._l1, self._chain_id, self._verifier = l1, chain_id, verifier
        self._inbox, self._genesis = to_hex(inbox), genesis

    async def read(self, first: int) -> list[DerivedBlock]:
        """Every height from `first` on that L1 holds; nothing when L1 does not answer.

        Stamped with the moment before L1's head was asked for: what comes to L1 while its blocks
        are read, one by one, may be safe at a node and is not here.
        """
        moment = now()
        try:
            posted = await self._posted(first)
        except (RpcUnknown, RpcRefused, KeyError, TypeError, ValueError):
            return []
        return [block for block in derive(posted, moment) if block.height >= first]

    async def _posted(self, first: int) -> list[Posted]:
        """Batches in their order on L1, the first of which begins at `first` or below, if any
        does."""
        head = int(await patient_call(self._l1, "eth_blockNumber"), 16)
        found: list[Posted] = []
        for number in range(head, max(self._genesis, head - MAX_L1_BLOCKS), -1):
            block = await patient_call(self._l1, "eth_getBlockByNumber", hex(number), True)
            if block is None:
                continue
            here = list(self._batches(number, block["transactions"]))
            found = here + found
            if any(posted.first_height <= first for posted in here):
                break
        return found

    def _batches(self, number: int, transactions: Sequence[Any]) -> Iterable[Posted]:
        for transaction in transactions:
            if str(transaction["to"]).lower() != self._inbox:
                continue
            try:
                data = bytes.fromhex(transaction["input"][2:])
                yield read_batch(number, data, self._chain_id, self._verifier)
            except NoBatch:
                continue


def read_batch(number: int, data: bytes, chain_id: int, verifier: Verifier) -> Posted:
    """Of the L1 block of this number. Raises: NoBatch."""
    if len(data) <= SIGNATURE.stop or data[0] != 1 or int.from_bytes(data[1:9], "big") != chain_id:
        raise NoBatch("another version or chain")
    length = int.from_bytes(data[9:13], "big")
    try:
        last_root = ssz.hash_tree_root(ssz.decode(BeaconBlockHeader, data[HEADER]))
        if length > MAX_CONTENT or not verifier.is_valid(last_root, BLSSignature(data[SIGNATURE])):
            raise NoBatch("the group did not sign it")
        stream = zlib.decompressobj()
        content = stream.decompress(data[SIGNATURE.stop :], length + 1)
        blocks = tuple(ssz.decode(BeaconBlock, message) for message in _messages(content))
    except (zlib.error, InvalidInput) as error:
        raise NoBatch(str(error)) from error
    wanted = last_root
    for block in reversed(blocks):
        if ssz.hash_tree_root(block) != wanted:
            raise NoBatch("its blocks do not lead to the signed header")
        wanted = block.parent_root
    if len(content) != length or not stream.eof or not blocks:
        raise NoBatch("not of the length that it states")
    return Posted(number, blocks, last_root)


def _messages(content: bytes) -> Iterable[bytes]:
    at = 0
    while at < len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        yield content[at + 4 : at + 4 + size]
        at += 4 + size


def derive(posted: Sequence[Posted], moment: float) -> list[DerivedBlock]:
    """What each batch adds to those before it: nothing after a gap, nothing beside the chain.
    moment: as of `Posted.derived`."""
    chain: list[DerivedBlock] = []
    for batch in posted:
        blocks = batch.derived(moment)
        if chain:
            head = chain[-1]
            blocks = [block for block in blocks if block.height > head.height]
            first = (head.height + 1, head.root)
            if not blocks or (blocks[0].height, blocks[0].parent_root) != first:
                continue
        chain += blocks
    return chain
