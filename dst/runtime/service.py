"""The outermost shell of a role: signals in, exit code out."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Final

from dst.runtime.descriptors import complain_now_and_then, raise_limit
from dst.runtime.log import Logger
from dst.spec.errors import BadConfig

EXIT_STOPPED: Final = 0
EXIT_CRASHED: Final = 1
EXIT_BAD_CONFIG: Final = 2

_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def run_role(main: Callable[[asyncio.Event], Awaitable[None]], log: Logger) -> int:
    """Run `main(stop)` until it returns; SIGINT and SIGTERM set `stop`. Returns the process's exit
    code.

    BadConfig prints one line and exits 2; anything else that escapes is a crash: logged in full,
    exit 1.
    """
    raise_limit()
    try:
        asyncio.run(_until_stopped(main, log))
    except BaseExceptionGroup as group:
        config_errors, others = group.split(BadConfig)
        if others is None and config_errors is not None:
            return _refuse(_first(config_errors))
        log.exception("crashed")
        return EXIT_CRASHED
    except BadConfig as error:
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
    loop.set_exception_handler(complain_now_and_then(log))
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    await main(stop)


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
