"""What the dealer writes: complete, usable, private; and what it refuses."""

import errno
import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from eth_account import Account

from dst.cli import cluster
from dst.cli.cluster import SUPPORTED_SIZES, create_cluster
from dst.cli.genesis import DEV_ACCOUNTS, DEV_BALANCE_WEI, DEV_MNEMONIC
from dst.cli.main import main
from dst.crypto import bls, keystore, tbls
from dst.crypto.locks import load_lock, verify_lock_signatures
from dst.crypto.secp256k1 import IdentityKey
from dst.execution.genesis import genesis_block_header
from dst.p2p.tls import load_identity, spki_hash
from dst.runtime.files import write_secret
from dst.spec.cluster import ClusterLock, lock_hash, to_jsonable
from dst.spec.errors import BadConfig, InvalidInput
from dst.spec.primitives import OperatorIndex, ShareIndex

SECRET_FILES = {
    "identity.key",
    "transport.key",
    "keystore.json",
    "keystore.password",
    "jwt.hex",
    "own.hex",
    "peers.hex",
}


@pytest.fixture(scope="module")
def dealt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("cluster")
    create_cluster(directory, operators=4, name="test", chain={"dev": True, "chain_id": 902})
    return directory


def shares(directory: Path) -> dict[ShareIndex, bls.SecretShare]:
    folders = sorted((directory / "operators").iterdir())
    return {
        ShareIndex(int(folder.name.removeprefix("op"))): keystore.decrypt(
            (folder / "keystore.json").read_bytes(), (folder / "keystore.password").read_text()
        )
        for folder in folders
    }


@pytest.mark.parametrize("n", SUPPORTED_SIZES)
def test_shares_sign_for_the_group(n: int, tmp_path: Path) -> None:
    lock = create_cluster(tmp_path / "c", operators=n)
    assert load_lock(tmp_path / "c" / "cluster-lock.json") == lock
    parts = {index: bls.sign(share, b"\1" * 32) for index, share in shares(tmp_path / "c").items()}
    combined = tbls.recover_group_signature(parts, lock.threshold)
    assert bls.verify(lock.group_public_key, b"\1" * 32, combined)
    for index, share in shares(tmp_path / "c").items():
        assert lock.share_public_keys[index - 1] == bls.public_key(share)


def test_layout_and_modes(dealt: Path) -> None:
    assert {path.name for path in dealt.iterdir()} == {
        "cluster-definition.json",
        "cluster-lock.json",
        "genesis.json",
        "operators",
        "certs",
    }
    for folder in (dealt / "operators").iterdir():
        names = {path.name for path in folder.iterdir()}
        assert names == SECRET_FILES | {"transport.crt"}
        for name in SECRET_FILES:
            assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600


def test_identities_and_certificates_are_those_of_the_lock(dealt: Path) -> None:
    for operator in load_lock(dealt / "cluster-lock.json").operators:
        folder = dealt / "operators" / operator.name
        assert IdentityKey.load(folder / "identity.key").public_key == operator.identity
        public = (dealt / "certs" / f"{operator.name}.crt").read_bytes()
        assert public == (folder / "transport.crt").read_bytes()
        certificate = x509.load_pem_x509_certificate(public)
        der = certificate.public_bytes(Encoding.DER)
        assert spki_hash(der) == operator.transport_spki


def test_certificates_serve_the_transport(dealt: Path) -> None:
    one, *others = load_lock(dealt / "cluster-lock.json").operators
    identity = load_identity(
        own_certificate=dealt / "certs" / "op1.crt",
        own_key=dealt / "operators" / "op1" / "transport.key",
        own_pin=one.transport_spki,
        peers=[
            (OperatorIndex(o.index - 1), dealt / "certs" / f"{o.name}.crt", o.transport_spki)
            for o in others
        ],
    )
    assert sorted(identity.pins.values()) == [1, 2, 3]


def test_genesis_file_and_lock_agree(dealt: Path) -> None:
    genesis = json.loads((dealt / "genesis.json").read_text())
    lock = load_lock(dealt / "cluster-lock.json")
    assert bytes(genesis_block_header(genesis).hash) == lock.chain.l2_genesis_hash
    assert genesis["config"]["chainId"] == lock.chain.chain_id == 902
    assert int(genesis["timestamp"], 16) == lock.chain.genesis_time
    for account in DEV_ACCOUNTS:
        assert int(genesis["alloc"][account]["balance"], 16) == DEV_BALANCE_WEI


