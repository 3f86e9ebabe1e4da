"""etcd, for stand-bys alone: one on PATH, the one in the cache, or that of Debian's package
`etcd-server`, unpacked into the cache (apt checks what it fetches; nothing is installed)."""

import platform
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from devnet.toolchain.tools import (
    CannotInstall,
    Say,
    ToolMissing,
    cache_dir,
    installation_lock,
    platform_key,
    run_installer,
    say_on_stderr,
)

OLDEST: Final = (3, 4)
"""The first whose gateway speaks `/v3`."""
PACKAGE: Final = "etcd-server"
WAYS: Final = (
    f"put etcd >= 3.4 on PATH (apt-get install {PACKAGE}, brew install etcd), or have Debian's apt "
    "fetch its package, or point DEVNET_TOOLS_DIR at a filled cache"
)


def ensure_etcd(say: Say | None = None) -> Path:
    """Raises: ToolMissing."""
    say = say or say_on_stderr
    if found := find_etcd():
        return found
    with installation_lock(say):
        return find_etcd() or _fetch(say)


def find_etcd() -> Path | None:
    on_path = shutil.which("etcd")
    for path in (Path(on_path) if on_path else None, _cached()):
        if path is not None and version_of(path) >= OLDEST:
            return path
    return None


def version_of(path: Path) -> tuple[int, ...]:
    try:
        done = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return (0,)
    match = re.search(r"etcd Version: (\d+)\.(\d+)", done.stdout)
    return (int(match[1]), int(match[2])) if match else (0,)


def _cached() -> Path:
    return cache_dir() / f"{PACKAGE}-{platform_key()}" / "etcd"


def _fetch(say: Say) -> Path:
    say(f"==> etcd: fetching Debian's package {PACKAGE}")
    with tempfile.TemporaryDirectory(prefix=".install-", dir=cache_dir()) as scratch:
        folder = Path(scratch)
        try:
            if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
                raise CannotInstall(f"no apt-get here ({platform.system()})")
            run_installer(["apt-get", "download", "--quiet", PACKAGE], folder, {})
            packages = [str(path) for path in folder.glob(f"{PACKAGE}_*.deb")]
            run_installer(["dpkg-deb", "--extract", *packages, scratch], folder, {})
            target = _cached()
            target.parent.mkdir(exist_ok=True)
            shutil.move(folder / "usr" / "bin" / "etcd", target)
        except (CannotInstall, OSError) as error:
            raise ToolMissing(f"etcd is missing: {WAYS} [tried: {error}]") from error
    found = find_etcd()
    if found is None:
        raise ToolMissing(f"etcd is missing: {WAYS} [tried: {_cached()} is too old]")
    return found
