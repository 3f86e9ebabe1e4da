"""ECRECOVER, the hashes, identity, point evaluation; the table; warm-up."""

import hashlib
from importlib.resources import as_file, files
from typing import Any

import ckzg
import pytest
from Crypto.Hash import RIPEMD160
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from dst.crypto.keccak import keccak256
from dst.crypto.secp256k1 import ORDER
from dst.execution.evm.precompiles import PRECOMPILES, hashes, known_answers, kzg, warm_up
from dst.execution.evm.precompiles.contract import BadInput
from dst.execution.evm.precompiles.ecrecover import ecrecover
from dst.execution.interrupts import never

KEY = b"\x42" * 32
SIGNER = bytes.fromhex(Account.from_key(KEY).address[2:])
G1_INFINITY = b"\xc0" + bytes(47)


def number(value: int) -> bytes:
    return value.to_bytes(32, "big")


def signature(digest: bytes) -> tuple[int, int, int]:
    signed: Any = Account.unsafe_sign_hash(digest, KEY)
    return signed.v, signed.r, signed.s


def call(digest: bytes, v: int, r: int, s: int) -> bytes:
    return digest + number(v) + number(r) + number(s)


@given(st.binary(min_size=32, max_size=32))
@settings(max_examples=30, deadline=None)
def test_recovers_the_signer(digest: bytes) -> None:
    v, r, s = signature(digest)
    answer = bytes(12) + SIGNER
    assert ecrecover(call(digest, v, r, s), never) == answer
    assert ecrecover(call(digest, v, r, s) + b"more", never) == answer
    assert ecrecover(call(digest, 55 - v, r, ORDER - s), never) == answer  # the high s


def test_what_recovers_nothing() -> None:
    digest = keccak256(b"")
    v, r, s = signature(digest)
    for data in (
        b"",
        call(digest, v, r, s)[:127] if s % 256 == 0 else call(digest, v, r, 0),
        call(digest, v, 0, s),
        call(digest, v, ORDER, s),
        call(digest, v, r, ORDER),
        call(digest, 0, r, s),
        call(digest, 29, r, s),
        call(digest, v + 256, r, s),
        call(digest, v, 5, s),  # no point has this x
    ):
        assert ecrecover(data, never) == b""


@given(st.binary(max_size=300))
def test_hashes(data: bytes) -> None:
    assert hashes.sha256(data, never) == hashlib.sha256(data).digest()
    assert hashes.identity(data, never) == data
    assert len(hashes.ripemd160(data, never)) == 32


def test_ripemd160_vectors() -> None:
    """From its authors' page; OpenSSL may lack it, so hashlib is no judge."""
    for data, digest in (
        (b"", "9c1185a5c5e9fc54612808977ee8f548b2258d31"),
        (b"abc", "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc"),
        (b"message digest", "5d0689ef49d2fae572b881b123a85ffa21595f36"),
    ):
        assert hashes.ripemd160(data, never) == bytes(12) + bytes.fromhex(digest)


def test_long_inputs_are_hashed_in_slices() -> None:
    data = bytes(range(256)) * 4 * 1024 + b"more"  # 1 MB and a little
    checks: list[None] = []
    assert hashes.sha256(data, lambda: checks.append(None)) == hashlib.sha256(data).digest()
    assert len(checks) == 5
    whole = RIPEMD160.new(data).digest()
    assert hashes.ripemd160(data, lambda: checks.append(None)) == bytes(12) + whole
    assert len(checks) == 10


def test_prices_by_the_word() -> None:
    assert [hashes.sha256_gas(bytes(n)) for n in (0, 1, 32, 33)] == [60, 72, 72, 84]
    assert hashes.ripemd160_gas(bytes(33)) == 840
    assert hashes.identity_gas(bytes(33)) == 21


