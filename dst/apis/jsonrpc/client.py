"""JSON-RPC 2.0, client side: one request over HTTP, bounded in time and in size.

What comes back is somebody else's: decoded into a type here, or refused.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import aiohttp
import msgspec

from dst.apis.jsonrpc.errors import RpcError
from dst.runtime.calls import Calls
from dst.runtime.metrics import Metrics
from dst.spec.errors import UNREADABLE, Unavailable

MAX_ANSWER_BYTES: Final = 32 * 2**20
"""A 30 Mgas block of L1 full of batches is about 2 MB of calldata, 4 MB as hex; a margin of
eight."""
_SHOWN_BYTES: Final = 200
"""Of what a refusal says."""


class BadStatus(Unavailable):
    """Answered, but not with 200."""

    def __init__(self, where: str, status: int, said: str) -> None:
        super().__init__(f"{where}: HTTP {status}: {said}")
        self.status, self.said = status, said


class _Error(msgspec.Struct, frozen=True):
    code: int
    message: str = ""


class _Answer(msgspec.Struct, frozen=True):
    result: msgspec.Raw = msgspec.Raw(b"")
    """Not JSON unless it is there."""
    error: _Error | None = None


class JsonRpcClient:
    """One endpoint. Cancelling a call closes its connection.

    Raises (every call): RpcError when the other side understood and said no; Unavailable when it
    cannot be reached, is late, or its answer cannot be read.
    """

    def __init__(
        self,
        url: str,
        session: aiohttp.ClientSession | None = None,
        *,
        what: str = "",
        headers: Callable[[], Mapping[str, str]] = dict,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        """session: the caller's; else one of our own. what: a word for the other side, in errors.
        headers: what each request carries besides its content type."""
        self.url, self._where = url, f"{what} {url}".lstrip()
        self._session, self._owned = session, session is None
        self._headers, self._max_answer_bytes = headers, max_answer_bytes
        self._calls = Calls(url)
        self._next_id = 0

    def count_in(self, metrics: Metrics) -> None:
        """Tell there how calls fare."""
        self._calls.count_in(metrics)

    async def close(self) -> None:
        """Close the session when it is ours."""
        if self._owned and self._session is not None:
            await self._session.close()

    async def call(
        self, method: str, params: Sequence[object], kind: Any, *, timeout_s: float | None
    ) -> Any:
        """The result, of type `kind` (any that msgspec knows). timeout_s None: as long as it
        takes."""
        self._next_id += 1
        request = {"jsonrpc": "2.0", "id": self._next_id, "method": method, "params": params}
        body = await self.post(msgspec.json.encode(request), timeout_s=timeout_s)
        try:
            answer = msgspec.json.decode(body, type=_Answer)
            if answer.error is None:
                return msgspec.json.decode(answer.result, type=kind)
        except UNREADABLE as error:
            raise Unavailable(f"{self._where}: {method}: not a JSON-RPC answer: {error}") from error
        raise RpcError(answer.error.code, answer.error.message)

    async def post(self, body: bytes, *, timeout_s: float | None) -> bytes:
        """An encoded request or batch; the answer as it is. Raises: Unavailable."""
        if self._session is None:
            self._session = aiohttp.ClientSession()
        try:
            with self._calls.timed():
                return await self._post(body, timeout_s)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unavailable(
                f"{self._where}: {type(error).__name__}: {str(error)[:200]}"
            ) from error

    async def _post(self, body: bytes, timeout_s: float | None) -> bytes:
        assert self._session is not None, "opened before"
        async with self._session.post(  # a redirect may lead anywhere: not followed
            self.url,
            data=body,
            headers={**self._headers(), "Content-Type": "application/json"},
            timeout=aiohttp.ClientTimeout(total=timeout_s),
            allow_redirects=False,
        ) as response:
            answer = await self._read(response)
            if response.status != 200:
                said = answer[:_SHOWN_BYTES].decode("utf-8", "replace")
                raise BadStatus(self._where, response.status, said)
            return answer

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        answer = bytearray()
        async for chunk in response.content.iter_any():
            answer += chunk
            if len(answer) > self._max_answer_bytes:
                most = self._max_answer_bytes
                raise Unavailable(f"{self._where}: an answer of more than {most} bytes")
        return bytes(answer)
