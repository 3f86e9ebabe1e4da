"""No room on a disk: how a store finds out, and how it says so, once, and once when there is again.

A full disk ends no program: what is to be kept is tried again, and what rests on it waits. A disk
that fails in another way does end one, where nobody knows what was written.
"""

import sqlite3
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from dst.runtime.log import Logger
from dst.spec.errors import Unavailable

ANY: Final = "record"


class DiskFull(Unavailable):
    """Nothing was written, so nothing that rests on it may be said: whoever wants it kept asks
    again."""


class Room:
    """What one store lacks of it. `event` begins the log line of whoever waits for room."""

    def __init__(self, store: Path, log: Logger, *, event: str = "disk_full") -> None:
        self._store, self._log, self._event = store, log, event
        self._lacking: dict[Hashable, str] = {}
        """What was not taken when it was tried last, and why. A small record may fit where a block
        does not, and that is no news."""

    @contextmanager
    def needed(self, what: Hashable = ANY) -> Iterator[None]:
        """Around one write to SQLite. Raises: DiskFull in place of SQLite's own error."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_FULL":
                raise
            raise self.lacks(what) from error
        self.suffices(what)

    def lacks(self, what: Hashable = ANY, reason: str = "") -> DiskFull:
        """A write found none; what to raise. reason: in the words of who wrote, where those say
        more."""
        if not self._lacking:
            why = {"reason": reason} if reason else {}
            self._log.error(self._event, store=str(self._store), **why, do="free some space")
        self._lacking[what] = f" ({reason})" if reason else ""
        return DiskFull(f"disk is full: {self._store}{self._lacking[what]}; waits for room")

    def suffices(self, what: Hashable = ANY) -> None:
        """It was written, or is wanted no more."""
        if self._lacking.pop(what, None) is not None and not self._lacking:
            self._log.info("disk_takes_writes_again", store=str(self._store))

    def waits_for(self) -> str | None:
        """For a person; None while the disk takes writes."""
        for reason in self._lacking.copy().values():
            return f"room on the disk of {self._store}{reason}"
        return None
