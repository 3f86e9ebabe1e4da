"""The table, for the terminal and for docs/benchmarks.md."""

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from devnet.bench.measure import Figure
from devnet.report.table import render_columns

NOTES_MARK: Final = "## Where the time goes"
"""What stands from here on in the page is written by people, and kept."""


def machine() -> str:
    """What the figures were taken on, in one line."""
    memory = ""
    if Path("/proc/meminfo").exists():
        first = Path("/proc/meminfo").read_text().split("\n", 1)[0].split()[1]
        memory = f", {int(first) / 1024 / 1024:.0f} GB memory"
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores{memory}, {system}"


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}" if value < 1 else f"{value:.1f}"


def rows_of(figures: Sequence[Figure]) -> list[tuple[str, ...]]:
    """Head and body, as text."""
    head = ("what", "measured", "n = 1", "ratio", "target")
    body = [
        (
            figure.what,
            f"{_amount(figure.value)} {figure.unit}",
            "-" if figure.baseline is None else f"{_amount(figure.baseline)} {figure.unit}",
            "-" if figure.ratio is None else f"{figure.ratio:.2f}",
            figure.target or "-",
        )
        for figure in figures
    ]
    return [head, *body]


def render_terminal(figures: Sequence[Figure]) -> str:
    return render_columns(rows_of(figures))


def render_page(figures: Sequence[Figure], notes: str) -> str:
    """The page; `notes` is its hand-written end."""
    head, *body = rows_of(figures)
    lines = [
        "# Benchmarks",
        "",
        f"Taken {datetime.now(UTC).date().isoformat()} by `make bench` on {machine()}, 1 s slots, "
        "all programs of all operators on the one machine. Ratios are to the n = 1 network of the "
        "same session.",
        "",
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |" for row in body),
        "",
        notes.strip() or NOTES_MARK,
        "",
    ]
    return "\n".join(lines)


def write_page(path: Path, figures: Sequence[Figure]) -> None:
    """Replace the table, keep the notes."""
    notes = ""
    if path.exists():
        _, mark, rest = path.read_text(encoding="utf-8").partition(NOTES_MARK)
        notes = mark + rest
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_page(figures, notes), encoding="utf-8")
