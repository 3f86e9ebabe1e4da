"""A port in use is named before anything starts; a stranger at ::1 is told of."""

import socket

import pytest

from devnet.model.topology import compute_topology
from devnet.network.bring_up import check_ports_free
from dst.spec.errors import BadConfig

TOPOLOGY = compute_topology(operators=1, followers=0, port_offset=5500)
PORT = TOPOLOGY.host_port("client>op1.rpc")


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def test_a_taken_port_is_named_with_its_use_and_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", PORT)):
        with pytest.raises(BadConfig, match=rf"port {PORT} .*op1.* is taken .*--port-offset"):
            check_ports_free(TOPOLOGY, "process")


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on this machine")
def test_a_stranger_at_the_same_port_of_the_other_loopback_is_told_of() -> None:
    assert check_ports_free(TOPOLOGY, "process") == []
    with socket.create_server(("::1", PORT), family=socket.AF_INET6):
        (told,) = check_ports_free(TOPOLOGY, "process")
    assert told.startswith(f"another program has port {PORT} of ::1 (")
    assert told.endswith("say 127.0.0.1, not localhost")
