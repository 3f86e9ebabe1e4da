"""The one image of all roles: imported from this machine's Python, the roles' locked packages and
the cached tools.

No registry is asked. The tag is a hash of everything that goes in, so it is made again only when
something changed. Where this machine is not Linux, `devnet/Dockerfile` builds the same from a
registry.
"""

import hashlib
import io
import json
import os
import py_compile
import re
import stat
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import IO, Final

FORMAT: Final = 3
"""Counts changes of what this module puts where."""
REPOSITORY_NAME: Final = "dst-devnet"
APP: Final = PurePosixPath("/app")
SITE: Final = APP / "site-packages"
CONTAINER_USER: Final = 65532
"""Used when the harness itself runs as root: containers never do."""

_SKIPPED_IN_STDLIB: Final = {
    "test", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3",
    "site-packages", "dist-packages", "pydoc_data",
}  # fmt: skip
_SETTINGS: Final = {
    "etc/passwd": f"root:x:0:0::/:/none\ndst:x:{CONTAINER_USER}:{CONTAINER_USER}::/tmp:/none\n",
    "etc/group": f"root:x:0:\ndst:x:{CONTAINER_USER}:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
}


def image_tag(tools: Mapping[str, Path], source: Path) -> str:
    """`dst-devnet:HASH` of interpreter, packages with versions, and tools."""
    parts = {
        "format": FORMAT,
        "python": [sys.version, str(_real_python())],
        "packages": [(d.name, d.version) for d in role_distributions(source)],
        "tools": {name: _fingerprint(path) for name, path in tools.items()},
    }
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return f"{REPOSITORY_NAME}:{digest[:16]}"


def write_image_tar(out: IO[bytes], tools: Mapping[str, Path], source: Path) -> None:
    """The root file system as a tar: Python and libraries at their own paths, the rest under
    /app."""
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        _Root(tar).fill(tools, source)


def import_changes() -> list[str]:
    """Dockerfile lines that `docker import` applies."""
    return [
        f"ENV PATH={APP}/bin PYTHONPATH={APP}:{SITE} HOME=/tmp",
        "ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1",
        f"USER {CONTAINER_USER}:{CONTAINER_USER}",
        "WORKDIR /devnet",
    ]


def temporary_tar() -> IO[bytes]:
    """About 200 MB for half a second; TMPDIR says where."""
    return tempfile.TemporaryFile(prefix="devnet-image-")


def role_distributions(source: Path) -> list[metadata.Distribution]:
    """Installed distributions that the roles need: pyproject's dependencies and what those require,
    sorted."""
    project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    found: dict[tuple[str, str], metadata.Distribution] = {}
    waiting = [wanted for text in project["dependencies"] for wanted in _wanted(text)]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in found:
            continue
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            # A requirement of another platform; a missing one of ours fails at the first import.
            continue
        found[name, extra] = distribution
        for text in distribution.requires or ():
            if _extra_of(text) == extra:
                waiting += _wanted(text)
    return [found[key] for key in sorted(found) if key[1] == ""]


def _wanted(text: str) -> list[tuple[str, str]]:
    """`eth-hash[pycryptodome]>=0.7` -> the package and each extra: ("eth-hash", ""), ("eth-hash",
    "pycryptodome")."""
    match = re.match(r"([A-Za-z0-9._-]+)\s*(?:\[([^]]*)\])?", text)
    assert match is not None, f"not a requirement: {text!r}"
    name = re.sub(r"[-_.]+", "-", match[1]).lower()
    return [
        (name, ""),
        *((name, extra.strip()) for extra in (match[2] or "").split(",") if extra.strip()),
    ]


def _extra_of(text: str) -> str:
    match = re.search(r"extra\s*==\s*['\"]([^'\"]+)", text)
    return match[1] if match else ""


def _fingerprint(path: Path) -> str:
    facts = path.stat()
    return f"{path.name} {facts.st_size} {facts.st_mtime_ns}"


def _real_python() -> Path:
    return Path(getattr(sys, "_base_executable", sys.executable)).resolve()


