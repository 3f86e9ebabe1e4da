"""Bugs switched on by name, to prove that the simulator would notice them. None of them touches
`dst`.

A mutant replaces a function of a core, of a shell or of the simulated disk while its context is
open. Each is a mistake that a real implementation has made, or this one. `docs/mutants.md` says
which, and what kills it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from devnet.sim.core_mutants import CORE_MUTANTS, Swap
from devnet.sim.shell_mutants import SHELL_MUTANTS

MUTANTS: Final[dict[str, tuple[Swap, ...]]] = {**CORE_MUTANTS, **SHELL_MUTANTS}
"""name -> what is replaced."""


@contextmanager
def mutated(name: str | None) -> Iterator[None]:
    """Run with the mutant `name` switched on (None: with the real thing).

    Raises: KeyError for a name that is not in MUTANTS.
    """
    swaps = () if name is None else MUTANTS[name]
    originals = [(owner, attribute, getattr(owner, attribute)) for owner, attribute, _ in swaps]
    for owner, attribute, replacement in swaps:
        setattr(owner, attribute, replacement)
    try:
        yield
    finally:
        for owner, attribute, original in originals:
            setattr(owner, attribute, original)
