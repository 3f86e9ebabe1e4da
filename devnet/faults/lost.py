"""Who has not come back from a fault that was taken back: what kinds have in common. Asked once,
when the time for it is over; what then stands in the way must be nothing but the nodes themselves.
"""

from collections.abc import Iterable

from devnet.faults.surface import World


def nodes_of(programs: Iterable[str]) -> tuple[str, ...]:
    """`op1.rollup`: op1; each once, in order."""
    return tuple(dict.fromkeys(name.partition(".")[0] for name in programs))


async def not_up(programs: Iterable[str], world: World) -> tuple[str, ...]:
    """Nodes of which one of these programs does not run, or does not serve. Raises:
    CannotInject."""
    named = tuple(programs)
    owned = {node: [n for n in named if n.partition(".")[0] == node] for node in nodes_of(named)}
    return tuple([node for node, own in owned.items() if await world.programs.not_up(own)])


async def not_dialled(links: Iterable[str], world: World, busy: frozenset[str]) -> tuple[str, ...]:
    """Operators that dial a consensus link among these, answer, and do not report it up, although
    the Toxiproxies list every one as whole. busy: as of `Fault.not_back`; a link that is among
    them, or has an end there, is nobody's fault. Raises: CannotInject."""
    named = frozenset(links)
    if await world.links.not_healed(tuple(named)):
        return ()
    dialled = [link for link in world.topology.consensus_links if link.name in named]
    asked = [each.name for each in dialled if not busy & {each.name, each.source, each.target}]
    down = await world.links.down(asked)
    return tuple(dict.fromkeys(link.source for link in dialled if link.name in down))
