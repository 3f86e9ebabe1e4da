"""What every kind of fault is.

A kind is a frozen value whose fields are the keys of its YAML form, and whose methods are all that
is known about it: whom it can hit, how it is done, proven, taken back. Between proof and heal the
same look that proved it is taken again and again: a fault that ends early has not happened.
"""

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Final, Self

from devnet.faults.dice import Dice
from devnet.faults.felt import Felt
from devnet.faults.rise import Rise
from devnet.faults.surface import World
from devnet.faults.targets import resolve_target
from devnet.model.means import Means
from devnet.model.terms import Target
from devnet.model.topology import Topology

BOTH_BACKENDS: Final = ("process", "docker")


class Plane(StrEnum):
    """Where a fault takes hold. In the order in which they are taken back: a call on a link whose
    end is frozen can hang."""

    PROCESSES = "processes"
    STORAGE = "storage"
    CLOCKS = "clocks"
    LINKS = "links"
    DEPENDENCIES = "dependencies"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What is known when a fault is aimed."""

    topology: Topology
    next_height: int
    """The one after the newest decided."""
    rng: random.Random
    """Of this fault alone."""
    leader: str | None = None
    """Who leads, where that is no function of the height."""
    liars: tuple[str, ...] = ()
    """Operators that a fault has made lie by then."""

    @property
    def operators(self) -> tuple[str, ...]:
        return self.topology.operator_names

    def resolve(self, target: Target) -> tuple[str, ...]:
        """Names of the nodes that it means now. Raises: BadConfig."""
        return resolve_target(
            target,
            self.topology,
            next_height=self.next_height,
            rng=self.rng,
            leader=self.leader,
            liars=self.liars,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a fault falls: names for every aim and draw."""

    targets: tuple[str, ...] = ()
    """Nodes; those that it disturbs, if it is aimed at any."""
    programs: tuple[str, ...] = ()
    """Of the targets, where it hits programs."""
    groups: tuple[tuple[str, ...], ...] = ()
    """Operators that still reach each other, where it parts them."""
    links: tuple[str, ...] = ()
    links_back: tuple[str, ...] = ()
    """In the order in which they are healed, where it is another."""
    rise: Rise = field(default_factory=Rise, compare=False)
    """What has been counted since it began, where that proves it."""
    felt: Felt = field(default_factory=Felt, compare=False)
    """What those who dial its links tell, where that proves it."""


