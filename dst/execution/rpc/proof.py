"""`eth_getProof`: what a state root says about an account, provable to whoever has the root."""

from typing import Final

from dst.apis.eth import parse_address
from dst.execution.chain import Chain
from dst.execution.rpc.blocks_by_id import BlocksById
from dst.execution.rpc.call_stage import refusals
from dst.execution.rpc.dispatch import Where, rpc
from dst.execution.rpc.parameters import AddressParam, BlockParam, SlotListParam, parse_slot
from dst.execution.state.reader import StateReader
from dst.spec.errors import InvalidInput
from dst.spec.primitives import ZERO_HASH, Address, to_hex

MAX_SLOTS: Final = 1_024
"""geth's figure."""
_WORD_DIGITS: Final = 66


class Proofs:
    def __init__(self, chain: Chain, blocks: BlocksById) -> None:
        self._chain, self._blocks = chain, blocks

    @rpc(
        "eth_getProof",
        where=Where.CALL,
        errors=("-32000: the block or its state is not here",),
        limits=(f"{MAX_SLOTS} slots",),
    )
    def get_proof(
        self, address: AddressParam, slots: SlotListParam, block: BlockParam = "latest"
    ) -> dict[str, object]:
        """An account and some of its slots with Merkle proofs (EIP-1186).

        Of an account that does not exist code hash and storage hash are zero.
        """
        account_address = parse_address(address)
        if not isinstance(slots, list):
            raise InvalidInput("storage keys: expected a list")
        if len(slots) > MAX_SLOTS:
            raise InvalidInput(f"too many slots (max {MAX_SLOTS})")
        keys = [(str(each), parse_slot(each)) for each in slots]
        with refusals():
            return self._proof(self._blocks.state(block), account_address, keys)

    @staticmethod
    def _proof(
        state: StateReader, address: Address, keys: list[tuple[str, int]]
    ) -> dict[str, object]:
        account = state.account(address)
        return {
            "address": to_hex(address),
            "accountProof": _show(state.account_proof(address)),
            "balance": hex(account.balance if account else 0),
            "nonce": hex(account.nonce if account else 0),
            "codeHash": to_hex(account.code_hash if account else ZERO_HASH),
            "storageHash": to_hex(account.storage_root if account else ZERO_HASH),
            "storageProof": [
                {
                    "key": text if len(text) == _WORD_DIGITS else hex(slot),
                    "value": hex(state.slot(address, slot)),
                    "proof": _show(state.storage_proof(address, slot)),
                }
                for text, slot in keys
            ],
        }


def _show(proof: list[bytes]) -> list[str]:
    return [to_hex(node) for node in proof]
