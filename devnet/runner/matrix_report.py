"""What a campaign leaves beside its runs: `campaign.json` and `report.html`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from devnet.model.whole import write_whole
from devnet.report.against import Comparison, compare
from devnet.report.campaign import CampaignReport, read_report
from devnet.report.campaign_page import render_campaign_page
from devnet.report.cells import figures_of
from devnet.report.levels import judge_levels
from devnet.runner.matrix_run import MatrixRun
from devnet.scenarios.matrix import Matrix
from devnet.scenarios.slo import ServiceLevels
from dst.spec.errors import BadConfig

FIGURES: Final = "campaign.json"
PAGE: Final = "report.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """Another campaign to compare with, read before anything runs."""

    name: str
    report: CampaignReport

    @classmethod
    def of(cls, path: Path, own: Path) -> "Earlier":
        """A campaign's folder, or its `campaign.json`. own: folder of the one to be compared.
        Raises: BadConfig."""
        file = path / FIGURES if path.is_dir() else path
        if file.resolve() == (own / FIGURES).resolve():
            raise BadConfig(
                f"{path}: is this campaign itself, whose figures this command writes anew; keep "
                f"those of before under another name (cp {file} before.json) and compare with that"
            )
        try:
            data = file.read_bytes()
        except OSError as error:
            raise BadConfig(f"{file}: no figures of a campaign: {error.strerror}") from error
        return cls(name=str(path), report=read_report(data, str(file)))


def require_about(levels: ServiceLevels | None, matrix: Matrix) -> None:
    """Every level is about some place of the matrix. Raises: BadConfig."""
    bare = [figures_of(cell.key, ()) for cell in matrix.cells]
    if levels is not None:
        judge_levels(levels, bare)


def require_comparable(earlier: Earlier | None, matrix: Matrix, backend: str) -> None:
    """There is something to compare, and the same was measured. Raises: BadConfig."""
    if earlier is None:
        return
    if earlier.report.backend != backend:
        raise BadConfig(
            f"{earlier.name} ran on {earlier.report.backend}, this campaign runs on {backend}: "
            "their times cannot be compared; give --backend"
        )
    if not {cell.key for cell in earlier.report.cells} & {cell.key for cell in matrix.cells}:
        raise BadConfig(f"{earlier.name} and this campaign have no place in common")


def report_of(
    run: MatrixRun, levels: ServiceLevels | None, earlier: Earlier | None
) -> CampaignReport:
    """Raises: BadConfig for a service level that is about nothing here."""
    cells, broken = run.figures()
    return CampaignReport(
        name=run.matrix.name,
        about=run.matrix.about,
        backend=run.backend,
        cells=cells,
        missing=sum(cell.missing for cell in cells),
        broken=broken,
        product=run.product,
        others=run.others(),
        slo=levels.name if levels else "",
        levels=judge_levels(levels, cells) if levels else (),
        against=earlier.name if earlier else "",
        comparison=compare(earlier.report.cells, cells) if earlier else Comparison(),
    )


def write_report(report: CampaignReport, folder: Path) -> Path:
    """The page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    encoded = msgspec.json.format(msgspec.json.encode(report), indent=2)
    write_whole(folder / FIGURES, encoded + b"\n", durable=True)
    write_whole(folder / PAGE, render_campaign_page(report).encode())
    return folder / PAGE
