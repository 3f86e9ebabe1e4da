"""Partial-signature exchange, sans-I/O: every decided block is owed one group signature.

Same shape as `dst.qbft`: `step(state, input, config) -> Transition`, `restore(config, ...) ->
State`. Read core.py.
"""

from dst.sealing.core import restore, step
from dst.sealing.state import Config, State, Transition

__all__ = ["Config", "State", "Transition", "restore", "step"]
