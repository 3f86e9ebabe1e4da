"""The families whose methods run messages or read proofs, all on the call workers."""

from typing import Final

from dst.execution.chain import Chain
from dst.execution.rpc.blocks_by_id import BlocksById
from dst.execution.rpc.calls import Calls
from dst.execution.rpc.debug import DebugTraces
from dst.execution.rpc.ots import Otterscan
from dst.execution.rpc.proof import Proofs
from dst.execution.rpc.simulate import Simulations
from dst.execution.rpc.trace import FlatTraces

CALL_FAMILIES: Final[tuple[type, ...]] = (
    Calls,
    Simulations,
    Proofs,
    DebugTraces,
    FlatTraces,
    Otterscan,
)
"""The same in the order of the page."""


def call_families(chain: Chain, blocks: BlocksById, seconds_per_slot: int) -> list[object]:
    """`seconds_per_slot`: how far apart simulated blocks are."""
    return [
        Calls(chain, blocks),
        Simulations(chain, blocks, seconds_per_slot),
        Proofs(chain, blocks),
        DebugTraces(chain, blocks),
        FlatTraces(chain, blocks),
        Otterscan(chain, blocks),
    ]
