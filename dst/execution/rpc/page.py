"""`docs/json-rpc.md`, written from the table of methods: `python -m dst.execution.rpc.page`.

What the page says of a method is its docstring, its signature and what `@rpc` names; nothing is
kept twice.
"""

import argparse
import inspect
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from dst.apis.jsonrpc.answering import (
    MAX_BATCH,
    MAX_BATCH_ANSWER_BYTES,
    MAX_DEPTH,
    MAX_VALUES,
)
from dst.apis.jsonrpc.server import CONTENT_TYPES, WARNING_HEADER
from dst.apis.jsonrpc.ws import DEFAULT_LIMITS
from dst.execution.rpc import parameters
from dst.execution.rpc.dev_tools import REFUSED_NAMES
from dst.execution.rpc.dispatch import Entry, Where, entries
from dst.execution.rpc.families import FAMILIES
from dst.execution.rpc.parameters import Kind, kind_of
from dst.execution.slots import STALE_SECONDS, STALE_SLOTS
from dst.runtime.connections import (
    BODY_S,
    IDLE_S,
    MAX_HELD_BYTES,
    MAX_UNREAD_BYTES,
    SILENT_S,
    UNREAD_S,
)
from dst.runtime.http import MAX_BODY_BYTES
from dst.runtime.places import CONNECTIONS_PER_ADDRESS, MAX_CONNECTIONS
from dst.runtime.streams import UNUSED_S

PAGE: Final = "docs/json-rpc.md"

_WHERE: Final = {
    Where.LOOP: "memory",
    Where.READ: "store",
    Where.CALL: "EVM",
    Where.SEARCH: "logs",
}

_HEAD: Final = f"""# JSON-RPC

Written by `python -m dst.execution.rpc.page` from the methods themselves; a test keeps it current.

HTTP and WebSocket answer on the same port (`rpc_listen`). `POST /` takes one request or a batch,
`GET /` with an upgrade opens a WebSocket, which alone can subscribe. The Engine API's port serves
the same methods to whoever holds its secret.

## Limits

| what | bound | beyond it |
|---|---|---|
| body, message | {MAX_BODY_BYTES >> 20} MiB | 413; a WebSocket is closed (1009) |
| a compressed body (`Content-Encoding`) | none | 415 |
| nesting of the JSON | {MAX_DEPTH} levels | -32600 |
| values in the JSON | {MAX_VALUES} | -32600 |
| batch | {MAX_BATCH} requests, {MAX_BATCH_ANSWER_BYTES >> 20} MiB of answers | -32600; -32000 for \
the rest |
| connections | {MAX_CONNECTIONS} a listener, {CONNECTIONS_PER_ADDRESS} a remote address | \
[one makes room](operation.md#connections), or 503 |
| silence before a whole request head | {SILENT_S:g} s | the connection ends |
| the rest of a request | {BODY_S:g} s | the connection ends |
| requests under way: their bodies and answers | {MAX_HELD_BYTES >> 20} MiB of all together | \
the connection with the most ends |
| silence between two requests | {IDLE_S:g} s | the connection ends |
| an answer that is not read | {UNREAD_S:g} s; {MAX_UNREAD_BYTES >> 20} MiB of all \
together | the connection ends; the one with the most unread |
| WebSockets | {DEFAULT_LIMITS.connections}, {DEFAULT_LIMITS.per_address} a remote address | one \
without subscriptions and requests for {UNUSED_S:g} s makes room, else one of the address with the \
most, else 503 |
| requests of one WebSocket at a time | {DEFAULT_LIMITS.running} | the next is read later |
| subscriptions of one WebSocket | {DEFAULT_LIMITS.subscriptions} | -32000 |
| what waits for one WebSocket | {DEFAULT_LIMITS.queued} messages, \
{DEFAULT_LIMITS.queued_bytes >> 20} MiB, {DEFAULT_LIMITS.write_seconds:g} s | notifications: \
disconnected; answers: wait |
| silence of one WebSocket | a ping every {DEFAULT_LIMITS.heartbeat_seconds:g} s, a pong within \
half of it | disconnected |

A call, estimate, simulation, trace or search whose client disconnects ends at its next check,
within 20 ms of its own run time; what is left of its batch does not begin.

## Browsers and hosts

A browser on this machine reaches this port, whatever page it shows. So:

- The content type must be one of {", ".join(f"`{each}`" for each in CONTENT_TYPES)}: 415.
- A request with an `Origin` that is not allowed: 403. Allowed are those of `browser_origins` in
  `execution.json`: `https://wallet.example`, `local` (any page served from this machine) or `*`.
  Left out, it is `local` on a dev network and nothing elsewhere. Programs send no `Origin`.
- Preflights of allowed origins are answered, for private networks too.
- A `Host` with a dot that is neither an address nor `*.localhost` nor `*.internal` must be named in
  `hosts`: 403 (DNS rebinding). Names without a dot, as containers have, need no entry.

The same checks, with no origin allowed, guard the listeners of the other roles (`hosts` in their
configuration); [who calls whom by which name](operators.md#names). The first refusal of a name is
in the log of the node that refused, as `host_refused`.

## Health

A head older than {STALE_SLOTS} slots and {STALE_SECONDS} s means that this node lags or that the
chain stands without a quorum; the execution layer cannot tell which. Then `eth_syncing` is an
object, `/healthz` is 503 with the reason, and every answer carries `{WARNING_HEADER}`. `/livez` is
200 as long as the process answers.

## Errors

-32700 not JSON; -32600 no request; -32601 no such method; -32602 parameters of a wrong count, type
or value; -32603 a fault of this node (its log has the details); -32000 refused by a rule, in geth's
words; 3 execution reverted, with the return data. A method's own are named with it.

## Parameters

| kind | takes |
|---|---|
"""


