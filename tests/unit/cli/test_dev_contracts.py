"""The contracts of a `dev` genesis: the published code, at the published places, on our chain."""

import json
from pathlib import Path

import pytest

from dst.cli.cluster import create_cluster
from dst.cli.dev_contracts import (
    PERMIT2,
    contract_alloc,
    dev_contracts,
    permit2_domain_separator,
)
from dst.crypto.keccak import keccak256

PUBLISHED_CODE_HASHES = {
    "0x4e59b44847b379578588920ca78fbf26c0b4956c": (
        "2fa86add0aed31f33a762c9d88e807c475bd51d0f52bd0955754b2608f7e4989"
    ),
    "0xca11bde05977b3631167028862be2a173976ca11": (
        "d5c15df687b16f2ff992fc8d767b4216323184a2bbc6ee2f9c398c318e770891"
    ),
}
"""EXTCODEHASH of them on Ethereum."""
CODES = {
    contract.address: bytes.fromhex(contract.code.removeprefix("0x"))
    for contract in dev_contracts()
}


def test_every_contract_names_its_source_and_a_licence_that_allows_copies() -> None:
    for contract in dev_contracts():
        assert contract.licence in {"MIT", "Unlicense"}, contract.name
        assert contract.source.count("/") == 1, contract.name
        assert contract.address == contract.address.lower()


@pytest.mark.parametrize("address", PUBLISHED_CODE_HASHES)
def test_code_is_the_published_one(address: str) -> None:
    assert keccak256(CODES[address]).hex() == PUBLISHED_CODE_HASHES[address]


def test_both_factories_are_the_same_program() -> None:
    proxy = CODES["0x4e59b44847b379578588920ca78fbf26c0b4956c"]
    assert CODES["0x914d7fec6aac8cd542e72bca78b30650d45643d7"] == proxy


def test_permit2_holds_chain_id_and_domain_of_its_chain() -> None:
    """The data file is Ethereum's deployment: what its constructor cached there is known."""
    ethereum = contract_alloc(1)[PERMIT2]
    assert ethereum == {
        "balance": "0x0",
        "nonce": "0x1",
        "code": "0x" + CODES[PERMIT2].hex(),
    }
    ours = contract_alloc(901)[PERMIT2]
    assert isinstance(ours, dict)
    code = bytes.fromhex(ours["code"][2:])
    assert permit2_domain_separator(901) in code
    assert permit2_domain_separator(1) not in code
    differing = [at for at, (a, b) in enumerate(zip(code, CODES[PERMIT2], strict=True)) if a != b]
    assert all(6945 <= at < 6977 or 6983 <= at < 7015 for at in differing)


def test_only_a_dev_genesis_has_them(tmp_path: Path) -> None:
    for dev in (True, False):
        folder = tmp_path / str(dev)
        create_cluster(folder, operators=1, chain={"dev": dev})
        alloc = json.loads((folder / "genesis.json").read_text())["alloc"]
        assert [address in alloc for address in CODES] == [dev] * len(CODES)


def test_an_account_of_the_users_replaces_one_of_them(tmp_path: Path) -> None:
    create_cluster(tmp_path, operators=1, chain={"dev": True}, alloc={PERMIT2: {"balance": "0x7"}})
    alloc = json.loads((tmp_path / "genesis.json").read_text())["alloc"]
    assert alloc[PERMIT2] == {"balance": "0x7"}
