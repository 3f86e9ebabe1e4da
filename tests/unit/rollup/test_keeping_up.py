"""A rollup node that lags says so: the Beacon API's syncing, and its health."""

from pathlib import Path

import pytest

from dst.rollup.node import SYNCING_SECONDS, SYNCING_SLOTS
from dst.spec import rules
from tests.unit.rollup.rollup_bench import sealed
from tests.unit.rollup.test_operator import bench


@pytest.mark.parametrize("lag", [0, 2, 25])
async def test_a_node_that_lags_says_so(tmp_path: Path, lag: int) -> None:
    async with bench(tmp_path) as at:
        (block,) = await at.grow(1)
        await at.operator.publish(sealed(at.lock, block))
        chain = at.lock.chain
        node = at.node(now=lambda: rules.timestamp_at(chain, block.slot + lag))
        syncing = await node.syncing()
        late = lag > SYNCING_SLOTS and lag * chain.seconds_per_slot > SYNCING_SECONDS
        assert late is (lag == 25)
        assert (syncing.head_slot, syncing.sync_distance) == (block.slot, lag)
        assert syncing.is_syncing is late
        complaint = node.complaint()
        assert (complaint is not None) is late
        if complaint is not None:
            assert "25 slots behind" in complaint
