"""Blocks of one kind of transaction: transfers, token transfers, swaps, plain computing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from eth_account import Account

from dst.spec.primitives import Address
from dst.transactions.transaction import Transaction
from tests.benchmarks.execution import contracts
from tests.unit.execution.worlds import GWEI, address_of, signed

TOKEN_IN, TOKEN_OUT, POOL, COMPUTER = (address_of(0x7000 + number) for number in range(4))
_MANY: Final = 10**30
_TURNS: Final = 300
"""Of the computing loop: 23,000 gas or so."""

CODES: Final = {
    TOKEN_IN: contracts.token(),
    TOKEN_OUT: contracts.token(),
    POOL: contracts.pool(int.from_bytes(TOKEN_IN, "big"), int.from_bytes(TOKEN_OUT, "big")),
    COMPUTER: contracts.computing(),
}


def _word(address: bytes) -> int:
    return int.from_bytes(address, "big")


@cache
def sender(number: int) -> tuple[bytes, Address]:
    """Key and address of one of the accounts that send."""
    key = (0x5EED0000 + number).to_bytes(32, "big")
    return key, Address(bytes.fromhex(Account.from_key(key).address[2:]))


@dataclass
class Sending:
    """Signs, and counts nonces."""

    nonces: dict[int, int] = field(default_factory=dict)

    def sign(self, number: int, to: Address, data: bytes, gas: int, value: int = 0) -> Transaction:
        nonce = self.nonces.get(number, 0)
        self.nonces[number] = nonce + 1
        key, _ = sender(number)
        return signed(
            key, nonce=nonce, to=to, data=data, gas=gas, value=value, maxFeePerGas=1_000 * GWEI
        )


Make = Callable[[Sending, int, int], Transaction]
"""The transaction of a sender in a block."""


def transfer(sending: Sending, number: int, block: int) -> Transaction:
    """Each to an account of its own, new in the first block."""
    return sending.sign(number, address_of(0xACC0_0000 + number), b"", 21_000, 1 + block)


def token_transfer(sending: Sending, number: int, block: int) -> Transaction:
    to = _word(address_of(0xACC0_0000 + number))
    data = contracts.calldata(contracts.TRANSFER, to, 1_000 + block)
    return sending.sign(number, TOKEN_IN, data, 100_000)


def swap(sending: Sending, number: int, block: int) -> Transaction:
    data = contracts.calldata(contracts.SWAP, 10**15 + number + block)
    return sending.sign(number, POOL, data, 300_000)


def compute(sending: Sending, number: int, _: int) -> Transaction:
    return sending.sign(number, COMPUTER, _TURNS.to_bytes(32, "big"), 200_000)


LOADS: Final[dict[str, Make]] = {
    "transfers": transfer,
    "ERC-20": token_transfer,
    "swap": swap,
    "plain computing": compute,
}


def preparation(sending: Sending, senders: int) -> list[Sequence[Transaction]]:
    """Blocks that give tokens to the senders and the pool, allowances, and reserves."""
    pool = _word(POOL)
    minting = [
        sending.sign(
            number,
            TOKEN_IN,
            contracts.calldata(contracts.MINT, _word(sender(number)[1]), _MANY),
            100_000,
        )
        for number in range(senders)
    ]
    allowing = [
        sending.sign(number, TOKEN_IN, contracts.calldata(contracts.APPROVE, pool, _MANY), 100_000)
        for number in range(senders)
    ]
    stocking = [
        sending.sign(0, TOKEN_OUT, contracts.calldata(contracts.MINT, pool, _MANY), 100_000),
        sending.sign(0, POOL, contracts.calldata(contracts.SYNC, 10**24, 10**24), 150_000),
    ]
    return [minting, [*allowing, *stocking]]
