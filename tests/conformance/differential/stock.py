"""The judge in process: unmodified py-evm imports the blocks that our engine made.

It executes each again and compares every header field, so one wrong gas unit or trie node fails.
"""

from tests.conformance.differential.ours import OurRun
from tests.conformance.differential.plan import Plan
from tests.stock_pyevm import open_stock, to_stock


def disagreement(plan: Plan, ours: OurRun) -> str | None:
    """What stock py-evm says against our blocks, or None."""
    chain = open_stock(plan.genesis())
    if chain.get_canonical_head().hash != ours.genesis_hash:
        return "genesis: another state root"
    for number, block in enumerate(ours.blocks):
        try:
            chain.import_block(to_stock(block))
        except Exception as error:  # any word against a block of ours is the finding
            return f"block {number}: {type(error).__name__}: {str(error)[:600]}"
    return None
