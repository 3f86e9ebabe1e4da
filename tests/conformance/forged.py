"""Blocks that are right in every root and break one rule, and their twins that stay just within it.

Published invalid blocks carry the roots of a chain on which the rule held, so a node that lost the
rule refuses most of them all the same, by a root. These were made by a run without the rule: only
the rule refuses them. One genesis for all, each block is its first.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any, Final
from unittest import mock

from eth_account import Account

from dst.execution.block import body
from dst.execution.block.body import BlockRun
from dst.execution.block.executed import ExecutedBlock, assembled
from dst.execution.block.requests import DEPOSIT_CONTRACT_ADDRESS, DEPOSIT_EVENT_TOPIC
from dst.execution.chain import Chain
from dst.execution.evm.computation import EvmComputation
from dst.execution.header import Header, next_base_fee
from dst.execution.interrupts import never
from dst.execution.receipts import Receipt
from dst.spec.primitives import Address, Hash32
from dst.transactions.gas import GAS_REFUND_PER_KNOWN_AUTHORITY, intrinsic_gas
from dst.transactions.transaction import (
    Authorization,
    Transaction,
    authority_of,
    decode_transaction,
)
from tests.unit.execution.test_invalid_blocks import dynamic_fields, self_signed
from tests.unit.execution.worlds import (
    ADDRESSES,
    CHAIN_ID,
    GWEI,
    KEYS,
    RICH,
    address_of,
    genesis_file,
    signed,
)

GAS_LIMIT: Final = 10_000_000
BASE_FEE: Final = GWEI * 7 // 8
"""Of the first block: genesis was empty."""
POOR, CODED, DELEGATED, ALMOST, LAST, FULL, USED = (
    bytes([number]) * 32 for number in range(0x71, 0x78)
)
"""Keys of accounts at an edge: what each has stands in `genesis`."""
POOR_WEI: Final = 21_000 * 2 * GWEI
LEGACY: Final[dict[str, Any]] = {
    "type": None,
    "maxFeePerGas": None,
    "maxPriorityFeePerGas": None,
    "gasPrice": 2 * GWEI,
}


def genesis() -> dict[str, Any]:
    """A genesis file that ours, and a stock geth, take."""
    file = genesis_file({DEPOSIT_CONTRACT: ECHO_AS_DEPOSIT}, gas_limit=GAS_LIMIT)
    file["config"]["depositContractAddress"] = "0x" + DEPOSIT_CONTRACT.hex()  # geth asks
    accounts: dict[bytes, dict[str, str]] = {
        POOR: {"balance": hex(POOR_WEI)},
        CODED: {"balance": hex(RICH), "nonce": "0x1", "code": "0x00"},
        DELEGATED: {"balance": hex(RICH), "code": "0xef0100" + "ab" * 20},
        ALMOST: {"balance": hex(RICH), "code": "0xef0100" + "ab" * 21},
        LAST: {"balance": hex(RICH), "nonce": hex(2**64 - 2)},
        FULL: {"balance": hex(RICH), "nonce": hex(2**64 - 1)},
        USED: {"balance": hex(RICH), "nonce": "0x5"},
    }
    for key, account in accounts.items():
        file["alloc"][Account.from_key(key).address.lower()] = account
    return file


DEPOSIT_CONTRACT: Final = Address(DEPOSIT_CONTRACT_ADDRESS)
ECHO_AS_DEPOSIT: Final = (
    bytes.fromhex("365f5f377f") + DEPOSIT_EVENT_TOPIC + bytes.fromhex("365fa100")
)
"""Logs what it is called with as if it were a deposit (EIP-6110)."""


def deposit_event(tail: bytes = b"", **words: int) -> bytes:
    """The event's data; `words`: other values at these positions, named `at<byte>`."""
    fields = (48, 32, 8, 96, 8)
    starts = (160, 256, 320, 384, 512)
    data = bytearray(576)
    for at, start, size in zip(range(0, 160, 32), starts, fields, strict=True):
        data[at : at + 32] = start.to_bytes(32, "big")
        data[start : start + 32] = size.to_bytes(32, "big")
        data[start + 32 : start + 32 + size] = b"\x5a" * size
    for name, value in words.items():
        at = int(name.removeprefix("at"))
        data[at : at + 32] = value.to_bytes(32, "big")
    return bytes(data) + tail


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgery:
    """Transactions of the block, and what its header says other than it should."""

    transactions: Callable[[], Sequence[Transaction]] = tuple
    header: Mapping[str, Any] = field(default_factory=dict)
    """Executed with it."""
    refused: str | None = None
    """Words of the rule; None: the block is valid."""
    not_geths: str | None = None
    """Why geth is no judge of it."""


