"""What the cluster costs and what it buys: each fault on everything that sequences, side by side.
Pure."""

from collections.abc import Iterator, Sequence
from typing import Final

from devnet.model.cluster import LEASE_SECONDS, USUAL_SIZE, ClusterKind
from devnet.report.cells import CellFigures, amount_of
from devnet.report.table import render_columns

HEAD: Final = (
    "fault", "sequenced by", "runs", "unsafe", "gap p50", "gap p95", "gap max", "recovery p50",
    "inclusion p50", "blocks lost, max", "CPU a block, p50",
)  # fmt: skip
NO_SUCH_FAULT: Final = "not run: left out of the campaign"
ENDLESS: Final = "no end seen"
_N: Final = USUAL_SIZE[ClusterKind.DST]
ABOUT: Final = (
    "The same faults, and for the same time where their end is one (`hold`, `total`). One that "
    f"stands for so many heights stands on a baseline as many slots as n = {_N} decides heights "
    "in, and longer where n is more, or the chain slower. A stand-by takes the lead when the lease "
    f"is over ({LEASE_SECONDS} s): that is most of its gap, and a choice. gap: the longest wait "
    "for a signed block; inclusion: of 95 in 100 transactions of a run; blocks lost: signed, and "
    "another one signed in their place; CPU a block: of all programs that sequence, without the "
    "harness, before the fault. No end seen: it had not ended when the watch did."
)


def compares(cells: Sequence[CellFigures]) -> bool:
    """Whether there is anything to compare with."""
    return any(cell.cluster.is_baseline for cell in cells)


def comparison_rows(cells: Sequence[CellFigures]) -> Iterator[tuple[str, ...]]:
    """For each fault a row for each that sequences, baselines first."""
    sequenced = sorted(
        {(cell.cluster, cell.operators) for cell in cells},
        key=lambda each: (not each[0].is_baseline, list(ClusterKind).index(each[0]), each[1]),
    )
    by_place = {cell.key: cell for cell in cells}
    told = {each: _sequenced_by(each, cells) for each in sequenced}
    for scenario, regions, slot in dict.fromkeys(
        (cell.scenario, cell.regions, cell.slot_seconds) for cell in cells
    ):
        fault = scenario + ("" if regions == "none" else f", {regions}")
        for cluster, operators in sequenced:
            cell = by_place.get((scenario, operators, regions, slot, cluster))
            name = f"{fault}, {slot} s"
            yield (name, told[cluster, operators], *_figures(cell))


def _sequenced_by(which: tuple[ClusterKind, int], cells: Sequence[CellFigures]) -> str:
    told = next(c.sequenced_by for c in cells if (c.cluster, c.operators) == which)
    return f"{told}, lease {LEASE_SECONDS} s" if which[0] is ClusterKind.STANDBY else told


def _figures(cell: CellFigures | None) -> tuple[str, ...]:
    if cell is None:
        return (NO_SUCH_FAULT, *[""] * (len(HEAD) - 3))
    found = cell.statistics

    def at(measure: str, which: str) -> str:
        if measure not in found:
            return "-"
        each = found[measure]
        value = each.max if which == "max" else getattr(each, which).value
        return ENDLESS if value is None else amount_of(measure, value)

    return (
        str(len(cell.shown)),
        str(sum(run.unsafe for run in cell.shown)),
        at("gap", "p50"),
        at("gap", "p95"),
        at("gap", "max"),
        at("recovery", "p50"),
        at("inclusion", "p50"),
        at("lost", "max"),
        at("cpu_block", "p50"),
    )


def render_comparison(cells: Sequence[CellFigures]) -> str:
    """For a terminal."""
    return f"{render_columns([HEAD, *comparison_rows(cells)])}\n{ABOUT}"
