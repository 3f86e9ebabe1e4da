"""Other versions of the code for nodes: found, laid ready, and asked whether they fit, before
anything starts.

A version is a folder that holds `dst/`; programs run from it with the packages of this environment.
What it reads, writes and speaks it says itself (`dst formats`). One that differs there from the
harness's own code is refused: programs would refuse each other's stores, links or configuration.
"""

import compileall
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from devnet.backends.image import role_distributions
from devnet.model.code import COPY, OWN, is_place
from devnet.model.topology import compute_topology
from devnet.network.programs import Plan
from devnet.toolchain.tools import REPOSITORY, cache_dir
from dst.spec.errors import BadConfig

ASK_TIMEOUT_S: Final = 60.0
"""It imports every role, which takes a second or two."""
_PACKAGED: Final = ("dst", "pyproject.toml", "requirements.lock")
_VERSION: Final = re.compile(r'^(__version__ = ")([^"]+)(")$', re.MULTILINE)
_PIN: Final = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*])?==([^\s;\\]+)", re.MULTILINE)


class Keys(msgspec.Struct, frozen=True):
    """Of one role's configuration file."""

    known: tuple[str, ...]
    required: tuple[str, ...]


class Formats(msgspec.Struct, frozen=True):
    """What a version says of itself; a later one may say more."""

    version: str
    code: str
    """Digest of its sources."""
    lock_file: int
    links: int
    stores: Mapping[str, int]
    config: Mapping[str, Keys]


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    name: str
    """As it was asked for."""
    tree: Path
    """Holds `dst/`."""
    formats: Formats

    def told(self) -> str:
        version, code = self.formats.version, self.formats.code
        return f"version {self.name}: dst {version}, code {code}, in {self.tree}"


def require_versions(names: Collection[str]) -> list[Version]:
    """Laid ready, each of them but our own.

    Raises: BadConfig naming the version that cannot be had or does not fit, and what to do.
    """
    found = [version_of(name) for name in sorted(set(names) - {OWN})]
    for version in found:
        if wrong := misfit(version.formats, version_of(OWN).formats):
            raise BadConfig(f"version {version.name}: {'; '.join(wrong)}")
        compileall.compile_dir(version.tree / "dst", quiet=2)
    return found


@cache
def version_of(name: str) -> Version:
    """Found once: what runs later is what was looked at first. Raises: BadConfig."""
    try:
        tree = _tree_of(name)
        if lacking := _other_packages(tree):
            raise BadConfig(f"it needs other packages than this environment has: {lacking}")
        return Version(name=name, tree=tree, formats=_ask(tree))
    except OSError as error:
        raise BadConfig(f"version {name}: {error}") from error
    except BadConfig as error:
        raise BadConfig(f"version {name}: {error}") from error


def misfit(theirs: Formats, own: Formats) -> list[str]:
    """Why nodes of the two cannot take over from one another, or work side by side; empty when
    they can."""
    wrong = []
    if theirs.code == own.code:
        wrong.append(f"it is the code of this harness itself ({own.code}): say {OWN}, or {COPY}")
    for role, number in own.stores.items():
        if (there := theirs.stores.get(role)) != number:
            wrong.append(
                f"it keeps the store of the {role} in format {there}, this version in {number}, "
                "and neither goes on with the other's"
            )
    if theirs.links != own.links:
        wrong.append(
            f"it speaks version {theirs.links} on the links between operators, this one "
            f"{own.links}: the two do not talk, so no cluster can run both"
        )
    if theirs.lock_file != own.lock_file:
        wrong.append(f"it reads cluster files of version {theirs.lock_file}, not {own.lock_file}")
    return [*wrong, *_other_keys(theirs)]


def _other_keys(theirs: Formats) -> Iterator[str]:
    """Against the files that this harness writes."""
    plan = Plan(compute_topology(operators=4, followers=1), "process", frozenset())
    for role, keys in theirs.config.items():
        files: list[set[str]] = [
            set(file) for name, file in plan.configs.items() if name.endswith(f".{role}")
        ]
        if unknown := sorted(set().union(*files) - set(keys.known)):
            yield f"its {role} does not know {', '.join(unknown)} in {role}.json"
        if missing := sorted(set(keys.required) - files[0].intersection(*files)):
            yield f"its {role} needs {', '.join(missing)} in {role}.json, which is not written"


# ------------------------------------------------------------------------------------ finding it


