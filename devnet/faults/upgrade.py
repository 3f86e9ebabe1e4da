import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from devnet.faults import keys
from devnet.faults.base import Sight, Site
from devnet.faults.stopped import Stopped
from devnet.faults.surface import CannotInject, NotBack, World
from devnet.model.clock import now
from devnet.model.code import WAYS, read_code
from devnet.model.topology import Role, Topology

SCHEMA: Final[dict[str, Any]] = {"type": "string", "minLength": 1}
BACK_S: Final = 60.0
"""Between the start of one node and the stop of the next: it comes up, catches up and votes."""
LOOK_EVERY_S: Final = 0.25
PREPARED: Final = "dst_consensus_milestones_total"
_SEALED: Final = "dst_sealed_height"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgraded(Site):
    before: dict[str, str] = field(default_factory=dict, compare=False)
    """Program -> the code that it told of before."""
    since: dict[str, str] = field(default_factory=dict, compare=False)
    """And the one that it has to tell of."""


@dataclass(frozen=True, kw_only=True)
class Upgrade(Stopped):
    """The programs of the node are stopped as planned, and started on what they keep from another
    version of the code. Of several targets one after another: the next is stopped when the one
    before serves and votes again. Taken back in the same way, by the version that ran before, which
    is an upgrade rolled back. A version that cannot be had, is the same code, or keeps or speaks
    something else is refused before anything starts; a node that does not come back in 60 s fails
    L4 and L5, and the next is left alone."""

    name: ClassVar = "upgrade"
    weight: ClassVar = 0
    """There is nothing to draw a version from."""
    at_once: ClassVar = False
    proof: ClassVar = (
        "each program tells the digest of the sources that it runs (`dst_build_info` of its "
        "metrics; a validator in the line of its log that says it is ready): that of the version "
        "asked for while it stands, and the one of before after the heal"
    )
    more: ClassVar = (
        "How a cluster is upgraded: [operators.md](operators.md#upgrades). The simulator has one "
        "code under every name, and plays who restarts when."
    )
    seen_within_s: ClassVar = 15.0

    to: str = keys.key(read_code, SCHEMA, WAYS)

    def misfit(self, topology: Topology) -> str:
        if topology.cluster.is_baseline:
            return "there are no other versions of a baseline"
        return super().misfit(topology)

    def versions(self) -> tuple[str, ...]:
        return (self.to,)

    def aim(self, sight: Sight) -> Site:
        site = super().aim(sight)
        return Upgraded(targets=site.targets, programs=site.programs)

    async def inject(self, site: Site, world: World) -> None:
        assert isinstance(site, Upgraded), "aimed by this kind"
        wanted = await world.programs.code_of(self.to)
        told = await world.programs.codes(site.programs)
        if silent := [name for name in site.programs if name not in told]:
            raise CannotInject(f"{', '.join(silent)} does not tell which code it runs")
        if set(told.values()) == {wanted}:
            raise CannotInject(f"{', '.join(site.targets)} runs that code already ({wanted})")
        site.before.update(told)
        site.since.update(dict.fromkeys(site.programs, wanted))
        for node in site.targets:
            codes = {name: site.since[name] for name in _of(node, site)}
            await self._exchange(node, codes, world, self.to)

    async def take_back(self, site: Site, world: World) -> None:
        """Whoever was not reached runs what it ran."""
        assert isinstance(site, Upgraded), "aimed by this kind"
        for node in site.targets:
            before = {name: site.before[name] for name in _of(node, site) if name in site.before}
            if await _otherwise(before, world):
                await self._exchange(node, before, world)

    async def missing(self, site: Site, world: World) -> str:
        wanted = await world.programs.code_of(self.to)
        return await _otherwise(dict.fromkeys(site.programs, wanted), world)

    async def remaining(self, site: Site, world: World) -> str:
        assert isinstance(site, Upgraded), "aimed by this kind"
        return await _otherwise(site.before, world) or await world.programs.not_up(site.programs)

    def witness(self, site: Site) -> str:
        assert isinstance(site, Upgraded), "aimed by this kind"
        before, since = (sorted(set(codes.values())) for codes in (site.before, site.since))
        return f"code {' and '.join(before)} before, {' and '.join(since)} since"

    async def _exchange(
        self, node: str, codes: Mapping[str, str], world: World, version: str = ""
    ) -> None:
        """codes: program -> what it has to tell then."""
        programs = tuple(codes)
        await world.programs.stop(programs)
        await world.programs.start(programs, version=version)
        counts_anew = f"{node}.{Role.MIDDLEWARE}" in programs
        voted = 0.0 if counts_anew else await _prepared(node, world)
        level = await _decided(world)
        deadline = now() + BACK_S
        while complaint := await _not_back(node, programs, voted, level, world):
            if now() > deadline:
                words = f"{node}, started from {version or 'what ran before'}, is not back"
                raise NotBack(f"{words} after {BACK_S:.0f} s: {complaint}", nodes=(node,))
            await asyncio.sleep(LOOK_EVERY_S)
        if complaint := await _otherwise(codes, world):
            raise CannotInject(complaint)

    def silences(self, site: Site, operators: Sequence[str]) -> tuple[str, ...]:
        """They take part, each but for the seconds of its own restart."""
        return ()

    def restarts(self, site: Site) -> tuple[str, ...]:
        return site.targets

    def told(self, site: Site) -> str:
        return f"{super().told(site)} to {self.to}"


def _of(node: str, site: Site) -> tuple[str, ...]:
    return tuple(name for name in site.programs if name.partition(".")[0] == node)


async def _otherwise(codes: Mapping[str, str], world: World) -> str:
    """Those of them that tell of other code, or nothing."""
    told = await world.programs.codes(tuple(codes))
    wrong = [
        f"{name} tells that it runs {told[name]}, not {code}"
        if name in told
        else f"{name} does not tell which code it runs"
        for name, code in codes.items()
        if told.get(name) != code
    ]
    return "; ".join(wrong)


async def _not_back(
    node: str, programs: Sequence[str], voted: float, level: float, world: World
) -> str:
    if complaint := await world.programs.not_up(programs):
        return complaint
    if node in world.topology.operator_names:
        return "" if await _prepared(node, world) > voted else "it has prepared no block since"
    height = await world.telling.metric(node, _SEALED)
    return "" if height is not None and height >= level else f"it is not at height {level:g}"


async def _prepared(node: str, world: World) -> float:
    """How often an operator was seen to; who has voted in a round has."""
    if node not in world.topology.operator_names:
        return 0.0
    counts = await world.telling.counted([node], PREPARED, {"milestone": "prepared"})
    return counts.get(node, 0.0)


async def _decided(world: World) -> float:
    """The highest height of the operators that answer, less the one that may be without its seal
    yet."""
    nodes = world.topology.operator_names
    found = await asyncio.gather(*(world.telling.metric(n, "dst_decided_height") for n in nodes))
    return max((height for height in found if height is not None), default=0.0) - 1
