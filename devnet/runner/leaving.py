"""Operators told to leave before they are stopped, as `dst drain` does it: over probe links, with
the secret of each."""

from pathlib import Path
from typing import Final

import aiohttp

from devnet.faults.surface import CannotInject, Unmoved
from devnet.model.topology import Topology
from devnet.network.programs import secrets_of
from devnet.probes.health import probe_url
from dst.apis.drain import DrainClient
from dst.apis.jwt import load_jwt_secret
from dst.spec.errors import DstError

LOOK_EVERY_S: Final = 0.05
WITHIN_S: Final = 20.0
"""A round that it leads ends long before."""


async def hand_over(
    topology: Topology, directory: Path, session: aiohttp.ClientSession, node: str
) -> None:
    """Returns when it says that it leads nothing any more. Raises: Unmoved where it does not say so
    in time; CannotInject, also where the others alone are no quorum."""
    url = probe_url(topology, f"{node}.middleware")
    assert url is not None, "a middleware listens"
    try:
        secret = load_jwt_secret(directory / secrets_of(topology.pod(node)) / "own.hex")
        client = DrainClient(url, session=session, secret=secret)
        found = await client.leave(within_s=WITHIN_S, look_every_s=LOOK_EVERY_S)
        if complaint := found.not_yet or found.others_lack:
            await client.ask("DELETE")
            words = f"{node} is not drained: {complaint}"
            # Without a quorum of the others the round that it leads may have no end.
            raise CannotInject(words) if found.others_lack else Unmoved(words, nodes=(node,))
    except DstError as error:
        raise CannotInject(f"{node} was not drained: {error}") from error
