"""JSON-RPC 2.0: served over HTTP and over WebSocket on the same port, and asked over HTTP. What a
method does is its owner's.

errors       codes as the field uses them, and the error a method raises and a client sees
answering    a body in, an answer out: one request or a batch
server       `POST /`: HTTP
ws           `GET /` with an upgrade: WebSocket, and the session that subscriptions push to
client       one request, one answer of a known type
"""

from dst.apis.jsonrpc.answering import (
    MAX_BATCH,
    MAX_DEPTH,
    Job,
    Joint,
    Method,
    Outcome,
    Runner,
    answer_body,
)
from dst.apis.jsonrpc.errors import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    REFUSED,
    REVERTED,
    RpcError,
)
from dst.apis.jsonrpc.server import Guard, rpc_routes

__all__ = [
    "INTERNAL_ERROR",
    "INVALID_PARAMS",
    "INVALID_REQUEST",
    "MAX_BATCH",
    "MAX_DEPTH",
    "METHOD_NOT_FOUND",
    "PARSE_ERROR",
    "REFUSED",
    "REVERTED",
    "Guard",
    "Job",
    "Joint",
    "Method",
    "Outcome",
    "RpcError",
    "Runner",
    "answer_body",
    "rpc_routes",
]
