"""Bad input against the real programs of a running network: each ends in a clear word and the
chain goes on.

One network for the whole module. Where a message could only come from an operator, its own keys are
used, as an attacker who took them over would. What `devnet` itself refuses is in
test_network_lifecycle.py.
"""

import base64
import hmac
import http.client
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dst.cli.cluster import create_cluster
from dst.crypto import bls, keystore, tbls
from dst.crypto.locks import load_lock, lock_signing_root
from dst.crypto.secp256k1 import IdentityKey
from dst.p2p.handshake import PROTOCOL_VERSION, Data, Hello, Ping, encode_link_frame
from dst.spec.cluster import dump_file, lock_hash
from dst.spec.primitives import Height, OperatorIndex, ShareIndex, Term
from tests.e2e.conftest import REPOSITORY, NetworkFactory, RunningNetwork, run_devnet

pytestmark = pytest.mark.xdist_group("process-network")

OFFSET = 9000
OP1 = 20100 + OFFSET
"""Base of operator 1's ports; what is behind them: docs/ports.md."""
ENGINE, RPC, ROLLUP, MIDDLEWARE, PEERS = OP1 + 10, OP1 + 11, OP1 + 12, OP1 + 13, OP1 + 14
OWN = OP1 + 15
"""The rollup node's listener for its own middleware."""
SSZ, JSON, MSGPACK = "application/octet-stream", "application/json", "application/msgpack"
DEEP = b"[" * 100_000
HUGE = b"x" * (5 << 20)
PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def network(network_factory: NetworkFactory) -> RunningNetwork:
    return network_factory("--backend", "process", "--port-offset", str(OFFSET))


@pytest.fixture(scope="module", autouse=True)
def _the_chain_goes_on(network: RunningNetwork) -> Iterator[None]:
    """After everything: no program died, no handler failed, every node seals."""
    yield
    before = _sealed(network)
    deadline = time.monotonic() + PATIENCE_S
    while min(_sealed(network)) <= max(before):
        assert time.monotonic() < deadline, "the chain stands still"
        time.sleep(0.2)
    facts = json.loads(run_devnet(["status", "--json", *_dir(network)], REPOSITORY).out)
    assert all(state.startswith("running") for state in facts["programs"].values()), facts
    for log in (network.directory / "logs").glob("*.log"):
        assert "Traceback" not in log.read_text(), f"see {log}"


def _dir(network: RunningNetwork) -> list[str]:
    return ["--dir", str(network.directory)]


def _sealed(network: RunningNetwork) -> list[int]:
    done = run_devnet(["status", "--json", *_dir(network)], REPOSITORY)
    return [node["sealed_height"] for node in json.loads(done.out)["nodes"]]


def _log(network: RunningNetwork, program: str) -> str:
    return (network.directory / "logs" / f"{program}.log").read_text()


def _logged(network: RunningNetwork, program: str, *words: str) -> bool:
    """Whether a line with all of `words` appears, soon."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        lines = _log(network, program).splitlines()
        if any(all(word in line for word in words) for line in lines):
            return True
        time.sleep(0.1)
    return False


# ------------------------------------------------------------------------------------------ HTTP


def _ask(
    port: int, method: str, path: str, body: bytes = b"", **headers: str
) -> tuple[int, Mapping[str, Any]]:
    """Status and JSON body (plain text under the key `message`)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    try:
        decoded = json.loads(content)
    except ValueError:
        decoded = content.decode()
    return answer.status, decoded if isinstance(decoded, dict) else {"message": decoded}


