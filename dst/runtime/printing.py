"""What a terminal cannot show is shown as an escape: an answer is never lost to a letter."""

import sys
from io import TextIOWrapper


def escape_what_cannot_be_shown() -> None:
    """Of standard output, as Python does it of standard error: `…` is `\\u2026` on an ASCII
    terminal. First thing in every program that prints."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
