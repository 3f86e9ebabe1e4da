"""JSON-RPC calls to another node's pool, and whether it is up."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import aiohttp

from dst.apis.jsonrpc import METHOD_NOT_FOUND, RpcError
from dst.apis.jsonrpc.client import JsonRpcClient
from dst.apis.jwt import make_jwt
from dst.runtime.log import Logger
from dst.runtime.machine import wall_clock
from dst.runtime.metrics import Metrics
from dst.spec.errors import InvalidInput, Unavailable

T = TypeVar("T")
FORWARDED_HEADER: Final = "X-DST-Forwarded"
"""Marks what is handed over by another node and goes no further."""
MAX_ANSWER_BYTES: Final = 8 * 2**20
"""More than the longest honest one: everything that left a pool lately, or 1 MiB of transactions in
hex. An operator that lies must not fill another's memory."""

log = Logger("forwarder")


def peer_session() -> aiohttp.ClientSession:
    """Takes answers as they are: a few megabytes unpack to gigabytes."""
    return aiohttp.ClientSession(auto_decompress=False, headers={"Accept-Encoding": "identity"})


class NotServed(InvalidInput):
    """The node does not know the method: a stock execution client."""


class Peer:
    def __init__(
        self, url: str, session: aiohttp.ClientSession, secret: bytes | None = None
    ) -> None:
        """secret: that operators share; it keeps our connection where strangers crowd."""
        self.url, self._secret = url, secret
        self._rpc = JsonRpcClient(
            url, session, headers=self._headers, max_answer_bytes=MAX_ANSWER_BYTES
        )
        self._is_up = True

    def count_in(self, metrics: Metrics) -> None:
        self._rpc.count_in(metrics)

    async def call(self, method: str, params: Sequence[Any], kind: type[T], timeout_s: float) -> T:
        """Raises: Unavailable, NotServed."""
        try:
            with self._noting():
                result: T = await self._rpc.call(method, params, kind, timeout_s=timeout_s)
                return result
        except RpcError as error:
            if error.code == METHOD_NOT_FOUND:
                raise NotServed(f"{self.url} does not serve {method}") from error
            raise Unavailable(f"{self.url}: {method}: {error.message[:200]}") from error

    async def post(self, body: bytes, timeout_s: float) -> bytes:
        """Raises: Unavailable."""
        with self._noting():
            return await self._rpc.post(body, timeout_s=timeout_s)

    def _headers(self) -> dict[str, str]:
        headers = {FORWARDED_HEADER: "1"}
        if self._secret is not None:
            headers["Authorization"] = f"Bearer {make_jwt(self._secret, wall_clock())}"
        return headers

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Whether it is up: who says no is."""
        try:
            yield
        except Unavailable as error:
            if self._is_up:
                log.info("target_down", target=self.url, reason=str(error))
            self._is_up = False
            raise
        except RpcError:
            self._up()
            raise
        self._up()

    def _up(self) -> None:
        if not self._is_up:
            log.info("target_up", target=self.url)
        self._is_up = True
