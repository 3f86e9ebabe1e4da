"""The scenarios of hive's engine simulator, against the Engine API as its JSON-RPC methods.

Names follow its suites. Those in which a node lacks blocks are in
`test_engine_syncing.py`. Left out, because this chain does not have what they are about: proof of
work and transitions between forks (Prague from genesis), blob transactions (refused everywhere;
that they are, is tested), peer-to-peer synchronisation (blocks come by newPayload alone). Token
checks are in `tests/unit/apis/test_engine.py`, and further rules in `test_engine_service.py`.
"""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from eth_account import Account

from dst.apis.engine import CAPABILITIES, MAX_BODIES, ForkchoiceState
from dst.apis.engine_wire import attributes_to_wire, payload_to_wire
from dst.apis.jsonrpc import RpcError
from dst.execution.block.builder import BuilderLimits
from dst.execution.block.executed import payload_of
from dst.execution.header import header_of_payload
from dst.spec.beacon import ExecutionPayload, Withdrawal
from dst.spec.errors import InvalidInput
from dst.spec.primitives import ZERO_HASH, Gwei, Hash32, to_hex
from dst.transactions.transaction import InvalidTransaction, Reason, decode_transaction
from tests.unit.execution.test_engine_service import (
    ROOT,
    SPIN,
    SPINNER,
    Engine,
    until_waiting,
)
from tests.unit.execution.test_invalid_blocks import dynamic_fields, self_signed
from tests.unit.execution.worlds import (
    ADDRESSES,
    CHAIN_ID,
    GWEI,
    KEYS,
    LIMITS,
    address_of,
    make_world,
    signed,
    signed_raw,
)

OTHER = Hash32(b"\x99" * 32)
STORE_RANDAO = address_of(0x4A4D)
"""prevrandao push0 sstore: slot 0 becomes PREVRANDAO."""
RANDOMS = [Hash32(bytes([number]) * 32) for number in range(1, 40)]


