"""The packet filter in a network of its own, where the kernel gives one to whoever asks; what is
written for it, and what is read back."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devnet.firewall import nft
from devnet.model.firewall import DROPPED, FIREWALL_CODE
from devnet.model.topology import compute_topology
from devnet.network.programs import Plan

ROOT = Path(__file__).parents[3]
OWN_NETWORK = ["unshare", "--user", "--map-root-user", "--net", "--kill-child"]

BEFORE = """
import fcntl, socket, struct, sys, time
with socket.socket() as any_:  # loopback up: SIOCSIFFLAGS, IFF_UP
    fcntl.ioctl(any_, 0x8914, struct.pack("16sH14x", b"lo", 1))
def listening(port):
    server = socket.create_server(("127.0.0.1", port))
    server.settimeout(0.5)
    return server
def connects(port):
    client = socket.socket()
    client.settimeout(0.4)
    try:
        client.connect(("127.0.0.1", port))
    except TimeoutError:
        return None
    return client
"""
FILTER = (
    BEFORE
    + """
from devnet.firewall.nft import PacketFilter
cut, whole = listening(5001), listening(5002)
before = connects(5001)
accepted, _ = cut.accept()
accepted.settimeout(0.4)
firewall = PacketFilter()
firewall.drop({"op1>op2.consensus": 5001, "op3>op2.consensus": 5003})
assert firewall.dropped() == {"op1>op2.consensus": 0, "op3>op2.consensus": 0}
before.send(b"x")
try:
    print("heard", accepted.recv(1))
except TimeoutError:
    print("silent")
print("new", connects(5001), "other", connects(5002) is not None)
counts = firewall.dropped()
print("counted", counts["op1>op2.consensus"] >= 2, counts["op3>op2.consensus"])
firewall.close()
accepted.settimeout(5)
print("later", accepted.recv(1), connects(5001) is not None)
"""
)


@pytest.fixture(scope="module")
def own_network() -> list[str]:
    try:
        done = subprocess.run([*OWN_NETWORK, "true"], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("no unshare here")
    if done.returncode:
        pytest.skip("the kernel gives no network of their own to those that are not root")
    return OWN_NETWORK


def test_what_is_dropped_is_silent_and_counted_and_nothing_is_lost_by_it(
    own_network: list[str],
) -> None:
    """An open connection goes on afterwards, where it was."""
    done = subprocess.run(
        [*own_network, sys.executable, "-c", FILTER],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "silent",
        "new None other True",
        "counted True 0",
        "later b'x' True",
    ], done.stderr


KILLED = (
    BEFORE
    + """
import json, pathlib, subprocess
server, folder = listening(5001), pathlib.Path(sys.argv[1])
command = [sys.executable, "-m", "devnet.firewall.main", str(folder), "client>op1.rpc=5001"]
program = subprocess.Popen(command)
deadline = time.monotonic() + 20
while not (folder / "dropped.json").exists() and time.monotonic() < deadline:
    time.sleep(0.02)
assert connects(5001) is None
while json.loads((folder / "dropped.json").read_text())["client>op1.rpc"] == 0:
    assert time.monotonic() < deadline
    time.sleep(0.02)
program.kill()
program.wait()
print("passes", connects(5001) is not None)
"""
)


def test_a_filter_that_is_killed_drops_nothing_any_more(
    own_network: list[str], tmp_path: Path
) -> None:
    done = subprocess.run(
        [*own_network, sys.executable, "-c", KILLED, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout == "passes True\n", done.stderr
    assert set(json.loads((tmp_path / DROPPED).read_text())) == {"client>op1.rpc"}


def test_it_says_whether_it_could(own_network: list[str]) -> None:
    command = [sys.executable, "-m", "devnet.firewall.main", "--try"]
    done = subprocess.run([*own_network, *command], cwd=ROOT, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


class Netlink:
    """A kernel that answers with what it is given."""

    def __init__(self, *answers: bytes) -> None:
        self.answers: Iterator[bytes] = iter(answers)
        self.sent: list[bytes] = []

    def send(self, data: bytes) -> None:
        self.sent.append(data)

    def recv(self, _most: int) -> bytes:
        return next(self.answers)


def filter_on(*answers: bytes) -> nft.PacketFilter:
    made = nft.PacketFilter.__new__(nft.PacketFilter)
    made._socket, made._sequence = Netlink(*answers), 0  # type: ignore[assignment]
    return made


def errors(*numbers: int) -> bytes:
    bodies = [(number & 0xFFFFFFFF).to_bytes(4, sys.byteorder) for number in numbers]
    head = (20).to_bytes(4, sys.byteorder) + (2).to_bytes(2, sys.byteorder) + bytes(10)
    return b"".join(head + body for body in bodies)


def test_a_kernel_that_refuses_is_quoted() -> None:
    with pytest.raises(nft.Refused, match="Operation not permitted"):
        filter_on(errors(0, -1, 0, 0, 0, 0, 0)).drop({"a": 1})
    filter_on(errors(0, 0, 0), errors(0, 0, 0, 0)).drop({"a": 1})


def test_what_goes_out_is_dropped_before_it_leaves() -> None:
    """On a loopback one would not see which hook it was."""
    made = filter_on(errors(*[0] * 7))
    made.drop({"a": 1})
    (batch,) = made._socket.sent  # type: ignore[attr-defined]
    assert {chain: batch.count(chain) for chain in (b"in\0", b"out\0")} == {
        b"in\0": 3,
        b"out\0": 3,
    }, "the chain itself, and a rule for source and one for destination"


def test_only_pods_of_containers_have_one_and_it_may_nothing_but_that() -> None:
    topology = compute_topology(operators=4)
    assert "op1.firewall" not in Plan(topology, "process", frozenset()).programs
    program = Plan(topology, "docker", frozenset()).programs["op1.firewall"]
    assert program.on_demand
    assert set(program.capabilities) == {"NET_ADMIN", "DAC_OVERRIDE"}
    assert (program.reads, program.writes) == ((), ("nodes/op1/firewall",))
    others = [p for p in Plan(topology, "docker", frozenset()).programs.values() if p.capabilities]
    assert {each.role for each in others} == {"firewall"}


def test_what_a_container_shows_it_of_our_source_is_all_that_it_needs(tmp_path: Path) -> None:
    for path in FIREWALL_CODE:
        there = tmp_path / path
        there.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (ROOT / path).is_dir() else shutil.copy)(ROOT / path, there)
    words = [sys.executable, "-P", "-c", "import devnet.firewall.main as m; print(m.__file__)"]
    done = subprocess.run(
        words, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout.strip() == str(tmp_path / "devnet" / "firewall" / "main.py")
