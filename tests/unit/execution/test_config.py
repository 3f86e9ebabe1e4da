"""execution.json: what is wrong with it is one line and exit code 2."""

import json
import time
from pathlib import Path

import pytest

from dst.apis.jwt import holders_of, make_jwt
from dst.execution.main import run

GOOD = {
    "name": "op1",
    "data_dir": "data",
    "genesis": "genesis.json",
    "lock": "cluster-lock.json",
    "jwt_secret": "jwt.hex",
    "engine_listen": "127.0.0.1:1",
    "rpc_listen": "127.0.0.1:2",
}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"log_level": "loud"}, "log_level"),
        ({"engine": "turbo"}, "engine"),
        ({"colour": "red"}, "unknown field `colour`"),
        ({"forward_to": "http://127.0.0.1:3"}, "forward_to"),
        ({"forward_to": ["op2"]}, "http:// URL"),
        ({"history_blocks": 3}, "history_blocks: at least 64"),
        ({"connections_per_address": 0}, "connections_per_address"),
    ],
)
def test_a_wrong_field_is_named(
    change: dict[str, object], word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "execution.json"
    path.write_text(json.dumps({**GOOD, **change}))
    assert run(str(path)) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert word in told
    assert str(path) in told


def test_whose_connections_keep_their_places() -> None:
    secret = bytes(range(32))
    vouches = holders_of(secret)
    assert vouches({"Authorization": f"Bearer {make_jwt(secret, time.time())}"})
    assert not vouches({"Authorization": f"Bearer {make_jwt(bytes(32), time.time())}"})
    assert not vouches({"Authorization": f"Bearer {make_jwt(secret, time.time() - 600)}"})
    assert not vouches({})
