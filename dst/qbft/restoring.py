"""State after a restart, from the durable log."""

from collections.abc import Iterable

from dst.qbft.records import Record
from dst.qbft.state import Config, DecidedHead, State


def restore(config: Config, decided: DecidedHead | None, records: Iterable[Record]) -> State:
    """The open height with this node's own promises: round, lock, votes, proposals. Feed `Start` next.

    Args:
        decided: highest decision in the store; None when only genesis (height 0) is.
        records: the log in writing order; those of decided heights are ignored, DecisionRecords above `decided` are
            applied and announced again by `Start`.
    """
    raise NotImplementedError
