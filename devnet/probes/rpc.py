"""JSON-RPC over HTTP as the harness needs it: a deadline on every call, and an unknown outcome told
from a refusal."""

import asyncio
import itertools
from typing import Any, Final

import aiohttp

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
        self.url = url
        self._session = session
        self._timeout = timeout
        self._ids = itertools.count(1)

    async def call(self, method: str, *params: Any) -> Any:
        """Raises: RpcRefused; RpcUnknown on time-out, broken connection or an unreadable answer."""
        body = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(params)}
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._session.post(self.url, json=body) as got,
            ):
                answer = await got.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise RpcUnknown(f"{method} at {self.url}: {type(error).__name__} {error}") from error
        if not isinstance(answer, dict) or ("result" not in answer and "error" not in answer):
            raise RpcUnknown(f"{method} at {self.url}: not a JSON-RPC answer: {str(answer)[:80]}")
        if answer.get("error"):
            error_object = answer["error"]
            raise RpcRefused(int(error_object.get("code", 0)), str(error_object.get("message", "")))
        return answer.get("result")
