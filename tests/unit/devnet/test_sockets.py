"""The kernel's table is read right: a connection past the proxy is found, one through it is not."""

import os
import socket
import sys
from collections.abc import Iterator

import pytest

from devnet.network import sockets
from devnet.network.sockets import ESTABLISHED, Row, parse_row

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc/net/tcp is Linux's")


def test_a_row_of_the_table() -> None:
    line = (
        "   4: 0100007F:4E21 0100007F:8A3C 01 00000000:00000000 00:00000000 00000000  1000"
        "        0 84012 1 0000000000000000 20 4 30 10 -1"
    )
    assert parse_row(line) == Row(0x4E21, 0x8A3C, ESTABLISHED, 84012)


@pytest.fixture
def connection() -> Iterator[tuple[int, socket.socket]]:
    """Service port and the socket that is connected to it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client, server.accept()[0]:
            yield port, client


def test_a_connection_that_the_proxy_does_not_hold_is_a_stranger(
    connection: tuple[int, socket.socket],
) -> None:
    port, client = connection
    table = sockets.read_table()
    found = sockets.strangers(table, set(), {port})
    assert [row.local_port for row in found] == [client.getsockname()[1]]
    assert sockets.strangers(table, sockets.sockets_of(os.getpid()), {port}) == []


def test_survey_counts_connections_at_a_listener(connection: tuple[int, socket.socket]) -> None:
    port, _client = connection
    answer = sockets.survey(os.getpid(), {port})
    assert answer["strangers"] == []
    established = answer["established"]
    assert isinstance(established, dict)
    assert established[port] == 1


def test_survey_of_another_process_finds_the_stranger(
    connection: tuple[int, socket.socket],
) -> None:
    port, _client = connection
    strangers = sockets.survey(os.getppid(), {port})["strangers"]
    assert isinstance(strangers, list)
    assert len(strangers) == 1
