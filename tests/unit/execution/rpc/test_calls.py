"""eth_call, eth_estimateGas, eth_createAccessList: fees, authorizations, overrides, `pending`."""

from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from dst.crypto.checksum import checksum_address
from dst.execution.header import next_base_fee
from tests.unit.execution.evm.asm import asm, call
from tests.unit.execution.rpc.bench import Rpc, running
from tests.unit.execution.rpc.contracts import ENVIRONMENT, LOGGER, STORE
from tests.unit.execution.trace_scenario import ERROR_TEXT, revert_with
from tests.unit.execution.worlds import (
    ADDRESSES,
    CHAIN_ID,
    GENESIS_TIME,
    GWEI,
    KEYS,
    RICH,
    address_of,
    make_world,
    signed,
)

POOR, TARGET = "0x" + "aa" * 20, "0x" + address_of(0x7A46).hex()
POOR_NAME = checksum_address(bytes.fromhex(POOR[2:]))
RICH_ONE = "0x" + ADDRESSES[0].hex()
ENV = "0x" + ENVIRONMENT.hex()
READ_SLOT = asm("0 CALLDATALOAD SLOAD 0 MSTORE 32 0 RETURN")
RETURN_BALANCE = asm("SELFBALANCE 0 MSTORE 32 0 RETURN")


def words(answer: str) -> list[int]:
    data = bytes.fromhex(answer[2:])
    return [int.from_bytes(data[at : at + 32], "big") for at in range(0, len(data), 32)]


def hexed(code: bytes) -> str:
    return "0x" + code.hex()


def word(value: int) -> str:
    return f"0x{value:064x}"


# the block that a call sees


async def test_a_call_at_pending_sees_the_next_block(rpc: Rpc) -> None:
    head = rpc.extend([signed()]).header
    rpc.now = head.timestamp + 1.5
    assert words(await rpc.ask("eth_call", {"to": ENV}, "latest"))[:2] == [1, head.timestamp]
    number, timestamp, base_fee = words(await rpc.ask("eth_call", {"to": ENV}, "pending"))
    assert (number, timestamp, base_fee) == (2, head.timestamp + 2, 0)
    pays = {"to": ENV, "from": RICH_ONE, "gas": "0x186a0", "maxFeePerGas": hex(2 * GWEI)}
    assert words(await rpc.ask("eth_call", pays, "pending"))[2] == next_base_fee(head)


async def test_block_overrides(rpc: Rpc) -> None:
    overrides = {"number": "0x77", "time": "0x88", "baseFeePerGas": "0x9"}
    pays = {"to": ENV, "from": RICH_ONE, "gas": "0x186a0", "gasPrice": "0xa"}
    answer = await rpc.ask("eth_call", pays, "latest", None, overrides)
    assert words(answer) == [0x77, 0x88, 9]
    free = await rpc.ask("eth_call", {"to": ENV}, "latest", {}, overrides)
    assert words(free) == [0x77, 0x88, 0], "a free call sees a base fee of nothing"


async def test_the_rest_of_the_block_can_be_overridden(rpc: Rpc) -> None:
    code = "COINBASE 0 MSTORE PREVRANDAO 32 MSTORE GASLIMIT 64 MSTORE BLOBBASEFEE 96 MSTORE "
    code += "5 BLOCKHASH 128 MSTORE 160 0 RETURN"
    overrides = {
        "number": "0x7",
        "feeRecipient": "0x" + "fe" * 20,
        "prevRandao": word(0xDA0),
        "gasLimit": "0x1234567",
        "blobBaseFee": "0x15",
        "blockHash": {"0x5": word(0xB10C)},
    }
    state = {TARGET: {"code": hexed(asm(code))}}
    answer = words(await rpc.ask("eth_call", {"to": TARGET}, "latest", state, overrides))
    assert answer == [int("fe" * 20, 16), 0xDA0, 0x1234567, 0x15, 0xB10C]


