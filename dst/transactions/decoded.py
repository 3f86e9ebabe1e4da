"""Decoding with memory: pool, builder, importer and JSON-RPC meet the same bytes, and the sender's
signature is the dear part of them."""

from functools import lru_cache
from typing import Final

from dst.transactions.transaction import Transaction, decode_transaction

DECODED_CACHE_ENTRIES: Final = 12_288
"""A full pool, and what the last blocks took out of it."""
MAX_CACHED_TRANSACTION_BYTES: Final = 2_048
"""Together at most 24 MB beside the pool's own; larger transactions are decoded again."""


@lru_cache(DECODED_CACHE_ENTRIES)
def _decode_cached(raw: bytes) -> Transaction:
    return decode_transaction(raw)


def forget_decoded() -> None:
    """For who measures what decoding costs."""
    _decode_cached.cache_clear()


def decode_once(raw: bytes) -> Transaction:
    """Raises: InvalidTransaction."""
    if len(raw) > MAX_CACHED_TRANSACTION_BYTES:
        return decode_transaction(raw)
    return _decode_cached(raw)