BAD_BEACON_CALLS = [
    ("GET", "/eth/v3/validator/blocks/abc", b"", JSON, 400),
    ("GET", "/eth/v3/validator/blocks/18446744073709551616", b"", JSON, 400),
    ("GET", "/eth/v3/validator/blocks/18446744073709551615", b"", JSON, 400),
    ("GET", "/eth/v3/validator/blocks/1?randao_reveal=0x12", b"", JSON, 400),
    ("GET", "/eth/v2/beacon/blocks/0x12", b"", JSON, 400),
    ("GET", "/eth/v2/beacon/blocks/18446744073709551615", b"", JSON, 404),
    ("GET", "/eth/v1/beacon/blocks/9223372036854775808/root", b"", JSON, 404),
    ("GET", "/eth/v1/events?topics=nonsense", b"", JSON, 400),
    ("POST", "/eth/v2/beacon/blocks", b"", SSZ, 400),
    ("POST", "/eth/v2/beacon/blocks", b"x" * 1000, SSZ, 400),
    ("POST", "/eth/v2/beacon/blocks", b"x" * 1000, "text/plain", 415),
    ("POST", "/eth/v2/beacon/blocks", HUGE, SSZ, 413),
    ("POST", "/eth/v2/beacon/blocks", b"{", JSON, 400),
    ("POST", "/eth/v2/beacon/blocks", DEEP, JSON, 400),
    ("POST", "/eth/v2/beacon/blocks", b'{"message":{},"signature":"0x"}', JSON, 400),
    ("POST", "/eth/v1/beacon/states/head/validators", b'{"ids":5}', JSON, 400),
]


@pytest.mark.parametrize("port", [OWN, MIDDLEWARE])
def test_beacon_calls_of_a_wrong_shape_say_why(network: RunningNetwork, port: int) -> None:
    token = _own_token(network)
    for method, path, body, kind, status in BAD_BEACON_CALLS:
        found, answer = _ask(port, method, path, body, Content_Type=kind, Authorization=token)
        assert (found, answer["code"]) == (status, status), (method, path, body[:50], answer)
        assert answer["message"], path


def test_dst_v1_calls_of_a_wrong_shape_say_why(network: RunningNetwork) -> None:
    for path, body, kind, status in (
        ("validate", b"x" * 500, SSZ, 400),
        ("validate?deadline_ms=-1", b"x" * 500, SSZ, 400),
        ("validate", b"{}", JSON, 415),
        ("decided", b"\x92\x97\xa1\xff\x01\x01", MSGPACK, 400),
        ("decided", b"\x91" * 100_000, MSGPACK, 400),
        ("events", b'[{"kind":"party"}]', JSON, 400),
        ("events", DEEP, JSON, 400),
    ):
        headers = {"Content_Type": kind, "Authorization": _own_token(network)}
        found, answer = _ask(OWN, "POST", f"/dst/v1/{path}", body, **headers)
        assert found == status, (path, answer)
        assert answer["message"]
    assert _ask(ROLLUP, "GET", "/dst/v1/decided/18446744073709551615")[0] == 404


OWN_CALLS = [
    ("GET", "/eth/v3/validator/blocks/1", b"", JSON),
    ("POST", "/eth/v2/beacon/blocks", b"x" * 100, SSZ),
    ("POST", "/dst/v1/validate?justified=1", b"x" * 500, SSZ),
    ("POST", "/dst/v1/decided", b"\x90", MSGPACK),
    ("POST", "/dst/v1/events", b"[]", JSON),
]
"""What builds, judges, keeps and reports: a stranger could stop an operator's voting with each."""


def test_what_is_for_the_own_middleware_is_for_nobody_else(network: RunningNetwork) -> None:
    for method, path, body, kind in OWN_CALLS:
        assert _ask(ROLLUP, method, path, body, Content_Type=kind)[0] in (404, 405), path
        stale = _own_token(network, age_s=3600)
        for token in ("", "Bearer a.b.c", stale, _token(b"\1" * 32, time.time())):
            status, answer = _ask(OWN, method, path, body, Content_Type=kind, Authorization=token)
            assert status == 401, (path, token)
            assert answer["message"]
    assert _ask(OWN, "GET", "/dst/v1/status")[0] == 401
    assert _ask(ROLLUP, "GET", "/dst/v1/status")[0] == 200


