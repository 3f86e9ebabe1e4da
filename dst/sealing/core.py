"""The rules of the partial-signature exchange."""

from collections.abc import Iterable, Mapping

from dst.sealing.inputs import Input
from dst.sealing.records import Record
from dst.sealing.state import Config, State, Transition
from dst.spec.primitives import Height, Root


def restore(config: Config, head: Height, unsealed: Mapping[Height, Root], records: Iterable[Record]) -> State:
    """State after a restart.

    Args:
        head: highest decided height (genesis 0 when nothing was decided).
        unsealed: signing roots of the decided heights without a SealRecord.
        records: whatever the log still holds; SealRecords of heights in `unsealed` win.
    """
    raise NotImplementedError


def step(state: State, event: Input, config: Config) -> Transition:
    """One input: a new state and the effects to perform, in order."""
    raise NotImplementedError
