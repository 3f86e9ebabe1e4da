"""Ports for what a test starts, below those that the kernel gives to connections: no connection of
a test beside this one takes a port between its choice and its use. Devnets lie above them
(docs/ports.md).
"""

import itertools
import os
import socket
from typing import Final

FIRST: Final = 10_000
WORKERS: Final = 4
"""That run side by side, each with a range of its own."""
OF_A_WORKER: Final = 10_000 // WORKERS

WORKER: Final = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS
# Runs side by side begin at different places.
_places = itertools.count(os.getppid() * 101)


def free_port() -> int:
    """On 127.0.0.1, and each time another one."""
    for place in itertools.islice(_places, OF_A_WORKER):
        port = FIRST + OF_A_WORKER * WORKER + place % OF_A_WORKER
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("every port is taken")


def free_ports(count: int) -> list[int]:
    return [free_port() for _ in range(count)]
