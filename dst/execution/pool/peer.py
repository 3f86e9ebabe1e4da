"""JSON-RPC calls to another node's pool, and whether it is up."""

import time
from collections.abc import Sequence
from typing import Any, Final, TypeVar

import aiohttp
import msgspec

from dst.apis.jsonrpc import METHOD_NOT_FOUND
from dst.apis.jwt import make_jwt
from dst.runtime.log import Logger
from dst.spec.errors import UNREADABLE, InvalidInput, Unavailable

T = TypeVar("T")
FORWARDED_HEADER: Final = "X-DST-Forwarded"
"""Marks what is handed over by another node and goes no further."""
_SHOWN_BYTES: Final = 200
"""Of what a refusal says."""
MAX_ANSWER_BYTES: Final = 8 * 2**20
"""More than the longest honest one: everything that left a pool lately, or 1 MiB of transactions in
hex. An operator that lies must not fill another's memory."""

log = Logger("forwarder")


def peer_session() -> aiohttp.ClientSession:
    """Takes answers as they are: a few megabytes unpack to gigabytes."""
    return aiohttp.ClientSession(auto_decompress=False, headers={"Accept-Encoding": "identity"})


class NotServed(InvalidInput):
    """The node does not know the method: a stock execution client."""


class _Error(msgspec.Struct, frozen=True):
    code: int
    message: str = ""


class _Answer(msgspec.Struct, frozen=True):
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: _Error | None = None


class Peer:
    def __init__(
        self, url: str, session: aiohttp.ClientSession, secret: bytes | None = None
    ) -> None:
        """secret: that operators share; it keeps our connection where strangers crowd."""
        self.url, self._session, self._secret = url, session, secret
        self._is_up = True

    async def call(self, method: str, params: Sequence[Any], kind: type[T], timeout_s: float) -> T:
        """Raises: Unavailable, NotServed."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        data = await self.post(msgspec.json.encode(body), timeout_s)
        try:
            answer = msgspec.json.decode(data, type=_Answer)
            if answer.error is not None and answer.error.code == METHOD_NOT_FOUND:
                raise NotServed(f"{self.url} does not serve {method}")
            if answer.error is not None:
                raise Unavailable(f"{self.url}: {method}: {answer.error.message[:200]}")
            return msgspec.json.decode(answer.result, type=kind)
        except UNREADABLE as error:
            raise Unavailable(f"{self.url}: {method}: unreadable answer: {error}") from error

    async def post(self, body: bytes, timeout_s: float) -> bytes:
        """Raises: Unavailable."""
        headers = {FORWARDED_HEADER: "1", "Content-Type": "application/json"}
        if self._secret is not None:
            headers["Authorization"] = f"Bearer {make_jwt(self._secret, time.time())}"
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        try:
            async with self._session.post(
                self.url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:  # nobody sends us elsewhere, not to a name that cannot be encoded either
                data = await _read(response)
                if response.status != 200:
                    said = data[:_SHOWN_BYTES].decode("utf-8", "replace")
                    raise Unavailable(f"HTTP {response.status}: {said}")
        except (aiohttp.ClientError, OSError, TimeoutError, Unavailable) as error:
            reason = f"{type(error).__name__}: {error}"
            if self._is_up:
                log.info("target_down", target=self.url, reason=reason)
            self._is_up = False
            raise Unavailable(f"{self.url}: {reason}") from error
        if not self._is_up:
            log.info("target_up", target=self.url)
        self._is_up = True
        return data


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Raises: Unavailable."""
    data = bytearray()
    async for chunk in response.content.iter_any():
        data += chunk
        if len(data) > MAX_ANSWER_BYTES:
            raise Unavailable(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
    return bytes(data)
