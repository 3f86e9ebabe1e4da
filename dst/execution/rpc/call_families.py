"""The families whose methods run messages or read proofs, all on the call workers."""

from typing import Final

from dst.execution.chain import Chain
from dst.execution.rpc.blocks_by_id import BlocksById
from dst.execution.rpc.calls import Calls
from dst.execution.rpc.debug import DebugTraces
from dst.execution.rpc.ots import Otterscan
from dst.execution.rpc.ots_accounts import OtterscanAccounts
from dst.execution.rpc.ots_blocks import OtterscanBlocks
from dst.execution.rpc.ots_search import OtterscanSearch
from dst.execution.rpc.proof import Proofs
from dst.execution.rpc.replays import Replays
from dst.execution.rpc.simulate import Simulations
from dst.execution.rpc.trace import FlatTraces
from dst.execution.rpc.trace_calls import TracedCalls
from dst.execution.rpc.trace_filter import TraceFilter

CALL_FAMILIES: Final[tuple[type, ...]] = (
    Calls,
    Simulations,
    Proofs,
    DebugTraces,
    FlatTraces,
    TracedCalls,
    TraceFilter,
    Otterscan,
    OtterscanAccounts,
    OtterscanBlocks,
    OtterscanSearch,
)
"""The same in the order of the page."""


def call_families(chain: Chain, blocks: BlocksById, seconds_per_slot: int) -> list[object]:
    """`seconds_per_slot`: how far apart simulated blocks are."""
    replays = Replays(chain, blocks)
    return [
        Calls(chain, blocks),
        Simulations(chain, blocks, seconds_per_slot),
        Proofs(chain, blocks),
        DebugTraces(chain, blocks, replays),
        FlatTraces(replays),
        TracedCalls(chain, blocks),
        TraceFilter(replays, blocks),
        Otterscan(replays),
        OtterscanAccounts(chain, blocks, replays),
        OtterscanBlocks(chain, blocks),
        OtterscanSearch(chain, blocks),
    ]
