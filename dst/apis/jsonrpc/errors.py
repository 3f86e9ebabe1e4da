"""Error codes of JSON-RPC as the field uses them."""

from typing import Final

PARSE_ERROR: Final = -32700
"""Not JSON."""
INVALID_REQUEST: Final = -32600
"""JSON, but no request."""
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
"""Our fault."""
REFUSED: Final = -32000
"""A rule says no."""
REVERTED: Final = 3
"""Execution reverted; the data is what it returned."""


class RpcError(Exception):
    """Answered as it is: code, message and optional data. A client that is told so raises it."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data
