"""The streamlined Beacon API: what a validator client and a follower need of a beacon node, nothing
more.

`BeaconNode` is what must be able to answer; the rollup node and the middleware implement it, and
`BeaconClient` implements it by asking another node, so a proxy is a class that delegates.
`beacon_routes` binds one to aiohttp. Blocks cross this API as SSZ bytes: the hot path slices, it
does not decode. JSON is for people and older clients. Only Electra, mainnet preset. Source:
ethereum/beacon-APIs.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, TypeAlias, cast

from aiohttp import web

from dst.apis.rest import (
    DEFAULT_TIMEOUT_SECONDS,
    JSON,
    SSZ,
    Answer,
    RestClient,
    ServerSentEvent,
    load_json,
    parse_uint,
    preferred,
    stream_events,
)
from dst.runtime.http import json_response
from dst.runtime.http_errors import NotFound, UnsupportedMediaType
from dst.spec import ssz
from dst.spec.beacon import BeaconBlock, BeaconBlockHeader, SignedBeaconBlock, from_json, to_json
from dst.spec.errors import InvalidInput
from dst.spec.primitives import (
    G2_POINT_AT_INFINITY,
    BLSPubkey,
    BLSSignature,
    Root,
    Slot,
    parse_hex,
    to_hex,
)

FORK: Final = "electra"
SLOTS_PER_EPOCH: Final = 32
"""Mainnet preset."""
FAR_FUTURE_EPOCH: Final = 2**64 - 1
MAX_EFFECTIVE_BALANCE_GWEI: Final = 32_000_000_000
VALIDATOR_STATUS: Final = "active_ongoing"
TOPICS: Final = frozenset({"head", "block", "finalized_checkpoint"})
MAX_FILTER_IDS: Final = 64
"""There is one validator; a longer id list is a mistake or an attack."""

BlockId: TypeAlias = Literal["head", "genesis", "finalized"] | Slot | Root
"""Which block: newest sealed, first, last finalised on L1, the one in a slot, or by root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Genesis:
    """`GET v1/beacon/genesis`."""

    genesis_time: int
    genesis_validators_root: Root
    genesis_fork_version: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Syncing:
    """`GET v1/node/syncing`. head_slot + sync_distance is the current slot; missed slots are not
    'syncing'."""

    head_slot: Slot
    sync_distance: int
    is_syncing: bool = False
    is_optimistic: bool = False
    el_offline: bool = False

    @property
    def current_slot(self) -> Slot:
        """The wall clock's slot at the answering node."""
        return Slot(self.head_slot + self.sync_distance)


@dataclass(frozen=True, slots=True, kw_only=True)
class WireBlock:
    """SSZ of an unsigned BeaconBlock with its signature (the infinity point while unsealed)."""

    message: bytes
    signature: BLSSignature

    @property
    def is_sealed(self) -> bool:
        """Whether a signature is there at all; whether it is valid is the reader's to verify."""
        return self.signature != G2_POINT_AT_INFINITY


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderView:
    """`GET v1/beacon/headers/{id}`: a header, its root, its signature."""

    root: Root
    header: BeaconBlockHeader
    signature: BLSSignature
    finalized: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BeaconEvent:
    """An event of the standard stream; `data` is the standard's JSON object."""

    topic: str
    data: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProduceRequest:
    """What a validator client asks with: its RANDAO reveal (may be the infinity point) and ours
    beyond the standard."""

    slot: Slot
    randao_reveal: BLSSignature = G2_POINT_AT_INFINITY
    no_tx_pool: bool = False