def _own_token(network: RunningNetwork, age_s: float = 0) -> str:
    path = network.directory / "cluster/operators/op1/own.hex"
    return _token(bytes.fromhex(path.read_text().strip()), time.time() - age_s)


def _token(secret: bytes, issued_at: float) -> str:
    def b64(data: bytes) -> bytes:
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    signed = b64(b'{"alg":"HS256","typ":"JWT"}') + b"." + b64(b'{"iat":%d}' % issued_at)
    return "Bearer " + (signed + b"." + b64(hmac.digest(secret, signed, "sha256"))).decode()


def _request(method: str, *params: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()


def test_engine_calls_need_the_right_token(network: RunningNetwork) -> None:
    path = network.directory / "cluster/operators/op1/jwt.hex"
    secret, now = bytes.fromhex(path.read_text().strip()), time.time()
    body = _request("engine_exchangeCapabilities", [])
    assert "missing token" in _ask(ENGINE, "POST", "/", body)[1]["message"]
    for token, word in (
        ("Bearer a.b.c", "different JWT secrets"),
        (_token(b"\1" * 32, now), "different JWT secrets"),
        (_token(secret, now - 3600), "check the clocks"),
    ):
        status, answer = _ask(ENGINE, "POST", "/", body, Authorization=token)
        assert status == 401
        assert word in answer["message"]
    good = _token(secret, now)
    assert "result" in _ask(ENGINE, "POST", "/", body, Authorization=good, Content_Type=JSON)[1]
    for method, params in (
        ("engine_newPayloadV4", ()),
        ("engine_newPayloadV4", ({}, [], "0x", [])),
        ("engine_forkchoiceUpdatedV3", ({"headBlockHash": 5},)),
        ("engine_getPayloadV4", ("0x01",)),
    ):
        answer = _ask(
            ENGINE, "POST", "/", _request(method, *params), Authorization=good, Content_Type=JSON
        )[1]
        assert answer["error"]["code"] == -32602, answer


def test_json_rpc_garbage_is_answered(network: RunningNetwork) -> None:
    batch = b"[" + b",".join([_request("eth_chainId")] * 1001) + b"]"
    for body, code in (
        (b"", -32700),
        (b"\xff", -32700),
        (DEEP, -32700),
        (b'{"a":' * 100_000, -32700),
        (b"{}", -32600),
        (batch, -32600),
        (_request("eth_noSuchThing"), -32601),
        (_request("eth_getBalance", "0x12", "latest"), -32602),
        (_request("eth_getBlockByNumber", {"a": [1]}, True), -32602),
    ):
        status, answer = _ask(RPC, "POST", "/", body, Content_Type=JSON)
        assert (status, answer["error"]["code"]) == (200, code), (body[:50], answer)
        assert answer["error"]["message"]
    assert _ask(RPC, "POST", "/", HUGE, Content_Type=JSON)[0] == 413


FORGED_EVENTS = json.dumps(
    [
        {"kind": "decided", "operator": "op1", "monotonic": 1, "wall": 1, "height": 1}
        | {"root": "0x" + root * 32}
        for root in ("11", "22")
    ]
).encode()
"""Would be a violation of S1, shouted."""


@pytest.mark.parametrize("port", [RPC, ENGINE, ROLLUP, OWN, MIDDLEWARE])
def test_no_web_page_reaches_a_listener(network: RunningNetwork, port: int) -> None:
    """A foreign page, a rebound name, and what a page may post without asking."""
    path = "/dst/v1/events" if port in (ROLLUP, OWN) else "/"
    body = FORGED_EVENTS if port in (ROLLUP, OWN) else _request("eth_chainId")
    for headers, status in (
        ({"Content_Type": JSON, "Origin": "https://evil.example"}, 403),
        ({"Content_Type": "text/plain", "Origin": "null"}, 403),
        ({"Content_Type": JSON, "Host": "evil.example:8545"}, 403),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
    ):
        assert _ask(port, "POST", path, body, **headers)[0] == status, headers
    asked = {"Origin": "http://localhost:3000", "Access_Control_Request_Method": "POST"}
    assert _ask(port, "OPTIONS", path, b"", **asked)[0] == (204 if port == RPC else 403)


# ------------------------------------------------------------------------------- between operators


@dataclass(frozen=True)
class Intruder:
    """Holds operator 4's keys and dials operator 1."""

    cluster: Path
    hello: Hello

    def connect(self, *, certificate: bool = True) -> ssl.SSLSocket:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if certificate:
            keys = self.cluster / "operators/op4"
            context.load_cert_chain(keys / "transport.crt", keys / "transport.key")
        plain = socket.create_connection(("127.0.0.1", PEERS), timeout=PATIENCE_S)
        return context.wrap_socket(plain)

    def say(self, *pieces: bytes, certificate: bool = True) -> list[Any]:
        """Send, and return every frame that comes back until operator 1 ends the connection."""
        got = b""
        try:
            with self.connect(certificate=certificate) as link:
                for piece in pieces:
                    link.sendall(piece)
                while data := link.recv(65536):
                    got += data
        except (ssl.SSLError, ConnectionError):
            pass
        frames = []
        while got:
            size = int.from_bytes(got[:4], "big")
            frames.append(msgspec.msgpack.decode(got[4 : 4 + size]))
            got = got[4 + size :]
        return frames


def _frame(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


@pytest.fixture(scope="module")
def intruder(network: RunningNetwork) -> Intruder:
    cluster = network.directory / "cluster"
    lock = load_lock(cluster / "cluster-lock.json")
    hello = Hello(
        protocol_version=PROTOCOL_VERSION,
        chain_id=lock.chain.chain_id,
        lock_hash=lock.lock_hash,
        round_timeout_ms=lock.chain.round_timeout_ms,
        round_timeout_cap_ms=lock.chain.round_timeout_cap_ms,
        seconds_per_slot=lock.chain.seconds_per_slot,
        index=OperatorIndex(3),
        term=Term(lock.chain.term),
        decided_height=Height(0),
    )
    return Intruder(cluster, hello)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("protocol_version", 99),
        ("chain_id", 5),
        ("lock_hash", b"\1" * 32),
        ("round_timeout_ms", 1),
        ("seconds_per_slot", 77),
        ("index", 1),
    ],
)
def test_a_differing_hello_is_refused_by_name(
    network: RunningNetwork, intruder: Intruder, field: str, value: Any
) -> None:
    hello = msgspec.structs.replace(intruder.hello, **{field: value})
    [refusal] = intruder.say(_frame(encode_link_frame(hello)))
    assert refusal[:2] == ["refused", field]
    assert _logged(network, "op1.middleware", "link_refused", "peer=op4", f"{field}: ")


