"""Every Keccak and ECDSA library we may pick gives the same answers, on vectors and on anything."""

import subprocess
import sys
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dst.crypto import ecdsa, ecdsa_btclib, ecdsa_coincurve, keccak
from dst.crypto.secp256k1 import ORDER, IdentityKey

KECCAK = {
    b"": "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470",
    b"abc": "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45",
    b"a" * 135: "34367dc248bbd832f4e3e69dfaac2f92638bd0bbd18f2912ba4ef454919cf446",
    b"a" * 136: "a6c4d403279fe3e0af03729caada8374b5ca54d8065329a3ebcaeb4b60aa386e",
}
"""Lengths around the 136-byte block."""
HASHES = [pytest.param(load(), id=name) for name, load in keccak.BACKENDS.items()]
LIBRARIES = [pytest.param(each, id=each.NAME) for each in (ecdsa_coincurve, ecdsa_btclib)]
DIGEST = keccak.keccak256(b"what is signed")
SECRET = b"\x11" * 32
FIRST_DEV_ACCOUNT = "f39fd6e51aad88f6f4ce6ab8827279cfffb92266"


@pytest.mark.parametrize("digest", HASHES)
def test_keccak_vectors(digest: keccak.Keccak) -> None:
    assert {data: digest(data).hex() for data in KECCAK} == KECCAK


@given(st.binary(max_size=500))
def test_keccak_libraries_agree(data: bytes) -> None:
    assert len({load()(data) for load in keccak.BACKENDS.values()}) == 1


@pytest.mark.parametrize("library", LIBRARIES)
def test_rfc_6979_vector(library: ModuleType) -> None:
    """Key 1 over SHA-256("Satoshi Nakamoto"), known from many libraries' tests."""
    digest = bytes.fromhex("a0dc65ffca799873cbea0ac274015b9526505daaaed385155425f7337704883e")
    signature = library.Secret((1).to_bytes(32, "big")).sign(digest)
    assert signature[:64].hex() == (
        "934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d8"
        "2442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5"
    )


@given(
    secret=st.integers(1, ORDER - 1).map(lambda value: value.to_bytes(32, "big")),
    digest=st.binary(min_size=32, max_size=32),
)
def test_ecdsa_libraries_agree(secret: bytes, digest: bytes) -> None:
    answers = set()
    for library in (ecdsa_coincurve, ecdsa_btclib):
        key = library.Secret(secret)
        signature = key.sign(digest)
        compact, parity = signature[:64], signature[64]
        assert library.recover(digest, compact, parity) == key.public_key[1:]
        assert library.Public(key.public_key).verify(digest, compact)
        other = library.recover(digest, compact, 1 - parity)
        high = compact[:32] + (ORDER - int.from_bytes(compact[32:], "big")).to_bytes(32, "big")
        assert not library.Public(key.public_key).verify(digest, high)
        assert library.recover(digest, high, 1 - parity) == key.public_key[1:]
        answers.add((key.public_key, signature, other))
    assert len(answers) == 1


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("secret", [b"", bytes(32), ORDER.to_bytes(32, "big"), b"\xff" * 32])
def test_no_scalar_no_secret(library: ModuleType, secret: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (each library has words of its own)
        library.Secret(secret)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("public", [b"", bytes(33), b"\x02" + b"\xff" * 32, b"\x05" + bytes(32)])
def test_no_point_no_key(library: ModuleType, public: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        library.Public(public)


@pytest.mark.parametrize("library", LIBRARIES)
def test_garbage_signatures(library: ModuleType) -> None:
    key = library.Secret(SECRET)
    public = library.Public(key.public_key)
    order = ORDER.to_bytes(32, "big")
    for signature in (bytes(64), b"\xff" * 64, order + b"\x01" * 32, b"\x01" * 32 + order):
        assert not public.verify(DIGEST, signature)
        assert library.recover(DIGEST, signature, 0) is None
    no_point = (5).to_bytes(32, "big") + b"\x01" * 32
    assert library.recover(DIGEST, no_point, 0) is None


def test_generated_keys_differ() -> None:
    assert IdentityKey.generate().public_key != IdentityKey.generate().public_key


@pytest.mark.parametrize(
    ("absent", "keccak_name", "ecdsa_name", "eth_hash"),
    [
        ([], "safe-pysha3", "coincurve", "pysha3"),
        (["sha3", "coincurve"], "tiny-keccak", "btclib-secp256k1", "pycryptodome"),
        (["sha3", "tiny_keccak"], "pycryptodome", "coincurve", "pycryptodome"),
    ],
    ids=["all", "as on macOS with Python 3.14", "the last resort"],
)
def test_falls_back_in_order(
    absent: list[str], keccak_name: str, ecdsa_name: str, eth_hash: str
) -> None:
    """In a process of its own, where some packages cannot be imported: every role is there, and
    derives and signs."""
    code = (
        f"import os, sys; sys.modules.update(dict.fromkeys({absent!r}))\n"
        "import dst.execution\n"
        "from dst.crypto import ecdsa, keccak\n"
        "from eth_hash.auto import keccak as judge\n"
        "assert keccak.keccak256(b'x') == judge(b'x')\n"
        "pieces = keccak.hasher(); pieces.update(b'x'); pieces.update(b'y')\n"
        "assert pieces.digest() == judge(b'xy')\n"
        "from dst.execution.rpc.dev_accounts import dev_keys\n"
        f"assert dev_keys()[0].address.hex() == {FIRST_DEV_ACCOUNT!r}\n"
        "import dst.execution.main, dst.middleware.main, dst.rollup.main, dst.validator.main\n"
        "print(keccak.NAME, ecdsa.NAME, os.environ['ETH_HASH_BACKEND'])"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [keccak_name, ecdsa_name, eth_hash]


def test_the_first_of_the_order_is_in_use_here() -> None:
    assert ecdsa.NAME in {"coincurve", "btclib-secp256k1"}
    assert keccak.NAME in keccak.BACKENDS
