"""Why this node may not move its chain: an L1 reset, or evidence of two signed blocks at a height.

Both are said once, loudly, and survive a restart. A reset ends by itself when L1 shows all our
origins again: it was a fork of this operator's own L1 node. Evidence waits for a person.
"""

from collections.abc import Sequence
from pathlib import Path

from dst.apis.dst_v1 import EventKind
from dst.rollup.events import EventRing
from dst.rollup.evidence import Claim, conflict, find_evidence, write_evidence
from dst.rollup.store import Store
from dst.runtime.log import Logger
from dst.spec.errors import ResetRequired, Unavailable
from dst.spec.primitives import Height

HALTED_ADVICE = "halted until the next term"
EVIDENCE_ADVICE = "find out who signed both, then move the folder away and restart"
"""The folder is read at a start alone, so that nothing but a person's act lets the node go on."""


class Halting:
    """Asked before every step that would move the chain."""

    def __init__(self, data_dir: Path, store: Store, ring: EventRing, log: Logger) -> None:
        self._data_dir, self._store, self._ring, self._log = data_dir, store, ring, log
        self.alarm = find_evidence(data_dir)
        self.reset_height = store.reset_height()
        if self.alarm is not None:
            log.error("stopped", alarm=self.alarm, do=EVIDENCE_ADVICE)
        if self.reset_height is not None:
            log.error("l1_reset", first_affected_height=self.reset_height, advice=HALTED_ADVICE)

    @property
    def is_halted(self) -> bool:
        return self.alarm is not None or self.reset_height is not None

    def waits_for(self) -> str | None:
        """For a person; None while the chain may move."""
        if self.alarm is not None:
            return f"a person: {self.alarm}; {EVIDENCE_ADVICE}"
        if self.reset_height is not None:
            return (
                "the next term, or an L1 that shows the origins of our blocks again, from height "
                f"{self.reset_height} on"
            )
        return None

    def require_moving(self) -> None:
        """Raises: ResetRequired after an L1 reset, Unavailable after a double signature."""
        if self.reset_height is not None:
            raise ResetRequired(self.reset_height, HALTED_ADVICE)
        if self.alarm is not None:
            raise Unavailable(f"stopped: {self.alarm}")

    def stop_on_evidence(self, height: Height, claims: Sequence[Claim], what: str) -> None:
        """Write both signed blocks down and stop. Said once a height; claims that do not conflict
        stop nobody."""
        if self.alarm is not None:
            return
        if not conflict(claims):
            self._log.error("unfounded_evidence", height=height, what=what)
            return
        try:
            folder: object = write_evidence(self._data_dir, height, claims, what)
        except OSError as error:
            folder = f"nowhere, for the disk takes no file: {error}"
        self.alarm = f"{what}: both are in {folder}"
        self._log.error("evidence", height=height, what=what, folder=folder, do=EVIDENCE_ADVICE)
        self._ring.emit(EventKind.EVIDENCE, height=height, what=what, folder=str(folder))

    def reset(self, height: Height, detail: str) -> None:
        """L1 dropped the origin of the decided block at `height`. One alarm."""
        if self.reset_height is not None:
            return
        self._store.set_reset_height(height)
        self.reset_height = height
        self._log.error(
            "l1_reset", first_affected_height=height, detail=detail, advice=HALTED_ADVICE
        )
        self._ring.emit(EventKind.RESET, height=height, detail=detail)

    def reset_ended(self) -> None:
        """L1 shows every origin of our chain again, deep enough."""
        if self.reset_height is None:
            return
        self._store.clear_reset_height()
        height, self.reset_height = self.reset_height, None
        self._log.warning("l1_reset_ended", first_affected_height=height, why="L1 healed")
        self._ring.emit(EventKind.RESET_ENDED, height=height)