@pytest.mark.parametrize(
    ("sent", "logged"),
    [
        (b"\0\0\0\0", "announced a frame of 0 bytes"),
        (struct.pack(">I", (1 << 20) + 1), "announced a frame of 1048577 bytes"),
        (b"\xff" * 4, "announced a frame of 4294967295 bytes"),
        (_frame(b"\xc1\xff"), "undecodable frame of 2 bytes"),
        (_frame(b"\x91" * 900_000), "announced a frame of 900000 bytes"),
        (_frame(b"\x91" * 1_000), "undecodable frame of 1000 bytes"),
        (_frame(encode_link_frame(Ping(1))), "expected HELLO"),
    ],
)
def test_frames_that_are_none_end_the_link(
    network: RunningNetwork, intruder: Intruder, sent: bytes, logged: str
) -> None:
    assert intruder.say(sent) == []
    assert _logged(network, "op1.middleware", "link_garbled", "peer=op4", logged)


def test_a_frame_cut_short_is_told_after_a_good_hello(
    network: RunningNetwork, intruder: Intruder
) -> None:
    with intruder.connect() as link:
        link.sendall(_frame(encode_link_frame(intruder.hello)) + b"\0\0\1\0abc")
        link.recv(65536)
        link.shutdown(socket.SHUT_WR)
        link.recv(1)
    assert _logged(network, "op1.middleware", "link_garbled", "ended within a frame")