class Client:
    """A consensus client: plain JSON in, plain JSON out."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.chain, self.world = engine, engine.world.chain, engine.world

    async def call(self, method: str, *params: Any) -> Any:
        answer = await self.engine.methods[method](list(params))
        return msgspec.json.decode(msgspec.json.encode(answer))

    async def new_payload(
        self, payload: ExecutionPayload, requests: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        wire = msgspec.to_builtins(payload_to_wire(payload))
        answer = await self.call("engine_newPayloadV4", wire, [], to_hex(ROOT), list(requests))
        assert isinstance(answer, dict)
        return answer

    async def fcu(
        self,
        head: bytes,
        attributes: Any = None,
        safe: bytes = ZERO_HASH,
        finalized: bytes = ZERO_HASH,
    ) -> dict[str, Any]:
        state = {
            "headBlockHash": to_hex(head),
            "safeBlockHash": to_hex(safe),
            "finalizedBlockHash": to_hex(finalized),
        }
        wire = None if attributes is None else msgspec.to_builtins(attributes_to_wire(attributes))
        answer = await self.call("engine_forkchoiceUpdatedV3", state, wire)
        assert isinstance(answer, dict)
        return answer

    async def build(self, **changes: Any) -> ExecutionPayload:
        answer = await self.fcu(self.chain.heads.head_hash, self.world.attributes(**changes))
        built = await self.engine.service.get_payload(bytes.fromhex(answer["payloadId"][2:]))
        return built.payload

    async def produce(self, **changes: Any) -> ExecutionPayload:
        """A block that becomes the head."""
        payload = await self.build(**changes)
        assert (await self.new_payload(payload))["status"] == "VALID"
        assert (await self.fcu(payload.block_hash))["payloadStatus"]["status"] == "VALID"
        return payload

    def branch(self, parent: Hash32, count: int, first: int = 0) -> list[ExecutionPayload]:
        """Blocks beside the canonical ones; inserted into no chain."""
        made: list[ExecutionPayload] = []
        for index in range(count):
            block = self.world.build(parent=parent, prev_randao=RANDOMS[first + index]).block
            self.chain.insert(block)  # only so that the next can be built on it
            made.append(sealed(payload_of(block)))
            parent = block.hash
        return made

    @property
    def head(self) -> Hash32:
        return self.chain.heads.head_hash


def sealed(payload: ExecutionPayload, **changes: Any) -> ExecutionPayload:
    """With fields changed, and the hash that such a block has."""
    changed = replace(payload, **changes)
    return replace(changed, block_hash=header_of_payload(changed, ROOT, ()).hash)


def elsewhere(tmp_path: Path, name: str) -> Client:
    """Another node of the same chain."""
    folder = tmp_path / name
    folder.mkdir()
    world = make_world(folder, CODES)
    worker = ThreadPoolExecutor(1)
    return Client(Engine(world, worker, LIMITS))


CODES = {SPINNER: SPIN, STORE_RANDAO: bytes.fromhex("445f5500")}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    world = make_world(tmp_path, CODES)
    with ThreadPoolExecutor(1) as worker:
        yield Client(Engine(world, worker, LIMITS))
    world.store.close()


async def refused(code: int, call: Any) -> str:
    with pytest.raises(RpcError) as error:
        await call
    assert error.value.code == code
    return str(error.value)


# --- exchange capabilities, identification ---


async def test_exchange_capabilities(client: Client) -> None:
    told = await client.call("engine_exchangeCapabilities", ["engine_newPayloadV4"])
    assert told == list(CAPABILITIES)
    assert set(told) < set(client.engine.methods)


async def test_client_version(client: Client) -> None:
    asking = {"code": "CL", "name": "x", "version": "v1", "commit": "0x01020304"}
    (told,) = await client.call("engine_getClientVersionV1", asking)
    assert (len(told["code"]), told["name"], len(told["commit"])) == (2, "dst", 10)
    with pytest.raises((InvalidInput, msgspec.ValidationError)):
        await client.call("engine_getClientVersionV1", {"code": "CL"})


# --- payload execution ---


async def test_in_order_consecutive_payload_execution(client: Client, tmp_path: Path) -> None:
    other = elsewhere(tmp_path, "other")
    for nonce in range(5):
        client.engine.add(signed(nonce=nonce))
        payload = await client.produce()
        assert (await other.new_payload(payload))["status"] == "VALID"
        await other.fcu(payload.block_hash)
    assert other.head == client.head


async def test_multiple_new_payloads_extending_the_canonical_chain(client: Client) -> None:
    """Eighty in hive; each on the same head, the last becomes it."""
    made = [await client.build(prev_randao=each) for each in RANDOMS[:20]]
    for payload in made:
        assert (await client.new_payload(payload))["status"] == "VALID"
    await client.fcu(made[-1].block_hash)
    assert client.head == made[-1].block_hash


async def test_re_execute_payload(client: Client) -> None:
    made = [await client.produce() for _ in range(5)]
    for payload in made:
        answer = await client.new_payload(payload)
        assert (answer["status"], answer["latestValidHash"]) == (
            "VALID",
            to_hex(payload.block_hash),
        )
    assert client.head == made[-1].block_hash


async def test_valid_new_payload_then_fcu_on_a_syncing_client(
    client: Client, tmp_path: Path
) -> None:
    """The child first: SYNCING, head unknown; then the parent, then both."""
    parent, child = await client.produce(), await client.produce()
    other = elsewhere(tmp_path, "other")
    assert (await other.new_payload(child))["status"] == "SYNCING"
    assert (await other.fcu(child.block_hash))["payloadStatus"]["status"] == "SYNCING"
    for payload in (parent, child):
        assert (await other.new_payload(payload))["status"] == "VALID"
    assert (await other.fcu(child.block_hash))["payloadStatus"]["status"] == "VALID"


async def test_new_payload_with_missing_fcu(client: Client, tmp_path: Path) -> None:
    made = [await client.produce() for _ in range(5)]
    other = elsewhere(tmp_path, "other")
    for payload in made:
        assert (await other.new_payload(payload))["status"] == "VALID"
    assert other.head == other.chain.genesis_hash
    await other.fcu(made[-1].block_hash)
    assert other.chain.canonical_hash(3) == made[2].block_hash


async def test_view_of_latest_safe_and_finalized(client: Client) -> None:
    first = await client.produce()
    second = await client.build()
    await client.new_payload(second)
    assert client.head == first.block_hash, "newPayload moves nothing"
    await client.fcu(second.block_hash)
    await client.fcu(second.block_hash, safe=first.block_hash)
    genesis = client.chain.genesis_hash
    await client.fcu(second.block_hash, safe=first.block_hash, finalized=genesis)
    heads = client.chain.heads
    assert heads.safe_hash == first.block_hash
    assert heads.finalized_hash == genesis


@pytest.mark.parametrize("sidechain", [False, True])
async def test_bad_hash_on_new_payload(client: Client, sidechain: bool) -> None:
    await client.produce()
    payload = await client.build()
    if sidechain:
        payload = client.branch(client.chain.genesis_hash, 1)[0]
    bad = replace(payload, block_hash=Hash32(bytes(reversed(payload.block_hash))))
    answer = await client.new_payload(bad)
    assert (answer["status"], answer["latestValidHash"]) == ("INVALID", None)


async def test_parent_hash_equals_block_hash(client: Client) -> None:
    payload = await client.build()
    answer = await client.new_payload(replace(payload, parent_hash=payload.block_hash))
    assert (answer["status"], answer["latestValidHash"]) == ("INVALID", None)


# --- invalid payloads ---


FIELDS: dict[str, Any] = {
    "StateRoot": lambda p: {"state_root": OTHER},
    "ReceiptsRoot": lambda p: {"receipts_root": OTHER},
    "LogsBloom": lambda p: {"logs_bloom": b"\x01" * 256},
    "Number": lambda p: {"block_number": p.block_number + 1},
    "GasLimit": lambda p: {"gas_limit": p.gas_limit * 2},
    "GasUsed": lambda p: {"gas_used": p.gas_used - 1},
    "GasUsedAboveLimit": lambda p: {"gas_used": p.gas_limit + 1},
    "Timestamp": lambda p: {"timestamp": p.timestamp - 100},
    "BaseFee": lambda p: {"base_fee_per_gas": p.base_fee_per_gas + 1},
    "PrevRandao": lambda p: {"prev_randao": OTHER},
    "RemoveTransaction": lambda p: {"transactions": p.transactions[:-1]},
    "RepeatTransaction": lambda p: {"transactions": (*p.transactions, p.transactions[-1])},
    "Withdrawals": lambda p: {"withdrawals": (withdrawal(0),)},
    "BlobGasUsed": lambda p: {"blob_gas_used": 1},
    "ExcessBlobGas": lambda p: {"excess_blob_gas": 1},
}


@pytest.mark.parametrize("name", FIELDS)
async def test_invalid_new_payload(client: Client, name: str) -> None:
    """The right hash of a wrong block: INVALID, the parent is the latest valid one, its children
    are INVALID as well, and the right block is taken after it."""
    parent = await client.produce()
    client.engine.add(signed(to=STORE_RANDAO, gas=100_000), signed(KEYS[1]))
    payload = await client.build()
    bad = sealed(payload, **FIELDS[name](payload))
    answer = await client.new_payload(bad)
    assert (answer["status"], answer["latestValidHash"]) == (
        "INVALID",
        to_hex(parent.block_hash),
    )
    child = sealed(
        payload,
        parent_hash=bad.block_hash,
        block_number=payload.block_number + 1,
        timestamp=payload.timestamp + 1,
    )
    assert (await client.new_payload(child))["status"] == "INVALID"
    pointed = await client.fcu(bad.block_hash, client.world.attributes())
    assert (pointed["payloadStatus"]["status"], pointed["payloadId"]) == ("INVALID", None)
    assert (await client.new_payload(payload))["status"] == "VALID"


async def test_invalid_parent_hash_is_syncing(client: Client) -> None:
    payload = await client.build()
    answer = await client.new_payload(sealed(payload, parent_hash=OTHER))
    assert (answer["status"], answer["latestValidHash"]) == ("SYNCING", None)


def broken_signature(raw: bytes) -> bytes:
    return raw[:-1] + bytes([raw[-1] ^ 1])


def of_one_wei(fee: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value and 1 if "Fee" in key or "Price" in key else value for key, value in fee.items()
    }


def tip_above_cap(fee: dict[str, Any]) -> bytes:
    """A legacy one has no tip: its price is above what the sender owns."""
    if "gasPrice" in fee:
        return signed_raw(**{**fee, "gasPrice": 10**27})
    lists: list[Any] = [[]]
    if "authorizationList" in fee:
        lists.append([[b"\x01", address_of(0xAB), b"", b"", b"\x01", b"\x01"]])
    fields = dynamic_fields(chain_id=CHAIN_ID, tip=2 * GWEI + 1, fee=2 * GWEI)
    return self_signed(fee.get("type", 2), [*fields, *lists])


TRANSACTIONS: dict[str, Any] = {
    "Signature": lambda fee: broken_signature(signed_raw(**fee)),
    "Nonce": lambda fee: signed_raw(nonce=3, **fee),
    "GasPrice": lambda fee: signed_raw(**of_one_wei(fee)),
    "GasTip": tip_above_cap,
    "Gas": lambda fee: signed_raw(**{**fee, "gas": 20_999}),
    "GasAboveLimit": lambda fee: signed_raw(**{**fee, "gas": 10_000_001}),
    "Value": lambda fee: signed_raw(value=10**30, **fee),
    "ChainID": lambda fee: signed_raw(chainId=CHAIN_ID + 1, **fee),
}
FEES: dict[str, dict[str, Any]] = {
    "legacy": {
        "type": None,
        "maxFeePerGas": None,
        "maxPriorityFeePerGas": None,
        "gasPrice": 2 * GWEI,
    },
    "access list": {
        "type": 1,
        "maxFeePerGas": None,
        "maxPriorityFeePerGas": None,
        "gasPrice": 2 * GWEI,
        "gas": 30_000,
        "accessList": [{"address": address_of(0xAB), "storageKeys": []}],
    },
    "dynamic": {"maxFeePerGas": 2 * GWEI, "maxPriorityFeePerGas": 2 * GWEI},
    "set code": {
        "type": 4,
        "maxFeePerGas": 2 * GWEI,
        "maxPriorityFeePerGas": 2 * GWEI,
        "gas": 60_000,
        "authorizationList": [
            Account.from_key(KEYS[1]).sign_authorization(
                {"chainId": CHAIN_ID, "address": address_of(0xAB), "nonce": 0}
            )
        ],
    },
}


@pytest.mark.parametrize("kind", FEES)
@pytest.mark.parametrize("name", TRANSACTIONS)
async def test_invalid_new_payload_transaction(client: Client, name: str, kind: str) -> None:
    raw = TRANSACTIONS[name](FEES[kind])
    client.engine.add(decode_transaction(signed_raw(**FEES[kind])))
    payload = await client.build()
    assert len(payload.transactions) == 1, "the kind as such is good"
    answer = await client.new_payload(sealed(payload, transactions=(raw,)))
    assert (answer["status"], answer["latestValidHash"]) == (
        "INVALID",
        to_hex(client.chain.genesis_hash),
    )


async def test_payload_build_after_new_invalid_payload(client: Client) -> None:
    payload = await client.build()
    await client.new_payload(sealed(payload, state_root=OTHER))
    assert (await client.produce()).block_number == 1


async def test_build_payload_with_invalid_chain_id_transaction(client: Client) -> None:
    with pytest.raises(InvalidTransaction) as error:
        client.engine.pool.examine(signed_raw(chainId=CHAIN_ID + 1))
    assert error.value.reason is Reason.CHAIN_ID
    forced = (signed_raw(chainId=CHAIN_ID + 1), signed_raw(KEYS[1]))
    assert (await client.build(transactions=forced)).transactions == forced[1:]


@pytest.mark.parametrize("index", [1, 9, 10])
@pytest.mark.parametrize("empty", [False, True])
async def test_invalid_missing_ancestor_reorg(client: Client, index: int, empty: bool) -> None:
    """Ten blocks beside the chain, the one at `index` is invalid: so are all that follow it, and
    the latest valid one is its parent."""
    common = await client.produce()
    if not empty:
        client.engine.add(*(signed(nonce=nonce) for nonce in range(3)))
    await client.produce()
    side = client.branch(Hash32(common.block_hash), 10)
    parent = common.block_hash
    for number, payload in enumerate(side, 1):
        changes: dict[str, Any] = {"parent_hash": parent} if number > index else {}
        if number == index:
            changes["state_root"] = OTHER
        sent = sealed(payload, **changes)
        answer = await client.new_payload(sent)
        if number < index:
            assert answer["status"] == "VALID"
        else:
            latest = side[index - 2].block_hash if index > 1 else common.block_hash
            assert (answer["status"], answer["latestValidHash"]) == ("INVALID", to_hex(latest))
            assert (await client.fcu(sent.block_hash))["payloadStatus"]["status"] == "INVALID"
        parent = sent.block_hash


# --- reorganisations ---


async def test_sidechain_reorg_and_back(client: Client) -> None:
    common = await client.produce()
    main = await client.produce()
    side = client.branch(Hash32(common.block_hash), 1)[0]
    for payload in (side, main, side):
        await client.fcu(payload.block_hash)
        assert client.head == payload.block_hash
        assert client.chain.canonical_hash(2) == payload.block_hash


@pytest.mark.parametrize("depth", [5, 10])
async def test_reorg_back_into_the_canonical_chain(client: Client, depth: int) -> None:
    """With a payload executed on the side; the head may also go back to an ancestor."""
    made = [await client.produce() for _ in range(depth)]
    ancestor = made[0]
    side = client.branch(Hash32(ancestor.block_hash), depth)
    assert (await client.new_payload(side[-1]))["status"] == "VALID"
    for head in (side[-1], ancestor, made[-1]):
        answer = await client.fcu(head.block_hash)
        assert answer["payloadStatus"]["latestValidHash"] == to_hex(head.block_hash)
        assert client.head == head.block_hash
    assert [client.chain.canonical_hash(each.block_number) for each in made] == [
        each.block_hash for each in made
    ]


async def test_reorg_to_a_previously_validated_sidechain_payload(client: Client) -> None:
    common = await client.produce()
    side = client.branch(Hash32(common.block_hash), 6)
    for _ in range(5):
        await client.produce()
    await client.fcu(side[2].block_hash)
    payload = await client.produce()
    assert payload.parent_hash == side[2].block_hash
    await client.fcu(side[5].block_hash)
    assert client.head == side[5].block_hash


async def test_safe_reorg_to_the_side_chain(client: Client) -> None:
    first, second = await client.produce(), await client.produce()
    await client.fcu(second.block_hash, safe=first.block_hash)
    side = client.branch(client.chain.genesis_hash, 3)
    await client.fcu(side[2].block_hash, safe=side[1].block_hash)
    assert client.chain.heads.safe_hash == side[1].block_hash
    wrong = client.fcu(side[2].block_hash, safe=second.block_hash)
    await refused(-38002, wrong)


@pytest.mark.parametrize("how", ["out", "different block", "back in", "new payload on revert"])
async def test_transaction_reorg(client: Client, how: str) -> None:
    """A transaction leaves the chain with its block, and is in another one or back in the same."""
    transaction = signed()
    await client.produce()
    client.engine.add(transaction)
    with_it = await client.produce()
    assert client.chain.location(transaction.hash) == (with_it.block_hash, 0)
    parent = Hash32(with_it.parent_hash)
    side = client.branch(parent, 1)[0]
    await client.fcu(side.block_hash)
    assert client.chain.location(transaction.hash) is None
    await until_waiting(client.engine, transaction)
    if how == "different block":
        again = await client.produce()
        assert client.chain.location(transaction.hash) == (again.block_hash, 0)
    if how == "new payload on revert":
        assert (await client.new_payload(with_it))["status"] == "VALID"
    if how in ("back in", "new payload on revert"):
        await client.fcu(with_it.block_hash)
        assert client.chain.location(transaction.hash) == (with_it.block_hash, 0)
    assert (client.engine.pool.get(transaction.hash) is None) == (how != "out")


# --- attributes ---


@pytest.mark.parametrize("timestamp", [0, None])
async def test_invalid_payload_attributes_move_the_head_all_the_same(
    client: Client, timestamp: int | None
) -> None:
    """Zero, and the parent's timestamp."""
    payload = await client.build()
    await client.new_payload(payload)
    wanted = payload.timestamp if timestamp is None else timestamp
    attributes = client.world.attributes(timestamp=wanted)
    await refused(-38003, client.fcu(payload.block_hash, attributes))
    assert client.head == payload.block_hash


