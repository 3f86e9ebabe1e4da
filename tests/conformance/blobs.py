"""Type 3 for published chains that hold some: the product refuses blobs by design, so the rules for
them live here, and only while such a chain is imported and asked.

No blob is checked (a chain's blocks carry none); the transaction is decoded, pays its blob gas and
runs, and headers may speak of blob gas. Source: EIP-4844.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import rlp
from eth_account import Account
from eth_hash.auto import keccak

from dst.execution import chain
from dst.execution.block.body import BlockRun
from dst.execution.header import Header, header_fault
from dst.spec.primitives import Address, Hash32
from dst.transactions import decoded
from dst.transactions.transaction import Transaction, decode_transaction

BLOB_TYPE = 3
BLOCK_FORM_FIELDS = 14
"""The form with blobs, which only pools exchange, is refused here too."""
GAS_PER_BLOB = 131_072
BLOB_BASE_FEE = 1
"""Wei; excess blob gas stays far below what would raise it on these chains."""


@contextmanager
def blobs_allowed() -> Iterator[None]:
    """Decode, charge and accept type 3 while the block runs."""
    with (
        mock.patch.object(decoded, "decode_transaction", decode_any),
        mock.patch.object(chain, "header_fault", _fault_but_for_blobs),
        mock.patch.object(BlockRun, "_execute", _pay_for_blobs),
    ):
        yield


def decode_any(raw: bytes) -> Transaction:
    if raw[:1] != bytes([BLOB_TYPE]):
        return decode_transaction(raw)
    fields: Any = rlp.decode(raw[1:])
    if len(fields) != BLOCK_FORM_FIELDS:
        return decode_transaction(raw)
    numbers = [int.from_bytes(fields[at], "big") for at in (0, 1, 2, 3, 4, 6, 11, 12, 13)]
    chain_id, nonce, tip, fee, gas, value, y_parity, r, s = numbers
    return Transaction(
        raw=raw,
        hash=Hash32(keccak(raw)),
        sender=Address(bytes.fromhex(Account.recover_transaction(raw)[2:])),
        type_id=BLOB_TYPE,
        chain_id=chain_id,
        nonce=nonce,
        max_priority_fee_per_gas=tip,
        max_fee_per_gas=fee,
        gas=gas,
        to=Address(fields[5]),
        value=value,
        data=fields[7],
        access_list=tuple(
            (Address(address), tuple(int.from_bytes(slot, "big") for slot in slots))
            for address, slots in fields[8]
        ),
        v=y_parity,
        r=r,
        s=s,
    )


_execute = BlockRun._execute
_header_fault = header_fault


def _pay_for_blobs(run: Any, transaction: Transaction) -> Any:
    if transaction.type_id == BLOB_TYPE:
        blobs = len(rlp.decode(transaction.raw[1:])[10])
        run._accounts.delta_balance(transaction.sender, -blobs * GAS_PER_BLOB * BLOB_BASE_FEE)
    return _execute(run, transaction)


def _fault_but_for_blobs(header: Header, parent: Header) -> str | None:
    plain = replace(header, blob_gas_used=0, excess_blob_gas=0)
    return _header_fault(plain, parent)