def _one(**fields: Any) -> Callable[[], Sequence[Transaction]]:
    key = fields.pop("key", KEYS[0])
    return lambda: (signed(key, **fields),)


def _by_hand(type_id: int, *tail: Any, **fields: Any) -> Callable[[], Sequence[Transaction]]:
    return lambda: (
        decode_transaction(self_signed(type_id, [*dynamic_fields(**fields), [], *tail])),
    )


def _deposit(tail: bytes = b"", **words: int) -> Callable[[], Sequence[Transaction]]:
    data = deposit_event(tail, **words)
    return _one(to=DEPOSIT_CONTRACT, value=0, data=data, gas=200_000)


OTHERWISE: Final = "executed"
"""A rule of execution was broken: gas or a root is not what it claims."""
LENGTH_ONLY: Final = "geth looks at the length of a deposit event, not at its layout"
LAYOUT: Final = "deposit event with an invalid layout"
CALLDATA: Final = b"\x01" * 1_000
FLOOR: Final = 21_000 + 40 * len(CALLDATA)


def _authorized(key: bytes, nonce: int, chain_id: int = CHAIN_ID) -> Callable[[], Any]:
    """With one authorization, by the account of `key`."""
    authorization = Account.from_key(key).sign_authorization(
        {"chainId": chain_id, "address": address_of(0xAB), "nonce": nonce}
    )
    return _one(type=4, gas=100_000, authorizationList=[authorization])


BAD_AUTHORIZATION: Final = [b"\x01", address_of(0xAB), b"", b"", b"\x01", b"\x01"]

