"""Two blocks at one height that the group signed: written down for people, and the node stops.

That cannot happen while at most f operators are faulty, so whoever sees it must not choose a side.
The folder survives restarts: a node that finds evidence at start stays stopped until a person has
looked at it and moved it away.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dst.apis.beacon import WireBlock, encode_signed
from dst.runtime.files import write_atomic
from dst.spec import ssz
from dst.spec.beacon import BeaconBlock
from dst.spec.primitives import Height, Root, to_hex

FOLDER: Final = "evidence"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One side: the block at the height in question, and up to the sealed block that covers it."""

    blocks: tuple[WireBlock, ...]
    """Ascending; the first is the block at the height, the last carries the signature."""
    source: str
    """Where it was seen."""


def write_evidence(data_dir: Path, height: Height, claims: Sequence[Claim], what: str) -> Path:
    """Write both sides as SSZ SignedBeaconBlocks with a readable summary; the folder written."""
    folder = data_dir / FOLDER / f"height-{height}"
    folder.mkdir(parents=True, exist_ok=True)
    summary = {"height": height, "what": what, "claims": [_describe(c) for c in claims]}
    for side, claim in zip("ab", claims, strict=True):
        for position, block in enumerate(claim.blocks):
            write_atomic(folder / f"{side}-{position}.ssz", encode_signed(block))
    write_atomic(folder / "summary.json", json.dumps(summary, indent=2).encode() + b"\n")
    return folder


def conflict(claims: Sequence[Claim]) -> bool:
    """Do the two sides really name different blocks at one height?"""
    (height_a, root_a), (height_b, root_b) = (_place_of(each.blocks[0]) for each in claims)
    return height_a == height_b and root_a != root_b


def _place_of(wire: WireBlock) -> tuple[int, Root]:
    block = ssz.decode(BeaconBlock, wire.message)
    return block.body.execution_payload.block_number, ssz.hash_tree_root(block)


def find_evidence(data_dir: Path) -> str | None:
    """What an earlier run wrote down, for the alarm; None when there is nothing."""
    found = sorted((data_dir / FOLDER).glob("height-*/summary.json"))
    if not found:
        return None
    return f"evidence of two signed blocks at one height in {found[0].parent}"


def _describe(claim: Claim) -> dict[str, object]:
    return {"source": claim.source, "blocks": [_describe_block(block) for block in claim.blocks]}


def _describe_block(wire: WireBlock) -> dict[str, object]:
    block = ssz.decode(BeaconBlock, wire.message)
    return {
        "height": block.body.execution_payload.block_number,
        "slot": block.slot,
        "root": to_hex(ssz.hash_tree_root(block)),
        "parent_root": to_hex(block.parent_root),
        "execution_hash": to_hex(block.body.execution_payload.block_hash),
        "signature": to_hex(wire.signature),
    }
