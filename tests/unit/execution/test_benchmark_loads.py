"""The benchmark's contracts do what they stand for, and its page says what was measured."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from dst.crypto.keccak import keccak256
from dst.execution.block.call_run import CallOutcome
from dst.spec.primitives import Address
from tests.benchmarks.execution import contracts, page
from tests.benchmarks.execution.accounts import Cost, cost_among
from tests.benchmarks.execution.importing import Throughput
from tests.benchmarks.execution.loads import (
    CODES,
    COMPUTER,
    LOADS,
    POOL,
    TOKEN_IN,
    TOKEN_OUT,
    Sending,
    preparation,
    sender,
)
from tests.benchmarks.execution.worst_blocks import Timing, worst_of_each
from tests.unit.execution.evm.loops import LOOPS
from tests.unit.execution.worlds import World, address_of, call, make_world

SENDERS = 3
RESERVE = 10**24


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    balances = {sender(number)[1]: 10**24 for number in range(SENDERS)}
    made = make_world(
        tmp_path_factory.mktemp("loads"), CODES, balances=balances, gas_limit=100_000_000
    )
    sending = Sending()
    for candidates in preparation(sending, SENDERS):
        block = made.extend(candidates)
        assert all(each.succeeded for each in block.result.receipts)
    for make in LOADS.values():
        block = made.extend([make(sending, number, 0) for number in range(SENDERS)])
        assert [each.succeeded for each in block.result.receipts] == [True] * SENDERS
    yield made
    made.store.close()


def balance(world: World, token: Address, owner: Address) -> int:
    slot = keccak256(owner.rjust(32, b"\0") + bytes(32))
    reader = world.chain.reader(world.chain.heads.head.state_root)
    return reader.slot(token, int.from_bytes(slot, "big"))


def ask(world: World, to: Address, data: bytes, who: Address) -> CallOutcome:
    return call(world, to, data, sender=who, gas=1_000_000)


def test_the_token_moves_balances_and_refuses_what_is_not_owned(world: World) -> None:
    receiver = address_of(0xACC0_0000)
    assert balance(world, TOKEN_IN, receiver) == 1_000
    data = contracts.calldata(contracts.TRANSFER, 1, 1_001)
    assert ask(world, TOKEN_IN, data, receiver).reverted
    data = contracts.calldata(contracts.TRANSFER, 1, 1_000)
    result = ask(world, TOKEN_IN, data, receiver)
    assert int.from_bytes(result.output, "big") == 1
    assert [len(each.topics) for each in result.logs] == [3]
    assert ask(world, TOKEN_IN, b"\x01\x02\x03\x04", receiver).reverted


def test_an_allowance_is_needed_and_spent(world: World) -> None:
    owner = int.from_bytes(sender(0)[1], "big")
    data = contracts.calldata(contracts.TRANSFER_FROM, owner, 1, 5)
    assert ask(world, TOKEN_IN, data, address_of(0xBAD)).reverted
    assert not ask(world, TOKEN_IN, data, POOL).reverted


def test_the_pool_keeps_its_product(world: World) -> None:
    reserve_in, reserve_out = RESERVE, RESERVE
    for number in range(SENDERS):
        given = 10**15 + number
        taken = given * 997 * reserve_out // (reserve_in * 1_000 + given * 997)
        reserve_in, reserve_out = reserve_in + given, reserve_out - taken
        assert balance(world, TOKEN_OUT, sender(number)[1]) == taken
    reader = world.chain.reader(world.chain.heads.head.state_root)
    assert [reader.slot(POOL, at) for at in (0, 1)] == [reserve_in, reserve_out]


def test_computing_depends_on_every_turn(world: World) -> None:
    answers = [
        ask(world, COMPUTER, turns.to_bytes(32, "big"), sender(0)[1]) for turns in (1, 2, 300)
    ]
    assert len({each.output for each in answers}) == 3
    assert answers[2].gas_used > 20_000 + answers[0].gas_used


def test_the_page() -> None:
    slow, fast = (
        Timing(loop=LOOPS[0], gas=10**6, seconds=seconds, finished=True) for seconds in (2.0, 0.5)
    )
    worst = worst_of_each([fast, slow])
    assert worst == [slow]
    given_up = replace(slow, seconds=0.1, finished=False)
    assert worst_of_each([slow, given_up]) == [given_up]
    throughput = Throughput(transactions=10, gas=210_000, seconds=0.1, stock_seconds=0.9)
    text = page.document(
        [
            page.import_section({"transfers": throughput}, 10),
            page.series_section("block size", {10: throughput}),
            page.accounts_section({1: Cost({10: 2e-4}, 90), 1_000: Cost({10: 3e-4}, 95)}),
            page.worst_section(worst, [slow]),
        ]
    )
    assert "| transfers | 100 | 2.1 | 21,000 | 9.0 x |" in text
    assert "| 1 | 200 (1.00 x) | 90 |" in text
    assert "| 1,000 | 300 (1.50 x) | 95 |" in text
    assert f"**{LOOPS[0].name}, 20.00 s**" in text


def test_what_a_transfer_costs_among_accounts_is_asked_of_another_process() -> None:
    cost = cost_among(50, sizes=(3,), blocks=1)
    assert set(cost.seconds) == {3}
    assert cost.seconds[3] > 0
    assert cost.resident_mb > 10