async def test_invalid_payload_attributes_while_syncing(client: Client) -> None:
    answer = await client.fcu(OTHER, client.world.attributes(timestamp=0))
    assert (answer["payloadStatus"]["status"], answer["payloadId"]) == ("SYNCING", None)


async def test_suggested_fee_recipient(client: Client) -> None:
    client.engine.add(*(signed(nonce=nonce, maxPriorityFeePerGas=7) for nonce in range(3)))
    recipient = address_of(0xF00D)
    payload = await client.produce(suggested_fee_recipient=recipient)
    assert payload.fee_recipient == recipient
    state = client.chain.reader(client.chain.heads.head.state_root)
    assert state.get_balance(recipient) == 3 * 21_000 * 7


@pytest.mark.parametrize("kind", FEES)
async def test_prev_randao_opcode(client: Client, kind: str) -> None:
    client.engine.add(signed(**{**FEES[kind], "to": STORE_RANDAO, "gas": 100_000}))
    await client.produce(prev_randao=OTHER)
    state = client.chain.reader(client.chain.heads.head.state_root)
    assert state.slot(STORE_RANDAO, 0) == int.from_bytes(OTHER, "big")


# --- withdrawals ---


def withdrawal(index: int, amount: int = 1, to: Any = ADDRESSES[0]) -> Withdrawal:
    return Withdrawal(index=index, validator_index=0, address=to, amount=Gwei(amount))


