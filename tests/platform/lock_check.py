"""Can everybody install the lock from wheels alone? `python -m tests.platform.lock_check [LOCK]`.

uv resolves requirements.lock for each promised pair of platform and Python, with hashes, markers
evaluated for the target, and building forbidden: it reads the index's file lists and installs
nothing, about a second a pair. That it would choose a file whose hash the lock knows is a second
question, asked once: the index must not have files that the lock was made without.

Exit code 0: every pair; 1: a table and the packages that are in the way; 3: uv could not ask.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PLATFORMS: Final = {
    "Linux x86-64": "x86_64-manylinux_2_28",
    "Linux arm64": "aarch64-manylinux_2_28",
    "macOS arm64": "aarch64-apple-darwin",
}
"""Name -> uv's word. glibc 2.28 is Debian 10, RHEL 8; uv takes macOS 13 as the floor."""
PYTHONS: Final = ("3.11", "3.12", "3.13", "3.14")
LOCK: Final = Path(__file__).parents[2] / "requirements.lock"
UV_SECONDS: Final = 120
MAX_CULPRITS: Final = 20
"""A pair with more is not supported at all."""

_CULPRIT: Final = re.compile(r"Because (?:only )?([A-Za-z0-9._-]+)==\S+ has no (?:usable )?wheels")

_HASH: Final = re.compile(r"--hash=(\S+)")


class CannotAsk(Exception):
    """uv ended in something else than an answer; the message is its own."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A platform of PLATFORMS and a Python."""

    platform: str
    python: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One requirement of the lock: its name and its lines, hashes and marker included."""

    name: str
    text: str


def read_lock(text: str) -> tuple[Entry, ...]:
    """Entries begin in the first column; what is indented belongs to the one above."""
    parts = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)
    return tuple(
        Entry(re.split(r"[=\[ ;]", part, maxsplit=1)[0], part) for part in parts if "==" in part
    )


Resolve = Callable[[Pair, str], str]
"""(pair, requirements) -> what uv complains about, empty when all is well. Raises: CannotAsk."""


def _uv(words: list[str], requirements: str) -> "subprocess.CompletedProcess[str]":
    """Run uv on requirements in a file. Raises: CannotAsk."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "requirements.txt")
        path.write_text(requirements)
        uv = str(Path(sys.executable).with_name("uv"))
        try:
            return subprocess.run(
                [uv, "pip", *words, str(path)],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=UV_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CannotAsk(f"uv: {error}") from error


def uv_resolves(pair: Pair, requirements: str) -> str:
    words = [
        "install", "--dry-run", "--no-deps", "--require-hashes", "--only-binary", ":all:",
        "--python-platform", PLATFORMS[pair.platform], "--python-version", pair.python,
        "--target", "none", "-r",
    ]  # fmt: skip
    done = _uv(words, requirements)
    return done.stderr.strip() if done.returncode else ""


def uv_knows(requirements: str) -> str:
    """The same requirements with the hashes of all files that the index has now.

    Raises: CannotAsk.
    """
    words = ["compile", "-q", "--universal", "--no-deps", "--generate-hashes", "--no-header"]
    done = _uv([*words, "--no-annotate", "--no-emit-index-url"], requirements)
    if done.returncode:
        raise CannotAsk(done.stderr.strip())
    return done.stdout


def with_unknown_files(lock: str, now: str) -> tuple[str, ...]:
    """Packages that have files in the index (`now`) which the lock does not know."""
    known = {entry.name: set(_HASH.findall(entry.text)) for entry in read_lock(lock)}
    return tuple(
        entry.name
        for entry in read_lock(now)
        if set(_HASH.findall(entry.text)) - known.get(entry.name, set())
    )


def culprits(pair: Pair, entries: tuple[Entry, ...], resolve: Resolve) -> tuple[str, ...]:
    """Packages without a wheel for this pair, each found by leaving out those before it.

    Raises: CannotAsk when uv complains about something else.
    """
    found: list[str] = []
    while len(found) < MAX_CULPRITS:
        kept = "".join(entry.text for entry in entries if entry.name not in found)
        complaint = resolve(pair, kept)
        if not complaint:
            break
        match = _CULPRIT.search(" ".join(complaint.split()))
        if match is None or match[1] in found:
            raise CannotAsk(complaint)
        found.append(match[1])
    return tuple(found)


def pairs() -> Iterator[Pair]:
    for platform in PLATFORMS:
        for python in PYTHONS:
            yield Pair(platform, python)


def table(found: dict[Pair, tuple[str, ...]]) -> str:
    """A line a platform, a column a Python; then a line for each package in the way."""
    width = max(len(name) for name in PLATFORMS)
    lines = [" ".join(["".ljust(width), *(python.ljust(8) for python in PYTHONS)]).rstrip()]
    for platform in PLATFORMS:
        words = [
            f"{len(missing)} miss" if (missing := found[Pair(platform, python)]) else "ok"
            for python in PYTHONS
        ]
        lines.append(" ".join([platform.ljust(width), *(word.ljust(8) for word in words)]).rstrip())
    for pair, missing in found.items():
        lines += [f"no wheel: {name} for {pair.platform}, Python {pair.python}" for name in missing]
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    lock = Path(arguments[0]) if arguments else LOCK
    text = lock.read_text()
    entries = read_lock(text)
    wanted = list(pairs())
    try:
        with ThreadPoolExecutor(4) as pool:  # it waits for the index, not for the processor
            answers = pool.map(lambda pair: culprits(pair, entries, uv_resolves), wanted)
            found = dict(zip(wanted, answers, strict=True))
        stale = with_unknown_files(text, uv_knows(text))
    except CannotAsk as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    print(f"{len(entries)} packages of {lock.name}, from wheels alone")
    print(table(found))
    for name in stale:
        print(f"stale: {name} has files that the lock does not know; renew it with `make lock`")
    return 1 if stale or any(found.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
