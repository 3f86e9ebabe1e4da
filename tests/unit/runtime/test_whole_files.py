"""Files written whole: one contract, kept by the roles' way and by the harness's, against a real
kernel."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from devnet.model.whole import write_whole
from dst.runtime.files import read_secret, write_atomic, write_secret

ROOT = Path(__file__).parents[3]
OLD, NEW = b"old\n" * 5000, b"new\n" * 5000
WAYS: dict[str, Callable[[Path, bytes], None]] = {
    "role": write_atomic,
    "harness": write_whole,
    "harness-durable": partial(write_whole, durable=True),
}
CHILD = """\
import os, resource, sys
from pathlib import Path
from devnet.model.whole import write_whole
from dst.runtime.files import write_atomic
path, way = Path(sys.argv[1]), sys.argv[2]
write = write_atomic if way == "role" else write_whole
more = {"durable": True} if way == "harness-durable" else {}
"""
ENDS = """\
os.replace = os.rename = lambda *_, **__: os._exit(9)
Path.replace = Path.rename = lambda *_: os._exit(9)
write(path, b"new", **more)
"""
FULL = """\
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
write(path, b"new" * 8192, **more)
"""


def child(words: str, path: Path, way: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CHILD + words, str(path), way],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "it.json"
    found.write_bytes(OLD)
    return found


@pytest.mark.parametrize("way", WAYS)
def test_a_crash_before_the_rename_leaves_the_old_one(way: str, path: Path) -> None:
    assert child(ENDS, path, way).returncode == 9
    assert path.read_bytes() == OLD
    assert len(list(path.parent.iterdir())) == 2
    WAYS[way](path, NEW)
    assert path.read_bytes() == NEW
    assert list(path.parent.iterdir()) == [path], "what the crash left is gone, too"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("was_there", [True, False])
def test_where_there_is_no_room_nothing_has_changed(way: str, was_there: bool, path: Path) -> None:
    if not was_there:
        path.unlink()
    done = child(FULL, path, way)
    assert "OSError: [Errno 27]" in done.stderr, "the kernel refused to write more"
    assert list(path.parent.iterdir()) == [path] * was_there
    assert not was_there or path.read_bytes() == OLD


@pytest.mark.parametrize("way", WAYS)
def test_readers_see_the_one_or_the_other(way: str, path: Path) -> None:
    stop = threading.Event()
    seen: set[bytes] = set()

    def read() -> None:
        while not stop.is_set():
            seen.add(path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(50):
        WAYS[way](path, NEW)
        WAYS[way](path, OLD)
    stop.set()
    reader.join()
    assert seen <= {OLD, NEW}


def test_permissions_are_kept_unless_others_are_asked_for(path: Path) -> None:
    path.chmod(0o640)
    path.with_name("it.json.new").write_bytes(b"left by a crash")
    path.with_name("it.json.new").chmod(0o666)
    write_whole(path, NEW)
    assert path.stat().st_mode & 0o7777 == 0o640
    write_whole(path, NEW, mode=0o644)
    assert path.stat().st_mode & 0o7777 == 0o644
    path.unlink()
    before = os.umask(0o027)
    try:
        write_whole(path, NEW)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o7777 == 0o640


def test_a_secret_is_its_owners_alone_whatever_lay_there(path: Path) -> None:
    path.chmod(0o666)
    path.with_name("it.json.new").write_bytes(b"")
    path.with_name("it.json.new").chmod(0o666)
    write_secret(path, b"secret")
    assert path.stat().st_mode & 0o7777 == 0o600
    assert read_secret(path, what="it") == b"secret"


@pytest.mark.parametrize(
    ("way", "steps"),
    [
        ("role", ["file", "rename", "folder"]),
        ("harness-durable", ["file", "rename", "folder"]),
        ("harness", ["rename"]),
    ],
)
def test_what_is_durable_is_on_the_disk_before_it_has_its_name(
    way: str, steps: list[str], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        is_folder = os.path.samestat(os.fstat(descriptor), path.parent.stat())
        done.append("folder" if is_folder else "file")
        if not is_folder:
            assert path.with_name("it.json.new").read_bytes() == b"small"
        sync(descriptor)

    def replaced(old: Path, new: Path) -> None:
        done.append("rename")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    WAYS[way](path, b"small")
    assert done == steps


@pytest.mark.parametrize("way", WAYS)
def test_an_interrupt_leaves_nothing_aside(
    way: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        WAYS[way](path, NEW)
    assert list(path.parent.iterdir()) == [path]
    assert path.read_bytes() == OLD
