"""Seeded bugs in their programs: each shows, counts that it does, and leaves the rest as it is."""

import asyncio
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from devnet.bugs.__main__ import main
from devnet.bugs.answers import ANSWERS, STALE_BY
from devnet.bugs.names import KNOWN, SHOWN, Bug
from devnet.bugs.signatures import ForgetfulClient, credulous, sibling_of
from devnet.checkers.must_fail import CHECKERS
from devnet.workload import objects
from dst.apis.beacon import ProduceRequest, WireBlock
from dst.apis.jsonrpc import Method
from dst.crypto import bls
from dst.middleware.wire import root_of
from dst.spec.beacon import BeaconBlock
from dst.spec.cluster import lock_proposer_domain
from dst.spec.domains import signing_root
from dst.spec.errors import DstError
from dst.spec.primitives import BLSPubkey, Root, Slot, to_hex
from dst.spec.rules import timestamp_at
from dst.spec.ssz import decode, encode
from dst.validator.client import Timing
from dst.validator.protection import FILE_NAME, ProtectionStore
from dst.validator.window import SlotWindow
from tests.unit.execution.rpc.bench import Rpc
from tests.unit.execution.worlds import ADDRESSES, KEYS, signed
from tests.unit.validator import test_client as clients

HEIGHTS = 3


class Asked:
    """The JSON-RPC of a node with that bug, and how often it showed."""

    def __init__(self, rpc: Rpc, bug: Bug) -> None:
        self.shown = 0
        self.methods: Mapping[str, Method] = {
            **rpc.served.from_client,
            **ANSWERS[bug](rpc.served.from_client, self._show),
        }

    def _show(self) -> None:
        self.shown += 1

    async def ask(self, method: str, *params: Any) -> Any:
        return await self.methods[method](params)


NUMBER = "0x43600052600160205260406000f3"
"""Code of a creation that answers the number of the block it runs in."""


async def test_every_other_read_is_of_some_blocks_before(rpc: Rpc) -> None:
    node = Asked(rpc, Bug.STALE_READS)
    for _ in range(STALE_BY + 2):
        rpc.extend()
    head = STALE_BY + 2

    async def height(*block: Any) -> int:
        return int(str(await node.ask("eth_call", {"data": NUMBER}, *block))[:66], 16)

    assert [await height() for _ in range(2)] + [await height("latest") for _ in range(2)] == [
        head,
        head - STALE_BY,
        head,
        head - STALE_BY,
    ]
    assert [await height(hex(head)) for _ in range(2)] == [head, head], "what is named is answered"
    assert node.shown == 2


async def test_a_balance_is_one_coin_off_wherever_it_is_computed_with(rpc: Rpc) -> None:
    node = Asked(rpc, Bug.WRONG_BALANCE)
    creation = signed(KEYS[0], to=None, value=0, data=objects.init_code(), gas=objects.CREATE_GAS)
    rpc.extend([creation])
    bank = objects.created_by(to_hex(ADDRESSES[0]), 0)

    async def balances(ask: Any, *block: str) -> list[int]:
        answer = await ask("eth_call", {"to": bank, "data": "0x"}, *block)
        return objects.numbers(bytes.fromhex(answer[2:]))[2:]

    right = await balances(rpc.ask)
    assert await balances(node.ask) == [right[0] + 1, *right[1:]]
    assert await balances(node.ask, "0x1") == [right[0] + 1, *right[1:]]
    assert await node.ask("eth_call", {"to": to_hex(ADDRESSES[1])}) == "0x"
    assert node.shown == 2


async def test_a_receipt_names_another_index(rpc: Rpc) -> None:
    node, transaction = Asked(rpc, Bug.MOVED_RECEIPTS), signed(KEYS[0])
    rpc.extend([transaction])
    asked = "eth_getTransactionReceipt", to_hex(transaction.hash)
    wrong, right = await node.ask(*asked), await rpc.ask(*asked)
    assert (right["transactionIndex"], wrong["transactionIndex"]) == ("0x0", "0x1")
    assert {**wrong, "transactionIndex": "0x0"} == right
    assert await node.ask(asked[0], "0x" + "11" * 32) is None
    assert node.shown == 1


async def test_a_transaction_is_answered_and_forgotten(rpc: Rpc) -> None:
    node, transaction = Asked(rpc, Bug.LOST_TRANSACTIONS), signed(KEYS[0])
    assert await node.ask("eth_sendRawTransaction", to_hex(transaction.raw)) == to_hex(
        transaction.hash
    )
    assert node.shown == 1
    assert rpc.pool.get(transaction.hash) is None
    assert rpc.accepted == [], "forwarded to nobody"
    assert int(await node.ask("eth_getTransactionCount", to_hex(ADDRESSES[0]), "pending"), 16) == 0


