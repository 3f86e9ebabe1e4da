"""Every method of the table against parameters of a wrong count, type and value, derived from its
signature: each is -32602 or an answer of its own, never a fault of ours, and nothing changes."""

import inspect
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dst.execution.rpc import parameters
from dst.execution.rpc.dispatch import Entry, entries
from dst.execution.rpc.families import FAMILIES
from dst.execution.rpc.parameters import Kind, kind_of
from tests.unit.execution.rpc.bench import Rpc

TABLE = entries(FAMILIES)
WAITS = {"evm_mine", "anvil_mine", "hardhat_mine"}
"""With good parameters they wait for blocks that nobody makes here."""

WRONG: dict[str, list[Any]] = {
    "address": ["0x", "0x12", "11" * 20, "0x" + "zz" * 20, "0x" + "11" * 21],
    "hash": ["0x", "0x12", "22" * 32, "0x" + "zz" * 32],
    "block": ["", "0x", "0x01", "newest", "1", "0x1ffffffffffffffff", {"blockHash": "0x1"}, {}],
    "quantity": ["", "0x", "0x01", "1", "0x-1", "0x1ffffffffffffffff"],
    "data": ["12", "0x1", "0xzz"],
    "flag": ["true", 1, 0],
    "slot": ["0", "0xzz", "0x" + "0" * 65, "0x-1"],
    "count": ["2", "0x", -1, 1.5, 1 << 64],
    "percentiles": ["10", [20, 10], [101], [-1], [True], ["10"], [None], [1e400], list(range(101))],
    "filter": ["0x", {"topics": {}}, {"topics": [[[]]]}, {"address": 7}, {"fromBlock": []}],
    "transaction": ["0x", {"to": 7}, {"value": "1"}, {"gas": -1}, {"data": "0x1"}, {"from": []}],
    "filter id": ["x", ""],
    "slots": ["0x", ["zz"], [7], {}],
    "state overrides": ["0x", [], {"0x12": {}}, {"0x" + "11" * 20: []}],
    "block overrides": ["0x", [], {"number": "1"}, {"time": -1}],
    "simulation": ["0x", [], {}, {"blockStateCalls": {}}, {"blockStateCalls": [[]]}],
    "slots by address": ["0x", {"0x12": []}, {"0x" + "11" * 20: "0x0"}, {"0x" + "11" * 20: [7]}],
    "trace config": [
        "0x",
        [],
        {"tracer": "jsTracer"},
        {"tracer": 7},
        {"timeout": "soon"},
        {"timeout": 5},
        {"limit": -1},
        {"disableStack": 1},
        {"tracer": "callTracer", "tracerConfig": []},
        {"tracer": "callTracer", "tracerConfig": {"withLog": "yes"}},
    ],
    "trace types": ["trace", ["gasTrace"], [7], {}],
    "trace filter": ["0x", [], {"mode": "both"}, {"fromAddress": "0x"}, {"count": -1}],
    "trace address": ["0x", ["x"], [-1], {}],
    "calls": ["0x", [{}], [[{}, ["gasTrace"]]], [[[], []]]],
    "subscription": ["heads", ""],
    "text": [7, []],
    "typed data": [
        "0x",
        "{",
        {},
        {"types": {}, "primaryType": "A", "domain": {}, "message": {}},
        {"types": {"A": []}, "primaryType": "A", "domain": [], "message": {}},
        {"types": {"A": [{}]}, "primaryType": "A", "domain": {}, "message": {}},
    ],
    "raw transactions": ["0x12", [7], ["12"], ["0x1"], {}],
    "hashes": ["0x12", [7], ["0x12"], {}],
    "options": [],
    "milliseconds": ["1", -1, 1.5],
}
"""By kind: values that are JSON of a good type and wrong all the same."""
NEVER_RIGHT: list[Any] = [3.5, [[[]]], {"a": {"b": []}}, "\x00", "0x" + "f" * 10_000]
"""Right for no kind; a flag and a count refuse even true."""


OBJECTS = ("filter", "transaction", "block overrides", "trace config", "trace filter")


