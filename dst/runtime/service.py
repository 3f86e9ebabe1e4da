"""The outermost shell of a role: signals in, exit code out."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

from dst.runtime.descriptors import complain_now_and_then, raise_limit
from dst.runtime.log import Logger
from dst.spec.errors import BadConfig, StoreDamaged

EXIT_STOPPED: Final = 0
EXIT_CRASHED: Final = 1
EXIT_BAD_CONFIG: Final = 2
"""Also of a damaged store: a person must act before it can be started again."""

_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def run_role(main: Callable[[asyncio.Event], Awaitable[None]], log: Logger) -> int:
    """Run `main(stop)` until it returns; SIGINT and SIGTERM set `stop`. Returns the process's exit
    code.

    BadConfig and StoreDamaged print one line and exit 2, the latter whatever fails beside it;
    anything else that escapes is a crash: logged in full, exit 1.
    """
    raise_limit()
    try:
        asyncio.run(_until_stopped(main, log))
    except BaseExceptionGroup as group:
        damages, _ = group.split(StoreDamaged)
        refusals, others = group.split((BadConfig, StoreDamaged))
        if others is not None:
            log.exception("crashed")
        if damages is not None:
            return _refuse(_first(damages))
        if others is not None or refusals is None:
            return EXIT_CRASHED
        return _refuse(_first(refusals))
    except (BadConfig, StoreDamaged) as error:
        return _refuse(error)
    except KeyboardInterrupt:
        return EXIT_STOPPED
    except Exception:
        log.exception("crashed")
        return EXIT_CRASHED
    log.info("stopped")
    return EXIT_STOPPED


async def _until_stopped(main: Callable[[asyncio.Event], Awaitable[None]], log: Logger) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    damages: list[StoreDamaged] = []
    loop.set_exception_handler(_ending(asyncio.current_task(), damages, log))
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    try:
        await main(stop)
    finally:
        if damages:
            raise damages[0]


def end_role(damage: StoreDamaged) -> None:
    """From where it cannot be raised to the role itself: a handler of requests, a task of its own.
    `run_role` takes it from the loop's exception handler, where those of lost tasks arrive, too."""
    context = {"message": "a store is damaged", "exception": damage}
    asyncio.get_running_loop().call_exception_handler(context)


def _ending(
    role: "asyncio.Task[Any] | None", damages: list[StoreDamaged], log: Logger
) -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    complain = complain_now_and_then(log)

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, StoreDamaged):
            complain(loop, context)
        elif not damages:
            damages.append(error)
            assert role is not None, "a role runs in a task"
            role.cancel()

    return handle


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    inner: BaseException = group
    while isinstance(inner, BaseExceptionGroup):
        inner = inner.exceptions[0]
    return inner


def _refuse(error: BaseException) -> int:
    print(f"error: {error}", file=sys.stderr)
    return EXIT_BAD_CONFIG


class StopService(Exception):
    """Raised inside a TaskGroup to end its siblings; `until` swallows it."""


async def until(stop: asyncio.Event, *coroutines: Awaitable[None]) -> None:
    """Run coroutines until `stop` is set, then cancel them; the first that fails ends all and
    raises."""

    async def wait_for_stop() -> None:
        await stop.wait()
        raise StopService

    async def run(coroutine: Awaitable[None]) -> None:
        await coroutine

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(wait_for_stop())
            for coroutine in coroutines:
                group.create_task(run(coroutine))
    except* StopService:
        pass
