import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dst.slashing.interchange import SignedBlock, decode_interchange, encode_interchange
from dst.spec.errors import InvalidInput
from dst.spec.primitives import BLSPubkey, Root, Slot

EXAMPLE = Path(__file__).parents[3] / "fixtures" / "eip3076" / "eip_example.json"
KEY = BLSPubkey(
    bytes.fromhex(
        "b845089a1457f811bfc000588fbb4e713669be8ce060ea6be3c6ece09afc3794"
        "106c91ca73acda5e5457122d58723bed"
    )
)
CHAIN = Root(bytes.fromhex("04700007fabc8282644aed6d1c7c9e21d38a03a0c4ba193f3afe428824b3a673"))
ROOT = Root(bytes.fromhex("4ff6f743a43f3b4f95350831aeaf0a122a1a392922c45d804280284a69eb850b"))


def test_the_standards_example() -> None:
    blocks = decode_interchange(EXAMPLE.read_bytes(), pubkey=KEY, genesis_validators_root=CHAIN)
    assert blocks == (
        SignedBlock(slot=Slot(81951), signing_root=None),
        SignedBlock(slot=Slot(81952), signing_root=ROOT),
    )


@given(
    blocks=st.lists(
        st.builds(
            SignedBlock,
            slot=st.integers(min_value=0, max_value=2**63 - 1).map(Slot),
            signing_root=st.none() | st.binary(min_size=32, max_size=32).map(Root),
        )
    )
)
def test_round_trip(blocks: list[SignedBlock]) -> None:
    data = encode_interchange(blocks, pubkey=KEY, genesis_validators_root=CHAIN)
    again = decode_interchange(data, pubkey=KEY, genesis_validators_root=CHAIN)
    assert set(again) == set(blocks)
    assert list(again) == sorted(again, key=lambda block: block.slot)


def test_other_keys_are_skipped() -> None:
    data = EXAMPLE.read_bytes()
    other = BLSPubkey(bytes(48))
    assert decode_interchange(data, pubkey=other, genesis_validators_root=CHAIN) == ()


def test_another_chain_is_refused() -> None:
    with pytest.raises(InvalidInput, match="another chain"):
        decode_interchange(
            EXAMPLE.read_bytes(), pubkey=KEY, genesis_validators_root=Root(bytes(32))
        )


def _block(tree: Any) -> Any:
    return tree["data"][0]["signed_blocks"][0]


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: tree["metadata"].update(interchange_format_version="4"),
        lambda tree: tree["metadata"].pop("genesis_validators_root"),
        lambda tree: tree.pop("data"),
        lambda tree: tree["data"][0].update(pubkey="0x00"),
        lambda tree: _block(tree).update(slot="-1"),
        lambda tree: _block(tree).update(slot=81952),
        lambda tree: _block(tree).update(slot=str(2**63)),
        lambda tree: _block(tree).update(signing_root="0x00"),
    ],
)
def test_malformed(change: Any) -> None:
    tree = json.loads(EXAMPLE.read_text())
    change(tree)
    with pytest.raises(InvalidInput):
        decode_interchange(json.dumps(tree).encode(), pubkey=KEY, genesis_validators_root=CHAIN)


@given(data=st.binary(max_size=200))
def test_garbage(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        decode_interchange(data, pubkey=KEY, genesis_validators_root=CHAIN)
