"""End to end means black box: the `devnet` command in a process of its own, its exit code and what
it writes.

Tests that need a port block take one of their own, so that a network of the developer's may go on
running.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
COMMAND_SECONDS = 600.0
"""A scenario takes half a minute; a first start may also build the image."""
PORT_OFFSET = 4000


@dataclass(frozen=True)
class Finished:
    code: int
    out: str
    err: str

    @property
    def told(self) -> str:
        """For assertion messages: everything the command said, its end at least."""
        return f"exit code {self.code}\n{self.out[-4000:]}\n{self.err[-8000:]}"


def run_devnet(arguments: Sequence[str], cwd: Path) -> Finished:
    """`devnet ARGUMENTS`, from another folder than the repository's on purpose."""
    done = subprocess.run(
        [sys.executable, "-m", "devnet", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class RunningNetwork:
    """A network that another process runs in `directory`."""

    directory: Path
    descriptor: dict[str, Any]

    def chaos(self, name: str, *more: str) -> tuple[Finished, dict[str, Any]]:
        """`devnet chaos run NAME --json` on this network; the answer is empty when there was
        none."""
        out = self.directory.parent / "runs"
        arguments = ["chaos", "run", name, "--json", "--out", str(out)]
        arguments += ["--dir", str(self.directory), *more]
        done = run_devnet(arguments, self.directory.parent)
        answer = msgspec.json.decode(done.out) if done.out.strip().startswith("{") else {}
        return done, answer


def start_network(directory: Path, *more: str) -> RunningNetwork:
    """`devnet up --detach`; fails the test with what the command said."""
    arguments = ["up", "--detach", "--dir", str(directory), *more]
    started = run_devnet(arguments, directory.parent)
    assert started.code == 0, started.told
    return RunningNetwork(directory, msgspec.json.decode((directory / "network.json").read_bytes()))


NetworkFactory = Callable[..., RunningNetwork]


@pytest.fixture(scope="module")
def network_factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NetworkFactory]:
    """Starts networks and takes every one of them down after the module."""
    started: list[Path] = []

    def start(*arguments: str) -> RunningNetwork:
        directory = tmp_path_factory.mktemp("devnet") / "net"
        started.append(directory)
        return start_network(directory, *arguments)

    yield start
    for directory in started:
        ended = run_devnet(["down", "--dir", str(directory)], directory.parent)
        assert ended.code == 0, ended.told
        assert not (directory / "network.json").exists(), "down leaves no descriptor behind"
