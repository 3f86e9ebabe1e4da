"""trace_*: the flat form of the same traces that test_debug compares with geth."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from dst.transactions.gas import intrinsic_gas
from tests.unit.execution.rpc.bench import Rpc
from tests.unit.execution.rpc.test_debug import GETH, HASHES
from tests.unit.execution.rpc.traced_world import FIRST_BLOCK, traced_world
from tests.unit.execution.trace_scenario import CLEARER, DOOMED, PARENT, transactions
from tests.unit.execution.worlds import ADDRESSES

SENDER = "0x" + ADDRESSES[0].hex()
SENT = transactions()


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rpc]:
    with traced_world(tmp_path_factory.mktemp("traced")) as bench:
        yield bench


FLAT = GETH["tracers"]["flatCallTracer"]["results"]
KEPT = [index for index, result in enumerate(FLAT) if result is not None]


@pytest.mark.parametrize("index", KEPT)
async def test_as_geths_flat_tracer_in_openethereums_words(traced: Rpc, index: int) -> None:
    """Two differences of the forms: the outermost call shows the gas behind the intrinsic part
    (here as anvil, erigon), and a failed one has a null result."""
    wanted = deepcopy(FLAT[index])
    ours = await traced.ask("trace_transaction", HASHES[index])
    assert len(ours) == len(wanted)
    top = ours[0]["action"]
    assert int(top["gas"], 16) == SENT[index].gas - intrinsic_gas(SENT[index])
    for mine, theirs in zip(ours, wanted, strict=True):
        assert ("error" in mine) == ("error" in theirs)
        assert mine["error"][:1].isupper() if "error" in mine and mine["result"] else True
        for part in (mine, theirs):
            part.pop("error", None)
        if mine["traceAddress"] == []:
            for part in (mine, theirs):
                del part["action"]["gas"]
                (part.get("result") or {}).pop("gasUsed", None)
        assert mine == {"result": None, **theirs}


async def test_a_block_is_its_transactions(traced: Rpc) -> None:
    for number, hashes in ((1, HASHES[:FIRST_BLOCK]), (2, HASHES[FIRST_BLOCK:])):
        whole = await traced.ask("trace_block", hex(number))
        singly = [each for one in hashes for each in await traced.ask("trace_transaction", one)]
        assert whole == singly


async def test_one_trace_by_its_address(traced: Rpc) -> None:
    traces = await traced.ask("trace_transaction", HASHES[1])
    assert await traced.ask("trace_get", HASHES[1], ["0x2"]) == next(
        each for each in traces if each["traceAddress"] == [2]
    )
    assert await traced.ask("trace_get", HASHES[1], ["0x63"]) is None


async def test_what_is_not_here_is_null(traced: Rpc) -> None:
    unknown = "0x" + "11" * 32
    assert await traced.ask("trace_transaction", unknown) is None
    assert await traced.ask("trace_block", "0x99") is None
    assert await traced.ask("trace_block", "0x0") == []
    assert (await traced.error("trace_replayTransaction", unknown, []))["code"] == -32000


async def all_traces(traced: Rpc) -> list[dict[str, Any]]:
    first, second = [await traced.ask("trace_block", number) for number in ("0x1", "0x2")]
    return [*first, *second]


@pytest.mark.parametrize(
    ("wanted", "keeps"),
    [
        ({"fromAddress": [SENDER]}, lambda action: action.get("from") == SENDER),
        (
            {"toAddress": ["0x" + PARENT.hex()]},
            lambda action: action.get("to") == "0x" + PARENT.hex(),
        ),
        (
            {"fromAddress": [SENDER], "toAddress": ["0x" + PARENT.hex()], "mode": "intersection"},
            lambda action: (action.get("from"), action.get("to")) == (SENDER, "0x" + PARENT.hex()),
        ),
        ({}, lambda action: True),
    ],
)
async def test_a_filter_is_a_scan_of_the_blocks(traced: Rpc, wanted: Any, keeps: Any) -> None:
    span = {"fromBlock": "0x0", "toBlock": "0x2"}
    expected = [each for each in await all_traces(traced) if keeps(each["action"])]
    assert expected
    assert await traced.ask("trace_filter", {**span, **wanted}) == expected
    page = {**span, **wanted, "after": 1, "count": 2}
    assert await traced.ask("trace_filter", page) == expected[1:3]


async def test_filters_are_bounded(traced: Rpc) -> None:
    reversed_ = {"fromBlock": "0x2", "toBlock": "0x1"}
    assert (await traced.error("trace_filter", reversed_))["code"] == -32602
    future = {"fromBlock": "0x1", "toBlock": "0x99"}
    assert (await traced.error("trace_filter", future))["message"] == "header not found"


async def test_replays_show_output_traces_and_state_diff(traced: Rpc) -> None:
    index = next(at for at, each in enumerate(SENT) if each.to == CLEARER)
    answer = await traced.ask("trace_replayTransaction", HASHES[index], ["trace", "stateDiff"])
    traces = await traced.ask("trace_transaction", HASHES[index])
    bare = [
        {k: v for k, v in each.items() if not k.startswith(("block", "transaction"))}
        for each in traces
    ]
    assert answer["trace"] == bare
    diff = answer["stateDiff"]
    slot = f"0x{1:064x}"
    cleared = {"*": {"from": f"0x{5:064x}", "to": f"0x{0:064x}"}}
    assert diff["0x" + CLEARER.hex()]["storage"] == {slot: cleared}
    assert diff["0x" + DOOMED.hex()]["balance"] == {"*": {"from": hex(77), "to": "0x0"}}
    heir = diff["0x" + "00" * 18 + "beef"]
    assert (heir["balance"], heir["nonce"]) == ({"+": hex(77)}, {"+": "0x0"})
    assert answer["vmTrace"] is None
    block = await traced.ask("trace_replayBlockTransactions", "0x2", ["stateDiff"])
    assert block[index - FIRST_BLOCK]["stateDiff"] == diff
    assert block[index - FIRST_BLOCK]["transactionHash"] == HASHES[index]


async def test_calls_that_are_never_mined(traced: Rpc) -> None:
    call = {"from": SENDER, "to": "0x" + ADDRESSES[1].hex(), "value": "0x5"}
    answer = await traced.ask("trace_call", call, ["trace", "stateDiff"])
    (top,) = answer["trace"]
    assert (top["action"]["value"], answer["output"]) == ("0x5", "0x")
    assert set(answer["stateDiff"]) == {SENDER, call["to"]}
    back = {"from": call["to"], "to": SENDER, "value": "0x5"}
    many = await traced.ask("trace_callMany", [[call, ["trace"]], [back, ["stateDiff"]]])
    assert [len(each["trace"]) for each in many] == [1, 0]
    raw = "0x" + SENT[1].raw.hex()
    again = await traced.ask("trace_rawTransaction", raw, ["trace"])
    assert again["trace"][0]["action"]["to"] == "0x" + PARENT.hex()


async def test_the_same_calls_need_their_funds(traced: Rpc) -> None:
    poor = {"from": "0x" + "99" * 20, "to": SENDER, "value": "0x1"}
    for method, params in (
        ("trace_call", (poor, ["trace"])),
        ("trace_callMany", ([[poor, ["trace"]]],)),
    ):
        error = await traced.error(method, *params)
        assert error["code"] == -32000
        assert "insufficient funds" in error["message"]
