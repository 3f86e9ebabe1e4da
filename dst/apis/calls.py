"""What a client sends to have a message run and not mined: the call object, state overrides, block
overrides; decoded into values, no decisions.

Source: execution-apis, `src/schemas/execute.yaml` and `transaction.yaml`; the words of refusals are
geth's where clients match on them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from dst.apis.eth import parse_address
from dst.apis.quantity import parse_quantity
from dst.spec.errors import InvalidInput
from dst.spec.primitives import ZERO_ADDRESS, Address, Hash32, parse_hex
from dst.transactions.transaction import AccessList, Authorization

MAX_OVERRIDDEN_ACCOUNTS: Final = 1_000
MAX_OVERRIDDEN_SLOTS: Final = 100_000
"""Slots over all accounts of one request: a second of work at most."""
MAX_CALL_AUTHORIZATIONS: Final = 1_000
"""Each is a signature to recover (0.1 ms)."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallObject:
    """A transaction object as sent; None: not given. Fees in wei."""

    sender: Address
    to: Address
    data: bytes
    value: int
    gas: int | None
    gas_price: int | None
    max_fee_per_gas: int | None
    max_priority_fee_per_gas: int | None
    nonce: int | None
    access_list: AccessList | None
    authorization_list: tuple[Authorization, ...] | None
    chain_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountOverride:
    """What one account is to look like before the message runs; None: as it is."""

    balance: int | None = None
    nonce: int | None = None
    code: bytes | None = None
    state: Mapping[int, int] | None = None
    """The whole storage: every other slot is zero."""
    state_diff: Mapping[int, int] | None = None
    """Single slots; the others stay."""
    move_precompile_to: Address | None = None


StateOverrides = Mapping[Address, AccountOverride]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockOverrides:
    """Fields of the block that a message sees; None: as they are."""

    number: int | None = None
    time: int | None = None
    gas_limit: int | None = None
    fee_recipient: Address | None = None
    prev_randao: Hash32 | None = None
    base_fee_per_gas: int | None = None
    blob_base_fee: int | None = None
    beacon_root: Hash32 | None = None
    block_hashes: Mapping[int, bytes] = field(default_factory=dict)
    """Answers of BLOCKHASH by number."""


NO_BLOCK_OVERRIDES: Final = BlockOverrides()


def parse_call_object(value: object) -> CallObject:
    """Raises: InvalidInput; also for a gas price beside the fees of EIP-1559, and for blobs."""
    fields = _object(value, "transaction")
    price = _quantity(fields, "gasPrice", 256)
    fee, tip = (
        _quantity(fields, "maxFeePerGas", 256),
        _quantity(fields, "maxPriorityFeePerGas", 256),
    )
    if price is not None and (fee is not None or tip is not None):
        raise InvalidInput("both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified")
    if fields.get("blobVersionedHashes") or fields.get("blobs"):
        raise InvalidInput("blob transactions are refused on this chain")
    return CallObject(
        sender=_optional_address(fields, "from", ZERO_ADDRESS),
        to=_optional_address(fields, "to", b""),
        data=_data(fields),
        value=_quantity(fields, "value", 256) or 0,
        gas=_quantity(fields, "gas"),
        gas_price=price,
        max_fee_per_gas=fee,
        max_priority_fee_per_gas=tip,
        nonce=_quantity(fields, "nonce"),
        access_list=_access_list(fields.get("accessList")),
        authorization_list=_authorization_list(fields.get("authorizationList")),
        chain_id=_quantity(fields, "chainId", 256),
    )


def parse_state_overrides(value: object) -> StateOverrides:
    """Raises: InvalidInput."""
    if value is None:
        return {}
    accounts = _object(value, "state overrides")
    if len(accounts) > MAX_OVERRIDDEN_ACCOUNTS:
        raise InvalidInput(f"state overrides: at most {MAX_OVERRIDDEN_ACCOUNTS} accounts")
    overrides = {
        parse_address(key, "overridden address"): _account_override(each, key)
        for key, each in accounts.items()
    }
    slots = sum(len(each.state or ()) + len(each.state_diff or ()) for each in overrides.values())
    if slots > MAX_OVERRIDDEN_SLOTS:
        raise InvalidInput(f"state overrides: at most {MAX_OVERRIDDEN_SLOTS} slots")
    return overrides


