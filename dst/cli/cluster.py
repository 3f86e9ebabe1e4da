"""The dealer: one key split among n operators, and every file that they start from.

Layout under the folder: cluster-definition.json, cluster-lock.json, genesis.json, certs/op{i}.crt,
and for each operator operators/op{i}/ with identity.key, transport.key, transport.crt,
keystore.json, keystore.password, jwt.hex (for the Engine API), own.hex (the rollup node knows its
middleware by it) and peers.hex (one for all: their execution layers know each other by it).
Secrets have mode 0600. The lock is written last:
without it the folder is not a cluster.
"""

import json
import secrets
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from dst.cli.genesis import build_genesis, dev_alloc
from dst.crypto import bls, keystore, tbls
from dst.crypto.locks import lock_signing_root, verify_lock
from dst.crypto.secp256k1 import IdentityKey
from dst.execution.genesis import genesis_block_header
from dst.runtime.files import write_atomic, write_secret
from dst.spec.cluster import (
    ChainConfig,
    ClusterDefinition,
    ClusterLock,
    OperatorRecord,
    from_jsonable,
    lock_hash,
    to_jsonable,
)
from dst.spec.errors import BadConfig, InvalidInput
from dst.spec.primitives import BLSSignature, Hash32, ShareIndex, quorum, to_hex

SUPPORTED_SIZES: Final = (1, 4, 7, 10)
DEFAULT_CHAIN_ID: Final = 901
DEFAULT_L1_CHAIN_ID: Final = 31337
"""anvil's."""
CERTIFICATE_DAYS: Final = 3650
"""Certificates are pinned by key and never renewed by themselves; a longer life than the
cluster's.
"""
LOCK_NAME: Final = "cluster-lock.json"
"""Written last: without it the folder is no cluster."""
CLOCK_SKEW: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _OperatorKeys:
    """Everything secret of one operator, between dealing and writing."""

    record: OperatorRecord
    identity: IdentityKey
    share: bls.SecretShare
    transport_key_pem: bytes
    certificate_pem: bytes


def create_cluster(
    directory: Path,
    *,
    operators: int,
    name: str = "dst",
    chain: Mapping[str, object] | None = None,
    alloc: Mapping[str, object] | None = None,
) -> ClusterLock:
    """Deal a cluster into `directory` and return its verified lock.

    Args:
        chain: chain constants in file form (JSON types) that replace the defaults;
        `l2_genesis_hash` is computed.
        alloc: further genesis accounts, in geth's form.
    Raises: BadConfig on a size other than 1, 4, 7 or 10, a bad constant, or a folder that already
    holds a cluster or cannot be written.
    """
    if operators not in SUPPORTED_SIZES:
        raise BadConfig(f"--operators {operators}: choose one of {SUPPORTED_SIZES}")
    if (directory / LOCK_NAME).exists():
        raise BadConfig(f"{directory} already holds a cluster; choose another folder")
    if (directory / "operators").exists():
        raise BadConfig(
            f"{directory} holds keys without a cluster-lock.json: a dealing that was cut short,"
            " or a lock that was lost. Bring the lock back, or remove the folder and deal again"
        )
    draft = _chain_config(name, chain or {})
    accounts = {**(dev_alloc(draft.chain_id) if draft.dev else {}), **(alloc or {})}
    genesis = build_genesis(draft, accounts)
    final = msgspec.structs.replace(draft, l2_genesis_hash=_genesis_hash(genesis))
    group = bls.SecretShare.generate()
    shares = tbls.split(group, operators, quorum(operators))
    keys = [_deal(index, share) for index, share in shares.items()]
    lock = _sign_lock(_unsigned_lock(name, final, group, keys), keys)
    _write(directory, genesis, lock, keys)
    return lock


# --- Chain constants ------------------------------------------------------------------------------


def _chain_config(name: str, overrides: Mapping[str, object]) -> ChainConfig:
    """Defaults under `overrides`, checked. Raises: BadConfig naming the field."""
    tree: dict[str, object] = {
        "chain_id": DEFAULT_CHAIN_ID,
        "l1_chain_id": DEFAULT_L1_CHAIN_ID,
        "genesis_time": int(time.time()),
        "seconds_per_slot": 2,
        "l1_genesis": {"number": 0, "hash": to_hex(bytes(32))},
        "fee_recipient": to_hex(bytes(20)),
        "extra_data": to_hex(b"dst"),
        "graffiti": to_hex(name.encode()[:32].ljust(32, b"\0")),
        **overrides,
        "l2_genesis_hash": to_hex(bytes(32)),
    }
    slot = tree["seconds_per_slot"]
    if isinstance(slot, int):
        tree.setdefault("round_timeout_ms", max(300, slot * 500))
    chain_id = tree["chain_id"]
    if isinstance(chain_id, int) and chain_id > 0:
        tree.setdefault("batch_inbox", f"0xff{chain_id:038d}")
    try:
        config = from_jsonable(ChainConfig, tree)
    except InvalidInput as error:
        raise BadConfig(f"chain constants: {error}") from error
    if len(config.extra_data) > 32:
        raise BadConfig("chain constants: extra_data is longer than 32 bytes")
    return config


def _genesis_hash(genesis: Mapping[str, object]) -> Hash32:
    """Hash of block 0. Raises: BadConfig when the accounts are not in geth's form."""
    try:
        return Hash32(bytes(genesis_block_header(genesis).hash))
    except InvalidInput as error:
        raise BadConfig(f"genesis: {error}") from error


