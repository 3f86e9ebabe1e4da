"""The figures as Markdown. Pure."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.benchmarks.execution.accounts import Cost
from tests.benchmarks.execution.importing import Throughput
from tests.benchmarks.execution.inclusion import BATCH, TRANSFERS, Inclusion
from tests.benchmarks.execution.worst_blocks import Timing


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    text: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def document(sections: Sequence[Section]) -> str:
    head = (
        "# Benchmarks of the execution layer\n\n"
        f"Taken by `make bench-execution` on {os.cpu_count()} cores, {platform.system()} "
        f"{platform.machine()}, Python {platform.python_version()}; CPU seconds, one process. "
        "Where the machine is noisy only the ratios mean something.\n"
    )
    return "\n".join((head, *map(_section, sections)))


def import_section(loads: Mapping[str, Throughput], size: int) -> Section:
    rows = tuple(
        (
            name,
            f"{each.per_second:,.0f}",
            f"{each.mgas_per_second:.1f}",
            f"{each.gas // each.transactions:,}",
            "-" if each.ratio is None else f"{each.ratio:.1f} x",
        )
        for name, each in loads.items()
    )
    return Section(
        "Import",
        f"Blocks of {size} from their bytes to the stored head, signatures recovered; beside "
        "unmodified py-evm, which imports the same blocks in the same run and stores nothing.",
        ("load", "transactions/s", "Mgas/s", "gas each", "against stock py-evm"),
        rows,
    )


def inclusion_section(found: Mapping[str, Inclusion]) -> Section:
    return Section(
        "From JSON-RPC to a block",
        f"{TRANSFERS:,} signed transfers in JSON-RPC batches of {BATCH} over HTTP, until all are "
        "in blocks and their receipts are read, also in batches. One execution role whose blocks "
        "are driven through the Engine API (no other operators), and anvil with `evm_mine`; same "
        "client, same batches, in turn. Wall clock. A run of anvil's that left transactions "
        "waiting for ever was run again.",
        ("a block", "this role's transfers/s", "anvil's", "to anvil", "runs anvil did not end"),
        tuple(
            (
                cadence,
                f"{each.ours:,.0f}",
                f"{each.anvil:,.0f}",
                f"{each.ratio:.2f} x",
                str(each.stalled),
            )
            for cadence, each in found.items()
        ),
    )


def series_section(what: str, series: Mapping[int, Throughput]) -> Section:
    costs = {key: each.seconds / each.transactions for key, each in series.items()}
    least = min(costs.values())
    rows = tuple(
        (f"{key:,}", f"{1e6 * cost:,.0f}", f"{cost / least:.2f} x") for key, cost in costs.items()
    )
    return Section(
        f"A transfer by {what}",
        "CPU time of a transfer's import.",
        (what, "us", "to the least"),
        rows,
    )


def accounts_section(costs: Mapping[int, Cost]) -> Section:
    sizes = tuple(next(iter(costs.values())).seconds)
    least = {size: min(each.seconds[size] for each in costs.values()) for size in sizes}
    rows = tuple(
        (
            f"{accounts:,}",
            *(
                f"{1e6 * cost.seconds[size]:,.0f} ({cost.seconds[size] / least[size]:.2f} x)"
                for size in sizes
            ),
            f"{cost.resident_mb:,}",
        )
        for accounts, cost in costs.items()
    )
    return Section(
        "A transfer among many accounts",
        "CPU time of a transfer's import in us, beside the least, the flat base's moves included; "
        "and the memory of the process that imports, without the pages of its store.",
        ("accounts", *(f"{size:,} a block" for size in sizes), "MB"),
        rows,
    )


def worst_section(worst: Sequence[Timing], again: Sequence[Timing]) -> Section:
    worst_first = sorted(again, key=lambda each: each.badness, reverse=True)
    first = worst_first[0]
    rows = tuple(
        (
            each.loop.subject,
            each.loop.variant,
            f"{each.mgas_per_second:.1f}",
            _seconds(each),
        )
        for each in (*worst_first, *worst[len(again) :])
    )
    return Section(
        "Worst blocks",
        f"The worst block of 10 Mgas: **{first.loop.name}, {_seconds(first)} s**. "
        "The slowest loop of every opcode and precompile; the first "
        f"{len(again)} ran with a whole block's gas, the rest with a tenth.",
        ("opcode or precompile", "its worst loop", "Mgas/s", "s per 10 Mgas"),
        rows,
    )


def _seconds(timing: Timing) -> str:
    """Of a whole block; a loop that was given up takes longer than that."""
    return f"{'' if timing.finished else '> '}{timing.seconds_per_block:.2f}"


def _section(section: Section) -> str:
    lines = [f"## {section.title}", "", section.text, "", _row(section.columns)]
    lines.append(_row(["---"] * len(section.columns)))
    lines += map(_row, section.rows)
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
