"""What a role does about its limit of open descriptors."""

import asyncio
import logging
import os
import resource
import socket
from collections.abc import Iterator

import pytest

from dst.runtime.descriptors import ENOUGH, complain_now_and_then
from dst.runtime.log import Logger
from dst.runtime.service import run_role


@pytest.fixture
def limits() -> Iterator[tuple[int, int]]:
    """Soft and hard, as they were and will be."""
    were = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield were
    resource.setrlimit(resource.RLIMIT_NOFILE, were)


def test_a_role_takes_as_many_as_it_may_have(limits: tuple[int, int]) -> None:
    seen: list[int] = []

    async def main(_: asyncio.Event) -> None:
        seen.append(resource.getrlimit(resource.RLIMIT_NOFILE)[0])

    hard = limits[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    assert run_role(main, Logger("test")) == 0
    assert seen == [ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)]


def test_a_crowd_that_uses_them_up_causes_one_line(
    limits: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    async def main(_: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        with socket.socket() as caller:
            free = os.dup(caller.fileno())
            os.close(free)
            resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
            caller.connect(server.sockets[0].getsockname())
            async with asyncio.timeout(8):
                while not caplog.records:
                    await asyncio.sleep(0.01)
        server.close()

    caplog.set_level(logging.INFO)
    assert run_role(main, Logger("test")) == 0
    assert [each.getMessage().split()[0] for each in caplog.records] == ["cannot_accept", "stopped"]


async def test_any_other_exception_is_told_in_full(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.get_running_loop()
    handle = complain_now_and_then(Logger("test"))
    for _ in range(3):
        handle(loop, {"message": "a task died", "exception": OSError(9, "bad descriptor")})
    assert [each.name for each in caplog.records] == ["asyncio"] * 3
