"""What a bender does to the answers on a link: rules, each for some questions.

The harness writes a table of them, the bender reads it (`devnet.bender`); frozen values, as JSON.
A question is a JSON-RPC method (`engine_newPayloadV4`), or a REST request (`GET /eth/v1/...`).
"""

from typing import Any, Final, Literal, TypeAlias

import msgspec

TABLE: Final = "table.json"
TOLD: Final = "told.json"
BEAT_S: Final = 0.5


def bender_of(pod: str) -> str:
    """Name of the program."""
    return f"{pod}.bender"


def bender_home(pod: str) -> str:
    """Its folder within the network's."""
    return f"nodes/{pod}/bender"


class Status(msgspec.Struct, frozen=True, kw_only=True, tag_field="form", tag="status"):
    """An HTTP status instead of the answer; the service is not asked."""

    code: int


class Result(msgspec.Struct, frozen=True, kw_only=True, tag_field="form", tag="result"):
    """Another JSON-RPC result; the service is not asked."""

    result: Any


class Patched(msgspec.Struct, frozen=True, kw_only=True, tag_field="form", tag="patched"):
    """The JSON-RPC result of the service, but for one member."""

    path: tuple[str, ...]
    value: Any


class Silence(msgspec.Struct, frozen=True, kw_only=True, tag_field="form", tag="silence"):
    """Never answered; the service is not asked."""


class Late(msgspec.Struct, frozen=True, kw_only=True, tag_field="form", tag="late"):
    """The service's answer, so much later."""

    seconds: float


class Torn(msgspec.Struct, frozen=True, kw_only=True, tag_field="form", tag="torn"):
    """Half of the answer's body. `half`: the connection ends there. `length`: Content-Length says
    that this is all of it."""

    where: Literal["half", "length"]


class Endless(msgspec.Struct, frozen=True, kw_only=True, tag_field="form", tag="endless"):
    """An answer that goes on until whoever asked has had enough."""


class OldHead(msgspec.Struct, frozen=True, kw_only=True, tag_field="form", tag="old-head"):
    """An L1 that stands at the head it had when it was asked first."""


class OtherFork(msgspec.Struct, frozen=True, kw_only=True, tag_field="form", tag="other-fork"):
    """An L1 on another fork: blocks have other hashes from so many below the head it had when it
    was asked first."""

    depth: int


class OtherBlock(msgspec.Struct, frozen=True, kw_only=True, tag_field="form", tag="other-block"):
    """The block below the one that was asked for, of L1 by number or hash, of a Beacon API by
    slot."""


class OtherHeader(msgspec.Struct, frozen=True, kw_only=True, tag_field="form", tag="other-header"):
    """A Beacon API's header with one thing changed."""

    what: Literal["signature", "slot"]


Form: TypeAlias = (
    Status
    | Result
    | Patched
    | Silence
    | Late
    | Torn
    | Endless
    | OldHead
    | OtherFork
    | OtherBlock
    | OtherHeader
)


class Bend(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the questions that match one of the patterns (`engine_newPayload*`) are answered."""

    questions: tuple[str, ...]
    form: Form


class BentLink(msgspec.Struct, frozen=True, kw_only=True):
    """Of one link: the service behind it and its bends; the first that matches counts."""

    service_port: int
    bends: tuple[Bend, ...]


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """All that one bender has to do. `edition` tells one table from the next."""

    edition: str
    links: dict[str, BentLink]


class LinkTold(msgspec.Struct, frozen=True, kw_only=True):
    """What the bender says of a link."""

    port: int
    """Where it listens for it."""
    bent: int
    """Answers bent so far."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What the bender says: written anew when something changed, its beat at least."""

    edition: str
    links: dict[str, LinkTold]
    beat: int = 0
    """Another one each `BEAT_S` while it is well."""
