"""A cluster in memory, blocks that obey its rules, an engine over real HTTP, and an L1 of
values."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

import msgspec
from aiohttp import web

from dst.apis.beacon import WireBlock
from dst.apis.dst_v1 import DecidedBlock
from dst.apis.engine import BuiltPayload, PayloadStatusKind
from dst.apis.engine_client import EngineClient
from dst.apis.engine_wire import ExecutionPayloadV3, built_to_wire, payload_from_wire
from dst.crypto import bls
from dst.crypto.secp256k1 import IdentityKey
from dst.l1.rpc import L1Block, L1BlockRef, L1Client, L1Transaction
from dst.qbft.messages import Certificate, Commit, SignedCommit, signing_digest
from dst.rollup.wrapping import wrap
from dst.spec import ssz
from dst.spec.beacon import BeaconBlock, ExecutionPayload, L1Origin
from dst.spec.cluster import (
    ChainConfig,
    ClusterDefinition,
    ClusterLock,
    L1Genesis,
    OperatorRecord,
    genesis_validators_root,
    lock_proposer_domain,
)
from dst.spec.domains import signing_root
from dst.spec.errors import Unavailable
from dst.spec.primitives import (
    Address,
    BLSPubkey,
    BLSSignature,
    Hash32,
    Height,
    OperatorIndex,
    Root,
    Round,
    Slot,
    Term,
    quorum,
    to_hex,
)
from dst.spec.rules import genesis_block, prev_randao, timestamp_at

GENESIS_TIME = 1_700_000_000
JWT = bytes(range(32))
GROUP = bls.SecretShare(0x1234567)
STRANGER = bls.SecretShare(0x7654321)
IDENTITIES = [IdentityKey(bytes([i + 1] * 32)) for i in range(4)]


def l1_hash(number: int, branch: str = "main") -> Hash32:
    return Hash32(sha256(f"l1 {branch} {number}".encode()).digest())


def make_lock(**chain: Any) -> ClusterLock:
    """Four operators; signatures of the lock itself are not under test."""
    constants: dict[str, Any] = {
        "chain_id": 7001,
        "l1_chain_id": 31337,
        "genesis_time": GENESIS_TIME,
        "seconds_per_slot": 1,
        "l1_genesis": L1Genesis(number=0, hash=l1_hash(0)),
        "fee_recipient": Address(b"\xfe" * 20),
        "extra_data": b"dst",
        "graffiti": b"bench".ljust(32, b"\0"),
        "batch_inbox": Address(b"\xbb" * 20),
        "round_timeout_ms": 500,
        "l2_genesis_hash": Hash32(b"\x60" * 32),
        **chain,
    }
    operators = tuple(
        OperatorRecord(
            index=i + 1,
            name=f"op{i + 1}",
            identity=key.public_key,
            transport_spki=bytes([i + 1]) * 32,
        )
        for i, key in enumerate(IDENTITIES)
    )
    definition = ClusterDefinition(
        name="bench", n=4, threshold=3, operators=operators, chain=ChainConfig(**constants)
    )
    return ClusterLock(
        definition=definition,
        group_public_key=bls.public_key(GROUP),
        share_public_keys=tuple(BLSPubkey(bytes([i + 1]) * 48) for i in range(4)),
        lock_hash=bytes(32),
        operator_signatures=(bytes(64),) * 4,
        group_signature=BLSSignature(bytes(96)),
    )


@dataclass(frozen=True)
class GenesisHeader:
    hash: bytes
    state_root: bytes


def make_genesis(lock: ClusterLock) -> BeaconBlock:
    return genesis_block(
        lock, GenesisHeader(hash=lock.chain.l2_genesis_hash, state_root=b"\x5a" * 32)
    )


def make_payload(
    lock: ClusterLock,
    parent: BeaconBlock,
    slot: int,
    origin_hash: Hash32,
    transactions: Sequence[bytes],
) -> ExecutionPayload:
    """What a builder would make; the block hash is a function of what matters here."""
    before = parent.body.execution_payload
    content = b"".join((before.block_hash, slot.to_bytes(8, "big"), origin_hash, *transactions))
    return replace(
        before,
        parent_hash=before.block_hash,
        state_root=Hash32(sha256(b"state" + content).digest()),
        prev_randao=prev_randao(origin_hash, slot),
        block_number=before.block_number + 1,
        timestamp=timestamp_at(lock.chain, slot),
        block_hash=Hash32(sha256(b"hash" + content).digest()),
        transactions=tuple(transactions),
    )


def make_block(
    lock: ClusterLock,
    parent: BeaconBlock,
    *,
    slot: int | None = None,
    origin: tuple[int, Hash32] | None = None,
    transactions: Sequence[bytes] = (),
) -> BeaconBlock:
    """A child of `parent` that breaks no rule."""
    at = Slot(parent.slot + 1 if slot is None else slot)
    named = parent.l1_origin if origin is None else L1Origin(number=origin[0], hash=origin[1])
    payload = make_payload(lock, parent, at, named.hash, transactions)
    built = BuiltPayload(payload=payload, block_value=0)
    return wrap(lock, ssz.hash_tree_root(parent), at, named, built)


def make_chain(lock: ClusterLock, length: int) -> list[BeaconBlock]:
    """Blocks of heights 1..length on genesis."""
    blocks, parent = [], make_genesis(lock)
    for _ in range(length):
        parent = make_block(lock, parent)
        blocks.append(parent)
    return blocks


def seal(lock: ClusterLock, block: BeaconBlock, key: bls.SecretShare = GROUP) -> BLSSignature:
    return bls.sign(key, signing_root(ssz.hash_tree_root(block), lock_proposer_domain(lock)))


def sealed(lock: ClusterLock, block: BeaconBlock) -> WireBlock:
    return WireBlock(message=ssz.encode(block), signature=seal(lock, block))


def certify(
    lock: ClusterLock, block: BeaconBlock, *, round_: int = 0, voters: int | None = None
) -> DecidedBlock:
    root = ssz.hash_tree_root(block)
    height = Height(block.body.execution_payload.block_number)
    commit = Commit(term=Term(0), height=height, round=Round(round_), root=root)
    digest = signing_digest(genesis_validators_root(lock), commit)
    commits = tuple(
        SignedCommit(payload=commit, sender=OperatorIndex(i), signature=IDENTITIES[i].sign(digest))
        for i in range(quorum(lock.n) if voters is None else voters)
    )
    certificate = Certificate(
        term=Term(0), height=height, round=Round(round_), root=root, commits=commits
    )
    return DecidedBlock(certificate, ssz.encode(block))


# --- L1 -------------------------------------------------------------------------------------------


@dataclass
class FakeL1(L1Client):
    """An L1 whose chain a test writes; `is_down` makes every call fail."""

    blocks: list[L1Block] = field(default_factory=list)
    is_down: bool = False
    finalized: int = 0

    def __post_init__(self) -> None:
        super().__init__("fake://l1")
        self.mine(1)

    def mine(self, count: int = 1, branch: str = "main", data: Sequence[bytes] = ()) -> None:
        """Add blocks; the last one carries `data` to the inbox."""
        for position in range(count):
            number = len(self.blocks)
            parent = self.blocks[-1].ref.hash if self.blocks else Hash32(bytes(32))
            last = position == count - 1
            self.blocks.append(
                L1Block(
                    ref=L1BlockRef(
                        number=number,
                        hash=l1_hash(number, branch),
                        parent_hash=parent,
                        timestamp=GENESIS_TIME - 100 + number,
                    ),
                    transactions=tuple(
                        L1Transaction(
                            hash=Hash32(sha256(each).digest()), to=Address(b"\xbb" * 20), data=each
                        )
                        for each in (data if last else ())
                    ),
                )
            )

    def reorg(self, depth: int, branch: str, count: int | None = None) -> None:
        """Replace the newest `depth` blocks by `count` (as many) of another branch. As anvil does,
        it forgets what it dropped."""
        del self.blocks[-depth:]
        self.mine(depth if count is None else count, branch)

    def _up(self) -> None:
        if self.is_down:
            raise Unavailable("fake L1 is down")

    async def chain_id(self) -> int:
        self._up()
        return 31337

    async def head(self, tag: str = "latest") -> L1BlockRef | None:
        self._up()
        return self.blocks[-1 if tag == "latest" else self.finalized].ref

    async def ref_by_number(self, number: int) -> L1BlockRef | None:
        self._up()
        return self.blocks[number].ref if number < len(self.blocks) else None

    async def ref_by_hash(self, block_hash: Hash32) -> L1BlockRef | None:
        self._up()
        for block in self.blocks:
            if block.ref.hash == block_hash:
                return block.ref
        return None

    async def block(self, number: int) -> L1Block | None:
        self._up()
        return self.blocks[number] if number < len(self.blocks) else None


# --- the engine -----------------------------------------------------------------------------------


@dataclass
class EngineStub:
    """An execution layer that believes every payload on a known parent, behind real HTTP."""

    lock: ClusterLock
    invalid: set[bytes] = field(default_factory=set)
    slow: dict[bytes, asyncio.Event] = field(default_factory=dict)
    """Block hash -> event that ends its execution."""
    payloads: dict[bytes, ExecutionPayload] = field(default_factory=dict)
    head: bytes = b""
    calls: list[str] = field(default_factory=list)
    started: list[bytes] = field(default_factory=list)
    aborted: list[bytes] = field(default_factory=list)
    heads: list[dict[str, str]] = field(default_factory=list)
    build: dict[str, Any] | None = None
    transactions: tuple[bytes, ...] = ()
    is_down: bool = False
    lacks: str | None = None
    """Why it keeps no block now."""
    is_silent: bool = False
    """A link that swallows: what is asked meanwhile is never answered, also not later."""
    swallowed: int = 0

    def __post_init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Lose everything but genesis."""
        genesis = make_genesis(self.lock).body.execution_payload
        self.payloads = {genesis.block_hash: genesis}
        self.head = genesis.block_hash

    async def handle(self, request: web.Request) -> web.Response:
        body = msgspec.json.decode(await request.read())
        if self.is_down:
            return web.Response(status=500)
        if self.is_silent:
            self.swallowed += 1
            await asyncio.Event().wait()
        self.calls.append(body["method"])
        answer = await getattr(self, body["method"])(*body["params"])
        return web.Response(
            body=msgspec.json.encode({"jsonrpc": "2.0", "id": body["id"], "result": answer})
        )

    async def engine_newPayloadV4(self, wire: Any, *_: Any) -> Any:
        payload = payload_from_wire(msgspec.convert(wire, ExecutionPayloadV3))
        block_hash = payload.block_hash
        self.started.append(block_hash)
        if block_hash in self.slow:
            try:
                await self.slow[block_hash].wait()
            except asyncio.CancelledError:
                self.aborted.append(block_hash)
                raise
        if payload.parent_hash not in self.payloads or self.lacks is not None:
            return {"status": PayloadStatusKind.SYNCING, "validationError": self.lacks}
        if block_hash in self.invalid:
            return {"status": PayloadStatusKind.INVALID, "validationError": "bad state root"}
        self.payloads[block_hash] = payload
        return {"status": PayloadStatusKind.VALID, "latestValidHash": to_hex(block_hash)}

    async def engine_forkchoiceUpdatedV3(self, state: Any, attributes: Any) -> Any:
        head = bytes.fromhex(state["headBlockHash"][2:])
        if head not in self.payloads:
            return {"payloadStatus": {"status": PayloadStatusKind.SYNCING}}
        self.head = head
        self.heads.append(state)
        if attributes is not None:
            self.build = attributes
        return {
            "payloadStatus": {"status": PayloadStatusKind.VALID, "latestValidHash": to_hex(head)},
            "payloadId": None if attributes is None else to_hex(bytes(8)),
        }

    async def engine_getPayloadV4(self, _: str) -> Any:
        assert self.build is not None
        parent = self.payloads[self.head]
        timestamp = int(self.build["timestamp"], 16)
        content = parent.block_hash + timestamp.to_bytes(8, "big")
        transactions = () if self.build.get("noTxPool") else self.transactions
        payload = replace(
            parent,
            parent_hash=parent.block_hash,
            block_number=parent.block_number + 1,
            timestamp=timestamp,
            prev_randao=bytes.fromhex(self.build["prevRandao"][2:]),
            block_hash=Hash32(sha256(content).digest()),
            transactions=transactions,
        )
        # As in a real engine, a built payload is not a block before newPayload brings it.
        return built_to_wire(BuiltPayload(payload=payload, block_value=0))

    async def eth_getBlockByNumber(self, key: str, _: bool) -> Any:
        payload = self.payloads[self.head]
        if key != "latest":
            while payload.block_number > int(key, 16):
                payload = self.payloads[payload.parent_hash]
            if payload.block_number != int(key, 16):
                return None
        return {
            "number": hex(payload.block_number),
            "hash": to_hex(payload.block_hash),
            "parentHash": to_hex(payload.parent_hash),
            "timestamp": hex(payload.timestamp),
            "stateRoot": to_hex(payload.state_root),
        }


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[str]:
    """The app on a free port; its URL."""
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def engine_client(stub: EngineStub) -> AsyncIterator[EngineClient]:
    app = web.Application(client_max_size=2**24)
    app.router.add_post("/", stub.handle)
    async with served(app) as url:
        client = EngineClient(url, JWT)
        try:
            yield client
        finally:
            await client.close()


def root_of(block: BeaconBlock) -> Root:
    return ssz.hash_tree_root(block)


async def until_true(condition: Any, seconds: float = 5.0) -> None:
    """Let the loop run until a condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # conditions of other tasks, polled
            await asyncio.sleep(0.002)
