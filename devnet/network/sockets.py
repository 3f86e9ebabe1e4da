"""The kernel's own table of TCP connections: who ends where. Linux; stdlib only, because it also
runs inside pods.

Printed as JSON when run as a script: `python sockets.py PID PORT...` for one process and the
service ports of its pod.
"""

import json
import os
import sys
from pathlib import Path
from typing import NamedTuple

ESTABLISHED = 1
LISTEN = 10


class Row(NamedTuple):
    """One line of /proc/net/tcp: ports, state, and the socket's inode (0 when no process holds it
    any more)."""

    local_port: int
    remote_port: int
    state: int
    inode: int


def read_table() -> list[Row]:
    """All TCP sockets of this network namespace; empty where the kernel has no such file."""
    rows: list[Row] = []
    for path in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        if path.exists():
            rows += [parse_row(line) for line in path.read_text().splitlines()[1:]]
    return rows


def parse_row(line: str) -> Row:
    """`sl local remote st tx:rx tr:when retr uid timeout inode`, addresses as hex
    `ADDRESS:PORT`."""
    fields = line.split()
    ports = [int(address.rpartition(":")[2], 16) for address in fields[1:3]]
    return Row(ports[0], ports[1], int(fields[3], 16), int(fields[9]))


def sockets_of(pid: int) -> set[int]:
    """Inodes of the sockets that a process holds."""
    found: set[int] = set()
    for entry in os.scandir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(entry.path)
        except OSError:
            continue  # closed while we looked
        if target.startswith("socket:["):
            found.add(int(target[8:-1]))
    return found


def strangers(table: list[Row], proxy_sockets: set[int], service_ports: set[int]) -> list[Row]:
    """Connections to a service port that its Toxiproxy does not hold. None must exist."""
    return [
        row
        for row in table
        if row.state == ESTABLISHED
        and row.remote_port in service_ports
        and row.inode
        and row.inode not in proxy_sockets
    ]


def established_at(table: list[Row]) -> dict[int, int]:
    """Local port -> established connections that end there."""
    counts: dict[int, int] = {}
    for row in table:
        if row.state == ESTABLISHED:
            counts[row.local_port] = counts.get(row.local_port, 0) + 1
    return counts


def survey(pid: int, service_ports: set[int]) -> dict[str, object]:
    """What the proof asks of one pod: strangers at its services, and connections by local port.

    A connection may be opened between the two readings, so a stranger counts only when it is one
    twice.
    """
    first = strangers(read_table(), sockets_of(pid), service_ports)
    table = read_table()
    both = [row for row in strangers(table, sockets_of(pid), service_ports) if row in first]
    return {"strangers": [list(row) for row in both], "established": established_at(table)}


if __name__ == "__main__":
    print(json.dumps(survey(int(sys.argv[1]), {int(word) for word in sys.argv[2:]})))
