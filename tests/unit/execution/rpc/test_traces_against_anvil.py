"""The same transactions on anvil and on ours, the traces compared field by field.

anvil fails by names of its own, counts an opcode that creates with the gas it hands on, and shows
at the outermost call the gas without its intrinsic part and, as gas used, the block's so far; those
are left out here. `test_debug` compares them with geth.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

import aiohttp
import pytest

from tests.ports import free_port
from tests.unit.execution.rpc.bench import Rpc
from tests.unit.execution.rpc.traced_world import FIRST_BLOCK, GAS_LIMIT, genesis, traced_world
from tests.unit.execution.trace_scenario import transactions
from tests.unit.execution.worlds import CHAIN_ID, address_of
from tests.unit.l1.test_anvil import ANVIL

pytestmark = [
    pytest.mark.anvil,
    pytest.mark.skipif(ANVIL is None, reason="no anvil: run `make setup`, or set DST_ANVIL"),
]

SENT = transactions()
HASHES = ["0x" + each.hash.hex() for each in SENT]
CALLS = {"tracer": "callTracer"}
STATE = {"tracer": "prestateTracer"}
DIFF = {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}}
STEPS = {"enableMemory": True, "enableReturnData": True}


class Anvil:
    """JSON-RPC of an anvil on the genesis of the scenario."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session, self._url = session, url

    async def ask(self, method: str, *params: Any) -> Any:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        async with self._session.post(self._url, json=request) as response:
            answer = await response.json()
        assert "error" not in answer, (method, answer)
        return answer["result"]

    async def mine(self, bench: Rpc) -> None:
        """The blocks that `bench` has, as far as traces see them."""
        await self.ask("anvil_setCoinbase", "0x" + address_of(0xFE).hex())
        for number, sent in ((1, SENT[:FIRST_BLOCK]), (2, SENT[FIRST_BLOCK:])):
            ours = await bench.ask("eth_getBlockByNumber", hex(number), False)
            await self.ask("anvil_setNextBlockBaseFeePerGas", ours["baseFeePerGas"])
            for each in sent:
                await self.ask("eth_sendRawTransaction", "0x" + each.raw.hex())
            await self.ask("evm_mine")
            theirs = await self.ask("eth_getBlockByNumber", hex(number), False)
            assert theirs["transactions"] == ours["transactions"]
            assert theirs["gasUsed"] == ours["gasUsed"]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[Any]]]:
    """Ours and anvil's by what was asked, transaction by transaction."""
    folder = tmp_path_factory.mktemp("anvil")
    with traced_world(folder) as bench:
        yield asyncio.run(_ask_both(folder, bench))


async def _ask_both(folder: Path, bench: Rpc) -> dict[str, list[Any]]:
    port = free_port()
    (folder / "genesis.json").write_text(json.dumps(genesis()))
    assert ANVIL is not None
    options = f"--port {port} --hardfork prague --chain-id {CHAIN_ID} --gas-limit {GAS_LIMIT}"
    options += (
        f" --no-mining --order fifo --steps-tracing --accounts 1 --init {folder}/genesis.json"
    )
    process = await asyncio.create_subprocess_exec(
        ANVIL, *options.split(), stdout=DEVNULL, stderr=DEVNULL
    )
    try:
        async with aiohttp.ClientSession() as session:
            anvil = Anvil(session, f"http://127.0.0.1:{port}")
            await _is_up(anvil)
            await anvil.mine(bench)
            asked = {
                name: [
                    (await bench.ask(*params), await anvil.ask(*params))
                    for params in ((method, each, *config) for each in HASHES)
                ]
                for name, method, config in (
                    ("calls", "debug_traceTransaction", [CALLS]),
                    ("state", "debug_traceTransaction", [STATE]),
                    ("diff", "debug_traceTransaction", [DIFF]),
                    ("steps", "debug_traceTransaction", [STEPS]),
                    ("flat", "trace_transaction", []),
                )
            }
            asked["opcodes"] = await _replays(bench, anvil)
    finally:
        process.kill()
        await process.wait()
    return asked


async def _replays(bench: Rpc, anvil: Anvil) -> list[Any]:
    """anvil replays blocks only."""
    params = [("trace_replayBlockTransactions", number, ["vmTrace"]) for number in ("0x1", "0x2")]
    pairs = [(await bench.ask(*each), await anvil.ask(*each)) for each in params]
    return [pair for ours, theirs in pairs for pair in zip(ours, theirs, strict=True)]


