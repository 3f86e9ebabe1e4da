"""rollup.json: every refusal names the file and what to do."""

import json
from pathlib import Path

import pytest

from dst.rollup import config as module
from dst.rollup.config import load_settings
from dst.spec.cluster import ClusterLock
from dst.spec.errors import BadConfig
from tests.unit.rollup.rollup_bench import make_lock

GOOD = {
    "name": "op1",
    "data_dir": "data",
    "lock": "lock.json",
    "l1": "http://127.0.0.1:1",
    "engine": "http://127.0.0.1:2",
    "jwt_secret": "jwt.hex",
    "listen": "127.0.0.1:3",
    "own_listen": "127.0.0.1:4",
    "own_secret": "own.hex",
    "index": 1,
    "batcher_key": "batcher.key",
}

FOLLOWER: dict[str, object] = dict.fromkeys(("index", "batcher_key", "own_listen", "own_secret"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def lock_of(_: Path) -> ClusterLock:
        return make_lock()

    monkeypatch.setattr(module, "load_lock", lock_of)
    for name in ("jwt.hex", "own.hex", "batcher.key"):
        (tmp_path / name).write_text("11" * 32)
        (tmp_path / name).chmod(0o600)
    return tmp_path


def write(folder: Path, **changes: object) -> Path:
    path = folder / "rollup.json"
    path.write_text(json.dumps({**GOOD, **changes}))
    return path


def test_an_operator(folder: Path) -> None:
    settings = load_settings(write(folder))
    assert (settings.operator, settings.is_operator) == (0, True)
    assert settings.data_dir == folder / "data"
    assert settings.batcher_key is not None


def test_followers(folder: Path) -> None:
    settings = load_settings(write(folder, **FOLLOWER, sources=["http://a", "http://b"]))
    assert settings.sources == ("http://a", "http://b")
    assert load_settings(write(folder, **FOLLOWER, from_l1=True)).sources == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"nonsense": 1}, "nonsense"),
        ({"listen": "here"}, "host:port"),
        ({"index": 5}, "above the 4 operators"),
        ({**FOLLOWER}, "sources"),
        ({**FOLLOWER, "sources": ["http://a"], "batcher_key": "batcher.key"}, "only an operator"),
        ({**FOLLOWER, "sources": ["http://a"], "own_listen": "127.0.0.1:4"}, "own_listen"),
        ({"own_listen": None, "own_secret": None}, "needs own_listen"),
        ({"own_secret": None}, "go together"),
        ({"own_listen": "here"}, "host:port"),
        ({"sources": ["http://a"]}, "follows nobody"),
        ({"l1": "127.0.0.1:1"}, "http://"),
        ({"log_level": "loud"}, "log_level"),
        ({"batcher_key": "missing"}, "batcher key"),
    ],
)
def test_mistakes_are_named(folder: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(BadConfig, match=words):
        load_settings(write(folder, **changes))


def test_a_key_that_others_can_read_is_refused(folder: Path) -> None:
    (folder / "batcher.key").chmod(0o644)
    with pytest.raises(BadConfig, match="chmod 600"):
        load_settings(write(folder))
