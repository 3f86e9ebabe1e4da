"""Signed transactions: decoded once from their EIP-2718 bytes, with hash and sender at hand.

What is checked here needs the bytes alone. Blob transactions (type 3) are refused everywhere:
no block may carry one. Source: EIP-155, EIP-2718, EIP-2930, EIP-1559, EIP-7702.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from dst.crypto.keccak import keccak256
from dst.crypto.secp256k1 import recover
from dst.spec import rlp
from dst.spec.errors import InvalidInput
from dst.spec.primitives import Address, Hash32

LEGACY_TYPE: Final = 0
ACCESS_LIST_TYPE: Final = 1
DYNAMIC_FEE_TYPE: Final = 2
BLOB_TYPE: Final = 3
SET_CODE_TYPE: Final = 4

SECP256K1_N: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
HALF_N: Final = SECP256K1_N // 2
_SET_CODE_MAGIC: Final = b"\x05"
_CREATE: Final = Address(b"")


class Reason(StrEnum):
    """Why a transaction is refused: a closed list that feeds metrics and tests."""

    MALFORMED = "malformed"
    SIGNATURE = "signature"
    TYPE_NOT_SUPPORTED = "type_not_supported"
    CHAIN_ID = "chain_id"
    TIP_ABOVE_FEE = "tip_above_fee"
    INTRINSIC_GAS = "intrinsic_gas"
    FLOOR_GAS = "floor_gas"
    INIT_CODE_SIZE = "init_code_size"
    EMPTY_AUTHORIZATIONS = "empty_authorizations"
    NONCE_MAX = "nonce_max"
    FEE_BELOW_BASE_FEE = "fee_below_base_fee"
    SENDER_HAS_CODE = "sender_has_code"
    NONCE_TOO_LOW = "nonce_too_low"
    NONCE_TOO_HIGH = "nonce_too_high"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    BLOCK_GAS = "block_gas"
    ALREADY_KNOWN = "already_known"
    UNDERPRICED_REPLACEMENT = "underpriced_replacement"
    OVERSIZED = "oversized"
    SENDER_LIMIT = "sender_limit"
    POOL_FULL = "pool_full"
    NODE_FAULT = "node_fault"
    TOO_HEAVY = "too_heavy"


class InvalidTransaction(InvalidInput):
    """A transaction that no block may carry, or that the pool does not take; geth's words."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """EIP-7702 tuple; one that does not verify is skipped by the execution, not refused."""

    chain_id: int
    address: Address
    nonce: int
    y_parity: int
    r: int
    s: int


