"""Exceptions that a role did not handle, from its log: a traceback there is nothing that it says of
its own accord."""

import asyncio
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
_TRACEBACK: Final = "Traceback (most recent call last):"


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
        self._told = 0

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            return 0

    def exceptions(self) -> Iterator[str]:
        """That were written since the last look."""
        for line in self._lines():
            if line.startswith(_TRACEBACK):
                self._inside = True
            elif not self._inside:
                self._before = line
            elif line and not line.startswith(" "):  # frames are indented, the exception is not
                self._inside = False
                self._told += 1
                if self._told <= MOST_TOLD:
                    yield ": ".join(filter(None, (self._before[:MAX_LINE], line[:MAX_LINE])))

    def _lines(self) -> Sequence[str]:
        if self._size() < self._at:  # another one in its place
            self._at, self._begun = 0, b""
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