# the state that a call sees


async def test_code_and_balance_overrides(rpc: Rpc) -> None:
    state = {TARGET: {"code": hexed(RETURN_BALANCE), "balance": "0x2a"}}
    assert words(await rpc.ask("eth_call", {"to": TARGET}, "latest", state)) == [42]
    assert await rpc.ask("eth_call", {"to": TARGET}, "latest") == "0x", "nothing stays"


async def test_state_replaces_storage_and_state_diff_adds_to_it(rpc: Rpc) -> None:
    store = "0x" + STORE.hex()
    rpc.extend([signed(to=STORE, data=(5).to_bytes(32, "big"), gas=100_000)])
    code = {"code": hexed(READ_SLOT)}

    async def read(slot: int, override: dict[str, Any]) -> int:
        request = {"to": store, "data": word(slot)}
        answer = await rpc.ask("eth_call", request, "latest", {store: {**code, **override}})
        return words(answer)[0]

    assert await read(0, {}) == 5
    assert await read(0, {"stateDiff": {word(1): word(9)}}) == 5
    assert await read(1, {"stateDiff": {word(1): word(9)}}) == 9
    assert await read(0, {"state": {word(1): word(9)}}) == 0
    assert await read(1, {"state": {word(1): word(9)}}) == 9


async def test_a_nonce_override_moves_the_address_of_a_creation(rpc: Rpc) -> None:
    code = asm("ADDRESS 0 MSTORE 32 0 RETURN")
    request = {"from": RICH_ONE, "data": hexed(code)}
    plain = await rpc.ask("eth_call", request, "latest")
    moved = await rpc.ask("eth_call", request, "latest", {RICH_ONE: {"nonce": "0x5"}})
    assert plain != moved


async def test_a_precompile_moves(rpc: Rpc) -> None:
    identity, code = "0x" + address_of(4).hex(), hexed(asm("7 0 MSTORE 32 0 RETURN"))
    state = {identity: {"movePrecompileToAddress": TARGET, "code": code}}
    echo = {"to": TARGET, "data": "0x1234"}
    assert await rpc.ask("eth_call", echo, "latest", state) == "0x1234"
    assert words(await rpc.ask("eth_call", {"to": identity}, "latest", state)) == [7]
    assert await rpc.ask("eth_call", {**echo, "to": identity}, "latest") == "0x1234"


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (
            {POOR: {"movePrecompileToAddress": TARGET}},
            f"account {POOR_NAME} is not a precompile",
        ),
        (
            {"0x" + address_of(4).hex(): {"movePrecompileToAddress": POOR}, POOR: {}},
            f"account {POOR_NAME} is already overridden",
        ),
    ],
)
async def test_contradicting_overrides_are_refused(
    rpc: Rpc, state: dict[str, Any], message: str
) -> None:
    error = await rpc.error("eth_call", {"to": TARGET}, "latest", state)
    assert (error["code"], error["message"]) == (-32000, message)


async def test_state_and_state_diff_together_are_refused(rpc: Rpc) -> None:
    both: dict[str, Any] = {POOR: {"state": {}, "stateDiff": {}}}
    error = await rpc.error("eth_call", {"to": TARGET}, "latest", both)
    assert error["code"] == -32602
    assert "has both 'state' and 'stateDiff'" in error["message"]


async def test_estimates_and_access_lists_know_overrides(rpc: Rpc) -> None:
    state = {POOR: {"balance": hex(RICH)}}
    request = {"from": POOR, "to": TARGET, "value": "0x1", "gasPrice": hex(GWEI)}
    assert await rpc.ask("eth_estimateGas", request, "latest", state) == hex(21_000)
    assert (await rpc.error("eth_estimateGas", request))["message"].startswith("insufficient funds")
    code = {TARGET: {"code": hexed(READ_SLOT)}}
    listed = await rpc.ask("eth_createAccessList", {"to": TARGET, "data": word(3)}, "latest", code)
    assert listed["accessList"] == [{"address": TARGET, "storageKeys": [word(3)]}]