@pytest.mark.parametrize(
    "amounts", [{}, {1: [5]}, {1: [5, 7], 2: [1]}, {3: [0]}, {n: [n] for n in range(1, 17)}]
)
async def test_withdrawals_credit_accounts(client: Client, amounts: dict[int, list[int]]) -> None:
    """None, one, several to one account, a zero one, one to each of sixteen."""
    pairs = [(account, each) for account, all_of in amounts.items() for each in all_of]
    wanted = tuple(
        withdrawal(index, amount, address_of(account))
        for index, (account, amount) in enumerate(pairs)
    )
    payload = await client.produce(withdrawals=wanted)
    assert payload.withdrawals == wanted
    state = client.chain.reader(client.chain.heads.head.state_root)
    for account, all_of in amounts.items():
        assert state.get_balance(address_of(account)) >= sum(all_of) * GWEI
    zero = [account for account, all_of in amounts.items() if not sum(all_of)]
    assert all(state.account(address_of(account)) is None for account in zero if account > 9)


async def test_withdrawals_are_undone_by_a_reorg(client: Client) -> None:
    account = address_of(0x1234)
    paid = await client.produce(withdrawals=(withdrawal(0, 9, account),))
    side = client.branch(client.chain.genesis_hash, 2)
    await client.fcu(side[1].block_hash)
    state = client.chain.reader(client.chain.heads.head.state_root)
    assert state.get_balance(account) == 0
    await client.fcu(paid.block_hash)
    state = client.chain.reader(client.chain.heads.head.state_root)
    assert state.get_balance(account) == 9 * GWEI


