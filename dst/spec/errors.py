"""The exception tree, grouped by what the catcher does.

DstError
├── InvalidInput      somebody sent something wrong: refuse, keep running (4xx, JSON-RPC error)
│   └── BadConfig     a file or flag of ours is wrong: print the reason and what to do, exit 2
├── Unavailable       a neighbour cannot answer now: retry with back-off (503)
├── ResetRequired     L1 moved below our origin: halt until the next term (409)
└── StoreDamaged      a disk did not give back what was written: end the role, exit 2

`AssertionError` is our bug: never caught below the top task group. Stop rather than sign nonsense.
"""

from typing import Final

import msgspec


class DstError(Exception):
    """Root of the errors this project raises on purpose; the message is for a person."""


class InvalidInput(DstError):
    """A valid peer or user would not have sent this."""


class BadConfig(InvalidInput):
    """A configuration file, key file or flag is wrong; the message says which and what to do."""


class Unavailable(DstError):
    """The answer is not to be had now; the same question may be answered later."""


class ResetRequired(DstError):
    """L1 reorganised below an origin in use (docs/consensus.md, 'What halts an operator')."""

    def __init__(self, first_affected_height: int, detail: str) -> None:
        super().__init__(f"L1 reset: first affected height {first_affected_height}: {detail}")
        self.first_affected_height = first_affected_height


class StoreDamaged(DstError):
    """A store of ours does not hold what was written to it. Nobody who asked for it did wrong, and
    the role cannot know what else it forgot: it ends, wherever this is met."""

    def __init__(self, store: object, how: str, do: str) -> None:
        """do: what, for a person."""
        super().__init__(f"store {store} is corrupt ({how}); {do}")


UNREADABLE: Final = (msgspec.DecodeError, ValueError, RecursionError)
"""What msgspec raises for bytes from outside: a string that is not UTF-8 is a plain ValueError, and
one such byte must not end a program."""
