"""No secret of the cluster is in anything a user might share: descriptor, logs, kept runs.

A full run is made to fail on purpose (a gap bound nobody can meet), so that everything is kept, and
then every byte of it is searched for every secret, as text, as hex in both cases, and as raw
bytes.
"""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from dst.crypto.keystore import decrypt
from tests.e2e.conftest import PORT_OFFSET, NetworkFactory, RunningNetwork

pytestmark = pytest.mark.xdist_group("process-network")

SECRET_FILES = (
    "identity.key",
    "transport.key",
    "keystore.password",
    "jwt.hex",
    "own.hex",
    "peers.hex",
    "batcher.key",
)
PEM_LINE_MIN = 32
"""Shorter lines of a PEM body prove nothing when found (padding, common prefixes)."""

STRICT = """
scenario: 1
name: too-strict
about: a leader-kill that cannot meet its bound
faults:
  - {id: kill, do: kill, target: leader, until: {heights: n}}
expect: {gap: 1ms}
"""


@pytest.fixture(scope="module")
def network(network_factory: NetworkFactory) -> RunningNetwork:
    return network_factory("--backend", "process", "--port-offset", str(PORT_OFFSET))


def cluster_secrets(directory: Path) -> dict[str, str]:
    """Where each secret comes from -> its text."""
    found: dict[str, str] = {}
    for path in sorted(p for p in directory.rglob("*") if p.name in SECRET_FILES):
        for number, line in enumerate(secret_lines(path.read_text())):
            found[f"{path.relative_to(directory)}:{number}"] = line
    return found | key_shares(directory)


def secret_lines(text: str) -> Iterator[str]:
    """A PEM file's body lines; any other file's whole text, without `0x`."""
    if "-----BEGIN" not in text:
        yield text.strip().removeprefix("0x")
        return
    for line in text.splitlines():
        if "-----" not in line and len(line) >= PEM_LINE_MIN:
            yield line


def key_shares(directory: Path) -> dict[str, str]:
    """The decrypted key shares themselves."""
    found = {}
    for path in sorted(directory.rglob("keystore.json")):
        password = (path.parent / "keystore.password").read_text().rstrip("\n")
        share = decrypt(path.read_bytes(), password)
        found[str(path.relative_to(directory))] = share.reveal().hex()
    return found


def needles(secret: str) -> set[bytes]:
    """The forms in which a secret could have leaked."""
    forms = {secret.encode(), secret.lower().encode(), secret.upper().encode()}
    try:
        raw = bytes.fromhex(secret)
    except ValueError:
        return forms
    # A private key is also a number, and may be printed as one.
    return {*forms, raw, str(int.from_bytes(raw)).encode()}


def shared_files(network: RunningNetwork) -> list[Path]:
    """Everything a person would attach to an issue."""
    runs = network.directory.parent / "runs"
    files = [path for path in runs.rglob("*") if path.is_file()]
    files += [path for path in (network.directory / "logs").rglob("*") if path.is_file()]
    return [network.directory / "network.json", *files]


def content_of(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data


def test_no_secret_in_descriptor_logs_or_kept_runs(network: RunningNetwork, tmp_path: Path) -> None:
    scenario = tmp_path / "too-strict.yaml"
    scenario.write_text(STRICT)
    done, answer = network.chaos(str(scenario), "--seed", "1")
    assert done.code == 1, done.told
    folder = Path(answer["runs"][0]["folder"])
    kept = {path.name for path in folder.iterdir()}
    wanted = {
        "manifest.json", "scenario.yaml", "resolved.yaml", "history.ndjson.gz", "verdicts.json",
        "logs", "report.html", "junit.xml",
    }  # fmt: skip
    assert wanted <= kept
    assert json.loads((folder / "manifest.json").read_text())["outcome"] == "fail"

    secrets = cluster_secrets(network.directory)
    kinds = {Path(name.split(":")[0]).name for name in secrets}
    assert {"identity.key", "keystore.password", "jwt.hex", "keystore.json"} <= kinds
    files = shared_files(network)
    assert any(path.suffix == ".log" for path in files)
    leaks = [
        f"{name} in {path}"
        for path in files
        for content in [content_of(path)]
        for name, secret in secrets.items()
        for needle in needles(secret)
        if needle in content
    ]
    assert leaks == []


def test_secret_files_are_readable_by_their_owner_alone(network: RunningNetwork) -> None:
    paths = [p for p in network.directory.rglob("*") if p.name in (*SECRET_FILES, "keystore.json")]
    assert paths
    open_to_others = [str(path) for path in paths if path.stat().st_mode & 0o077]
    assert open_to_others == []
