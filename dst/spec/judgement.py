"""What a node says of a block: rules, L1, execution and the voter's own view all answer so."""

from enum import StrEnum

import msgspec


class Verdict(StrEnum):
    """HOLD: not yet; it may become valid before the round ends. Ask again."""

    VALID = "VALID"
    INVALID = "INVALID"
    HOLD = "HOLD"


class Judgement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A verdict, with the reason for a refusal or a hold, for a person."""

    status: Verdict
    reason: str = ""

    @property
    def is_valid(self) -> bool:
        return self.status is Verdict.VALID
