"""May this key sign this block? The complete strategy of EIP-3076 for proposals.

One record for each signed block. A slot is the time slot, never the height; a record without a
signing root forbids its slot altogether (a watermark, or an import that did not say). Attestations
are not signed here and have no rules.
Source: EIP-3076 §Conditions, 1 and 2.
"""

from collections.abc import Collection
from enum import StrEnum

from dst.spec.primitives import Root, Slot


class Refusal(StrEnum):
    """Why a block may not be signed."""

    DOUBLE_PROPOSAL = "double_proposal"
    BELOW_MINIMUM = "below_minimum"


def check_block(
    slot: Slot, signing_root: Root, *, at_slot: Collection[Root | None], minimum: Slot | None
) -> Refusal | None:
    """The reason to refuse, or None.

    Args:
        at_slot: signing roots on record for this very slot (None: signed, root unknown).
        minimum: lowest slot on record; None when there is no record at all.
    """
    if at_slot:
        # The same root again is the same signature again: that is how a lost answer is repeated.
        repeats = all(recorded == signing_root for recorded in at_slot)
        return None if repeats else Refusal.DOUBLE_PROPOSAL
    if minimum is not None and slot <= minimum:
        return Refusal.BELOW_MINIMUM
    return None
