"""First program in a container: point output at the network's log file, then become the role.

Stdlib only and mounted alone, so it costs a container 20 ms and shows it nothing else of the harness.
Usage: launch.py LOG MARK SUBNET COUNT FIRST... COMMAND...
    LOG      file that takes stdout and stderr
    MARK     file that tells a first start from a later one, or `-`
    SUBNET   where `@management` in an argument finds its address, or `-`
    COUNT    how many of the following words are for the first start alone
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


def is_first_start(mark: str) -> bool:
    if mark == "-" or Path(mark).exists():
        return False
    Path(mark).touch()
    return True


def main(arguments: list[str]) -> None:
    log, mark, subnet, count, *rest = arguments
    first, command = rest[: int(count)], rest[int(count) :]
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    if is_first_start(mark):
        command += first
    if subnet != "-":
        command = [word.replace("@management", management_address(subnet)) for word in command]
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
