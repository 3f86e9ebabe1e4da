"""The scenarios of hive's engine simulator in which a node lacks blocks, or gets them in another
order than they were made. See `test_engine_scenarios.py`."""

from pathlib import Path
from typing import Any

import pytest

from dst.spec.primitives import to_hex
from tests.unit.execution.test_engine_scenarios import (
    FIELDS,
    OTHER,
    RANDOMS,
    STORE_RANDAO,
    TRANSACTIONS,
    Client,
    client,
    elsewhere,
    sealed,
)
from tests.unit.execution.worlds import KEYS, signed

__all__ = ["client"]


def altered(name: str, payload: Any) -> Any:
    if name in FIELDS:
        return sealed(payload, **FIELDS[name](payload))
    return sealed(payload, transactions=(TRANSACTIONS[name]({}),))


@pytest.mark.parametrize("name", [*FIELDS, *TRANSACTIONS])
async def test_an_invalid_payload_comes_while_syncing(
    client: Client, tmp_path: Path, name: str
) -> None:
    """Its parent is not here: SYNCING, and the head stays. Once it is here: INVALID, the parent is
    the latest valid one."""
    parent = await client.produce()
    client.engine.add(signed(to=STORE_RANDAO, gas=100_000), signed(KEYS[1]))
    bad = altered(name, await client.build())
    other = elsewhere(tmp_path, "other")
    assert (await other.new_payload(bad))["status"] == "SYNCING"
    assert (await other.fcu(bad.block_hash))["payloadStatus"]["status"] == "SYNCING"
    assert other.head == other.chain.genesis_hash
    assert (await other.new_payload(parent))["status"] == "VALID"
    answer = await other.new_payload(bad)
    assert (answer["status"], answer["latestValidHash"]) == ("INVALID", to_hex(parent.block_hash))
    assert (await other.fcu(bad.block_hash))["payloadStatus"]["status"] == "INVALID"
    assert (await other.fcu(parent.block_hash))["payloadStatus"]["status"] == "VALID"


async def test_an_invalid_empty_block(client: Client) -> None:
    parent = await client.produce()
    payload = await client.build()
    assert payload.transactions == ()
    answer = await client.new_payload(sealed(payload, state_root=OTHER))
    assert (answer["status"], answer["latestValidHash"]) == ("INVALID", to_hex(parent.block_hash))


async def test_reorg_back_from_syncing(client: Client, tmp_path: Path) -> None:
    """Pointed at a chain that it lacks, then back at the one it has, which it still builds on."""
    mine = [await client.produce() for _ in range(3)]
    other = elsewhere(tmp_path, "other")
    theirs = [await other.produce(prev_randao=RANDOMS[index]) for index in range(5)]
    for payload in theirs[1:]:
        assert (await client.new_payload(payload))["status"] == "SYNCING"
        answer = await client.fcu(payload.block_hash, client.world.attributes())
        assert (answer["payloadStatus"]["status"], answer["payloadId"]) == ("SYNCING", None)
        assert client.head == mine[-1].block_hash
    assert (await client.fcu(mine[-1].block_hash))["payloadStatus"]["status"] == "VALID"
    assert (await client.produce()).parent_hash == mine[-1].block_hash


async def test_new_payloads_beside_a_head_that_is_there_already(client: Client) -> None:
    """Many on the same parent, after the first of them became the head: VALID, none moves it."""
    made = [await client.build(prev_randao=each) for each in RANDOMS[:20]]
    assert (await client.new_payload(made[0]))["status"] == "VALID"
    await client.fcu(made[0].block_hash)
    for payload in made[1:]:
        assert (await client.new_payload(payload))["status"] == "VALID"
        assert client.head == made[0].block_hash


async def test_bodies_after_syncing(client: Client, tmp_path: Path) -> None:
    made = []
    for nonce in range(4):
        client.engine.add(signed(nonce=nonce))
        made.append(await client.produce())
    other = elsewhere(tmp_path, "other")
    for payload in made:
        await other.new_payload(payload)
    before = await other.call("engine_getPayloadBodiesByRangeV1", "0x1", "0x4")
    assert before == [], "nothing is canonical yet"
    await other.fcu(made[-1].block_hash)
    hashes = [to_hex(each.block_hash) for each in made]
    shown = await client.call("engine_getPayloadBodiesByRangeV1", "0x1", "0x4")
    assert len(shown) == 4
    assert await other.call("engine_getPayloadBodiesByRangeV1", "0x1", "0x4") == shown
    assert await other.call("engine_getPayloadBodiesByHashV1", hashes) == shown
