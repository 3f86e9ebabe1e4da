"""The execution role in this process: the real `serve`, both listeners, on a chain of the test's
choice.

A cluster's folder (lock, JWT secret, configuration) is made once; each chain gets a fresh data
directory. The one thing replaced is the genesis *file*: published chains begin with accounts,
headers and chain ids that a cluster's lock would refuse.
"""

import asyncio
import http.client
import json
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec

from dst.apis.jwt import load_jwt_secret, make_jwt
from dst.cli.cluster import create_cluster
from dst.execution import main
from dst.execution.assembly import assemble
from dst.execution.config import ExecutionConfig
from dst.execution.genesis import Genesis
from dst.runtime.log import configure
from tests.ports import free_port

START_DEADLINE_S = 30.0
SECONDS_PER_SLOT = 12
"""As on the published chains: eth_simulateV1 counts on by slots."""
CALL_TIMEOUT_S = 120.0
"""A published block may be the worst that its authors could think of."""


class RpcFailure(Exception):
    """An answer with an error, where a result was asked for."""

    def __init__(self, method: str, error: Mapping[str, Any]) -> None:
        super().__init__(f"{method}: {error}")
        self.code, self.message = error.get("code"), error.get("message")


class Endpoint:
    """JSON-RPC over one kept connection; with a secret, each request carries a fresh JWT."""

    def __init__(self, port: int, secret: bytes | None = None) -> None:
        self._port, self._secret = port, secret
        self._connection: http.client.HTTPConnection | None = None
        self._next_id = 0

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def call(self, method: str, *params: object) -> Any:
        """Raises: RpcFailure."""
        answer = self.ask(method, params)
        if "error" in answer:
            raise RpcFailure(method, answer["error"])
        return answer["result"]

    def ask(self, method: str, params: Sequence[object]) -> dict[str, Any]:
        self._next_id += 1
        request = {"jsonrpc": "2.0", "id": self._next_id, "method": method, "params": list(params)}
        status, body = self.post(json.dumps(request).encode())
        assert status == 200, f"{method}: HTTP {status}: {body[:200]!r}"
        answer: dict[str, Any] = msgspec.json.decode(body)
        return answer

    def post(self, body: bytes, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """One POST as it is: (status, body)."""
        wanted = {"Content-Type": "application/json"}
        if self._secret is not None:
            wanted["Authorization"] = f"Bearer {make_jwt(self._secret, time.time())}"
        wanted |= headers or {}
        try:
            return self._exchange(body, wanted)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            # the server closed a kept connection; a fresh one tells the truth
            return self._exchange(body, wanted)

    def _exchange(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        if self._connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=CALL_TIMEOUT_S)
            connection.connect()
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connection = connection
        try:
            self._connection.request("POST", "/", body=body, headers=dict(headers))
            response = self._connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise


@dataclass(frozen=True, slots=True)
class Role:
    """One chain being served."""

    engine: Endpoint
    rpc: Endpoint
    chain_id: int

    def head_hash(self) -> str:
        head: str = self.rpc.call("eth_getBlockByNumber", "latest", False)["hash"]
        return head


class RoleHost:
    """Serves one chain after another on the same two ports."""

    def __init__(self, folder: Path) -> None:
        chain = {"dev": True, "genesis_time": 1_700_000_000, "seconds_per_slot": SECONDS_PER_SLOT}
        create_cluster(folder, operators=1, chain=chain)
        self._folder = folder
        self._secret = load_jwt_secret(folder / "operators/op1/jwt.hex")
        self._engine_port, self._rpc_port = free_port(), free_port()

    @contextmanager
    def serving(self, genesis: Genesis) -> Iterator[Role]:
        """The role on an empty store that begins with `genesis`, until the block ends."""
        data = Path(tempfile.mkdtemp(prefix="chain-", dir=self._folder))
        engine = Endpoint(self._engine_port, self._secret)
        rpc = Endpoint(self._rpc_port)
        running = _Running(self._config(data), genesis)
        try:
            running.start(self._rpc_port)
            yield Role(engine=engine, rpc=rpc, chain_id=genesis.chain_id)
        finally:
            engine.close()
            rpc.close()
            running.stop()
            shutil.rmtree(data, ignore_errors=True)

    def _config(self, data: Path) -> Path:
        fields = {
            "name": "op1",
            "data_dir": str(data),
            "genesis": "genesis.json",
            "lock": "cluster-lock.json",
            "jwt_secret": "operators/op1/jwt.hex",
            "engine_listen": f"127.0.0.1:{self._engine_port}",
            "rpc_listen": f"127.0.0.1:{self._rpc_port}",
            "log_level": "error",
        }
        path = self._folder / "execution.json"
        path.write_text(json.dumps(fields))
        return path


class _Running:
    """`serve` on an event loop in a thread of its own."""

    def __init__(self, config: Path, genesis: Genesis) -> None:
        self._config, self._genesis = config, genesis
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="role")

    def start(self, port: int) -> None:
        self._thread.start()
        end = time.monotonic() + START_DEADLINE_S
        while not _accepts(port):
            if self._failure is not None:
                raise AssertionError("the role did not start") from self._failure
            assert time.monotonic() < end, "the role does not come up"
            time.sleep(0.002)

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_DEADLINE_S)
        assert not self._thread.is_alive(), "the role does not stop"
        self._loop.close()

    def _run(self) -> None:
        config = msgspec.json.decode(self._config.read_bytes(), type=ExecutionConfig)
        configure(config.name, config.log_level)
        with ExitStack() as patches:
            for name, answer in (("load_genesis", self._genesis), ("check_genesis", None)):
                patches.enter_context(mock.patch.object(main, name, return_value=answer))
            try:
                self._loop.run_until_complete(
                    main.serve(self._config, config, self._stop, assemble)
                )
            except BaseException as error:
                self._failure = error


def with_header(genesis: Genesis, **changes: Any) -> Genesis:
    """The same state under another header."""
    return replace(genesis, header=replace(genesis.header, **changes))


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
