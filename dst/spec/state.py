"""The small versioned container whose root is a block's `state_root`.

Each leaf is a function of the block and its ancestors, so every voter and every follower computes
the same root, and one group signature over a five-field header proves all leaves.
"""

from dataclasses import dataclass
from typing import Annotated, Final

from dst.spec.beacon import BYTES32, ExecutionPayload, L1Origin, SszHash, SszRoot, Uint64
from dst.spec.primitives import Hash32, Root
from dst.spec.ssz import container, hash_tree_root

ROLLUP_STATE_VERSION: Final = 1


@container
@dataclass(frozen=True, slots=True, kw_only=True)
class RollupState:
    """Version 1. `l2_state_root` is the execution layer's state root, `membership_root` that of the
    operator set.
    """

    version: Uint64
    l1_origin_number: Uint64
    l1_origin_hash: SszHash
    l2_state_root: Annotated[Hash32, BYTES32]
    membership_root: SszRoot


def compute_state_root(origin: L1Origin, payload: ExecutionPayload, membership_root: Root) -> Root:
    """The only valid `state_root` of a block with this origin and payload."""
    return hash_tree_root(
        RollupState(
            version=ROLLUP_STATE_VERSION,
            l1_origin_number=origin.number,
            l1_origin_hash=origin.hash,
            l2_state_root=payload.state_root,
            membership_root=membership_root,
        )
    )
