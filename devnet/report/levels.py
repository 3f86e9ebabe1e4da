"""A verdict for each service level. Pure: from runs' own figures.

*Met* is said only of what was shown: a run that showed nothing, is missing or in which there was
nothing to measure counts as beyond the limit, for it may have been; and so does one that failed,
whatever its figures. *Missed* is said of runs that were measured alone. Runs that shared a network
count as one, with the share of them that were beyond.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from devnet.checkers.base import counted
from devnet.model.verdict import Outcome
from devnet.report.cells import CellFigures, RunFigures
from devnet.report.statistics import (
    CONFIDENCE,
    chance_of_so_many,
    holm,
    runs_needed,
    seldom_enough,
    too_often,
)
from devnet.scenarios.slo import PASSES, Objective, ServiceLevels
from dst.spec.errors import BadConfig

TOLD: Final = 3
"""Places by name; of more the number."""
MOST_NEEDED: Final = 100
"""With more than so many beyond nobody wants to know how many runs it would take."""


class Said(StrEnum):
    MET = "met"
    MISSED = "missed"
    TOO_FEW = "not enough runs to say"


class LevelVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """beyond: of `runs`, how many did not keep it. Not in `runs`: silent, which showed nothing;
    unmeasured, in which there was nothing to measure or less was seen than the limit; missing."""

    name: str
    objective: str
    said: Said
    beyond: int
    runs: int
    networks: int
    """That the runs were on."""
    silent: int
    unmeasured: int
    missing: int
    note: str = ""


def judge_levels(levels: ServiceLevels, cells: Sequence[CellFigures]) -> tuple[LevelVerdict, ...]:
    """A verdict for each, over all runs that it is about, none of them on a baseline. Raises:
    BadConfig for one that is about nothing here, or names what is not here."""
    return tuple(_judged(objective, cells) for objective in levels.objectives)


class _Tally:
    """Of an objective, over some places: runs, and what the networks say that they were on."""

    def __init__(self, objective: Objective, cells: Sequence[CellFigures]) -> None:
        self.beyond = self.runs = self.silent = self.unmeasured = 0
        self.missing = sum(cell.missing for cell in cells)
        kept: dict[tuple[object, str], list[bool | None]] = {}
        for cell in cells:
            for run in cell.runs:
                keeps = _keeps(objective, run)
                kept.setdefault((cell.key, run.alone_on), []).append(keeps)
                self.beyond += keeps is False
                self.runs += keeps is not None
                self.silent += not run.shown
                self.unmeasured += run.shown and keeps is None
        self._networks = list(kept.values())

    @property
    def networks(self) -> int:
        return sum(any(keeps is not None for keeps in network) for network in self._networks)

    @property
    def doubtful(self) -> float:
        """Networks that may not keep it, with what is missing."""
        shares = (sum(keeps is not True for keeps in n) / len(n) for n in self._networks)
        return sum(shares) + self.missing

    @property
    def all_networks(self) -> int:
        return len(self._networks) + self.missing

    @property
    def broken(self) -> float:
        """Networks, of those measured, that do not keep it."""
        measured = [[keeps for keeps in n if keeps is not None] for n in self._networks]
        return sum(n.count(False) / len(n) for n in measured if n)

    def told(self) -> str:
        return f"{self.beyond} of {self.runs} beyond"


def _keeps(objective: Objective, run: RunFigures) -> bool | None:
    """None: that was not shown, neither way."""
    if not run.shown:
        return None
    if run.outcome is Outcome.FAIL:
        return False
    if objective.measure == PASSES:
        return True
    seen: float | None = getattr(run.measures, objective.measure)
    if seen is None:
        return None
    if seen > objective.limit:
        return False
    return None if objective.measure in run.measures.censored else True


def _judged(objective: Objective, cells: Sequence[CellFigures]) -> LevelVerdict:
    ours = [cell for cell in cells if not cell.cluster.is_baseline]
    mine = [cell for cell in ours if objective.is_about(*cell.key[:4])]
    if not mine:
        raise BadConfig(f"service level {objective.name}: this campaign has no such place")
    if idle := objective.idle([cell.key[:4] for cell in mine]):
        raise BadConfig(
            f"service level {objective.name}: {idle} is no place of this campaign that it is about"
        )
    tally, share = _Tally(objective, mine), 1 - objective.share
    places = {cell.told(): _Tally(objective, [cell]) for cell in mine}
    worst = _missed_alone(places, share)
    unshown = [told for told, place in places.items() if not place.runs]
    if worst or too_often(tally.broken, tally.networks, share):
        said, notes = Said.MISSED, [f"missed by {_some(worst)}"] * bool(worst)
    elif not unshown and seldom_enough(tally.doubtful, tally.all_networks, share):
        said, notes = Said.MET, []
    else:
        said, notes = Said.TOO_FEW, list(_wanting(tally, unshown, share))
    return LevelVerdict(
        name=objective.name,
        objective=objective.told(),
        said=said,
        beyond=tally.beyond,
        runs=tally.runs,
        networks=tally.networks,
        silent=tally.silent,
        unmeasured=tally.unmeasured,
        missing=tally.missing,
        note="; ".join(notes),
    )


def _missed_alone(places: dict[str, _Tally], share: float) -> list[str]:
    """Places that do not keep it, which those that do must not hide: `x (9 of 9 beyond)`."""
    if len(places) == 1:
        return []
    chances = holm([chance_of_so_many(p.broken, p.networks, share) for p in places.values()])
    return [
        f"{told} ({place.told()})"
        for (told, place), chance in zip(places.items(), chances, strict=True)
        if chance <= 1 - CONFIDENCE
    ]


def _wanting(tally: _Tally, unshown: list[str], share: float) -> Iterator[str]:
    if unshown:
        yield f"nothing was measured in {_some(unshown)}"
    doubtful = -int(-tally.doubtful // 1)
    if doubtful <= MOST_NEEDED:
        needed = runs_needed(share, doubtful)
        yield f"with {doubtful} beyond it takes {needed} runs to be shown"


def _some(places: list[str]) -> str:
    more = len(places) - TOLD
    return "; ".join(places[:TOLD]) + (f"; and {counted(more, 'other{s}')}" if more > 0 else "")


def level_note(level: LevelVerdict) -> str:
    """What there is to say beside the verdict, with all that was left out."""
    parts = [level.note] * bool(level.note)
    if level.networks < level.runs:
        shared = f"{counted(level.runs, 'run{s}')} shared {counted(level.networks, 'network{s}')}"
        parts.append(f"{shared}, each of which counts once")
    unsure = [
        f"{counted(level.silent, 'run{s}')} showed nothing" * bool(level.silent),
        f"{counted(level.unmeasured, 'run{s}')} had nothing to measure" * bool(level.unmeasured),
        f"{counted(level.missing, 'run{s}')} missing" * bool(level.missing),
    ]
    if told := ", ".join(filter(None, unsure)):
        parts.append(f"{told}: counted as beyond")
    return "; ".join(parts)
