"""A transaction before its signature: the bytes that are signed, and the bytes with a signature put
in. The inverse of `transaction.decode_transaction`.

Source: EIP-155, EIP-2930, EIP-1559, EIP-7702.
"""

from dataclasses import dataclass

from dst.crypto.account_key import AccountKey
from dst.crypto.keccak import keccak256
from dst.spec import rlp
from dst.spec.primitives import Address, Hash32
from dst.transactions.transaction import (
    ACCESS_LIST_TYPE,
    LEGACY_TYPE,
    SET_CODE_TYPE,
    AccessList,
    Authorization,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsignedTransaction:
    """Fees in wei; legacy and type 1 carry their gas price as both. `to` empty: a creation."""

    type_id: int
    chain_id: int
    nonce: int
    max_priority_fee_per_gas: int
    max_fee_per_gas: int
    gas: int
    to: Address
    value: int
    data: bytes
    access_list: AccessList = ()
    authorization_list: tuple[Authorization, ...] = ()

    def signing_hash(self) -> Hash32:
        """What the sender signs; a legacy transaction is protected by its chain id (EIP-155)."""
        if self.type_id == LEGACY_TYPE:
            proof = (rlp.encode_int(self.chain_id), rlp.encode_int(0), rlp.encode_int(0))
            return keccak256(rlp.encode_list(*self._fields(), *proof))
        return keccak256(bytes((self.type_id,)) + rlp.encode_list(*self._fields()))

    def signed_by(self, key: AccountKey) -> bytes:
        """The EIP-2718 bytes with that account's signature."""
        signature = key.sign(self.signing_hash())
        return self.encode(y_parity=signature.y_parity, r=signature.r, s=signature.s)

    def encode(self, *, y_parity: int, r: int, s: int) -> bytes:
        """The EIP-2718 bytes with a signature."""
        v = y_parity if self.type_id != LEGACY_TYPE else 2 * self.chain_id + 35 + y_parity
        return self._encode(v, r, s)

    def encode_unsigned(self) -> bytes:
        """The same with zeros in the signature's place."""
        return self._encode(0, 0, 0)

    def _encode(self, v: int, r: int, s: int) -> bytes:
        proof = (rlp.encode_int(v), rlp.encode_int(r), rlp.encode_int(s))
        encoded = rlp.encode_list(*self._fields(), *proof)
        return encoded if self.type_id == LEGACY_TYPE else bytes((self.type_id,)) + encoded

    def _fields(self) -> list[bytes]:
        body = [
            rlp.encode_int(self.gas),
            rlp.encode_bytes(self.to),
            rlp.encode_int(self.value),
            rlp.encode_bytes(self.data),
        ]
        nonce = rlp.encode_int(self.nonce)
        if self.type_id == LEGACY_TYPE:
            return [nonce, rlp.encode_int(self.max_fee_per_gas), *body]
        fields = [rlp.encode_int(self.chain_id), nonce, *self._fees(), *body]
        fields.append(_encode_access_list(self.access_list))
        if self.type_id == SET_CODE_TYPE:
            fields.append(
                rlp.encode_list(*[_encode_authorization(each) for each in self.authorization_list])
            )
        return fields

    def _fees(self) -> list[bytes]:
        if self.type_id == ACCESS_LIST_TYPE:
            return [rlp.encode_int(self.max_fee_per_gas)]
        return [
            rlp.encode_int(self.max_priority_fee_per_gas),
            rlp.encode_int(self.max_fee_per_gas),
        ]


def _encode_access_list(access_list: AccessList) -> bytes:
    return rlp.encode_list(
        *[
            rlp.encode_list(
                rlp.encode_bytes(address),
                rlp.encode_list(*[rlp.encode_bytes(slot.to_bytes(32, "big")) for slot in slots]),
            )
            for address, slots in access_list
        ]
    )


def _encode_authorization(authorization: Authorization) -> bytes:
    return rlp.encode_list(
        rlp.encode_int(authorization.chain_id),
        rlp.encode_bytes(authorization.address),
        rlp.encode_int(authorization.nonce),
        rlp.encode_int(authorization.y_parity),
        rlp.encode_int(authorization.r),
        rlp.encode_int(authorization.s),
    )
