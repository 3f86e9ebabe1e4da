"""What a fault needs of the network under test; the runner builds these over a backend and the
Toxiproxies.

`not_...` are looks: each says what is wrong in words, or nothing when all is as it should be.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from devnet.model.cut import CutMode
from devnet.model.topology import Topology


class CannotInject(Exception):
    """The network refused, or did not get there in time; the message becomes the receipt's
    error."""


class Programs(Protocol):
    """Programs by name (`op2.rollup`), never a Toxiproxy.

    Every call returns when the effect is there. Raises (all): CannotInject.
    """

    async def kill(self, programs: Sequence[str]) -> None: ...
    async def stop(self, programs: Sequence[str]) -> None:
        """SIGTERM."""

    async def start(self, programs: Sequence[str]) -> None: ...
    async def start_as(self, program: str, module: str, arguments: Sequence[str]) -> None:
        """One that does not run, with more arguments; as another module, if one is named."""

    async def freeze(self, programs: Sequence[str]) -> None: ...
    async def thaw(self, programs: Sequence[str]) -> None: ...

    async def not_down(self, programs: Sequence[str]) -> str:
        """Those that run or answer."""

    async def not_up(self, programs: Sequence[str]) -> str:
        """Those that do not run or do not serve."""


class Links(Protocol):
    """Links by proxy name (`op1>op2.consensus`). Raises (all): CannotInject."""

    async def cut(self, links: Sequence[str], mode: CutMode) -> None: ...
    async def heal(self, links: Sequence[str], mode: CutMode) -> None: ...
    async def shape(
        self, links: Sequence[str], toxic: str, attributes: Mapping[str, int] | None
    ) -> None:
        """A toxic on both streams of each link; None takes it away."""

    async def not_cut(self, links: Sequence[str], mode: CutMode) -> str:
        """Consensus links that the ends that dial them do not report down; others that are not in
        the state of the cut."""

    async def not_set(self, links: Sequence[str], mode: CutMode) -> str:
        """Links of which the Toxiproxies do not report the state of the cut."""

    async def not_whole(self, links: Sequence[str]) -> str:
        """Consensus links that the ends that dial them do not report up; others that are still
        cut."""

    async def not_shaped(
        self, links: Sequence[str], toxic: str, attributes: Mapping[str, int] | None
    ) -> str:
        """Links of which the Toxiproxies list that toxic otherwise."""


class Counters(Protocol):
    """What operators' middlewares say that they have counted."""

    async def total(
        self, nodes: Sequence[str], name: str, labels: Mapping[str, str]
    ) -> Mapping[str, float]:
        """Node -> sum of the counter over all other labels; without those that do not answer."""


class World(Protocol):
    """All of it."""

    @property
    def topology(self) -> Topology: ...
    @property
    def programs(self) -> Programs: ...
    @property
    def links(self) -> Links: ...
    @property
    def counters(self) -> Counters: ...
