"""Blocks of the simulated chain, and the two kinds of rules a voter checks them by.

Small stand-ins for SSZ beacon blocks with the fields that the rules read.
"""

from functools import lru_cache
from hashlib import sha256
from typing import Final

import msgspec

from devnet.sim.l1 import CONFIRMATIONS, branch_of
from dst.l1.view import CanonicalChain
from dst.spec.errors import InvalidInput
from dst.spec.judgement import Verdict
from dst.spec.primitives import Root

MAX_BLOCK_BYTES: Final = 4096


class Block(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """salt: who built it, and when: two builds never collide. executes: what the engine says."""

    height: int
    slot: int
    parent: bytes
    origin_number: int
    origin_fork: int
    salt: bytes
    executes: bool = True


GENESIS: Final = Block(0, 0, bytes(32), 0, 0, b"genesis")

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Block)
_HEADER_BYTES: Final = 48
"""slot, proposer_index and parent_root, as an encoded BeaconBlock begins: the shells read these
without decoding the rest."""


def encode(block: Block) -> bytes:
    return _header(block) + _ENCODER.encode(block)


def _header(block: Block) -> bytes:
    return block.slot.to_bytes(8, "little") + bytes(8) + block.parent


@lru_cache(maxsize=4096)
def decode(data: bytes) -> Block:
    """Raises: InvalidInput for what is not a block."""
    try:
        block = _DECODER.decode(data[_HEADER_BYTES:])
        if data[:_HEADER_BYTES] != _header(block):
            raise InvalidInput("not a block: header and body differ")
    except (msgspec.MsgspecError, OverflowError) as error:
        raise InvalidInput(f"not a block: {error}") from None
    return block


@lru_cache(maxsize=4096)
def root_of(data: bytes) -> Root:
    """Raises: InvalidInput for what is not a block."""
    decode(data)
    return Root(sha256(data).digest())


GENESIS_BYTES: Final = encode(GENESIS)


def check_deterministic(parent: bytes, block: Block) -> Verdict:
    """Rules that depend on the block and its decided ancestors alone."""
    above = decode(parent)
    sound = (
        block.executes
        and block.height == above.height + 1
        and block.parent == root_of(parent)
        and block.slot > above.slot
        and block.origin_number >= above.origin_number
        and (block.origin_number > above.origin_number or block.origin_fork == above.origin_fork)
    )
    return Verdict.VALID if sound else Verdict.INVALID


def check_view(parent: bytes, block: Block, l1: CanonicalChain | None, slot_now: int) -> Verdict:
    """Rules that depend on the voter: its clock (current slot +-1), its view of L1, if L1 has
    answered at all."""
    if not slot_now - 1 <= block.slot <= slot_now + 1:
        return Verdict.INVALID
    if block.slot > slot_now:
        return Verdict.HOLD
    if block.origin_number == decode(parent).origin_number:
        return Verdict.VALID
    if l1 is None or block.origin_number > l1.head.number - CONFIRMATIONS:
        return Verdict.HOLD
    is_canonical = shows(l1, block)
    return Verdict.VALID if is_canonical else Verdict.INVALID


def shows(l1: CanonicalChain, block: Block) -> bool:
    """Whether that view of L1 has the origin."""
    ref = l1.at(block.origin_number)
    return ref is not None and branch_of(ref.hash) == block.origin_fork


def build(parent: bytes, l1: CanonicalChain | None, slot_now: int, salt: bytes) -> bytes:
    """A fresh block on `parent`, by an honest builder with this clock and this view of L1."""
    above = decode(parent)
    number, fork = above.origin_number, above.origin_fork
    usable = None if l1 is None else l1.at(l1.head.number - CONFIRMATIONS)
    if usable is not None and usable.number > number:
        number, fork = usable.number, branch_of(usable.hash)
    slot = max(above.slot + 1, slot_now)
    return encode(Block(above.height + 1, slot, root_of(parent), number, fork, salt))
