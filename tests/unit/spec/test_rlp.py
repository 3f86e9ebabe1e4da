"""RLP against the published library, and its strictness."""

import pytest
import rlp as judge
from hypothesis import given
from hypothesis import strategies as st

from dst.spec import rlp
from dst.spec.errors import InvalidInput

items = st.recursive(
    st.binary(max_size=70), lambda inner: st.lists(inner, max_size=5), max_leaves=20
)


@given(items)
def test_round_trip_and_agreement(item: rlp.Item) -> None:
    encoded = rlp.encode(item)
    assert encoded == judge.encode(item)
    assert rlp.decode(encoded) == item


@given(st.binary(max_size=80))
def test_only_canonical_encodings_are_read(data: bytes) -> None:
    try:
        item = rlp.decode(data)
    except InvalidInput:
        return
    assert rlp.encode(item) == data


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8100",
        "817f",
        "b800",
        "b83700",
        "b90001",
        "c1",
        "82aa",
        "f800",
        "0000",
        "bfffffffffffffffff",
    ],
)
def test_malformed(text: str) -> None:
    with pytest.raises(InvalidInput):
        rlp.decode(bytes.fromhex(text))


def test_deep_nesting_is_refused() -> None:
    data = b"\xc0"
    for _ in range(rlp.MAX_DEPTH + 1):
        data = rlp.encode_list(data)
    with pytest.raises(InvalidInput, match="nested"):
        rlp.decode(data)


def test_typed_readers() -> None:
    assert rlp.to_int(b"\x01\x00", what="x") == 256
    bad: list[rlp.Item] = [b"\x00", b"\x00\x01", [b""]]
    for item in bad:
        with pytest.raises(InvalidInput):
            rlp.to_int(item, what="x")
    with pytest.raises(InvalidInput, match="above 64 bits"):
        rlp.to_int(b"\x01" * 9, bits=64, what="x")
    with pytest.raises(InvalidInput, match="expected 2 items"):
        rlp.to_list([b""], 2, what="x")
