"""Which code a program runs, in its own words: what `/metrics` and the log tell whoever upgrades a
node, or proves that somebody did."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

import dst
from dst.runtime.metrics import Metrics

DIGITS: Final = 12
"""Enough to tell releases apart, few enough to be read aloud."""


@cache
def code_digest() -> str:
    """The beginning of SHA-256 over the sources of this package: the same wherever they lie, and
    another as soon as a line is. Read once, when a program starts: that is what it runs."""
    return digest_of(Path(str(dst.__file__)).parent)


def digest_of(package: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(package.rglob("*.py"), key=lambda path: path.relative_to(package).parts):
        source = path.read_bytes()
        found.update(f"{path.relative_to(package).as_posix()} {len(source)}\n".encode())
        found.update(source)
    return found.hexdigest()[:DIGITS]


def tell_build(metrics: Metrics) -> None:
    """As `build_info`, 1, with what there is to tell in its labels: the custom of Prometheus."""
    metrics.set("build_info", 1, version=dst.__version__, code=code_digest())
