"""Tokens of the Engine API: RFC 7519 with HS256 only, one claim, good for a minute.

Source: execution-apis, engine/authentication.md.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec

from dst.runtime.files import read_secret
from dst.runtime.machine import wall_clock
from dst.spec.errors import UNREADABLE, BadConfig

JWT_SECRET_BYTES: Final = 32
JWT_MAX_DRIFT_S: Final = 60
"""engine/authentication.md: a token is good for 60 seconds on either side of its `iat`."""

_JWT_HEADER: Final = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=")


def load_jwt_secret(path: Path, *, what: str = "JWT secret") -> bytes:
    """Read a 32-byte hex secret (with or without 0x). Raises: BadConfig."""
    text = read_secret(path, what=what).decode("ascii", "replace").strip()
    try:
        secret = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raise BadConfig(f"{what} {path}: not hex") from None
    if len(secret) != JWT_SECRET_BYTES:
        raise BadConfig(f"{what} {path}: expected 32 bytes, got {len(secret)}")
    return secret


def make_jwt(secret: bytes, now: float) -> str:
    """A token issued at `now` (unix seconds)."""
    claims = base64.urlsafe_b64encode(b'{"iat":%d}' % int(now)).rstrip(b"=")
    signed = _JWT_HEADER + b"." + claims
    return (signed + b"." + _sign(secret, signed)).decode()


def check_jwt(secret: bytes, authorization: str | None, now: float) -> str | None:
    """Why this `Authorization` header is refused, or None when it is good.

    The words never tell what the signature should have been.
    """
    if not authorization or not authorization.startswith("Bearer "):
        return "missing token: send Authorization: Bearer <JWT>"
    parts = authorization.removeprefix("Bearer ").strip().encode("ascii", "replace").split(b".")
    if len(parts) != 3:
        return "token is not a JWT"
    if not hmac.compare_digest(_sign(secret, parts[0] + b"." + parts[1]), parts[2]):
        return "token signature does not match: the two sides hold different JWT secrets"
    try:
        header = msgspec.json.decode(_unbase64(parts[0]), type=_JwtHeader)
        claims = msgspec.json.decode(_unbase64(parts[1]), type=_JwtClaims)
    except UNREADABLE:
        return "token is malformed or has no integer iat claim"
    if header.alg != "HS256":
        return "token must use HS256"
    if abs(now - claims.iat) > JWT_MAX_DRIFT_S:
        return f"token is more than {JWT_MAX_DRIFT_S} s off this node's time: check the clocks"
    return None


def holders_of(secret: bytes) -> Callable[[Mapping[str, str]], bool]:
    """Whether a request's headers are signed with `secret`, so that no stranger takes its
    connection's place (`dst.runtime.connections.Vouches`)."""

    def vouches(headers: Mapping[str, str]) -> bool:
        token = headers.get("Authorization")
        return token is not None and check_jwt(secret, token, wall_clock()) is None

    return vouches


class _JwtHeader(msgspec.Struct):
    alg: str


class _JwtClaims(msgspec.Struct):
    iat: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    """Seconds; the bound keeps it a number that a float clock can be compared with."""


def _sign(secret: bytes, data: bytes) -> bytes:
    digest = hmac.new(secret, data, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=")


def _unbase64(data: bytes) -> bytes:
    return base64.urlsafe_b64decode(data + b"=" * (-len(data) % 4))