class BeaconNode(Protocol):
    """Answers the Beacon API. Raises InvalidInput (400), NotFound (404), ResetRequired (409),
    Unavailable (503)."""

    async def genesis(self) -> Genesis:
        """Constants of the chain."""

    async def config_spec(self) -> Mapping[str, object]:
        """Every key of preset and config as strings."""

    async def node_version(self) -> str:
        """Product and version."""

    async def syncing(self) -> Syncing:
        """Where the head is against the clock."""

    async def validator_pubkey(self) -> BLSPubkey:
        """The one validator's key: the group key at a rollup node, this operator's share key at a
        middleware."""

    async def produce_block(self, request: ProduceRequest) -> bytes | None:
        """SSZ of the BeaconBlock to sign in this slot; None when there definitely is none (404)."""

    async def publish_block(self, block: WireBlock) -> None:
        """Take a signed block; returns once it is accepted."""

    async def header(self, block_id: BlockId) -> HeaderView | None:
        """None when there is no such block."""

    async def block(self, block_id: BlockId) -> WireBlock | None:
        """None when there is no such block."""

    def events(self, topics: frozenset[str]) -> AsyncIterator[BeaconEvent]:
        """From now on; ends when the node stops."""


# ---------------------------------------------------------------------------------------- encodings


def parse_block_id(text: str) -> BlockId:
    """Raises: InvalidInput."""
    if text in ("head", "genesis", "finalized"):
        return cast(BlockId, text)
    if text == "justified":
        return "finalized"
    if text.startswith("0x"):
        return Root(parse_hex(text, 32, what="block id"))
    return Slot(parse_uint(text, what="block id (head, genesis, finalized, a slot or a root)"))


def format_block_id(block_id: BlockId) -> str:
    """The inverse of `parse_block_id`."""
    return to_hex(block_id) if isinstance(block_id, bytes) else str(block_id)


_SIGNED_HEAD: Final = (100).to_bytes(4, "little")
"""SignedBeaconBlock is (offset of message = 4 + 96, signature, message)."""
_CONTENTS_FIXED: Final = 12
"""BlockContents and SignedBlockContents are three variable-size fields: three 4-byte offsets, then
the block."""


def encode_signed(block: WireBlock) -> bytes:
    """SSZ of SignedBeaconBlock."""
    return _SIGNED_HEAD + block.signature + block.message


def decode_signed(data: bytes) -> WireBlock:
    """Split SSZ of SignedBeaconBlock; the message is decoded by whoever needs its fields. Raises:
    InvalidInput."""
    if len(data) < 104 or data[:4] != _SIGNED_HEAD:
        raise InvalidInput("body is not the SSZ of an electra SignedBeaconBlock")
    return WireBlock(message=data[100:], signature=BLSSignature(data[4:100]))


def encode_contents(block: bytes) -> bytes:
    """SSZ of (Signed)BlockContents without proofs and blobs around the SSZ of the block."""
    end = (_CONTENTS_FIXED + len(block)).to_bytes(4, "little")
    return _CONTENTS_FIXED.to_bytes(4, "little") + end + end + block


def decode_contents(data: bytes) -> bytes:
    """The block inside (Signed)BlockContents; blobs and proofs must be empty. Raises:
    InvalidInput."""
    end = len(data).to_bytes(4, "little")
    if (
        len(data) < _CONTENTS_FIXED
        or data[:12] != _CONTENTS_FIXED.to_bytes(4, "little") + end + end
    ):
        raise InvalidInput("body is not the SSZ of electra block contents without blobs")
    return data[_CONTENTS_FIXED:]


def _block_json(message: bytes) -> Any:  # JSON tree
    return to_json(ssz.decode(BeaconBlock, message))


def _signed_json(block: WireBlock) -> Any:  # JSON tree
    return {"message": _block_json(block.message), "signature": to_hex(block.signature)}


def _signed_from_json(obj: object) -> WireBlock:
    signed = from_json(SignedBeaconBlock, obj)
    return WireBlock(message=ssz.encode(signed.message), signature=signed.signature)


def _field(obj: object, *path: str) -> Any:  # JSON from outside: callers give each leaf a type
    """Walk into nested JSON objects. Raises: InvalidInput naming the missing path."""
    for step in path:
        if not isinstance(obj, dict) or step not in obj:
            raise InvalidInput(f"answer lacks field {'.'.join(path)!r}")
        obj = obj[step]
    return obj


