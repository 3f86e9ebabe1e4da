"""What a fault needs of the network under test; the runner builds these over a backend and the
Toxiproxies.

`not_...` are looks: each says what is wrong in words, or nothing when all is as it should be.
"""

from collections.abc import Sequence
from typing import Protocol

from devnet.model.cut import CutMode
from devnet.model.topology import Topology


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

    async def not_down(self, nodes: Sequence[str]) -> str:
        """Programs that run, nodes that answer."""

    async def not_up(self, nodes: Sequence[str]) -> str:
        """Programs that do not run, nodes that do not serve."""


class Links(Protocol):
    """Links by proxy name (`op1>op2.consensus`). Raises (all): CannotInject."""

    async def cut(self, links: Sequence[str], mode: CutMode) -> None: ...
    async def heal(self, links: Sequence[str], mode: CutMode) -> None: ...
    async def delay(self, links: Sequence[str], one_way_ms: int) -> None:
        """On both streams of each link; 0 takes the delay back."""

    async def not_cut(self, links: Sequence[str]) -> str:
        """Consensus links that the ends that dial them do not report down."""

    async def not_whole(self, links: Sequence[str]) -> str:
        """Consensus links that the ends that dial them do not report up."""

    async def not_delayed(self, links: Sequence[str], one_way_ms: int) -> str:
        """Links of which the Toxiproxies list another delay; with 0, any."""


class World(Protocol):
    """All of it."""

    @property
    def topology(self) -> Topology: ...
    @property
    def nodes(self) -> Nodes: ...
    @property
    def links(self) -> Links: ...