CASES: Final[Mapping[str, Forgery]] = {
    # the chain
    "typed, this chain": Forgery(transactions=_one()),
    "typed, another chain": Forgery(
        transactions=_one(chainId=CHAIN_ID + 1), refused="invalid chain id"
    ),
    "legacy, this chain": Forgery(transactions=_one(**LEGACY)),
    "legacy, another chain": Forgery(
        transactions=_one(**LEGACY, chainId=CHAIN_ID + 1), refused="invalid chain id"
    ),
    "legacy, any chain": Forgery(transactions=_one(**LEGACY, chainId=None)),
    # fees
    "tip as high as the cap": Forgery(transactions=_by_hand(2, tip=2 * GWEI)),
    "tip above the cap": Forgery(
        transactions=_by_hand(2, tip=2 * GWEI + 1), refused="max priority fee per gas higher"
    ),
    "cap at the base fee": Forgery(
        transactions=_one(maxFeePerGas=BASE_FEE, maxPriorityFeePerGas=0)
    ),
    "cap below the base fee": Forgery(
        transactions=_one(maxFeePerGas=BASE_FEE - 1, maxPriorityFeePerGas=0),
        refused="less than block base fee",
    ),
    "price below the base fee": Forgery(
        transactions=_one(**{**LEGACY, "gasPrice": BASE_FEE - 1}),
        refused="less than block base fee",
    ),
    # funds
    "all that the sender owns": Forgery(transactions=_one(key=POOR, value=0)),
    "a wei more than the sender owns": Forgery(
        transactions=_one(key=POOR, value=1), refused="insufficient funds"
    ),
    # nonces
    "the next nonce": Forgery(transactions=_one(key=USED, nonce=5)),
    "a nonce again": Forgery(transactions=_one(key=USED, nonce=4), refused="nonce too low"),
    "a nonce left out": Forgery(transactions=_one(key=USED, nonce=6), refused="nonce too high"),
    "the last nonce": Forgery(transactions=_one(key=LAST, nonce=2**64 - 2)),
    "a nonce after the last": Forgery(
        transactions=_one(key=FULL, nonce=2**64 - 1), refused="nonce has max value"
    ),
    "a transaction twice": Forgery(
        transactions=lambda: (signed(), signed()), refused="nonce too low"
    ),
    # senders (EIP-3607, EIP-7702)
    "sender has code": Forgery(transactions=_one(key=CODED, nonce=1), refused="sender not an eoa"),
    "sender has delegated": Forgery(transactions=_one(key=DELEGATED)),
    "sender has code like a delegation": Forgery(
        transactions=_one(key=ALMOST), refused="sender not an eoa"
    ),
    # gas
    "intrinsic gas": Forgery(transactions=_one(gas=21_000)),
    "less than intrinsic gas": Forgery(
        transactions=_one(gas=20_999), refused="intrinsic gas too low"
    ),
    "the floor of calldata": Forgery(transactions=_one(data=CALLDATA, gas=FLOOR)),
    "less than the floor of calldata": Forgery(
        transactions=_one(data=CALLDATA, gas=FLOOR - 1), refused="floor data gas"
    ),
    "init code of 48 KB": Forgery(
        transactions=_one(to=b"", value=0, data=bytes(49_152), gas=5_000_000)
    ),
    "init code of 48 KB and a byte": Forgery(
        transactions=_one(to=b"", value=0, data=bytes(49_153), gas=5_000_000),
        refused="max initcode size",
    ),
    "all gas of the block": Forgery(transactions=_one(gas=GAS_LIMIT)),
    "more gas than a block has": Forgery(
        transactions=_one(gas=GAS_LIMIT + 1), refused="gas limit reached"
    ),
    "more gas than the block has left": Forgery(
        transactions=lambda: (signed(), signed(KEYS[1], gas=GAS_LIMIT - 20_999)),
        refused="gas limit reached",
    ),
    "all gas that the block has left": Forgery(
        transactions=lambda: (signed(), signed(KEYS[1], gas=GAS_LIMIT - 21_000))
    ),
    # authorizations
    "an authorization that does not hold": Forgery(transactions=_by_hand(4, [BAD_AUTHORIZATION])),
    "no authorizations": Forgery(transactions=_by_hand(4, []), refused="empty auth list"),
    "an authorization": Forgery(transactions=_authorized(KEYS[1], 0)),
    "an authorization of any chain": Forgery(transactions=_authorized(KEYS[1], 0, chain_id=0)),
    "an authorization anew": Forgery(transactions=_authorized(DELEGATED, 0)),
    "an authorization of another chain holds": Forgery(
        transactions=_authorized(KEYS[1], 0, CHAIN_ID + 1), refused=OTHERWISE
    ),
    "an authorization with a later nonce holds": Forgery(
        transactions=_authorized(KEYS[1], 1), refused=OTHERWISE
    ),
    "an authorization with a used nonce holds": Forgery(
        transactions=_authorized(USED, 4), refused=OTHERWISE
    ),
    "an authorization with the nonce after the last holds": Forgery(
        transactions=_authorized(FULL, 2**64 - 1), refused=OTHERWISE
    ),
    "an authorization of an account with code holds": Forgery(
        transactions=_authorized(CODED, 1), refused=OTHERWISE
    ),
    "an authorization of code like a delegation holds": Forgery(
        transactions=_authorized(ALMOST, 0), refused=OTHERWISE
    ),
    # deposits
    "a deposit": Forgery(transactions=_deposit()),
    "a deposit and a byte": Forgery(transactions=_deposit(b"\0"), refused=LAYOUT),
    "a deposit and a word": Forgery(transactions=_deposit(bytes(32)), refused=LAYOUT),
    "a deposit with a field elsewhere": Forgery(
        transactions=_deposit(at32=288), refused=LAYOUT, not_geths=LENGTH_ONLY
    ),
    "a deposit with a longer key": Forgery(
        transactions=_deposit(at160=49), refused=LAYOUT, not_geths=LENGTH_ONLY
    ),
    "a deposit with a shorter index": Forgery(
        transactions=_deposit(at512=7), refused=LAYOUT, not_geths=LENGTH_ONLY
    ),
    # headers
    "base fee as it follows": Forgery(),
    "base fee too low": Forgery(header={"base_fee_per_gas": BASE_FEE - 1}, refused="base fee"),
    "base fee too high": Forgery(header={"base_fee_per_gas": BASE_FEE + 1}, refused="base fee"),
    "a second later": Forgery(header={"timestamp": 1_001}),
    "at its parent's second": Forgery(header={"timestamp": 1_000}, refused="timestamp"),
    "gas limit as far up as it goes": Forgery(header={"gas_limit": GAS_LIMIT + 9_764}),
    "gas limit too far up": Forgery(header={"gas_limit": GAS_LIMIT + 9_765}, refused="gas limit"),
    "gas limit as far down as it goes": Forgery(header={"gas_limit": GAS_LIMIT - 9_764}),
    "gas limit too far down": Forgery(header={"gas_limit": GAS_LIMIT - 9_765}, refused="gas limit"),
    "a number left out": Forgery(header={"number": 2}, refused="block number"),
    "blob gas used": Forgery(header={"blob_gas_used": 131_072}, refused="blob gas"),
    "excess blob gas": Forgery(header={"excess_blob_gas": 131_072}, refused="blob gas"),
    "32 bytes of extra data": Forgery(header={"extra_data": b"x" * 32}),
}


