"""First program in a container: point output at the network's log file, then become the role.

Stdlib only and mounted alone, so it costs a container 20 ms and shows it nothing else of the
harness.
Usage: launch.py LOG SUBNET COMMAND...
    LOG      file that takes stdout and stderr
    SUBNET   where `@management` in an argument finds its address, or `-`
"""

import ipaddress
import os
import socket
import sys
from pathlib import Path


def management_address(subnet: str) -> str:
    """This container's own address within `subnet`; Docker writes all of them to /etc/hosts."""
    network, me = ipaddress.ip_network(subnet), socket.gethostname()
    for line in Path("/etc/hosts").read_text().splitlines():
        address, *names = line.split() or [""]
        if me in names and ipaddress.ip_address(address) in network:
            return address
    raise SystemExit(f"error: no address of this container in {subnet}")


def main(arguments: list[str]) -> None:
    log, subnet, *command = arguments
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    if subnet != "-":
        command = [word.replace("@management", management_address(subnet)) for word in command]
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
