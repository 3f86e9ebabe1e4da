"""Register and bank: the contract is what the checker takes it for, and its clients tell what they
did."""

from typing import Any

from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from devnet.checkers.linearizable import Objects as Specification
from devnet.model.history import ObjectRead, ObjectWrite, ReceiptSeen, Record
from devnet.model.work import BANK_ACCOUNTS
from devnet.probes.rpc import RpcUnknown
from devnet.workload.objects import (
    Objects,
    Reader,
    Writer,
    created_by,
    init_code,
    runtime,
    words,
)
from tests.unit.chaos.contract_machine import Machine

KEY = "0x" + "22" * 32

moves = st.tuples(st.integers(1, BANK_ACCOUNTS), st.integers(1, BANK_ACCOUNTS), st.integers(0, 250))
sets = st.tuples(st.integers(0, 2**256 - 1))


@settings(deadline=None)
@given(st.lists(st.one_of(moves, sets), max_size=12))
def test_the_contract_does_what_the_specification_says(writes: list[tuple[int, ...]]) -> None:
    machine, specification = Machine(init_code()), Specification()
    specification.apply(())
    assert machine.code == runtime()
    for arguments in writes:
        machine.call(words(*arguments))
        specification.apply(arguments)
        number, register, *balances = machine.read()
        assert number == machine.number
        assert (register, tuple(balances)) == (specification.register, specification.balances)


class Node:
    """A JSON-RPC over one contract machine."""

    name = "op1"

    def __init__(self) -> None:
        self.machine: Machine | None = None
        self.receipts: dict[str, int] = {}
        self.asked: list[str] = []

    async def call(self, method: str, *params: Any) -> Any:
        self.asked.append(method)
        if method == "eth_getTransactionReceipt":
            height = self.receipts.get(params[0])
            if height is None:
                return None
            return {"blockHash": "0xb", "blockNumber": hex(height), "transactionIndex": "0x0"}
        assert (method, params[1]) == ("eth_call", "latest")
        if self.machine is None:
            return "0x"
        answer = self.machine.call(bytes.fromhex(params[0]["data"][2:]))
        assert answer is not None
        return "0x" + answer.hex()


def writer(objects: Objects, number: int = 0) -> Writer:
    return Writer(objects, number, private_key=KEY, chain_id=1337, nonce=7, seed=3)


async def test_the_first_transaction_creates_and_the_others_write_what_was_recorded() -> None:
    records: list[Record] = []
    objects = Objects(records.append)
    first, other = writer(objects), writer(objects, 1)
    signed = [first.sign_next(), other.sign_next(), first.sign_next(), first.sign_next()]
    assert objects.address == created_by(first.address, 7)
    assert objects.written == [each.hash for each in signed]
    writes = [each for each in records if isinstance(each, ObjectWrite)]
    assert [each.transaction for each in writes] == objects.written
    assert [len(each.arguments) for each in writes] == [0, 1, 1, 3]
    assert writes[1].arguments != writes[2].arguments, "no value is used twice"
    assert Account.recover_transaction(signed[3].raw) == first.address
    machine, specification = Machine(init_code()), Specification()
    for each in writes:
        specification.apply(each.arguments)
        if each.arguments:
            machine.call(words(*each.arguments))
    assert machine.read()[1:] == [specification.register, *specification.balances]


async def test_a_reader_tells_what_the_node_says_and_asks_for_each_receipt_in_turn() -> None:
    records: list[Record] = []
    objects, node = Objects(records.append), Node()
    reader = Reader(node, objects)
    await reader.look()
    assert node.asked == [], "nothing is written yet"
    for _ in range(2):
        writer(objects).sign_next()
    records.clear()
    await reader.look()
    (nothing,) = records
    assert isinstance(nothing, ObjectRead)
    assert (nothing.height, nothing.balances) == (0, ()), "no code there yet"
    records.clear()
    node.machine = Machine(init_code())
    first, second = objects.written
    node.receipts = {second: 5}
    await reader.look()
    assert not [each for each in records if isinstance(each, ReceiptSeen)], "in turn"
    node.receipts[first] = 4
    await reader.look()
    await reader.look()
    reads = [each for each in records if isinstance(each, ObjectRead)]
    assert [(each.node, each.height, each.balances) for each in reads] == [
        ("op1", node.machine.number, (100,) * BANK_ACCOUNTS)
    ] * 3
    assert all(each.asked <= each.monotonic for each in reads)
    receipts = [each for each in records if isinstance(each, ReceiptSeen)]
    assert [(each.transaction, each.height) for each in receipts] == [(first, 4), (second, 5)]


async def test_a_node_that_does_not_answer_is_not_quoted() -> None:
    records: list[Record] = []
    objects = Objects(records.append)
    writer(objects).sign_next()

    class Silent(Node):
        async def call(self, method: str, *params: Any) -> Any:
            raise RpcUnknown("no answer")

    records.clear()
    await Reader(Silent(), objects).look()
    assert records == []