def render() -> str:
    """The whole page."""
    table = entries(FAMILIES)
    parts = [_HEAD, *(_kind_line(kind) for kind in _kinds(table))]
    for family in FAMILIES:
        parts.append(_family_head(family))
        parts += [_method(entry) for entry in table.values() if entry.family is family]
    parts.append(_refused())
    return "".join(parts)


def _kinds(table: dict[str, Entry]) -> list[Kind]:
    used = {
        kind.name: kind
        for entry in table.values()
        for each in entry.parameters
        if (kind := kind_of(each)) is not None
    }
    known = [each for each in vars(parameters).values() if isinstance(each, Kind)]
    return [each for each in known if each.name in used]


def _kind_line(kind: Kind) -> str:
    return f"| {kind.name} | {kind.takes.replace('|', '/')} |\n"


def _family_head(family: type) -> str:
    module = inspect.getmodule(family)
    assert module is not None, "a family lives in a module"
    charter = (inspect.getdoc(module) or "").split("\n\n")[0].replace("\n", " ")
    return f"\n## {family.__name__}\n\n{charter}\n"


def _method(entry: Entry) -> str:
    lines = [f"\n### {entry.spec.name}\n\n", f"{_paragraph(entry.run)}\n\n"]
    lines += [f"- {each}\n" for each in _facts(entry)]
    return "".join(lines)


def _facts(entry: Entry) -> Iterator[str]:
    shown = ", ".join(_parameter(each) for each in entry.parameters) or "none"
    yield f"parameters: {shown}"
    yield f"runs on: {_WHERE[entry.spec.where]}"
    if entry.spec.errors:
        yield f"errors: {'; '.join(entry.spec.errors)}"
    if entry.spec.limits:
        yield f"limits: {'; '.join(entry.spec.limits)}"


def _parameter(parameter: inspect.Parameter) -> str:
    kind = kind_of(parameter)
    shown = f"`{parameter.name}`" + (f" ({kind.name})" if kind is not None else "")
    if parameter.default is inspect.Parameter.empty:
        return shown
    default = "optional" if parameter.default is None else f"default `{parameter.default}`"
    return f"{shown}, {default}"


def _paragraph(run: object) -> str:
    return " ".join((inspect.getdoc(run) or "").split())


def _refused() -> str:
    names = ", ".join(f"`{name}`" for name in sorted(REFUSED_NAMES))
    return (
        "\n## Refused by name\n\nOn a dev network these answer -32601 with the reason: no single "
        f"node can change the state, the clock or the blocks of a chain whose blocks operators "
        f"agree on.\n\n{names}\n"
    )


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m dst.execution.rpc.page")
    parser.add_argument("target", nargs="?", type=Path, default=Path(PAGE), help="file to write")
    parser.parse_args(arguments).target.write_text(render())


if __name__ == "__main__":
    main(sys.argv[1:])
