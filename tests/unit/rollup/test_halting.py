"""What may stop a node for good, and what must not."""

import logging
from pathlib import Path

import pytest

from dst.rollup.events import EventRing
from dst.rollup.evidence import Claim
from dst.rollup.halting import Halting
from dst.rollup.store import Store
from dst.runtime.log import Logger
from dst.spec.beacon import BeaconBlock
from dst.spec.errors import Unavailable
from dst.spec.primitives import Height, Term
from tests.unit.rollup.rollup_bench import make_block, make_chain, make_lock, sealed

LOCK = make_lock()
FIRST, SECOND = make_chain(LOCK, 2)
TWIN = make_block(LOCK, FIRST, transactions=[b"\x02twin"])


def halting(folder: Path) -> Halting:
    store = Store(folder / "rollup.sqlite", b"bench")
    return Halting(folder, store, EventRing("f1", Term(0)), Logger("test"))


def stop(node: Halting, *blocks: BeaconBlock) -> None:
    """By the claims of two sides, each of one signed block."""
    claims = [Claim(blocks=(sealed(LOCK, each),), source="a source") for each in blocks]
    node.stop_on_evidence(Height(2), claims, "two signed blocks at height 2")


def test_two_blocks_of_one_height_stop_it_over_restarts(tmp_path: Path) -> None:
    stop(halting(tmp_path), SECOND, TWIN)
    with pytest.raises(Unavailable, match="stopped"):
        halting(tmp_path).require_moving()


@pytest.mark.parametrize("theirs", [SECOND, FIRST], ids=["our own block", "another height"])
def test_claims_that_do_not_conflict_stop_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, theirs: BeaconBlock
) -> None:
    """Whatever brought them here was wrong: it is said, and the chain moves on."""
    caplog.set_level(logging.ERROR, "dst")
    node = halting(tmp_path)
    stop(node, SECOND, theirs)
    for each in (node, halting(tmp_path)):
        each.require_moving()
        assert each.waits_for() is None
    assert [each.message.split()[0] for each in caplog.records] == ["unfounded_evidence"]