class Fault(ABC):
    """One kind. A subclass is a frozen dataclass in a file of its own; its docstring is its line in
    the documentation."""

    name: ClassVar[str]
    """`do:` of the scenario."""
    plane: ClassVar[Plane]
    backends: ClassVar[tuple[str, ...]] = BOTH_BACKENDS
    needs: ClassVar[frozenset[Means]] = frozenset()
    """Refused before anything starts where the machine has them not."""
    proof: ClassVar[str]
    """What is looked at, in a few words."""
    more: ClassVar[str] = ""
    """Further Markdown for the documentation."""
    seen_within_s: ClassVar[float] = 5.0
    """It shows by then, or did not take hold."""
    healed_within_s: ClassVar[float] = 15.0
    at_once: ClassVar[bool] = True
    """Whether it hits the height that it is aimed at: one that prepares for long hits a later
    one."""
    repeats: ClassVar[bool] = False
    """Whether `keep_up` has something to do."""
    lets_back: ClassVar[bool] = False
    """Nodes come back from other faults in their time, also while it stands."""
    breaks: ClassVar[bool] = False
    """It breaks a promise by itself: for runs that have to fail (`expect.fails`) alone."""
    weight: ClassVar[int] = 4
    """How often random schedules draw it, beside the others; 0: never."""

    @property
    def period_s(self) -> float | None:
        """From one time that it is seen to happen to the next; None: `keep_up` has its own idea of
        when it has ended."""
        return None

    def nonsense(self) -> str:
        """What no single key can get wrong alone; empty when all is well."""
        return ""

    def versions(self) -> tuple[str, ...]:
        """Other versions of the code that nodes come to run: had, and found to fit, before anything
        starts."""
        return ()

    def misfit(self, topology: Topology) -> str:
        """Why this network has nothing to hit; empty when it has."""
        return ""

    @abstractmethod
    def aim(self, sight: Sight) -> Site:
        """Names for aims and draws, at the moment it fires.

        Raises: BadConfig when the network has no such node.
        """

    @abstractmethod
    async def inject(self, site: Site, world: World) -> None:
        """Raises: CannotInject."""

    @abstractmethod
    async def take_back(self, site: Site, world: World) -> None:
        """Raises: CannotInject."""

    @abstractmethod
    async def missing(self, site: Site, world: World) -> str:
        """A look: what of the fault is not there; empty when it stands. Raises: CannotInject."""

    async def unmoved(self, site: Site, world: World) -> tuple[str, ...]:
        """Who is to blame when something is missing after all the time that it has to show: nodes
        that had to notice it, answer, and go on as if nothing had been, although all that the
        harness does for it is done. Nobody where that is no sure sign. Raises: CannotInject."""
        return ()

    async def keep_up(self, site: Site, world: World, seen: Callable[[], None]) -> None:
        """What has to go on while it stands, such as a link that flaps; cancelled at the end.
        `seen` is called for every time that it was seen to happen. Raises: CannotInject."""
        await asyncio.Event().wait()

    @abstractmethod
    async def remaining(self, site: Site, world: World) -> str:
        """A look: what of the fault is still there; empty when all is whole. Raises:
        CannotInject."""

    async def not_back(self, site: Site, world: World, busy: frozenset[str]) -> tuple[str, ...]:
        """Who is to blame when something remains after all the time that it has: nodes that have
        not come back, although nothing of the fault stands in their way any more. Nobody where it
        does, where they cannot be read, or where what they do is no sure sign. busy: nodes and
        links that another fault disturbs, or did meanwhile. Raises: CannotInject."""
        return ()

    def claims(self, site: Site) -> frozenset[str]:
        """What no other fault may take hold of at the same time."""
        return frozenset((*site.programs, *(f"{link} (cut)" for link in site.links)))

    def doubtful(self, site: Site) -> tuple[str, ...]:
        """Operators of which no more than f may be at a time: they lie, or may lack what they
        promised."""
        return self.lies(site)

    def witness(self, site: Site) -> str:
        """By whose word the last look went, where looks differ in it; else by that of `proof`."""
        return ""

    # What follows while it stands, for those who judge.

    def silences(self, site: Site, operators: Sequence[str]) -> tuple[str, ...]:
        """Nodes that can take no part, and have something to catch up with afterwards."""
        return ()

    def lies(self, site: Site) -> tuple[str, ...]:
        """Operators whose word counts for nothing, although they take part. They have something to
        catch up with afterwards, too."""
        return ()

    def forgets(self, site: Site) -> tuple[str, ...]:
        """Nodes whose chain may go back: what they kept of it is gone, or older."""
        return ()

    def restarts(self, site: Site) -> tuple[str, ...]:
        """Nodes that are stopped and started again at its beginning and at its end, and take part
        in between. They have something to catch up with afterwards, too."""
        return ()

    def disturbs(self, site: Site, operators: Sequence[str]) -> tuple[str, ...]:
        """Nodes that do not count as having stayed up."""
        return self.silences(site, operators) or site.targets

    def components(self, site: Site, operators: Sequence[str]) -> tuple[tuple[str, ...], ...]:
        """Live operators by connected component; empty when connectivity is untouched."""
        silent = set(self.silences(site, operators))
        alive = tuple(name for name in operators if name not in silent)
        return () if len(alive) == len(operators) else (alive,)

    def cuts(self, site: Site) -> tuple[str, ...]:
        """Links over which nothing passes: those of faults that stand together add up."""
        return ()

    # What random schedules are made of.

    @classmethod
    def drawn(cls, dice: Dice) -> Self | None:
        """One of this kind; None: random schedules have none of it."""
        return None

    # What a person reads.

    def told(self, site: Site) -> str:
        """`op3`, `op1+op2 | op3+op4`: what is hit."""
        return ", ".join(site.targets) or " | ".join("+".join(group) for group in site.groups)