class _Root:
    """Fills a tar once per path, with parents, root-owned and readable by all."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._done: set[str] = set()
        self._binaries: list[Path] = []

    def fill(self, tools: Mapping[str, Path], source: Path) -> None:
        python = _real_python()
        self._file(python, python)
        for folder in {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}:
            for path in _stdlib_files(Path(folder)):
                self._file(path, path)
        for distribution in role_distributions(source):
            for path, inside in _distribution_files(distribution):
                self._file(path, Path(SITE / inside))
        for name, path in tools.items():
            self._file(path, Path(APP / "bin" / name))
        self._link(APP / "bin" / "python", python)
        self._libraries()
        self._settings()

    def _file(self, path: Path, where: Path) -> None:
        name = str(where).lstrip("/")
        if name in self._done or not path.is_file():
            return
        self._parents(where)
        self._done.add(name)
        facts = path.stat()
        entry = tarfile.TarInfo(name)
        entry.size, entry.mtime = facts.st_size, int(facts.st_mtime)
        entry.mode = 0o755 if facts.st_mode & stat.S_IXUSR else 0o644
        with path.open("rb") as handle:
            self._tar.addfile(entry, handle)
        if ".so" in path.name or entry.mode == 0o755:
            self._binaries.append(path)

    def _parents(self, where: Path) -> None:
        for parent in reversed(where.parents[:-1]):
            self._folder(str(parent).lstrip("/"), 0o755)

    def _folder(self, name: str, mode: int) -> None:
        if name not in self._done:
            self._done.add(name)
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            self._tar.addfile(entry)

    def _link(self, where: PurePosixPath, target: Path) -> None:
        self._parents(Path(where))
        entry = tarfile.TarInfo(str(where).lstrip("/"))
        entry.type, entry.linkname = tarfile.SYMTYPE, str(target)
        self._tar.addfile(entry)

    def _libraries(self) -> None:
        """Everything the loader finds for what went in, at the path where it finds it here; but for
        what wheels bring along, which is beside the module already."""
        packages = sysconfig.get_path("platlib")
        for library in sorted(_shared_libraries(self._binaries)):
            if not library.startswith(packages + os.sep):
                self._file(Path(library), Path(library))
        for pattern in ("libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2"):
            for folder in {
                str(Path(found).parent) for found in _shared_libraries([_real_python()])
            }:
                self._file(Path(folder) / pattern, Path(folder) / pattern)
        self._file(Path("/etc/ld.so.cache"), Path("/etc/ld.so.cache"))

    def _settings(self) -> None:
        for name, text in _SETTINGS.items():
            self._parents(Path("/") / name)
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            self._tar.addfile(entry, io.BytesIO(text.encode()))
        self._folder("tmp", 0o1777)
        self._folder("devnet", 0o755)


def _stdlib_files(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        folders[:] = [
            n for n in folders if n not in _SKIPPED_IN_STDLIB and not n.startswith("config-")
        ]
        yield from (
            Path(root) / name
            for name in files
            if not name.endswith((".a", ".opt-1.pyc", ".opt-2.pyc"))
        )


def _distribution_files(
    distribution: metadata.Distribution,
) -> Iterator[tuple[Path, PurePosixPath]]:
    """Files of a package below site-packages, compiled: an uncompiled import costs every start."""
    for entry in distribution.files or ():
        if ".." in entry.parts or "tests" in entry.parts or entry.suffix == ".pyc":
            continue
        path = Path(str(distribution.locate_file(entry)))
        yield path, PurePosixPath(entry)
        if path.suffix == ".py" and path.is_file():
            compiled = _bytecode(path)
            if compiled is not None:
                yield compiled, PurePosixPath(entry).parent / "__pycache__" / compiled.name


def _bytecode(path: Path) -> Path | None:
    cached = path.parent / "__pycache__" / f"{path.stem}.{sys.implementation.cache_tag}.pyc"
    if cached.exists():
        return cached
    try:
        return Path(py_compile.compile(str(path), doraise=True) or cached)
    except (OSError, py_compile.PyCompileError):
        return None


def _shared_libraries(binaries: Iterable[Path]) -> set[str]:
    """Absolute paths that `ldd` prints, without `..`, the loader among them; static programs add
    nothing."""
    found: set[str] = set()
    everything = [str(path) for path in binaries]
    for start in range(0, len(everything), 64):
        done = subprocess.run(
            ["ldd", *everything[start : start + 64]], capture_output=True, text=True, check=False
        )
        named = re.findall(r"(?:=> |^\s+)(/\S+) \(0x", done.stdout, re.MULTILINE)
        found |= set(map(os.path.normpath, named))
    return found