def test_point_evaluation() -> None:
    """The zero polynomial is 0 everywhere; its commitment and proof are infinity."""
    good = evaluation(number(3), number(0), G1_INFINITY, G1_INFINITY)
    assert kzg.point_evaluation(good, never) == number(4096) + number(kzg.BLS_MODULUS)
    for bad in (
        b"",
        good + b"\0",
        b"\x02" + good[1:],
        evaluation(number(3), number(1), G1_INFINITY, G1_INFINITY),
        evaluation(number(kzg.BLS_MODULUS), number(0), G1_INFINITY, G1_INFINITY),
        evaluation(number(3), number(kzg.BLS_MODULUS), G1_INFINITY, G1_INFINITY),
        evaluation(number(3), number(0), G1_INFINITY, b"\x80" + bytes(47)),
        evaluation(number(3), number(0), G1_INFINITY[:-1] + b"\x01", G1_INFINITY),
        evaluation(number(3), number(0), G1_INFINITY, b"\xe0" + bytes(47)),
        evaluation(number(3), number(0), bytes(48), G1_INFINITY),
    ):
        with pytest.raises(BadInput):
            kzg.point_evaluation(bad, never)


def evaluation(z: bytes, y: bytes, commitment: bytes, proof: bytes) -> bytes:
    return b"\x01" + hashlib.sha256(commitment).digest()[1:] + z + y + commitment + proof


@pytest.fixture(scope="module")
def trusted_setup() -> Any:
    with as_file(files("eth._utils") / "kzg_trusted_setup.txt") as path:
        return ckzg.load_trusted_setup(str(path), 0)


def test_point_evaluation_agrees_with_c_kzg(trusted_setup: Any) -> None:
    """On proofs of a real polynomial, and on each with any one byte changed."""
    blob = b"".join(number(7 * at + 1) for at in range(4096))
    commitment = ckzg.blob_to_kzg_commitment(blob, trusted_setup)
    proof, y = ckzg.compute_kzg_proof(blob, number(12345), trusted_setup)
    assert kzg.point_evaluation(evaluation(number(12345), y, commitment, proof), never)
    whole = number(12345) + y + commitment + proof
    for at in range(0, len(whole), 5):
        changed = whole[:at] + bytes((whole[at] ^ 0x41,)) + whole[at + 1 :]
        z, y, c, p = changed[:32], changed[32:64], changed[64:112], changed[112:]
        try:
            wanted = ckzg.verify_kzg_proof(c, z, y, p, trusted_setup)
        except RuntimeError:
            wanted = False
        try:
            found = bool(kzg.point_evaluation(evaluation(z, y, c, p), never))
        except BadInput:
            found = False
        assert found == wanted, at


def test_the_constant_is_the_ceremonys() -> None:
    with as_file(files("eth._utils") / "kzg_trusted_setup.txt") as path:
        lines = path.read_text().split()
    assert bytes.fromhex(lines[2 + 4096 + 1]) == kzg.KZG_SETUP_G2_1


def test_the_table_is_ours_and_complete() -> None:
    assert [int.from_bytes(address, "big") for address in PRECOMPILES] == list(range(1, 0x12))
    for precompile in PRECOMPILES.values():
        assert precompile.run.__module__.startswith("dst.execution.evm.precompiles.")


def test_warm_up_leaves_nothing_for_the_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    warm_up()

    def late(*_: object) -> None:
        raise AssertionError("compiled after warm-up")

    monkeypatch.setattr("wasmtime.Module", late)
    for precompile in PRECOMPILES.values():
        try:
            precompile.run(bytes(213), never)
        except BadInput:
            continue


@pytest.mark.parametrize("broken", ["blake2f.blake2f", "bn254.mul", "bn254.pairing"])
def test_a_machine_that_computes_something_else_does_not_start(
    monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    known_answers.check()
    monkeypatch.setattr(f"dst.execution.evm.precompiles.{broken}", lambda *_: bytes(64))
    with pytest.raises(AssertionError, match="something else on this machine"):
        known_answers.check()