async def test_a_validator_signs_a_second_block_past_its_protection(tmp_path: Path) -> None:
    store = ProtectionStore.create(
        tmp_path / FILE_NAME,
        pubkey=BLSPubkey(clients.KEY),
        genesis_validators_root=Root(bytes(32)),
    )
    beacon, decided = clients.FakeBeacon(), clients.block_of(1)
    beacon.script(1, decided)
    clock = clients.FakeTime(float(timestamp_at(clients.CHAIN, 1)))
    timing = Timing(now=clock.now, sleep=clock.sleep)
    window = SlotWindow(Slot(1))
    client = ForgetfulClient(beacon, clients.make_signer(store), clients.CHAIN, window, timing)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(client.run())
        await clients.until(lambda: len(beacon.published) == 2)
        task.cancel()
    first, second = beacon.published
    assert clients.is_ours(first, decided)
    other = decode(BeaconBlock, second.message)
    assert other.slot == decided.slot
    assert other != decided
    assert clients.is_ours(second, other)
    store.close()


async def test_the_middleware_takes_both_signatures_and_the_chain_goes_on(
    network: Any, eventually: Any
) -> None:
    """Two roots signed at a height by one operator, which is what S12 looks for; nobody else is
    given the second one, so that nobody is accused."""
    async with AsyncExitStack() as stack:
        others = [await stack.enter_async_context(network.operator(index)) for index in range(3)]
        forgetful = await stack.enter_async_context(
            network.operator(3, assemble=credulous, validator=False)
        )
        signing = asyncio.create_task(_sign_twice(network, forgetful))  # noqa: TID251
        try:
            await eventually(lambda: all(each.sealed_height() >= HEIGHTS for each in others))
            await eventually(lambda: len(_signed(forgetful, 1)) == 2)
        finally:
            signing.cancel()
        assert forgetful.middleware.metrics.get(SHOWN, bug=Bug.DOUBLE_SIGNATURE) >= 1
        kinds = {event.kind for each in others for event in each.rollup.events_seen}
        assert "evidence" not in kinds


def _signed(operator: Any, height: int) -> set[Any]:
    events = operator.rollup.events_seen
    return {e.root for e in events if e.kind == "signed" and e.height == height}


async def _sign_twice(network: Any, operator: Any) -> None:
    """What a forgetful validator does."""
    api, slot, cluster = operator.middleware.api, 1, network.cluster
    domain = lock_proposer_domain(cluster.lock)
    while True:
        try:
            block = await api.produce_block(ProduceRequest(slot=Slot(slot)))
            for each in () if block is None else (block, sibling_of(block)):
                message = signing_root(root_of(each), domain)
                signature = bls.sign(cluster.shares[operator.index], message)
                await api.publish_block(WireBlock(message=each, signature=signature))
        except DstError:
            await asyncio.sleep(0.02)
            continue
        slot += 1


def test_a_sibling_is_another_block_of_the_slot() -> None:
    block = encode(clients.block_of(7))
    assert root_of(sibling_of(block)) != root_of(block)
    assert decode(BeaconBlock, sibling_of(block)).slot == 7


def test_each_breaks_an_invariant_that_a_run_can_be_asked_to_fail() -> None:
    asked = {name.partition(" ")[0] for name in CHECKERS}
    assert {known.breaks for known in KNOWN.values()} <= asked
    assert set(KNOWN) == set(Bug)


def test_they_need_nothing_of_the_harness_but_themselves() -> None:
    """A container sees no more."""
    told = (
        "import sys, devnet.bugs.__main__, devnet.bugs.answers, devnet.bugs.signatures\n"
        "print({n.split('.')[1] for n in sys.modules if n.startswith('devnet.')})"
    )
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{'bugs'}"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--bug", "stale-reads", "--role", "validator"], "--bug stale-reads sits in the execu"),
        (["--bug", "double-signature", "--role", "validator"], "nowhere.json"),
        (["--bug", "double-signature", "--role", "middleware"], "nowhere.json"),
        (["--bug", "moved-receipts", "--role", "execution"], "nowhere.json"),
    ],
)
def test_what_is_wrong_ends_in_one_line(
    words: Sequence[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--config", "nowhere.json", *words]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert complaint in told
