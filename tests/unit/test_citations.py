"""What code and pages cite is in this repository: files, headings, tests, decisions; no note that a
reader cannot have."""

import ast
import re
from functools import cache
from itertools import product
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = re.compile(
    r"(?<![\w./])(?:docs|dst|devnet|tests|fixtures)/[\w./{},-]*\.(?:md|py|qnt|json|yaml)\b"
)
LINKS = re.compile(r"\]\(([^)#\s]*)#?([^)\s]*)\)")
TESTS = re.compile(r"`([\w/]*test_\w+\.py)::(test_\w+)`")
SYMBOLS = re.compile(r"`(\w+)` in `([\w/]+\.py)`")
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


def test_symbols_that_are_cited_are_in_their_file() -> None:
    """As `name` in `path`."""
    cited = {each for text in texts().values() for each in SYMBOLS.findall(text)}
    assert cited
    missing = [
        (name, path)
        for name, path in cited
        if not re.search(rf"\b{name}\b", (ROOT / path).read_text())
    ]
    assert missing == []


def test_links_of_pages_lead_somewhere() -> None:
    missing = [
        (str(path.relative_to(ROOT)), target)
        for path, text in texts().items()
        if path.suffix == ".md"
        for target, heading in LINKS.findall(text)
        if "://" not in target and not leads(path, target, heading)
    ]
    assert missing == []


def leads(page: Path, target: str, heading: str) -> bool:
    path = page.parent / target if target else page
    if not heading or not path.exists():
        return path.exists()
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return heading in {re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in headings}


def test_tests_that_are_cited_are_collected() -> None:
    """By the end of their path, of which there is one."""
    cited = {each for text in texts().values() for each in TESTS.findall(text)}
    assert cited
    for end, name in sorted(cited):
        holders = [path for path in texts() if str(path).endswith(f"/{end}")]
        assert len([path for path in holders if name in collected(path)]) == 1, (end, name)


def collected(path: Path) -> set[str]:
    """What pytest collects: functions of the module that are named so."""
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    body = ast.parse(texts()[path]).body
    return {each.name for each in body if isinstance(each, functions) and each.name[:5] == "test_"}


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
