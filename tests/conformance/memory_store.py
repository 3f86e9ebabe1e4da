"""A key-value store that forgets: for thousands of short chains."""

from collections.abc import Iterable
from typing import Any


class MemoryStore:
    def __init__(self) -> None:
        self._table: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self._table.get(key)

    def write(self, puts: Iterable[tuple[bytes, bytes]], deletes: Iterable[bytes] = ()) -> None:
        for key in deletes:
            self._table.pop(key, None)
        self._table.update(puts)

    def close(self) -> None:
        self._table.clear()


def memory_store() -> Any:
    """Typed as whatever the block store is built on."""
    return MemoryStore()
