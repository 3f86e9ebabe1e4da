"""EIP-7685 requests of a block: deposits from logs (EIP-6110); the others are system calls."""

from collections.abc import Iterable
from typing import Final

from dst.execution.environment import InvalidBlock
from dst.execution.receipts import Receipt

DEPOSIT_CONTRACT_ADDRESS: Final = bytes.fromhex("00000000219ab540356cbb839cbe05303d7705fa")
DEPOSIT_EVENT_TOPIC: Final = bytes.fromhex(
    "649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5"
)
DEPOSIT_REQUEST: Final = b"\x00"
WITHDRAWAL_REQUEST: Final = b"\x01"
CONSOLIDATION_REQUEST: Final = b"\x02"


def deposit_requests(receipts: Iterable[Receipt]) -> Iterable[bytes]:
    """EIP-6110, for a chain that has the deposit contract. Raises: InvalidBlock."""
    for receipt in receipts:
        for log in receipt.logs:
            if log.address == DEPOSIT_CONTRACT_ADDRESS and log.topics[:1] == (DEPOSIT_EVENT_TOPIC,):
                yield _deposit_request(log.data)


_DEPOSIT_LAYOUT: Final = ((160, 48), (256, 32), (320, 8), (384, 96), (512, 8))
"""Position and length of public key, withdrawal credentials, amount, signature, index (EIP-6110).
"""


def _deposit_request(data: bytes) -> bytes:
    """Raises: InvalidBlock when the event is laid out otherwise."""
    words = [int.from_bytes(data[at : at + 32], "big") for at in range(0, 160, 32)]
    lengths = [
        int.from_bytes(data[position : position + 32], "big") for position, _ in _DEPOSIT_LAYOUT
    ]
    if (
        len(data) != 576
        or words != [position for position, _ in _DEPOSIT_LAYOUT]
        or lengths != [length for _, length in _DEPOSIT_LAYOUT]
    ):
        raise InvalidBlock("deposit event with an invalid layout")
    return b"".join(
        data[position + 32 : position + 32 + length] for position, length in _DEPOSIT_LAYOUT
    )
