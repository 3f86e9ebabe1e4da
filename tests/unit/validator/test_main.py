"""Start of the role: what it refuses, and the whole program in a process of its own."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dst
from dst.cli.cluster import create_cluster
from dst.cli.main import main
from dst.crypto.locks import load_lock
from dst.runtime.build import code_digest
from dst.slashing.interchange import SignedBlock, encode_interchange
from dst.spec.cluster import genesis_validators_root
from dst.spec.errors import BadConfig
from dst.spec.primitives import Slot
from dst.validator import main as main_module
from dst.validator.main import claimed_store, load_share, open_store, read_setup, run
from dst.validator.protection import FILE_NAME, ProtectionStore
from dst.validator.transfer import export_protection
from dst.validator.window import SlotWindow


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("cluster")
    create_cluster(directory, operators=4)
    return directory


@pytest.fixture
def write_config(cluster: Path, tmp_path: Path) -> Callable[..., Path]:
    def write(**changes: object) -> Path:
        fields: dict[str, object] = {
            "name": "op1",
            "data_dir": "data",
            "lock": str(cluster / "cluster-lock.json"),
            "index": 1,
            "keystore": str(cluster / "operators/op1/keystore.json"),
            "password_file": str(cluster / "operators/op1/keystore.password"),
            "beacon": "http://127.0.0.1:1",
        }
        path = tmp_path / "validator.json"
        path.write_text(json.dumps(fields | changes))
        return path

    return write


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        (b'{"name": "\xff"}', "validator.json"),
        (b"[" * 100_000, "validator.json"),
        (b'{"name": 1}', "name"),
    ],
)
def test_a_broken_file_is_named(written: bytes, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "validator.json"
    path.write_bytes(written)
    with pytest.raises(BadConfig, match=complaint):
        read_setup(path)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [({"beacon": "op1"}, "http:// URL"), ({"data_dir": "a\0b"}, "not a path")],
)
def test_a_wrong_field_is_named(write_config: Any, change: dict[str, str], complaint: str) -> None:
    with pytest.raises(BadConfig, match=complaint):
        read_setup(write_config(**change))


def test_share_of_this_operator(write_config: Any, cluster: Path) -> None:
    path = write_config()
    share = load_share(read_setup(path), path)
    assert "***" in repr(share)


def test_share_of_another_operator_is_named(write_config: Any, cluster: Path) -> None:
    path = write_config(
        keystore=str(cluster / "operators/op3/keystore.json"),
        password_file=str(cluster / "operators/op3/keystore.password"),
    )
    with pytest.raises(BadConfig, match="share of operator 3, not of operator 1"):
        load_share(read_setup(path), path)


def test_wrong_password_is_named_without_telling_it(write_config: Any, cluster: Path) -> None:
    other = cluster / "operators/op2/keystore.password"
    path = write_config(password_file=str(other))
    with pytest.raises(BadConfig, match="wrong password") as error:
        load_share(read_setup(path), path)
    assert other.read_text() not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"index": 5}, "index 5"),
        ({"index": "1"}, "index"),
        ({"colour": "blue"}, "colour"),
        ({"log_level": "loud"}, "log_level"),
        ({"lock": "nowhere.json"}, "nowhere.json"),
    ],
)
def test_bad_configuration_names_the_field(
    write_config: Any, changes: dict[str, object], complaint: str
) -> None:
    with pytest.raises(BadConfig, match=complaint):
        read_setup(write_config(**changes))


def test_a_key_without_its_store_does_not_start(write_config: Any) -> None:
    path = write_config()
    with pytest.raises(BadConfig, match="--rejoin"):
        run(path)
    setup = read_setup(path)
    open_store(setup, new=True, rejoin=False).close()
    with pytest.raises(BadConfig, match="without --new"):
        run(path, new=True)


def test_a_rejoin_that_was_cut_short_goes_on_without_the_flag(
    write_config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the middle of it, and started by whatever starts it ever."""
    setup = read_setup(write_config())
    setup.store_path.parent.mkdir()
    open_store(setup, new=False, rejoin=True).close()
    with pytest.raises(BadConfig, match="until it has rejoined"):
        export_protection(write_config(), setup.store_path.with_name("out.json"))
    windows: list[SlotWindow] = []

    async def synced(*_: object) -> Slot:
        return Slot(41)

    class Client:
        def __init__(self, _: object, signer: object, chain: object, window: Any, __: object):
            windows.append(window)

        async def run(self) -> None:
            """Signs nothing here."""

    monkeypatch.setattr(main_module, "wait_until_synced", synced)
    store = open_store(setup, new=False, rejoin=False)
    share = load_share(setup, write_config())
    nobody: Any = None
    client: Any = Client
    asyncio.run(main_module._serve(setup, nobody, share, store, client))
    assert (store.is_rejoining, store.minimum()) == (False, 41)
    assert len(windows) == 1
    store.close()


