"""Where published tests come from: a folder, a git repository (bare or checked out), or one of our
committed archives. All three give the same thing: (path, bytes), in the order of the paths.
"""

import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

LFS_POINTER = b"version https://git-lfs"


def read_files(
    source: Path, under: str = "", suffix: str = ".json"
) -> Iterator[tuple[str, bytes | None]]:
    """Every file of `source` below the folder `under` whose name ends with `suffix`; None for one
    whose content is elsewhere (Git LFS, or left out of a partial clone).

    A repository without a work tree is read at HEAD.
    """
    for path, data in _read_all(source, under, suffix):
        yield path, None if data is None or data.startswith(LFS_POINTER) else data


def _read_all(source: Path, under: str, suffix: str) -> Iterator[tuple[str, bytes | None]]:
    if source.is_file():
        yield from _of_archive(source, under, suffix)
    elif (source / under).is_dir() and git_dir(source) != source:
        yield from _of_folder(source, under, suffix)
    elif git_dir(source) is not None:
        yield from _of_git(source, under, suffix)
    else:
        raise FileNotFoundError(f"{source}: no folder with {under!r}, no git, no archive")


def git_dir(source: Path) -> Path | None:
    """The git directory of a bare repository or a checkout."""
    for candidate in (source / ".git", source / "repo", source):
        if (candidate / "objects").is_dir() and (candidate / "HEAD").is_file():
            return candidate
    return None


def _of_folder(source: Path, under: str, suffix: str) -> Iterator[tuple[str, bytes]]:
    for path in sorted((source / under).rglob(f"*{suffix}")):
        yield path.relative_to(source).as_posix(), path.read_bytes()


def _of_archive(source: Path, under: str, suffix: str) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(source, "r:*") as archive:
        for member in archive:
            if member.isfile() and member.name.startswith(under) and member.name.endswith(suffix):
                handle = archive.extractfile(member)
                assert handle is not None
                yield member.name, handle.read()


def git_blobs(
    source: Path, under: str, suffix: str, commit: str = "HEAD"
) -> list[tuple[str, str | None]]:
    """(path, object id); None for an object that the clone lacks."""
    command = ["git", f"--git-dir={git_dir(source)}", "ls-tree", "-r", "-l", commit]
    listing = subprocess.run(
        [*command, *([under] if under else [])], capture_output=True, text=True, check=True
    ).stdout
    blobs: list[tuple[str, str | None]] = []
    for line in listing.splitlines():
        about, path = line.split("\t", 1)
        _, _, object_id, size = about.split()
        if path.endswith(suffix):
            blobs.append((path, None if size == "BAD" else object_id))
    return blobs


def _of_git(source: Path, under: str, suffix: str) -> Iterator[tuple[str, bytes | None]]:
    yield from read_blobs(source, git_blobs(source, under, suffix))


def read_blobs(
    source: Path, blobs: Iterable[tuple[str, str | None]]
) -> Iterator[tuple[str, bytes | None]]:
    """One `git cat-file` for all of them."""
    command = ["git", f"--git-dir={git_dir(source)}", "cat-file", "--batch"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as git:
        assert git.stdin is not None
        assert git.stdout is not None
        for path, object_id in blobs:
            if object_id is None:
                yield path, None
                continue
            git.stdin.write(object_id.encode() + b"\n")
            git.stdin.flush()
            size = int(git.stdout.readline().split()[2])
            data = git.stdout.read(size)
            git.stdout.read(1)
            yield path, data
        git.stdin.close()
