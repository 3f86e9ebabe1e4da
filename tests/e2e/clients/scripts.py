"""Running a client's script against a chain, and what its steps said."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devnet.model.accounts import ACCOUNTS
from devnet.toolchain.npm_project import NpmProject, ensure_npm_project
from devnet.toolchain.tools import CAST, FORGE, ensure
from tests.e2e.clients.networks import Chain

HERE: Final = Path(__file__).parent
REPOSITORY: Final = HERE.parents[2]
ARTIFACT: Final = HERE / "contracts" / "Probe.json"
SCRIPT_SECONDS: Final = 420
"""Of a whole script in which every step runs into its own limit of 20 s."""


@dataclass(frozen=True, slots=True)
class Step:
    """How one step of a script ended."""

    name: str
    ok: bool
    error: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Client:
    """A client and the two accounts that are its own, so that a transaction which one client left
    behind is not in the way of the next."""

    name: str
    command: Callable[[], Sequence[str]]
    first_account: int

    def run(self, chain: Chain) -> list[Step]:
        """All of its steps on one chain. Raises: AssertionError when the script itself broke."""
        keys = [a.private_key for a in ACCOUNTS[self.first_account : self.first_account + 2]]
        done = subprocess.run(
            [*self.command(), chain.url, chain.ws, str(ARTIFACT), *keys],
            cwd=HERE,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            timeout=SCRIPT_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{self.name} on {chain.name}: {done.stderr[-2000:]}"
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        return [Step(e["step"], e["ok"], e["error"], e["seconds"]) for e in lines]


def _packages() -> NpmProject:
    """Our scripts beside node_modules: that is where a module looks for packages."""
    project = ensure_npm_project(HERE / "js")
    for source in (HERE / "js").glob("*.js"):
        (project.folder / source.name).write_bytes(source.read_bytes())
    return project


def _node(script: str) -> Callable[[], Sequence[str]]:
    def command() -> Sequence[str]:
        project = _packages()
        return [str(project.node), str(project.folder / script)]

    return command


def _python(module: str, *tools: Callable[[], str]) -> Callable[[], Sequence[str]]:
    return lambda: [sys.executable, "-m", f"tests.e2e.clients.{module}", *(t() for t in tools)]


def _solc() -> str:
    """Node and the folder of the compiler's package, as forge_steps takes them."""
    project = _packages()
    return f"{project.node} {project.folder}"


CLIENTS: Final = (
    Client("ethers", _node("ethers.js"), 0),
    Client("viem", _node("viem.js"), 2),
    Client("web3", _python("web3_steps"), 4),
    Client("cast", _python("cast_steps", lambda: str(ensure(CAST))), 6),
    Client("forge", _python("forge_steps", lambda: str(ensure(FORGE)), _solc), 8),
)


def table(on_anvil: Sequence[Step], on_ours: Sequence[Step]) -> str:
    """A line a step: what anvil did, what ours did, and why not."""
    ours = {step.name: step for step in on_ours}
    width = max(len(step.name) for step in on_anvil)
    lines = []
    for theirs in on_anvil:
        mine = ours.get(theirs.name)
        told = "missing" if mine is None else _told(mine)
        lines.append(f"{theirs.name.ljust(width)}  anvil {_word(theirs)}  ours {told}")
    return "\n".join(lines)


def _word(step: Step) -> str:
    return f"{'ok ' if step.ok else 'FAIL'} {step.seconds:5.2f} s"


def _told(step: Step) -> str:
    return _word(step) if step.ok else f"{_word(step)}  {step.error}"
