"""`vmTrace`: the published example, and a dumb twin that is read off the struct logger's steps."""

from collections.abc import Iterator
from typing import Any

import pytest

from dst.execution.evm.opcode_table import EXPRESSIONS, STATEMENTS
from dst.execution.tracers.vm import PUSHES_NOTHING
from dst.spec.primitives import to_hex
from tests.unit.execution.rpc.bench import Rpc
from tests.unit.execution.rpc.traced_world import traced_world
from tests.unit.execution.trace_scenario import DEEP, LOGGER, POOR, transactions
from tests.unit.execution.worlds import ADDRESSES

SENT = transactions()
HASHES = [to_hex(each.hash) for each in SENT]
SENDER = to_hex(ADDRESSES[0])
STEPS = {"enableMemory": True}


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rpc]:
    with traced_world(tmp_path_factory.mktemp("vm")) as bench:
        yield bench


async def test_openethereums_example(traced: Rpc) -> None:
    """Init code of its `test_create_contract` (ethcore, executive.rs), run as a creation."""
    code = bytes.fromhex("601080600c6000396000f3006000355415600957005b60203560003555")
    call = {"from": SENDER, "data": to_hex(code), "gas": "0x186a0"}
    answer = await traced.ask("trace_call", call, ["vmTrace"])
    gas = 100_000 - 53_000 - 2 * 1 - sum(16 if byte else 4 for byte in code)
    wanted = [
        (0, "PUSH1", 3, ["0x10"], None),
        (2, "DUP1", 3, ["0x10", "0x10"], None),
        (3, "PUSH1", 3, ["0xc"], None),
        (5, "PUSH1", 3, ["0x0"], None),
        (7, "CODECOPY", 9, [], {"off": 0, "data": to_hex(code[12:28])}),
        (8, "PUSH1", 3, ["0x0"], None),
        (10, "RETURN", 0, [], None),
    ]
    trace = answer["vmTrace"]
    assert trace["code"] == to_hex(code)
    for operation, (pc, name, cost, push, memory) in zip(trace["ops"], wanted, strict=True):
        gas -= cost
        assert operation == {
            "pc": pc,
            "op": name,
            "cost": cost,
            "ex": {"mem": memory, "push": push, "store": None, "used": gas},
            "sub": None,
        }


@pytest.mark.parametrize("index", range(len(SENT)))
async def test_as_the_steps_say(traced: Rpc, index: int) -> None:
    asked = await traced.ask("trace_replayTransaction", HASHES[index], ["vmTrace"])
    steps = await traced.ask("debug_traceTransaction", HASHES[index], STEPS)
    logs = steps["structLogs"]
    if not logs:
        assert asked["vmTrace"] == {"code": "0x", "ops": []}
        return
    assert compare(asked["vmTrace"], logs, 0) == len(logs)
    assert (asked["trace"], asked["stateDiff"]) == ([], None)


def compare(trace: dict[str, Any], logs: list[dict[str, Any]], at: int) -> int:
    """Hold the frame that begins with log `at` against its trace; returns where it ends."""
    depth, end = logs[at]["depth"], len(trace["code"]) // 2 - 1
    operations = iter(trace["ops"])
    while at < len(logs) and logs[at]["depth"] == depth:
        log = logs[at]
        at += 1
        if log["pc"] >= end:
            assert log["op"] == "STOP", "behind the code there is only the stop nobody wrote"
            continue
        operation = next(operations)
        assert (operation["pc"], operation["op"]) == (log["pc"], log["op"])
        assert operation["cost"] == log["gasCost"]
        if at < len(logs) and logs[at]["depth"] == depth + 1:
            at = compare(operation["sub"], logs, at)
        else:
            assert operation["sub"] is None
        if at < len(logs) and logs[at]["depth"] == depth:
            compare_effects(operation["ex"], log, logs[at])
        elif log["op"] not in ("STOP", "RETURN", "REVERT", "SELFDESTRUCT"):
            assert operation["ex"] is None
    assert next(operations, None) is None
    return at


def compare_effects(did: dict[str, Any], before: dict[str, Any], after: dict[str, Any]) -> None:
    assert did["used"] == after["gas"]
    pushed = did["push"]
    assert pushed == (after["stack"][-len(pushed) :] if pushed else [])
    reached = depth_reached(before["op"])
    assert len(pushed) == reached or len(pushed) in (0, 1)
    if before["op"] == "SSTORE":
        key, value = before["stack"][-1], before["stack"][-2]
        assert did["store"] == {"key": key, "val": value}
    else:
        assert did["store"] is None
    if did["mem"] is not None:
        memory = "".join(word[2:] for word in after.get("memory", ()))
        start = 2 * did["mem"]["off"]
        data = did["mem"]["data"][2:]
        assert memory[start : start + len(data)] == data
    elif before.get("memory") != after.get("memory"):
        assert len(before.get("memory", ())) != len(after.get("memory", ())), "only grown"


def depth_reached(name: str) -> int:
    """How many values a DUP or SWAP is said to push."""
    for kind in ("DUP", "SWAP"):
        if name.startswith(kind):
            return int(name.removeprefix(kind)) + 1
    return 1


def test_what_pushes_is_what_the_table_of_opcodes_says() -> None:
    assert not PUSHES_NOTHING & EXPRESSIONS.keys()
    for opcode, statements in STATEMENTS.items():
        assert (opcode in PUSHES_NOTHING) != statements.pushes, hex(opcode)


async def test_calls_without_code_have_nothing_below_them(traced: Rpc) -> None:
    answer = await traced.ask("trace_call", {"to": to_hex(POOR), "from": SENDER}, ["vmTrace"])
    calls = [each for each in answer["vmTrace"]["ops"] if each["op"] in ("CALL", "CREATE")]
    assert len(calls) > 1
    for each in calls:
        assert each["sub"] is None
        assert each["ex"]["push"] == ["0x0"], "all refused"


async def test_a_thousand_levels_are_written_once(traced: Rpc) -> None:
    """Its size grows with the number of opcodes, not with the depth they are at."""
    call = {"to": to_hex(DEEP), "from": SENDER, "gas": "0x2faf080"}
    answer = await traced.reply("trace_call", call, ["vmTrace"])
    depth, frame = 0, answer["result"]["vmTrace"]
    while frame is not None:
        depth += 1
        frame = next((each["sub"] for each in frame["ops"] if each["sub"]), None)
    assert depth > 500


async def test_all_types_at_once_and_for_a_block(traced: Rpc) -> None:
    types = ["trace", "stateDiff", "vmTrace"]
    block = await traced.ask("trace_replayBlockTransactions", "0x1", types)
    for each in block:
        alone = await traced.ask("trace_replayTransaction", each["transactionHash"], types)
        assert each == {**alone, "transactionHash": each["transactionHash"]}
    call = [{"to": to_hex(LOGGER), "from": SENDER}, ["vmTrace"]]
    first, second = await traced.ask("trace_callMany", [call, call])
    assert first["vmTrace"] == second["vmTrace"]
    assert [each["op"] for each in first["vmTrace"]["ops"]].count("LOG2") == 1
