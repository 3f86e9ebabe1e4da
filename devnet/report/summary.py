"""The figures of one run, and of many: what the table, the JSON output and the page all show."""

import shlex
from collections.abc import Sequence
from typing import Final

import msgspec

from devnet.checkers.base import counted
from devnet.model.cluster import ClusterKind
from devnet.model.history import Answer, Fate, FaultReceipt, History
from devnet.model.timeline import first_sealed, last_heal, worst_gap
from devnet.model.verdict import Outcome, Verdict, worst

SCHEMA_VERSION: Final = 1


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table. Times in seconds; None where there was nothing to measure."""

    scenario: str
    seed: int
    outcome: Outcome
    reason: str
    """The first verdict that is not a pass, in words."""
    target: str
    aimed: str
    """`leader of h17`: the next height's when the first fault was aimed."""
    hit: str
    """`h17 r0 prepared`: where consensus stood when the first fault was in place."""
    gap: float | None
    """Longest time between two sealed blocks, over the disturbed time."""
    recovery: float | None
    """From the last proven heal to the next sealed block."""
    tx_ok: int
    """Transactions that an operator accepted."""
    tx_lost: int
    """Of those, accepted by an operator that no fault touched, with n heights' time, in no
    block."""
    seconds: float
    folder: str = ""


class CampaignSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` prints."""

    version: int = SCHEMA_VERSION
    scenario: str
    backend: str
    cluster: ClusterKind = ClusterKind.DST
    operators: int
    slot_seconds: float
    outcome: Outcome
    runs: tuple[RunSummary, ...]
    gap_p50: float | None
    gap_p99: float | None
    recovery_p50: float | None
    recovery_p99: float | None


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Nearest-rank percentile: a value that was measured, never one in between."""
    if not values:
        return None
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * percent // 100))
    return ordered[int(rank) - 1]


def recovery_of(history: History) -> float | None:
    """Seconds from the last proven heal to the next newly sealed height."""
    healed = last_heal(history)
    if healed is None:
        return None
    after = [event for event in first_sealed(history) if event.monotonic > healed]
    return after[0].monotonic - healed if after else None


VARIATIONS: Final = 100


def rehearsal_command(what: str) -> str:
    """That plays the schedule of a run's folder, or of a scenario, in the simulator."""
    return f"devnet chaos replay {shlex.quote(what)} --simulated --runs {VARIATIONS}"


def rehearsal_of(run: RunSummary) -> str:
    """The same of a run whose failure may be one of its faults'; else empty."""
    failed = run.outcome is Outcome.FAIL and run.aimed != "-"
    return rehearsal_command(run.folder) if failed and run.folder else ""


def hit_of(fault: FaultReceipt) -> str:
    if fault.applied is None or fault.height is None:
        return "-"
    return f"h{fault.height} r{fault.round or 0} {fault.phase}"


def aimed_of(fault: FaultReceipt) -> str:
    """Whose turn was next at the moment of aiming. The fault itself falls a drawn delay later, and
    then the height before may not be sealed yet: `hit_of` tells."""
    if fault.aimed_height is None:
        return "-"
    return f"leader of h{fault.aimed_height}" if fault.hits_leader else f"h{fault.aimed_height}"


def target_of(fault: FaultReceipt) -> str:
    """What was hit, short enough for a column."""
    return fault.where.replace(", ", ",").replace(" | ", "|") or "-"


def _hostile_of(history: History | None) -> str:
    """`70 hostile txs` where no fault was the target."""
    sent = [] if history is None else [h for h in history.hostile if h.fate is not Fate.UNSENT]
    return counted(len(sent), "hostile tx{s}") if sent else "-"


def transactions_of(history: History) -> tuple[int, int]:
    """(accepted, lost) by hash.

    Lost: accepted by an operator that no fault touched from submission until n heights later, and
    in no block for all that. An operator that died may rightly take an unforwarded one with it.
    """
    included = {transaction for block in history.blocks for transaction in block.transactions}
    due = moment_of_height(history, last_read(history) - len(history.setup.operators))
    accepted, lost = set(), set()
    for item in history.transactions:
        if item.answer is not Answer.OK or item.answered is None:
            continue
        accepted.add(item.hash)
        if item.hash in included or item.answered > due:
            continue
        if not any(_touches(fault, item.via, item.sent) for fault in history.faults):
            lost.add(item.hash)
    return len(accepted), len(lost)


def _touches(fault: FaultReceipt, node: str, sent: float) -> bool:
    """Whether the fault stood at the node at some time after the submission began."""
    return node in fault.targets and (fault.healed is None or fault.healed >= sent)


def last_read(history: History) -> int:
    return max((block.height for block in history.blocks), default=0)


def moment_of_height(history: History, height: int) -> float:
    """When it was first sealed; 0 when nobody saw that."""
    moments = [event.monotonic for event in first_sealed(history) if event.height == height]
    return min(moments, default=0.0)


def reason_of(verdicts: Sequence[Verdict], error: str = "") -> str:
    """One sentence: the first thing that speaks against a pass. What broke comes before what the
    harness could not do."""
    outcome = outcome_of(verdicts, error)
    if error and outcome is not Outcome.FAIL:
        return error
    if outcome is Outcome.PASS:
        return ""
    first = next((verdict for verdict in verdicts if verdict.outcome is outcome), None)
    if first is None:
        return "nothing was checked"
    detail = first.violations[0].summary if first.violations else first.note
    beside = f" (and then: {error})" if error else ""
    return f"{first.checker}: {detail}{beside}"


def outcome_of(verdicts: Sequence[Verdict], error: str = "") -> Outcome:
    """Of a run; of one that could not be carried out: what broke has broken all the same."""
    outcome = worst(verdicts)
    return Outcome.INCONCLUSIVE if error and outcome is not Outcome.FAIL else outcome


def summarise(
    history: History | None, verdicts: Sequence[Verdict], *, scenario: str, seed: int,
    error: str = "", folder: str = "", seconds: float = 0.0,
) -> RunSummary:  # fmt: skip
    """Figures of a run; one without a history (harness error) has none."""
    fault = history.faults[0] if history is not None and history.faults else None
    gap = worst_gap(history) if history is not None else None
    tx_ok, tx_lost = transactions_of(history) if history is not None else (0, 0)
    return RunSummary(
        scenario=scenario,
        seed=seed,
        outcome=outcome_of(verdicts, error),
        reason=reason_of(verdicts, error),
        target=target_of(fault) if fault is not None else _hostile_of(history),
        aimed=aimed_of(fault) if fault is not None else "-",
        hit=hit_of(fault) if fault is not None else "-",
        gap=gap.seconds if gap is not None else None,
        recovery=recovery_of(history) if history is not None else None,
        tx_ok=tx_ok,
        tx_lost=tx_lost,
        seconds=seconds,
        folder=folder,
    )


def summarise_campaign(
    runs: Sequence[RunSummary],
    *,
    scenario: str,
    backend: str,
    operators: int,
    slot_seconds: float,
    cluster: ClusterKind = ClusterKind.DST,
) -> CampaignSummary:
    gaps = [run.gap for run in runs if run.gap is not None]
    recoveries = [run.recovery for run in runs if run.recovery is not None]
    return CampaignSummary(
        scenario=scenario,
        backend=backend,
        cluster=cluster,
        operators=operators,
        slot_seconds=slot_seconds,
        outcome=worst_outcome([run.outcome for run in runs]),
        runs=tuple(runs),
        gap_p50=percentile(gaps, 50),
        gap_p99=percentile(gaps, 99),
        recovery_p50=percentile(recoveries, 50),
        recovery_p99=percentile(recoveries, 99),
    )


def worst_outcome(outcomes: Sequence[Outcome]) -> Outcome:
    """As for verdicts: a breach outranks doubt, doubt outranks emptiness."""
    for outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.VACUOUS, Outcome.PASS):
        if outcome in outcomes:
            return outcome
    return Outcome.VACUOUS
