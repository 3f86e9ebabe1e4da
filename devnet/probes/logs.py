"""Exceptions that a role did not handle, from its log: a traceback there is nothing that it says of
its own accord."""

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from devnet.model.clock import now
from devnet.model.history import ExceptionLogged, Record

LOOK_EVERY_S: Final = 1.0
MAX_READ: Final = 1 << 18
"""At a look; a log that grows faster is read with delay."""
MAX_LINE: Final = 300
MOST_TOLD: Final = 3
"""Of one program: the first explains the others."""
LEFT_OUT: Final = "[devnet: {} bytes are left out here]"
"""Stands in the log of which the keeper has cut out the middle."""
MAX_HEAD: Final = 2 << 20
"""Of a log, within which that stands."""
_LEFT_OUT: Final = re.compile(
    b"^" + re.escape(LEFT_OUT).replace(r"\{\}", r"\d+").encode() + b"$", re.MULTILINE
)
_TRACEBACK: Final = "Traceback (most recent call last):"
_GROUP: Final = f"Exception Group {_TRACEBACK}"
_MARGIN: Final = " +|"
"""Before the lines of an exception group."""
_CLOSED: Final = re.compile(r" *\+-{30,}")
"""After its last exception."""


async def watch_logs(
    folder: Path, programs: Sequence[str], record: Callable[[Record], None]
) -> None:
    """Records what comes from now on, until cancelled."""
    logs = {name: Log(folder / f"{name}.log") for name in programs}
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        for name, log in logs.items():
            for told in log.exceptions():
                record(ExceptionLogged(program=name, told=told, monotonic=now()))


class Log:
    """One that grows, read from its present end on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = self._size()
        self._begun = b""
        """Of the last line."""
        self._before = ""
        self._inside = False
        self._group: list[str] | None = None
        """Exceptions of the group that is being read, itself first."""
        self._told = 0

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            return 0

    def exceptions(self) -> Iterator[str]:
        """That were written since the last look."""
        for line in self._lines():
            for told in self._ended_by(line):
                self._told += 1
                if self._told <= MOST_TOLD:
                    yield told

    def _ended_by(self, line: str) -> Iterator[str]:
        """The exception that ends with this line, if one does; a group with the last one in it."""
        if self._group is not None:
            if line.startswith(" ") and not _CLOSED.fullmatch(line):
                if _is_exception(line):
                    self._group.append(line.lstrip(_MARGIN))
                return
            group, self._group = self._group or ["an exception group"], None
            yield self._in_words(*dict.fromkeys((group[0], group[-1])))
            if line.startswith(" "):
                return
        text = line.lstrip(_MARGIN)
        if text.startswith((_TRACEBACK, _GROUP)):
            self._inside = text == line
            self._group = None if self._inside else []
        elif not self._inside:
            self._before = line
        elif line and not line.startswith(" "):  # frames are indented, the exception is not
            self._inside = False
            yield self._in_words(line)

    def _in_words(self, *found: str) -> str:
        return ": ".join(part[:MAX_LINE] for part in (self._before, *found) if part)

    def _begin_again(self) -> None:
        """Another one is in its place, which is all new; or its middle was cut out, and what is
        there now may be of long ago."""
        try:
            with self._path.open("rb") as file:
                is_cut = _LEFT_OUT.search(file.read(MAX_HEAD)) is not None
        except OSError:
            is_cut = False
        self._at, self._begun = self._size() if is_cut else 0, b""
        self._inside, self._group = False, None

    def _lines(self) -> Sequence[str]:
        if self._size() < self._at:
            self._begin_again()
        try:
            with self._path.open("rb") as file:
                file.seek(self._at)
                new = file.read(MAX_READ)
        except OSError:
            return ()
        self._at += len(new)
        *lines, self._begun = (self._begun + new).split(b"\n")
        self._begun = self._begun[-MAX_READ:]
        return [line.decode(errors="replace") for line in lines]


def _is_exception(line: str) -> bool:
    """Of a line within the margin of a group: neither a frame, nor a heading, nor a title."""
    text = line.lstrip(" ").removeprefix("| ")
    return (
        line.lstrip(" ").startswith("| ")
        and not text.startswith((" ", _TRACEBACK, _GROUP, "+"))
        and bool(text)
    )
