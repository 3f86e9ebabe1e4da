"""Figures of one place of a campaign's matrix: of each run, and over them. Pure.

Runs that showed nothing (inconclusive, vacuous) are counted and left out of every figure.
"""

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from devnet.model.cluster import CellKey, ClusterKind, sequencers_told
from devnet.model.history import History
from devnet.model.verdict import Outcome
from devnet.report.measures import NAMES, Measures
from devnet.report.statistics import Quantile, Statistics, statistics_of

SHOWN: Final = (Outcome.PASS, Outcome.FAIL)
TIMES: Final = ("gap", "detection", "recovery", "inclusion")
COUNTS: Final = ("rounds", "lost")


class Injected(msgspec.Struct, frozen=True, kw_only=True):
    """One fault of a run. phase: where consensus stood when it fell, empty where nobody saw.
    proven: seen to stand, to its end, and seen to be gone."""

    kind: str
    phase: str = ""
    proven: bool = False


def injected_of(history: History) -> tuple[Injected, ...]:
    return tuple(
        Injected(
            kind=fault.kind,
            phase=fault.phase,
            proven=None not in (fault.verified, fault.healed)
            and fault.lapsed is None
            and not fault.error,
        )
        for fault in history.faults
    )


class RunFigures(msgspec.Struct, frozen=True, kw_only=True):
    seed: int
    outcome: Outcome
    reason: str = ""
    unsafe: bool = False
    """A safety invariant broke, which no service level excuses; also where only the checkers of the
    day said so."""
    judged_anew: str = ""
    """What the checkers of today say otherwise than those of the run."""
    folder: str
    network: str = ""
    """On which it ran, and perhaps others; empty: nobody else did."""
    measures: Measures
    faults: tuple[Injected, ...] = ()

    @property
    def shown(self) -> bool:
        return self.outcome in SHOWN

    @property
    def alone_on(self) -> str:
        """What tells its network from those of all other runs of the place."""
        return self.network or f"of seed {self.seed}"

    def value(self, measure: str) -> float | None:
        """Infinite where no more is known than that it is higher than what was seen."""
        found: float | None = getattr(self.measures, measure)
        return math.inf if measure in self.measures.censored else found


class CellFigures(msgspec.Struct, frozen=True, kw_only=True):
    """missing: runs that were asked for and are not there."""

    scenario: str
    operators: int
    regions: str
    slot_seconds: int
    cluster: ClusterKind = ClusterKind.DST
    runs: tuple[RunFigures, ...]
    missing: int = 0
    statistics: dict[str, Statistics] = {}

    @property
    def key(self) -> CellKey:
        return (self.scenario, self.operators, self.regions, self.slot_seconds, self.cluster)

    @property
    def shown(self) -> list[RunFigures]:
        return [run for run in self.runs if run.shown]

    def by_network(self, measure: str) -> list[list[float]]:
        """What was measured, of those that ran on one network together."""
        found: dict[str, list[float]] = {}
        for run in self.shown:
            if (value := run.value(measure)) is not None:
                found.setdefault(run.alone_on, []).append(value)
        return list(found.values())

    def count(self, outcome: Outcome) -> int:
        return sum(run.outcome is outcome for run in self.runs)

    def told(self) -> str:
        regions = "" if self.regions == "none" else f", {self.regions}"
        return f"{self.scenario}, {self.sequenced_by}{regions}, {self.slot_seconds} s"

    @property
    def sequenced_by(self) -> str:
        """`n = 4`, `single`."""
        return sequencers_told(self.cluster, self.operators)


def figures_of(place: CellKey, runs: Sequence[RunFigures], missing: int = 0) -> CellFigures:
    scenario, operators, regions, slot_seconds, cluster = place
    bare = CellFigures(
        scenario=scenario,
        operators=operators,
        regions=regions,
        slot_seconds=slot_seconds,
        cluster=cluster,
        runs=tuple(runs),
        missing=missing,
    )
    kept = {}
    for name in NAMES:
        networks = bare.by_network(name)
        values = [value for network in networks for value in network]
        if (found := statistics_of(values, len(networks))) is not None:
            kept[name] = found
    return msgspec.structs.replace(bare, statistics=kept)


def amount_of(measure: str, value: float | None) -> str:
    if value is None:
        return "-"
    if measure in TIMES:
        return f"{value:.2f} s"
    if measure == "cpu_block":
        return f"{1000 * value:.0f} ms"
    return f"{value:g}" if measure in COUNTS else f"{100 * value:.0f} %"


def interval_of(measure: str, quantile: Quantile) -> str:
    """`1.05 s [1.04 s, -]`: open at an end for which there are too few runs."""
    ends = ", ".join(amount_of(measure, end) for end in (quantile.low, quantile.high))
    return f"{amount_of(measure, quantile.value)} [{ends}]"


def figures_row(cell: CellFigures, measure: str) -> tuple[str, ...]:
    """Place, runs measured of all, censored, quantiles, maximum."""
    found = cell.statistics[measure]
    return (
        cell.told(),
        f"{found.count} of {len(cell.runs)}",
        str(found.censored or "-"),
        *(interval_of(measure, each) for each in (found.p50, found.p95, found.p99)),
        amount_of(measure, found.max),
    )


FIGURES_HEAD: Final = ("place", "runs", "censored", "p50", "p95", "p99", "max")
