"""The table at the end of `devnet chaos run`: plain text, columns as wide as they must be."""

from collections.abc import Sequence

from devnet.checkers.base import amount
from devnet.model.cluster import sequencers_told
from devnet.model.verdict import Outcome, Verdict
from devnet.report.summary import CampaignSummary, RunSummary, rehearsal_of


def seconds_text(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"


def render_columns(rows: Sequence[Sequence[str]]) -> str:
    """Align left; the first row is the head."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines)


_HEAD = (
    "run", "seed", "verdict", "target", "aimed at", "fell in", "gap", "recovery", "tx ok", "lost",
    "took",
)  # fmt: skip


def _row(number: int, run: RunSummary) -> tuple[str, ...]:
    return (
        str(number),
        str(run.seed),
        run.outcome.value,
        run.target,
        run.aimed,
        run.hit,
        seconds_text(run.gap),
        seconds_text(run.recovery),
        str(run.tx_ok),
        str(run.tx_lost),
        f"{run.seconds:.0f} s",
    )


def render_campaign(campaign: CampaignSummary) -> str:
    """Table, one line over all runs, for every run that did not pass the reason, and each run's
    page."""
    rows = [_HEAD, *(_row(number, run) for number, run in enumerate(campaign.runs, 1))]
    parts = [render_columns(rows), "", _overall(campaign)]
    for number, run in enumerate(campaign.runs, 1):
        if run.outcome is not Outcome.PASS:
            kept = f" (kept in {run.folder})" if run.folder else ""
            parts.append(f"run {number}: {run.outcome.value}: {run.reason}{kept}")
        if rehearsal := rehearsal_of(run):
            parts.append(f"in the simulator: {rehearsal}")
    parts += [f"report: {run.folder}/report.html" for run in campaign.runs if run.folder]
    return "\n".join(parts)


def _overall(campaign: CampaignSummary) -> str:
    """Of a single run there is no distribution."""
    passed = sum(run.outcome is Outcome.PASS for run in campaign.runs)
    percentiles = f"; {_percentiles(campaign)}" if len(campaign.runs) > 1 else ""
    by = sequencers_told(campaign.cluster, campaign.operators)
    return (
        f"{campaign.scenario} on {campaign.backend}, {by}, "
        f"{campaign.slot_seconds:g} s slots: {passed} of {len(campaign.runs)} passed{percentiles}"
    )


def _percentiles(campaign: CampaignSummary) -> str:
    return (
        f"gap p50 {seconds_text(campaign.gap_p50)}, p99 {seconds_text(campaign.gap_p99)}; "
        f"recovery p50 {seconds_text(campaign.recovery_p50)}, "
        f"p99 {seconds_text(campaign.recovery_p99)}"
    )


def render_verdicts(verdicts: Sequence[Verdict]) -> str:
    """Every verdict of one run with what was measured, and below it what broke."""
    rows = [("invariant", "verdict", "measured / allowed", "what was looked at")]
    rows += [(v.checker, v.outcome.value, figure_of(v) or "-", v.note) for v in verdicts]
    broken = [f"{v.checker}: {item.summary}" for v in verdicts for item in v.violations]
    return "\n".join([render_columns(rows), *(["", *broken] if broken else [])])


def figure_of(verdict: Verdict) -> str:
    """`1.08 s / 6.00 s`; empty where nothing is measured."""
    if verdict.bound is None:
        return ""
    measured = "-" if verdict.measured is None else amount(verdict.measured, verdict.unit)
    return f"{measured} / {amount(verdict.bound, verdict.unit)}"
