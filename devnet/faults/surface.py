"""What a fault needs of the network under test; the runner builds these over a backend and the
Toxiproxies.

`not_...` are looks: each says what is wrong in words, or nothing when all is as it should be.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from devnet.model.bend import Bend
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


class Bends(Protocol):
    """Answers on links, bent by a program that stands before the service while it is asked for.
    Raises (all): CannotInject."""

    async def bend(self, links: Sequence[str], bends: Sequence[Bend]) -> None: ...
    async def straighten(self, links: Sequence[str]) -> None: ...

    async def not_bent(self, links: Sequence[str]) -> str:
        """Links that do not lead through the bender, and those on which it bent nothing for
        long."""

    async def not_straight(self, links: Sequence[str]) -> str:
        """Links that do not lead to their service."""


class Telling(Protocol):
    """What nodes say of themselves, on ways that no fault touches."""

    async def waits_for(self, node: str) -> tuple[str, ...]:
        """Of its rollup node, for a person; empty without an answer, too."""

    async def metric(self, node: str, name: str) -> float | None:
        """Of its rollup node, summed over labels; None without an answer."""

    async def note(self, node: str, name: str) -> None:
        """Remember a metric, for `risen`."""

    async def risen(self, node: str, name: str) -> float:
        """Since it was noted; 0 without an answer."""


class L1(Protocol):
    """The L1 itself. Raises (all): CannotInject."""

    async def head(self) -> int: ...

    async def reorg(self, depth: int) -> None:
        """So many newest blocks become others."""

    async def not_reorged(self) -> str:
        """Which of the blocks that it dropped it shows again."""


class World(Protocol):
    """All of it."""

    @property
    def topology(self) -> Topology: ...
    @property
    def programs(self) -> Programs: ...
    @property
    def links(self) -> Links: ...
    @property
    def bends(self) -> Bends: ...
    @property
    def telling(self) -> Telling: ...
    @property
    def l1(self) -> L1: ...
