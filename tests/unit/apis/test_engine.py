"""Wire forms and tokens of the Engine API."""

import base64
from pathlib import Path

import msgspec
import pytest

from dst.apis.engine import PayloadAttributes
from dst.apis.engine_wire import (
    ExecutionPayloadV3,
    attributes_from_wire,
    attributes_to_wire,
    payload_from_wire,
    payload_to_wire,
)
from dst.apis.jwt import check_jwt, load_jwt_secret, make_jwt
from dst.apis.quantity import parse_quantity
from dst.spec.beacon import ExecutionPayload, Withdrawal
from dst.spec.errors import BadConfig, InvalidInput
from dst.spec.primitives import Address, Gwei, Hash32

SECRET, NOW = b"\x0a" * 32, 1_700_000_000.0


def bearer(secret: bytes = SECRET, at: float = NOW) -> str:
    return "Bearer " + make_jwt(secret, at)


@pytest.mark.parametrize("drift", [0, 60, -60])
def test_good_tokens(drift: int) -> None:
    assert check_jwt(SECRET, bearer(at=NOW + drift), NOW) is None


def forged(header: bytes, claims: bytes) -> str:
    """Rightly signed, wrongly filled."""
    from dst.apis.jwt import _sign

    parts = b".".join(base64.urlsafe_b64encode(each).rstrip(b"=") for each in (header, claims))
    return "Bearer " + (parts + b"." + _sign(SECRET, parts)).decode()


@pytest.mark.parametrize(
    ("authorization", "words"),
    [
        (None, "missing token"),
        ("Basic abc", "missing token"),
        ("Bearer abc", "not a JWT"),
        (bearer(b"\x0b" * 32), "different JWT secrets"),
        (bearer(b"\x0a" * 31), "different JWT secrets"),
        (bearer(at=NOW + 61), "check the clocks"),
        (bearer(at=NOW - 61), "check the clocks"),
        (forged(b'{"alg":"none"}', b'{"iat":1700000000}'), "HS256"),
        (forged(b'{"alg":"HS256"}', b"{}"), "iat"),
        (forged(b'{"alg":"HS256"}', b"nonsense"), "malformed"),
        (forged(b'{"alg":"HS256"}', b'{"iat":1' + b"0" * 400 + b"}"), "malformed"),
    ],
)
def test_bad_tokens_say_why(authorization: str | None, words: str) -> None:
    assert words in str(check_jwt(SECRET, authorization, NOW))


def test_secret_files(tmp_path: Path) -> None:
    path = tmp_path / "jwt.hex"
    for text, good in (
        ("0x" + "0a" * 32, True),
        ("0a" * 32 + "\n", True),
        ("0a", False),
        ("zz", False),
    ):
        path.write_text(text)
        path.chmod(0o600)
        if good:
            assert load_jwt_secret(path) == SECRET
        else:
            with pytest.raises(BadConfig, match="JWT secret"):
                load_jwt_secret(path)


@pytest.mark.parametrize(
    "text", ["1", "0x", "0x01", "0xg", "0x10000000000000000", 1, None, "0x_1", "0x+1"]
)
def test_bad_quantities(text: object) -> None:
    with pytest.raises(InvalidInput):
        parse_quantity(text)


def payload() -> ExecutionPayload:
    return ExecutionPayload(
        parent_hash=Hash32(b"\x01" * 32),
        fee_recipient=Address(b"\x02" * 20),
        state_root=Hash32(b"\x03" * 32),
        receipts_root=Hash32(b"\x04" * 32),
        logs_bloom=bytes(256),
        prev_randao=Hash32(b"\x05" * 32),
        block_number=7,
        gas_limit=10_000_000,
        gas_used=21_000,
        timestamp=1_700_000_000,
        extra_data=b"dst",
        base_fee_per_gas=2**200,
        block_hash=Hash32(b"\x06" * 32),
        transactions=(b"\x02abc", b""),
        withdrawals=(
            Withdrawal(index=1, validator_index=0, address=Address(b"\x07" * 20), amount=Gwei(5)),
        ),
        blob_gas_used=0,
        excess_blob_gas=0,
    )


def test_payload_round_trip_through_json() -> None:
    encoded = msgspec.json.encode(payload_to_wire(payload()))
    assert b'"baseFeePerGas":"0x1' in encoded
    assert payload_from_wire(msgspec.json.decode(encoded, type=ExecutionPayloadV3)) == payload()


def test_payload_fields_are_checked() -> None:
    wire = payload_to_wire(payload())
    for change in (
        {"extra_data": "0x" + "00" * 33},
        {"logs_bloom": "0x00"},
        {"block_number": "7"},
        {"transactions": ["zz"]},
    ):
        with pytest.raises(InvalidInput):
            payload_from_wire(msgspec.structs.replace(wire, **change))


def test_attributes_show_extensions_only_when_used() -> None:
    plain = PayloadAttributes(
        timestamp=1, prev_randao=Hash32(bytes(32)), parent_beacon_block_root=Hash32(bytes(32))
    )
    encoded = msgspec.json.encode(attributes_to_wire(plain))
    assert b"noTxPool" not in encoded
    assert b'"transactions"' not in encoded
    assert attributes_from_wire(attributes_to_wire(plain)) == plain
    forced = PayloadAttributes(
        timestamp=1,
        prev_randao=Hash32(bytes(32)),
        parent_beacon_block_root=Hash32(bytes(32)),
        transactions=(b"\x01",),
        no_tx_pool=True,
    )
    assert b'"noTxPool":true' in msgspec.json.encode(attributes_to_wire(forced))
    assert attributes_from_wire(attributes_to_wire(forced)) == forced
