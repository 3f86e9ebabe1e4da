"""Run folders on their way here from a worker's machine: compressed, bounded, and what was left out
is named."""

import shutil
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

MOST_BYTES: Final = 64 * 1024 * 1024
"""Of one batch, compressed: a run that passed has some 30 kB, one that failed its logs too."""
MOST_OF_A_LOG: Final = 8 * 1024 * 1024
"""Before it is compressed; its end is kept, which is where the failure is."""
LOGS: Final = "logs"
NOTE: Final = "machine.json"
"""In a run's folder: where it ran, and what of it stayed there."""
_READ: Final = 1024 * 1024


class PackedRun(msgspec.Struct):
    """files: path within the run's folder -> compressed. cut: what is not among them, or not
    whole."""

    name: str
    files: dict[str, bytes]
    cut: list[str]


class Parcel(msgspec.Struct):
    """left: runs that are not among `runs`, and why. log: last words of the batch, compressed."""

    machine: str
    slot: int
    runs: list[PackedRun] = []
    left: list[str] = []
    log: bytes = b""

    @property
    def place(self) -> str:
        return f"{self.machine}-slot-{self.slot}"


class _Note(msgspec.Struct):
    machine: str
    slot: int
    cut: list[str]


def packed(
    folders: Sequence[Path], *, machine: str, slot: int, log: Path, most: int = MOST_BYTES
) -> Parcel:
    """What is judged goes first, of all runs, and logs where there is room left.

    A run whose record has no room is left out whole: half a record would say something else.
    """
    parcel = Parcel(machine, slot, log=zlib.compress(_end_of(log)))
    room = most
    for folder in folders:
        run = PackedRun(folder.name, {}, [])
        for path in _files(folder, logs=False):
            data = _compressed(path, room - sum(map(len, run.files.values())))
            if data is None:
                parcel.left.append(f"{folder.name}: more than {most} bytes with {path.name}")
                break
            run.files[path.name] = data
        else:
            parcel.runs.append(run)
            room -= sum(map(len, run.files.values()))
    found = {folder.name: folder for folder in folders}
    for run in parcel.runs:
        for path in _files(found[run.name], logs=True):
            name = path.relative_to(found[run.name]).as_posix()
            data = zlib.compress(_end_of(path))
            if len(data) > room:
                run.cut.append(f"{name}: left out, {path.stat().st_size} bytes")
                continue
            if (size := path.stat().st_size) > MOST_OF_A_LOG:
                run.cut.append(f"{name}: the last {MOST_OF_A_LOG} of {size} bytes")
            run.files[name] = data
            room -= len(data)
    return parcel


def unpacked(parcel: Parcel, into: Path, aside: Path) -> list[Path]:
    """A folder each in `into`, there whole or not at all. aside: on the same disk, for the time
    being. Raises: ValueError for a path that leads elsewhere; OSError."""
    found = []
    for run in parcel.runs:
        fresh = aside / _plain(run.name)
        shutil.rmtree(fresh, ignore_errors=True)
        for name, data in run.files.items():
            path = fresh.joinpath(*map(_plain, name.split("/")))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(zlib.decompress(data))
        note = _Note(parcel.machine, parcel.slot, run.cut)
        (fresh / NOTE).write_bytes(msgspec.json.encode(note) + b"\n")
        into.mkdir(parents=True, exist_ok=True)
        found.append(fresh.rename(_free(into / run.name)))
    return found


def _files(folder: Path, *, logs: bool) -> Iterator[Path]:
    for path in sorted((folder / LOGS if logs else folder).glob("*")):
        if path.is_file():
            yield path


def _compressed(path: Path, most: int) -> bytes | None:
    """None for what is larger."""
    squeeze, found = zlib.compressobj(), bytearray()
    with path.open("rb") as file:
        while (part := file.read(_READ)) and len(found) <= most:
            found += squeeze.compress(part)
    found += squeeze.flush()
    return bytes(found) if len(found) <= most else None


def _end_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - MOST_OF_A_LOG))
            return file.read(MOST_OF_A_LOG)
    except FileNotFoundError:
        return b""


def _plain(name: str) -> str:
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise ValueError(f"{name!r} is no name of a file")
    return name


def _free(path: Path) -> Path:
    """Two machines may begin the same seed in the same second, one after the other's worker died
    and before its batch did."""
    found, number = path, 1
    while found.exists():
        number += 1
        found = path.with_name(f"{path.name}-{number}")
    return found
