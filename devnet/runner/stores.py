"""What programs keep on disk, as a fault finds it: `Stores` over the network's folder, where both
backends keep it. Beside `data` of a program lie `copy` (a backup) and `lost` (what a fault took).

What a power loss takes is what SQLite and LMDB say that they have not flushed. Of a store that
flushes each commit (those that promise something: middleware, validator) that is nothing. Of
another SQLite store it is the write-ahead log, which only a checkpoint flushes. Of LMDB without
`metasync` it is the page that makes the newest commit current.
"""

import asyncio
import hashlib
import os
import shutil
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from devnet.faults.surface import CannotInject
from devnet.model.topology import Role

FLIP_EVERY: Final = 512
"""Bytes between two flipped bits: each page is hit."""
FLIP_FROM: Final = 100
"""The header of an SQLite file lies below: with another one it is no SQLite file at all."""
_NOTHING_LOST: Final = "nothing"
"""In place of a digest."""
_LMDB_PAGE: Final = 4096
_LMDB_MAGIC: Final = 0xBEEFC0DE
_LMDB_MAGIC_AT: Final = 16
"""In a meta page, behind the page's own header."""
_LMDB_TXNID_AT: Final = 16 + 128
"""Behind magic and version, address and size of the map, two databases of 48 bytes, last page."""


class LiveStores:
    """Folders are emptied and filled, never replaced: containers have them mounted."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._left: dict[str, str] = {}
        """Program -> digest of its files as a fault left them."""

    async def copy(self, programs: Sequence[str]) -> None:
        await self._each(programs, lambda home, _: _copy(home / "data", home / "copy"))

    async def bring_copy(self, programs: Sequence[str]) -> None:
        await self._each(programs, lambda home, _: _copy(home / "copy", home / "data"))

    async def lose(self, programs: Sequence[str]) -> None:
        def lose(home: Path, _: str) -> None:
            _copy(home / "data", home / "lost")
            _empty(home / "data")

        await self._each(programs, lose)

    async def lose_unsynced(self, programs: Sequence[str]) -> None:
        lost: list[str] = []

        def lose(home: Path, name: str) -> None:
            if _lose_unsynced(home / "data", Role(name.partition(".")[2])):
                lost.append(name)
            self._left[name] = _digest(home / "data")

        await self._each(programs, lose)
        if not lost:
            self._left.update(dict.fromkeys(programs, _NOTHING_LOST))

    async def flip(self, programs: Sequence[str]) -> None:
        def flip(home: Path, name: str) -> None:
            for file in _files(home / "data"):
                _flip(file)
            self._left[name] = _digest(home / "data")

        await self._each(programs, flip)

    async def not_copy(self, programs: Sequence[str]) -> str:
        return await self._told(
            programs,
            lambda home, _: (
                "" if _digest(home / "data") == _digest(home / "copy") else "is not the copy"
            ),
        )

    async def not_lost(self, programs: Sequence[str]) -> str:
        return await self._told(
            programs, lambda home, _: "has a store" if _files(home / "data") else ""
        )

    async def not_touched(self, programs: Sequence[str]) -> str:
        return await self._told(
            programs,
            lambda home, name: (
                "had nothing to lose"
                if (left := self._left.get(name)) == _NOTHING_LOST
                else ("" if _digest(home / "data") == left else "is not as it was left")
            ),
        )

    async def _each(self, programs: Sequence[str], work: Callable[[Path, str], None]) -> None:
        try:
            for name in programs:
                await _to_its_end(partial(work, self._home(name), name))
        except (OSError, struct.error) as error:
            raise CannotInject(f"store of {name}: {error}") from error

    async def _told(self, programs: Sequence[str], look: Callable[[Path, str], str]) -> str:
        complaints = []
        try:
            for name in programs:
                if complaint := await asyncio.to_thread(look, self._home(name), name):
                    complaints.append(f"store of {name} {complaint}")
        except OSError as error:
            return str(error)
        return ", ".join(complaints)

    def _home(self, name: str) -> Path:
        node, _, role = name.partition(".")
        return self._directory / "nodes" / node / role


async def _to_its_end(work: Callable[[], None]) -> None:
    """In a thread, which nobody can break off: whoever is cancelled meanwhile learns it after its
    end, since next comes a program that is started on those files."""
    running = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([running])
        running.exception()  # what went wrong is no news to whoever breaks off
        raise


def _files(folder: Path) -> list[Path]:
    """What holds data: locks and shared memory are made anew."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return [
        path
        for path in found
        if path.name not in ("LOCK", "in-use", "lock.mdb") and not path.name.endswith("-shm")
    ]


def _empty(folder: Path) -> None:
    for entry in list(folder.iterdir()):
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _copy(source: Path, target: Path) -> None:
    """The files of one folder in place of another's, as their owner's."""
    target.mkdir(exist_ok=True)
    _empty(target)
    for file in _files(source):
        place = target / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, place)
        if os.geteuid() == 0:  # containers of ours run as another user
            whose = file.stat()
            os.chown(place, whose.st_uid, whose.st_gid)
            os.chown(place.parent, whose.st_uid, whose.st_gid)


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in _files(folder):
        data = file.read_bytes()
        digest.update(f"{file.relative_to(folder)} {len(data)}\n".encode() + data)
    return digest.hexdigest()


def _flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    for place in range(FLIP_FROM, len(data), FLIP_EVERY):
        data[place] ^= 1 << (place // FLIP_EVERY % 8)
    file.write_bytes(data)


def _lose_unsynced(folder: Path, role: Role) -> bool:
    """Whether there was any. Raises: OSError."""
    lost = False
    match role:
        case Role.ROLLUP:
            for log in folder.rglob("*-wal"):
                lost |= log.stat().st_size > 0
                os.truncate(log, 0)
        case Role.EXECUTION:
            for file in folder.rglob("data.mdb"):
                _forget_last_commit(file)
                lost = True
        case _:
            pass
    return lost


def _forget_last_commit(file: Path) -> None:
    """The newer of the two meta pages becomes what the older one says. Raises: OSError."""
    data = file.read_bytes()[: 2 * _LMDB_PAGE]
    metas = [data[:_LMDB_PAGE], data[_LMDB_PAGE:]]
    for meta in metas:
        (magic,) = struct.unpack_from("<I", meta, _LMDB_MAGIC_AT)
        if magic != _LMDB_MAGIC:
            raise OSError(f"{file} is not what LMDB of this machine writes")
    transactions = [struct.unpack_from("<Q", meta, _LMDB_TXNID_AT)[0] for meta in metas]
    older = metas[transactions.index(min(transactions))]
    newer_at = transactions.index(max(transactions)) * _LMDB_PAGE
    with file.open("r+b") as handle:
        handle.seek(newer_at + _LMDB_MAGIC_AT)
        handle.write(older[_LMDB_MAGIC_AT : _LMDB_TXNID_AT + 8])
