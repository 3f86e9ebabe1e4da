"""Logs stay small however much a program says: of one that has outgrown its bound, the beginning
and the end are kept.

Programs append to files (`O_APPEND`, on both backends), so that a harness which hangs holds nobody
up; it is cut here, in place. Lines written while that happens may be lost: the middle is anyway.
"""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from devnet.probes.logs import LEFT_OUT

MIB: Final = 2**20
MOST: Final = 32 * MIB
"""A day of an operator's middleware is half of it; thirty programs stay below a gigabyte."""
HEAD: Final = 1 * MIB
TAIL: Final = 15 * MIB
LOOK_EVERY_S: Final = 1.0
"""What a program says in that time comes on top."""


@dataclass
class LogKeeper:
    """Bytes: most of a file, and of its ends."""

    folder: Path
    say: Callable[[str], None]
    most: int = MOST
    head: int = HEAD
    tail: int = TAIL
    _left_out: dict[Path, int] = field(default_factory=dict)
    """Bytes, of those that were cut."""
    _failed: set[Path] = field(default_factory=set)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await asyncio.to_thread(self.look)

    def look(self) -> None:
        for path in self.folder.glob("*.log"):
            try:
                if path.stat().st_size > self.most:
                    self._cut(path)
            except OSError as error:
                if path not in self._failed:
                    self._failed.add(path)
                    self.say(f"{path} cannot be kept small: {error.strerror}")

    def _cut(self, path: Path) -> None:
        if path not in self._left_out:
            self.say(
                f"{path.stem} has said more than {self.most / MIB:.0f} MiB: of its log the "
                "beginning and the end are kept"
            )
        with path.open("rb") as log:
            first = log.read(self.head)
            log.seek(-self.tail, os.SEEK_END)
            last = log.read(self.tail)
        first = first[: first.rfind(b"\n") + 1]
        last = last[last.find(b"\n") + 1 :]
        out = path.stat().st_size - len(first) - len(last)
        self._left_out[path] = out = out + self._left_out.get(path, 0)
        os.truncate(path, len(first))
        with path.open("ab") as log:
            log.write(f"{LEFT_OUT.format(out)}\n".encode() + last)
