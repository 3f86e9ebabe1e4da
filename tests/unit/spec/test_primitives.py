"""Hex as the APIs write it."""

import pytest

from dst.spec.errors import InvalidInput
from dst.spec.primitives import parse_hex


def test_hex_is_read() -> None:
    assert parse_hex("0x") == b""
    assert parse_hex("0xFf00", 2) == b"\xff\x00"


@pytest.mark.parametrize(
    "text", [None, 5, "", "ff", "0X00", "0x0", "0xzz", "0x00 ", "0x 00", "0x00 00", "0x00\n"]
)
def test_anything_else_is_refused(text: object) -> None:
    with pytest.raises(InvalidInput, match="a field: "):
        parse_hex(text, what="a field")


def test_length_is_checked() -> None:
    with pytest.raises(InvalidInput, match="expected 2 bytes, got 1"):
        parse_hex("0x00", 2)
