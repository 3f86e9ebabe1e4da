"""Which batches make the derived chain: the same answer for everybody who reads L1. Pure."""

from dataclasses import dataclass

from dst.derivation.frame import Batch
from dst.spec.beacon import BeaconBlock
from dst.spec.primitives import Height, Root


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivedHead:
    """The last block derived so far: height and beacon root; genesis to begin with."""

    height: Height
    root: Root


def extend(head: DerivedHead, batch: Batch) -> tuple[BeaconBlock, ...] | str:
    """The blocks that `batch` adds on `head`, or why it adds none.

    Two leaders may post overlapping batches; what is known already is skipped. A batch that starts
    above the next height waits for nobody: the next interval's leader posts from the gap on.
    """
    if batch.last_height <= head.height:
        return "adds nothing new"
    if batch.first_height > head.height + 1:
        return f"starts at height {batch.first_height}, after a gap above {head.height}"
    new = batch.blocks[head.height + 1 - batch.first_height :]
    if new[0].parent_root != head.root:
        return f"does not extend the derived block of height {head.height}"
    return new
