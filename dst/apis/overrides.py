"""State overrides and block overrides: what a message that is run and not mined is to find, other
than it is.

Source: execution-apis, `src/schemas/execute.yaml`; the words of refusals are geth's where clients
match on them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from dst.apis.eth import parse_address
from dst.apis.fields import an_object, quantity, word, word_number
from dst.apis.quantity import parse_quantity
from dst.spec.errors import InvalidInput
from dst.spec.primitives import Address, Hash32, parse_hex

MAX_OVERRIDDEN_ACCOUNTS: Final = 1_000
MAX_OVERRIDDEN_SLOTS: Final = 100_000
"""Slots over all accounts of one request: a second of work at most."""


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


def parse_state_overrides(value: object) -> StateOverrides:
    """Raises: InvalidInput."""
    if value is None:
        return {}
    accounts = an_object(value, "state overrides")
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
    fields = an_object(value, "block overrides")
    if fields.get("withdrawals"):
        raise InvalidInput("block overrides: withdrawals cannot be overridden")
    recipient = fields.get("feeRecipient") or fields.get("coinbase")
    randao = fields.get("prevRandao") or fields.get("random")
    root = fields.get("beaconRoot")
    base_fee = quantity(fields, "baseFeePerGas", 256)
    return BlockOverrides(
        number=quantity(fields, "number"),
        time=quantity(fields, "time"),
        gas_limit=quantity(fields, "gasLimit"),
        fee_recipient=None if recipient is None else parse_address(recipient, "feeRecipient"),
        prev_randao=None if randao is None else word(randao, "prevRandao"),
        base_fee_per_gas=quantity(fields, "baseFee", 256) if base_fee is None else base_fee,
        blob_base_fee=quantity(fields, "blobBaseFee", 256),
        beacon_root=None if root is None else word(root, "beaconRoot"),
        block_hashes=_block_hashes(fields.get("blockHash")),
    )


def _account_override(value: object, address: str) -> AccountOverride:
    fields = an_object(value, f"override of {address}")
    state, diff = fields.get("state"), fields.get("stateDiff")
    if state is not None and diff is not None:
        raise InvalidInput(f"account {address} has both 'state' and 'stateDiff'")
    code = fields.get("code")
    target = fields.get("movePrecompileToAddress") or fields.get("MovePrecompileToAddress")
    return AccountOverride(
        balance=quantity(fields, "balance", 256),
        nonce=quantity(fields, "nonce"),
        code=None if code is None else parse_hex(code, what="code"),
        state=None if state is None else _slots(state, "state"),
        state_diff=None if diff is None else _slots(diff, "stateDiff"),
        move_precompile_to=None
        if target is None
        else parse_address(target, "movePrecompileToAddress"),
    )


def _slots(value: object, what: str) -> dict[int, int]:
    return {
        word_number(key, f"{what} key"): word_number(each, f"{what} value")
        for key, each in an_object(value, what).items()
    }


def _block_hashes(value: object) -> dict[int, bytes]:
    if value is None:
        return {}
    return {
        parse_quantity(number, what="blockHash number"): parse_hex(each, 32, what="blockHash")
        for number, each in an_object(value, "blockHash").items()
    }
