"""Named places at which a role can be made to end, for drills: `DST_CRASH_AT=vote-after-persist:3`.

A role that is not asked to passes them at the cost of an empty call. It ends as if killed: nothing
is flushed, closed or said to anybody but the log. `dst.spec.drills` lists the points.
"""

import os
import re
from collections.abc import Callable
from typing import Final

from dst.runtime.log import Logger
from dst.spec.drills import CRASH_EXIT_CODE, CRASH_POINTS, CRASH_VARIABLE
from dst.spec.errors import BadConfig

_FORM: Final = re.compile(r"([a-z-]+)(?::([1-9][0-9]{0,5}))?")
log = Logger("drill")


def armed(text: str) -> Callable[[str], None]:
    """What the role calls at each point, to end at the one that `text` names.

    Raises: BadConfig when there is no such point.
    """
    match = _FORM.fullmatch(text)
    if match is None or match[1] not in CRASH_POINTS:
        raise BadConfig(
            f"{CRASH_VARIABLE}={text}: expected one of {', '.join(CRASH_POINTS)}, and :COUNT where "
            "it is not the first time"
        )
    name, left = match[1], int(match[2] or 1)

    def pass_by(point: str) -> None:
        nonlocal left
        if point != name:
            return
        left -= 1
        if left == 0:
            log.error("crash_point", at=name, exit_code=CRASH_EXIT_CODE)
            os._exit(CRASH_EXIT_CODE)

    return pass_by


def _pass_by(point: str) -> None:
    """Nobody asked."""


crash_point: Final = (
    armed(os.environ[CRASH_VARIABLE]) if os.environ.get(CRASH_VARIABLE) else _pass_by
)
