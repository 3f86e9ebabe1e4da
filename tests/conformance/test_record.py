"""Counts survive being taken in pieces, and the page leaves nothing of them out."""

from pathlib import Path

from tests.conformance import page, record
from tests.conformance.tally import Tally


def piece(passed: int) -> Tally:
    tally = Tally("EEST Prague, in process")
    for _ in range(passed):
        tally.ok()
    tally.skip("no such thing here")
    tally.notes["invalid blocks"] += passed
    return tally


def test_pieces_of_one_leg_are_one_row(tmp_path: Path) -> None:
    counts = tmp_path / "counts.jsonl"
    broken = piece(2)
    broken.fail("case::one", "head 0x1, expected 0x2\nand more")
    for each in (piece(1_000), broken):
        record.append(counts, [record.record_of(each, "full", "fixtures abc")])
    (merged,) = record.load(counts)
    assert merged == record.Record(
        run="full",
        leg="EEST Prague, in process",
        source="fixtures abc",
        passed=1_002,
        failed={"case::one": "head 0x1, expected 0x2\nand more"},
        skipped={"no such thing here": 2},
        notes={"invalid blocks": 1_002},
    )
    shown = page.document([merged])
    assert "| EEST Prague, in process | fixtures abc | 1,002 | 1 | 2 |" in shown
    assert "skipped, 2: no such thing here" in shown
    assert "**failed** case::one: head 0x1, expected 0x2\n" in shown
    assert "invalid blocks: 1,002" in shown


def test_another_source_is_another_row(tmp_path: Path) -> None:
    counts = tmp_path / "counts.jsonl"
    for source in ("a", "b"):
        record.append(counts, [record.record_of(piece(1), "full", source)])
    assert [each.source for each in record.load(counts)] == ["a", "b"]
