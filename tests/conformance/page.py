"""docs/conformance.md from records. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final

from tests.conformance.record import Record

HEAD: Final = """# Conformance

What outside judges say of the execution layer; written by `make conformance WRITE=1`. A case is
skipped for the reason that stands below its leg, and for no other. What the judges are, where their
files come from and what each leg does: [fixtures](../fixtures/conformance/README.md).
"""
SECTIONS: Final = (
    (
        "gate",
        "In the gate",
        "Committed fixtures, over HTTP where the judge is one of an interface; "
        "`make judges`, three minutes.",
    ),
    (
        "full",
        "All that can be had",
        "Whole published suites, in process; random blocks for as long as one likes.",
    ),
)


def document(records: Sequence[Record]) -> str:
    parts = [HEAD]
    for run, title, about in SECTIONS:
        chosen = [each for each in records if each.run == run]
        if chosen:
            parts.append(f"## {title}\n\n{about}\n\n{table(chosen)}\n{remarks(chosen)}")
    return "\n".join(parts)


def table(records: Iterable[Record]) -> str:
    rows = ["| leg | source | passed | failed | skipped |", "| --- | --- | --- | --- | --- |"]
    rows += [
        f"| {each.leg} | {each.source} | {each.passed:,} | {len(each.failed):,} "
        f"| {sum(each.skipped.values()):,} |"
        for each in records
    ]
    return "\n".join(rows) + "\n"


def remarks(records: Iterable[Record]) -> str:
    """Reasons of what was skipped, notes, and every failure by name."""
    lines: list[str] = []
    for each in records:
        about = [f"skipped, {count:,}: {why}" for why, count in sorted(each.skipped.items())]
        about += [f"{what}: {count:,}" for what, count in sorted(each.notes.items())]
        about += [f"**failed** {case}: {_one_line(why)}" for case, why in each.failed.items()]
        if about:
            lines += [f"- {each.leg}", *(f"  - {line}" for line in about)]
    return "\n".join(lines) + "\n" if lines else ""


def _one_line(text: str) -> str:
    return text.splitlines()[0] if text else ""
