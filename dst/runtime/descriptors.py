"""Open files and connections of this process: how many it may have, and what is said when they are
used up.

Each listener and each client of ours bounds its own; the limit that many shells and systemd give
(1,024) is less than the sum.
"""

import asyncio
import errno
import resource
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeAlias

from dst.runtime.log import Logger, Ration

ENOUGH: Final = 65_536
"""Far above all bounds together; an unlimited table would let a leak grow unseen."""

_USED_UP: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_Handler: TypeAlias = Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]


def raise_limit() -> None:
    """The soft limit of open descriptors to the hard one, as far as it is of use."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # macOS says "unlimited" and means less
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def complain_now_and_then(log: Logger) -> _Handler:
    """Handles exceptions of a loop: connections that cannot be accepted, of which a crowd can make
    a hundred tracebacks a second, with one line in `log.LINE_EVERY_S`; all others as usual."""
    ration = Ration(at_once=1)

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if "socket" not in context or getattr(error, "errno", None) not in _USED_UP:
            loop.default_exception_handler(context)
        elif ration.may_say():
            log.error("cannot_accept", reason=str(error), do="raise the limit of open files")

    return handle
