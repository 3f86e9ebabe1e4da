"""A folder has one harness at a time, and nothing is ever removed from a folder that is not a
devnet's."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from devnet.backends.processes import ProcessId, write_pid_file
from devnet.network.claim import (
    MARK,
    PREVIOUS,
    SUPERVISOR_LOG,
    claim,
    is_claimed,
    read_mark,
    remove_files,
    remove_leftovers,
)
from dst.spec.errors import BadConfig


def test_a_claimed_folder_is_refused_to_a_second_harness(tmp_path: Path) -> None:
    folder = tmp_path / "net"
    with claim(folder, "process") as identifier:
        assert len(identifier) == 8
        assert is_claimed(folder)
        with pytest.raises(BadConfig, match="already runs"), claim(folder, "process"):
            pass
        mark = read_mark(folder)
        assert mark is not None
        assert mark.supervisor == ProcessId.of(os.getpid())
    assert not is_claimed(folder)


def test_a_foreign_folder_is_refused_and_untouched(tmp_path: Path) -> None:
    precious = tmp_path / "cluster"
    precious.mkdir()
    (precious / "thesis.txt").write_text("mine")
    with pytest.raises(BadConfig, match="not a devnet's folder"), claim(tmp_path, "process"):
        pass
    remove_files(tmp_path)
    assert remove_leftovers(tmp_path) == []
    assert (precious / "thesis.txt").read_text() == "mine"


def test_a_file_is_not_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(BadConfig, match="not a folder"), claim(path, "process"):
        pass


def test_tear_down_keeps_logs_and_what_it_did_not_make(tmp_path: Path) -> None:
    folder = tmp_path / "net"
    with claim(folder, "process"):
        (folder / "logs" / "op1.rollup.log").write_text("x")
        (folder / "runs").mkdir()
    remove_files(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["logs", "runs"]


def test_an_empty_folder_goes(tmp_path: Path) -> None:
    folder = tmp_path / "net"
    with claim(folder, "process"):
        pass
    (folder / "logs").rmdir()
    remove_files(folder)
    assert not folder.exists()


def test_a_new_network_starts_on_a_clean_folder(tmp_path: Path) -> None:
    with claim(tmp_path / "net", "process"):
        (tmp_path / "net" / "nodes" / "op1").mkdir()
    with claim(tmp_path / "net", "process"):
        assert list((tmp_path / "net" / "nodes").iterdir()) == []


def test_logs_are_kept_for_one_more_network(tmp_path: Path) -> None:
    logs = tmp_path / "net" / "logs"
    with claim(tmp_path / "net", "process"):
        (logs / "op1.rollup.log").write_text("first")
        (logs / "op9.rollup.log").write_text("first")
    with claim(tmp_path / "net", "process"):
        assert [path.name for path in logs.glob("*.log")] == []
        assert (logs / PREVIOUS / "op1.rollup.log").read_text() == "first"
        (logs / "op1.rollup.log").write_text("second")
    with claim(tmp_path / "net", "process"):
        kept = {path.name: path.read_text() for path in (logs / PREVIOUS).iterdir()}
        assert kept == {"op1.rollup.log": "second"}


def test_the_log_of_a_detached_network_is_put_aside_by_one_that_is_not(tmp_path: Path) -> None:
    with claim(tmp_path / "net", "process"):
        pass
    log = tmp_path / "net" / "logs" / SUPERVISOR_LOG
    log.write_text("CRASH")
    with claim(tmp_path / "net", "process"):
        assert not log.exists()
    assert (log.parent / PREVIOUS / SUPERVISOR_LOG).read_text() == "CRASH"


def _sleeper() -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True
    )


def test_leftover_processes_are_killed_but_never_a_recycled_pid(tmp_path: Path) -> None:
    left, stranger = _sleeper(), _sleeper()
    try:
        folder = tmp_path / "net"
        with claim(folder, "process"):
            identity = ProcessId.of(left.pid)
            assert identity is not None
            write_pid_file(folder / "run" / "op1.rollup.pid", identity)
            write_pid_file(
                folder / "run" / "op2.rollup.pid", ProcessId(stranger.pid, "another start time")
            )
        assert remove_leftovers(folder) == ["op1.rollup"]
        assert left.wait(10) != 0
        assert stranger.poll() is None
    finally:
        for process in (left, stranger):
            process.kill()
            process.communicate()


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"id": 1}'])
def test_a_broken_mark_is_no_mark(tmp_path: Path, text: str) -> None:
    (tmp_path / MARK).write_text(text)
    assert read_mark(tmp_path) is None


def test_the_mark_holds_no_more_than_it_needs(tmp_path: Path) -> None:
    with claim(tmp_path / "net", "docker"):
        record = json.loads((tmp_path / "net" / MARK).read_text())
    assert set(record) == {"id", "backend", "pid", "started"}


def test_a_harness_killed_while_it_sets_up_leaves_a_folder_that_is_ours(tmp_path: Path) -> None:
    """At every file and folder that it makes."""
    folder = tmp_path / "net"
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom devnet.network.claim import claim\n"
        "left = int(sys.argv[2])\n"
        "def dying(real):\n"
        "    def step(*words, **more):\n"
        "        global left\n"
        "        left -= 1\n"
        "        if left < 0: os._exit(9)\n"
        "        return real(*words, **more)\n"
        "    return step\n"
        "Path.mkdir, Path.open, os.replace = map(dying, (Path.mkdir, Path.open, os.replace))\n"
        "with claim(Path(sys.argv[1]), 'process'): pass\n"
    )
    codes = set()
    for step in range(12):
        done = subprocess.run([sys.executable, "-c", script, str(folder), str(step)], check=False)
        codes.add(done.returncode)
        with claim(folder, "process"):
            pass
        remove_files(folder)
    assert codes == {9, 0}, "it came to its end within so many steps"
