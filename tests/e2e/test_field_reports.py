"""What users of such chains reported, tried on a running cluster of four and a follower as they
would see it (docs/field-reports.md says which row is judged where). Last come the two that break
the network on purpose: a follower that is cut off, and a cluster that has lost its quorum.
"""

import json
import os
import signal
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from eth_account import Account

from devnet.model.accounts import ACCOUNTS
from tests.e2e.conftest import NetworkFactory, RunningNetwork
from tests.e2e.test_transactions_on_a_network import (
    CHAIN_ID,
    Nodes,
    Refused,
    key_of,
    wait_for,
    with_constructor,
)

pytestmark = pytest.mark.xdist_group("field-reports-network")

OFFSET = 10_000
STALE_SLOTS = 8
"""docs/heavy-transactions.md: no block for 8 slots and 10 s is told."""
LOGGER = bytes.fromhex("5f5fa000")
"""log0 of nothing, stop."""
NUMBER_AND_TIME = "0x435f524260205260405ff3"
"""Returns NUMBER and TIMESTAMP."""


@pytest.fixture(scope="module")
def network(network_factory: NetworkFactory) -> RunningNetwork:
    return network_factory(
        "--backend", "process", "--port-offset", str(OFFSET), "--slot-seconds", "1"
    )


@pytest.fixture(scope="module")
def nodes(network: RunningNetwork) -> Nodes:
    return Nodes(network)


