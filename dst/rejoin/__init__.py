"""May this operator vote? Sans-I/O: a store that may be missing votes does not vote.

Same shape as `dst.qbft`: `step(state, input) -> Transition`. Read core.py.
"""

from dst.rejoin.core import begin, step
from dst.rejoin.state import Phase, State, Transition

__all__ = ["Phase", "State", "Transition", "begin", "step"]