def wrong_values(kind: Kind) -> list[Any]:
    return [*WRONG[kind.name], *NEVER_RIGHT]


def positions() -> list[tuple[str, int, Kind]]:
    return [
        (name, position, kind)
        for name, entry in TABLE.items()
        for position, each in enumerate(entry.parameters)
        if (kind := kind_of(each)) is not None
    ]


def good(entry: Entry) -> list[Any]:
    return [kind.example if (kind := kind_of(each)) else None for each in entry.parameters]


def accepts(kind: Kind, value: Any) -> bool:
    """What is refused elsewhere and yet right here."""
    if kind.name in ("data", "filter id") and isinstance(value, str):
        return (value.startswith("0x") and kind.name == "filter id") or value == "0x" + "f" * 10_000
    if kind.name in OBJECTS:
        return (
            isinstance(value, dict) and "a" in value
        )  # unknown fields are passed over, as in geth
    return kind.name == "options" or (kind.name == "text" and isinstance(value, str))


def test_every_parameter_of_every_method_names_its_kind() -> None:
    for name, entry in TABLE.items():
        for each in entry.parameters:
            kind = kind_of(each)
            assert kind is not None, f"{name}: {each.name}"
            assert kind.name in WRONG, kind.name
    known = [each for each in vars(parameters).values() if isinstance(each, Kind)]
    assert {each.name for each in known} >= set(WRONG)


@pytest.mark.parametrize(("name", "position", "kind"), positions())
async def test_a_wrong_parameter_is_named_as_such(
    rpc: Rpc, name: str, position: int, kind: Kind
) -> None:
    before = state_of(rpc)
    for wrong in wrong_values(kind):
        params = good(TABLE[name])
        params[position] = wrong
        if accepts(kind, wrong) and name in WAITS:
            continue
        error = (await rpc.reply(name, *params)).get("error", {"code": None})
        if accepts(kind, wrong):
            assert error["code"] != -32603, (wrong, error)
        elif name in ("eth_subscribe", "eth_unsubscribe"):
            assert error["code"] == -32601, "over HTTP"
        else:
            assert error["code"] == -32602, (wrong, error)
    assert state_of(rpc) == before


@pytest.mark.parametrize("name", TABLE)
async def test_a_wrong_count_is_named_as_such(rpc: Rpc, name: str) -> None:
    entry = TABLE[name]
    required = sum(each.default is inspect.Parameter.empty for each in entry.parameters)
    too_many = [*good(entry), "0x1"]
    assert (await rpc.error(name, *too_many))["code"] == -32602
    if required:
        assert (await rpc.error(name, *good(entry)[: required - 1]))["code"] == -32602
        assert (await rpc.error(name))["code"] == -32602


@pytest.mark.parametrize("name", sorted(set(TABLE) - WAITS))
async def test_good_parameters_are_never_a_fault_of_ours(rpc: Rpc, name: str) -> None:
    rpc.extend()
    reply = await rpc.reply(name, *good(TABLE[name]))
    if "error" in reply:
        assert reply["error"]["code"] in (-32000, -32601, 3), reply
    json.dumps(reply)


def state_of(rpc: Rpc) -> tuple[object, ...]:
    return rpc.world.chain.heads, rpc.pool.counts(), len(rpc.accepted)


leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=70)
    | st.sampled_from(["latest", "pending", "0x", "0x0", "0x1", "0x" + "11" * 20, "0x" + "22" * 32])
)
names = st.sampled_from(
    "from to data input gas value topics address fromBlock toBlock blockHash nonce chainId "
    "accessList authorizationList storageKeys type gasPrice maxFeePerGas".split()
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=8,
)


@settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    name=st.sampled_from(sorted(set(TABLE) - WAITS - {"eth_sendRawTransactionSync"})),
    params=st.lists(values, max_size=4),
)
async def test_no_parameters_at_all_are_a_fault_of_ours(
    rpc: Rpc, name: str, params: list[Any]
) -> None:
    reply = await rpc.reply(name, *params)
    assert reply.get("error", {}).get("code") != -32603, (name, params, reply)
