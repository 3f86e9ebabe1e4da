"""QBFT, sans-I/O: messages, inputs, effects, records, state, justification (predicates), upon
(rules), step (entry).

Nothing here awaits, reads a clock, draws randomness, opens a file or logs.
"""

from dst.qbft.restoring import restore
from dst.qbft.state import Config, DecidedHead, State, Transition
from dst.qbft.step import step

__all__ = ["Config", "DecidedHead", "State", "Transition", "restore", "step"]
