"""Accounts at a block: balance, nonce, code, storage."""

from typing import Final

from dst.apis.eth import BlockTag, parse_address, parse_block_id, show_word
from dst.apis.jsonrpc import INVALID_PARAMS, RpcError
from dst.execution.pool.service import TransactionPool
from dst.execution.rpc.blocks_by_id import BlocksById
from dst.execution.rpc.dispatch import rpc
from dst.execution.rpc.parameters import (
    AddressParam,
    BlockParam,
    SlotParam,
    SlotsParam,
    parse_slot,
)
from dst.spec.errors import InvalidInput
from dst.spec.primitives import to_hex

MAX_STORAGE_VALUES: Final = 1_024
"""Slots in one eth_getStorageValues, geth's figure."""

_NOT_HERE: Final = ("-32000: header not found",)


class Accounts:
    def __init__(self, blocks: BlocksById, pool: TransactionPool) -> None:
        self._blocks, self._pool = blocks, pool

    @rpc("eth_getBalance", errors=_NOT_HERE)
    def balance(self, address: AddressParam, block: BlockParam = "latest") -> str:
        """Balance in wei."""
        owner = parse_address(address)
        return hex(self._blocks.state(block).get_balance(owner))

    @rpc("eth_getCode", errors=_NOT_HERE)
    def code(self, address: AddressParam, block: BlockParam = "latest") -> str:
        """Code; `0xef0100…` for an account that delegates (EIP-7702)."""
        owner = parse_address(address)
        return to_hex(self._blocks.state(block).get_code(owner))

    @rpc("eth_getStorageAt", errors=_NOT_HERE)
    def storage_at(
        self, address: AddressParam, slot: SlotParam, block: BlockParam = "latest"
    ) -> str:
        """One storage slot as 32 bytes."""
        owner, position = parse_address(address), parse_slot(slot)
        return show_word(self._blocks.state(block).slot(owner, position))

    @rpc(
        "eth_getStorageValues",
        errors=_NOT_HERE,
        limits=(f"at most {MAX_STORAGE_VALUES} slots",),
    )
    def storage_values(
        self, slots: SlotsParam, block: BlockParam = "latest"
    ) -> dict[str, list[str]]:
        """Many slots of many accounts at once."""
        wanted = _parse_slots(slots)
        state = self._blocks.state(block)
        return {
            address: [show_word(state.slot(parse_address(address), slot)) for slot in positions]
            for address, positions in wanted.items()
        }

    @rpc("eth_getTransactionCount", errors=_NOT_HERE)
    def transaction_count(self, address: AddressParam, block: BlockParam = "latest") -> str:
        """The account's nonce; at `pending` the one that its next transaction should carry."""
        owner, wanted = parse_address(address), parse_block_id(block)
        nonce = self._blocks.state(block).get_nonce(owner)
        if wanted is BlockTag.PENDING:
            nonce = self._pool.pending_nonce(owner, nonce)
        return hex(nonce)


def _parse_slots(value: object) -> dict[str, list[int]]:
    """Raises: InvalidInput, RpcError."""
    if not isinstance(value, dict):
        raise InvalidInput("slots: expected an object")
    if not value:
        raise RpcError(INVALID_PARAMS, "empty request")
    wanted: dict[str, list[int]] = {}
    for address, slots in value.items():
        parse_address(address)
        if not isinstance(slots, list):
            raise InvalidInput(f"slots of {address}: expected a list")
        wanted[address] = [parse_slot(slot) for slot in slots]
    if sum(map(len, wanted.values())) > MAX_STORAGE_VALUES:
        raise RpcError(INVALID_PARAMS, f"too many slots (max {MAX_STORAGE_VALUES})")
    return wanted
