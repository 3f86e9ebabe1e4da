from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from devnet.faults import lost
from devnet.faults.base import Site
from devnet.faults.connectivity import components, silenced
from devnet.faults.on_links import OnLinks, consensus_of
from devnet.faults.surface import World
from devnet.model.cut import CutMode
from devnet.model.means import Means


@dataclass(frozen=True, kw_only=True)
class PacketBlackhole(OnLinks):
    """The kernel of the pod drops the packets of the links, both ways, as a firewall that says
    nothing: no RST, no FIN, no SYN-ACK passes. With a target in its pod, else in the pod that is
    dialled. Mode `blackhole` of a cut is milder: Toxiproxy swallows what is sent, but itself
    accepts each connection and acknowledges each byte; here nobody does, so connecting runs into
    its timeout, TCP sends again and again, and after the heal a connection that outlived the fault
    goes on with nothing missing. `links: "*>*"` with a target cuts a whole node off, its own
    inner links too."""

    name: ClassVar = "packet-blackhole"
    backends: ClassVar = ("docker",)
    needs: ClassVar = frozenset({Means.FIREWALL})
    proof: ClassVar = (
        "the kernel lists a rule for each link, and those of every pod count more dropped packets"
        " within each 10 s (each consensus link at least one); every consensus link is reported"
        " down by the end that dials it"
    )
    seen_within_s: ClassVar = 15.0
    """A program starts first, and ends then miss three seconds of pings."""
    healed_within_s: ClassVar = 20.0

    async def inject(self, site: Site, world: World) -> None:
        await world.firewalls.drop(places(site))

    async def missing(self, site: Site, world: World) -> str:
        passing = await world.firewalls.not_dropping(places(site))
        return passing or await world.links.not_cut(consensus_of(site, world), CutMode.BLACKHOLE)

    async def take_back(self, site: Site, world: World) -> None:
        await world.firewalls.let_pass(tuple(places(site)))

    async def remaining(self, site: Site, world: World) -> str:
        dropping = await world.firewalls.not_passing(tuple(places(site)))
        return dropping or await world.links.not_whole(consensus_of(site, world))

    async def not_back(self, site: Site, world: World, busy: frozenset[str]) -> tuple[str, ...]:
        if await world.firewalls.not_passing(tuple(places(site))):
            return ()
        return await lost.not_dialled(consensus_of(site, world), world, busy)

    def claims(self, site: Site) -> frozenset[str]:
        """A pod has one packet filter."""
        filters = (f"{pod} (packets)" for pod in places(site))
        return frozenset((*filters, *(f"{link} (cut)" for link in site.links)))

    def silences(self, site: Site, operators: Sequence[str]) -> tuple[str, ...]:
        return silenced(site.links, operators)

    def disturbs(self, site: Site, operators: Sequence[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*site.targets, *self.silences(site, operators))))

    def components(self, site: Site, operators: Sequence[str]) -> tuple[tuple[str, ...], ...]:
        return components(site.links, operators)

    def cuts(self, site: Site) -> tuple[str, ...]:
        return site.links


def places(site: Site) -> Mapping[str, tuple[str, ...]]:
    """Pod -> links whose packets are dropped there."""
    ends = {link: _ends(link) for link in site.links}
    pods = site.targets or tuple(dict.fromkeys(dialled for _, dialled in ends.values()))
    where = slice(None) if site.targets else slice(1, None)
    return {pod: tuple(link for link, both in ends.items() if pod in both[where]) for pod in pods}


def _ends(link: str) -> tuple[str, str]:
    """`op1>op2.consensus`: op1, op2."""
    source, _, dialled = link.partition(">")
    return source.partition(".")[0], dialled.partition(".")[0]