# --- Keys -----------------------------------------------------------------------------------------


def _deal(index: ShareIndex, share: bls.SecretShare) -> _OperatorKeys:
    identity, transport = IdentityKey.generate(), Ed25519PrivateKey.generate()
    name = f"op{index}"
    spki = transport.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return _OperatorKeys(
        record=OperatorRecord(
            index=index,
            name=name,
            identity=identity.public_key,
            transport_spki=sha256(spki).digest(),
        ),
        identity=identity,
        share=share,
        transport_key_pem=transport.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        ),
        certificate_pem=self_signed_certificate(transport, name),
    )


def self_signed_certificate(key: Ed25519PrivateKey, name: str) -> bytes:
    """PEM certificate of a transport key. It proves nothing by itself: peers pin the key in it (RFC
    5280 profile).
    """
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=CERTIFICATE_DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, None)
    )
    return certificate.public_bytes(Encoding.PEM)


# --- Definition and lock --------------------------------------------------------------------------


def _unsigned_lock(
    name: str, chain: ChainConfig, group: bls.SecretShare, keys: list[_OperatorKeys]
) -> ClusterLock:
    tree = {
        "name": name,
        "n": len(keys),
        "threshold": quorum(len(keys)),
        "operators": [],
        "chain": to_jsonable(chain),
    }
    try:
        definition = from_jsonable(ClusterDefinition, tree)
    except InvalidInput as error:
        raise BadConfig(f"cluster definition: {error}") from error
    draft = ClusterLock(
        definition=msgspec.structs.replace(
            definition, operators=tuple(keys_of.record for keys_of in keys)
        ),
        group_public_key=bls.public_key(group),
        share_public_keys=tuple(bls.public_key(keys_of.share) for keys_of in keys),
        lock_hash=bytes(32),
        operator_signatures=(),
        group_signature=BLSSignature(bytes(96)),
    )
    return msgspec.structs.replace(draft, lock_hash=lock_hash(draft))


def _sign_lock(lock: ClusterLock, keys: list[_OperatorKeys]) -> ClusterLock:
    """Add all signatures. The group's is combined from partials: it shows that the shares work
    before anyone uses them.
    """
    message = lock_signing_root(lock)
    partials = {ShareIndex(k.record.index): bls.sign(k.share, message) for k in keys}
    signed = msgspec.structs.replace(
        lock,
        operator_signatures=tuple(k.identity.sign(lock.lock_hash) for k in keys),
        group_signature=tbls.recover_group_signature(partials, lock.threshold),
    )
    verify_lock(signed)
    return signed


# --- Files ----------------------------------------------------------------------------------------


def _write(
    directory: Path, genesis: Mapping[str, object], lock: ClusterLock, keys: list[_OperatorKeys]
) -> None:
    """Whole or nothing. Raises: BadConfig when the disk takes not all of it: then nothing stays."""
    draft: Path | None = None
    try:
        directory.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".dealing-", dir=directory))
        _write_all(draft, genesis, lock, keys)
        for path in sorted(draft.iterdir(), key=lambda each: each.name == LOCK_NAME):
            path.rename(directory / path.name)
    except OSError as error:
        raise BadConfig(
            f"cannot write the cluster to {directory}: {error.strerror or error}; nothing was"
            " dealt: mend that and try again, or choose another folder"
        ) from error
    finally:
        if draft is not None:
            shutil.rmtree(draft, ignore_errors=True)


def _write_all(
    directory: Path, genesis: Mapping[str, object], lock: ClusterLock, keys: list[_OperatorKeys]
) -> None:
    (directory / "certs").mkdir()
    peers = secrets.token_hex(32).encode()
    for keys_of in keys:
        name = keys_of.record.name
        write_atomic(directory / "certs" / f"{name}.crt", keys_of.certificate_pem)
        _write_operator(directory / "operators" / name, keys_of, lock)
        write_secret(directory / "operators" / name / "peers.hex", peers)
    write_atomic(directory / "genesis.json", _json(genesis))
    write_atomic(directory / "cluster-definition.json", _json(to_jsonable(lock.definition)))
    write_atomic(directory / LOCK_NAME, _json(to_jsonable(lock)))


def _write_operator(folder: Path, keys: _OperatorKeys, lock: ClusterLock) -> None:
    folder.mkdir(parents=True)
    password = secrets.token_urlsafe(24)
    keys.identity.save(folder / "identity.key")
    write_secret(folder / "transport.key", keys.transport_key_pem)
    write_atomic(folder / "transport.crt", keys.certificate_pem)
    description = f"share {keys.record.index} of {lock.n}, cluster {lock.definition.name}"
    write_secret(
        folder / "keystore.json", keystore.encrypt(keys.share, password, description=description)
    )
    write_secret(folder / "keystore.password", password.encode())
    for name in ("jwt.hex", "own.hex"):
        write_secret(folder / name, secrets.token_hex(32).encode())


def _json(tree: Mapping[str, object]) -> bytes:
    return json.dumps(tree, indent=2).encode() + b"\n"


def read_json_object(path: Path, *, what: str) -> dict[str, object]:
    """A JSON object from a file. Raises: BadConfig naming the file."""
    try:
        tree = json.loads(path.read_bytes())
    except OSError as error:
        raise BadConfig(f"{what} {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise BadConfig(f"{what} {path}: not JSON: {error}") from error
    if not isinstance(tree, dict):
        raise BadConfig(f"{what} {path}: expected a JSON object")
    return tree
