"""Transactions whose weight lies in their fields: data, access list, authorizations."""

from dataclasses import dataclass
from typing import Final

SINK: Final = "0x000000000000000000000000000000000000dEaD"
MAX_BYTES: Final = 110_000
"""Of the heavy field: pools refuse transactions above 128 KB."""
FLOOR_PER_BYTE: Final = 40
"""Gas a byte other than zero costs at least (EIP-7623)."""
ACCESS_KEY_GAS: Final = 1_900
AUTHORIZATION_GAS: Final = 25_000
"""EIP-7702 §PER_EMPTY_ACCOUNT_COST."""
USED_SHARE: Final = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What a hostile transaction has beside nonce, fees and gas."""

    to: str | None = None
    """None creates a contract."""
    data: bytes = b""
    access_keys: int = 0
    """Storage keys of SINK in the access list."""
    authorizations: int = 0
    """Signed ones, each by a key of its own."""


def calldata(gas: int) -> Body:
    size = min(MAX_BYTES, int(gas * USED_SHARE) // FLOOR_PER_BYTE)
    return Body(to=SINK, data=b"\xff" * size)


def access_list(gas: int) -> Body:
    keys = min(MAX_BYTES // 33, int(gas * USED_SHARE) // ACCESS_KEY_GAS)
    return Body(to=SINK, access_keys=keys)


def authorizations(gas: int) -> Body:
    return Body(to=SINK, authorizations=int(gas * USED_SHARE) // AUTHORIZATION_GAS)
