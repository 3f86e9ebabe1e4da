"""EIP-1559 transactions: encoding and signing, as far as a batcher needs them. Pure.

Source: EIP-2718, EIP-1559; gas from EIP-2028 and the calldata floor of EIP-7623.
"""

from dataclasses import dataclass
from typing import Final

from dst.crypto import ecdsa
from dst.crypto.keccak import keccak256
from dst.spec import rlp
from dst.spec.errors import BadConfig
from dst.spec.primitives import Address, Hash32

DYNAMIC_FEE_TX_TYPE: Final = b"\x02"
TX_BASE_GAS: Final = 21_000
FLOOR_GAS_PER_BYTE: Final = 40
"""EIP-7623: 10 gas a token, a non-zero byte is four tokens. An upper bound for any calldata."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicFeeTransaction:
    """Fees in wei a gas."""

    chain_id: int
    nonce: int
    max_priority_fee_per_gas: int
    max_fee_per_gas: int
    gas_limit: int
    to: Address
    value: int = 0
    data: bytes = b""


class AccountKey:
    """An L1 account's key; prints as its address alone."""

    def __init__(self, secret: bytes) -> None:
        """Raises: BadConfig unless `secret` is a secp256k1 scalar of 32 bytes."""
        try:
            if len(secret) != 32:
                raise ValueError("the library would pad it")
            self._key = ecdsa.Secret(secret)
        except (ValueError, TypeError):
            raise BadConfig("not a secp256k1 private key of 32 bytes") from None
        self.address = Address(keccak256(self._key.public_key[1:])[12:])

    def __repr__(self) -> str:
        return f"AccountKey(0x{self.address.hex()})"

    def sign(self, transaction: DynamicFeeTransaction) -> bytes:
        """The raw signed transaction."""
        fields = _fields(transaction)
        digest = keccak256(DYNAMIC_FEE_TX_TYPE + rlp.encode_list(*fields))
        signature = self._key.sign(digest)
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
        proof = (rlp.encode_int(signature[64]), rlp.encode_int(r), rlp.encode_int(s))
        return DYNAMIC_FEE_TX_TYPE + rlp.encode_list(*fields, *proof)


def _fields(transaction: DynamicFeeTransaction) -> tuple[bytes, ...]:
    return (
        rlp.encode_int(transaction.chain_id),
        rlp.encode_int(transaction.nonce),
        rlp.encode_int(transaction.max_priority_fee_per_gas),
        rlp.encode_int(transaction.max_fee_per_gas),
        rlp.encode_int(transaction.gas_limit),
        rlp.encode_bytes(transaction.to),
        rlp.encode_int(transaction.value),
        rlp.encode_bytes(transaction.data),
        rlp.encode_list(),
    )


def transaction_hash(raw: bytes) -> Hash32:
    return keccak256(raw)


def calldata_gas(data: bytes) -> int:
    """Gas limit that always suffices for a plain call with this calldata to an account without
    code."""
    return TX_BASE_GAS + FLOOR_GAS_PER_BYTE * len(data)
