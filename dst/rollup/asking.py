"""Ask again before giving up, for questions with one answer however often they are asked.

A link may swallow a call, and a call whose answer takes long looks the same from here. So the
question is repeated on another connection while the earlier ones stay open: the engine lets those
who ask the same wait for one execution, and closing the only connection would abort it.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from dst.spec.errors import Unavailable

ASK_AGAIN_S: Final = 1.5
"""So long after a link is healed the call goes through at the latest. Shorter would repeat what is
merely slow: a full block's newPayload is a megabyte of JSON."""
MAX_OPEN: Final = 3
"""Connections that wait for one answer. The oldest is closed when another is opened; by then the
newer ones have long joined it in the engine, unless the link takes seconds."""

T = TypeVar("T")


async def ask_until_answered(ask: Callable[[], Coroutine[Any, Any, T]], *, limit: float) -> T:
    """The first answer, or the first refusal that is not a failure to reach the other side.

    Args: limit: seconds in all. Raises: Unavailable at its end, or when no question is left open;
    whatever else `ask` raises.
    """
    loop = asyncio.get_running_loop()
    next_at = loop.time()
    end = next_at + limit
    waiting: list[asyncio.Task[T]] = []
    try:
        while (now := loop.time()) < end:
            if now >= next_at:
                _make_room(waiting)
                waiting.append(_started(ask))
                next_at = now + ASK_AGAIN_S
            done, _ = await asyncio.wait(
                waiting, timeout=min(next_at, end) - now, return_when=asyncio.FIRST_COMPLETED
            )
            waiting = [task for task in waiting if task not in done]
            for task in sorted(done, key=_is_failed):
                failure = task.exception()
                if failure is None:
                    return task.result()
                if not waiting or not isinstance(failure, Unavailable):
                    raise failure
        raise Unavailable(f"no answer within {limit} s")
    finally:
        for task in waiting:
            task.cancel()


def _started(ask: Callable[[], Coroutine[Any, Any, T]]) -> "asyncio.Task[T]":
    task = asyncio.get_running_loop().create_task(ask())
    # Once there is an answer, nobody reads how the other questions failed.
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return task


def _is_failed(task: "asyncio.Task[T]") -> bool:
    return task.exception() is not None


def _make_room(waiting: "list[asyncio.Task[T]]") -> None:
    if len(waiting) == MAX_OPEN:
        waiting.pop(0).cancel()
