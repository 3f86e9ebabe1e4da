"""`runs/<scenario>/<time>-<seed>/`: what a run leaves for a person, for CI and for the next reader.

Every run leaves its scenario, its record, page, verdicts, plan and JUnit file; one that did not
pass keeps its logs too.
"""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from devnet.model.descriptor import Descriptor
from devnet.model.verdict import Outcome
from devnet.model.whole import write_whole
from devnet.report.html import render_html
from devnet.report.junit import render_junit
from devnet.report.summary import RunSummary
from devnet.runner.judging import HISTORY, SCENARIO, VERDICTS, pack
from devnet.runner.plan import resolved_yaml
from devnet.runner.product import product
from devnet.runner.stages import Run
from devnet.scenarios.scenario import Scenario
from devnet.scenarios.write import scenario_yaml

MANIFEST: Final = "manifest.json"
MAX_LOG_BYTES: Final = 64 * 1024 * 1024
"""Of one log file: its end is kept, which is where the failure is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFolder:
    path: Path

    @classmethod
    def create(cls, root: Path, scenario: Scenario, seed: int) -> "RunFolder":
        """A new folder; a second run of the same second and seed gets a number."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        path = root / scenario.name / f"{stamp}-{seed}"
        number = 1
        while path.exists():
            number += 1
            path = root / scenario.name / f"{stamp}-{seed}-{number}"
        path.mkdir(parents=True)
        (path / SCENARIO).write_text(scenario_yaml(scenario), encoding="utf-8")
        return cls(path=path)

    @property
    def history(self) -> Path:
        return self.path / HISTORY

    def write(self, run: Run, summary: RunSummary, descriptor: Descriptor, replay: str) -> None:
        """The reports of a run that came to its end; the manifest, which says so, last."""
        self._json(VERDICTS, run.verdicts)
        self._text("resolved.yaml", resolved_yaml(run.scenario, run.seed, run.planned))
        junit = render_junit(
            run.verdicts,
            scenario=run.scenario.name,
            seconds=summary.seconds,
            replay=replay,
            error=run.error,
        )
        self._text("junit.xml", junit)
        if run.history is not None:
            self._text("report.html", render_html(run.history, run.verdicts, summary, replay))
        self._json(MANIFEST, manifest_of(run, summary, descriptor, replay))

    def put_away(self, outcome: Outcome, logs: Path) -> None:
        """The record stays, packed; what did not pass keeps the logs too."""
        pack(self.path)
        if outcome is not Outcome.PASS:
            copy_logs(logs, self.path / "logs")

    def _json(self, name: str, value: Any) -> None:
        encoded = msgspec.json.format(msgspec.json.encode(value), indent=2)
        write_whole(self.path / name, encoded + b"\n", durable=True)

    def _text(self, name: str, text: str) -> None:
        write_whole(self.path / name, text.encode())


def manifest_of(
    run: Run, summary: RunSummary, descriptor: Descriptor, replay: str
) -> dict[str, Any]:
    """What ran, on what, and how to run it again. Built of public facts only: never of files with
    keys."""
    return {
        "version": 2,
        "product": product(),
        "scenario": run.scenario.name,
        "about": run.scenario.about,
        "seed": run.seed,
        "replay": replay,
        "outcome": summary.outcome,
        "reason": summary.reason,
        "error": run.error,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "summary": summary,
        "network": {
            "backend": descriptor.backend,
            "cluster": descriptor.cluster,
            "operators": len(descriptor.operators),
            "followers": len(descriptor.followers),
            "slot_seconds": descriptor.slot_seconds,
            "chain_id": descriptor.chain_id,
            "genesis_time": descriptor.genesis_time,
            "group_public_key": descriptor.group_public_key,
        },
    }


def copy_logs(source: Path, target: Path) -> None:
    """Copy a network's log files, the end of each when it is huge."""
    if not source.is_dir():
        return
    target.mkdir(exist_ok=True)
    for path in sorted(source.glob("*.log")):
        if path.stat().st_size <= MAX_LOG_BYTES:
            shutil.copyfile(path, target / path.name)
            continue
        with path.open("rb") as log:
            log.seek(-MAX_LOG_BYTES, 2)
            (target / path.name).write_bytes(log.read())
