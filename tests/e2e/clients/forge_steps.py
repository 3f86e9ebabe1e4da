"""forge script, create and test --fork-url: argv is forge, `NODE FOLDER` of the npm packages, URL,
WebSocket URL, artifact, two keys.

forge wants a native solc, which it would fetch; it gets the one of the npm package through a script
of two lines.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from eth_account import Account

from tests.e2e.clients.steps import expect, expect_equal, run_steps, step

FORGE, NPM, URL, _WS, ARTIFACT, *KEYS = sys.argv[1:]
NODE, PACKAGES = NPM.split(" ", 1)
CONTRACTS = Path(ARTIFACT).parent
FORGE_SECONDS = 120.0
ONE = Account.from_key(KEYS[0]).address
ADDRESS_BYTES = 20
state: dict[str, Any] = {}


def make_project(folder: Path) -> None:
    (folder / "src").mkdir()
    (folder / "script").mkdir()
    shutil.copy(CONTRACTS / "Probe.sol", folder / "src")
    shutil.copy(CONTRACTS / "Deploy.s.sol", folder / "script")
    compiler = folder / "solc"
    compiler.write_text(f'#!/bin/sh\nexec "{NODE}" "{PACKAGES}/solc.js" "$@"\n')
    compiler.chmod(0o755)
    settings = {"src": "src", "script": "script", "solc": str(compiler), "evm_version": "prague"}
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    more = ["offline = true", "optimizer = true", 'test = "script"', "fs_permissions = []"]
    (folder / "foundry.toml").write_text("\n".join(["[profile.default]", *lines, *more]) + "\n")


class ForgeFailed(Exception):
    """The end of what it wrote."""


def forge(*words: object, key: str | None = KEYS[0]) -> str:
    """What it wrote. Raises: ForgeFailed."""
    signing = [] if key is None else ["--private-key", key]
    done = subprocess.run(
        [FORGE, str(words[0]), *signing, *map(str, words[1:])],
        cwd=state["folder"],
        env={**os.environ, "NO_COLOR": "1", "PROBE": state.get("probe", "0x" + "00" * 20)},
        capture_output=True,
        text=True,
        timeout=FORGE_SECONDS,
        check=False,
    )
    if done.returncode:
        raise ForgeFailed((done.stderr.strip() or done.stdout.strip())[-280:])
    return done.stdout


def script(contract: str, *more: object) -> dict[str, Any]:
    """The record of what was broadcast."""
    name = f"script/Deploy.s.sol:{contract}"
    forge("script", name, "--rpc-url", URL, "--broadcast", "--non-interactive", *more)
    found = Path(state["folder"], "broadcast", "Deploy.s.sol", "901", "run-latest.json")
    record: dict[str, Any] = json.loads(found.read_text())
    return record


def call(data: str) -> int:
    """`cast call` without cast."""
    import urllib.request

    request = {"to": state["probe"], "data": data}
    body = {"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [request, "latest"]}
    with urllib.request.urlopen(
        urllib.request.Request(URL, json.dumps(body).encode(), {"content-type": "application/json"})
    ) as answer:
        return int(json.load(answer)["result"], 16)


VALUE = "0x3fa4f245"
"""value()"""


@step("build")
def _() -> None:
    forge("build", key=None)


@step("script: deploy with CREATE and CREATE2, and send")
def _() -> None:
    record = script("Deploy")
    expect_equal(len(record["receipts"]), 5, "receipts")
    expect(all(each["status"] == "0x1" for each in record["receipts"]), "success of all")
    state["probe"] = record["transactions"][0]["contractAddress"]
    expect_equal(call(VALUE), 43, "value")


@step("script: on a fork of the chain, one after another")
def _() -> None:
    record = script("Store", "--slow")
    expect_equal(len(record["receipts"]), 5, "receipts")
    expect_equal(call(VALUE), 105, "value")


@step("script: again, at once")
def _() -> None:
    record = script("Store")
    expect(all(each["status"] == "0x1" for each in record["receipts"]), "success of all")


@step("script: resumed when all is done")
def _() -> None:
    forge("script", "script/Deploy.s.sol:Store", "--rpc-url", URL, "--broadcast", "--resume")


@step("script: legacy prices")
def _() -> None:
    record = script("Store", "--legacy")
    expect_equal(record["receipts"][0]["type"], "0x0", "type")


@step("script: a deployment that is there already fails with a reason")
def _() -> None:
    try:
        script("Deploy")
    except ForgeFailed as error:
        expect(
            "collision" in str(error).lower() or "revert" in str(error).lower(),
            f"a reason in {error}",
        )
        return
    raise AssertionError("CREATE2 to the same address twice")


@step("create")
def _() -> None:
    words = ("--rpc-url", URL, "--broadcast", "--json")
    made = json.loads(forge("create", "src/Probe.sol:Probe", *words, "--constructor-args", 3))
    expect_equal(made["deployer"].lower(), ONE.lower(), "deployer")


@step("test on a fork")
def _() -> None:
    told = forge("test", "--fork-url", URL, "--match-contract", "ForkTest", key=None)
    expect("1 passed" in told, told[-200:])


@step("node's own accounts")
def _() -> None:
    words = ("--unlocked", "--sender", ONE)
    forge("script", "script/Deploy.s.sol:Store", "--rpc-url", URL, "--broadcast", *words, key=None)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        state["folder"] = folder
        make_project(Path(folder))
        run_steps()
