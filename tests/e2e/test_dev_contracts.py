"""The contracts of a `dev` genesis, used through a running role as their users use them."""

from collections.abc import Iterator
from typing import Any

import pytest
from eth_account import Account
from web3 import Web3

from dst.cli.cluster import create_cluster
from dst.cli.dev_contracts import PERMIT2, dev_contracts, permit2_domain_separator
from tests.e2e.test_execution_rpc import KEY, Node, store_contract

CHAIN_ID = 4242
FACTORIES = (
    "0x4e59b44847b379578588920cA78FbF26c0B4956C",
    "0x914d7Fec6aaC8cd542e72Bca78B30650d45643d7",
)
MULTICALL3 = Web3.to_checksum_address("0xca11bde05977b3631167028862be2a173976ca11")
RESULTS = {
    "name": "returnData",
    "type": "tuple[]",
    "components": [{"name": "success", "type": "bool"}, {"name": "returnData", "type": "bytes"}],
}
CALLS = {
    "name": "calls",
    "type": "tuple[]",
    "components": [
        {"name": "target", "type": "address"},
        {"name": "allowFailure", "type": "bool"},
        {"name": "callData", "type": "bytes"},
    ],
}
MULTICALL3_ABI: list[Any] = [
    {
        "type": "function",
        "name": "aggregate3",
        "stateMutability": "payable",
        "inputs": [CALLS],
        "outputs": [RESULTS],
    }
]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("dev-contracts")
    chain = {"dev": True, "genesis_time": 1_700_000_000, "chain_id": CHAIN_ID}
    create_cluster(folder, operators=1, chain=chain)
    running = Node(folder)
    running.start()
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def web3(node: Node) -> Any:
    return Web3(Web3.HTTPProvider(node.url))


def test_every_one_has_code(web3: Any) -> None:
    for contract in dev_contracts():
        address = Web3.to_checksum_address(contract.address)
        assert len(web3.eth.get_code(address)) == len(contract.code) // 2 - 1, contract.name
        assert web3.eth.get_transaction_count(address) == 1


@pytest.mark.parametrize("factory", FACTORIES)
def test_a_factory_deploys_to_the_foretold_address(node: Node, web3: Any, factory: str) -> None:
    salt, init_code = b"\x07" * 32, bytes.fromhex(store_contract()[2:])
    preimage = b"\xff" + bytes.fromhex(factory[2:]) + salt + Web3.keccak(init_code)
    foretold = Web3.to_checksum_address(Web3.keccak(preimage)[12:])
    account = Account.from_key(KEY)
    signed = account.sign_transaction(
        {
            "to": factory,
            "data": salt + init_code,
            "nonce": web3.eth.get_transaction_count(account.address),
            "gas": 500_000,
            "maxFeePerGas": 10**10,
            "maxPriorityFeePerGas": 1,
            "chainId": CHAIN_ID,
        }
    )
    with node.making_blocks():
        sent = web3.eth.send_raw_transaction(signed.raw_transaction)
        receipt = web3.eth.wait_for_transaction_receipt(sent, timeout=30)
    assert receipt["status"] == 1
    assert len(web3.eth.get_code(foretold)) > 100


def test_multicall3_batches_reads_and_survives_one_that_reverts(web3: Any) -> None:
    multicall = web3.eth.contract(address=MULTICALL3, abi=MULTICALL3_ABI)
    chain_id = Web3.keccak(text="getChainId()")[:4]
    calls = [(MULTICALL3, False, chain_id), (MULTICALL3, True, b"\xde\xad\xbe\xef")]
    (ok, word), (failed, _) = multicall.functions.aggregate3(calls).call()
    assert (ok, int.from_bytes(word, "big")) == (True, CHAIN_ID)
    assert failed is False


def test_permit2_signs_for_this_chain(web3: Any) -> None:
    data = Web3.keccak(text="DOMAIN_SEPARATOR()")[:4]
    answer = web3.eth.call({"to": Web3.to_checksum_address(PERMIT2), "data": data})
    assert bytes(answer) == permit2_domain_separator(CHAIN_ID)
