"""CPU time of the programs that sequence, from /proc; nothing where they are not processes of this
machine's own."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

from devnet.model.clock import now
from devnet.model.history import CpuSeen, Record

LOOK_EVERY_S: Final = 0.5
TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")

Pids = Callable[[], Awaitable[Mapping[str, int]]]
"""Program -> its process, of those that run and count."""


async def watch_cpu(pids: Pids, record: Callable[[Record], None]) -> None:
    """Records until it is cancelled. What a program used between the last look at it and its end is
    not seen."""
    if not sys.platform.startswith("linux"):
        return
    used: dict[int, float] = {}
    total = 0.0
    while True:
        for pid in (await pids()).values():
            seconds = cpu_seconds_of(pid)
            total += max(0.0, seconds - used.get(pid, seconds))
            used[pid] = seconds
        if used:
            record(CpuSeen(monotonic=now(), seconds=total))
        await asyncio.sleep(LOOK_EVERY_S)


def cpu_seconds_of(pid: int) -> float:
    """User and system time of a process and its waited-for children (proc(5), stat fields 14 to
    17)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    # The command in parentheses may hold blanks: count fields from behind it.
    fields = text.rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / TICKS_PER_SECOND
