"""An operator's middleware becomes a liar, and an honest one again.

**Why the honest one comes back with `--rejoin`.** A liar holds the honest operator's key, and says
under it what no honest store knows of: votes for a sibling of the block that its own log has,
commits without a lock, claims that are none. Were the honest program started on that log as after a
restart, it might vote otherwise at the height that is open: a second liar's act by an honest
operator, at a moment when the fault counts as over and the next one may have begun elsewhere; with
f = 1 that is one more than the protocol bears. `--rejoin` is made for a store that may lack votes:
the operator takes the highest height that a quorum of the others proves, and two more, imports up
to there, and votes above that alone. No strategy signs anything that others still hold above that:
they keep nothing of heights beyond the next one (`upon_future_height`), and the liar is dead before
it asks. Nothing it said can therefore meet a vote of the honest one in one round. (A flood names
far heights, of roots that nobody proposes; a link that held it back may bring it when they are
open. It counts for nothing then, and convicts the liar.)

Its *decisions* are certificates, true whoever stored them. Its *validator* ran honestly all the
time, on a protection of its own, and was shown decided blocks alone; it needs no flag. What a liar
signed stays signed: who accuses it later, of what it said then, tells the truth (S15).

With more than f liars at once all this is void: they may have made two decisions at one height, and
more than f operators that rejoin wait for one another for ever, as they must. Such a network is to
be thrown away.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from devnet.byzantine.names import IS_LIAR, KNOWN, LIAR, LIES, PREFIX, Counted, Strategy, table
from devnet.faults import keys, lost
from devnet.faults.base import Fault, Plane, Sight, Site
from devnet.faults.restored import REJOIN
from devnet.faults.surface import CannotInject, World
from devnet.faults.targets import how_many, misfit_of_program
from devnet.model.clock import now
from devnet.model.terms import Aim, Target
from devnet.model.topology import Role, Topology
from dst.spec.errors import BadConfig, InvalidInput
from dst.spec.primitives import parse_hex

MODULE: Final = "devnet.byzantine"
LOOK_EVERY_S: Final = 1.0
QUIET_S: Final = 30.0
"""Longest time without a lie. The leader's turn of ten operators comes every 20 s at 2 s slots."""


def _read_address(value: object, where: str) -> str:
    """Raises: BadConfig."""
    try:
        parse_hex(value, 20)
    except InvalidInput as error:
        raise BadConfig(f"{where}: expected an address such as 0x70997970…, {error}") from None
    return str(value)