def test_messages_that_are_none_are_counted_and_dropped(
    network: RunningNetwork, intruder: Intruder
) -> None:
    bodies = (b"\xc0", b"\x90", b"\x92\xa5x\xff\xffaa\x01")
    frames = [_frame(encode_link_frame(Data(msgspec.Raw(body)))) for body in bodies]
    with intruder.connect() as link:
        link.sendall(_frame(encode_link_frame(intruder.hello)) + b"".join(frames))
        assert link.recv(65536)
        assert _logged(network, "op1.middleware", "bad_message", "peer=op4")


def test_without_a_members_certificate_nothing_is_said(intruder: Intruder) -> None:
    assert intruder.say(_frame(encode_link_frame(intruder.hello)), certificate=False) == []
    with socket.create_connection(("127.0.0.1", PEERS), timeout=PATIENCE_S) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert plain.recv(100) == b""


# ------------------------------------------------------------------------------ programs refused


def _config(network: RunningNetwork, role: str, folder: Path, **changes: object) -> Path:
    """Operator 1's own file with its paths made absolute, a store of its own and free ports."""
    source = network.directory / "nodes/op1" / role
    fields = json.loads((source / "config.json").read_text())
    for key in ("lock", "genesis", "jwt_secret", "own_secret", "identity_key", "transport_key",
                "transport_cert", "certs_dir", "keystore", "password_file"):  # fmt: skip
        if key in fields:
            fields[key] = os.path.normpath(source / fields[key])
    ports = {"listen": OP1 + 95, "p2p_listen": OP1 + 96}
    fields |= {key: f"127.0.0.1:{port}" for key, port in ports.items() if key in fields}
    path = folder / f"{role}.json"
    path.write_text(json.dumps({**fields, "data_dir": "data", **changes}))
    return path


def _start(role: str, config: Path, *flags: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "dst", role, "--config", str(config), *flags],
        cwd=config.parent,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _refusal(role: str, config: Path, *flags: str) -> str:
    """The one line a role ends with; its exit code is 2."""
    with _start(role, config, *flags) as process:
        _, told = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2, told
    assert told.startswith("error: "), told
    assert told.count("\n") == 1, told
    return told


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("foreign") / "cluster"
    create_cluster(directory, operators=4)
    return directory


def test_locks_that_are_broken_or_foreign(
    network: RunningNetwork, foreign: Path, tmp_path: Path
) -> None:
    good = (network.directory / "cluster/cluster-lock.json").read_text()
    for text, word in (
        (good[:500], "not JSON"),
        ("[" * 100_000, "not JSON"),
        (good.replace('"chain_id": 901', '"chain_id": 902'), "lock_hash does not match"),
    ):
        (tmp_path / "lock.json").write_text(text)
        told = _refusal("validator", _config(network, "validator", tmp_path, lock="lock.json"))
        assert word in told
        assert "cluster-lock.json that `dst cluster create` wrote" in told
    other = str(foreign / "cluster-lock.json")
    for role, word in (
        ("execution", "different clusters"),
        ("middleware", "not that of operator 1"),
        ("validator", "no operator of this cluster"),
    ):
        assert word in _refusal(role, _config(network, role, tmp_path, lock=other))


