"""What a fault needs of the network under test; the runner builds these over a backend and the
Toxiproxies.

`not_...` are looks: each says what is wrong in words, or nothing when all is as it should be.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol

from devnet.model.bend import Bend
from devnet.model.cut import CutMode
from devnet.model.shape import Shape
from devnet.model.topology import Role, Topology

NO_ENVIRONMENT: Final[Mapping[str, str]] = MappingProxyType({})


class CannotInject(Exception):
    """The network refused, or did not get there in time; the message becomes the receipt's
    error."""


class NotBack(CannotInject):
    """What was done was done, and taken back where it had to be, and the nodes did not come back
    from it in their time. That is no fault of the harness."""

    def __init__(self, message: str, nodes: Sequence[str]) -> None:
        super().__init__(message)
        self.nodes = tuple(nodes)


class Unmoved(CannotInject):
    """What was done to the nodes, or asked of them, they had to answer in their time, and went on
    as if nothing had been. That is no fault of the harness."""

    def __init__(self, message: str, nodes: Sequence[str]) -> None:
        super().__init__(message)
        self.nodes = tuple(nodes)


class RanOn(CannotInject):
    """Programs that were told to end, and did not in the time that they have."""

    def __init__(self, told: str, *, programs: Sequence[str], seconds: float) -> None:
        super().__init__(told)
        self.programs, self.seconds = tuple(programs), seconds


class Programs(Protocol):
    """Programs by name (`op2.rollup`), never a Toxiproxy.

    Every call returns when the effect is there. Raises (all): CannotInject.
    """

    async def kill(self, programs: Sequence[str]) -> None: ...
    async def stop(self, programs: Sequence[str]) -> None:
        """SIGTERM. Raises: RanOn."""

    async def hand_over(self, nodes: Sequence[str]) -> None:
        """Operators that are told to leave: until they say that they lead nothing any more.
        Raises: Unmoved where one goes on leading although the others are a quorum."""

    async def start(
        self,
        programs: Sequence[str],
        *,
        module: str = "",
        flags: Sequence[str] = (),
        environment: Mapping[str, str] = NO_ENVIRONMENT,
        ends_with: int | None = None,
        version: str = "",
    ) -> None:
        """For this start alone: another `module` in their place, `flags`, `environment`; an end
        with the exit code `ends_with` is no crash; `version`: from other code."""

    async def code_of(self, version: str) -> str:
        """What programs tell that run that version of the code."""

    async def codes(self, programs: Sequence[str]) -> Mapping[str, str]:
        """Program -> what it tells of the code that it runs; of those that tell."""

    async def freeze(self, programs: Sequence[str]) -> None: ...
    async def thaw(self, programs: Sequence[str]) -> None: ...

    async def hold_cpu(self, programs: Sequence[str], percent: int | None) -> None:
        """Each to so much of one processor; None: to nothing."""

    async def use_up_memory(self, programs: Sequence[str]) -> None:
        """Until the kernel ends them."""

    async def not_held(self, programs: Sequence[str], percent: int) -> str:
        """Those that the kernel does not hold to it; and, of a node, whether it has kept none of
        them from running."""

    async def not_free(self, programs: Sequence[str]) -> str:
        """Those that the kernel holds to a share."""

    async def not_out_of_memory(self, programs: Sequence[str]) -> str:
        """Those that run, or that ended for another reason."""

    async def not_down(self, programs: Sequence[str]) -> str:
        """Those that run or answer."""

    async def not_up(self, programs: Sequence[str]) -> str:
        """Those that do not run or do not serve."""

    async def not_ended_with(self, programs: Sequence[str], code: int) -> str:
        """Those that run, or ended otherwise than with that exit code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the program that dials a link tells of it, since its own start."""

    answers: float
    """Pongs, or calls that were answered."""
    failures: float
    """Dials (each but the first is because a connection failed), or calls without an answer."""
    trip_s: float | None = None
    """The quickest of the last few answers; None: none, as on a link that is down."""
    sent: float = 0
    """Bytes, as far as they are counted."""


class Links(Protocol):
    """Links by proxy name (`op1>op2.consensus`). Raises (all): CannotInject."""

    async def cut(self, links: Sequence[str], mode: CutMode) -> None: ...
    async def heal(self, links: Sequence[str], mode: CutMode) -> None: ...
    async def shape(self, links: Sequence[str], toxic: str, shape: Shape | None) -> None:
        """A toxic on the stream, or both, of each link; None takes it away."""

    async def not_cut(self, links: Sequence[str], mode: CutMode) -> str:
        """Consensus links that the ends that dial them do not report down; others that are not in
        the state of the cut."""

    async def not_set(self, links: Sequence[str], mode: CutMode) -> str:
        """Links of which the Toxiproxies do not report the state of the cut."""

    async def not_whole(self, links: Sequence[str]) -> str:
        """Consensus links that the ends that dial them do not report up; others that are still
        cut."""

    async def not_healed(self, links: Sequence[str]) -> str:
        """Links that the Toxiproxies do not list as a heal leaves them; of one that does not
        answer, too."""

    async def down(self, links: Sequence[str]) -> tuple[str, ...]:
        """Consensus links that the ends that dial them do not report up; without those whose end
        says nothing."""

    async def silent(self, nodes: Sequence[str]) -> tuple[str, ...]:
        """Nodes whose Toxiproxy does not answer: nothing that they say can be heard."""

    async def told(self, links: Sequence[str]) -> Mapping[str, Said]:
        """Without those of which nobody tells anything."""

    async def not_shaped(self, links: Sequence[str], toxic: str, shape: Shape | None) -> str:
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

    async def waits_for(self, node: str) -> tuple[str, ...] | None:
        """Of its rollup node, for a person; None without an answer."""

    async def metric(self, node: str, name: str) -> float | None:
        """Of its rollup node, summed over labels; None without an answer."""

    async def counted(
        self,
        nodes: Sequence[str],
        name: str,
        labels: Mapping[str, str],
        *,
        role: Role = Role.MIDDLEWARE,
    ) -> Mapping[str, float]:
        """Of that program of each: node -> the metric, summed over all other labels; without those
        that do not answer."""


class L1(Protocol):
    """The L1 itself. Raises (all): CannotInject."""

    async def head(self) -> int: ...

    async def reorg(self, depth: int) -> None:
        """So many newest blocks become others."""

    async def not_reorged(self) -> str:
        """Which of the blocks that it dropped it shows again."""


class Stores(Protocol):
    """What programs keep on disk; touched only while they do not run. Raises (all):
    CannotInject."""

    async def copy(self, programs: Sequence[str]) -> None:
        """Set a copy aside, as a backup."""

    async def bring_copy(self, programs: Sequence[str]) -> None:
        """The copy in place of what is there."""

    async def lose(self, programs: Sequence[str]) -> None:
        """All of it; set aside for whoever wants to look."""

    async def lose_unsynced(self, programs: Sequence[str]) -> None:
        """What nothing has flushed to disk yet."""

    async def flip(self, programs: Sequence[str]) -> None:
        """A bit in many places."""

    async def not_copy(self, programs: Sequence[str]) -> str:
        """Those whose files are not the copy's."""

    async def not_lost(self, programs: Sequence[str]) -> str:
        """Those that have files."""

    async def not_touched(self, programs: Sequence[str]) -> str:
        """Those whose files are not as they were left by `lose_unsynced` or `flip`; all, where none
        of them had anything to lose."""


