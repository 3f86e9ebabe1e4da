"""The judge in process: unmodified py-evm imports the blocks that our engine made.

It executes each again and compares every header field, so one wrong gas unit or trie node fails.
"""

from typing import Any

import rlp
from eth.chains.base import Chain as StockChain
from eth.db.atomic import AtomicDB
from eth.vm.forks.prague import PragueVM

from dst.execution.chain import ExecutedBlock
from dst.execution.header import encode_withdrawal
from dst.spec import rlp as our_rlp
from tests.conformance.differential.ours import OurRun
from tests.conformance.differential.plan import CHAIN_ID, GAS_LIMIT, GENESIS_TIME, GWEI, Plan


def disagreement(plan: Plan, ours: OurRun) -> str | None:
    """What stock py-evm says against our blocks, or None."""
    chain = open_chain(plan)
    if chain.get_canonical_head().hash != ours.genesis_hash:
        return "genesis: another state root"
    for number, block in enumerate(ours.blocks):
        try:
            chain.import_block(to_stock(block))
        except Exception as error:  # any word against a block of ours is the finding
            return f"block {number}: {type(error).__name__}: {str(error)[:600]}"
    return None


def open_chain(plan: Plan) -> Any:
    cls: Any = StockChain.configure("Stock", vm_configuration=((0, PragueVM),), chain_id=CHAIN_ID)
    state = {
        bytes.fromhex(address[2:]): {
            "balance": int(account["balance"], 16),
            "nonce": int(account.get("nonce", "0x0"), 16),
            "code": bytes.fromhex(account.get("code", "0x")[2:]),
            "storage": {
                int(slot, 16): int(value, 16) for slot, value in account.get("storage", {}).items()
            },
        }
        for address, account in plan.genesis()["alloc"].items()
    }
    parameters = {
        "difficulty": 0,
        "gas_limit": GAS_LIMIT,
        "timestamp": GENESIS_TIME,
        "extra_data": b"",
        "mix_hash": bytes(32),
        "nonce": bytes(8),
        "coinbase": bytes(20),
        "base_fee_per_gas": GWEI,
        "parent_beacon_block_root": bytes(32),
    }
    return cls.from_genesis(AtomicDB(), parameters, state)


def encode_block(block: ExecutedBlock) -> bytes:
    """The RLP that the network's blocks have."""
    return our_rlp.encode_list(
        block.header.encode(),
        our_rlp.encode_list(
            *[
                each.raw if each.type_id == 0 else our_rlp.encode_bytes(each.raw)
                for each in block.transactions
            ]
        ),
        our_rlp.encode_list(),
        our_rlp.encode_list(*[encode_withdrawal(each) for each in block.withdrawals]),
    )


def to_stock(block: ExecutedBlock) -> Any:
    return rlp.decode(encode_block(block), sedes=PragueVM.get_block_class())
