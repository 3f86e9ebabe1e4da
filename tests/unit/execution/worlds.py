"""A chain on disk in a temporary folder, with funded keys, and ways to make blocks on it."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from eth_account import Account

from dst.apis.engine import PayloadAttributes
from dst.execution.block.builder import Build, BuilderLimits, build_block
from dst.execution.block.call_run import CallOutcome, CallRun
from dst.execution.block.executed import ExecutedBlock
from dst.execution.chain import Chain
from dst.execution.environment import Interrupt
from dst.execution.genesis import Genesis, prague_genesis, read_genesis
from dst.execution.interrupts import never
from dst.execution.pruning import ARCHIVE, Retention
from dst.execution.store import open_store
from dst.spec.beacon import Withdrawal
from dst.spec.primitives import ZERO_HASH, Address, Hash32
from dst.transactions.transaction import Transaction, decode_transaction

CHAIN_ID = 901
GWEI = 10**9
GENESIS_TIME = 1_000
KEYS = tuple(bytes([number]) * 32 for number in range(1, 6))
ADDRESSES = tuple(Address(bytes.fromhex(Account.from_key(key).address[2:])) for key in KEYS)
RICH = 10**24
LIMITS = BuilderLimits(builder_time_s=30, max_block_bytes=524_288)
"""Time enough that a busy machine changes no test."""


def address_of(number: int) -> Address:
    return Address(number.to_bytes(20, "big"))


def signed(key: bytes = KEYS[0], **fields: Any) -> Transaction:
    return decode_transaction(signed_raw(key, **fields))


def signed_raw(key: bytes = KEYS[0], **fields: Any) -> bytes:
    """A dynamic-fee transfer unless told otherwise; a field of None is left out."""
    base: dict[str, Any] = {
        "type": 2,
        "chainId": CHAIN_ID,
        "nonce": 0,
        "maxFeePerGas": 2 * GWEI,
        "maxPriorityFeePerGas": 1,
        "gas": 21_000,
        "to": address_of(0xBB),
        "value": 1,
        "data": b"",
    }
    wanted = {name: value for name, value in {**base, **fields}.items() if value is not None}
    return bytes(Account.sign_transaction(wanted, key).raw_transaction)


class World:
    """One chain and what tests do to it."""

    def __init__(self, folder: Path, genesis: Genesis, retention: Retention = ARCHIVE) -> None:
        self.folder, self.genesis, self.retention = folder, genesis, retention
        self.open()

    def open(self) -> None:
        self.store = open_store(self.folder)
        self.chain = Chain(self.store, self.genesis, self.retention)

    def reopen(self) -> None:
        self.store.close()
        self.open()

    def attributes(self, parent: Hash32 | None = None, **changes: Any) -> PayloadAttributes:
        header = self.chain.header(parent or self.chain.heads.head_hash)
        assert header is not None
        fields: dict[str, Any] = {
            "timestamp": header.timestamp + 2,
            "prev_randao": Hash32(b"\x11" * 32),
            "suggested_fee_recipient": address_of(0xFE),
            "parent_beacon_block_root": Hash32(b"\x22" * 32),
            **changes,
        }
        return PayloadAttributes(**fields)

    def build(
        self,
        candidates: Sequence[Transaction] = (),
        *,
        parent: Hash32 | None = None,
        limits: BuilderLimits = LIMITS,
        **changes: Any,
    ) -> Build:
        parent = parent or self.chain.heads.head_hash
        return build_block(
            self.chain, parent, self.attributes(parent, **changes), candidates, limits
        )

    def extend(
        self,
        candidates: Sequence[Transaction] = (),
        withdrawals: Iterable[Withdrawal] = (),
        parent: Hash32 | None = None,
        **changes: Any,
    ) -> ExecutedBlock:
        """Build, execute again as another node would, store, and make it the head."""
        built = self.build(
            candidates, withdrawals=tuple(withdrawals), parent=parent, **changes
        ).block
        again = self.execute(built)
        assert again.result == built.result
        self.chain.insert(built)
        self.chain.set_forkchoice(built.hash, ZERO_HASH, ZERO_HASH)
        return built

    def execute(self, block: ExecutedBlock) -> ExecutedBlock:
        raws = [each.raw for each in block.transactions]
        return self.chain.execute(block.header, raws, block.withdrawals, never)


def call(
    world: World,
    to: Address,
    data: bytes = b"",
    *,
    sender: Address = ADDRESSES[0],
    value: int = 0,
    gas: int = 9_000_000,
    interrupt: Interrupt = never,
) -> CallOutcome:
    """What a free message does on the head, as eth_call runs it. Raises: CallRefused."""
    head = world.chain.heads.head
    message = Transaction(
        raw=b"",
        hash=ZERO_HASH,
        sender=sender,
        type_id=2,
        chain_id=CHAIN_ID,
        nonce=0,
        max_priority_fee_per_gas=0,
        max_fee_per_gas=0,
        gas=gas,
        to=to,
        value=value,
        data=data,
        v=0,
        r=0,
        s=0,
    )
    run = CallRun(world.chain.reader(head.state_root), world.chain.environment(head), interrupt)
    return run.call(message)


def make_world(folder: Path, codes: dict[Address, bytes] | None = None, **extra: Any) -> World:
    return World(folder, read_genesis(genesis_file(codes, **extra)))


def genesis_file(codes: dict[Address, bytes] | None = None, **extra: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "chain_id": CHAIN_ID,
        "timestamp": GENESIS_TIME,
        "gas_limit": 10_000_000,
        "balances": dict.fromkeys(ADDRESSES, RICH),
        "codes": codes,
        **extra,
    }
    return prague_genesis(**fields)
