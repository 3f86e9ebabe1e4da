"""Receipts, logs and the bloom filter over them. Source: EIP-658, EIP-2718, yellow paper section
4.3.1."""

from collections.abc import Iterable
from functools import lru_cache

import msgspec

from dst.crypto.keccak import keccak256
from dst.spec import rlp
from dst.spec.primitives import Address

_BLOOM_CACHE_ENTRIES = 65_536
"""Addresses and topics repeat: a token's transfers share all but two."""


class Log(msgspec.Struct, array_like=True, frozen=True):
    address: bytes
    topics: tuple[bytes, ...]
    data: bytes


class Receipt(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """What one transaction did, and whose it was: nobody who looks at it later recovers a signature
    again. Also the stored form."""

    type_id: int
    sender: Address
    to: Address
    """Empty for a creation."""
    succeeded: bool
    cumulative_gas_used: int
    gas_used: int
    effective_gas_price: int
    contract_address: Address | None
    logs: tuple[Log, ...]

    def bloom(self) -> int:
        return logs_bloom(self.logs)

    def encode(self) -> bytes:
        """The EIP-2718 bytes that the receipts root commits to."""
        payload = rlp.encode_list(
            rlp.encode_int(int(self.succeeded)),
            rlp.encode_int(self.cumulative_gas_used),
            rlp.encode_bytes(self.bloom().to_bytes(256, "big")),
            rlp.encode_list(*[_encode_log(log) for log in self.logs]),
        )
        return bytes((self.type_id,)) + payload if self.type_id else payload


def logs_bloom(logs: Iterable[Log]) -> int:
    """2048-bit filter of every address and topic."""
    bits = 0
    for log in logs:
        bits |= bloom_bits(log.address)
        for topic in log.topics:
            bits |= bloom_bits(topic)
    return bits


@lru_cache(_BLOOM_CACHE_ENTRIES)
def bloom_bits(item: bytes) -> int:
    """The three bits an item sets."""
    digest = keccak256(item)
    bits = 0
    for index in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[index : index + 2], "big") & 2047)
    return bits


def _encode_log(log: Log) -> bytes:
    return rlp.encode_list(
        rlp.encode_bytes(log.address),
        rlp.encode_list(*[rlp.encode_bytes(topic) for topic in log.topics]),
        rlp.encode_bytes(log.data),
    )
