"""A register and a bank in one contract, written and read through JSON-RPC while faults stand.

Two clients write: the register is set to values that are never used twice, coins move between
accounts of the bank, now and then more than there are, which must change nothing. At every node,
followers too, a third one reads all of it at once together with the block that it is read at, and
asks for receipts. `checkers.linearizable` says what all of it must be.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import rlp
from eth_utils.crypto import keccak

from devnet.model.clock import now
from devnet.model.history import ObjectRead, ObjectWrite, Record
from devnet.model.work import BANK_ACCOUNTS, BANK_COINS
from devnet.probes.chain import read_receipt
from devnet.probes.rpc import RpcRefused, RpcUnknown
from devnet.workload.hostile.assembly import Code
from devnet.workload.load import SenderLoop, prepare_senders
from devnet.workload.sender import Endpoint, Sender

WORD: Final = 32
WRITE_SECONDS: Final = 2.0
"""Between writes of a writer."""
READ_SECONDS: Final = 1.0
"""Between reads at a node."""
CALL_GAS: Final = 120_000
CREATE_GAS: Final = 400_000
RECEIPTS_OPEN: Final = 64
"""Writes that a reader still waits for a receipt of; what is older is left to the end of the
run."""


def runtime() -> bytes:
    """Calldata of no byte: returns number, register, balances. Of one word: sets the register. Of
    three: moves (from, to, amount), accounts counted from 1, or reverts."""
    code = Code().op("CALLDATASIZE").push_label("write").op("JUMPI")
    code.op("NUMBER").push(0).op("MSTORE")
    for slot in range(BANK_ACCOUNTS + 1):
        code.push(slot).op("SLOAD").push(WORD * (slot + 1)).op("MSTORE")
    code.push(WORD * (BANK_ACCOUNTS + 2), 0).op("RETURN")
    code.jumpdest("write").push(WORD).op("CALLDATASIZE", "GT").push_label("move").op("JUMPI")
    code.push(0).op("CALLDATALOAD").push(0).op("SSTORE", "STOP")
    code.jumpdest("move").push(2 * WORD).op("CALLDATALOAD").push(0).op("CALLDATALOAD", "SLOAD")
    # balance, amount (below it)
    code.op("DUP2", "DUP2", "LT").push_label("poor").op("JUMPI")
    code.op("SUB").push(0).op("CALLDATALOAD", "SSTORE")
    code.push(2 * WORD).op("CALLDATALOAD").push(WORD).op("CALLDATALOAD", "SLOAD", "ADD")
    code.push(WORD).op("CALLDATALOAD", "SSTORE", "STOP")
    return code.jumpdest("poor").push(0, 0).op("REVERT").build()


def init_code() -> bytes:
    code = Code()
    for account in range(1, BANK_ACCOUNTS + 1):
        code.push(BANK_COINS, account).op("SSTORE")
    return code.copy_data(runtime()).push(len(runtime()), 0).op("RETURN").build()


def words(*values: int) -> bytes:
    return b"".join(value.to_bytes(WORD, "big") for value in values)


def numbers(data: bytes) -> list[int]:
    """The other way round."""
    return [int.from_bytes(data[at : at + WORD], "big") for at in range(0, len(data), WORD)]


@dataclass
class Objects:
    """What the clients of one run share."""

    record: Callable[[Record], None]
    address: str = ""
    """Of the contract; known once its creation is signed."""
    written: list[str] = field(default_factory=list)
    """Hashes, oldest first."""


class Writer(Sender):
    """Its first transaction creates the contract, if nobody's has."""

    def __init__(self, objects: Objects, number: int, **account: Any) -> None:
        super().__init__(**account)
        self._objects = objects
        self._draws = random.Random(f"{account['seed']}-objects")
        self._number, self._turn = number, 0

    def content(self) -> dict[str, Any]:
        if not self._objects.address:
            self._objects.address = created_by(self.address, self.next_nonce)
            return {"data": init_code(), "value": 0, "gas": CREATE_GAS}
        self._turn += 1
        if self._turn % 2:
            data = words(self._turn << 16 | self._number + 1)
        else:
            giver, taker = self._draws.sample(range(1, BANK_ACCOUNTS + 1), 2)
            data = words(giver, taker, self._draws.randrange(1, BANK_COINS))
        to = bytes.fromhex(self._objects.address[2:])
        return {"to": to, "data": data, "value": 0, "gas": CALL_GAS}

    def signed(self, transaction: str, content: dict[str, Any]) -> None:
        arguments = tuple(numbers(content["data"])) if "to" in content else ()
        self._objects.written.append(transaction)
        self._objects.record(
            ObjectWrite(transaction=transaction, arguments=arguments, monotonic=now())
        )


def created_by(address: str, nonce: int) -> str:
    """Address of the contract that this transaction creates."""
    return "0x" + bytes(keccak(rlp.encode([bytes.fromhex(address[2:]), nonce]))[12:]).hex()


class Reader:
    """At one node, through its JSON-RPC."""

    def __init__(self, endpoint: Endpoint, objects: Objects) -> None:
        self._endpoint, self._objects = endpoint, objects
        self._confirmed = 0
        """Of `objects.written`: so many have a receipt here, or were given up."""

    async def run(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(READ_SECONDS)

    async def look(self) -> None:
        if not self._objects.address:
            return
        await self._receipts()
        asked = now()
        try:
            call = {"to": self._objects.address, "data": "0x"}
            answer = str(await self._endpoint.call("eth_call", call, "latest"))
            height, register, *balances = _answered(answer) if answer != "0x" else (0, 0)
        except (RpcRefused, RpcUnknown, ValueError):
            return
        self._objects.record(
            ObjectRead(
                node=self._endpoint.name,
                asked=asked,
                monotonic=now(),
                height=height,
                register=register,
                balances=tuple(balances),
            )
        )

    async def _receipts(self) -> None:
        """Of the writes in turn, to the first that has none here yet."""
        written = self._objects.written
        self._confirmed = max(self._confirmed, len(written) - RECEIPTS_OPEN)
        while self._confirmed < len(written):
            seen = await read_receipt(self._endpoint, written[self._confirmed])
            if seen is None:
                return
            self._confirmed += 1
            self._objects.record(seen)


def _answered(answer: str) -> list[int]:
    """Raises: ValueError for what is no answer of the contract."""
    data = bytes.fromhex(answer.removeprefix("0x"))
    if len(data) != WORD * (BANK_ACCOUNTS + 2):
        raise ValueError(f"{len(data)} bytes")
    return numbers(data)


async def use_objects(
    writers: Sequence[Endpoint],
    readers: Sequence[Endpoint],
    keys: Sequence[str],
    chain_id: int,
    seed: int,
    record: Callable[[Record], None],
) -> None:
    """Until cancelled. keys: one a writer."""
    objects = Objects(record)
    senders = await prepare_senders(writers, keys, chain_id, seed, partial(Writer, objects))
    async with asyncio.TaskGroup() as tasks:
        for number, sender in enumerate(senders):
            loop = SenderLoop(sender, writers, number, record, WRITE_SECONDS)
            tasks.create_task(loop.run(), name=f"write-{number}")
        for endpoint in readers:
            tasks.create_task(Reader(endpoint, objects).run(), name=f"read-{endpoint.name}")
