"""The dumb twin: unmodified py-evm imports the blocks that our state, trie and block loop make.

It re-executes each and compares every header field, so one wrong gas unit or trie node fails here.
"""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from dst.execution.block.body import BlockRun
from dst.execution.block.executed import ExecutedBlock
from dst.execution.environment import Engine
from dst.execution.interrupts import never
from dst.execution.state.commit import StateCommit
from dst.spec.beacon import Withdrawal
from dst.spec.primitives import Address, Gwei
from dst.transactions.transaction import Transaction
from tests.stock_pyevm import open_stock, to_stock
from tests.unit.execution.evm.arena import Cold, Hot
from tests.unit.execution.worlds import (
    ADDRESSES,
    CHAIN_ID,
    GWEI,
    KEYS,
    World,
    address_of,
    genesis_file,
    make_world,
    signed,
)

CONTRACTS = tuple(address_of(0xC0DE00 + number) for number in range(8))
SEEDS = range(12)
BLOCKS = 4
TRANSACTIONS = 12


def push(value: int) -> bytes:
    data = value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")
    return bytes([0x5F + len(data)]) + data


def word(rng: random.Random) -> int:
    return rng.choice([0, 1, 2, 3, 0xFF, rng.getrandbits(16), rng.getrandbits(256)])


def snippet(rng: random.Random) -> bytes:
    """A few instructions that leave the stack as it was, and often what they saw in storage."""
    target = rng.choice([*CONTRACTS, *ADDRESSES, address_of(rng.randrange(1, 12))])
    address = push(int.from_bytes(target, "big"))
    keep = push(rng.randrange(6)) + b"\x55"  # sstore(slot, top)
    call_end = push(rng.choice([0, 700, 30_000, 200_000]))
    match rng.randrange(20):
        case 0:
            return push(word(rng)) + keep
        case 1:
            return b"\x5a" + keep  # gas: any difference in gas becomes a difference in state
        case 2:
            return push(rng.randrange(6)) + b"\x54" + keep
        case 3:
            return address + b"\x31" + keep  # balance
        case 4:
            return address + rng.choice([b"\x3b", b"\x3f"]) + keep
        case 5:
            value = push(rng.choice([0, 0, 1, 7]))
            return (
                push(32)
                + push(0)
                + push(32)
                + push(0)
                + value
                + address
                + call_end
                + b"\xf1"
                + keep
            )
        case 6:
            opcode = rng.choice([b"\xf4", b"\xfa"])
            return push(32) + push(0) + push(4) + push(0) + address + call_end + opcode + keep
        case 7:
            topics = rng.randrange(5)
            return (
                b"".join(push(word(rng)) for _ in range(topics))
                + push(40)
                + push(0)
                + bytes([0xA0 + topics])
            )
        case 8:
            return push(word(rng)) + push(3) + b"\x5d" + push(3) + b"\x5c" + keep  # transient
        case 9:  # create: code that stores a byte and returns some code
            init = rng.choice([b"\x60\x01\x60\x00\x55\x60\x20\x60\x00\xf3", b"\xfe", b"\x33\xff"])
            return (
                push(int.from_bytes(init, "big"))
                + push(0)
                + b"\x52"
                + push(len(init))
                + push(32 - len(init))
                + push(rng.choice([0, 3]))
                + b"\xf0"
                + keep
            )
        case 10:
            return push(rng.randrange(8)) + b"\x40" + keep  # blockhash
        case 11:
            return push(64) + push(0) + b"\x20" + keep
        case 12:
            return push(word(rng)) + push(word(rng)) + bytes([rng.choice(ARITHMETIC)]) + keep
        case 13:
            return push(rng.randrange(200)) + rng.choice([b"\x35", b"\x51"]) + keep
        case 14:  # calldatacopy, codecopy, mcopy
            ranges = push(rng.randrange(80)) + push(rng.randrange(80)) + push(rng.randrange(400))
            return ranges + rng.choice([b"\x37", b"\x39", b"\x5e"])
        case 15:
            return push(word(rng)) + push(rng.randrange(300)) + rng.choice([b"\x52", b"\x53"])
        case 16:
            return (
                push(rng.choice([0, 2**255, rng.getrandbits(10)]))
                + b"\x5f\x52"
                + address
                + (b"\x3b" + keep)
            )
        case _:
            return rng.choice([b"\x3d" + keep, b"\x48" + keep, b"\x44" + keep, b"\x46" + keep])


ARITHMETIC = [*range(0x01, 0x08), 0x0A, 0x0B, *range(0x10, 0x15), *range(0x16, 0x19), 0x1A, 0x1D]