def _uint(value: object, what: str) -> int:
    if not isinstance(value, str):
        raise InvalidInput(f"{what}: expected a decimal string")
    return parse_uint(value, what=what)


# ------------------------------------------------------------------------------------------- server


def duty_routes(node: BeaconNode) -> list[web.RouteDef]:
    """What a validator client does: it asks for blocks and hands signatures in. Not for strangers:
    each question can cost an execution."""
    api = _Server(node)
    return [
        web.get("/eth/v3/validator/blocks/{slot}", api.produce),
        web.post("/eth/v1/beacon/blocks", api.publish),
        web.post("/eth/v2/beacon/blocks", api.publish),
    ]


def reading_routes(node: BeaconNode) -> list[web.RouteDef]:
    """What anybody may read, and what validator clients ask around their duties."""
    api = _Server(node)
    get, post = web.get, web.post
    table = (
        (get, "v1/beacon/genesis", api.genesis),
        (get, "v1/config/spec", api.config_spec),
        (get, "v1/config/fork_schedule", api.fork_schedule),
        (get, "v1/node/syncing", api.syncing),
        (get, "v1/node/version", api.version),
        (get, "v1/node/health", api.health),
        (get, "v1/beacon/states/{state_id}/validators", api.validators),
        (post, "v1/beacon/states/{state_id}/validators", api.validators),
        (get, "v1/beacon/states/{state_id}/validators/{validator_id}", api.validator),
        (get, "v1/beacon/states/{state_id}/fork", api.fork),
        (get, "v1/validator/duties/proposer/{epoch}", api.proposer_duties),
        (get, "v2/validator/duties/proposer/{epoch}", api.proposer_duties),
        (post, "v1/validator/duties/attester/{epoch}", api.no_duties),
        (post, "v1/validator/duties/sync/{epoch}", api.no_duties),
        (post, "v1/validator/prepare_beacon_proposer", api.swallow),
        (post, "v1/validator/register_validator", api.swallow),
        (post, "v1/validator/beacon_committee_subscriptions", api.swallow),
        (post, "v1/validator/sync_committee_subscriptions", api.swallow),
        (get, "v1/beacon/headers", api.headers),
        (get, "v1/beacon/headers/{block_id}", api.header),
        (get, "v1/beacon/blocks/{block_id}/root", api.block_root),
        (get, "v2/beacon/blocks/{block_id}", api.block),
        (get, "v1/events", api.events),
    )
    return [bind(f"/eth/{path}", handler) for bind, path, handler in table]


def beacon_routes(node: BeaconNode) -> list[web.RouteDef]:
    """Every endpoint of the streamlined surface, bound to `node`."""
    return [*reading_routes(node), *duty_routes(node)]


