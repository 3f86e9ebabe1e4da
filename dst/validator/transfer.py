"""Move slashing protection between hosts or clients: EIP-3076 files out of and into the store of a
stopped validator.
"""

from pathlib import Path

from dst.runtime.files import write_atomic
from dst.slashing.interchange import decode_interchange, encode_interchange
from dst.spec.cluster import genesis_validators_root
from dst.spec.errors import BadConfig, InvalidInput
from dst.spec.primitives import BLSPubkey, Root
from dst.validator.main import Setup, open_store, read_setup


def export_protection(config_path: Path, file: Path) -> str:
    """Write the store's records to `file`; returns a sentence about it. Raises: BadConfig."""
    setup = read_setup(config_path)
    store = open_store(setup, new=False, rejoin=False)
    try:
        blocks = store.blocks()
    finally:
        store.close()
    pubkey, root = _identity(setup)
    write_atomic(file, encode_interchange(blocks, pubkey=pubkey, genesis_validators_root=root))
    return f"wrote {len(blocks)} signed blocks to {file}"


def import_protection(config_path: Path, file: Path) -> str:
    """Merge `file` into the store, creating the store when there is none. Raises: BadConfig."""
    setup = read_setup(config_path)
    pubkey, root = _identity(setup)
    try:
        data = file.read_bytes()
        blocks = decode_interchange(data, pubkey=pubkey, genesis_validators_root=root)
    except OSError as error:
        raise BadConfig(f"interchange file {file}: {error.strerror or error}") from error
    except InvalidInput as error:
        raise BadConfig(f"interchange file {file}: {error}") from error
    store = open_store(setup, new=not setup.store_path.exists(), rejoin=False)
    try:
        count = store.merge(blocks)
    finally:
        store.close()
    return f"merged {count} signed blocks from {file}"


def _identity(setup: Setup) -> tuple[BLSPubkey, Root]:
    pubkey = setup.lock.share_public_keys[setup.config.index - 1]
    return pubkey, genesis_validators_root(setup.lock)
