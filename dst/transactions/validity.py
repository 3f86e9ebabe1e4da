"""May this transaction be in this block? The one answer for pool, builder, importer and derivation.

Complete, and without touching state: py-evm alone accepts six kinds of invalid transaction and
rejects two more only after it has changed balances. Words are geth's, because wallets match on
them. Source: EIP-155, 1559, 2681, 3607, 3860, 7623, 7702; execution-specs prague
`validate_transaction`, `check_transaction`.
"""

from typing import Final, Protocol

from dst.spec.primitives import Address, to_hex
from dst.transactions.gas import floor_gas, intrinsic_gas
from dst.transactions.transaction import (
    SET_CODE_TYPE,
    InvalidTransaction,
    Reason,
    Transaction,
)

MAX_INIT_CODE_BYTES: Final = 49_152
MAX_NONCE: Final = 2**64 - 1
DELEGATION_PREFIX: Final = b"\xef\x01\x00"
DELEGATION_BYTES: Final = 23


class AccountView(Protocol):
    """What validity needs to know of an account."""

    def get_nonce(self, address: Address) -> int: ...
    def get_balance(self, address: Address) -> int: ...
    def get_code(self, address: Address) -> bytes: ...


def is_delegation(code: bytes) -> bool:
    """EIP-7702 delegation designator: such an account still sends transactions."""
    return len(code) == DELEGATION_BYTES and code.startswith(DELEGATION_PREFIX)


def check_stateless(transaction: Transaction, chain_id: int) -> None:
    """What depends on the transaction and the chain alone. Raises: InvalidTransaction."""
    if transaction.chain_id is not None and transaction.chain_id != chain_id:
        raise InvalidTransaction(
            Reason.CHAIN_ID,
            f"invalid chain id for signer: have {transaction.chain_id} want {chain_id}",
        )
    if transaction.max_priority_fee_per_gas > transaction.max_fee_per_gas:
        raise InvalidTransaction(
            Reason.TIP_ABOVE_FEE,
            "max priority fee per gas higher than max fee per gas: "
            f"maxPriorityFeePerGas: {transaction.max_priority_fee_per_gas}, "
            f"maxFeePerGas: {transaction.max_fee_per_gas}",
        )
    if transaction.is_create and len(transaction.data) > MAX_INIT_CODE_BYTES:
        raise InvalidTransaction(
            Reason.INIT_CODE_SIZE,
            f"max initcode size exceeded: code size {len(transaction.data)}, "
            f"limit {MAX_INIT_CODE_BYTES}",
        )
    if transaction.nonce >= MAX_NONCE:
        raise InvalidTransaction(Reason.NONCE_MAX, "nonce has max value")
    if transaction.type_id == SET_CODE_TYPE and not transaction.authorization_list:
        raise InvalidTransaction(
            Reason.EMPTY_AUTHORIZATIONS, "EIP-7702 transaction with empty auth list"
        )
    _check_gas(transaction)


def _check_gas(transaction: Transaction) -> None:
    needed = intrinsic_gas(transaction)
    if transaction.gas < needed:
        raise InvalidTransaction(
            Reason.INTRINSIC_GAS,
            f"intrinsic gas too low: gas {transaction.gas}, minimum needed {needed}",
        )
    floor = floor_gas(transaction.data)
    if transaction.gas < floor:
        raise InvalidTransaction(
            Reason.FLOOR_GAS,
            "insufficient gas for floor data gas cost: "
            f"gas {transaction.gas}, minimum needed {floor}",
        )


def check_account(
    transaction: Transaction, accounts: AccountView, *, allow_gap: bool = False
) -> None:
    """What depends on the sender's account. `allow_gap`: a nonce above the account's is no fault
    (pool).

    Raises: InvalidTransaction.
    """
    sender, nonce = transaction.sender, accounts.get_nonce(transaction.sender)
    if transaction.nonce < nonce:
        raise InvalidTransaction(
            Reason.NONCE_TOO_LOW,
            f"nonce too low: address {to_hex(sender)}, tx: {transaction.nonce} state: {nonce}",
        )
    if transaction.nonce > nonce and not allow_gap:
        raise InvalidTransaction(
            Reason.NONCE_TOO_HIGH,
            f"nonce too high: address {to_hex(sender)}, tx: {transaction.nonce} state: {nonce}",
        )
    code = accounts.get_code(sender)
    if code and not is_delegation(code):
        raise InvalidTransaction(
            Reason.SENDER_HAS_CODE, f"sender not an eoa: address {to_hex(sender)}"
        )
    balance = accounts.get_balance(sender)
    if balance < transaction.max_cost:
        raise InvalidTransaction(
            Reason.INSUFFICIENT_FUNDS,
            f"insufficient funds for gas * price + value: balance {balance}, "
            f"tx cost {transaction.max_cost}, overshot {transaction.max_cost - balance}",
        )


def check_in_block(
    transaction: Transaction,
    accounts: AccountView,
    *,
    chain_id: int,
    base_fee_per_gas: int,
    gas_left: int,
) -> None:
    """The whole of it: may the next transaction of this block be this one? Raises:
    InvalidTransaction."""
    check_stateless(transaction, chain_id)
    if transaction.gas > gas_left:
        raise InvalidTransaction(
            Reason.BLOCK_GAS, f"gas limit reached: tx gas {transaction.gas}, block left {gas_left}"
        )
    if transaction.max_fee_per_gas < base_fee_per_gas:
        raise InvalidTransaction(
            Reason.FEE_BELOW_BASE_FEE,
            "max fee per gas less than block base fee: "
            f"maxFeePerGas: {transaction.max_fee_per_gas}, baseFee: {base_fee_per_gas}",
        )
    check_account(transaction, accounts)