AccessList = tuple[tuple[Address, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """Fees in wei. `to` is empty bytes for a contract creation. `chain_id` is None for a legacy
    transaction without replay protection (EIP-155 is optional). Legacy and type 1 carry their gas
    price as both fees."""

    raw: bytes
    hash: Hash32
    sender: Address
    type_id: int
    chain_id: int | None
    nonce: int
    max_priority_fee_per_gas: int
    max_fee_per_gas: int
    gas: int
    to: Address
    value: int
    data: bytes
    access_list: AccessList = ()
    authorization_list: tuple[Authorization, ...] = ()
    v: int
    r: int
    s: int

    @property
    def is_create(self) -> bool:
        return not self.to

    @property
    def max_cost(self) -> int:
        """Wei the sender must own before anything runs."""
        return self.gas * self.max_fee_per_gas + self.value

    def effective_gas_price(self, base_fee_per_gas: int) -> int:
        return min(self.max_fee_per_gas, base_fee_per_gas + self.max_priority_fee_per_gas)

    def effective_tip(self, base_fee_per_gas: int) -> int:
        """Negative when the fee cap is below the base fee."""
        return min(self.max_priority_fee_per_gas, self.max_fee_per_gas - base_fee_per_gas)


def decode_transaction(raw: bytes) -> Transaction:
    """Decode strictly and recover the sender. Raises: InvalidTransaction."""
    if not raw:
        raise InvalidTransaction(Reason.MALFORMED, "typed transaction too short")
    try:
        if raw[0] >= 0xC0:
            return _decode_legacy(raw)
        if raw[0] == BLOB_TYPE or raw[0] not in _TYPED_FIELDS:
            raise InvalidTransaction(Reason.TYPE_NOT_SUPPORTED, "transaction type not supported")
        return _decode_typed(raw)
    except InvalidTransaction:
        raise
    except InvalidInput as error:
        raise InvalidTransaction(Reason.MALFORMED, str(error)) from None


_TYPED_FIELDS: Final = {ACCESS_LIST_TYPE: 11, DYNAMIC_FEE_TYPE: 12, SET_CODE_TYPE: 13}


def _decode_legacy(raw: bytes) -> Transaction:
    fields = rlp.to_list(rlp.decode(raw), 9, what="legacy transaction")
    v = rlp.to_int(fields[6], what="v")
    chain_id, y_parity, unsigned = _legacy_signing_fields(fields, v)
    price = rlp.to_int(fields[1], what="gasPrice")
    r, s = rlp.to_int(fields[7], what="r"), rlp.to_int(fields[8], what="s")
    return Transaction(
        raw=raw,
        hash=keccak256(raw),
        sender=_sender(keccak256(rlp.encode(unsigned)), y_parity, r, s),
        type_id=LEGACY_TYPE,
        chain_id=chain_id,
        nonce=rlp.to_int(fields[0], bits=64, what="nonce"),
        max_priority_fee_per_gas=price,
        max_fee_per_gas=price,
        gas=rlp.to_int(fields[2], bits=64, what="gas"),
        to=_to(fields[3]),
        value=rlp.to_int(fields[4], what="value"),
        data=rlp.to_bytes(fields[5], what="data"),
        v=v,
        r=r,
        s=s,
    )


def _legacy_signing_fields(
    fields: list[rlp.Item], v: int
) -> tuple[int | None, int, list[rlp.Item]]:
    """Chain id (None before EIP-155), y parity, and what was signed."""
    if v in (27, 28):
        return None, v - 27, fields[:6]
    if v < 35:
        raise InvalidTransaction(Reason.SIGNATURE, "invalid transaction v, r, s values")
    chain_id = (v - 35) // 2
    unsigned: list[rlp.Item] = [*fields[:6], rlp.int_to_bytes(chain_id), b"", b""]
    return chain_id, (v - 35) % 2, unsigned


def _decode_typed(raw: bytes) -> Transaction:
    type_id = raw[0]
    fields = rlp.to_list(rlp.decode(raw[1:]), _TYPED_FIELDS[type_id], what="typed transaction")
    signed, (y, r_item, s_item) = fields[:-3], fields[-3:]
    y_parity = rlp.to_int(y, bits=8, what="yParity")
    r, s = rlp.to_int(r_item, what="r"), rlp.to_int(s_item, what="s")
    # Types 2 and 4 carry two fees where type 1 carries one price; from then on the order is one.
    fees = 1 if type_id == ACCESS_LIST_TYPE else 2
    tip = rlp.to_int(fields[2], what="maxPriorityFeePerGas")
    gas, to, value, data, access_list = fields[2 + fees : 7 + fees]
    authorizations = fields[9] if type_id == SET_CODE_TYPE else []
    transaction = Transaction(
        raw=raw,
        hash=keccak256(raw),
        sender=_sender(keccak256(raw[:1] + rlp.encode(signed)), y_parity, r, s),
        type_id=type_id,
        chain_id=rlp.to_int(fields[0], what="chainId"),
        nonce=rlp.to_int(fields[1], bits=64, what="nonce"),
        max_priority_fee_per_gas=tip,
        max_fee_per_gas=rlp.to_int(fields[1 + fees], what="maxFeePerGas"),
        gas=rlp.to_int(gas, bits=64, what="gas"),
        to=_to(to),
        value=rlp.to_int(value, what="value"),
        data=rlp.to_bytes(data, what="data"),
        access_list=_access_list(access_list),
        authorization_list=_authorizations(authorizations),
        v=y_parity,
        r=r,
        s=s,
    )
    if type_id == SET_CODE_TYPE and transaction.is_create:
        raise InvalidTransaction(Reason.MALFORMED, "EIP-7702 transaction cannot create a contract")
    return transaction


def _to(item: rlp.Item) -> Address:
    data = rlp.to_bytes(item, what="to")
    return Address(rlp.to_bytes(data, 20, what="to")) if data else _CREATE


def _access_list(item: rlp.Item) -> AccessList:
    entries: list[tuple[Address, tuple[int, ...]]] = []
    for entry in rlp.to_list(item, what="accessList"):
        address, slots = rlp.to_list(entry, 2, what="access list entry")
        keys = tuple(
            int.from_bytes(rlp.to_bytes(slot, 32, what="storage key"), "big")
            for slot in rlp.to_list(slots, what="storage keys")
        )
        entries.append((Address(rlp.to_bytes(address, 20, what="access list address")), keys))
    return tuple(entries)


def _authorizations(item: rlp.Item) -> tuple[Authorization, ...]:
    return tuple(
        _authorization(rlp.to_list(entry, 6, what="authorization"))
        for entry in rlp.to_list(item, what="authorizationList")
    )


def _authorization(fields: list[rlp.Item]) -> Authorization:
    return Authorization(
        chain_id=rlp.to_int(fields[0], what="authorization chainId"),
        address=Address(rlp.to_bytes(fields[1], 20, what="authorization address")),
        nonce=rlp.to_int(fields[2], bits=64, what="authorization nonce"),
        y_parity=rlp.to_int(fields[3], bits=8, what="authorization yParity"),
        r=rlp.to_int(fields[4], what="authorization r"),
        s=rlp.to_int(fields[5], what="authorization s"),
    )


def _sender(signing_hash: bytes, y_parity: int, r: int, s: int) -> Address:
    sender = recover_address(signing_hash, y_parity, r, s)
    if sender is None:
        raise InvalidTransaction(Reason.SIGNATURE, "invalid transaction v, r, s values")
    return sender


def recover_address(digest: bytes, y_parity: int, r: int, s: int) -> Address | None:
    """The address that signed `digest`, or None. A high s is refused (EIP-2)."""
    if y_parity not in (0, 1) or not 0 < r < SECP256K1_N or not 0 < s <= HALF_N:
        return None
    key = recover(digest, r.to_bytes(32, "big") + s.to_bytes(32, "big"), y_parity)
    return None if key is None else Address(keccak256(key)[12:])


def authority_of(authorization: Authorization) -> Address | None:
    """The account that signed an EIP-7702 tuple, or None."""
    message = _SET_CODE_MAGIC + rlp.encode_list(
        rlp.encode_int(authorization.chain_id),
        rlp.encode_bytes(authorization.address),
        rlp.encode_int(authorization.nonce),
    )
    return recover_address(
        keccak256(message), authorization.y_parity, authorization.r, authorization.s
    )
