"""Keccak-256 of Ethereum (before NIST's padding): the one place that picks a library.

In order: safe-pysha3 (0.7 us for 32 bytes; no wheels for macOS), tiny-keccak (0.6 us, and 1.6 times
as long for kilobytes; wheels for all), pycryptodome (3.5 us; wheels for all, needed by py-evm
anyway). All pass the same vectors.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, Protocol, TypeAlias

from dst.spec.primitives import Hash32

Keccak: TypeAlias = Callable[[bytes], bytes]


def _pysha3() -> Keccak:
    keccak_256 = import_module("sha3").keccak_256

    def digest(data: bytes) -> bytes:
        return keccak_256(data).digest()  # type: ignore[no-any-return]

    return digest


def _tiny_keccak() -> Keccak:
    found: Keccak = import_module("tiny_keccak").keccak256
    return found


def _pycryptodome() -> Keccak:
    keccak: Any = import_module("Crypto.Hash.keccak")

    def digest(data: bytes) -> bytes:
        return keccak.new(digest_bits=256, data=data).digest()  # type: ignore[no-any-return]

    return digest


BACKENDS: Final[dict[str, Callable[[], Keccak]]] = {
    "safe-pysha3": _pysha3,
    "tiny-keccak": _tiny_keccak,
    "pycryptodome": _pycryptodome,
}
"""Name of the package -> its hash, or ImportError; best first."""


def _pick() -> tuple[str, Keccak]:
    for name, load in BACKENDS.items():
        try:
            return name, load()
        except ImportError:
            continue
    raise ImportError(f"no Keccak-256: install one of {', '.join(BACKENDS)}")


NAME, _digest = _pick()


def keccak256(data: bytes) -> Hash32:
    return Hash32(_digest(data))


class Hasher(Protocol):
    """A hash over data that comes in pieces."""

    def update(self, data: bytes, /) -> object: ...

    def digest(self) -> bytes: ...


def hasher() -> Hasher:
    """tiny-keccak takes all at once, so pieces are pycryptodome's where there is no safe-pysha3."""
    if NAME == "safe-pysha3":
        return import_module("sha3").keccak_256()  # type: ignore[no-any-return]
    return import_module("Crypto.Hash.keccak").new(digest_bits=256)  # type: ignore[no-any-return]