def test_dev_accounts_are_those_of_the_public_mnemonic() -> None:
    Account.enable_unaudited_hdwallet_features()
    for i, address in enumerate(DEV_ACCOUNTS):
        account = Account.from_mnemonic(DEV_MNEMONIC, account_path=f"m/44'/60'/0'/0/{i}")
        assert account.address.lower() == address


def test_without_dev_nobody_is_funded(tmp_path: Path) -> None:
    create_cluster(tmp_path, operators=1)
    genesis = json.loads((tmp_path / "genesis.json").read_text())
    balances = [int(account["balance"], 16) for account in genesis["alloc"].values()]
    assert balances == [0, 0, 0, 0]
    assert not load_lock(tmp_path / "cluster-lock.json").chain.dev


def test_the_chain_id_flag_wins_over_the_chain_file(tmp_path: Path) -> None:
    constants = tmp_path / "chain.json"
    constants.write_text('{"chain_id": 77, "seconds_per_slot": 4}')
    words = ["cluster", "create", "--dir", str(tmp_path / "c"), "--operators", "1"]
    assert main([*words, "--chain", str(constants), "--chain-id", "4242"]) == 0
    chain = load_lock(tmp_path / "c" / "cluster-lock.json").chain
    assert (chain.chain_id, chain.seconds_per_slot) == (4242, 4)
    genesis = json.loads((tmp_path / "c" / "genesis.json").read_text())
    assert genesis["config"]["chainId"] == 4242


@pytest.mark.parametrize("number", ["0", "-1", str(2**64)])
def test_a_chain_id_out_of_range_is_refused(
    tmp_path: Path, number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["cluster", "create", "--dir", str(tmp_path / "c"), "--operators", "1"]
    assert main([*words, "--chain-id", number]) == 2
    assert "chain_id" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()


def test_defaults_follow_the_slot(tmp_path: Path) -> None:
    for seconds, timeout in ((1, 500), (2, 1000), (12, 6000)):
        folder = tmp_path / str(seconds)
        lock = create_cluster(folder, operators=1, chain={"seconds_per_slot": seconds})
        assert lock.chain.round_timeout_ms == timeout


def test_further_accounts(tmp_path: Path) -> None:
    address = "0x" + "ab" * 20
    create_cluster(
        tmp_path, operators=1, alloc={address.upper().replace("X", "x"): {"balance": "0x7"}}
    )
    genesis = json.loads((tmp_path / "genesis.json").read_text())
    assert genesis["alloc"][address] == {"balance": "0x7"}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"operators": 5}, "choose one of"),
        ({"operators": 1, "chain": {"chain_id": 0}}, "chain_id"),
        ({"operators": 1, "chain": {"surprise": 1}}, "surprise"),
        ({"operators": 1, "chain": {"seconds_per_slot": 0.5}}, "seconds_per_slot"),
        ({"operators": 1, "chain": {"extra_data": "0x" + "00" * 33}}, "extra_data"),
        ({"operators": 1, "name": "no spaces please"}, "name"),
        (
            {"operators": 1, "alloc": {"0x000f3df6d732807ef1319fb7b8bb8522d0beac02": {}}},
            "system contract",
        ),
        ({"operators": 1, "alloc": {"0x" + "ab" * 20: {"balance": "lots"}}}, "balance"),
    ],
)
def test_refusals_leave_no_lock(arguments: dict[str, Any], complaint: str, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=complaint):
        create_cluster(tmp_path / "c", **arguments)
    assert not (tmp_path / "c" / "cluster-lock.json").exists()


def test_an_existing_cluster_is_never_overwritten(dealt: Path) -> None:
    before = (dealt / "cluster-lock.json").read_bytes()
    with pytest.raises(BadConfig, match="already holds a cluster"):
        create_cluster(dealt, operators=4)
    assert (dealt / "cluster-lock.json").read_bytes() == before


# --- a lock that was tampered with ----------------------------------------------------------------


def rehashed(lock: ClusterLock, **changes: Any) -> ClusterLock:
    changed = msgspec.structs.replace(lock, **changes)
    return msgspec.structs.replace(changed, lock_hash=lock_hash(changed))


