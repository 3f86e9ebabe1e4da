"""What holds for all tests."""

import sys
from collections.abc import Callable

import py_ecc.bls  # noqa: F401  (first, because its import raises the recursion limit to 100,000)
import pytest

from tests.ports import free_port

# With that limit a hundred kilobytes of `[` end a JSON decoder by a stack overflow; the nodes'
# own limit is set where py-evm is imported, and tests of broken input must meet the same one.
sys.setrecursionlimit(15_000)


@pytest.fixture(scope="session")
def unused_tcp_port_factory() -> Callable[[], int]:
    """In place of pytest-asyncio's, whose ports any connection may take before they are used."""
    return free_port
