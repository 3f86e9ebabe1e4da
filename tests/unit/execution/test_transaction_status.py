"""Never a hash and then silence: each state of the closed set, met the way a sender meets it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from dst.execution.block.executed import payload_of
from dst.execution.pool.service import Source
from dst.execution.pool.status import State
from dst.mempool.departures import Fate
from dst.spec.errors import InvalidInput
from dst.spec.primitives import Hash32, to_hex
from dst.transactions.transaction import InvalidTransaction, Reason
from tests.unit.execution.test_engine_service import Engine, until_waiting
from tests.unit.execution.test_heavy_transactions import LONG, block, status
from tests.unit.execution.worlds import (
    ADDRESSES,
    CHAIN_ID,
    GWEI,
    KEYS,
    RICH,
    address_of,
    make_world,
    signed,
    signed_raw,
)

DRAIN = address_of(0xD4A1)
"""Sends the whole balance of whoever runs its code to 0xBB: selfbalance as value of a call."""
DRAIN_CODE = bytes.fromhex("5f5f5f5f4760bb5af100")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    world = make_world(tmp_path, {DRAIN: DRAIN_CODE})
    with ThreadPoolExecutor(1) as worker:
        yield Engine(world, worker, LONG)
    world.store.close()


def authorization(key: bytes, to: Any, nonce: int) -> Any:
    return Account.sign_authorization(
        {"chainId": CHAIN_ID, "address": "0x" + to.hex(), "nonce": nonce}, key
    )


def delegate(sender: bytes, authority: bytes, nonce: int = 0, **fields: Any) -> Any:
    return signed(
        sender,
        type=4,
        gas=200_000,
        authorizationList=[authorization(authority, DRAIN, nonce)],
        **fields,
    )


def test_states_and_fates_have_the_same_words() -> None:
    assert {str(each) for each in Fate} < {str(each) for each in State}


async def test_unknown_and_malformed(engine: Engine) -> None:
    assert await status(engine, signed()) == {"hash": to_hex(signed().hash), "state": "unknown"}
    with pytest.raises(InvalidInput):
        await status(engine, type("T", (), {"hash": b"\x01"}))


async def test_pending_then_included(engine: Engine) -> None:
    engine.add(signed())
    assert (await status(engine, signed()))["state"] == "pending"
    await block(engine)
    told = await status(engine, signed())
    assert told == {
        "hash": to_hex(signed().hash),
        "state": "included",
        "blockHash": to_hex(engine.world.chain.heads.head_hash),
        "blockNumber": "0x1",
        "transactionIndex": "0x0",
    }


async def test_queued_names_the_missing_nonce(engine: Engine) -> None:
    engine.add(signed(nonce=7))
    assert (await status(engine, signed(nonce=7)))["missingNonce"] == "0x0"
    engine.add(signed(nonce=0))
    told = await status(engine, signed(nonce=7))
    assert (told["state"], told["missingNonce"]) == ("queued", "0x1")


async def test_underpriced_and_what_waits_behind_it(engine: Engine) -> None:
    cheap, behind = signed(maxFeePerGas=10, maxPriorityFeePerGas=1), signed(nonce=1)
    engine.add(cheap, behind)
    told = await status(engine, cheap)
    assert (told["state"], told["maxFeePerGas"]) == ("underpriced", "0xa")
    assert int(told["baseFeePerGas"], 16) > 10
    after = await status(engine, behind)
    assert (after["state"], after["waitsBehind"]) == ("pending", to_hex(cheap.hash))
    assert await block(engine) == []


async def test_replaced_in_the_pool(engine: Engine) -> None:
    old, new = signed(), signed(maxFeePerGas=3 * GWEI, maxPriorityFeePerGas=2)
    engine.add(old, new)
    told = await status(engine, old)
    assert (told["state"], told["replacedBy"]) == ("replaced", to_hex(new.hash))


async def test_replaced_by_a_block(engine: Engine) -> None:
    """Another node's block carries another transaction of that nonce."""
    ours, theirs = signed(value=1), signed(value=2)
    engine.add(ours)
    built = engine.world.build([theirs]).block
    await engine.new_payload(payload_of(built))
    await engine.point(built.hash)
    told = await status(engine, ours)
    assert (told["state"], told["replacedBy"]) == ("replaced", to_hex(theirs.hash))
    assert (await status(engine, theirs))["state"] == "included"


