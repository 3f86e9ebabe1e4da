"""Does a node serve, are its links up, what does it wait for: read from its own `/livez`,
`/metrics` and `/healthz` over probe links."""

import asyncio
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import aiohttp
import msgspec

from devnet.model.topology import Role, Topology

ANSWER_SECONDS: Final = 0.5
"""A healthy node answers in milliseconds, also on two busy cores; a frozen one never does."""
MAX_METRICS_BYTES: Final = 1 << 20

MAX_HEALTH_BYTES: Final = 1 << 16
SHOWN_WAITS: Final = 6


class _Health(msgspec.Struct, frozen=True):
    """The part of a `/healthz` that is read."""

    waits_for: tuple[str, ...] = ()


_HEALTH: Final = msgspec.json.Decoder(_Health)
_CLOCK: Final = re.compile(r"^dst_clock_offset_seconds ([0-9.eE+-]+)$", re.MULTILINE)
_LINK_UP: Final = re.compile(r'dst_p2p_link_up\{[^}]*peer="([^"]+)"[^}]*\}\s+([0-9.]+)')
_SAMPLE: Final = re.compile(
    r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{([^}]*)\})?\s+([0-9.eE+-]+)$", re.MULTILINE
)
_EVERY: Final[Mapping[str, str]] = MappingProxyType({})
_LISTENS: Final = {
    Role.EXECUTION: "rpc",
    Role.ROLLUP: "beacon",
    Role.MIDDLEWARE: "middleware",
    Role.SEQUENCER: "sequencer",
}


def probe_url(topology: Topology, program: str) -> str | None:
    """Where a program says how it is; a validator listens nowhere: only the backend tells."""
    node, _, role = program.partition(".")
    listens = _LISTENS.get(Role(role))
    return None if listens is None else topology.host_url(f"probe>{node}.{listens}")


async def answers(
    session: aiohttp.ClientSession, url: str, seconds: float = ANSWER_SECONDS
) -> bool:
    """Whether `GET url` is answered with 200 in time."""
    try:
        async with asyncio.timeout(seconds), session.get(url) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False


async def read_metrics(
    session: aiohttp.ClientSession, url: str, seconds: float = ANSWER_SECONDS
) -> str | None:
    """Prometheus text, or None when there is no answer in time."""
    try:
        async with asyncio.timeout(seconds), session.get(url) as response:
            if response.status != 200:
                return None
            return (await response.content.read(MAX_METRICS_BYTES)).decode("utf-8", "replace")
    except (aiohttp.ClientError, TimeoutError, OSError):
        return None


async def read_waits(
    session: aiohttp.ClientSession, url: str, seconds: float = ANSWER_SECONDS
) -> tuple[str, ...] | None:
    """What `GET url` (a `/healthz`) says that it waits for; None without an answer in time."""
    try:
        async with asyncio.timeout(seconds), session.get(url) as response:
            told = _HEALTH.decode(await response.content.read(MAX_HEALTH_BYTES))
    except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError):
        return None
    return told.waits_for[:SHOWN_WAITS]


def links_up(metrics: str) -> Mapping[str, bool]:
    """Peer name -> whether the link this operator dials to it is up (after HELLO)."""
    return {peer: float(value) > 0 for peer, value in _LINK_UP.findall(metrics)}


def clock_ahead(metrics: str) -> float | None:
    """Seconds that an operator's clock is ahead of the others', by its own measure."""
    found = _CLOCK.search(metrics)
    return None if found is None else float(found[1])


def by_label(metrics: str, name: str, label: str) -> Mapping[str, float]:
    """Value of a label -> the metric, summed over all other labels."""
    found: dict[str, float] = {}
    for sample, shown, value in _SAMPLE.findall(metrics):
        if sample == name and (at := re.search(rf'(?:^|,){label}="([^"]*)"', shown)):
            found[at[1]] = found.get(at[1], 0.0) + float(value)
    return found


def sum_of(metrics: str, name: str, labels: Mapping[str, str] = _EVERY) -> float:
    """Sum of a metric over all samples that have these labels; 0 when there is none."""
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    return sum(
        float(value)
        for found, shown, value in _SAMPLE.findall(metrics)
        if found == name and all(each in shown.split(",") for each in wanted)
    )
