"""A writer killed at any instant, and a disk without room: the old chain or the new one, complete,
and it goes on."""

import logging
import os
import random
import resource
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dst.execution.pruning import Retention
from dst.runtime.tables import StoreUnavailable
from dst.spec.primitives import ZERO_HASH
from tests.unit.execution.ledgers import PEOPLE, SLOTS, Change, Ledger

KILLS = 25
RETENTION = Retention(history_blocks=64)


def changes_of(number: int) -> list[Change]:
    """The change that block `number` makes, in every run."""
    chance = random.Random(number)
    return [
        Change(
            chance.choice(PEOPLE),
            credit=chance.randrange(9),
            slots={chance.choice(SLOTS): chance.randrange(2**60)},
            ends=chance.random() < 0.1,
            again=True,
        )
        for _ in range(3)
    ]


def next_block(ledger: Ledger) -> int:
    """Make and store the next block, move the head to it, finality 70 blocks behind."""
    chain = ledger.chain
    head, number = chain.heads.head_hash, chain.heads.head.number + 1
    ledger.headers.setdefault(head, chain.heads.head)
    block = ledger.make(head, changes_of(number))
    chain.insert(block)
    finalized = chain.canonical_hash(max(0, number - 70))
    assert finalized is not None
    chain.set_forkchoice(block.hash, ZERO_HASH, finalized)
    return number


def check_like_a_reader(ledger: Ledger) -> int:
    """Head, receipts and every state of the canonical chain; returns the head's number."""
    chain = ledger.chain
    rebuild_models(ledger)
    for number in range(1, chain.heads.head.number + 1):
        block_hash = chain.canonical_hash(number)
        assert block_hash is not None
        assert len(chain.receipts(block_hash)) == 1
    ledger.check_all()
    return chain.heads.head.number


def rebuild_models(ledger: Ledger) -> None:
    """Headers from the store, models by playing the changes again; a block that was stored and
    never became the head is the next one on it."""
    chain, parent = ledger.chain, ledger.genesis.header.hash
    for number in range(1, chain.heads.head.number + 1):
        block_hash = chain.canonical_hash(number)
        assert block_hash is not None
        header = chain.header(block_hash)
        assert header is not None
        ledger.learn(header, parent, changes_of(number))
        parent = block_hash
    orphans = ledger.store.tables.scan("siblings", (chain.heads.head.number + 1).to_bytes(8, "big"))
    for key, _ in orphans:
        header = chain.header(key[8:])
        assert header is not None
        ledger.learn(header, parent, changes_of(header.number))


def test_killed_again_and_again(tmp_path: Path) -> None:
    chance = random.Random(7)
    seen = 0
    for _ in range(KILLS):
        acknowledged = _write_and_kill(tmp_path, blocks=chance.randrange(1, 12), chance=chance)
        ledger = Ledger(tmp_path, RETENTION)
        head = check_like_a_reader(ledger)
        assert head >= max(acknowledged, seen)
        seen = next_block(ledger)
        ledger.close()
    assert seen > 70, "the window was never crossed"


def _write_and_kill(folder: Path, *, blocks: int, chance: random.Random) -> int:
    """A child writes blocks and tells each; killed a random moment after the `blocks`th. Returns
    the last it told."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            ledger = Ledger(folder, RETENTION)
            while True:
                os.write(writing, next_block(ledger).to_bytes(4, "big"))
        finally:
            os._exit(1)
    os.close(writing)
    for _ in range(blocks):
        told = os.read(reading, 4)
    select.select([], [], [], chance.random() * 0.006)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while more := os.read(reading, 4):
        told = more
    os.close(reading)
    return int.from_bytes(told, "big")


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], check=False
    )
    if mounted.returncode:
        pytest.skip("no right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_stops_and_resumes(tmpfs: Path, caplog: pytest.LogCaptureFixture) -> None:
    def make_room() -> None:
        subprocess.run(["mount", "-o", "remount,size=64m", str(tmpfs)], check=True)

    _fill_and_resume(tmpfs, make_room, caplog)


def test_readers_beside_a_disk_that_fills_and_gets_room(tmpfs: Path) -> None:
    """What they look at pins pages, so a write may pass that the one before did not."""
    ledger = Ledger(tmpfs)
    with reading(ledger):
        _fill(ledger)
        refused = 0
        while refused < 10:
            try:
                next_block(ledger)
            except StoreUnavailable:
                refused += 1
        subprocess.run(["mount", "-o", "remount,size=64m", str(tmpfs)], check=True)
        for _ in range(20):
            next_block(ledger)
    check_like_a_reader(ledger)
    ledger.close()


def test_a_file_limit_stops_and_resumes(tmp_path: Path) -> None:
    """In a process of its own, because the limit is the process's."""
    script = (
        "import sys; from pathlib import Path;"
        "from tests.unit.execution.test_crashes import under_a_file_limit;"
        "under_a_file_limit(Path(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)


def under_a_file_limit(folder: Path) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * 2**20, hard))
    _fill_and_resume(folder, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard)), None)


def _fill_and_resume(
    folder: Path, make_room: Callable[[], None], caplog: pytest.LogCaptureFixture | None
) -> None:
    ledger = Ledger(folder)
    head = _fill(ledger)
    if caplog is not None:
        _expect_one_line(caplog, "disk_full")
    assert ledger.chain.heads.head.number == head
    check_like_a_reader(ledger)  # reads go on
    for _ in range(5):
        with pytest.raises(StoreUnavailable, match=r"disk is full: .*; waits for room"):
            _fill(ledger)
    assert "room on the disk of " in (ledger.store.waits_for() or "")
    if caplog is not None:
        _expect_one_line(caplog, "disk_full")
    ledger.reopen()
    check_like_a_reader(ledger)
    make_room()
    for _ in range(40):
        next_block(ledger)
    assert check_like_a_reader(ledger) == ledger.chain.heads.head.number
    if caplog is not None:
        _expect_one_line(caplog, "disk_full")
    ledger.close()


@contextmanager
def reading(ledger: Ledger) -> Iterator[None]:
    """Threads that read what RPC, calls and the pool read: an answer, or StoreUnavailable."""
    done, faults, answers = threading.Event(), list[BaseException](), [0] * 3

    def read(number: int) -> None:
        while not done.is_set():
            try:
                _read_head(ledger)
                answers[number] += 1
            except StoreUnavailable:
                pass
            except BaseException as error:
                faults.append(error)
                return

    threads = [threading.Thread(target=read, args=(number,)) for number in range(len(answers))]
    for each in threads:
        each.start()
    try:
        yield
    finally:
        done.set()
        for each in threads:
            each.join()
    assert not faults
    assert all(answers)


def _read_head(ledger: Ledger) -> None:
    heads = ledger.chain.heads
    reader = ledger.chain.reader_after(heads.head_hash)
    for person in PEOPLE:
        reader.get_code(person)
        for slot in SLOTS:
            reader.slot(person, slot)
    if heads.head.number:
        assert len(ledger.chain.receipts(heads.head_hash)) == 1


def _fill(ledger: Ledger) -> int:
    """Blocks until one is refused; returns the head then. Raises when the first is refused."""
    written = 0
    while True:
        try:
            next_block(ledger)
        except StoreUnavailable:
            if written == 0:
                raise
            return ledger.chain.heads.head.number
        written += 1


def _expect_one_line(caplog: pytest.LogCaptureFixture, event: str) -> None:
    lines = [each for each in caplog.records if event in each.getMessage()]
    assert [each.levelno for each in lines] == [logging.ERROR]
