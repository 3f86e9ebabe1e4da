"""A new cluster begins together: however long rollup nodes take to see L1, height 1 is decided in
its first round, for nobody begins before a quorum could build and judge it."""

from unittest.mock import PropertyMock, patch

import pytest

from devnet.sim.loop import play
from devnet.sim.recovery import BOUND_US, CALM, Drill
from dst.middleware.importer import Importer
from dst.rejoin.core import STRAGGLERS_S

SEEN_WITHIN_US = 20_000_000
"""Many times T0, so that who began too early would change rounds."""
FEW = 3


class _Start(Drill):
    """Everybody starts with a new store, and sees L1 at some moment: a quorum soon or late, the
    last one while it is still waited for."""

    async def round_changes(self) -> int:
        *quorum, straggler = self.rng.sample(self._all(), self.n)
        moments = sorted(self.rng.randrange(SEEN_WITHIN_US) for _ in quorum)
        patience_us = int(STRAGGLERS_S * 1_000_000) // 2
        moments.append(moments[-1] + self.rng.randrange(patience_us))
        for node, moment_us in zip([*quorum, straggler], moments, strict=True):
            node.disk.is_new, node.rollup.has_seen_l1 = True, False
            self._boot(node)
            self.loop.after(moment_us, setattr, node.rollup, "has_seen_l1", True)
        assert await self._until(lambda: self.top >= FEW, BOUND_US)
        return self.counts.get("round_change", 0)


@pytest.mark.parametrize("seed", range(10))
def test_height_1_needs_no_second_round_however_late_l1_is_seen(seed: int) -> None:
    assert play(lambda loop: _Start(loop, seed, CALM).round_changes()) == 0


def test_it_would_if_a_rollup_node_were_ready_before_it_has_seen_l1() -> None:
    with patch.object(Importer, "is_ready", PropertyMock(return_value=True), create=True):
        assert play(lambda loop: _Start(loop, 1, CALM).round_changes()) > 0