def test_tampered_locks_are_refused(dealt: Path, tmp_path: Path) -> None:
    lock = load_lock(dealt / "cluster-lock.json")
    chain = msgspec.structs.replace(lock.chain, gas_limit=30_000_000)
    definition = msgspec.structs.replace(lock.definition, chain=chain)
    first, second, *rest = lock.operator_signatures
    swapped = (second, first, *rest)
    cases = {
        "lock_hash does not match": msgspec.structs.replace(lock, definition=definition),
        "signature of operator op1": rehashed(lock, definition=definition),
        "operator op1 does not verify": rehashed(lock, operator_signatures=swapped),
        "group's signature": rehashed(lock, group_signature=bytes(96)),
    }
    for complaint, broken in cases.items():
        path = tmp_path / "lock.json"
        path.write_text(json.dumps(to_jsonable(broken)))
        with pytest.raises(BadConfig, match=complaint):
            load_lock(path)


def test_a_share_key_off_the_polynomial_is_found(dealt: Path) -> None:
    lock = load_lock(dealt / "cluster-lock.json")
    stranger = bls.public_key(bls.SecretShare.generate())
    for position in range(4):
        keys = list(lock.share_public_keys)
        keys[position] = stranger
        broken = rehashed(lock, share_public_keys=tuple(keys))
        signatures = tuple(
            IdentityKey.load(dealt / "operators" / f"op{i}" / "identity.key").sign(broken.lock_hash)
            for i in range(1, 5)
        )
        signed = msgspec.structs.replace(broken, operator_signatures=signatures)
        with pytest.raises(InvalidInput, match="do not give the group key"):
            verify_lock_signatures(signed)


# --- the front door -------------------------------------------------------------------------------


def test_front_door_deals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chain = tmp_path / "chain.json"
    chain.write_text(json.dumps({"chain_id": 77, "seconds_per_slot": 1}))
    target = tmp_path / "c"
    words = ["cluster", "create", "--dir", str(target), "--operators", "1", "--chain", str(chain)]
    assert main([*words, "--dev"]) == 0
    lock = load_lock(target / "cluster-lock.json")
    assert (lock.chain.chain_id, lock.chain.dev) == (77, True)
    out = capsys.readouterr().out
    assert "cluster-lock.json" in out
    secret = shares(target)[ShareIndex(1)].reveal().hex()
    assert secret not in out
    shutil.rmtree(target)


@pytest.mark.parametrize(
    "words",
    [
        ["cluster", "create", "--dir", "{dir}/c", "--operators", "6"],
        ["cluster", "create", "--dir", "{dir}/c", "--operators", "4", "--chain", "{dir}/none"],
        ["cluster", "create", "--dir", "/proc/nowhere", "--operators", "1"],
        ["validator", "--config", "{dir}/none.json"],
        ["slashing", "export", "--config", "{dir}/none.json", "--file", "{dir}/x"],
    ],
)
def test_front_door_refuses_with_one_line_and_exit_code_2(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([word.replace("{dir}", str(tmp_path)) for word in words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "words", [[], ["fly"], ["validator"], ["validator", "--config", "x", "--new", "--rejoin"]]
)
def test_wrong_flags(words: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2


@pytest.mark.parametrize("after", [0, 3, 9, 20])
def test_a_full_disk_leaves_nothing_and_the_same_command_works_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    written = 0

    def until_full(path: Path, data: bytes) -> None:
        nonlocal written
        written += 1
        if written > after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_secret(path, data)

    folder = tmp_path / "dealt"
    monkeypatch.setattr(cluster, "write_secret", until_full)
    with pytest.raises(BadConfig, match="No space left on device; nothing was dealt"):
        create_cluster(folder, operators=4)
    assert list(folder.iterdir()) == []
    monkeypatch.undo()
    create_cluster(folder, operators=4)
    assert load_lock(folder / "cluster-lock.json").n == 4


def test_keys_without_their_lock_are_not_dealt_over(tmp_path: Path) -> None:
    create_cluster(tmp_path, operators=1)
    (tmp_path / "cluster-lock.json").unlink()
    with pytest.raises(BadConfig, match="cut short, or a lock that was lost"):
        create_cluster(tmp_path, operators=1)
