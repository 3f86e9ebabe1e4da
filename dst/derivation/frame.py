"""One batch as one L1 transaction: who signed it is known before a byte is decompressed.

Layout, version 1, integers big-endian:
  1  version             0x01
  8  chain id
  4  uncompressed length in bytes, of everything that follows the signature
112  SSZ of the last block's BeaconBlockHeader
 96  the group's signature over that header
  …  zlib stream: for each block, 4-byte length and SSZ of the unsigned BeaconBlock; ascending

The header's root is the last block's root, whose `parent_root` chain commits to every block before
it, so one signature authenticates all. An attacker who copies a signed header can still put garbage
behind it: the decompressor stops at the stated length, and the blocks are read from the last one
back, each only once the one after it has named its root; so garbage costs one block's hashing.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from dst.spec import ssz
from dst.spec.beacon import BeaconBlock, BeaconBlockHeader
from dst.spec.errors import InvalidInput
from dst.spec.primitives import BLSSignature, Root

VERSION: Final = 1
HEADER_BYTES: Final = 112
"""SSZ of BeaconBlockHeader: two uint64 and three roots."""
SIGNATURE_BYTES: Final = 96
FIXED_BYTES: Final = 1 + 8 + 4 + HEADER_BYTES + SIGNATURE_BYTES
MAX_UNSEALED_RUN: Final = 64
"""A sealed block covers at most this many ancestors that carry no signature of their own."""
MAX_BLOCKS: Final = MAX_UNSEALED_RUN + 1
"""So a batch, which carries one signature, has at most the sealed block and what it may cover."""
MAX_BLOCK_BYTES: Final = 524_288
"""The most that a chain's `max_block_bytes` may be."""
MAX_UNCOMPRESSED_BYTES: Final = MAX_BLOCKS * (4 + MAX_BLOCK_BYTES)
"""34 MiB: a seal that covers 64 blocks of the largest size can still be posted."""
COMPRESSION_LEVEL: Final = 6

VerifySignature: TypeAlias = Callable[[Root, BLSSignature], bool]
"""Whether the group signed the block (or header) with this root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A frame split into its fields; nothing is verified yet."""

    chain_id: int
    uncompressed_length: int
    header: BeaconBlockHeader
    signature: BLSSignature
    compressed: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """An authenticated run of blocks, each the child of the one before; the last one is sealed."""

    blocks: tuple[BeaconBlock, ...]
    messages: tuple[bytes, ...]
    """SSZ of each block."""
    last_root: Root
    signature: BLSSignature

    @property
    def roots(self) -> tuple[Root, ...]:
        """Of each block; each but the last is its child's `parent_root`."""
        return (*(block.parent_root for block in self.blocks[1:]), self.last_root)

    @property
    def first_height(self) -> int:
        return self.blocks[0].body.execution_payload.block_number

    @property
    def last_height(self) -> int:
        return self.blocks[-1].body.execution_payload.block_number


def encode_frame(
    chain_id: int,
    blocks: Sequence[bytes],
    last_header: BeaconBlockHeader,
    signature: BLSSignature,
) -> bytes:
    """The calldata for these blocks (SSZ, ascending); the last one is the header's, and sealed."""
    content = b"".join(len(block).to_bytes(4, "big") + block for block in blocks)
    assert blocks, "a batch has at least one block"
    assert len(content) <= MAX_UNCOMPRESSED_BYTES, "the poster splits before it encodes"
    return b"".join(
        (
            bytes([VERSION]),
            chain_id.to_bytes(8, "big"),
            len(content).to_bytes(4, "big"),
            ssz.encode(last_header),
            signature,
            zlib.compress(content, COMPRESSION_LEVEL),
        )
    )


def split_frame(data: bytes) -> Frame:
    """Cut calldata into a frame's fields. Raises: InvalidInput."""
    if len(data) <= FIXED_BYTES:
        raise InvalidInput(f"frame of {len(data)} bytes is too short")
    if data[0] != VERSION:
        raise InvalidInput(f"frame version {data[0]} is not known")
    length = int.from_bytes(data[9:13], "big")
    if not 0 < length <= MAX_UNCOMPRESSED_BYTES:
        raise InvalidInput(f"frame states {length} uncompressed bytes")
    return Frame(
        chain_id=int.from_bytes(data[1:9], "big"),
        uncompressed_length=length,
        header=ssz.decode(BeaconBlockHeader, data[13 : 13 + HEADER_BYTES]),
        signature=BLSSignature(data[13 + HEADER_BYTES : FIXED_BYTES]),
        compressed=data[FIXED_BYTES:],
    )


def decode_frame(data: bytes, *, chain_id: int, verify: VerifySignature) -> Batch:
    """Authenticate, then decompress, then check that the blocks lead to the signed header.

    Raises: InvalidInput saying which of these failed.
    """
    frame = split_frame(data)
    if frame.chain_id != chain_id:
        raise InvalidInput(f"frame is for chain {frame.chain_id}, not {chain_id}")
    last_root = ssz.hash_tree_root(frame.header)
    if not verify(last_root, frame.signature):
        raise InvalidInput("frame: the group did not sign its header")
    content = _decompress(frame)
    messages = tuple(_cut(content))
    blocks = _decode_back_from(last_root, messages)
    return Batch(blocks=blocks, messages=messages, last_root=last_root, signature=frame.signature)


def _decompress(frame: Frame) -> bytes:
    stream = zlib.decompressobj()
    try:
        # One byte more than stated: a stream that goes on is caught, and a good one reaches its
        # end.
        content = stream.decompress(frame.compressed, frame.uncompressed_length + 1)
    except zlib.error as error:
        raise InvalidInput(f"frame: {error}") from error
    if len(content) != frame.uncompressed_length or not stream.eof or stream.unused_data:
        raise InvalidInput("frame: content is not of the stated length")
    return content


def _cut(content: bytes) -> list[bytes]:
    parts: list[bytes] = []
    at = 0
    while at < len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        at += 4 + size
        if at > len(content) or len(parts) == MAX_BLOCKS or size > MAX_BLOCK_BYTES:
            raise InvalidInput(
                "frame: a block passes the end or is too long, or there are too many"
            )
        parts.append(content[at - size : at])
    return parts


def _decode_back_from(last_root: Root, messages: Sequence[bytes]) -> tuple[BeaconBlock, ...]:
    """The blocks, each checked before the one it names as its parent is looked at."""
    blocks: list[BeaconBlock] = []
    wanted = last_root
    for message in reversed(messages):
        block = ssz.decode(BeaconBlock, message)
        if ssz.hash_tree_root(block) != wanted:
            raise InvalidInput("frame: its blocks do not lead to the signed header")
        blocks.append(block)
        wanted = block.parent_root
    blocks.reverse()
    heights = [block.body.execution_payload.block_number for block in blocks]
    if heights != list(range(heights[0], heights[0] + len(heights))):
        raise InvalidInput("frame: its blocks do not have consecutive heights")
    return tuple(blocks)
