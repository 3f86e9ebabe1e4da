"""What the durable log holds for sealing: our own partials (sign-once), and the group signatures.

A PartialRecord may be dropped once its height's SealRecord is durable; SealRecords are kept and
served.
"""

from typing import TypeAlias

import msgspec

from dst.sealing.messages import GroupSignature, PartialSignature


class PartialRecord(
    msgspec.Struct, frozen=True, array_like=True, tag="partial", forbid_unknown_fields=True
):
    """Our own partial, about to be sent: the only one of its (term, height), ever."""

    message: PartialSignature


class SealRecord(
    msgspec.Struct, frozen=True, array_like=True, tag="seal", forbid_unknown_fields=True
):
    """The verified group signature of a height: the debt is paid."""

    message: GroupSignature


Record: TypeAlias = PartialRecord | SealRecord
