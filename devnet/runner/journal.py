"""The one list of what was observed in a run: appended to, waited on, fed to the live checkers,
written to disk.

Everything that learns something (event tails, load, probes, injector) records it here, in the
shared clock CLOCK_MONOTONIC; everything that must wait for something waits here. One asyncio loop,
no locks.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, NoReturn

from devnet.checkers import live_checkers
from devnet.checkers.base import LiveChecker
from devnet.model.clock import now
from devnet.model.history import (
    Event,
    EventKind,
    FaultReceipt,
    History,
    Record,
    RunBroken,
    Setup,
    encode_record,
    history_of,
)
from devnet.model.timeline import is_sealed_there
from devnet.model.verdict import Violation

MAX_RECORDS: Final = 2_000_000
"""About an hour of ten operators under load; a run that fills it is broken, and says so instead of
eating memory."""


class CannotRecord(Exception):
    """A run that is not recorded shows nothing: it ends. The message is for a person.

    No DstError: what outlives a node that talks nonsense must not outlive this.
    """


class JournalFull(CannotRecord):
    """More records than any sane run makes."""


@dataclass(slots=True)
class Heights:
    """Newest heights by node, kept up to date record by record so that nobody has to scan."""

    operators: tuple[str, ...]
    decided: dict[str, int] = field(default_factory=dict)
    sealed: dict[str, int] = field(default_factory=dict)

    def take(self, event: Event) -> None:
        if is_sealed_there(event, self.operators):
            self.sealed[event.node] = max(event.height, self.sealed.get(event.node, 0))
        # A sealed or imported block is also decided.
        if event.kind in (EventKind.DECIDED, EventKind.SEALED, EventKind.IMPORTED):
            self.decided[event.node] = max(event.height, self.decided.get(event.node, 0))

    @property
    def newest_decided(self) -> int:
        return max(self.decided.values(), default=0)

    @property
    def newest_sealed(self) -> int:
        return max(self.sealed.values(), default=0)


class Journal:
    """All records of one run.

    Args:
        setup: the first record.
        path: `history.ndjson`; None keeps the run in memory only.
        on_violation: told at once, so that a breach has a time and a person sees it happen.
    Raises (also record): JournalFull; CannotRecord, once, when the disk does not take it. What
    comes after is kept in memory only, so that faults can still be taken back, and `close` says it
    again.
    """

    def __init__(
        self,
        setup: Setup,
        path: Path | None = None,
        on_violation: Callable[[Violation], None] | None = None,
        checkers: list[LiveChecker] | None = None,
    ) -> None:
        self.setup = setup
        self.heights = Heights(operators=setup.operators)
        self.violations: list[Violation] = []
        self.records: list[Record] = []
        self._checkers = live_checkers() if checkers is None else checkers
        self._on_violation = on_violation
        self._path = path
        self._file: IO[bytes] | None = None
        self._lost = ""
        """Why what is on disk is not the whole record."""
        try:
            self._file = path.open("wb") if path is not None else None
        except OSError as error:
            self._give_up(error)
        self._changed = asyncio.Event()
        self.record(setup)

    def record(self, record: Record) -> None:
        if len(self.records) >= MAX_RECORDS and not isinstance(record, RunBroken):
            raise JournalFull(f"more than {MAX_RECORDS} records in one run")
        assert not (self.records and isinstance(record, Setup)), "a history is of one chain"
        self.records.append(record)
        if isinstance(record, Event):
            self.heights.take(record)
        self._write(record)
        for checker in self._checkers:
            for violation in checker.feed(record):
                self._report(violation)
        self._changed.set()

    def _write(self, record: Record) -> None:
        if self._file is None:
            return
        try:
            self._file.write(encode_record(record) + b"\n")
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> NoReturn:
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):  # closing writes what is left
                file.close()
        self._lost = (
            f"{self._path} cannot be written: {error.strerror}; make room, or choose another --out"
        )
        raise CannotRecord(self._lost) from error

    def _report(self, violation: Violation) -> None:
        self.violations.append(violation)
        if self._on_violation is not None:
            self._on_violation(violation)

    def history(self) -> History:
        return history_of(self.setup, self.records[1:])

    def events(self) -> list[Event]:
        return [record for record in self.records if isinstance(record, Event)]

    def faults(self) -> list[FaultReceipt]:
        """Latest state of each fault, in the order they were first requested."""
        latest: dict[str, FaultReceipt] = {}
        for record in self.records:
            if isinstance(record, FaultReceipt):
                latest[record.id] = record
        return list(latest.values())

    async def until(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Wait until `condition` holds (looked at after each new record); False when time is up."""
        deadline = now() + timeout
        while not condition():
            self._changed.clear()
            left = deadline - now()
            if left <= 0:
                return False
            try:
                async with asyncio.timeout(left):
                    await self._changed.wait()
            except TimeoutError:
                return condition()
        return True

    async def next_decided(self, timeout: float) -> int | None:
        """The next height that nobody had reported decided yet; None when none comes in time."""
        before = self.heights.newest_decided
        found = await self.until(lambda: self.heights.newest_decided > before, timeout)
        return self.heights.newest_decided if found else None

    async def next_event(self, kind: EventKind, timeout: float) -> Event | None:
        """The first one of this kind that is recorded from now on; None when none comes in
        time."""
        looked_at = len(self.records)

        def fresh() -> list[Record]:
            nonlocal looked_at
            new, looked_at = self.records[looked_at:], len(self.records)
            return new

        found: list[Event] = []

        def seen() -> bool:
            found.extend(r for r in fresh() if isinstance(r, Event) and r.kind is kind)
            return bool(found)

        return found[0] if await self.until(seen, timeout) else None

    async def event_since(
        self, moment: float, fits: Callable[[Event], bool], timeout: float
    ) -> Event | None:
        """The first one that happened after `moment`, whenever it is heard of; None when none comes
        in time."""
        looked_at, found = 0, list[Event]()

        def seen() -> bool:
            nonlocal looked_at
            new, looked_at = self.records[looked_at:], len(self.records)
            found.extend(
                r for r in new if isinstance(r, Event) and r.monotonic > moment and fits(r)
            )
            return bool(found)

        return found[0] if await self.until(seen, timeout) else None

    def close(self) -> None:
        """Raises: CannotRecord."""
        if self._lost:
            raise CannotRecord(self._lost)
        if self._file is None:
            return
        try:
            self._file.close()
        except OSError as error:
            self._give_up(error)
        self._file = None
