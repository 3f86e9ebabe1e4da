"""What every command of `devnet` has in common."""

from enum import IntEnum
from typing import Final

from dst.runtime.printing import escape_what_cannot_be_shown

__all__ = ["DEFAULT_DIR", "Exit", "escape_what_cannot_be_shown"]
DEFAULT_DIR: Final = ".devnet"
"""Of a network, unless `--dir` says otherwise."""


class Exit(IntEnum):
    """Exit codes."""

    OK = 0
    FAILED = 1
    """An invariant broke."""
    NOTHING_SHOWN = 2
    """A run that was inconclusive or vacuous."""
    HARNESS = 3
    """The harness itself failed, or was asked for what cannot be."""