class Machines(Protocol):
    """How programs find their machine: clock and disk. Raises (all): CannotInject."""

    async def change(self, programs: Sequence[str], **fields: float | bool) -> None:
        """Fields of `dst.spec.drills.Machine`, at once."""

    async def not_telling(self, programs: Sequence[str], *, ahead_s: float, drift: float) -> str:
        """Those whose own clock is another."""

    async def not_slow(self, programs: Sequence[str], flush_s: float) -> str:
        """Those whose last flush took less."""

    async def not_quick(self, programs: Sequence[str], flush_s: float) -> str:
        """Those whose last flush took so long."""

    async def not_full(self, programs: Sequence[str]) -> str:
        """Those that do not say that they wait for room on their disk."""

    async def not_roomy(self, programs: Sequence[str]) -> str:
        """Those that say so, or say nothing."""


class Hosts(Protocol):
    """Whole hosts of nodes, Toxiproxy and network included. Raises (all): CannotInject."""

    async def lose(self, nodes: Sequence[str]) -> None:
        """All that runs there, at once."""

    async def bring_back(self, nodes: Sequence[str]) -> None:
        """Started, with links as they are meant to be now."""

    async def not_lost(self, nodes: Sequence[str]) -> str:
        """What runs or answers there."""


class Firewalls(Protocol):
    """Packets of links, dropped by the kernel of a pod. Raises (all): CannotInject."""

    async def drop(self, links: Mapping[str, Sequence[str]]) -> None:
        """links: pod -> those whose packets it drops from now on."""

    async def let_pass(self, pods: Sequence[str]) -> None: ...

    async def not_dropping(self, links: Mapping[str, Sequence[str]]) -> str:
        """Links without a rule, and those that nothing was dropped of."""

    async def not_passing(self, pods: Sequence[str]) -> str:
        """Those that still drop."""


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
    @property
    def stores(self) -> Stores: ...
    @property
    def machines(self) -> Machines: ...
    @property
    def hosts(self) -> Hosts: ...
    @property
    def firewalls(self) -> Firewalls: ...
