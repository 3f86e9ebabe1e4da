"""Safe heads while a run goes on: how much of its chain each node has found on L1."""

import asyncio
from collections.abc import Callable
from typing import Final

from devnet.model.clock import now
from devnet.model.history import Record, SafeHeadSeen
from dst.apis.dst_v1 import DstClient
from dst.spec.errors import DstError

LOOK_EVERY_S: Final = 1.0
ANSWER_SECONDS: Final = 1.0


async def watch_safe_head(node: str, beacon_url: str, record: Callable[[Record], None]) -> None:
    """Records each height that it comes to, until cancelled. A node that does not answer says
    nothing."""
    known: int | None = None
    while True:
        async with DstClient(beacon_url) as client:
            try:
                status = await client.status(timeout_seconds=ANSWER_SECONDS)
            except DstError:
                status = None
        if status is not None and status.safe != known:
            known = status.safe
            record(SafeHeadSeen(node=node, height=known, monotonic=now()))
        await asyncio.sleep(LOOK_EVERY_S)