def _tree_of(name: str) -> Path:
    if name == OWN:
        return REPOSITORY
    if name == COPY:
        return _copy()
    if not is_place(name):
        return _revision(name)
    place = Path(name)
    if place.suffix == ".whl" and place.is_file():
        data = place.read_bytes()
        return _unpacked(data, f"wheel-{hashlib.sha256(data).hexdigest()[:16]}")
    if not (place / "dst" / "__init__.py").is_file():
        raise BadConfig("no wheel, and no folder that holds dst/__init__.py")
    return place


def _copy() -> Path:
    own = version_of(OWN).formats

    def fill(folder: Path) -> None:
        skipped = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / "dst", folder / "dst", ignore=skipped)
        where = folder / "dst" / "__init__.py"
        source, times = _VERSION.subn(rf"\g<1>\g<2>+{COPY}\g<3>", where.read_text())
        if times != 1:
            raise BadConfig(f"{where} does not say __version__ once")
        where.write_text(source)

    return _laid_ready(f"{COPY}-{own.code}", fill)


def _revision(name: str) -> Path:
    """Raises: BadConfig."""
    whole = ["rev-parse", "--show-toplevel"]
    if (top := _git(*whole)) is None or Path(os.fsdecode(top.strip())).resolve() != REPOSITORY:
        raise BadConfig(
            f"{REPOSITORY} is no git checkout, so it has no revisions: name a folder or a wheel"
        )
    commit = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    if commit is None:
        raise BadConfig(f"no revision of {REPOSITORY} (git fetch --tags?); a folder begins with ./")
    found = commit.decode().strip()
    there = _git("ls-tree", "--name-only", found) or b""
    named = [each for each in _PACKAGED if each in there.decode().splitlines()]
    if "dst" not in named or (data := _git("archive", "--format=zip", found, *named)) is None:
        raise BadConfig(f"commit {found[:12]} holds no dst/")
    return _unpacked(data, found)


def _git(*words: str) -> bytes | None:
    """What it prints; None when it fails, or there is no git."""
    try:
        done = subprocess.run(
            ["git", "-C", str(REPOSITORY), *words],
            capture_output=True,
            check=False,
            timeout=ASK_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _unpacked(data: bytes, name: str) -> Path:
    def fill(folder: Path) -> None:
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                archive.extractall(folder)
        except zipfile.BadZipFile as error:
            raise BadConfig(f"not a wheel: {error}") from error
        if not (folder / "dst" / "__init__.py").is_file():
            raise BadConfig("it holds no dst/__init__.py")

    return _laid_ready(name, fill)


def _laid_ready(name: str, fill: Callable[[Path], None]) -> Path:
    """A folder of the cache that is there whole or not at all; what is in it never changes."""
    versions = cache_dir() / "versions"
    target = versions / name
    if target.is_dir():
        return target
    versions.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=versions) as scratch:
        folder = Path(scratch) / name
        folder.mkdir()
        fill(folder)
        try:
            folder.rename(target)
        except OSError:
            if not target.is_dir():  # nor did another harness lay it ready meanwhile
                raise
    return target


# ------------------------------------------------------------------------------------- asking it


def _ask(tree: Path) -> Formats:
    """Raises: BadConfig."""
    kept = {key: os.environ[key] for key in ("PATH", "VIRTUAL_ENV", "TMPDIR") if key in os.environ}
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "dst", "formats"],
            cwd=tree,
            env={**kept, "PYTHONPATH": str(tree)},
            capture_output=True,
            text=True,
            check=False,
            timeout=ASK_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise BadConfig(f"`dst formats` says nothing for {ASK_TIMEOUT_S:.0f} s") from None
    if "invalid choice: 'formats'" in done.stderr:
        raise BadConfig(
            "it has no `dst formats` yet, so it cannot say whether it fits: too old for this"
        )
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise BadConfig(f"it does not start with the packages of this environment: {said[-1]}")
    try:
        return msgspec.json.decode(done.stdout, type=Formats)
    except msgspec.DecodeError as error:
        raise BadConfig(f"what its `dst formats` says is not understood here: {error}") from error


def _other_packages(tree: Path) -> str:
    """Where it says by a lock which ones it runs with. Tests and tools may be others."""
    lock = tree / "requirements.lock"
    if tree == REPOSITORY or not (lock.is_file() and (tree / "pyproject.toml").is_file()):
        return ""
    pins: dict[str, set[str]] = {}
    for name, version in _PIN.findall(lock.read_text()):
        pins.setdefault(_plain(name), set()).add(version)
    wrong = [
        f"{each.name} {' or '.join(sorted(pins[_plain(each.name)]))}, here {each.version}"
        for each in role_distributions(tree)
        if each.version not in pins.get(_plain(each.name), {each.version})
    ]
    return ", ".join(wrong)


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