class _Server:
    def __init__(self, node: BeaconNode) -> None:
        self._node = node

    async def genesis(self, _: web.Request) -> web.StreamResponse:
        genesis = await self._node.genesis()
        return json_response(
            {
                "data": {
                    "genesis_time": str(genesis.genesis_time),
                    "genesis_validators_root": to_hex(genesis.genesis_validators_root),
                    "genesis_fork_version": to_hex(genesis.genesis_fork_version),
                }
            }
        )

    async def config_spec(self, _: web.Request) -> web.StreamResponse:
        return json_response({"data": dict(await self._node.config_spec())})

    async def fork_schedule(self, _: web.Request) -> web.StreamResponse:
        return json_response({"data": [await self._fork()]})

    async def fork(self, request: web.Request) -> web.StreamResponse:
        _check_state_id(request)
        return json_response(_state_answer(await self._fork()))

    async def _fork(self) -> dict[str, str]:
        version = to_hex((await self._node.genesis()).genesis_fork_version)
        return {"previous_version": version, "current_version": version, "epoch": "0"}

    async def syncing(self, _: web.Request) -> web.StreamResponse:
        syncing = await self._node.syncing()
        return json_response(
            {
                "data": {
                    "head_slot": str(syncing.head_slot),
                    "sync_distance": str(syncing.sync_distance),
                    "is_syncing": syncing.is_syncing,
                    "is_optimistic": syncing.is_optimistic,
                    "el_offline": syncing.el_offline,
                }
            }
        )

    async def version(self, _: web.Request) -> web.StreamResponse:
        return json_response({"data": {"version": await self._node.node_version()}})

    async def health(self, _: web.Request) -> web.StreamResponse:
        syncing = await self._node.syncing()
        return web.Response(status=206 if syncing.is_syncing else 200)

    async def validators(self, request: web.Request) -> web.StreamResponse:
        _check_state_id(request)
        pubkey = await self._node.validator_pubkey()
        ids, statuses = await _validator_filters(request)
        chosen = (not ids or _names_validator(ids, pubkey)) and (
            not statuses or bool(statuses & {VALIDATOR_STATUS, "active"})
        )
        return json_response(_state_answer([_validator_entry(pubkey)] if chosen else []))

    async def validator(self, request: web.Request) -> web.StreamResponse:
        _check_state_id(request)
        pubkey = await self._node.validator_pubkey()
        if not _names_validator({request.match_info["validator_id"].lower()}, pubkey):
            raise NotFound(f"there is one validator, index 0, key {to_hex(pubkey)}")
        return json_response(_state_answer(_validator_entry(pubkey)))

    async def proposer_duties(self, request: web.Request) -> web.StreamResponse:
        """The one validator proposes every slot, for ever; the dependent root never changes."""
        epoch = parse_uint(request.match_info["epoch"], what="epoch")
        current = (await self._node.syncing()).current_slot // SLOTS_PER_EPOCH
        if epoch > current + 1:
            raise InvalidInput(f"epoch {epoch} is more than one past the current epoch {current}")
        pubkey = to_hex(await self._node.validator_pubkey())
        first = epoch * SLOTS_PER_EPOCH
        duties = [
            {"pubkey": pubkey, "validator_index": "0", "slot": str(slot)}
            for slot in range(max(first, 1), first + SLOTS_PER_EPOCH)
        ]
        return json_response(await self._duties_answer(duties))

    async def no_duties(self, request: web.Request) -> web.StreamResponse:
        """There is nobody to attest: answered empty, but a wrong question is told so."""
        parse_uint(request.match_info["epoch"], what="epoch")
        await _read_array(request)
        return json_response(await self._duties_answer([]))

    async def _duties_answer(self, duties: list[dict[str, str]]) -> dict[str, object]:
        root = to_hex((await self._node.genesis()).genesis_validators_root)
        return {"dependent_root": root, "execution_optimistic": False, "data": duties}

    async def swallow(self, request: web.Request) -> web.StreamResponse:
        """Taken and of no effect here."""
        if request.content_type == JSON:
            await _read_array(request)
        return web.Response(status=200)

    async def produce(self, request: web.Request) -> web.StreamResponse:
        kind = preferred(request.headers.get("Accept"), (JSON, SSZ))
        message = await self._node.produce_block(_produce_request(request))
        if message is None:
            raise NotFound(f"no block in slot {request.match_info['slot']}")
        headers = {
            "Eth-Consensus-Version": FORK,
            "Eth-Execution-Payload-Blinded": "false",
            "Eth-Execution-Payload-Value": "1",
            "Eth-Consensus-Block-Value": "1",
        }
        if kind == SSZ:
            return web.Response(body=encode_contents(message), content_type=SSZ, headers=headers)
        body = {
            "version": FORK,
            "execution_payload_blinded": False,
            "execution_payload_value": "1",
            "consensus_block_value": "1",
            "data": {"block": _block_json(message), "kzg_proofs": [], "blobs": []},
        }
        return json_response(body, headers=headers)

    async def publish(self, request: web.Request) -> web.StreamResponse:
        await self._node.publish_block(await _published_block(request))
        return web.Response(status=200)

    async def headers(self, request: web.Request) -> web.StreamResponse:
        """Of the head, or of one slot. `parent_root` alone is not served: ask by slot."""
        if "parent_root" in request.query:
            raise InvalidInput("headers are served by slot, not by parent_root")
        slot = request.query.get("slot")
        view = await self._node.header(
            "head" if slot is None else Slot(parse_uint(slot, what="slot"))
        )
        data = [] if view is None else [_header_json(view)]
        return json_response(_state_answer(data, finalized=view is not None and view.finalized))

    async def header(self, request: web.Request) -> web.StreamResponse:
        view = await self._view(request)
        return json_response(_state_answer(_header_json(view), finalized=view.finalized))

    async def block_root(self, request: web.Request) -> web.StreamResponse:
        view = await self._view(request)
        return json_response(_state_answer({"root": to_hex(view.root)}, finalized=view.finalized))

    async def _view(self, request: web.Request) -> HeaderView:
        view = await self._node.header(parse_block_id(request.match_info["block_id"]))
        if view is None:
            raise NotFound(f"no block {request.match_info['block_id'][:80]}")
        return view

    async def block(self, request: web.Request) -> web.StreamResponse:
        kind = preferred(request.headers.get("Accept"), (JSON, SSZ))
        block = await self._node.block(parse_block_id(request.match_info["block_id"]))
        if block is None:
            raise NotFound(f"no block {request.match_info['block_id'][:80]}")
        headers = {"Eth-Consensus-Version": FORK}
        if kind == SSZ:
            return web.Response(body=encode_signed(block), content_type=SSZ, headers=headers)
        return json_response(
            {"version": FORK, **_state_answer(_signed_json(block))}, headers=headers
        )

    async def events(self, request: web.Request) -> web.StreamResponse:
        wanted = {topic for text in request.query.getall("topics", []) for topic in text.split(",")}
        if not wanted & TOPICS:
            raise InvalidInput(f"topics: name at least one of {', '.join(sorted(TOPICS))}")
        return await stream_events(request, _as_sse(self._node.events(frozenset(wanted & TOPICS))))