async def _is_up(anvil: Anvil) -> None:
    async with asyncio.timeout(15):
        while True:
            try:
                await anvil.ask("eth_chainId")
                return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)


every = pytest.mark.parametrize("index", range(len(SENT)))


@every
def test_call_trees(answers: dict[str, list[Any]], index: int) -> None:
    ours, theirs = answers["calls"][index]
    for top in (ours, theirs):
        del top["gas"], top["gasUsed"]
    assert _without_error_names(ours) == _without_error_names(theirs)


@every
def test_prestates(answers: dict[str, list[Any]], index: int) -> None:
    """anvil lists accounts of a creation that had no state, and slots of an opcode that could not
    pay."""
    ours, theirs = answers["state"][index]
    assert {key for key in ours} <= {key for key in theirs}
    for address, account in theirs.items():
        if address not in ours:
            assert not account.get("storage") or account["balance"] == "0x0"
            continue
        mine = ours[address]
        assert _fields(mine) == _fields(account), address
        stored = account.get("storage", {})
        assert mine.get("storage", {}).items() <= stored.items()


@every
def test_differences(answers: dict[str, list[Any]], index: int) -> None:
    ours, theirs = answers["diff"][index]
    assert ours["post"] == theirs["post"]
    for address, account in ours["pre"].items():
        if address in theirs["pre"]:
            assert _fields(account) == _fields(theirs["pre"][address])


@every
def test_steps(answers: dict[str, list[Any]], index: int) -> None:
    ours, theirs = answers["steps"][index]
    assert len(ours["structLogs"]) == len(theirs["structLogs"])
    for mine, other in zip(ours["structLogs"], theirs["structLogs"], strict=True):
        for field in ("pc", "op", "gas", "depth", "stack"):
            assert mine[field] == other[field], (mine, other)
        assert mine.get("returnData", "0x") == other.get("returnData", "0x")
        memory = [word.removeprefix("0x") for word in other.get("memory") or ()]
        assert [word[2:] for word in mine.get("memory", ())] == memory
        if mine["op"] not in ("CREATE", "CREATE2") and not other.get("error"):
            assert mine["gasCost"] == other["gasCost"], (mine, other)


@every
def test_flat_traces(answers: dict[str, list[Any]], index: int) -> None:
    """Ours leaves out calls of precompiles (so later siblings count less), and is of another
    block."""
    ours, theirs = answers["flat"][index]
    theirs = [each for each in theirs if not _is_precompile(each)]
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert ("error" in mine) == (other.get("error") is not None)
        assert len(mine["traceAddress"]) == len(other["traceAddress"])
        for field in ("type", "action", "transactionHash", "transactionPosition"):
            assert mine[field] == other[field], field
        if "error" not in mine:
            assert mine["result"] == other["result"]


@every
def test_opcodes(answers: dict[str, list[Any]], index: int) -> None:
    """The outermost code's: anvil puts what is below calls at the wrong ones of them, lets calls
    push nothing, and shows no code, the whole memory, and the gas before the opcode."""
    ours, theirs = answers["opcodes"][index]
    assert ours["transactionHash"] == theirs["transactionHash"]
    size = len(ours["vmTrace"]["code"]) // 2 - 1
    written = [each for each in theirs["vmTrace"]["ops"] if each["pc"] < size]
    for mine, other in zip(ours["vmTrace"]["ops"], written, strict=True):
        assert (mine["pc"], mine["op"]) == (other["pc"], other["op"])
        if mine["ex"] is None:
            continue
        if mine["op"] not in ("CREATE", "CREATE2"):
            assert mine["cost"] == other["cost"], (mine, other)
        if not mine["op"].startswith(("CREATE", "CALL", "STATICCALL", "DELEGATECALL")):
            assert mine["ex"]["push"] == other["ex"]["push"], (mine, other)


def _fields(account: dict[str, Any]) -> dict[str, Any]:
    return {key: account.get(key) for key in ("balance", "code", "nonce")}


def _is_precompile(trace: dict[str, Any]) -> bool:
    to = trace["action"].get("to", "")
    return (
        bool(trace["traceAddress"])
        and to.startswith("0x" + "00" * 19)
        and to < "0x" + "00" * 19 + "12"
    )


def _without_error_names(call: dict[str, Any]) -> dict[str, Any]:
    plain = {**call, "calls": [_without_error_names(each) for each in call.get("calls", [])]}
    if "error" in plain:
        plain["error"] = True
    return plain
