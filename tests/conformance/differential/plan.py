"""A plan: everything that one differential run does, as one value that prints, replays and shrinks.

A transaction names no nonce: it gets the one that is right when its turn comes, so that leaving out
its neighbours keeps it valid.
"""

from dataclasses import dataclass, field
from typing import Any

from eth_account import Account

from dst.execution.genesis import prague_genesis
from dst.spec.primitives import Address
from tests.conformance.differential.code import Program, assemble

CHAIN_ID = 901
GWEI = 10**9
GENESIS_TIME = 1_000
GAS_LIMIT = 30_000_000
KEYS = tuple(bytes([number]) * 32 for number in range(1, 6))
SENDERS = tuple(Address(bytes.fromhex(Account.from_key(key).address[2:])) for key in KEYS)
RICH = 10**24


@dataclass(frozen=True, slots=True)
class Contract:
    address: Address
    code: Program | bytes
    balance: int = 0
    storage: tuple[tuple[int, int], ...] = ()

    def bytecode(self) -> bytes:
        return assemble(self.code) if isinstance(self.code, Program) else self.code


@dataclass(frozen=True, slots=True)
class Authorization:
    """EIP-7702; `nonce_offset` from the authority's right one: only 0 takes effect."""

    authority: int
    address: Address
    chain_id: int = CHAIN_ID
    nonce_offset: int = 0


@dataclass(frozen=True, slots=True)
class PlannedTransaction:
    sender: int
    type_id: int
    to: Address | None
    """None: a creation, whose init code is `data`."""
    value: int
    gas: int
    data: bytes | Program
    tip: int = 1
    fee: int = 3 * GWEI
    access_list: tuple[tuple[Address, tuple[int, ...]], ...] = ()
    authorizations: tuple[Authorization, ...] = ()

    def calldata(self) -> bytes:
        return assemble(self.data) if isinstance(self.data, Program) else self.data


@dataclass(frozen=True, slots=True)
class PlannedBlock:
    transactions: tuple[PlannedTransaction, ...]
    fee_recipient: Address
    withdrawals: tuple[tuple[Address, int], ...] = ()
    """(address, gwei)."""


@dataclass(frozen=True, slots=True)
class Plan:
    contracts: tuple[Contract, ...]
    blocks: tuple[PlannedBlock, ...]
    seed: int = field(default=0, metadata={"fixed": True})

    def genesis(self) -> dict[str, Any]:
        """A genesis file that ours, and a stock geth, take."""
        file = prague_genesis(
            chain_id=CHAIN_ID,
            timestamp=GENESIS_TIME,
            gas_limit=GAS_LIMIT,
            balances=dict.fromkeys(SENDERS, RICH),
        )
        for each in self.contracts:
            file["alloc"]["0x" + each.address.hex()] = {
                "balance": hex(each.balance),
                "nonce": "0x1",
                "code": "0x" + each.bytecode().hex(),
                "storage": {f"0x{slot:064x}": f"0x{value:064x}" for slot, value in each.storage},
            }
        return file


def address_of(number: int) -> Address:
    return Address(number.to_bytes(20, "big"))