_ADDRESS_SCHEMA: Final = {"type": "string", "pattern": "^0x[0-9a-fA-F]{40}$"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Liars(Site):
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Byzantine(Fault):
    """The middleware of an operator is stopped, and runs as one that lies with the operator's own
    keys; its other programs are honest. Taken back by killing it and starting the honest one with
    `--rejoin`, since the liar signed what no honest store knows of. Checkers hold nothing against
    its word meanwhile, and take nothing from it. Up to f liars are to be survived; more are
    refused, but where the run is to fail (`expect.fails`): the network is not fit for another."""

    name: ClassVar = "byzantine"
    plane: ClassVar = Plane.PROCESSES
    proof: ClassVar = (
        "every liar counts its lies, on links that are up: a first one before the fault counts as "
        f"verified, and another each {QUIET_S:.0f} s while it stands (the receipt counts the "
        "seconds with lies); where its peers count what only such a lie makes them refuse, they "
        "have counted it, too"
    )
    more: ClassVar = table()
    seen_within_s: ClassVar = QUIET_S
    healed_within_s: ClassVar = 60.0
    repeats: ClassVar = True

    strategy: Strategy = keys.choice(Strategy, "which lie, see below")
    target: Target = keys.target("who lies; all of them together")
    address: str | None = keys.key(
        _read_address, _ADDRESS_SCHEMA, "whose transactions `censor` leaves out", None
    )

    def nonsense(self) -> str:
        if (self.strategy is Strategy.CENSOR) is (self.address is None):
            return "address goes with the strategy censor, and with no other"
        if self.target is Aim.BYZANTINE:
            return "target byzantine is who lies, and this says who does"
        return ""

    def misfit(self, topology: Topology) -> str:
        operators = topology.operator_names
        if len(operators) == 1:
            return "a single operator has nobody to lie to"
        if how_many(self.target, topology) == len(operators):
            return f"target {self.target}: of {len(operators)} one has to be honest"
        return misfit_of_program(self.target, Role.MIDDLEWARE, topology)

    def aim(self, sight: Sight) -> Site:
        found = sight.resolve(self.target)
        return Liars(
            targets=found,
            programs=tuple(f"{node}.{Role.MIDDLEWARE}" for node in found),
            seed=sight.rng.randrange(2**32),
        )

    async def inject(self, site: Site, world: World) -> None:
        assert isinstance(site, Liars), "aimed by this kind"
        if KNOWN[self.strategy].noticed is not None:
            site.rise.note(await self._noticed(site, world))
        words = ["--strategy", str(self.strategy), "--seed", str(site.seed)]
        words += ["--fellows", *site.targets]
        words += ["--address", self.address] if self.address else []
        await world.programs.stop(site.programs)
        await world.programs.start(site.programs, module=MODULE, flags=words)

    async def take_back(self, site: Site, world: World) -> None:
        await world.programs.kill(site.programs)
        await world.programs.start(site.programs, flags=(REJOIN,))

    async def missing(self, site: Site, world: World) -> str:
        assert isinstance(site, Liars), "aimed by this kind"
        told = await self._lies(site, world)
        if away := [node for node in site.targets if node not in told]:
            return f"{', '.join(away)} does not answer"
        if honest := [node for node, lies in told.items() if not lies]:
            return f"{', '.join(honest)} has not lied yet"
        noticed = KNOWN[self.strategy].noticed
        if noticed is None:
            return ""
        if site.rise.look(await self._noticed(site, world)):
            return ""
        return f"no victim has counted {noticed.told()}"

    async def keep_up(self, site: Site, world: World, seen: Callable[[], None]) -> None:
        """Lies are counted to the end: a liar that has stopped to lie is none. The one that was
        seen at the proof counts: where it splits the chain, there is nothing left to lie about."""
        seen()
        told, last_lie = await self._lies(site, world), dict.fromkeys(site.targets, now())
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            heard = await self._lies(site, world)
            lied = [node for node, lies in heard.items() if lies > told.get(node, lies)]
            last_lie |= dict.fromkeys(lied, now())
            told |= heard
            if lied:
                seen()
            if quiet := [node for node, at in last_lie.items() if now() - at > QUIET_S]:
                raise CannotInject(f"{', '.join(quiet)} told no lie for {QUIET_S:.0f} s")

    async def remaining(self, site: Site, world: World) -> str:
        if down := await world.programs.not_up(site.programs):
            return down
        marks = await _counted(world, site.targets, IS_LIAR, {"strategy": self.strategy})
        lying = [node for node, mark in marks.items() if mark]
        return f"{', '.join(lying)} still lies" if lying else ""

    async def not_back(self, site: Site, world: World, busy: frozenset[str]) -> tuple[str, ...]:
        return await lost.not_up(site.programs, world)

    async def _lies(self, site: Site, world: World) -> dict[str, float]:
        labels = {"strategy": str(self.strategy)}
        return dict(await _counted(world, site.targets, LIES, labels))

    async def _noticed(self, site: Site, world: World) -> dict[str, float]:
        """What each victim has counted that this lie explains."""
        noticed = KNOWN[self.strategy].noticed
        assert noticed is not None, "asked where there is something to notice"
        victims = [each for each in world.topology.operator_names if each not in site.targets]
        found = [
            await _counted(world, victims, noticed.name, labels)
            for labels in _labels(noticed, site.targets)
        ]
        # Who tells a part of it alone would count the rest as new at the next look.
        whole = [node for node in victims if all(node in counts for counts in found)]
        return {node: sum(counts[node] for counts in found) for node in whole}

    def lies(self, site: Site) -> tuple[str, ...]:
        return site.targets

    def components(self, site: Site, operators: Sequence[str]) -> tuple[tuple[str, ...], ...]:
        """A liar is on both sides of everything."""
        return ()

    def told(self, site: Site) -> str:
        return f"{', '.join(site.targets)}: {self.strategy}"


async def _counted(
    world: World, nodes: Sequence[str], name: str, labels: Mapping[str, str]
) -> Mapping[str, float]:
    return await world.telling.counted(nodes, PREFIX + name, labels)


def _labels(noticed: Counted, liars: Sequence[str]) -> list[dict[str, Any]]:
    """Once, or for each liar where the counter names it."""
    if LIAR not in noticed.labels.values():
        return [dict(noticed.labels)]
    return [
        {key: liar if value == LIAR else value for key, value in noticed.labels.items()}
        for liar in liars
    ]
