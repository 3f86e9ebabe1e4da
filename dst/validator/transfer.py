"""Move slashing protection between hosts or clients: EIP-3076 files out of and into the store of a
stopped validator.
"""

from collections.abc import Iterable
from pathlib import Path

from dst.runtime.files import write_atomic
from dst.slashing.interchange import SignedBlock, decode_interchange, encode_interchange
from dst.spec.cluster import genesis_validators_root
from dst.spec.errors import BadConfig, InvalidInput
from dst.spec.primitives import BLSPubkey, Root, to_hex
from dst.validator.main import Setup, claimed_store, open_store, read_setup
from dst.validator.protection import ProtectionStore, is_initialised


def export_protection(config_path: Path, file: Path) -> str:
    """Write the store's records to `file`; returns a sentence about it. Raises: BadConfig."""
    setup = read_setup(config_path)
    with claimed_store(setup):
        store = _open(setup)
        try:
            blocks = store.blocks()
        finally:
            store.close()
    pubkey, root = _identity(setup)
    write_atomic(file, encode_interchange(blocks, pubkey=pubkey, genesis_validators_root=root))
    return f"wrote {len(blocks)} signed blocks to {file}"


def import_protection(config_path: Path, file: Path) -> str:
    """Merge `file` into the store, creating the store when there is none.

    Raises: BadConfig, also for a file without this key: it would leave a store that permits all.
    """
    setup = read_setup(config_path)
    pubkey, root = _identity(setup)
    try:
        data = file.read_bytes()
        blocks = decode_interchange(data, pubkey=pubkey, genesis_validators_root=root)
    except OSError as error:
        raise BadConfig(f"interchange file {file}: {error.strerror or error}") from error
    except InvalidInput as error:
        raise BadConfig(f"interchange file {file}: {error}") from error
    if not blocks:
        raise BadConfig(
            f"interchange file {file} holds no signed block of this operator's key"
            f" {to_hex(pubkey)}: export it from the validator that held this key share, or start"
            " with --rejoin, which signs only above what the cluster has reached"
        )
    with claimed_store(setup):
        if is_initialised(setup.store_path):
            _merge(setup, blocks)
        else:
            ProtectionStore.create(
                setup.store_path, pubkey=pubkey, genesis_validators_root=root, imported=blocks
            ).close()
    return f"merged {len(blocks)} signed blocks from {file}"


def _merge(setup: Setup, blocks: Iterable[SignedBlock]) -> None:
    store = _open(setup)
    try:
        store.merge(blocks)
    finally:
        store.close()


def _open(setup: Setup) -> ProtectionStore:
    """Raises: BadConfig also while it rejoins: records may be missing in it."""
    store = open_store(setup, new=False, rejoin=False)
    if store.is_rejoining:
        store.close()
        raise BadConfig(
            f"slashing protection {setup.store_path}: a rejoin was begun; start the validator until"
            " it has rejoined"
        )
    return store


def _identity(setup: Setup) -> tuple[BLSPubkey, Root]:
    pubkey = setup.lock.share_public_keys[setup.config.index - 1]
    return pubkey, genesis_validators_root(setup.lock)
