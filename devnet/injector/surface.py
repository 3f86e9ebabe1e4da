"""What a fault needs of the network under test; the runner builds these over a backend and the
Toxiproxies."""

from collections.abc import Sequence
from typing import Protocol

from devnet.model.fault import CutMode


class CannotInject(Exception):
    """The network refused, or did not get there in time; the message becomes the receipt's
    error."""


class Nodes(Protocol):
    """Nodes by name (`op2`, `f1`): every role of the node at once, its Toxiproxy never.

    Every call returns when the effect is there. Raises (all): CannotInject.
    """

    async def kill(self, nodes: Sequence[str]) -> None: ...
    async def start(self, nodes: Sequence[str]) -> None: ...
    async def freeze(self, nodes: Sequence[str]) -> None: ...
    async def thaw(self, nodes: Sequence[str]) -> None: ...

    async def probe_down(self, nodes: Sequence[str]) -> str:
        """Look until none of the nodes answers; says in words what was seen."""

    async def probe_up(self, nodes: Sequence[str]) -> str:
        """Look until every node serves again."""


class Links(Protocol):
    """Links by proxy name (`op1>op2.consensus`). Raises (all): CannotInject."""

    def consensus_between(self, groups: Sequence[Sequence[str]]) -> tuple[str, ...]:
        """Every consensus link that joins two different groups, both directions."""

    def engine_of(self, node: str) -> tuple[str, ...]:
        """The link between the node's rollup node and its execution layer."""

    async def cut(self, links: Sequence[str], mode: CutMode) -> None: ...
    async def heal(self, links: Sequence[str], mode: CutMode) -> None: ...
    async def delay(self, links: Sequence[str], one_way_ms: int) -> None:
        """On both streams of each link; 0 takes the delay back."""

    async def probe_cut(self, links: Sequence[str]) -> str:
        """Look until both ends of every link report it down; says in words what was seen."""

    async def probe_whole(self, links: Sequence[str]) -> str:
        """Look until both ends of every link report it up."""

    async def probe_delay(self, links: Sequence[str], one_way_ms: int) -> str:
        """Read the delay back."""
