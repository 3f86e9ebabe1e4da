"""How far a campaign is: a bar with its rate on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

LINE_EVERY_S: Final = 30.0

Advance: TypeAlias = Callable[[int, int], None]
"""(done, failures)."""


@contextmanager
def progress(title: str, unit: str, wanted: int) -> Iterator[Advance]:
    """On stderr; `unit` is what is counted."""
    if not sys.stderr.isatty():
        yield _Lines(title, unit, wanted)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=wanted, rate="")
        begun = time.monotonic()

        def advance(done: int, failures: int) -> None:
            told = rated(unit, done, time.monotonic() - begun, failures)
            bar.update(task, completed=min(done, wanted), rate=told)

        yield advance


def rated(unit: str, done: int, seconds: float, failures: int) -> str:
    """`21 seeds/s, 0 failures`."""
    return f"{done / max(seconds, 1e-9):.0f} {unit}/s, {failures} failures"


class _Lines:
    def __init__(self, title: str, unit: str, wanted: int) -> None:
        self._title, self._unit, self._wanted = title, unit, wanted
        self._begun = self._last = time.monotonic()

    def __call__(self, done: int, failures: int) -> None:
        now = time.monotonic()
        if now - self._last < LINE_EVERY_S:
            return
        self._last = now
        told = rated(self._unit, done, now - self._begun, failures)
        print(f"{self._title}: {done} of {self._wanted} {self._unit}, {told}", file=sys.stderr)
