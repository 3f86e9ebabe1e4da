"""The error tree of `dst.spec.errors` over HTTP and back: one table of status codes.

A server answers with `status_of` and `detail_of`; a client raises `failure_of`, what the server
meant.
"""

import json
from collections.abc import Mapping
from typing import Final

import msgspec

from dst.spec.errors import DstError, InvalidInput, ResetRequired, Unavailable

MAX_ERROR_BYTES: Final = 64 << 10
"""Of an error's body that is looked into: ours are below 1 kB, and who answers may be hostile."""


class NotFound(InvalidInput):
    """There is no such thing, and asking again will not change that."""


class UnsupportedMediaType(InvalidInput):
    """The body's content type is none of those taken here."""


class Conflict(InvalidInput):
    """Right question, wrong moment; `detail` (JSON fields beside the message) says what would be
    right."""

    def __init__(self, message: str, detail: Mapping[str, object]) -> None:
        super().__init__(message)
        self.detail = dict(detail)


STATUSES: Final[tuple[tuple[type[Exception], int], ...]] = (
    (NotFound, 404),
    (Conflict, 409),
    (UnsupportedMediaType, 415),
    (InvalidInput, 400),
    (msgspec.DecodeError, 400),
    (UnicodeDecodeError, 400),
    (ResetRequired, 409),
    (Unavailable, 503),
)
"""The special before the general: the first that fits counts. What is not here is our own fault."""


def status_of(error: Exception) -> int | None:
    """None: a bug of ours, answered 500 and logged."""
    return next((status for kind, status in STATUSES if isinstance(error, kind)), None)


def detail_of(error: Exception) -> Mapping[str, object]:
    """JSON fields beside the message, for a program."""
    match error:
        case Conflict():
            return error.detail
        case ResetRequired():
            return {"reset_height": error.first_affected_height}
        case _:
            return {}


def failure_of(status: int, body: bytes) -> DstError:
    """The error that a non-2xx answer stands for."""
    detail: dict[str, object] = {}
    try:
        decoded = json.loads(body) if len(body) <= MAX_ERROR_BYTES else None
        detail = decoded if isinstance(decoded, dict) else {}
    except (ValueError, RecursionError):
        pass
    message = str(
        detail.get("message") or body[:200].decode("utf-8", "replace") or f"HTTP {status}"
    )
    reset = detail.get("reset_height")
    if status == 409 and isinstance(reset, int):
        return ResetRequired(reset, message)
    if status == 404:
        return NotFound(message)
    if status == 409:
        return Conflict(message, {k: v for k, v in detail.items() if k not in ("code", "message")})
    if status == 415:
        return UnsupportedMediaType(message)
    if 400 <= status < 500:
        return InvalidInput(message)
    return Unavailable(f"HTTP {status}: {message}")
