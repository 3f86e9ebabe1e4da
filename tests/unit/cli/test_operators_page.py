"""docs/operators.md: every file on it is taken as written, and nobody is called by a name that the
one who answers does not know."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from dst.apis.jwt import load_jwt_secret
from dst.cli.cluster import create_cluster
from dst.execution.config import ExecutionConfig
from dst.middleware.config import load_settings as load_middleware
from dst.rollup.config import load_settings as load_rollup
from dst.runtime.browsers import BrowserPolicy
from dst.runtime.config import load_json, resolve
from dst.runtime.files import write_secret
from dst.validator.main import load_share, read_setup

PAGE = (Path(__file__).parents[3] / "docs" / "operators.md").read_text()
FILES: dict[str, dict[str, Any]] = {
    name: json.loads(text)
    for name, text in re.findall(
        r"^`([a-z-]+\.json)`, run by .*?```json\n(.*?)```", PAGE, re.M | re.S
    )
}
OPERATOR = ("execution.json", "rollup.json", "middleware.json", "validator.json")
FOLLOWER = ("follower-execution.json", "follower-rollup.json")
OUTSIDE = {"http://l1.example:8545"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Operator 1's, laid out as the page says, with the files of the page in it."""
    dealt, own = tmp_path / "dealt", tmp_path / "own"
    create_cluster(dealt, operators=4)
    shutil.copytree(dealt / "operators" / "op1", own / "keys")
    shutil.copytree(dealt / "certs", own / "certs")
    for name in ("cluster-lock.json", "genesis.json"):
        shutil.copy(dealt / name, own)
    write_secret(own / "jwt.hex", b"ab" * 32)
    for name, content in FILES.items():
        (own / name).write_text(json.dumps(content))
    return own


def test_every_file_is_taken_as_written(folder: Path) -> None:
    assert set(FILES) == {*OPERATOR, *FOLLOWER}
    for name in ("execution.json", FOLLOWER[0]):
        config = load_json(folder / name, ExecutionConfig, what="execution config")
        for path in (config.genesis, config.lock, config.jwt_secret):
            assert resolve(folder / name, path).is_file()
        if config.peer_secret is not None:
            assert len(load_jwt_secret(resolve(folder / name, config.peer_secret))) == 32
    assert load_rollup(folder / "rollup.json").is_operator
    assert not load_rollup(folder / "follower-rollup.json").is_operator
    assert len(load_middleware(folder / "middleware.json").peers) == 3
    load_share(read_setup(folder / "validator.json"), folder / "validator.json")


def _of(operator: int) -> dict[str, dict[str, Any]]:
    """The files of another operator: its own name where operator 1 has that, and the other way
    round."""
    swap = {"op1": f"op{operator}", f"op{operator}": "op1"}
    return {
        name: json.loads(re.sub(r"op[1-4]\b", lambda m: swap.get(m[0], m[0]), json.dumps(content)))
        for name, content in FILES.items()
        if name in OPERATOR
    }


def _urls(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _urls(each)
    elif isinstance(value, str) and value.startswith("http"):
        yield value


def _answering(port: int, files: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The file of the role that listens on a port."""
    (found,) = [
        content
        for content in files.values()
        if any(k.endswith("listen") and v.endswith(f":{port}") for k, v in content.items())
    ]
    return found


def _check(caller: dict[str, dict[str, Any]]) -> set[str]:
    """Every URL in a host's files is answered by the role that it leads to; the hosts called."""
    called = set()
    for url in {each for content in caller.values() for each in _urls(content)} - OUTSIDE:
        name, port = urlsplit(url).hostname or "", urlsplit(url).port or 0
        named = re.fullmatch(r"op([1-4])\.rollup\.example", name)
        files = caller if named is None else _of(int(named[1]))
        hosts = _answering(port, files).get("hosts", [])
        policy = BrowserPolicy.of((), hosts, what="page")
        assert policy.allows_host(f"{name}:{port}"), url
        if named is not None:
            unlisted = BrowserPolicy.of((), (), what="page")
            assert not unlisted.allows_host(name), "the entry is what lets it in"
        called.add(name)
    return called


def test_whoever_is_called_by_a_name_has_it_in_its_hosts() -> None:
    everyone = {f"op{i}.rollup.example" for i in range(1, 5)}
    for operator in range(1, 5):
        own = f"op{operator}.rollup.example"
        assert _check(_of(operator)) == everyone - {own} | {"127.0.0.1"}
    follower = {name: FILES[name] for name in FOLLOWER}
    assert _check(follower) == everyone | {"127.0.0.1"}
