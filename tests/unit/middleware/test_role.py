"""The role as a process: ready, served, stopped; and every clear refusal to start."""

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dst.runtime.build import code_digest

Write = Callable[..., Path]


@pytest.fixture
def write_config(single: Any, tmp_path: Path, free_port: Callable[[], int]) -> Write:
    """write_config(**changes) -> path of a middleware.json of the single operator."""

    def write(**changes: object) -> Path:
        secrets = single.folder / "operators" / "op1"
        config = {
            "name": "op1",
            "data_dir": "data",
            "lock": str(single.folder / "cluster-lock.json"),
            "index": 1,
            "identity_key": str(secrets / "identity.key"),
            "transport_key": str(secrets / "transport.key"),
            "transport_cert": str(secrets / "transport.crt"),
            "certs_dir": str(single.folder / "certs"),
            "rollup": "http://127.0.0.1:1",
            "own_secret": str(secrets / "own.hex"),
            "listen": f"127.0.0.1:{free_port()}",
            "p2p_listen": f"127.0.0.1:{free_port()}",
            "peers": [],
            "log_level": "info",
            **changes,
        }
        path = tmp_path / "middleware.json"
        path.write_text(json.dumps(config))
        return path

    return write


def start(config: Path, *flags: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "dst", "middleware", "--config", str(config), *flags],
        stderr=subprocess.PIPE,
        text=True,
    )


def test_ready_serves_and_stops_when_told(write_config: Write) -> None:
    config = write_config()
    listen = json.loads(config.read_text())["listen"]
    process = start(config, "--new")
    try:
        assert process.stderr is not None
        lines = [process.stderr.readline()]
        while " ready " not in lines[-1] and lines[-1]:
            lines.append(process.stderr.readline())
        assert " ready " in lines[-1], lines
        with urllib.request.urlopen(f"http://{listen}/eth/v1/node/version") as answer:
            assert "charon-compatible" in answer.read().decode()
        with urllib.request.urlopen(f"http://{listen}/metrics") as answer:
            assert f'dst_build_info{{code="{code_digest()}"' in answer.read().decode()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("changes", "flags", "word"),
    [
        ({}, [], "--new when the cluster has just been created"),
        ({}, ["--rejoin"], "a single operator has none"),
        ({"index": 2}, ["--new"], "index 2 is not one of 1..1"),
        ({"surprise": 1}, ["--new"], "unknown field `surprise`"),
        ({"peers": [{"index": 2, "address": "h:1"}]}, ["--new"], "peers must name each of []"),
        ({"p2p_listen": "nowhere"}, ["--new"], "expected host:port"),
        ({"lock": "missing.json"}, ["--new"], "missing.json"),
        ({"identity_key": "missing.key"}, ["--new"], "missing.key"),
    ],
)
def test_bad_configuration_is_one_clear_line(
    write_config: Write, changes: dict[str, object], flags: list[str], word: str
) -> None:
    process = start(write_config(**changes), *flags)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 2
    assert word in errors
    assert "Traceback" not in errors


def test_taken_port_is_named(write_config: Write, free_port: Callable[[], int]) -> None:
    import socket

    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        process = start(write_config(p2p_listen=f"127.0.0.1:{port}"), "--new")
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 2
    assert str(port) in errors


def test_foreign_identity_key_is_refused(write_config: Write, cluster: Any, single: Any) -> None:
    key = cluster.folder / "operators" / "op2" / "identity.key"
    process = start(write_config(identity_key=str(key)), "--new")
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "is not that of operator 1" in errors
    assert key.read_text().strip() not in errors
