"""The values of `qbft.qnt` as they stand in its traces (Informal Trace Format), as typed structs.

The names are the model's, and so those of `dst.qbft.state`; see there for what they mean.
"""

from typing import Final, TypeAlias

import msgspec

NO_ROUND: Final = -1
NO_ROOT: Final = ""


class _Value(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Fields that a reader does not name (the model's `log`) are skipped."""


class Vote(_Value, frozen=True):
    sender: int
    round: int
    root: str


class Claim(_Value, frozen=True):
    """The payload of a ROUND-CHANGE and its sender."""

    sender: int
    round: int
    prepared_round: int
    prepared_root: str


class RoundChange(_Value, frozen=True):
    payload: Claim
    prepares: frozenset[int]


class Proposal(_Value, frozen=True):
    round: int
    root: str
    round_changes: frozenset[Claim]
    prepares: frozenset[int]


class Lock(_Value, frozen=True):
    round: int
    root: str
    prepares: frozenset[int]


class Proposing(_Value, frozen=True):
    active: bool
    root: str
    round_changes: frozenset[RoundChange]


class Certificate(_Value, frozen=True):
    round: int
    root: str
    commits: frozenset[int]


class Operator(_Value, frozen=True):
    me: int
    round: int
    timed: bool
    accepted: Proposal
    proposing: Proposing
    lock: Lock
    prepares: frozenset[Vote]
    commits: frozenset[Vote]
    round_changes: frozenset[RoundChange]
    seen: dict[int, int]
    blocks: frozenset[str]
    pending: Certificate
    decided: Certificate


class Had(_Value, frozen=True):
    """A block that `holder` had."""

    holder: int
    root: str


class Help(_Value, frozen=True):
    """A certificate that `helper` sent."""

    helper: int = msgspec.field(name="from")
    certificate: Certificate


class _Input(_Value, frozen=True, tag=True, tag_field="tag"):
    """Tagged with its own name, as the model's variants are."""


class HearProposal(_Input, frozen=True):
    value: Proposal


class HearPrepare(_Input, frozen=True):
    value: Vote


class HearCommit(_Input, frozen=True):
    value: Vote


class HearRoundChange(_Input, frozen=True):
    value: RoundChange


class Built(_Input, frozen=True):
    value: str


class Executed(_Input, frozen=True):
    value: str


class Fetched(_Input, frozen=True):
    value: Had


class Learned(_Input, frozen=True):
    value: Help


class Expired(_Input, frozen=True):
    pass


class Restarted(_Input, frozen=True):
    pass


Input: TypeAlias = (
    HearProposal
    | HearPrepare
    | HearCommit
    | HearRoundChange
    | Built
    | Executed
    | Fetched
    | Learned
    | Expired
    | Restarted
)


class Event(_Value, frozen=True):
    """What one operator was fed."""

    at: int
    input: Input


class World(_Value, frozen=True):
    operators: dict[int, Operator]
    did: tuple[Event, ...]


class Setting(_Value, frozen=True):
    liar: int
    last_round: int
    without: frozenset[str]


class Moment(_Value, frozen=True):
    """One state of the model; `world.did` is what led to it."""

    setting: Setting
    world: World


Trace: TypeAlias = tuple[Moment, ...]


def read_trace(itf: bytes) -> Trace:
    """Raises: msgspec.MsgspecError for what is not a trace of this model."""
    document = msgspec.json.decode(itf, type=dict[str, object])
    return msgspec.convert(_plain(document["states"]), type=Trace)


def _plain(value: object) -> object:
    """Without the format's wrappers: bigints, sets and tuples as lists, maps as dicts."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if not isinstance(value, dict):
        return value
    if "#bigint" in value:
        return int(value["#bigint"])
    if "#set" in value or "#tup" in value:
        return _plain(value.get("#set", value.get("#tup")))
    if "#map" in value:
        return {_plain(key): _plain(each) for key, each in value["#map"]}
    return {key: _plain(each) for key, each in value.items()}
