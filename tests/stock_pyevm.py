"""py-evm as a judge in process, unmodified but for one mistake (`dst.execution.evm.stock`): it runs
our blocks again and compares every header field, so one wrong gas unit or trie node fails."""

from collections.abc import Mapping
from typing import Any

import rlp
from eth.chains.base import Chain as StockChain
from eth.db.atomic import AtomicDB
from eth.vm.forks.prague import PragueVM
from eth.vm.forks.prague.state import PragueState

from dst.execution.block.executed import ExecutedBlock
from dst.execution.block_rlp import encode_block
from dst.execution.evm.stock import StockComputation


class StockState(PragueState):  # type: ignore[misc]
    computation_class = StockComputation


class StockVM(PragueVM):  # type: ignore[misc]
    _state_class = StockState


def open_stock(genesis: Mapping[str, Any]) -> Any:
    """A chain of stock py-evm from a genesis file of `prague_genesis`."""
    cls: Any = StockChain.configure(
        "Stock", vm_configuration=((0, StockVM),), chain_id=genesis["config"]["chainId"]
    )
    parameters = {
        "difficulty": 0,
        "gas_limit": int(genesis["gasLimit"], 16),
        "timestamp": int(genesis["timestamp"], 16),
        "extra_data": bytes.fromhex(genesis["extraData"][2:]),
        "mix_hash": bytes(32),
        "nonce": bytes(8),
        "coinbase": bytes.fromhex(genesis["coinbase"][2:]),
        "base_fee_per_gas": int(genesis["baseFeePerGas"], 16),
        "parent_beacon_block_root": bytes(32),
    }
    return cls.from_genesis(AtomicDB(), parameters, _state(genesis["alloc"]))


def to_stock(block: ExecutedBlock) -> Any:
    """The block as py-evm reads it from its RLP."""
    return rlp.decode(block_bytes(block), sedes=PragueVM.get_block_class())


def block_bytes(block: ExecutedBlock) -> bytes:
    raws = [each.raw for each in block.transactions]
    return encode_block(block.header, raws, block.withdrawals)


def _state(alloc: Mapping[str, Mapping[str, Any]]) -> dict[bytes, dict[str, Any]]:
    return {
        bytes.fromhex(address[2:]): {
            "balance": int(account["balance"], 16),
            "nonce": int(account.get("nonce", "0x0"), 16),
            "code": bytes.fromhex(account.get("code", "0x")[2:]),
            "storage": {
                int(slot, 16): int(value, 16) for slot, value in account.get("storage", {}).items()
            },
        }
        for address, account in alloc.items()
    }
