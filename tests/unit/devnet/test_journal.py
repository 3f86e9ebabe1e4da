"""What a journal takes."""

import pytest

from devnet.journal import Journal
from devnet.model.history import Event, EventKind, Setup


def setup(chain_id: int) -> Setup:
    return Setup(operators=("op1",), slot_seconds=1.0, chain_id=chain_id)


def decided(root: str) -> Event:
    return Event(kind=EventKind.DECIDED, node="op1", height=1, root=root, monotonic=1.0, wall=1.0)


def test_two_chains_are_two_histories() -> None:
    """Each with a block of its own at height 1, which is no fork."""
    journals = [Journal(setup(chain_id)) for chain_id in (1, 2)]
    for journal, root in zip(journals, ("0xaa", "0xbb"), strict=True):
        journal.record(decided(root))
        assert journal.violations == []
    with pytest.raises(AssertionError, match="one chain"):
        journals[0].record(setup(2))
