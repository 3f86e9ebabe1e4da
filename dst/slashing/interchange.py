"""The EIP-3076 interchange format, version 5: signed blocks of one key, to and from JSON bytes.

Attestations in a file are accepted and dropped: a sequencer's key share signs none. Entries of
other keys are skipped, as the standard wants; a file of another chain is refused.
Source: EIP-3076 §JSON Schema.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec

from dst.spec.errors import UNREADABLE, InvalidInput
from dst.spec.primitives import BLSPubkey, Root, Slot, parse_hex, to_hex

FORMAT_VERSION: Final = "5"
MAX_SLOT: Final = 2**63 - 1
"""Largest slot the store's signed 64-bit column holds."""

_Decimal = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,20}$")]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class SignedBlock:
    """A block that the key has signed; the root is None when the source did not say."""

    slot: Slot
    signing_root: Root | None


class _SignedBlock(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    slot: _Decimal
    signing_root: str | None = None


class _KeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    pubkey: str
    signed_blocks: list[_SignedBlock]
    signed_attestations: list[dict[str, object]]


class _Metadata(msgspec.Struct, frozen=True, kw_only=True):
    interchange_format_version: Literal["5"]
    genesis_validators_root: str


class _Interchange(msgspec.Struct, frozen=True, kw_only=True):
    metadata: _Metadata
    data: list[_KeyRecord]


def encode_interchange(
    blocks: Iterable[SignedBlock], *, pubkey: BLSPubkey, genesis_validators_root: Root
) -> bytes:
    """The complete record of one key as a file."""
    records = [
        _SignedBlock(
            slot=str(block.slot),
            signing_root=None if block.signing_root is None else to_hex(block.signing_root),
        )
        for block in blocks
    ]
    interchange = _Interchange(
        metadata=_Metadata(
            interchange_format_version=FORMAT_VERSION,
            genesis_validators_root=to_hex(genesis_validators_root),
        ),
        data=[_KeyRecord(pubkey=to_hex(pubkey), signed_blocks=records, signed_attestations=[])],
    )
    return msgspec.json.format(msgspec.json.encode(interchange), indent=2) + b"\n"


def decode_interchange(
    data: bytes, *, pubkey: BLSPubkey, genesis_validators_root: Root
) -> tuple[SignedBlock, ...]:
    """Blocks of `pubkey` in a file, duplicates removed, in order of slot.

    Raises: InvalidInput when it is not interchange format 5 or belongs to another chain.
    """
    try:
        interchange = msgspec.json.decode(data, type=_Interchange)
    except UNREADABLE as error:
        raise InvalidInput(f"not EIP-3076 interchange format {FORMAT_VERSION}: {error}") from error
    root = interchange.metadata.genesis_validators_root
    if parse_hex(root, 32, what="genesis_validators_root") != genesis_validators_root:
        raise InvalidInput(
            f"interchange file belongs to another chain (genesis_validators_root {root})"
        )
    blocks = {
        _read_block(block)
        for record in interchange.data
        if parse_hex(record.pubkey, 48, what="pubkey") == pubkey
        for block in record.signed_blocks
    }
    return tuple(sorted(blocks, key=lambda block: (block.slot, block.signing_root or b"")))


def _read_block(block: _SignedBlock) -> SignedBlock:
    slot = int(block.slot)
    if slot > MAX_SLOT:
        raise InvalidInput(f"slot {slot} is too large")
    root = block.signing_root
    return SignedBlock(
        slot=Slot(slot),
        signing_root=None if root is None else Root(parse_hex(root, 32, what="signing_root")),
    )