async def _as_sse(events: AsyncIterator[BeaconEvent]) -> AsyncGenerator[ServerSentEvent, None]:
    async for event in events:
        yield ServerSentEvent(event=event.topic, data=json.dumps(dict(event.data)))


def _state_answer(data: object, *, finalized: bool = False) -> dict[str, object]:
    return {"execution_optimistic": False, "finalized": finalized, "data": data}


def _validator_entry(pubkey: BLSPubkey) -> dict[str, object]:
    far = str(FAR_FUTURE_EPOCH)
    return {
        "index": "0",
        "balance": str(MAX_EFFECTIVE_BALANCE_GWEI),
        "status": VALIDATOR_STATUS,
        "validator": {
            "pubkey": to_hex(pubkey),
            "withdrawal_credentials": to_hex(bytes(32)),
            "effective_balance": str(MAX_EFFECTIVE_BALANCE_GWEI),
            "slashed": False,
            "activation_eligibility_epoch": "0",
            "activation_epoch": "0",
            "exit_epoch": far,
            "withdrawable_epoch": far,
        },
    }


def _check_state_id(request: web.Request) -> None:
    """What is answered about a state is the same for all of them. Raises: InvalidInput for what
    names none."""
    parse_block_id(request.match_info["state_id"])


async def _read_array(request: web.Request) -> None:
    """Raises: InvalidInput when the body is not a JSON array."""
    if not isinstance(load_json(await request.read()), list):
        raise InvalidInput("body: expected an array")


