"""cast, as a person at a terminal uses it: argv is cast, URL, WebSocket URL, artifact, two keys."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_utils import keccak, to_checksum_address

from tests.e2e.clients.steps import (
    FACTORY,
    LIMIT_SECONDS,
    NOBODY,
    expect,
    expect_equal,
    run_steps,
    step,
    until,
)

CAST, URL, WS, ARTIFACT, *KEYS = sys.argv[1:]
PROBE = json.loads(Path(ARTIFACT).read_text())
ONE, TWO = (Account.from_key(key).address for key in KEYS)
ENVIRONMENT = {**os.environ, "NO_COLOR": "1"}
state: dict[str, Any] = {}


class CastFailed(Exception):
    """What it wrote on stderr."""


def cast(*words: object, url: str = URL) -> str:
    """Its answer without the newline. Raises: CastFailed."""
    done = subprocess.run(
        [CAST, *map(str, words)],
        env={**ENVIRONMENT, "ETH_RPC_URL": url},
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    if done.returncode:
        raise CastFailed(done.stderr.strip())
    return done.stdout.strip()


def sent(*words: object, key: str = KEYS[0]) -> dict[str, Any]:
    """The receipt of `cast send`."""
    fixed = ("--private-key", key, "--json", "--poll-interval", 1, "--timeout", 15)
    receipt: dict[str, Any] = json.loads(cast("send", *fixed, *words))
    return receipt


def fails(*words: object) -> str:
    try:
        cast(*words)
    except CastFailed as error:
        return str(error)
    raise AssertionError(f"cast {words[0]} did not fail")


def probe() -> str:
    return str(state["probe"])


def nonce_of(address: str, block: str = "latest") -> int:
    return int(cast("nonce", address, "--block", block))


@step("chain")
def _() -> None:
    expect_equal(cast("chain-id"), "901", "chain id")
    expect(cast("client"), "a version")
    expect(int(cast("block-number")) >= 0, "a number")
    expect(cast("age"), "an age")


@step("prices")
def _() -> None:
    expect(int(cast("gas-price")) > 0, "a price")
    expect(int(cast("base-fee")) > 0, "a base fee")


@step("deploy")
def _() -> None:
    receipt = sent("--create", PROBE["bytecode"], "constructor(uint256)", 5)
    state["probe"] = to_checksum_address(receipt["contractAddress"])
    expect_equal(cast("call", probe(), "value()(uint256)"), "5", "constructor's value")


@step("send and call")
def _() -> None:
    receipt = sent(probe(), "store(uint256)", 42)
    expect_equal(receipt["status"], "0x1", "status")
    expect_equal(cast("call", probe(), "value()(uint256)"), "42", "value")
    before = int(receipt["blockNumber"], 16) - 1
    old = cast("call", probe(), "value()(uint256)", "--block", before)
    expect_equal(old, "5", "value before")
    state["stored"] = receipt


@step("revert reason")
def _() -> None:
    expect("zero is not stored" in fails("call", probe(), "store(uint256)", 0), "the reason")
    told = fails("send", probe(), "store(uint256)", 0, "--private-key", KEYS[0])
    expect("zero is not stored" in told, f"the reason in {told}")
    told = fails("estimate", probe(), "store(uint256)", 0)
    expect("zero is not stored" in told, f"the reason in {told}")


@step("custom error")
def _() -> None:
    selector = keccak(text="TooBig(uint256,uint256)")[:4].hex()
    told = fails("call", probe(), "store(uint256)", 2_000_000)
    expect(selector in told, f"{selector} in {told}")


@step("panic")
def _() -> None:
    told = fails("call", probe(), "divide(uint256,uint256)", 1, 0)
    expect("division or modulo by zero" in told, f"the division in {told}")


@step("mined revert")
def _() -> None:
    receipt = sent(probe(), "store(uint256)", 0, "--gas-limit", 100_000)
    expect_equal(receipt["status"], "0x0", "status")


@step("estimate")
def _() -> None:
    gas = int(cast("estimate", probe(), "store(uint256)", 7, "--from", ONE))
    expect(21_000 < gas < 100_000, f"sensible gas, not {gas}")


@step("balance, code, storage")
def _() -> None:
    expect(int(cast("balance", ONE)) > 10**18, "a balance")
    size = int(cast("codesize", probe()))
    expect(size > 500, "code")
    expect_equal(int(cast("storage", probe(), 0), 16), 42, "slot 0")
    expect_equal(len(cast("code", probe())), 2 + 2 * size, "code")


@step("storage root and code hash")
def _() -> None:
    expect_equal(len(cast("codehash", probe())), 66, "code hash")
    expect_equal(len(cast("storage-root", probe())), 66, "storage root")


@step("proof")
def _() -> None:
    proof = json.loads(cast("proof", probe(), "0x" + "00" * 32))
    expect(proof["accountProof"] and proof["storageProof"][0]["proof"], "proofs")


@step("logs")
def _() -> None:
    found = json.loads(
        cast(
            "logs", "--from-block", 0, "--address", probe(), "--json",
            "Stored(address indexed,uint256 indexed,uint256)",
        )
    )  # fmt: skip
    expect_equal(int(found[0]["data"], 16), 42, "value")


@step("blocks")
def _() -> None:
    block = json.loads(cast("block", "latest", "--full", "--json"))
    again = json.loads(cast("block", block["hash"], "--json"))
    expect_equal(again["number"], block["number"], "number")
    for tag in ("earliest", "safe", "finalized", "pending"):
        expect("number" in cast("block", tag), f"a {tag} block")
    time_of_first = cast("block", 1, "--field", "timestamp")
    expect(int(cast("find-block", time_of_first)) >= 1, "block by time")


@step("transaction and receipt")
def _() -> None:
    hash_ = state["stored"]["transactionHash"]
    shown = json.loads(cast("tx", hash_, "--json"))
    expect_equal(shown["hash"], hash_, "hash")
    receipt = json.loads(cast("receipt", hash_, "--json"))
    expect_equal(receipt["blockHash"], state["stored"]["blockHash"], "block")
    expect(cast("tx", hash_, "--raw").startswith("0x02"), "raw bytes")


@step("signed apart, published")
def _() -> None:
    made = cast("mktx", NOBODY, "--value", 1, "--private-key", KEYS[0])
    hash_ = cast("publish", "--async", made).strip('"')
    until(lambda: _has_receipt(hash_), "the receipt")


def _has_receipt(hash_: str) -> bool:
    return cast("rpc", "eth_getTransactionReceipt", hash_) != "null"


@step("access list")
def _() -> None:
    made = json.loads(cast("access-list", probe(), "store(uint256)", 77, "--from", ONE, "--json"))
    expect(made["accessList"], "a list")
    receipt = sent(probe(), "store(uint256)", 77, "--access-list")
    expect_equal(receipt["status"], "0x1", "status")


@step("overrides")
def _() -> None:
    slot = f"{probe()}:0x0:0x63"
    got = cast("call", probe(), "value()(uint256)", "--override-state-diff", slot)
    expect_equal(got, "99", "value")
    code = f"{NOBODY}:0x602a5f5260205ff3"
    expect_equal(int(cast("call", NOBODY, "--override-code", code), 16), 42, "code")


@step("block overrides")
def _() -> None:
    signature = "place()(uint256,uint256,uint256,address)"
    got = cast("call", probe(), signature, "--block.number", 12_345)
    expect_equal(got.split()[0], "12345", "number")


@step("legacy transaction")
def _() -> None:
    expect_equal(sent(NOBODY, "--value", 1, "--legacy")["type"], "0x0", "type")


@step("asynchronous and pending nonce")
def _() -> None:
    first = nonce_of(TWO)
    later = ("--async", "--private-key", KEYS[1], "--gas-limit", 21_000)
    hashes = [
        cast("send", NOBODY, "--value", 1, "--nonce", first + i, *later) for i in (2, 1, 0)
    ]  # the last one first: nothing is mined before all are known
    until(lambda: all(_has_receipt(hash_) for hash_ in hashes), "the receipts")
    expect_equal(nonce_of(TWO, "pending"), first + 3, "pending nonce")


@step("replacement")
def _() -> None:
    nonce = nonce_of(TWO)
    fixed = (NOBODY, "--async", "--private-key", KEYS[1], "--gas-limit", 21_000)
    cheap = ("--gas-price", 40 * 10**9, "--priority-gas-price", 10**9)
    dear = ("--gas-price", 80 * 10**9, "--priority-gas-price", 2 * 10**9)
    first = cast("send", *fixed, "--nonce", nonce + 1, "--value", 1, *cheap)
    told = fails("send", *fixed, "--nonce", nonce + 1, "--value", 2, *cheap)
    expect("underpriced" in told, f"underpriced in {told}")
    second = cast("send", *fixed, "--nonce", nonce + 1, "--value", 2, *dear)
    cast("send", *fixed, "--nonce", nonce)
    until(lambda: _has_receipt(second), "the receipt")
    expect(not _has_receipt(first), "no receipt of the first")


@step("used nonce, no money")
def _() -> None:
    fixed = ("send", NOBODY, "--async", "--gas-limit", 21_000)
    told = fails(*fixed, "--nonce", 0, "--private-key", KEYS[1])
    expect("nonce too low" in told, f"nonce too low in {told}")
    told = fails(*fixed, "--value", 1, "--private-key", "0x" + "42" * 32)
    expect("nsufficient funds" in told, f"insufficient funds in {told}")


@step("authorization (EIP-7702)")
def _() -> None:
    key = "0x" + os.urandom(32).hex()
    authority = Account.from_key(key).address
    signed = cast("wallet", "sign-auth", probe(), "--private-key", key, "--nonce", 0)
    receipt = sent(authority, "--auth", signed, "--gas-limit", 200_000)
    expect_equal(receipt["status"], "0x1", "status")
    expect_equal(cast("code", authority), "0xef0100" + probe()[2:].lower(), "delegation")


@step("estimate of an authorization")
def _() -> None:
    key = "0x" + os.urandom(32).hex()
    signed = cast("wallet", "sign-auth", probe(), "--private-key", key, "--nonce", 0)
    receipt = sent(NOBODY, "--auth", signed)
    expect_equal(receipt["status"], "0x1", "status")


@step("send and wait in one")
def _() -> None:
    expect_equal(sent(NOBODY, "--value", 1, "--sync")["status"], "0x1", "status")


@step("deterministic deployment")
def _() -> None:
    init = PROBE["bytecode"] + f"{9:064x}"
    salt = "0x" + keccak(text="cast").hex()
    sent(FACTORY, salt + init[2:])
    preimage = b"\xff" + bytes.fromhex(FACTORY[2:] + salt[2:]) + keccak(hexstr=init)
    address = to_checksum_address(keccak(preimage)[12:])
    expect_equal(cast("call", address, "value()(uint256)"), "9", "value")


@step("trace run again locally")
def _() -> None:
    told = cast("run", state["stored"]["transactionHash"], "--quick")
    expect("store(42)" in told or "Stored" in told or "successfully" in told, told[:200])


@step("trace of a call")
def _() -> None:
    told = cast("call", probe(), "store(uint256)", 3, "--trace", "--from", ONE)
    expect("success" in told, told[:200])


@step("trace by the node")
def _() -> None:
    hash_ = state["stored"]["transactionHash"]
    tracer = json.dumps({"tracer": "callTracer"})
    told = json.loads(cast("rpc", "debug_traceTransaction", hash_, tracer))
    expect_equal(told["type"], "CALL", "type")
    expect(cast("trace", hash_), "a trace")


@step("pool")
def _() -> None:
    expect("pending" in cast("tx-pool", "status"), "a status")
    cast("tx-pool", "content")
    cast("tx-pool", "inspect")


@step("pool of one account")
def _() -> None:
    cast("tx-pool", "content-from", "--from", ONE)


@step("websocket")
def _() -> None:
    expect_equal(cast("chain-id", url=WS), "901", "chain id")


@step("websocket: logs as they come")
def _() -> None:
    words = [CAST, "logs", "--subscribe", "--address", probe(), "--rpc-url", WS]
    listening = subprocess.Popen(words, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    try:
        assert listening.stdout is not None
        end = time.monotonic() + LIMIT_SECONDS / 2
        os.set_blocking(listening.stdout.fileno(), False)
        heard = ""
        value = 100
        while not heard:
            expect(time.monotonic() < end, "a log")
            expect(listening.poll() is None, "that it goes on")
            value += 1  # it does not say when it listens, so there is more than one to hear
            sent(probe(), "store(uint256)", value)
            heard = listening.stdout.read() or ""
        expect(probe().lower() in heard.lower(), heard[:200])
    finally:
        listening.kill()
        listening.wait(5)


@step("node's own accounts")
def _() -> None:
    receipt = json.loads(cast("send", NOBODY, "--value", 1, "--unlocked", "--from", ONE, "--json"))
    expect_equal(receipt["from"].lower(), ONE.lower(), "sender")


if __name__ == "__main__":
    run_steps()
