"""The load: nonces survive the death of an operator, and every submission is recorded as what it
was."""

import asyncio
from typing import Any

from eth_account import Account

from devnet.model.history import Answer, Record, TransactionSubmitted
from devnet.probes.rpc import RpcRefused, RpcUnknown
from devnet.workload.load import SenderLoop
from devnet.workload.sender import MAX_PENDING, Sender, is_known, is_taken
from tests.unit.chaos.fake_network import in_virtual_time

KEY = "0x" + "11" * 32


class FakeEndpoint:
    """An operator's JSON-RPC: keeps what it takes; `dead` never answers."""

    def __init__(self, name: str, chain: "FakeChain") -> None:
        self.name = name
        self.dead = False
        self.chain = chain
        self.taken: list[str] = []
        self.refusal = ""

    async def call(self, method: str, *params: Any) -> Any:
        await asyncio.sleep(0)
        if self.dead:
            raise RpcUnknown("no answer")
        if method == "eth_getTransactionCount":
            return hex(self.chain.included)
        if self.refusal:
            raise RpcRefused(-32000, self.refusal)
        if params[0] in self.taken:
            raise RpcRefused(-32000, "already known")
        self.taken.append(params[0])
        return "0x00"


class FakeChain:
    included = 0


def make_sender(nonce: int = 0) -> Sender:
    return Sender(private_key=KEY, chain_id=1337, nonce=nonce, seed=1)


def test_transfers_are_signed_for_the_chain_with_rising_nonces() -> None:
    sender = make_sender(nonce=5)
    first, second = sender.sign_next(), sender.sign_next()
    assert (first.nonce, second.nonce) == (5, 6)
    assert first.hash != second.hash
    assert Account.recover_transaction(first.raw) == sender.address


def test_the_same_seed_signs_the_same_bytes() -> None:
    assert make_sender().sign_next() == make_sender().sign_next()


def test_what_the_chain_has_is_forgotten_and_the_rest_stays_in_order() -> None:
    sender = make_sender()
    for _ in range(4):
        sender.sign_next()
    sender.forget_below(2)
    assert [transfer.nonce for transfer in sender.unconfirmed()] == [2, 3]


def test_a_sender_stops_signing_when_too_much_is_unconfirmed() -> None:
    sender = make_sender()
    for _ in range(MAX_PENDING):
        sender.sign_next()
    assert sender.is_full


def test_refusals_that_mean_it_is_there_already() -> None:
    assert is_known(RpcRefused(-32000, "already known"))
    assert not is_known(RpcRefused(-32000, "Nonce too low: next 7, got 3"))
    assert is_taken(RpcRefused(-32000, "Nonce too low: next 7, got 3"))
    assert not is_taken(RpcRefused(-32000, "txpool is full"))
    assert not is_known(RpcRefused(-32000, "insufficient funds"))


def test_a_sender_gives_the_next_operator_everything_unconfirmed_in_order() -> None:
    chain = FakeChain()
    one, two = FakeEndpoint("op1", chain), FakeEndpoint("op2", chain)
    records: list[Record] = []
    sender = make_sender()

    async def work() -> None:
        loop = SenderLoop(sender, [one, two], 0, records.append, interval=1.0)
        async with asyncio.timeout(10.5):
            task = asyncio.get_running_loop().create_task(loop.run())
            await asyncio.sleep(3.5)
            one.dead = True
            chain.included = 2
            await asyncio.sleep(3.0)
            task.cancel()

    in_virtual_time(work)
    # op1 took nonces 0 to 3 and died; the chain had 0 and 1; op2 gets 2, 3 and all that came later,
    # in order.
    assert len(one.taken) == 4
    assert two.taken[:2] == one.taken[2:]
    assert len(two.taken) == len(set(two.taken))
    submitted = [record for record in records if isinstance(record, TransactionSubmitted)]
    unknown = [item for item in submitted if item.answer is Answer.UNKNOWN]
    assert {item.via for item in unknown} == {"op1"}
    assert all(item.answered is None for item in unknown)
    assert all(item.answer is Answer.OK for item in submitted if item.via == "op2")


def run_sender(steps: Any) -> list[Record]:
    """Drive one sender while `steps` changes the world."""
    records: list[Record] = []
    chain = FakeChain()
    endpoints = [FakeEndpoint("op1", chain), FakeEndpoint("op2", chain)]

    async def work() -> None:
        loop = SenderLoop(make_sender(), endpoints, 0, records.append, interval=1.0)
        task = asyncio.get_running_loop().create_task(loop.run())
        await steps(chain, *endpoints)
        task.cancel()

    in_virtual_time(work)
    return records


def test_after_a_total_outage_everything_is_given_again_before_anything_new() -> None:
    """Both operators lose their pools; the first to return must not get a gap in the nonces."""

    async def steps(chain: FakeChain, one: FakeEndpoint, two: FakeEndpoint) -> None:
        await asyncio.sleep(3.5)
        one.dead = two.dead = True
        await asyncio.sleep(5.0)
        before[:] = one.taken
        for endpoint in (one, two):
            endpoint.dead = False
            endpoint.taken.clear()
        await asyncio.sleep(3.0)
        after[:] = one.taken or two.taken

    before: list[str] = []
    after: list[str] = []
    run_sender(steps)
    assert len(before) == 4
    assert after[:4] == before


def test_a_pool_that_forgot_is_noticed_by_a_nonce_that_stands_still() -> None:
    async def steps(chain: FakeChain, one: FakeEndpoint, two: FakeEndpoint) -> None:
        await asyncio.sleep(5.5)
        first[:] = one.taken[:1]
        one.taken.clear()
        await asyncio.sleep(40.0)
        again[:] = one.taken + two.taken

    first: list[str] = []
    again: list[str] = []
    run_sender(steps)
    assert first[0] in again


def test_a_nonce_that_is_taken_is_given_up_and_recorded_as_refused() -> None:
    async def steps(chain: FakeChain, one: FakeEndpoint, two: FakeEndpoint) -> None:
        one.refusal = "nonce too low: next 9, got 0"
        await asyncio.sleep(0.5)
        one.refusal = ""
        await asyncio.sleep(2.0)
        taken[:] = one.taken

    taken: list[str] = []
    records = run_sender(steps)
    first, *rest = [item for item in records if isinstance(item, TransactionSubmitted)]
    assert first.answer is Answer.REFUSED
    assert {item.via for item in rest} == {"op1"}
    assert all(item.answer is Answer.OK for item in rest)
    assert len(taken) == len(rest)
