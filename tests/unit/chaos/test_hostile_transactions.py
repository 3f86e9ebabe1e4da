"""The hostile transactions do what their names say: on an independent EVM (anvil) each one succeeds
and spends its gas, so no precompile refused its input and no loop ended early."""

import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from devnet.workload.hostile.assembly import Code
from devnet.workload.hostile.catalogue import CATALOGUE
from devnet.workload.hostile.contracts import MAX_INIT_CODE
from devnet.workload.hostile.signing import GWEI, sign
from tests.ports import free_port

GAS = 10_000_000
KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
START_SECONDS = 20
RECEIPT_SECONDS = 30
SHARE = 0.85
"""Of the gas that a hostile transaction spends at least."""
SMALLER = {
    "deploy-jumpdests": 4_900_000,
    "calldata": 4_400_000,
    "access-list": 6_300_000,
    "authorizations": 7_600_000,
}
"""Limited by the size of code (EIP-170) and of transactions (128 KB in a pool), not by gas; a fifth
of the authorizations' gas is refunded here, because anvil takes every account as existing."""
ANVIL = shutil.which("anvil") or next(
    (str(path) for path in sorted(Path(__file__).parents[3].glob(".tools/**/anvil"))), None
)


def rpc(url: str, method: str, *params: Any) -> Any:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        decoded = json.load(answer)
    assert "error" not in decoded, (method, decoded["error"])
    return decoded["result"]


def wait_for_receipt(url: str, transaction: str) -> Any:
    end = time.monotonic() + RECEIPT_SECONDS
    while (receipt := rpc(url, "eth_getTransactionReceipt", transaction)) is None:
        assert time.monotonic() < end, "anvil does not mine it"
        time.sleep(0.02)
    return receipt


@pytest.fixture(scope="module")
def anvil() -> Iterator[str]:
    port = free_port()
    assert ANVIL is not None
    words = ["--port", str(port), "--silent", "--hardfork", "prague", "--gas-limit", str(3 * GAS)]
    process = subprocess.Popen([ANVIL, *words])
    url, end = f"http://127.0.0.1:{port}", time.monotonic() + START_SECONDS
    while True:
        try:
            rpc(url, "eth_chainId")
            break
        except OSError:
            assert time.monotonic() < end, "anvil does not come up"
            time.sleep(0.05)
    try:
        yield url
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.anvil
@pytest.mark.skipif(ANVIL is None, reason="no anvil: run `make setup`")
@pytest.mark.parametrize("name", CATALOGUE)
def test_it_succeeds_and_spends_its_gas(anvil: str, name: str) -> None:
    sender = Account.from_key(KEY).address
    chain_id = int(rpc(anvil, "eth_chainId"), 16)
    nonce = int(rpc(anvil, "eth_getTransactionCount", sender, "latest"), 16)
    body = CATALOGUE[name](GAS)
    assert body.to is not None or len(body.data) <= MAX_INIT_CODE
    signed = sign(body, key=KEY, chain_id=chain_id, nonce=nonce, gas=GAS, tip=2 * GWEI)
    assert len(signed.raw) // 2 < 128 * 1024
    assert rpc(anvil, "eth_sendRawTransaction", signed.raw) == signed.hash
    receipt = wait_for_receipt(anvil, signed.hash)
    used = int(receipt["gasUsed"], 16)
    print(f"{name}: {used}")
    assert int(receipt["status"], 16) == 1
    assert used >= SMALLER.get(name, SHARE * GAS)


def test_the_catalogue_has_every_kind_that_stopped_a_chain_somewhere() -> None:
    wanted = (
        "blake2f bn254-pairing bn254-mul bn254-add modexp point-evaluation bls-pairing bls-g1-msm "
        "call- staticcall- identity extcodesize mulmod sha256 jump keccak-word keccak-megabyte "
        "memory mcopy log- create- exp deep-recursion deploy-jumpdests"
    ).split()
    for kind in wanted:
        assert any(name.startswith(kind) for name in CATALOGUE), kind


def test_push_is_the_shortest_and_labels_are_places() -> None:
    code = Code().push(0, 1, 255, 256).jumpdest("here").push_label("here").op("JUMP")
    assert code.build().hex() == "5f600160ff6101005b61000856"


def test_data_stands_behind_the_code() -> None:
    built = Code().copy_data(b"\xaa\xbb", to=5).op("STOP").build()
    assert built.hex() == "600261000960053900aabb"


def test_a_label_that_was_never_placed_is_an_error() -> None:
    with pytest.raises(KeyError):
        Code().push_label("nowhere").build()