async def test_evicted(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.pool._pool._max_transactions = 2
    cheapest = signed(KEYS[0], maxPriorityFeePerGas=1)
    engine.add(cheapest, signed(KEYS[1], maxPriorityFeePerGas=5))
    engine.add(signed(KEYS[2], maxPriorityFeePerGas=9))
    told = await status(engine, cheapest)
    assert (told["state"], told["reason"]) == ("evicted", "pool_full")
    engine.pool._pool._max_transactions = 3
    engine.add(cheapest)
    assert (await status(engine, cheapest))["state"] == "pending", "sent again, it waits again"


async def test_an_authorization_that_moves_the_nonce_frees_what_waits(engine: Engine) -> None:
    """Nonce 1 waits, an authorization takes nonce 0: it is mined in the next block, and the
    pending nonce tells the truth."""
    waiting = signed(KEYS[0], nonce=1)
    engine.add(waiting, delegate(KEYS[1], KEYS[0]))
    assert len(await block(engine)) == 1
    assert engine.pool.pending_nonce(ADDRESSES[0], 1) == 2
    assert (await status(engine, waiting))["state"] == "pending"
    assert await block(engine) == [waiting.raw]


async def test_an_authorization_that_takes_a_waiting_ones_nonce(engine: Engine) -> None:
    engine.add(delegate(KEYS[1], KEYS[0], maxPriorityFeePerGas=10**8))
    cheap = signed(KEYS[0], nonce=0, maxFeePerGas=10, maxPriorityFeePerGas=1)
    engine.add(cheap)
    await block(engine)
    told = await status(engine, cheap)
    assert (told["state"], told["reason"]) == ("dropped", "nonce_too_low")


async def test_an_account_that_was_emptied_by_another_sender(engine: Engine) -> None:
    """A delegated account is called by somebody and pays everything away."""
    engine.add(delegate(KEYS[1], KEYS[0]))
    await block(engine)
    waiting = signed(KEYS[0], nonce=1, maxFeePerGas=10, maxPriorityFeePerGas=1, value=RICH // 2)
    engine.add(waiting)
    engine.add(signed(KEYS[1], nonce=1, to=ADDRESSES[0], gas=200_000, value=0))
    await block(engine)
    told = await status(engine, waiting)
    assert (told["state"], told["reason"]) == ("dropped", "insufficient_funds")


async def test_reinjection_after_a_reorganisation_is_exactly_once(engine: Engine) -> None:
    """Both blocks carry the first; only the removed one carries the second."""
    world = engine.world
    both, lost = signed(KEYS[0]), signed(KEYS[1])
    first = world.build([both, lost]).block
    await engine.new_payload(payload_of(first))
    await engine.point(first.hash)
    genesis = world.chain.genesis_hash
    other = world.build([both], parent=genesis, prev_randao=Hash32(b"\x99" * 32)).block
    await engine.new_payload(payload_of(other))
    await engine.point(other.hash)
    await until_waiting(engine, lost)
    assert engine.pool.counts() == (1, 0)
    assert (await status(engine, lost))["state"] == "pending"
    assert (await status(engine, both))["state"] == "included"
    assert await block(engine) == [lost.raw]
    assert await block(engine) == []


async def test_a_lost_proposal_leaves_its_transactions_where_they_were(engine: Engine) -> None:
    transaction = signed()
    engine.add(transaction)
    assert list((await engine.build()).payload.transactions) == [transaction.raw]
    other = engine.world.build(prev_randao=Hash32(b"\x98" * 32)).block
    await engine.new_payload(payload_of(other))
    await engine.point(other.hash)
    assert engine.pool.counts() == (1, 0)
    assert await block(engine) == [transaction.raw]
    assert await block(engine) == []


async def test_a_replacement_that_came_during_the_build_survives_it(engine: Engine) -> None:
    old, new = signed(), signed(maxFeePerGas=3 * GWEI, maxPriorityFeePerGas=2)
    engine.add(old)
    head = engine.world.chain.heads.head_hash
    _, payload_id = await engine.point(head, engine.world.attributes())
    engine.add(new)
    assert payload_id is not None
    await engine.service.get_payload(payload_id)
    assert engine.pool.get(new.hash) is not None


async def test_submissions_that_come_together_are_judged_each_on_its_own(engine: Engine) -> None:
    raws = [signed_raw(nonce=nonce) for nonce in (0, 1, 1)] + [b"\x02bad", signed_raw(KEYS[1])]
    outcomes = await engine.pool.submit_all(raws, Source.CLIENT)
    kinds = [each.reason if isinstance(each, InvalidTransaction) else None for each in outcomes]
    assert kinds == [None, None, Reason.ALREADY_KNOWN, Reason.MALFORMED, None]
    with pytest.raises(InvalidTransaction) as refused:
        await engine.pool.submit(raws[0], Source.PEER)
    assert refused.value.reason is Reason.ALREADY_KNOWN
