"""What chain and node this is, accounts, fees, the pool's content: whole values."""

from pathlib import Path

import pytest

from dst.execution.header import next_base_fee
from dst.execution.rpc import page
from dst.execution.rpc.dispatch import entries
from dst.execution.rpc.families import FAMILIES
from dst.execution.slots import STALE_SECONDS, STALE_SLOTS
from dst.spec.primitives import to_hex
from tests.unit.execution.rpc.bench import SECONDS_PER_SLOT, Rpc
from tests.unit.execution.rpc.contracts import STORE
from tests.unit.execution.worlds import ADDRESSES, CHAIN_ID, GENESIS_TIME, GWEI, KEYS, signed

ROOT = Path(__file__).parents[4]


def test_the_page_is_current() -> None:
    assert (ROOT / page.PAGE).read_text() == page.render(), "run: python -m dst.execution.rpc.page"


def test_an_option_is_no_file_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        page.main(["--help"])
    assert not list(tmp_path.iterdir())
    page.main(["page.md"])
    assert (tmp_path / "page.md").read_text() == page.render()


def test_the_page_has_every_family_that_is_served(rpc: Rpc) -> None:
    assert {type(each) for each in rpc.served.families} == set(FAMILIES)
    served = set(entries(rpc.served.families))
    assert served == set(entries(FAMILIES))
    shown = page.render()
    assert all(f"### {name}\n" in shown for name in served)


