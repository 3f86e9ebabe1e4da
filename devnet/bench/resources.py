"""CPU seconds of the roles (from /proc) and bytes between operators (from the middlewares' own
counters)."""

import asyncio
import sys
from collections.abc import Iterable
from typing import Final

import aiohttp

from devnet.network.bring_up import Network
from devnet.probes.cpu import cpu_seconds_of
from devnet.probes.health import read_metrics, sum_of

SENT_BYTES: Final = "dst_p2p_sent_bytes_total"
METRICS_SECONDS: Final = 2.0


async def cpu_by_role(network: Network) -> dict[str, float]:
    """CPU seconds so far, by role, operators only; empty where programs are not processes of
    ours."""
    if network.backend.kind != "process" or not sys.platform.startswith("linux"):
        return {}
    found: dict[str, float] = {}
    for name, status in (await network.backend.status()).items():
        pod, _, role = name.partition(".")
        pid = status.detail.removeprefix("pid ")
        if pod in network.topology.operator_names and pid.isdigit():
            found[role] = found.get(role, 0.0) + cpu_seconds_of(int(pid))
    return found


async def wire_bytes(network: Network, session: aiohttp.ClientSession) -> float:
    """Bytes that all middlewares have sent to each other since their start, framing included."""
    urls = [
        f"{network.probe_url(name, 'middleware')}/metrics"
        for name in network.topology.operator_names
    ]
    texts = await asyncio.gather(*(read_metrics(session, url, METRICS_SECONDS) for url in urls))
    return sum_texts(text for text in texts if text is not None)


def sum_texts(texts: Iterable[str]) -> float:
    return sum(sum_of(text, SENT_BYTES) for text in texts)
