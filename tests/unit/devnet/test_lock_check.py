"""The check of the lock names every package in the way and the pair, and takes nothing else for
one."""

import pytest

from tests.platform.lock_check import (
    CannotAsk,
    Entry,
    Pair,
    culprits,
    pairs,
    read_lock,
    table,
    with_unknown_files,
)

LOCK = """\
aiohttp==3.14.5 \\
    --hash=sha256:00 \\
    --hash=sha256:01
colorama==0.4.6 ; sys_platform == 'win32' \\
    --hash=sha256:02
eth-hash[pysha3]==0.7.1 \\
    --hash=sha256:03
"""
MAC = Pair("macOS arm64", "3.14")
COMPLAINT = """\
error: No solution found when resolving dependencies
  cause: Because {name}==1.0 has no usable wheels and you require {name}==1.0, we can
  conclude that your requirements are unsatisfiable.
"""


def test_entries_keep_their_hashes_and_markers() -> None:
    found = read_lock(LOCK)
    assert [entry.name for entry in found] == ["aiohttp", "colorama", "eth-hash"]
    assert "".join(entry.text for entry in found) == LOCK
    assert "sys_platform" in found[1].text


def test_every_package_in_the_way_is_found() -> None:
    missing = {"aiohttp", "eth-hash"}

    def resolve(pair: Pair, requirements: str) -> str:
        assert pair == MAC
        left = [entry.name for entry in read_lock(requirements) if entry.name in missing]
        return COMPLAINT.format(name=left[0]) if left else ""

    assert culprits(MAC, read_lock(LOCK), resolve) == ("aiohttp", "eth-hash")


@pytest.mark.parametrize(
    "complaint", ["error: Request failed after 3 retries", "error: Hash mismatch for aiohttp"]
)
def test_another_complaint_is_not_an_answer(complaint: str) -> None:
    with pytest.raises(CannotAsk, match=complaint):
        culprits(MAC, read_lock(LOCK), lambda pair, requirements: complaint)


def test_a_package_that_is_in_the_way_after_it_is_left_out_ends_the_search() -> None:
    with pytest.raises(CannotAsk):
        culprits(MAC, (Entry("a", "a==1\n"),), lambda *_: COMPLAINT.format(name="b"))


def test_the_table_names_package_and_pair() -> None:
    found = {pair: () for pair in pairs()}
    told = table({**found, MAC: ("coincurve",)})
    assert "macOS arm64  ok       ok       ok       1 miss" in told
    assert "no wheel: coincurve for macOS arm64, Python 3.14" in told
    assert "no wheel" not in table(dict(found))


def test_files_that_the_lock_was_made_without_are_told() -> None:
    assert with_unknown_files(LOCK, LOCK) == ()
    newer = LOCK.replace("sha256:03", "sha256:03 \\\n    --hash=sha256:04")
    assert with_unknown_files(LOCK, newer) == ("eth-hash",)
    assert with_unknown_files(newer, LOCK) == ()