def looped(rng: random.Random, body: bytes, start: int) -> bytes:
    """Repeat the body a few times; `start` is where it will be."""
    count = push(rng.randrange(1, 14))
    back = (start + len(count)).to_bytes(2, "big")
    return count + b"\x5b" + body + b"\x60\x01\x90\x03\x80\x61" + back + b"\x57"


def program(rng: random.Random) -> bytes:
    body = b""
    for _ in range(rng.randrange(1, 9)):
        piece = snippet(rng)
        match rng.randrange(4):
            case 0:
                body += looped(rng, piece, len(body))
            case 1:  # jumped over when the caller sent data
                target = (len(body) + 5 + len(piece)).to_bytes(2, "big")
                body += b"\x36\x61" + target + b"\x57" + piece + b"\x5b"
            case _:
                body += piece
    end = rng.choice(
        [
            b"\x00",
            b"\x00",
            push(32) + push(0) + b"\xf3",
            push(4) + push(0) + b"\xfd",
            push(int.from_bytes(rng.choice(ADDRESSES), "big")) + b"\xff",
            b"\xfe",
        ]
    )
    return body + end


def random_transaction(rng: random.Random, key: bytes, nonce: int) -> Transaction:
    to: Any = rng.choice([*CONTRACTS, *CONTRACTS, rng.choice(ADDRESSES), address_of(0xAA), None])
    data = rng.randbytes(rng.choice([0, 4, 300]))
    fields: dict[str, Any] = {
        "nonce": nonce,
        "to": to,
        "value": rng.choice([0, 0, 5]),
        "gas": 600_000,
    }
    if to is None:
        fields["data"] = rng.choice([program(rng), b"\x60\x20\x60\x00\xf3", b""])
        fields["to"] = b""
    else:
        fields["data"] = data
    kind = rng.randrange(4)
    if kind == 0:
        fields |= {
            "type": None,
            "gasPrice": 3 * GWEI,
            "maxFeePerGas": None,
            "maxPriorityFeePerGas": None,
        }
    elif kind == 1:
        entry = {"address": Account.from_key(key).address, "storageKeys": ["0x" + "00" * 32]}
        fields["accessList"] = [entry]
    elif kind == 2 and to is not None:
        authority = rng.choice(KEYS)
        authorization = Account.from_key(authority).sign_authorization(
            {
                "chainId": rng.choice([0, CHAIN_ID, 5]),
                "address": rng.choice([*CONTRACTS, address_of(0)]),
                "nonce": rng.choice([nonce + 1, 0]),
            }
        )
        fields |= {"type": 4, "authorizationList": [authorization]}
    return signed(key, **fields)


@pytest.mark.filterwarnings("ignore:SELFDESTRUCT")
@pytest.mark.parametrize("seed", SEEDS)
def test_stock_pyevm_agrees_on_random_blocks(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    codes: dict[Address, bytes] = {address: program(rng) for address in CONTRACTS}
    world = make_world(tmp_path, codes)
    stock = open_stock(genesis_file(codes))
    assert stock.get_canonical_head().hash == world.genesis.header.hash

    for number in range(BLOCKS):
        reader = world.chain.reader(world.chain.heads.head.state_root)
        nonces = {
            key: reader.get_nonce(address) for key, address in zip(KEYS, ADDRESSES, strict=True)
        }
        candidates = []
        for _ in range(TRANSACTIONS):
            key = rng.choice(KEYS)
            candidates.append(random_transaction(rng, key, nonces[key]))
            nonces[key] += 1
        gift = Withdrawal(
            index=number,
            validator_index=0,
            address=rng.choice([*ADDRESSES, address_of(0xD0), CONTRACTS[0]]),
            amount=Gwei(rng.choice([0, 1, 10**9])),
        )
        block = world.extend(candidates, [gift])
        assert block.transactions
        imported = stock.import_block(to_stock(block)).imported_block
        assert imported.hash == block.hash
        execute_in_other_ways(world, block)
    world.store.close()


def execute_in_other_ways(world: World, block: ExecutedBlock) -> None:
    """Every block of code translated before it runs; none translated; py-evm over our state."""
    parent = world.chain.header(block.header.parent_hash)
    assert parent is not None
    environment = world.chain.environment(block.header)
    for way in (Hot, Cold, Engine.STOCK):
        run = BlockRun(
            world.chain.reader(parent.state_root),
            replace(environment, engine=way) if isinstance(way, Engine) else environment,
            never,
            computation_class=None if isinstance(way, Engine) else way,
        )
        for transaction in block.transactions:
            run.apply(transaction)
        result = run.finish(block.withdrawals)
        # py-evm also writes what was there already, so it makes more nodes of the same root.
        root = StateCommit(root=block.result.state.root)
        assert replace(result, state=StateCommit(root=result.state.root)) == replace(
            block.result, state=root
        )