async def _validator_filters(request: web.Request) -> tuple[set[str], set[str]]:
    """Ids and statuses from the query (GET: `id`, `status`) or the JSON body (POST: `ids`,
    `statuses`)."""
    if request.method == "GET":
        sources = (request.query.getall("id", []), request.query.getall("status", []))
    else:
        body = load_json(await request.read() or b"{}")
        if not isinstance(body, dict):
            raise InvalidInput("body: expected an object with ids and statuses")
        sources = (body.get("ids") or [], body.get("statuses") or [])
    ids, statuses = (
        {part.lower() for text in _strings(source) for part in text.split(",")}
        for source in sources
    )
    if len(ids) > MAX_FILTER_IDS:
        raise InvalidInput(f"more than {MAX_FILTER_IDS} validator ids")
    return ids, statuses


def _strings(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidInput("ids and statuses: expected lists of strings")
    return value


def _names_validator(ids: set[str], pubkey: BLSPubkey) -> bool:
    return "0" in ids or to_hex(pubkey) in ids


def _produce_request(request: web.Request) -> ProduceRequest:
    """Unknown query parameters are ignored, as the standard wants; a missing reveal counts as the
    infinity point."""
    reveal = request.query.get("randao_reveal")
    return ProduceRequest(
        slot=Slot(parse_uint(request.match_info["slot"], what="slot")),
        randao_reveal=G2_POINT_AT_INFINITY
        if reveal is None
        else BLSSignature(parse_hex(reveal, 96, what="randao_reveal")),
        no_tx_pool=request.query.get("no_tx_pool") == "true",
    )


async def _published_block(request: web.Request) -> WireBlock:
    """SSZ or JSON, with or without the block-contents envelope of Deneb and later."""
    version = request.headers.get("Eth-Consensus-Version", FORK).lower()
    if version != FORK:
        raise InvalidInput(
            f"Eth-Consensus-Version {version[:20]!r}: this chain's blocks are {FORK}"
        )
    body = await request.read()
    if request.content_type == SSZ:
        enveloped = body[:4] == _CONTENTS_FIXED.to_bytes(4, "little")
        return decode_signed(decode_contents(body) if enveloped else body)
    if request.content_type == JSON:
        obj = load_json(body)
        return _signed_from_json(
            obj["signed_block"] if isinstance(obj, dict) and "signed_block" in obj else obj
        )
    raise UnsupportedMediaType(f"send {SSZ} or {JSON}, not {request.content_type}")


def _header_json(view: HeaderView) -> dict[str, object]:
    return {
        "root": to_hex(view.root),
        "canonical": True,
        "header": {"message": to_json(view.header), "signature": to_hex(view.signature)},
    }


# ------------------------------------------------------------------------------------------- client


class BeaconClient(RestClient):
    """Asks another node; satisfies `BeaconNode`. Errors as `RestClient` says; blocks travel as SSZ
    both ways."""

    async def _data(self, path: str) -> Any:  # JSON from outside: callers give each leaf a type
        return _field((await self.request("GET", path)).json(), "data")

    async def genesis(self) -> Genesis:
        """`GET v1/beacon/genesis`."""
        data = await self._data("/eth/v1/beacon/genesis")
        return Genesis(
            genesis_time=_uint(_field(data, "genesis_time"), "genesis_time"),
            genesis_validators_root=Root(
                parse_hex(
                    _field(data, "genesis_validators_root"), 32, what="genesis_validators_root"
                )
            ),
            genesis_fork_version=parse_hex(
                _field(data, "genesis_fork_version"), 4, what="genesis_fork_version"
            ),
        )

    async def config_spec(self) -> Mapping[str, object]:
        """`GET v1/config/spec`."""
        data = await self._data("/eth/v1/config/spec")
        if not isinstance(data, dict):
            raise InvalidInput("config/spec: expected an object")
        return data

    async def node_version(self) -> str:
        """`GET v1/node/version`."""
        return str(_field(await self._data("/eth/v1/node/version"), "version"))

    async def syncing(self) -> Syncing:
        """`GET v1/node/syncing`."""
        data = await self._data("/eth/v1/node/syncing")
        return Syncing(
            head_slot=Slot(_uint(_field(data, "head_slot"), "head_slot")),
            sync_distance=_uint(_field(data, "sync_distance"), "sync_distance"),
            is_syncing=_field(data, "is_syncing") is True,
            is_optimistic=_field(data, "is_optimistic") is True,
            el_offline=_field(data, "el_offline") is True,
        )

    async def validator_pubkey(self) -> BLSPubkey:
        """Key of validator 0, from `GET v1/beacon/states/head/validators`."""
        data = await self._data("/eth/v1/beacon/states/head/validators")
        if not isinstance(data, list) or not data:
            raise InvalidInput("states/head/validators: expected one validator")
        return BLSPubkey(parse_hex(_field(data[0], "validator", "pubkey"), 48, what="pubkey"))

    async def produce_block(
        self, request: ProduceRequest, *, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    ) -> bytes | None:
        """`GET v3/validator/blocks/{slot}`; may block for about a slot at a middleware. None on
        404."""
        params = {"randao_reveal": to_hex(request.randao_reveal)}
        if request.no_tx_pool:
            params["no_tx_pool"] = "true"
        path = f"/eth/v3/validator/blocks/{request.slot}"
        accept = {"Accept": f"{SSZ};q=1,{JSON};q=0.9"}
        try:
            answer = await self.request(
                "GET", path, params=params, headers=accept, timeout_seconds=timeout_seconds
            )
        except NotFound:
            return None
        _check_fork(answer)
        if answer.content_type == SSZ:
            return decode_contents(answer.body)
        return ssz.encode(from_json(BeaconBlock, _field(answer.json(), "data", "block")))

    async def publish_block(self, block: WireBlock) -> None:
        """`POST v2/beacon/blocks`, as SSZ signed block contents."""
        await self.request(
            "POST",
            "/eth/v2/beacon/blocks",
            body=encode_contents(encode_signed(block)),
            headers={"Content-Type": SSZ, "Eth-Consensus-Version": FORK},
        )

    async def header(self, block_id: BlockId) -> HeaderView | None:
        """`GET v1/beacon/headers/{id}`; None on 404."""
        try:
            answer = await self.request(
                "GET", f"/eth/v1/beacon/headers/{format_block_id(block_id)}"
            )
        except NotFound:
            return None
        body = answer.json()
        data = _field(body, "data")
        return HeaderView(
            root=Root(parse_hex(_field(data, "root"), 32, what="root")),
            header=from_json(BeaconBlockHeader, _field(data, "header", "message")),
            signature=BLSSignature(
                parse_hex(_field(data, "header", "signature"), 96, what="signature")
            ),
            finalized=isinstance(body, dict) and body.get("finalized") is True,
        )

    async def block(self, block_id: BlockId) -> WireBlock | None:
        """`GET v2/beacon/blocks/{id}`; None on 404."""
        accept = {"Accept": f"{SSZ};q=1,{JSON};q=0.9"}
        path = f"/eth/v2/beacon/blocks/{format_block_id(block_id)}"
        try:
            answer = await self.request("GET", path, headers=accept)
        except NotFound:
            return None
        _check_fork(answer)
        if answer.content_type == SSZ:
            return decode_signed(answer.body)
        return _signed_from_json(_field(answer.json(), "data"))

    async def events(self, topics: frozenset[str]) -> AsyncGenerator[BeaconEvent, None]:
        """`GET v1/events`; ends when the server ends it."""
        stream = self.stream("/eth/v1/events", params={"topics": ",".join(sorted(topics))})
        async for event in stream:
            data = load_json(event.data)
            if isinstance(data, dict):
                yield BeaconEvent(topic=event.event, data=data)


def _check_fork(answer: Answer) -> None:
    version = answer.headers.get("Eth-Consensus-Version", "").lower()
    if version != FORK:
        raise InvalidInput(
            f"answer carries Eth-Consensus-Version {version[:20]!r}, expected {FORK}"
        )