def parse_block_overrides(value: object) -> BlockOverrides:
    """Raises: InvalidInput; withdrawals cannot be overridden."""
    if value is None:
        return NO_BLOCK_OVERRIDES
    fields = _object(value, "block overrides")
    if fields.get("withdrawals"):
        raise InvalidInput("block overrides: withdrawals cannot be overridden")
    recipient = fields.get("feeRecipient") or fields.get("coinbase")
    randao = fields.get("prevRandao") or fields.get("random")
    root = fields.get("beaconRoot")
    base_fee = _quantity(fields, "baseFeePerGas", 256)
    return BlockOverrides(
        number=_quantity(fields, "number"),
        time=_quantity(fields, "time"),
        gas_limit=_quantity(fields, "gasLimit"),
        fee_recipient=None if recipient is None else parse_address(recipient, "feeRecipient"),
        prev_randao=None if randao is None else _word(randao, "prevRandao"),
        base_fee_per_gas=_quantity(fields, "baseFee", 256) if base_fee is None else base_fee,
        blob_base_fee=_quantity(fields, "blobBaseFee", 256),
        beacon_root=None if root is None else _word(root, "beaconRoot"),
        block_hashes=_block_hashes(fields.get("blockHash")),
    )


def _account_override(value: object, address: str) -> AccountOverride:
    fields = _object(value, f"override of {address}")
    state, diff = fields.get("state"), fields.get("stateDiff")
    if state is not None and diff is not None:
        raise InvalidInput(f"account {address} has both 'state' and 'stateDiff'")
    code = fields.get("code")
    target = fields.get("movePrecompileToAddress") or fields.get("MovePrecompileToAddress")
    return AccountOverride(
        balance=_quantity(fields, "balance", 256),
        nonce=_quantity(fields, "nonce"),
        code=None if code is None else parse_hex(code, what="code"),
        state=None if state is None else _slots(state, "state"),
        state_diff=None if diff is None else _slots(diff, "stateDiff"),
        move_precompile_to=None
        if target is None
        else parse_address(target, "movePrecompileToAddress"),
    )


def _slots(value: object, what: str) -> dict[int, int]:
    return {
        int.from_bytes(_word(key, f"{what} key"), "big"): int.from_bytes(
            _word(each, f"{what} value"), "big"
        )
        for key, each in _object(value, what).items()
    }


def _word(value: object, what: str) -> Hash32:
    """Up to 32 bytes of hex, padded in front: libraries send words and quantities alike."""
    if not isinstance(value, str) or not value.startswith("0x") or len(value) > 66:
        raise InvalidInput(f"{what}: expected at most 32 bytes of hex, got {str(value)[:80]!r}")
    return Hash32(parse_hex("0x" + value[2:].rjust(64, "0"), 32, what=what))


def _block_hashes(value: object) -> dict[int, bytes]:
    if value is None:
        return {}
    return {
        parse_quantity(number, what="blockHash number"): parse_hex(each, 32, what="blockHash")
        for number, each in _object(value, "blockHash").items()
    }


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInput(f"{what}: expected an object")
    return value


def _quantity(fields: Mapping[str, Any], name: str, bits: int = 64) -> int | None:
    value = fields.get(name)
    return None if value is None else parse_quantity(value, what=name, bits=bits)


def _optional_address(fields: Mapping[str, Any], name: str, default: bytes) -> Address:
    value = fields.get(name)
    return Address(default) if value is None else parse_address(value, name)


def _data(fields: Mapping[str, Any]) -> bytes:
    found = [parse_hex(fields[key], what=key) for key in ("input", "data") if fields.get(key)]
    if len(found) == 2 and found[0] != found[1]:
        raise InvalidInput(
            'both "data" and "input" are set and not equal. Please use "input" to pass transaction '
            "call data"
        )
    return found[0] if found else b""


def _access_list(value: object) -> AccessList | None:
    if value is None:
        return None
    entries = []
    for entry in _list(value, "accessList"):
        fields = _object(entry, "accessList entry")
        keys = _list(fields.get("storageKeys") or [], "storageKeys")
        slots = tuple(int.from_bytes(parse_hex(key, 32, what="storageKeys"), "big") for key in keys)
        entries.append((parse_address(fields.get("address"), "accessList address"), slots))
    return tuple(entries)


def _authorization_list(value: object) -> tuple[Authorization, ...] | None:
    if value is None:
        return None
    entries = _list(value, "authorizationList")
    if len(entries) > MAX_CALL_AUTHORIZATIONS:
        raise InvalidInput(f"authorizationList: at most {MAX_CALL_AUTHORIZATIONS}")
    return tuple(_authorization(_object(entry, "authorization")) for entry in entries)


def _authorization(fields: Mapping[str, Any]) -> Authorization:
    parity = fields.get("yParity", fields.get("v", "0x0"))
    return Authorization(
        chain_id=_required(_quantity(fields, "chainId", 256), "chainId"),
        address=parse_address(fields.get("address"), "authorization address"),
        nonce=_required(_quantity(fields, "nonce"), "nonce"),
        y_parity=parse_quantity(parity, what="yParity", bits=8),
        r=int.from_bytes(_word(fields.get("r", "0x0"), "r"), "big"),
        s=int.from_bytes(_word(fields.get("s", "0x0"), "s"), "big"),
    )


def _required(value: T | None, what: str) -> T:
    if value is None:
        raise InvalidInput(f"authorization: {what} is missing")
    return value


def _list(value: object, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidInput(f"{what}: expected a list")
    return value
