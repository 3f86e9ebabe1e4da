"""Entry: one input, one `upon_*` rule."""

from dst.qbft.inputs import Input
from dst.qbft.state import Config, State, Transition


def step(state: State, event: Input, config: Config) -> Transition:
    """A new state and the effects to perform, in order. Pure: same arguments, same answer."""
    raise NotImplementedError