# fees


async def test_both_kinds_of_fee_are_refused(rpc: Rpc) -> None:
    for fee in ("maxFeePerGas", "maxPriorityFeePerGas"):
        request = {"to": TARGET, "gasPrice": "0x1", fee: "0x1"}
        for method in ("eth_call", "eth_estimateGas", "eth_createAccessList"):
            error = await rpc.error(method, request)
            assert error["code"] == -32602
            assert (
                "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) spec" in error["message"]
            )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"maxFeePerGas": "0x1"},
            "err: max fee per gas less than block base fee: address {who}, maxFeePerGas: 1, "
            "baseFee: 1000000000 (supplied gas 50000000)",
        ),
        (
            {"gasPrice": hex(2 * GWEI), "gas": "0x5208"},
            "err: insufficient funds for gas * price + value: address {who} have 0 want "
            "42000000000000 (supplied gas 21000)",
        ),
        (
            {"maxPriorityFeePerGas": "0x2", "maxFeePerGas": "0x1"},
            "err: max priority fee per gas higher than max fee per gas: address {who}, "
            "maxPriorityFeePerGas: 2, maxFeePerGas: 1 (supplied gas 50000000)",
        ),
        (
            {"value": "0x3"},
            "err: insufficient funds for gas * price + value: address {who} have 0 want 3 "
            "(supplied gas 50000000)",
        ),
        ({"gas": "0x0"}, "err: intrinsic gas too low: have 0, want 21000 (supplied gas 0)"),
    ],
)
async def test_a_call_that_cannot_begin_says_why_in_geths_words(
    rpc: Rpc, fields: dict[str, Any], message: str
) -> None:
    error = await rpc.error("eth_call", {"from": POOR, "to": TARGET, **fields})
    assert (error["code"], error["message"]) == (-32000, message.format(who=POOR_NAME))


async def test_another_chains_id_is_refused(rpc: Rpc) -> None:
    error = await rpc.error("eth_call", {"to": TARGET, "chainId": "0x1"})
    assert f"chainId does not match node's (have=1, want={CHAIN_ID})" in error["message"]


# authorizations


def authorization(key: bytes = KEYS[1], nonce: int = 0) -> dict[str, str]:
    made = Account.from_key(key).sign_authorization(
        {"chainId": CHAIN_ID, "address": ENVIRONMENT, "nonce": nonce}
    )
    return {
        "chainId": hex(CHAIN_ID),
        "address": ENV,
        "nonce": hex(nonce),
        "yParity": hex(made.y_parity),
        "r": hex(made.r),
        "s": hex(made.s),
    }


async def test_an_estimate_pays_for_authorizations_and_is_enough(rpc: Rpc) -> None:
    request = {"from": RICH_ONE, "to": TARGET, "authorizationList": [authorization()]}
    estimate = int(await rpc.ask("eth_estimateGas", request), 16)
    assert 46_000 <= estimate < 47_000
    mined = rpc.extend(
        [
            signed(
                type=4,
                to=bytes.fromhex(TARGET[2:]),
                value=0,
                gas=estimate,
                authorizationList=[
                    Account.from_key(KEYS[1]).sign_authorization(
                        {"chainId": CHAIN_ID, "address": ENVIRONMENT, "nonce": 0}
                    )
                ],
            )
        ]
    )
    assert mined.result.receipts[0].succeeded


async def test_a_call_runs_delegated_code(rpc: Rpc) -> None:
    delegated = "0x" + ADDRESSES[1].hex()
    request = {"to": delegated, "authorizationList": [authorization()]}
    assert words(await rpc.ask("eth_call", request))[:2] == [0, GENESIS_TIME]
    assert await rpc.ask("eth_call", {"to": delegated}) == "0x"