async def test_max_init_code_size(client: Client) -> None:
    fits = signed_raw(to=b"", data=b"\x00" * 49_152, gas=2_000_000)
    over = signed_raw(KEYS[1], to=b"", data=b"\x00" * 49_153, gas=2_000_000)
    client.engine.pool.admit(client.engine.pool.examine(fits))
    with pytest.raises(InvalidTransaction) as error:
        client.engine.pool.examine(over)
    assert error.value.reason is Reason.INIT_CODE_SIZE
    payload = await client.build()
    assert payload.transactions == (fits,)
    assert (await client.new_payload(sealed(payload, transactions=(over,))))["status"] == "INVALID"


async def test_payload_bodies_by_hash(client: Client) -> None:
    """Canonical, on the side, unknown, empty; in the order asked."""
    client.engine.add(signed())
    full = await client.produce(withdrawals=(withdrawal(0),))
    side = client.branch(client.chain.genesis_hash, 1)[0]
    wanted = [to_hex(each) for each in (side.block_hash, OTHER, full.block_hash)]
    first, missing, last = await client.call("engine_getPayloadBodiesByHashV1", wanted)
    assert first == {"transactions": [], "withdrawals": []}
    assert missing is None
    assert last["transactions"] == [to_hex(signed().raw)]
    assert last["withdrawals"] == [
        {
            "index": "0x0",
            "validatorIndex": "0x0",
            "address": to_hex(ADDRESSES[0]),
            "amount": "0x1",
        }
    ]
    assert await client.call("engine_getPayloadBodiesByHashV1", []) == []
    too_many = [to_hex(OTHER)] * (MAX_BODIES + 1)
    await refused(-38004, client.call("engine_getPayloadBodiesByHashV1", too_many))


