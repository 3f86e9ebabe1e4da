"""Bytes from outside that no decoder reads: one way to catch them, everywhere."""

import re
from pathlib import Path

import msgspec
import pytest

from dst.spec.errors import UNREADABLE

SOURCES = Path(__file__).parents[3] / "dst"


@pytest.mark.parametrize(
    "data", [b"", b"{", b'"\xff"', b'["\xff"]', b"[" * 100_000, b'{"a":1e999}', b"\xff"], ids=repr
)
def test_whatever_cannot_be_read_is_caught(data: bytes) -> None:
    with pytest.raises(UNREADABLE):
        msgspec.json.decode(data, type=list[str])
    with pytest.raises(UNREADABLE):
        msgspec.msgpack.decode(b"\xa1\xff" if data else data, type=str)


def test_nobody_catches_less() -> None:
    """`msgspec.DecodeError` alone lets a string that is not UTF-8 through."""
    narrow = re.compile(r"except .*msgspec\.(DecodeError|MsgspecError)")
    found = [
        f"{path.relative_to(SOURCES)}: {line.strip()}"
        for path in SOURCES.rglob("*.py")
        for line in path.read_text().splitlines()
        if narrow.search(line) and "UnicodeDecodeError" not in line
    ]
    assert found == []
