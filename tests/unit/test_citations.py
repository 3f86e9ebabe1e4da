"""What code and pages cite is in this repository: files, pages, decisions; and no note that a reader
cannot have."""

import re
from functools import cache
from itertools import product
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = re.compile(
    r"(?<![\w./])(?:docs|dst|devnet|tests|fixtures)/[\w./{},-]*\.(?:md|py|qnt|json|yaml)\b"
)
LINKS = re.compile(r"\]\(([^)#\s]+)")
DECISIONS = re.compile(r"\bADR (\d+)")
ELSEWHERE = re.compile(r"\bdesign sections?\s\d|\bresearch/")


@cache
def texts() -> dict[Path, str]:
    code = [path for top in ("dst", "devnet", "tests") for path in (ROOT / top).rglob("*.py")]
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    return {path: path.read_text() for path in (*code, *pages) if path != Path(__file__)}


def expanded(path: str) -> list[str]:
    """`a/{b,c}.py` is two files."""
    parts = re.split(r"\{([^}]*)\}", path)
    choices = [part.split(",") if index % 2 else [part] for index, part in enumerate(parts)]
    return ["".join(each) for each in product(*choices)]


def test_files_that_are_cited_exist() -> None:
    missing = [
        (str(path.relative_to(ROOT)), name)
        for path, text in texts().items()
        for cited in FILES.findall(text)
        for name in expanded(cited)
        if not (ROOT / name).exists()
    ]
    assert missing == []


def test_links_of_pages_lead_somewhere() -> None:
    missing = [
        (str(path.relative_to(ROOT)), target)
        for path, text in texts().items()
        if path.suffix == ".md"
        for target in LINKS.findall(text)
        if "://" not in target and not (path.parent / target).exists()
    ]
    assert missing == []


def test_decisions_that_are_cited_exist() -> None:
    numbers = {int(path.name[:4]) for path in (ROOT / "docs/adr").glob("[0-9]*.md")}
    cited = {int(each) for text in texts().values() for each in DECISIONS.findall(text)}
    assert cited <= numbers


def test_nothing_is_cited_that_is_not_here() -> None:
    found = [
        (str(path.relative_to(ROOT)), match[0])
        for path, text in texts().items()
        for match in ELSEWHERE.finditer(text)
    ]
    assert found == []