async def test_payload_bodies_by_range(client: Client) -> None:
    client.branch(client.chain.genesis_hash, 6)
    made = []
    for nonce in range(4):
        client.engine.add(signed(nonce=nonce))
        made.append(await client.produce())

    async def bodies(start: int, count: int) -> list[Any]:
        answer = await client.call("engine_getPayloadBodiesByRangeV1", hex(start), hex(count))
        assert isinstance(answer, list)
        return [each["transactions"] for each in answer]

    shown = [[to_hex(raw) for raw in each.transactions] for each in made]
    assert await bodies(1, 4) == shown
    assert await bodies(2, 2) == shown[1:3]
    assert await bodies(3, 16) == shown[2:], "nothing beyond the head"
    assert await bodies(5, 3) == []
    many = await asyncio.gather(*(bodies(1, 4) for _ in range(10)))
    assert many == [shown] * 10
    for start, count in ((0, 1), (1, 0)):
        with pytest.raises(InvalidInput):
            await bodies(start, count)
    await refused(-38004, bodies(1, MAX_BODIES + 1))


# --- forks, blobs, requests ---


@pytest.mark.parametrize(
    "name", ["newPayloadV1", "newPayloadV2", "newPayloadV3", "getPayloadV2", "getPayloadV3"]
)
async def test_methods_of_earlier_forks_are_refused_by_name(client: Client, name: str) -> None:
    message = await refused(-38005, client.call(f"engine_{name}", "0x0000000000000000"))
    assert name in message


