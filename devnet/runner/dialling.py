"""What programs tell of the links that they dial, over probe links, which no fault touches."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import aiohttp

from devnet.faults.surface import Said
from devnet.model.topology import Link, LinkClass, Role, Topology
from devnet.probes.health import by_label, probe_url, read_metrics

_TELLING: Final = (f".{Role.ROLLUP}", f".{Role.MIDDLEWARE}")
"""Of the programs that call another of their node, those that count their calls."""


async def told_of(
    links: Sequence[Link], topology: Topology, session: aiohttp.ClientSession
) -> dict[str, Said]:
    """Link name -> what is told; without those of which nobody tells anything."""
    dialling = {link.name: _dialling(link, topology) for link in links}
    programs = sorted({program for program in dialling.values() if program})
    texts = await asyncio.gather(
        *(read_metrics(session, f"{probe_url(topology, name)}/metrics") for name in programs)
    )
    known = dict(zip(programs, texts, strict=True))
    found: dict[str, Said] = {}
    for link in links:
        text = known.get(dialling[link.name])
        if text is not None and (said := _said(link, text)) is not None:
            found[link.name] = said
    return found


def _dialling(link: Link, topology: Topology) -> str:
    """The program; empty for one that tells nothing of it."""
    match link.kind:
        case LinkClass.CONSENSUS if link.source in topology.operator_names:
            return f"{link.source}.{topology.voting_role}"
        case LinkClass.INTERNAL:
            program = link.name.partition(">")[0]
            return program if program.endswith(_TELLING) else ""
        case LinkClass.L1 | LinkClass.FOLLOW:
            return f"{link.source}.{Role.ROLLUP}"
        case LinkClass.FORWARD:
            return f"{link.source}.{Role.EXECUTION}"
    return ""


def _said(link: Link, metrics: str) -> Said | None:
    if link.kind is LinkClass.CONSENSUS:
        return _of_peer(link.target, metrics)
    said = _of_calls(link.listen_port, metrics)
    # Whoever follows another's pool lets it wait with its answers: they measure nothing.
    if said is not None and link.kind is LinkClass.FORWARD:
        return replace(said, trip_s=None)
    return said


def _of_peer(peer: str, metrics: str) -> Said | None:
    def told(what: str) -> float | None:
        return by_label(metrics, f"dst_p2p_{what}", "peer").get(peer)

    dials = told("dials_total")
    if dials is None:
        return None
    return Said(
        answers=told("pongs_total") or 0,
        failures=dials,
        trip_s=told("round_trip_seconds"),
        sent=told("sent_bytes_total") or 0,
    )


def _of_calls(port: int, metrics: str) -> Said | None:
    """Whom a program calls it tells by host and port."""

    def told(what: str) -> float | None:
        known = by_label(metrics, f"dst_{what}", "to")
        return next((value for to, value in known.items() if to.endswith(f":{port}")), None)

    answers, failures = told("calls_answered_total"), told("calls_unanswered_total")
    if answers is None and failures is None:
        return None
    return Said(answers=answers or 0, failures=failures or 0, trip_s=told("call_seconds"))