def ask(url: str, body: Any = None) -> tuple[int, dict[str, str], Any]:
    """(status, headers, JSON) of a GET, or of a POST of `body`."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            status, headers, raw = response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        status, headers, raw = error.code, error.headers, error.read()
    return status, dict(headers), json.loads(raw) if raw else None


def refusal(nodes: Nodes, node: str, method: str, *params: Any) -> dict[str, Any]:
    with pytest.raises(Refused) as refused:
        nodes.call(node, method, *params)
    (error,) = refused.value.args
    assert isinstance(error, dict)
    return error


# B02: eth_getLogs answers [] for what is not here


def test_no_node_answers_empty_for_a_range_that_it_lacks(nodes: Nodes) -> None:
    for node in nodes.urls:
        head = int(nodes.call(node, "eth_blockNumber"), 16)
        for first, last in (
            ("0x3", "0x1"),
            (hex(head + 1_000), hex(head + 1_001)),
            ("0x0", hex(head + 1_000)),
            (hex(head + 1_000), "latest"),
        ):
            error = refusal(nodes, node, "eth_getLogs", {"fromBlock": first, "toBlock": last})
            assert error["code"] == -32602, (node, first, last, error)


@pytest.mark.parametrize("by", ["number", "hash"])
def test_the_follower_never_answers_empty_for_a_block_that_an_operator_has(
    nodes: Nodes, by: str
) -> None:
    contract = nodes.deploy(key_of(0), with_constructor(LOGGER))
    transaction_hash = nodes.send("op1", nodes.sign(key_of(0), to=contract, gas=100_000))
    wait_for(
        lambda: nodes.call("op1", "eth_getTransactionReceipt", transaction_hash) is not None,
        lambda: "not mined at op1",
    )
    receipt = nodes.call("op1", "eth_getTransactionReceipt", transaction_hash)
    number, block_hash = receipt["blockNumber"], receipt["blockHash"]
    chosen = {"blockHash": block_hash}
    if by == "number":
        chosen = {"fromBlock": number, "toBlock": number}

    def has_it() -> bool:
        try:
            (log,) = nodes.call("f1", "eth_getLogs", chosen)
        except Refused:
            return False
        return bool(log["transactionHash"] == transaction_hash)

    wait_for(has_it, lambda: "the follower never has the block")


# B04: an estimate that does not know authorizations


def test_an_authorization_is_estimated_and_mined_with_that_much(nodes: Nodes) -> None:
    sender, authority = Account.from_key(key_of(1)), Account.create()
    authorization = authority.sign_authorization(
        {"chainId": CHAIN_ID, "address": "0x" + "cc" * 20, "nonce": 0}
    )
    call = {
        "from": sender.address,
        "to": "0x" + "bb" * 20,
        "authorizationList": [
            {
                "chainId": hex(CHAIN_ID),
                "address": "0x" + "cc" * 20,
                "nonce": "0x0",
                "yParity": hex(authorization.y_parity),
                "r": hex(authorization.r),
                "s": hex(authorization.s),
            }
        ],
    }
    (estimate,) = {nodes.call(node, "eth_estimateGas", call) for node in nodes.urls}
    assert int(estimate, 16) == 46_000
    fields: dict[str, Any] = {"type": 4, "gas": 46_000, "authorizationList": [authorization]}
    nodes.mined(nodes.send("op1", nodes.sign(key_of(1), to=b"\xbb" * 20, **fields)))
    code = nodes.call("f1", "eth_getCode", authority.address, "latest")
    assert code == "0xef0100" + "cc" * 20


# B05: overrides are as geth's; B06: what tools expect is deployed


def test_one_code_override_is_enough(nodes: Nodes) -> None:
    nobody = "0x" + "ab" * 20
    for node in nodes.urls:
        answer = nodes.call(
            node, "eth_call", {"to": nobody}, "latest", {nobody: {"code": "0x602a5f5260205ff3"}}
        )
        assert int(answer, 16) == 42, node


@pytest.mark.parametrize(
    "address",
    ["0x4e59b44847b379578588920ca78fbf26c0b4956c", "0xca11bde05977b3631167028862be2a173976ca11"],
)
def test_the_contracts_that_tools_expect_are_there(nodes: Nodes, address: str) -> None:
    (code,) = {nodes.call(node, "eth_getCode", address, "latest") for node in nodes.urls}
    assert len(code) > 100


# B07: a nonce gap that nobody tells


def test_a_gap_is_told_by_the_pool_and_by_the_status(nodes: Nodes) -> None:
    account = Account.create()
    nodes.mined(nodes.send("op1", nodes.sign(key_of(2), to=account.address, value=10**17)))
    gapped = nodes.send("op2", nodes.sign(account.key.hex(), 7, to=b"\xbb" * 20))
    for node in ("op2", "f1"):
        wait_for(
            lambda node=node: nodes.states(gapped)[node] == "queued",  # type: ignore[misc]
            lambda: str(nodes.states(gapped)),
        )
        assert nodes.call(node, "dst_transactionStatus", gapped)["missingNonce"] == "0x0"
        content = nodes.call(node, "txpool_content")
        (queued,) = (
            waiting
            for sender, waiting in content["queued"].items()
            if sender.lower() == account.address.lower()
        )
        assert queued["7"]["hash"] == gapped
        assert nodes.call(node, "txpool_contentFrom", account.address)["queued"].keys() == {"7"}


# B15: a pending block that is the latest one


@pytest.mark.parametrize("node", ["op1", "f1"])
def test_the_pending_block_comes_next_and_later(nodes: Nodes, node: str) -> None:
    nobody = "0x" + "ab" * 20
    override = {nobody: {"code": NUMBER_AND_TIME}}
    for _ in range(100):
        latest = nodes.call(node, "eth_getBlockByNumber", "latest", False)
        pending = nodes.call(node, "eth_getBlockByNumber", "pending", False)
        seen = nodes.call(node, "eth_call", {"to": nobody}, "pending", override)
        if nodes.call(node, "eth_getBlockByNumber", "latest", False) == latest:
            break
    else:
        pytest.fail("a block came between four questions, a hundred times")
    number, time = int(latest["number"], 16), int(latest["timestamp"], 16)
    assert int(pending["number"], 16) == number + 1
    assert int(pending["timestamp"], 16) > time
    assert pending["parentHash"] == latest["hash"]
    assert int(seen[:66], 16) == number + 1
    assert int(seen[66:], 16) > time


# B33: a filter of pending transactions; B47: accounts of a dev network


@pytest.mark.parametrize("node", ["op1", "f1"])
def test_a_pending_filter_tells_of_a_transaction_sent_elsewhere(nodes: Nodes, node: str) -> None:
    found = nodes.call(node, "eth_newPendingTransactionFilter")
    transaction_hash = nodes.send("op3", nodes.sign(key_of(3), to=b"\xbb" * 20))
    told: list[str] = []

    def has_it() -> bool:
        told.extend(nodes.call(node, "eth_getFilterChanges", found))
        return transaction_hash in told

    wait_for(has_it, lambda: f"{node} tells {told}")
    assert nodes.call(node, "eth_uninstallFilter", found) is True
    nodes.mined(transaction_hash)


@pytest.mark.parametrize("node", ["op4", "f1"])
def test_a_dev_account_sends_from_the_node(nodes: Nodes, node: str) -> None:
    accounts = nodes.call(node, "eth_accounts")
    assert [each.lower() for each in accounts] == [each.address.lower() for each in ACCOUNTS]
    sent = {"from": accounts[4], "to": "0x" + "bb" * 20, "value": "0x1"}
    receipt = nodes.mined(nodes.call(node, "eth_sendTransaction", sent))
    assert receipt["from"] == accounts[4].lower()


# B14: a node that lags, a cluster without a quorum


def beacon(network: RunningNetwork, node: str) -> str:
    listed = [*network.descriptor["operators"], *network.descriptor["followers"]]
    (url,) = (each["beacon"] for each in listed if each["name"] == node)
    assert isinstance(url, str)
    return url


def says_it_lags(nodes: Nodes, network: RunningNetwork, node: str) -> bool:
    """By each of its faces, or by none: eth_syncing, both healths, the Beacon API."""
    behind = nodes.call(node, "eth_syncing")
    status = ask(f"{beacon(network, node)}/eth/v1/node/syncing")[2]["data"]
    faces = {
        "eth_syncing": bool(behind),
        "execution health": ask(f"{nodes.urls[node]}/healthz")[0] == 503,
        "rollup health": ask(f"{beacon(network, node)}/healthz")[0] == 503,
        "is_syncing": status["is_syncing"],
        "beacon health": ask(f"{beacon(network, node)}/eth/v1/node/health")[0] == 206,
    }
    if behind and all(faces.values()):
        assert int(behind["highestBlock"], 16) - int(behind["currentBlock"], 16) > STALE_SLOTS
        assert int(status["sync_distance"]) > STALE_SLOTS
        return True
    return False


def says_it_is_well(nodes: Nodes, network: RunningNetwork, node: str) -> bool:
    return (
        nodes.call(node, "eth_syncing") is False
        and ask(f"{nodes.urls[node]}/healthz")[0] == 200
        and ask(f"{beacon(network, node)}/healthz")[0] == 200
        and not ask(f"{beacon(network, node)}/eth/v1/node/syncing")[2]["data"]["is_syncing"]
        and ask(f"{beacon(network, node)}/eth/v1/node/health")[0] == 200
    )


def told_at_submission(nodes: Nodes, node: str, raw: bytes) -> tuple[str, str | None]:
    """(hash, warning) of eth_sendRawTransaction."""
    body = {"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction"}
    _, headers, answer = ask(nodes.urls[node], {**body, "params": ["0x" + raw.hex()]})
    return answer["result"], headers.get("X-DST-Warning")


@contextmanager
def cut_off(network: RunningNetwork, follower: str) -> Iterator[None]:
    """The follower hears neither operators nor L1, until the block ends."""
    links = [(network.descriptor["l1"]["toxiproxy"], f"{follower}>l1.rpc")]
    links += [
        (operator["toxiproxy"], f"{follower}>{operator['name']}.beacon")
        for operator in network.descriptor["operators"]
    ]

    def switch(enabled: bool) -> None:
        for control, link in links:
            status, _, answer = ask(
                f"{control}/proxies/{urllib.parse.quote(link)}", {"enabled": enabled}
            )
            assert status == 200, (link, answer)

    switch(False)
    try:
        yield
    finally:
        switch(True)


def test_a_follower_that_lags_says_so_until_it_has_caught_up(
    network: RunningNetwork, nodes: Nodes
) -> None:
    wait_for(lambda: says_it_is_well(nodes, network, "f1"), lambda: "f1 is not well to begin with")
    with cut_off(network, "f1"):
        wait_for(lambda: says_it_lags(nodes, network, "f1"), lambda: "f1 does not say so")
        assert says_it_is_well(nodes, network, "op1"), "the others are not to be blamed"
        raw = nodes.sign(key_of(5), to=b"\xbb" * 20)
        transaction_hash, warning = told_at_submission(nodes, "f1", raw)
        assert warning is not None
        assert "this node lags" in warning
        told = nodes.call("f1", "dst_transactionStatus", transaction_hash)
        assert "this node lags" in told["warning"]
    wait_for(lambda: says_it_is_well(nodes, network, "f1"), lambda: "f1 does not catch up")
    nodes.mined(transaction_hash)
    assert told_at_submission(nodes, "f1", nodes.sign(key_of(5), to=b"\xbb" * 20))[1] is None


def test_a_cluster_without_a_quorum_tells_every_sender(
    network: RunningNetwork, nodes: Nodes
) -> None:
    """Two of four middlewares are killed by hand. Transactions are taken and kept, with a word.

    A sender for each node: one's next transaction would wait at the next node for the one before.
    """
    for name in ("op3", "op4"):
        path = network.directory / "run" / f"{name}.middleware.pid"
        os.kill(json.loads(path.read_text())["pid"], signal.SIGKILL)
    for sender, node in enumerate(nodes.urls, start=5):
        wait_for(
            lambda node=node: says_it_lags(nodes, network, node),  # type: ignore[misc]
            lambda node=node: f"{node} does not say so",  # type: ignore[misc]
        )
        raw = nodes.sign(key_of(sender), to=b"\xbb" * 20)
        transaction_hash, warning = told_at_submission(nodes, node, raw)
        assert warning is not None
        assert "the chain stands" in warning, node
        told = nodes.call(node, "dst_transactionStatus", transaction_hash)
        assert told["state"] == "pending", (node, told)
        assert "the chain stands" in told["warning"]
