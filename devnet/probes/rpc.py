"""JSON-RPC over HTTP as the harness needs it: a deadline on every call, and an unknown outcome told
from a refusal."""

from typing import Any, Final

import aiohttp

from dst.apis.jsonrpc import RpcError
from dst.apis.jsonrpc.client import JsonRpcClient
from dst.spec.errors import Unavailable

DEFAULT_TIMEOUT: Final = 2.0
"""Seconds. A healthy node answers in milliseconds; longer is how a frozen one shows."""


class RpcRefused(Exception):
    """The node answered with a JSON-RPC error: it understood, and said no."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message


class RpcUnknown(Exception):
    """No answer, or none that can be read: the request may or may not have taken effect."""


class Rpc:
    """One endpoint. The session is the caller's."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, timeout: float = DEFAULT_TIMEOUT
    ) -> None:
        self.url, self._timeout = url, timeout
        self._rpc = JsonRpcClient(url, session)

    async def call(self, method: str, *params: Any) -> Any:
        """Raises: RpcRefused; RpcUnknown on time-out, broken connection or an unreadable answer."""
        try:
            return await self._rpc.call(method, params, Any, timeout_s=self._timeout)
        except RpcError as error:
            raise RpcRefused(error.code, error.message) from error
        except Unavailable as error:
            raise RpcUnknown(f"{method}: {error}") from error
