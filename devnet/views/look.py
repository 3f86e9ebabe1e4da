"""One look at a running network: every node, program and link is asked at once."""

import asyncio
from typing import Final

from devnet.backends.base import BackendError, ProgramStatus
from devnet.model.topology import Role
from devnet.network.bring_up import Network
from devnet.probes.health import clock_ahead, links_up, read_metrics, read_waits
from devnet.probes.pools import POOL_SECONDS, PoolSeen, read_pool
from devnet.probes.rpc import Rpc
from devnet.views.state import Look, NetworkState

_TELLS_WAITS: Final = (
    (Role.MIDDLEWARE, "middleware"),
    (Role.SEQUENCER, "sequencer"),
    (Role.ROLLUP, "beacon"),
    (Role.EXECUTION, "rpc"),
)


def state_for(network: Network) -> NetworkState:
    """Nothing is known yet but who there is."""
    descriptor = network.descriptor
    return NetworkState(
        network.topology.operator_names,
        network.topology.follower_names,
        slot_seconds=descriptor.slot_seconds,
        votes=not network.topology.cluster.is_baseline,
        l1_followers=frozenset(each.name for each in descriptor.followers if each.from_l1),
    )


async def look_at(network: Network) -> Look:
    metrics, pools, waits, faults, (programs, trouble) = await asyncio.gather(
        _metrics_of(network),
        _pools_of(network),
        waits_of(network),
        network.mesh.faults(),
        _programs_of(network),
    )
    told = {name: text for name, text in metrics.items() if text is not None}
    clocks = {name: clock_ahead(text) for name, text in told.items()}
    return Look(
        links={name: None if text is None else links_up(text) for name, text in metrics.items()},
        clocks={name: ahead for name, ahead in clocks.items() if ahead is not None},
        pools=pools,
        waits=waits,
        faults=faults,
        programs=programs,
        trouble=trouble,
    )


async def _metrics_of(network: Network) -> dict[str, str | None]:
    """Of the middlewares; None while one does not answer."""
    names, role = network.topology.operator_names, network.topology.voting_role
    urls = [f"{network.probe_url(name, role)}/metrics" for name in names]
    texts = await asyncio.gather(*(read_metrics(network.session, url) for url in urls))
    return dict(zip(names, texts, strict=True))


async def waits_of(network: Network) -> dict[str, tuple[str, ...]]:
    """`op1.middleware` -> what it says that it waits for; programs that wait for nothing are
    absent. A validator has no listener: it says so in its log alone."""
    asked = {
        f"{name}.{role}": f"{network.probe_url(name, link)}/healthz"
        for name in network.nodes
        for role, link in _TELLS_WAITS
        if role in network.topology.pod(name).roles
    }
    told = await asyncio.gather(*(read_waits(network.session, url) for url in asked.values()))
    return {name: texts for name, texts in zip(asked, told, strict=True) if texts}


async def _pools_of(network: Network) -> dict[str, PoolSeen]:
    rpcs = [Rpc(network.session, network.probe_url(n, "rpc"), POOL_SECONDS) for n in network.nodes]
    seen = await asyncio.gather(*(read_pool(rpc) for rpc in rpcs))
    return {name: pool for name, pool in zip(network.nodes, seen, strict=True) if pool is not None}


async def _programs_of(network: Network) -> tuple[dict[str, ProgramStatus], str]:
    """And why they are not known."""
    try:
        return dict(await network.backend.status()), ""
    except BackendError as error:
        return {}, str(error)