def test_a_wrong_keystore_password(network: RunningNetwork, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("hunter2")
    password.chmod(0o600)
    config = _config(network, "validator", tmp_path, password_file=str(password))
    told = _refusal("validator", config, "--new")
    assert "wrong password" in told
    assert "hunter2" not in told


@pytest.mark.parametrize("role", ["middleware", "validator"])
def test_a_key_without_its_store_and_a_store_that_is_there(
    network: RunningNetwork, tmp_path: Path, role: str
) -> None:
    config = _config(network, role, tmp_path)
    told = _refusal(role, config)
    assert "--rejoin" in told
    assert "--new" in told
    if role == "validator":  # a second middleware of op1 would compete with the first
        with _start(role, config, "--new") as process:
            assert process.stderr is not None
            assert "ready" in process.stderr.readline()
            process.terminate()
            assert process.wait(PATIENCE_S) == 0
        assert "--new" in _refusal(role, config, "--new")


def test_garbage_in_place_of_a_store(network: RunningNetwork, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for role, name in (
        ("middleware", "middleware.sqlite"),
        ("validator", "slashing-protection.sqlite"),
    ):
        (tmp_path / "data" / name).write_bytes(b"garbage" * 1000)
        assert name in _refusal(role, _config(network, role, tmp_path))


def _relocked(cluster: Path, path: Path, **constants: object) -> None:
    """The same operators and keys under a lock with other chain constants, rightly signed."""
    lock = load_lock(cluster / "cluster-lock.json")
    definition = msgspec.structs.replace(
        lock.definition, chain=msgspec.structs.replace(lock.chain, **constants)
    )
    lock = msgspec.structs.replace(lock, definition=definition)
    lock = msgspec.structs.replace(lock, lock_hash=lock_hash(lock))
    signatures, partials = [], {}
    for record in lock.operators:
        keys = cluster / "operators" / record.name
        identity = IdentityKey.load(keys / "identity.key")
        password = (keys / "keystore.password").read_text()
        share = keystore.decrypt((keys / "keystore.json").read_bytes(), password)
        signatures.append(identity.sign(lock.lock_hash))
        partials[ShareIndex(record.index)] = bls.sign(share, lock_signing_root(lock))
    dump_file(
        path,
        msgspec.structs.replace(
            lock,
            operator_signatures=tuple(signatures),
            group_signature=tbls.recover_group_signature(partials, lock.threshold),
        ),
    )


@pytest.mark.parametrize(
    ("constants", "field", "values"),
    [
        ({"chain_id": 902}, "chain_id", ("901", "902")),
        ({"gas_limit": 12_000_000}, "lock_hash", ("refusing side has", "refused side has")),
    ],
)
def test_operators_of_different_chains_tell_each_other_the_field(
    network: RunningNetwork,
    tmp_path: Path,
    constants: dict[str, object],
    field: str,
    values: tuple[str, ...],
) -> None:
    _relocked(network.directory / "cluster", tmp_path / "lock.json", **constants)
    peers = [{"index": i, "address": f"127.0.0.1:{OP1 + 100 * (i - 1) + 14}"} for i in (2, 3, 4)]
    config = _config(network, "middleware", tmp_path, lock="lock.json", peers=peers)
    with _start("middleware", config, "--new") as process:
        assert process.stderr is not None
        told = next(line for line in process.stderr if "link_refused" in line)
        assert all(word in told for word in (field, *values)), told
        for name in ("op2", "op3", "op4"):
            assert _logged(network, f"{name}.middleware", "link_refused", "peer=op1", field)
        process.terminate()
        process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0


def test_a_scenario_with_an_unknown_key(network: RunningNetwork, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("scenario: 1\nname: mine\nabout: typo\nfaultz: []\n")
    refused = run_devnet(["chaos", "run", str(path), *_dir(network)], tmp_path)
    assert refused.code == 3, refused.told
    assert "unknown key 'faultz'" in refused.err
    assert "allowed: " in refused.err


@pytest.mark.parametrize(
    "words",
    [[], ["up"], ["down"], ["status"], ["logs"], ["verify"], ["chaos", "run"], ["chaos", "list"]],
)
def test_every_command_has_help(words: list[str], tmp_path: Path) -> None:
    done = run_devnet([*words, "--help"], tmp_path)
    assert done.code == 0, done.told
    assert done.out.startswith(" ".join(["usage: devnet", *words]))
