"""What a transaction pays before its first opcode, and the least it is charged.

Source: EIP-2028, 2930, 3529, 3860, 7623, 7702.
"""

from typing import Final

from dst.transactions.transaction import AccessList, Transaction

GAS_TRANSACTION: Final = 21_000
GAS_CREATE: Final = 32_000
GAS_PER_ZERO_BYTE: Final = 4
GAS_PER_NONZERO_BYTE: Final = 16
GAS_PER_INIT_CODE_WORD: Final = 2
GAS_PER_ACCESS_ADDRESS: Final = 2_400
GAS_PER_ACCESS_SLOT: Final = 1_900
GAS_PER_AUTHORIZATION: Final = 25_000
FLOOR_GAS_PER_TOKEN: Final = 10
"""EIP-7623: calldata pays at least this; a zero byte is one token, any other four."""
TOKENS_PER_NONZERO_BYTE: Final = 4
MAX_REFUND_QUOTIENT: Final = 5
"""EIP-3529: at most a fifth of the gas used comes back."""
GAS_REFUND_PER_KNOWN_AUTHORITY: Final = 12_500
"""EIP-7702: what was paid for a new account comes back when the authority existed."""


def intrinsic_gas(transaction: Transaction) -> int:
    return message_intrinsic_gas(
        data=transaction.data,
        creates=transaction.is_create,
        access_list=transaction.access_list,
        authorizations=len(transaction.authorization_list),
    )


def message_intrinsic_gas(
    *, data: bytes, creates: bool, access_list: AccessList = (), authorizations: int = 0
) -> int:
    """Gas that a message from outside pays before its first opcode."""
    zeros = data.count(0)
    gas = GAS_TRANSACTION + GAS_PER_ZERO_BYTE * zeros + GAS_PER_NONZERO_BYTE * (len(data) - zeros)
    if creates:
        gas += GAS_CREATE + init_code_gas(data)
    for _, slots in access_list:
        gas += GAS_PER_ACCESS_ADDRESS + GAS_PER_ACCESS_SLOT * len(slots)
    return gas + GAS_PER_AUTHORIZATION * authorizations


def init_code_gas(init_code: bytes) -> int:
    """EIP-3860: two gas a started 32-byte word."""
    return GAS_PER_INIT_CODE_WORD * ((len(init_code) + 31) // 32)


def floor_gas(data: bytes) -> int:
    """EIP-7623: the least a transaction with this calldata is charged."""
    zeros = data.count(0)
    tokens = zeros + TOKENS_PER_NONZERO_BYTE * (len(data) - zeros)
    return GAS_TRANSACTION + FLOOR_GAS_PER_TOKEN * tokens