async def test_syncing_tells_the_truth(rpc: Rpc) -> None:
    assert await rpc.ask("eth_syncing") is False
    edge = max(STALE_SLOTS * SECONDS_PER_SLOT, STALE_SECONDS)
    rpc.now = GENESIS_TIME + edge
    assert await rpc.ask("eth_syncing") is False
    rpc.now += 1
    assert await rpc.ask("eth_syncing") == {
        "startingBlock": "0x0",
        "currentBlock": "0x0",
        "highestBlock": hex(int(rpc.now - GENESIS_TIME) // SECONDS_PER_SLOT),
    }
    rpc.extend(timestamp=int(rpc.now))
    assert await rpc.ask("eth_syncing") is False


async def test_a_stale_head_is_told_with_health_and_every_answer(rpc: Rpc) -> None:
    import aiohttp

    request = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"}
    async with rpc.listening() as address, aiohttp.ClientSession() as session:
        for stale in (False, True):
            rpc.now = GENESIS_TIME + (50 if stale else 0)
            async with session.post(f"http://{address}/", json=request) as answer:
                assert ("X-DST-Warning" in answer.headers) is stale
            async with session.get(f"http://{address}/healthz") as health:
                assert health.status == (503 if stale else 200)
                assert ("25 slots" in await health.text()) is stale


async def test_constants(rpc: Rpc) -> None:
    assert await rpc.ask("eth_chainId") == hex(CHAIN_ID)
    assert await rpc.ask("net_version") == str(CHAIN_ID)
    assert await rpc.ask("eth_protocolVersion") == "0x44"
    assert await rpc.ask("net_peerCount") == "0x3"
    assert await rpc.ask("net_listening") is True
    assert (await rpc.ask("web3_clientVersion")).startswith("dst/")
    assert await rpc.ask("web3_sha3", "0x") == (
        "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    )
    assert {"eth", "net", "web3", "txpool", "debug", "dst"} <= set(await rpc.ask("rpc_modules"))


async def test_config_is_that_of_prague_from_genesis(rpc: Rpc) -> None:
    config = await rpc.ask("eth_config")
    current = config["current"]
    assert (config["next"], config["last"]) == (None, None)
    assert current["activationTime"] == 0
    assert len(current["precompiles"]) == 17
    assert current["precompiles"]["BLS12_MAP_FP2_TO_G2"] == f"0x{0x11:040x}"
    assert list(current["precompiles"]) == sorted(current["precompiles"])
    assert len(current["systemContracts"]) == 5
    head = (await rpc.ask("eth_capabilities"))["head"]
    assert head == {"number": "0x0", "hash": to_hex(rpc.world.chain.genesis_hash)}


async def test_accounts_at_blocks(rpc: Rpc) -> None:
    store, word = to_hex(STORE), f"0x{7:064x}"
    rpc.extend([signed(KEYS[0], to=STORE, gas=100_000, data=(7).to_bytes(32, "big"))])
    assert await rpc.ask("eth_getStorageAt", store, "0x0") == word
    assert await rpc.ask("eth_getStorageAt", store, "0x0", "0x0") == f"0x{0:064x}"
    nothing = "0x" + "11" * 20
    wanted = {store: ["0x0", f"0x{1:064x}"], nothing: ["0x5"]}
    assert await rpc.ask("eth_getStorageValues", wanted) == {
        store: [word, f"0x{0:064x}"],
        nothing: [f"0x{0:064x}"],
    }
    error = await rpc.error("eth_getStorageValues", {})
    assert (error["code"], error["message"]) == (-32602, "empty request")
    many = {store: ["0x0"] * 1_025}
    assert (await rpc.error("eth_getStorageValues", many))["code"] == -32602
    sender = to_hex(ADDRESSES[0])
    rpc.add(signed(KEYS[0], nonce=1), signed(KEYS[0], nonce=3))
    counts = [
        await rpc.ask("eth_getTransactionCount", sender, at) for at in ("0x0", "latest", "pending")
    ]
    assert counts == ["0x0", "0x1", "0x2"]


async def test_a_transaction_by_its_sender_and_nonce(rpc: Rpc) -> None:
    mined = [signed(KEYS[0], nonce=nonce) for nonce in range(5)]
    for each in mined:
        rpc.extend([each])
        rpc.extend()
    waiting = signed(KEYS[0], nonce=6)
    rpc.add(waiting)
    sender = to_hex(ADDRESSES[0])
    for each in (*mined, waiting):
        found = await rpc.ask("eth_getTransactionBySenderAndNonce", sender, hex(each.nonce))
        assert found["hash"] == to_hex(each.hash)
    assert await rpc.ask("eth_getTransactionBySenderAndNonce", sender, "0x5") is None
    other = to_hex(ADDRESSES[1])
    assert await rpc.ask("eth_getTransactionBySenderAndNonce", other, "0x0") is None


async def test_transactions_by_place(rpc: Rpc) -> None:
    sent = [signed(KEYS[0]), signed(KEYS[1])]
    block = rpc.extend(sent)
    for index, each in enumerate(block.transactions):
        place = [to_hex(block.hash), hex(index)]
        whole = await rpc.ask("eth_getTransactionByBlockHashAndIndex", *place)
        assert whole == await rpc.ask("eth_getTransactionByHash", to_hex(each.hash))
        assert whole["blockTimestamp"] == hex(block.header.timestamp)
        raw = await rpc.ask("eth_getRawTransactionByBlockHashAndIndex", *place)
        assert raw == to_hex(each.raw)
        by_number = ["0x1", hex(index)]
        assert await rpc.ask("eth_getRawTransactionByBlockNumberAndIndex", *by_number) == raw


async def test_fees(rpc: Rpc) -> None:
    head = rpc.extend([signed(KEYS[0], maxPriorityFeePerGas=3)])
    assert await rpc.ask("eth_baseFee") == hex(next_base_fee(head.header))
    assert await rpc.ask("eth_maxPriorityFeePerGas") == "0x3"
    assert await rpc.ask("eth_gasPrice") == hex(next_base_fee(head.header) + 3)
    history = await rpc.ask("eth_feeHistory", 2, "latest", [50])
    assert history["oldestBlock"] == "0x0"
    assert history["reward"][1] == ["0x3"]


async def test_what_waits_in_the_pool(rpc: Rpc) -> None:
    ready, gapped = signed(KEYS[0]), signed(KEYS[0], nonce=7, gas=50_000, maxFeePerGas=3 * GWEI)
    rpc.add(ready, gapped)
    assert await rpc.ask("txpool_status") == {"pending": "0x1", "queued": "0x1"}
    content = await rpc.ask("txpool_content")
    (sender,) = content["pending"]
    assert sender.lower() == to_hex(ADDRESSES[0])
    assert sender != sender.lower(), "checksummed, as geth"
    assert content["pending"][sender]["0"] == await rpc.ask(
        "eth_getTransactionByHash", to_hex(ready.hash)
    )
    assert content["queued"][sender]["7"]["hash"] == to_hex(gapped.hash)
    assert await rpc.ask("txpool_contentFrom", to_hex(ADDRESSES[0])) == {
        "pending": content["pending"][sender],
        "queued": content["queued"][sender],
    }
    assert await rpc.ask("txpool_contentFrom", to_hex(ADDRESSES[1])) == {
        "pending": {},
        "queued": {},
    }
    inspected = (await rpc.ask("txpool_inspect"))["queued"][sender]["7"]
    assert inspected.endswith(f": 1 wei + 50000 gas x {3 * GWEI} wei")


async def test_a_pruned_node_says_what_it_has(rpc: Rpc, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which states are kept is the store's; here it only says so."""
    for nonce in range(4):
        rpc.extend([signed(KEYS[0], nonce=nonce)])
    monkeypatch.setattr(rpc.world.chain.states, "oldest", 2)
    capabilities = await rpc.ask("eth_capabilities")
    oldest = {kind: each["oldestBlock"] for kind, each in capabilities.items() if kind != "head"}
    assert oldest == {
        **dict.fromkeys(("tx", "logs", "receipts", "blocks"), "0x0"),
        **dict.fromkeys(("state", "stateproofs"), "0x2"),
    }
    sender = to_hex(ADDRESSES[0])
    assert await rpc.ask("eth_getTransactionBySenderAndNonce", sender, "0x3") is not None
    error = await rpc.error("eth_getTransactionBySenderAndNonce", sender, "0x0")
    assert (error["code"], "pruned" in error["message"]) == (-32000, True)
