"""The judge over HTTP: a stock geth follows our blocks through its Engine API.

One process for each plan: initialised with the plan's genesis, fed block by block. When it refuses
one, both sides trace it, and the first step that differs is told.
"""

import json
import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dst.execution.block.executed import ExecutedBlock
from tests.conformance.blocks import hexed, read_block
from tests.conformance.differential.ours import OurRun
from tests.conformance.differential.plan import Plan
from tests.conformance.differential.steps import first_difference
from tests.conformance.role import Endpoint, RpcFailure
from tests.ports import free_ports
from tests.stock_pyevm import block_bytes

START_DEADLINE_S = 30.0
ZERO = "0x" + "00" * 32


GETH_VERSION = "1.15.11"


def find_geth() -> Path | None:
    """Of `GETH`, the repository's tools (`make geth`), or PATH at the pinned version."""
    named = os.environ.get("GETH")
    if named:
        return Path(named)
    built = Path(__file__).parents[3] / ".tools" / f"geth-{GETH_VERSION}" / "geth"
    if built.is_file():
        return built
    found = shutil.which("geth")
    if found is None:
        return None
    told = subprocess.run([found, "version"], capture_output=True, text=True, check=False).stdout
    return Path(found) if f"Version: {GETH_VERSION}" in told else None


class GethJudge:
    """Callable as a judge; `binary` is a geth of the pinned version."""

    def __init__(self, binary: Path, *, traces: bool = False) -> None:
        """traces: where they differ, both sides trace; a shrinker asks too often for that."""
        self._binary, self._traces = binary, traces

    def __call__(self, plan: Plan, ours: OurRun) -> str | None:
        with self.following(plan.genesis()) as (engine, rpc):
            found = rpc.call("eth_getBlockByNumber", "0x0", False)["hash"]
            if found != hexed(ours.genesis_hash):
                return f"genesis: geth has {found}, we have {hexed(ours.genesis_hash)}"
            for number, block in enumerate(ours.blocks):
                problem = follow(engine, block)
                if problem is not None:
                    steps = first_difference(rpc, plan, ours, number) if self._traces else ""
                    return f"block {number}: {problem}\n{receipts_differ(rpc, block)}\n{steps}"
        return None

    @contextmanager
    def following(self, genesis: Any) -> Iterator[tuple[Endpoint, Endpoint]]:
        """A fresh geth on this genesis: (Engine API, JSON-RPC)."""
        with tempfile.TemporaryDirectory(prefix="geth-") as folder:
            home = Path(folder)
            secret = secrets.token_bytes(32)
            (home / "jwt").write_text(secret.hex())
            (home / "genesis.json").write_text(json.dumps(genesis))
            self._run(home, "init", str(home / "genesis.json"))
            ports = free_ports(2)
            with _process(self._binary, home, ports) as process:
                engine, rpc = Endpoint(ports[0], secret), Endpoint(ports[1])
                _wait_until_up(rpc, process)
                try:
                    yield engine, rpc
                finally:
                    engine.close()
                    rpc.close()

    def _run(self, home: Path, *arguments: str) -> None:
        command = [str(self._binary), "--datadir", str(home), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr[-2_000:]


def follow(engine: Endpoint, block: ExecutedBlock) -> str | None:
    """newPayload and forkchoiceUpdated; what geth says against it, or None."""
    parameters = read_block(block_bytes(block)).parameters(block.result.requests)
    try:
        status = engine.call("engine_newPayloadV4", *parameters)
        if status["status"] != "VALID":
            return f"geth says {status['status']}: {status['validationError']}"
        state = {
            "headBlockHash": hexed(block.hash),
            "safeBlockHash": ZERO,
            "finalizedBlockHash": ZERO,
        }
        moved = engine.call("engine_forkchoiceUpdatedV3", state, None)["payloadStatus"]
        return None if moved["status"] == "VALID" else f"geth does not follow: {moved}"
    except RpcFailure as error:
        return f"geth answers {error}"


def receipts_differ(rpc: Endpoint, block: ExecutedBlock) -> str:
    """Which transaction of a refused block ends otherwise: geth executes it again to trace it."""
    try:
        traces = rpc.call("debug_traceBlock", hexed(block_bytes(block)), {"tracer": "callTracer"})
    except RpcFailure as error:
        return f"geth cannot trace it: {error}"
    for index, (trace, receipt) in enumerate(zip(traces, block.result.receipts, strict=True)):
        result = trace.get("result", {})
        used, failed = int(result.get("gasUsed", "0x0"), 16), "error" in result
        if used != receipt.gas_used or failed == receipt.succeeded:
            ours = f"gas {receipt.gas_used}, {'ok' if receipt.succeeded else 'failed'}"
            theirs = f"gas {used}, {result.get('error', 'ok')}"
            return f"transaction {index}: ours {ours}; geth {theirs}"
    return "each transaction has the same gas and status: state or logs differ"


@contextmanager
def _process(binary: Path, home: Path, ports: list[int]) -> Iterator[subprocess.Popen[bytes]]:
    command = [
        str(binary),
        *("--datadir", str(home)),
        *("--authrpc.port", str(ports[0]), "--authrpc.jwtsecret", str(home / "jwt")),
        *("--http", "--http.port", str(ports[1]), "--http.api", "eth,debug,web3"),
        *("--port", "0", "--nodiscover", "--maxpeers", "0", "--ipcdisable"),
        *("--syncmode", "full", "--cache", "64", "--verbosity", "1"),
    ]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


def _wait_until_up(rpc: Endpoint, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_DEADLINE_S
    while True:
        assert process.poll() is None, "geth ended at its start"
        try:
            rpc.call("web3_clientVersion")
            return
        except OSError:
            assert time.monotonic() < end, "geth does not come up"
            time.sleep(0.02)