def forge(chain: Chain, case: Forgery) -> ExecutedBlock:
    """The block as a node without the rules makes it, on the genesis."""
    parent = chain.heads.head
    draft = Header(
        parent_hash=chain.heads.head_hash,
        fee_recipient=ADDRESSES[1],  # owns enough for a negative tip
        state_root=parent.state_root,
        number=1,
        gas_limit=parent.gas_limit,
        timestamp=parent.timestamp + 2,
        extra_data=b"forged",
        prev_randao=Hash32(b"\x11" * 32),
        base_fee_per_gas=next_base_fee(parent),
        parent_beacon_block_root=Hash32(b"\x22" * 32),
    )
    draft = replace(draft, **case.header)
    transactions = tuple(case.transactions())
    with _no_rules(case.refused):
        run = BlockRun(chain.reader(parent.state_root), chain.environment(draft), never)
        for each in transactions:
            run.apply(each)
        result = run.finish()
    return assembled(draft, transactions, (), result)


def _whatever_stands_there(receipts: Iterable[Receipt]) -> Iterator[bytes]:
    """Deposit requests of events of any layout."""
    for receipt in receipts:
        for log in receipt.logs:
            if log.address == DEPOSIT_CONTRACT:
                parts = ((192, 48), (288, 32), (352, 8), (416, 96), (544, 8))
                yield b"".join(log.data[at : at + size] for at, size in parts)


def _authorized_whatever_it_says(run: BlockRun, authorization: Authorization) -> int:
    authority = authority_of(authorization)
    assert authority is not None
    run.accounts.mark_address_warm(authority)
    run.accounts.set_code(authority, b"\xef\x01\x00" + authorization.address)
    run.accounts.increment_nonce(authority)
    return GAS_REFUND_PER_KNOWN_AUTHORITY


def _no_rules(refused: str | None) -> ExitStack:
    stack = ExitStack()
    if refused == OTHERWISE:
        stack.enter_context(mock.patch.object(BlockRun, "_delegate", _authorized_whatever_it_says))
    for target, name, other in (
        (body, "check_in_block", lambda *_, **__: None),
        (body, "intrinsic_gas", lambda each: min(each.gas, intrinsic_gas(each))),
        (EvmComputation, "validate_create_message", lambda _: None),
        (body, "deposit_requests", _whatever_stands_there),
    ):
        stack.enter_context(mock.patch.object(target, name, other))
    return stack
