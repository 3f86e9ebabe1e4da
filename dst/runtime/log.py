"""Logs a person can follow: one line an outcome, snake_case event and fields, to standard error.

`log.info("sealed", height=7, root=root)` prints
`2026-11-23T10:00:00.123Z INFO op1 middleware sealed height=7 root=0x…`.
Bytes print as hex. Never pass a secret: nothing here can tell one.
"""

import logging
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from dst.runtime.allowance import Allowance
from dst.spec.drills import DRILL_VARIABLES

LEVELS: Final = ("debug", "info", "warning", "error")
_MAX_VALUE: Final = 400
"""Longest printed field value, in characters: a peer's text must not flood a log."""

LINES_AT_ONCE: Final = 20
LINE_EVERY_S: Final = 10.0
"""How much of the log others can fill with what they do wrong: so many lines, after that one in
this time."""


class Ration:
    """Lines that others can cause at will: `at_once` of them, after that one in `every_s`."""

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        *,
        at_once: int = LINES_AT_ONCE,
        every_s: float = LINE_EVERY_S,
    ) -> None:
        self._allowance, self._now = Allowance(at_once=at_once, every_s=every_s), now

    def may_say(self) -> bool:
        """One more line, which is then spent."""
        return self._allowance.take(self._now())


class Logger:
    """A named logger with fields; `bind` adds fields that every later line carries."""

    def __init__(self, name: str, **bound: object) -> None:
        self._logger = logging.getLogger(f"dst.{name}")
        self._bound = bound

    def bind(self, **fields: object) -> "Logger":
        child = Logger(self._logger.name.removeprefix("dst."))
        child._bound = {**self._bound, **fields}
        return child

    def debug(self, event: str, **fields: object) -> None:
        if self._logger.isEnabledFor(logging.DEBUG):
            self._log(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: object) -> None:
        self._log(logging.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        self._log(logging.WARNING, event, fields)

    def error(self, event: str, **fields: object) -> None:
        self._log(logging.ERROR, event, fields)

    def exception(self, event: str, **fields: object) -> None:
        self._logger.error(_line(event, {**self._bound, **fields}), exc_info=True)

    def _log(self, level: int, event: str, fields: dict[str, object]) -> None:
        self._logger.log(level, "%s", _line(event, {**self._bound, **fields}))


def _line(event: str, fields: dict[str, object]) -> str:
    return " ".join([event, *(f"{key}={_show(value)}" for key, value in fields.items())])


def _show(value: object) -> str:
    if isinstance(value, bytes):
        return "0x" + value[:32].hex()
    if isinstance(value, float):
        return f"{value:.3f}"
    text = str(value)[:_MAX_VALUE].replace("\n", "\\n")
    return repr(text) if " " in text else text


class _Formatter(logging.Formatter):
    def __init__(self, node: str) -> None:
        super().__init__()
        self._node = node

    def format(self, record: logging.LogRecord) -> str:
        stamp = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        name = record.name.removeprefix("dst.")
        text = f"{stamp.replace('+00:00', 'Z')} {record.levelname} {self._node} {name} "
        text += record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


def configure(node: str, level: str = "info") -> None:
    """Send all of this process's logs to standard error; call once, at start. Says what the
    environment asks the role to suffer: left over from a drill, it would be a riddle."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(node))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("dst").setLevel(level.upper())
    drills = {each: os.environ[each] for each in DRILL_VARIABLES if os.environ.get(each)}
    if drills:
        Logger("drill").warning("armed", **drills)
