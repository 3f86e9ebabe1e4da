"""`devnet status` on a running network says what its users would otherwise have to guess: that a
transaction waits behind a missing nonce, and that the cluster has no quorum."""

import json
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from eth_account import Account
from web3 import Web3

from tests.e2e.conftest import NetworkFactory, RunningNetwork, run_devnet

pytestmark = pytest.mark.xdist_group("status-network")

OFFSET = "11000"
CHAIN_ID = 4242
DEADLINE_SECONDS = 30.0


@pytest.fixture(scope="module")
def network(network_factory: NetworkFactory) -> RunningNetwork:
    words = ("--backend", "process", "--port-offset", OFFSET, "--chain-id", str(CHAIN_ID))
    return network_factory(*words)


def status(network: RunningNetwork) -> dict[str, Any]:
    done = run_devnet(["status", "--json", "--dir", str(network.directory)], network.directory)
    assert done.code == 0, done.told
    facts: dict[str, Any] = json.loads(done.out)
    return facts


def until(network: RunningNetwork, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    end = time.monotonic() + DEADLINE_SECONDS
    while not holds(facts := status(network)):
        assert time.monotonic() < end, facts
    return facts


def test_a_network_that_runs_has_its_quorum_and_the_chain_id_asked_for(
    network: RunningNetwork,
) -> None:
    facts = until(network, lambda facts: facts["cluster"]["connected"] == 4)
    assert facts["chain_id"] == network.descriptor["chain_id"] == CHAIN_ID
    assert facts["cluster"]["has_quorum"]
    assert facts["cluster"]["advances"]
    assert facts["cluster"]["trouble"] == ""
    assert facts["blocked"] == []
    web3 = Web3(Web3.HTTPProvider(network.descriptor["operators"][0]["rpc"]))
    assert web3.eth.chain_id == CHAIN_ID
    block = web3.eth.get_block(0)
    assert facts["genesis_hash"] == network.descriptor["genesis_hash"] == block["hash"].to_0x_hex()


def test_a_transaction_behind_a_missing_nonce_is_told(network: RunningNetwork) -> None:
    operator = network.descriptor["operators"][0]
    account = network.descriptor["accounts"][9]
    web3 = Web3(Web3.HTTPProvider(operator["rpc"]))
    signed = Account.sign_transaction(
        {
            "to": account["address"],
            "nonce": 7,
            "gas": 21_000,
            "maxFeePerGas": 10**10,
            "maxPriorityFeePerGas": 10**9,
            "chainId": CHAIN_ID,
        },
        account["private_key"],
    )
    web3.eth.send_raw_transaction(signed.raw_transaction)
    facts = until(network, lambda facts: bool(facts["blocked"]))
    (line,) = facts["blocked"]
    assert "behind" in line
    op1 = next(node for node in facts["nodes"] if node["name"] == operator["name"])
    assert (op1["pending"], op1["queued"]) == (0, 1)


def test_a_log_that_is_flooded_keeps_its_ends(network: RunningNetwork) -> None:
    """The program goes on appending meanwhile."""
    log = network.directory / "logs" / "op1.rollup.log"
    first = log.read_bytes().splitlines()[0]
    with log.open("ab") as file:
        file.write(b"nothing to see here\n" * 1_800_000)
    end = time.monotonic() + DEADLINE_SECONDS
    while log.stat().st_size > 20 * 2**20:
        assert time.monotonic() < end, "it is as big as it was"
        time.sleep(0.1)
    lines = log.read_bytes().splitlines()
    assert lines[0] == first
    assert sum(line.startswith(b"[devnet: ") for line in lines) == 1
    until(network, lambda _: b"nothing to see here" not in log.read_bytes().splitlines()[-1])


def test_a_cluster_without_a_quorum_says_so(network: RunningNetwork) -> None:
    """Two of four middlewares are killed by hand: every node still answers."""
    for name in ("op3", "op4"):
        path = network.directory / "run" / f"{name}.middleware.pid"
        os.kill(json.loads(path.read_text())["pid"], signal.SIGKILL)
    facts = until(network, lambda facts: not facts["cluster"]["has_quorum"])
    assert facts["cluster"]["connected"] == 2
    assert facts["cluster"]["trouble"].startswith("NO QUORUM: 2 of 4 operators")
    until(network, lambda facts: not facts["cluster"]["advances"])
    expected = "a quorum, 2 of 4 vote and 3 must: op3 is not reached, op4 is not reached"
    until(network, lambda facts: expected in str(facts["waits_for"].get("op1.middleware")))
    done = run_devnet(["status", "--dir", str(network.directory)], network.directory)
    assert "NO QUORUM: 2 of 4 operators are up and connected, 3 must be" in done.out
