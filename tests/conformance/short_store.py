"""A store for one of thousands of short chains: real tables, in memory where the machine has a
folder there, gone with the store."""

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Final

from dst.execution.store import TABLES, BlockStore
from dst.runtime.tables import Tables

_IN_MEMORY: Final = Path("/dev/shm")


def short_store() -> BlockStore:
    folder = tempfile.mkdtemp(dir=_IN_MEMORY if _IN_MEMORY.is_dir() else None)
    tables = Tables(Path(folder) / "chain", TABLES)
    store = BlockStore(tables)
    weakref.finalize(store, _remove, tables, folder)
    return store


def _remove(tables: Tables, folder: str) -> None:
    tables.close()
    shutil.rmtree(folder, ignore_errors=True)
