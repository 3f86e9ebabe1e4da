"""debug_trace*: every kind of frame and step as geth 1.15.11 showed it, and what is refused.

`fixtures/traces` holds what geth answered for `trace_scenario`'s transactions on the same genesis,
in the same two blocks.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.execution.evm.asm import asm
from tests.unit.execution.rpc.bench import Rpc
from tests.unit.execution.rpc.traced_world import FIRST_BLOCK, traced_world
from tests.unit.execution.trace_scenario import CHILD, CLEARER, DOOMED, transactions
from tests.unit.execution.worlds import ADDRESSES

FIXTURE = Path(__file__).parents[4] / "fixtures" / "traces" / "geth-1.15.11.json"
GETH: dict[str, Any] = json.loads(FIXTURE.read_text())
HASHES: list[str] = GETH["transactions"]
CHILD_KEY, DOOMED_KEY = "0x" + CHILD.hex(), "0x" + DOOMED.hex()


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rpc]:
    with traced_world(tmp_path_factory.mktemp("traced")) as bench:
        yield bench


def cases() -> list[Any]:
    return [
        pytest.param(name, index, id=f"{name}-{index}")
        for name, tracer in GETH["tracers"].items()
        for index, result in enumerate(tracer["results"])
        if result is not None
    ]


@pytest.mark.parametrize(("name", "index"), cases())
async def test_as_geth(traced: Rpc, name: str, index: int) -> None:
    wanted = GETH["tracers"][name]["results"][index]
    config = GETH["tracers"][name]["config"]
    ours = await traced.ask("debug_traceTransaction", HASHES[index], config)
    assert _plain(_agreed(name, index, ours)) == _plain(wanted)


def _agreed(name: str, index: int, ours: Any) -> Any:
    """Our answer with the places where we mean to differ as geth has them.

    - A call of an account with a delegation needs the code that it points to (EIP-7702): we list
      it, geth only where an opcode calls.
    - SELFDESTRUCT of an older contract deletes nothing (EIP-6780): we show the balance that it has
      afterwards, geth takes it for deleted.
    """
    if name == "prestateTracer" and index == 19:
        del ours[CHILD_KEY]
    if name == "prestateTracer diffMode" and transactions()[index].to == CLEARER:
        assert ours["post"].pop(DOOMED_KEY) == {"balance": "0x0"}
    if name == "prestateTracer diffMode" and transactions()[index].to == DOOMED:
        code = {"balance": "0x0", "code": "0x61beefff", "nonce": 1}
        ours["pre"][DOOMED_KEY] = code
    return ours


def _plain(value: Any) -> Any:
    """Without what geth of that version left out: 0x before words (execution-apis wants it), a
    refund of zero. The cost of an opcode that fails is not compared: geth counts what it would have
    cost, we what it asked for."""
    if isinstance(value, list):
        if value and isinstance(value[0], dict) and "pc" in value[0]:
            return [_plain_step(step, value[at + 1 :]) for at, step in enumerate(value)]
        return [_plain(each) for each in value]
    if not isinstance(value, dict):
        return value
    plain = {key: _plain(each) for key, each in value.items()}
    if "returnValue" in plain:
        plain["returnValue"] = plain["returnValue"].removeprefix("0x")
    if isinstance(plain.get("error"), str):
        plain["error"] = plain["error"].split(": not enough gas")[0]
    return plain


def _plain_step(step: dict[str, Any], following: list[dict[str, Any]]) -> dict[str, Any]:
    plain: dict[str, Any] = _plain(step)
    plain["refund"] = plain.get("refund", 0)
    plain["op"] = plain["op"].replace("DIFFICULTY", "PREVRANDAO")
    plain["memory"] = [word.removeprefix("0x") for word in plain.get("memory", [])]
    storage = plain.get("storage", {})
    plain["storage"] = {key[-64:]: value[-64:] for key, value in storage.items()}
    ends = not following or following[0]["depth"] < step["depth"]
    if ends and step["op"] not in ("STOP", "RETURN", "REVERT", "SELFDESTRUCT"):
        del plain["gasCost"]
    return plain


async def test_a_block_is_traced_as_its_transactions(traced: Rpc) -> None:
    config = {"tracer": "callTracer", "tracerConfig": {"withLog": True}}
    for number, hashes in ((1, HASHES[:FIRST_BLOCK]), (2, HASHES[FIRST_BLOCK:])):
        block = await traced.ask("eth_getBlockByNumber", hex(number), False)
        singly = [await traced.ask("debug_traceTransaction", each, config) for each in hashes]
        whole = await traced.ask("debug_traceBlockByNumber", hex(number), config)
        assert [each["result"] for each in whole] == singly
        assert [each["txHash"] for each in whole] == hashes
        assert whole == await traced.ask("debug_traceBlockByHash", block["hash"], config)


async def test_traces_say_what_receipts_say(traced: Rpc) -> None:
    for transaction_hash in HASHES:
        receipt = await traced.ask("eth_getTransactionReceipt", transaction_hash)
        config = {"tracer": "callTracer", "tracerConfig": {"withLog": True}}
        top = await traced.ask("debug_traceTransaction", transaction_hash, config)
        assert top["gasUsed"] == receipt["gasUsed"]
        assert ("error" in top) == (receipt["status"] == "0x0")
        assert sorted(_logs(top)) == sorted(log["data"] for log in receipt["logs"])


def _logs(call: dict[str, Any]) -> list[str]:
    own = [log["data"] for log in call.get("logs", [])]
    return own + [log for each in call.get("calls", []) for log in _logs(each)]


async def test_tracers_together(traced: Rpc) -> None:
    both = {"tracer": "muxTracer", "tracerConfig": {"callTracer": {}, "4byteTracer": None}}
    answer = await traced.ask("debug_traceTransaction", HASHES[1], both)
    assert answer == {
        name: GETH["tracers"][name]["results"][1] for name in ("callTracer", "4byteTracer")
    }


async def test_a_call_is_traced_as_the_transaction_it_would_be(traced: Rpc) -> None:
    """The state after block 2, where the same message does the same."""
    call = {"to": "0x" + CHILD.hex(), "from": "0x" + "00" * 20, "gas": hex(100_000)}
    top = await traced.ask("debug_traceCall", call, "latest", {"tracer": "callTracer"})
    assert (top["type"], top["output"], top["gas"]) == ("CALL", "0x" + "00" * 32, hex(100_000))
    steps = (await traced.ask("debug_traceCall", call, "latest"))["structLogs"]
    assert [step["op"] for step in steps] == [
        "CALLVALUE",
        "PUSH0",
        "MSTORE",
        "PUSH1",
        "PUSH0",
        "RETURN",
    ]


async def test_a_traced_call_takes_overrides(traced: Rpc) -> None:
    call = {"to": "0x" + "77" * 20}
    config = {
        "stateOverrides": {"0x" + "77" * 20: {"code": "0x4300"}},
        "blockOverrides": {"number": "0x99"},
    }
    steps = (await traced.ask("debug_traceCall", call, "latest", config))["structLogs"]
    assert steps[1]["stack"] == ["0x99"]


@pytest.mark.parametrize("index", range(len(HASHES)))
async def test_a_call_at_its_place_in_the_block_is_the_transaction(traced: Rpc, index: int) -> None:
    """Every mined transaction, as a call before itself."""
    sent = await traced.ask("eth_getTransactionByHash", HASHES[index])
    names = "from to gas value input nonce accessList authorizationList maxFeePerGas".split()
    call = {name: sent[name] for name in names if name in sent}
    call["maxPriorityFeePerGas"] = sent["maxPriorityFeePerGas"]
    block, position = sent["blockHash"], sent["transactionIndex"]
    for config in (
        {"tracer": "callTracer", "tracerConfig": {"withLog": True}},
        {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}},
        {},
    ):
        mined = await traced.ask("debug_traceTransaction", HASHES[index], config)
        before = {**config, "txIndex": position}
        assert await traced.ask("debug_traceCall", call, block, before) == mined


async def test_overrides_come_on_top_of_the_block_so_far(traced: Rpc) -> None:
    """What each transaction paid is gone, and the override is there."""
    reads = {"to": "0x" + "99" * 20}
    code = asm(f"{int.from_bytes(ADDRESSES[0], 'big'):#x} BALANCE 0x77 BALANCE NUMBER STOP")
    overrides = {
        reads["to"]: {"code": "0x" + code.hex()},
        "0x" + "77".rjust(40, "0"): {"balance": "0x123"},
    }
    seen = []
    for position in (0, "0x1", None):
        config = {"txIndex": position, "stateOverrides": overrides}
        steps = (await traced.ask("debug_traceCall", reads, "0x1", config))["structLogs"]
        seen.append(steps[-1]["stack"])
    balances = [int(each[0], 16) for each in seen]
    assert balances == sorted(balances, reverse=True)
    assert len(set(balances)) == 3
    assert {tuple(each[1:]) for each in seen} == {("0x123", "0x1")}


async def test_parts_of_the_struct_log_can_be_left_out(traced: Rpc) -> None:
    off = {"disableStack": True, "disableStorage": True, "limit": 3}
    answer = await traced.ask("debug_traceTransaction", HASHES[1], off)
    assert len(answer["structLogs"]) == 3
    assert not {"stack", "storage", "memory"} & set(answer["structLogs"][0])
    whole = await traced.ask("debug_traceTransaction", HASHES[1])
    assert (answer["gas"], answer["returnValue"]) == (whole["gas"], whole["returnValue"])


@pytest.mark.parametrize(
    ("method", "params", "message"),
    [
        ("debug_traceTransaction", ["0x" + "00" * 31 + "01"], "transaction not found"),
        ("debug_traceBlockByNumber", ["0x0"], "genesis is not traceable"),
        ("debug_traceBlockByNumber", ["0x99"], "block #153 not found"),
        ("debug_traceBlockByHash", ["0x" + "01" * 32], f"block 0x{'01' * 32} not found"),
        ("debug_traceCall", [{"to": "0x" + "77" * 20}, "0x99"], "header not found"),
        (
            "debug_traceCall",
            [{}, "pending", {"txIndex": 0}],
            "txIndex: the pending block has no transactions yet",
        ),
        ("debug_traceCall", [{}, "0x0", {"txIndex": 0}], "genesis is not traceable"),
    ],
)
async def test_what_is_not_here(traced: Rpc, method: str, params: list[Any], message: str) -> None:
    error = await traced.error(method, *params)
    assert (error["code"], error["message"]) == (-32000, message)


async def test_an_index_beyond_the_block(traced: Rpc) -> None:
    block = await traced.ask("eth_getBlockByNumber", "0x1", False)
    index = len(block["transactions"])
    error = await traced.error("debug_traceCall", {}, "0x1", {"txIndex": index})
    wanted = f"transaction index {index} out of range for block {block['hash']}"
    assert (error["code"], error["message"]) == (-32000, wanted)


async def test_a_trace_that_fits_no_answer_is_refused(
    traced: Rpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dst.execution.rpc.replays.MAX_ANSWER_BYTES", 10_000)
    for config in ({}, {"tracer": "callTracer"}, {"tracer": "prestateTracer"}):
        error = await traced.error("debug_traceBlockByNumber", "0x1", config)
        assert error["code"] == -32000
        assert "the trace is larger than" in error["message"], config


async def test_a_client_may_ask_for_less_time(traced: Rpc) -> None:
    error = await traced.error("debug_traceBlockByNumber", "0x1", {"timeout": "1ns"})
    assert "execution aborted (timeout = 1e-09s)" in error["message"]