@pytest.mark.parametrize("version", ["V1", "V2"])
async def test_earlier_fcu_moves_the_head_and_refuses_attributes(
    client: Client, version: str
) -> None:
    payload = await client.build()
    await client.new_payload(payload)
    state = {
        "headBlockHash": to_hex(payload.block_hash),
        "safeBlockHash": to_hex(ZERO_HASH),
        "finalizedBlockHash": to_hex(ZERO_HASH),
    }
    method = f"engine_forkchoiceUpdated{version}"
    assert (await client.call(method, state, None))["payloadStatus"]["status"] == "VALID"
    assert client.head == payload.block_hash
    attributes = msgspec.to_builtins(attributes_to_wire(client.world.attributes()))
    await refused(-38005, client.call(method, state, attributes))


async def test_fcu_without_a_beacon_root_in_its_attributes(client: Client) -> None:
    wire = msgspec.to_builtins(attributes_to_wire(client.world.attributes()))
    del wire["parentBeaconBlockRoot"]
    state = ForkchoiceState(
        head_block_hash=client.head, safe_block_hash=ZERO_HASH, finalized_block_hash=ZERO_HASH
    )
    shown = {
        "headBlockHash": to_hex(state.head_block_hash),
        "safeBlockHash": to_hex(ZERO_HASH),
        "finalizedBlockHash": to_hex(ZERO_HASH),
    }
    await refused(-38003, client.call("engine_forkchoiceUpdatedV3", shown, wire))


