"""How far a long piece of work is: a bar with the time left on a terminal, a line now and then
elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

SPEED_OVER_S: Final = 3600.0
"""Runs take a minute each: a shorter look back would have no two of them."""


@contextmanager
def shown_progress(to: TextIO) -> Iterator[Callable[[int, int], None]]:
    """Gives what is to be told (done, total), as often as one likes."""
    console = Console(file=to)
    if not console.is_terminal:
        yield _Lines(to)
        return
    columns = (
        TextColumn("runs"), BarColumn(), MofNCompleteColumn(), TextColumn("left:"),
        TimeRemainingColumn(), TextColumn("so far:"), TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, speed_estimate_period=SPEED_OVER_S) as bar:
        task = bar.add_task("runs", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class _Lines:
    """One line a run."""

    def __init__(self, to: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._to = to
        self._clock = clock
        self._first: tuple[float, int] | None = None
        self._last = -1

    def __call__(self, done: int, total: int) -> None:
        if done == self._last:
            return
        self._last = done
        now = self._clock()
        began, already = self._first = self._first or (now, done)
        fresh = done - already
        left = f", {_time((now - began) / fresh * (total - done))} left" if fresh else ""
        print(f"{done} of {total} runs{left if done < total else ''}", file=self._to, flush=True)


def _time(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
