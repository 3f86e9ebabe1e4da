"""What a role can be asked to suffer, for drills: by its environment, which nobody sets otherwise.

`DST_MACHINE` names a file that says how the machine behaves; it is read again when it changes.
`DST_CRASH_AT` is the name of a crash point, `name` or `name:count`: there the role ends as if
killed. What follows from both is in `dst.runtime.machine` and `dst.runtime.crash_points`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final, NamedTuple, TypeAlias

import msgspec

MACHINE_VARIABLE: Final = "DST_MACHINE"
CRASH_VARIABLE: Final = "DST_CRASH_AT"
DRILL_VARIABLES: Final = (MACHINE_VARIABLE, CRASH_VARIABLE)
CRASH_EXIT_CODE: Final = 86
"""Of a role that ended at its crash point; nothing else uses it."""

CLOCK_METRIC: Final = "dst_drill_clock_seconds"
"""Unix seconds by the clock of a role whose machine drills."""
FLUSH_METRIC: Final = "dst_drill_flush_seconds"
"""How long its last flush to disk took; 0 before the first."""


MAX_FLUSH_S: Final = 60.0
"""No disk that still works takes longer, and a role can be told to stop only in between."""
_Seconds: TypeAlias = Annotated[float, msgspec.Meta(ge=-1e11, le=1e11)]
"""Some thousand years: a sum of these is a number."""


class Machine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file, as JSON. As it is here, and without a file, nothing is out of order."""

    ahead_s: _Seconds = 0.0
    """Of the wall clock; below 0: behind."""
    drift: Annotated[float, msgspec.Meta(ge=-10, le=10)] = 0.0
    """Seconds that it gains in each true one since `since`."""
    since: _Seconds = 0.0
    """Unix seconds, true ones."""
    flush_s: Annotated[float, msgspec.Meta(ge=0, le=MAX_FLUSH_S)] = 0.0
    """Added to each flush to disk."""
    full: bool = False
    """The disk takes nothing more."""

    def clock(self, true_s: float) -> float:
        """Unix seconds as the role reads them at the true moment `true_s`."""
        return true_s + self.ahead_s + self.drift * (true_s - self.since if self.drift else 0.0)


AS_IT_IS: Final = Machine()


class CrashPoint(NamedTuple):
    role: str
    means: str


CRASH_POINTS: Final[Mapping[str, CrashPoint]] = MappingProxyType(
    {
        "vote-before-persist": CrashPoint("middleware", "a vote is made, not yet on disk"),
        "vote-after-persist": CrashPoint("middleware", "a vote is on disk, not yet sent"),
        "vote-after-send": CrashPoint("middleware", "a vote was handed to the links"),
        "decision-after-persist": CrashPoint(
            "middleware", "a decided block is on disk, and nobody here was told"
        ),
        "partial-after-persist": CrashPoint(
            "middleware", "the own partial signature is on disk, not yet sent"
        ),
        "block-before-store": CrashPoint(
            "rollup", "the execution layer has imported a decided block, the own store has not"
        ),
        "block-before-forkchoice": CrashPoint(
            "rollup", "a decided block is imported and stored, the forkchoice not yet updated"
        ),
        "write-before-commit": CrashPoint("execution", "a write is made, not yet committed"),
        "write-after-commit": CrashPoint("execution", "a write is committed, not yet answered"),
        "protection-before-signature": CrashPoint(
            "validator", "the slashing protection is written, the signature not yet made"
        ),
        "signature-before-publish": CrashPoint(
            "validator", "the signature is made, and has not left"
        ),
    }
)
"""Name -> where it is."""