@pytest.mark.parametrize("field", ["blobGasUsed", "excessBlobGas", "withdrawals", "stateRoot"])
@pytest.mark.parametrize("value", [None, "missing"])
async def test_new_payload_with_a_nil_field(client: Client, field: str, value: Any) -> None:
    wire = msgspec.to_builtins(payload_to_wire(await client.build()))
    wire[field] = None
    if value == "missing":
        del wire[field]
    with pytest.raises((InvalidInput, msgspec.ValidationError)):
        await client.call("engine_newPayloadV4", wire, [], to_hex(ROOT), [])


async def test_versioned_hashes_and_blob_transactions_are_refused(client: Client) -> None:
    payload = await client.build()
    wire = msgspec.to_builtins(payload_to_wire(payload))
    answer = await client.call("engine_newPayloadV4", wire, ["0x01" + "00" * 31], to_hex(ROOT), [])
    assert (answer["status"], answer["latestValidHash"]) == ("INVALID", None)
    blob = sealed(payload, transactions=(b"\x03" + b"\xc0",))
    assert (await client.new_payload(blob))["status"] == "INVALID"


async def test_execution_requests(client: Client) -> None:
    """Order, doubles, empty ones: -32602; well-formed but not the block's: INVALID without an
    ancestor, because the hash covers them."""
    payload = await client.build()
    malformed: tuple[tuple[str, ...], ...] = (
        ("0x01aa", "0x00aa"),
        ("0x00aa", "0x00bb"),
        ("0x00",),
        ("0x",),
    )
    for wrong in malformed:
        with pytest.raises(InvalidInput):
            await client.new_payload(payload, wrong)
    answer = await client.new_payload(payload, ("0x00aa",))
    assert (answer["status"], answer["latestValidHash"]) == ("INVALID", None)
    assert (await client.new_payload(payload))["status"] == "VALID"


# --- the builder ---


async def test_a_build_is_topped_up_until_it_is_asked_for(client: Client) -> None:
    first, second, late = signed(), signed(KEYS[1]), signed(KEYS[2])
    client.engine.add(first)
    answer = await client.fcu(client.head, client.world.attributes())
    client.engine.add(second)
    payload_id = bytes.fromhex(answer["payloadId"][2:])
    built = await client.engine.service.get_payload(payload_id)
    client.engine.add(late)
    again = await client.engine.service.get_payload(payload_id)
    assert built.payload.transactions == (first.raw, second.raw)
    assert again.payload == built.payload, "what was given away does not change"
    alone = await client.build(no_tx_pool=True)
    assert alone.transactions == ()


async def test_a_build_makes_way_for_a_block_of_another_node(
    tmp_path: Path, client: Client
) -> None:
    """A heavy transaction is interrupted in its middle, and stays in the pool."""
    limits = BuilderLimits(builder_time_s=600, max_block_bytes=524_288)
    (tmp_path / "slow").mkdir()
    world = make_world(tmp_path / "slow", CODES)
    with ThreadPoolExecutor(1) as worker:
        engine = Engine(world, worker, limits)
        slow = Client(engine)
        spin = signed(to=SPINNER, gas=9_900_000)
        engine.add(spin)
        answer = await slow.fcu(slow.head, world.attributes())
        other = await client.build()
        async with asyncio.timeout(60):
            assert (await slow.new_payload(other))["status"] == "VALID"
            payload_id = bytes.fromhex(answer["payloadId"][2:])
            built = await engine.service.get_payload(payload_id)
        assert built.payload.transactions in ((), (spin.raw,))
        assert engine.pool.get(spin.hash) is not None
        assert engine.pool.book.attempts(spin.hash) is None, "nothing is held against it"
    world.store.close()