async def test_set_code_messages_keep_their_rules(rpc: Rpc) -> None:
    creates = await rpc.error("eth_call", {"data": "0x", "authorizationList": [authorization()]})
    assert "cannot be used to create contract" in creates["message"]
    empty = await rpc.error("eth_call", {"to": TARGET, "authorizationList": []})
    assert "with empty auth list" in empty["message"]


# estimates


async def test_a_transfer_needs_21000(rpc: Rpc) -> None:
    assert await rpc.ask("eth_estimateGas", {"from": RICH_ONE, "to": POOR, "value": "0x1"}) == (
        hex(21_000)
    )


async def test_an_estimate_below_what_the_call_needs_is_refused(rpc: Rpc) -> None:
    spinner = {TARGET: {"code": hexed(asm("JUMPDEST 0 JUMP"))}}
    request = {"to": TARGET, "gas": "0xc350"}
    error = await rpc.error("eth_estimateGas", request, "latest", spinner)
    assert (error["code"], error["message"]) == (
        -32000,
        "gas required exceeds allowance (50000)",
    )


async def test_a_revert_is_code_3_with_its_reason(rpc: Rpc) -> None:
    state = {TARGET: {"code": hexed(revert_with(ERROR_TEXT))}}
    for method in ("eth_call", "eth_estimateGas"):
        error = await rpc.error(method, {"to": TARGET}, "latest", state)
        assert error == {
            "code": 3,
            "message": "execution reverted: wrong",
            "data": hexed(ERROR_TEXT),
        }


# access lists


async def test_an_access_list_makes_the_message_cheaper_or_says_so(rpc: Rpc) -> None:
    caller = asm(call(STORE, data=32) + call(LOGGER, kind="STATICCALL") + "STOP")
    state = {TARGET: {"code": hexed(caller)}}
    listed = await rpc.ask("eth_createAccessList", {"to": TARGET}, "latest", state)
    touched = {each["address"]: each["storageKeys"] for each in listed["accessList"]}
    assert touched == {"0x" + STORE.hex(): [word(0)], "0x" + LOGGER.hex(): []}
    request = {"to": TARGET, "accessList": listed["accessList"]}
    again = await rpc.ask("eth_createAccessList", request, "latest", state)
    assert again == listed


async def test_an_access_list_of_a_failing_message_names_the_error(rpc: Rpc) -> None:
    state = {TARGET: {"code": hexed(asm("3 SLOAD POP 0 0 REVERT"))}}
    listed = await rpc.ask("eth_createAccessList", {"to": TARGET}, "latest", state)
    assert listed["error"] == "execution reverted"
    assert listed["accessList"] == [{"address": TARGET, "storageKeys": [word(3)]}]


# bounds


async def test_nothing_runs_longer_than_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endless loop ends at the deadline, whichever method runs it."""
    monkeypatch.setattr("dst.execution.call_workers.CALL_TIMEOUT_S", 0.05)
    spinner = address_of(0x5150)
    calls = asm("JUMPDEST 0 0 0 0 0 CALLER GAS CALL 0 MSTORE 0 JUMP")
    world = make_world(tmp_path, {spinner: calls}, gas_limit=2**40)
    request = {"to": "0x" + spinner.hex(), "gas": "0x2faf080"}
    with running(world) as bench:
        for method, params in (
            ("eth_call", (request,)),
            ("eth_estimateGas", (request,)),
            ("eth_createAccessList", (request,)),
            ("debug_traceCall", (request, "latest", {"tracer": "callTracer"})),
            ("debug_traceCall", (request, "latest", {"disableStack": True, "limit": 1})),
            ("trace_call", (request, ["trace"])),
            ("eth_simulateV1", ({"blockStateCalls": [{"calls": [request]}]},)),
        ):
            error = await bench.error(method, *params)
            assert error["code"] == -32000, (method, error)
            assert "execution aborted" in error["message"], (method, error)
    world.store.close()
