"""The client of hostile transactions learns each one's fate as a sender would, and never confuses a
silent node with a refusal."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from devnet.model.accounts import ACCOUNTS
from devnet.model.history import Fate, HostileFate, Record
from devnet.model.terms import Duration
from devnet.model.work import Hostile
from devnet.probes.rpc import RpcRefused, RpcUnknown
from devnet.workload.hostile.client import HostileClient, told
from tests.unit.chaos.fake_network import in_virtual_time

Answers = Callable[[str, list[Any]], Any]


class FakeNode:
    """Answers as `answers` says; counts what it was sent."""

    def __init__(self, name: str, answers: Answers) -> None:
        self.name = name
        self.answers = answers
        self.sent: list[str] = []

    async def call(self, method: str, *params: Any) -> Any:
        await asyncio.sleep(0.01)
        if method == "eth_getTransactionCount":
            return "0x0"
        if method == "eth_sendRawTransaction":
            self.sent.append(params[0])
        return self.answers(method, self.sent)


def fates(
    answers: Answers, kinds: tuple[str, ...] = ("mulmod",), accounts: int = 2
) -> tuple[list[HostileFate], list[FakeNode], list[str]]:
    nodes = [FakeNode(name, answers) for name in ("op1", "op2")]
    records: list[Record] = []
    lines: list[str] = []

    async def work() -> None:
        client = HostileClient(
            senders=nodes,
            readers=nodes,
            keys=[account.private_key for account in ACCOUNTS[:accounts]],
            chain_id=901,
            record=records.append,
            say=lines.append,
        )
        await client.run(Hostile(kinds=kinds, patience=Duration(seconds=5)), 1.0)

    in_virtual_time(work)
    return [record for record in records if isinstance(record, HostileFate)], nodes, lines


RECEIPT = {"blockNumber": "0x1f", "gasUsed": "0x989680", "status": "0x1"}


def includes(method: str, sent: list[str]) -> Any:
    return RECEIPT if method == "eth_getTransactionReceipt" else None


def test_a_receipt_is_a_fate_and_operators_take_turns() -> None:
    found, nodes, lines = fates(includes, ("mulmod", "sdiv", "jump"))
    assert [(f.kind, f.via, f.fate, f.height) for f in found] == [
        ("mulmod", "op1", Fate.INCLUDED, 31),
        ("sdiv", "op2", Fate.INCLUDED, 31),
        ("jump", "op1", Fate.INCLUDED, 31),
    ]
    assert [len(node.sent) for node in nodes] == [2, 1]
    assert lines[0] == "hostile: mulmod via op1: included in h31 after 0.0 s, 10000000 gas"


def test_a_refusal_keeps_the_nodes_words() -> None:
    def answers(method: str, sent: list[str]) -> Any:
        if method == "eth_sendRawTransaction":
            raise RpcRefused(-32003, "too heavy: 40 s of 0.5 s")

    (found,), _, _ = fates(answers)
    assert (found.fate, found.reason) == (Fate.REFUSED, "too heavy: 40 s of 0.5 s")


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ({"state": "too_heavy", "reason": "time", "message": "takes 40 s"}, "takes 40 s"),
        ({"state": "dropped", "reason": "no place"}, "no place"),
        ({"state": "evicted"}, ""),
    ],
)
def test_a_status_that_is_an_end_is_a_fate_with_its_reason(status: Any, reason: str) -> None:
    def answers(method: str, sent: list[str]) -> Any:
        return status if method == "dst_transactionStatus" else None

    (found,), _, _ = fates(answers)
    assert (found.fate, found.reason) == (Fate.DROPPED, reason)


@pytest.mark.parametrize(
    "status",
    [
        None,
        {"state": "pending", "triedSeconds": 1.5},
        {"state": "queued", "missingNonce": "0x1"},
        {"state": "underpriced"},
        {"state": "unknown"},
    ],
)
def test_waiting_is_no_fate_and_patience_ends(status: Any) -> None:
    def answers(method: str, sent: list[str]) -> Any:
        return status if method == "dst_transactionStatus" else None

    (found,), _, _ = fates(answers)
    assert found.fate is Fate.UNKNOWN
    assert 5 <= found.settled - found.sent < 6


def test_a_node_without_the_status_method_says_nothing() -> None:
    def answers(method: str, sent: list[str]) -> Any:
        if method == "dst_transactionStatus":
            raise RpcRefused(-32601, "the method does not exist")

    (found,), _, _ = fates(answers)
    assert found.fate is Fate.UNKNOWN


def test_a_silent_node_gets_the_same_bytes_again() -> None:
    def answers(method: str, sent: list[str]) -> Any:
        if method == "eth_sendRawTransaction":
            if len(sent) == 1:
                raise RpcUnknown("no answer")
            raise RpcRefused(-32000, "already known")
        return includes(method, sent)

    (found,), nodes, _ = fates(answers)
    assert found.fate is Fate.INCLUDED
    assert len(nodes[0].sent) == 2
    assert len(set(nodes[0].sent)) == 1


def test_an_account_whose_transaction_is_lost_is_not_used_again() -> None:
    found, nodes, _ = fates(lambda method, sent: None, ("mulmod", "sdiv", "jump", "exp"))
    assert [f.fate for f in found] == [Fate.UNKNOWN, Fate.UNKNOWN, Fate.UNSENT, Fate.UNSENT]
    assert sum(len(node.sent) for node in nodes) == 2
    assert told(found[0]) == "mulmod via op1: unknown after 5.1 s"
