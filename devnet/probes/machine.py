"""How this machine itself is: what a run's timing verdicts rest on.

Linux tells of stolen time and pressure (`/proc/stat`, `/proc/pressure/cpu`); a timer that comes
late tells everywhere, and is what counts: whoever judges was held up himself.
"""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from devnet.model.clock import now
from devnet.model.history import MachineSeen, Record

LOOK_EVERY_S: Final = 0.25
_STAT: Final = Path("/proc/stat")
_PRESSURE: Final = Path("/proc/pressure/cpu")
_IDLE: Final = (3, 4)
"""Idle and waiting for a disk: their places among the times of a CPU (proc(5))."""
_STEAL: Final = 7
_OWN: Final = 8
"""So many of them; what guests used stands in `user` already."""


async def watch_machine(folder: Path, record: Callable[[Record], None]) -> None:
    """Records until it is cancelled. folder: where the run writes."""
    before = _cpu_times()
    while True:
        due = now() + LOOK_EVERY_S
        await asyncio.sleep(LOOK_EVERY_S)
        after = _cpu_times()
        record(
            MachineSeen(
                monotonic=now(),
                late=max(0.0, now() - due),
                steal=_share(before, after),
                pressure=_pressure(),
                free_bytes=_free_bytes(folder),
                busy=_busy(before, after),
            )
        )
        before = after


def _cpu_times() -> tuple[int, ...] | None:
    try:
        return tuple(int(word) for word in _STAT.read_text().split("\n", 1)[0].split()[1:])
    except (OSError, ValueError):
        return None


def _share(before: tuple[int, ...] | None, after: tuple[int, ...] | None) -> float | None:
    """Of the time between, what a hypervisor gave to others."""
    if before is None or after is None or len(after) <= _STEAL:
        return None
    passed = sum(after) - sum(before)
    return (after[_STEAL] - before[_STEAL]) / passed if passed > 0 else 0.0


def _busy(before: tuple[int, ...] | None, after: tuple[int, ...] | None) -> float | None:
    if before is None or after is None or len(after) < _OWN:
        return None
    passed = sum(after[:_OWN]) - sum(before[:_OWN])
    idle = sum(after[place] - before[place] for place in _IDLE)
    return 1 - idle / passed if passed > 0 else None


def _pressure() -> float | None:
    """Percent of the last ten seconds in which somebody waited for a CPU."""
    try:
        words = _PRESSURE.read_text().split()
        return float(next(word for word in words if word.startswith("avg10=")).partition("=")[2])
    except (OSError, ValueError, StopIteration):
        return None


def _free_bytes(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