def test_protection_moves_through_the_front_door(
    write_config: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, file = write_config(), tmp_path / "interchange.json"
    store = open_store(read_setup(path), new=True, rejoin=False)
    store.record(Slot(9), b"\1" * 32)  # type: ignore[arg-type]
    store.close()
    words = ["--config", str(path), "--file", str(file)]
    assert main(["slashing", "export", *words]) == 0
    assert "wrote 2 signed blocks" in capsys.readouterr().out
    (tmp_path / "data" / FILE_NAME).unlink()
    assert main(["slashing", "import", *words]) == 2
    assert f"{FILE_NAME}-flushed of it is: bring it back, or move" in capsys.readouterr().err
    (tmp_path / "data" / f"{FILE_NAME}-flushed").unlink()
    assert main(["slashing", "import", *words]) == 0
    store = open_store(read_setup(path), new=False, rejoin=False)
    assert store.newest() == 9
    store.close()
    file.write_text("{}")
    assert main(["slashing", "import", *words]) == 2


def interchange_of(
    cluster: Path, config: Path, index: int, blocks: list[SignedBlock], file: Path
) -> list[str]:
    """Words that import `blocks` as the past of operator `index`'s key share."""
    lock = load_lock(cluster / "cluster-lock.json")
    data = encode_interchange(
        blocks,
        pubkey=lock.share_public_keys[index - 1],
        genesis_validators_root=genesis_validators_root(lock),
    )
    file.write_bytes(data)
    return ["slashing", "import", "--config", str(config), "--file", str(file)]


@pytest.mark.parametrize(
    ("index", "slots"), [(2, [99]), (1, [])], ids=["another key's file", "no blocks"]
)
def test_import_that_says_nothing_of_this_key_creates_no_store(
    write_config: Any,
    cluster: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    index: int,
    slots: list[int],
) -> None:
    path = write_config()
    blocks = [SignedBlock(slot=Slot(slot), signing_root=None) for slot in slots]
    assert main(interchange_of(cluster, path, index, blocks, tmp_path / "file.json")) == 2
    assert "holds no signed block of this operator's key" in capsys.readouterr().err
    with pytest.raises(BadConfig, match="--rejoin"):
        open_store(read_setup(path), new=False, rejoin=False)


def test_records_are_not_moved_beside_a_running_validator(
    write_config: Any, cluster: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It could sign what was just forbidden, or what an export does not hold."""
    path = write_config()
    blocks = [SignedBlock(slot=Slot(99), signing_root=None)]
    words = interchange_of(cluster, path, 1, blocks, tmp_path / "file.json")
    with claimed_store(read_setup(path)):
        assert main(words) == 2
        assert "a validator runs on it; stop it first" in capsys.readouterr().err
    assert main(words) == 0
    with claimed_store(read_setup(path)), pytest.raises(BadConfig, match="stop it first"):
        export_protection(path, tmp_path / "out.json")
    export_protection(path, tmp_path / "out.json")


def test_import_cut_short_leaves_no_store_and_can_be_repeated(
    write_config: Any, cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_config()
    blocks = [SignedBlock(slot=Slot(99), signing_root=None)]
    words = interchange_of(cluster, path, 1, blocks, tmp_path / "file.json")

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ProtectionStore, "_insert", crash)
    with pytest.raises(KeyboardInterrupt):
        main(words)
    monkeypatch.undo()
    with pytest.raises(BadConfig, match="--rejoin"):
        open_store(read_setup(path), new=False, rejoin=False)
    assert main(words) == 0
    assert main(words) == 0
    store = open_store(read_setup(path), new=False, rejoin=False)
    assert store.blocks() == blocks
    store.close()


def test_the_program_starts_without_a_middleware_and_stops_when_asked(write_config: Any) -> None:
    path = write_config()
    process = subprocess.Popen(
        [sys.executable, "-m", "dst", "validator", "--config", str(path), "--new"],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        first = process.stderr.readline()
        assert " ready " in first
        assert f"version={dst.__version__} code={code_digest()}" in first
        os.kill(process.pid, signal.SIGTERM)
        rest = process.stderr.read()
        assert process.wait(timeout=10) == 0, rest
    finally:
        process.kill()
        process.stderr.close()
    secret = load_share(read_setup(path), path).reveal().hex()
    assert secret not in first + rest
    assert "ready" not in rest
