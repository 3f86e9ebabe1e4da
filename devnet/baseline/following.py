"""What a stand-by knows of the chain: signed blocks that the other sequencers have, taken over one
by one. There is no agreement: what the leader signed and nobody fetched in time is the leader's
alone."""

import asyncio
from typing import Final, Protocol

from dst.apis.beacon import BeaconClient, WireBlock
from dst.apis.dst_v1 import DecidedBlock, DstClient, Status
from dst.runtime.backoff import Backoff
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.spec import ssz
from dst.spec.beacon import BeaconBlock
from dst.spec.errors import DstError, InvalidInput
from dst.spec.primitives import Height

POLL_S: Final = 0.5
"""How often one is asked although its stream of events is silent."""
TRY_S: Final = 1.0
"""For one question: a link that swallows it must not hide for long that it healed."""
LINK_UP: Final = "p2p_link_up"

log = Logger("following")


class Own(Protocol):
    """The own rollup node. Raises: DstError (all)."""

    async def status(self) -> Status: ...

    async def take(self, decided: DecidedBlock, sealed: WireBlock) -> None: ...


class Following:
    """Of one other sequencer's rollup node."""

    def __init__(self, name: str, url: str, own: Own, metrics: Metrics) -> None:
        self._name, self._url, self._own, self._metrics = name, url, own, metrics
        self._news = asyncio.Event()
        self._refused: str | None = None
        metrics.set(LINK_UP, 0, peer=name)

    def waits_for(self) -> str | None:
        """For a person: why its blocks are not taken although they are there."""
        return self._refused

    async def run(self) -> None:
        async with DstClient(self._url) as node, BeaconClient(self._url) as beacon:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen(beacon))
                group.create_task(self._follow(node, beacon))

    async def _listen(self, beacon: BeaconClient) -> None:
        backoff = Backoff()
        while True:
            try:
                async for _ in beacon.events(frozenset({"head"})):
                    backoff.reset()
                    self._news.set()
            except DstError:
                pass  # `_follow` tells what is wrong with it
            await asyncio.sleep(backoff.next_delay())

    async def _follow(self, node: DstClient, beacon: BeaconClient) -> None:
        while True:
            self._news.clear()
            height = await self._height_of(node)
            self._metrics.set(LINK_UP, int(height is not None), peer=self._name)
            try:
                await self._catch_up(height or 0, node, beacon)
            except InvalidInput as error:
                if self._refused is None:
                    log.error("block_refused", source=self._name, reason=str(error))
                self._refused = f"a person: it has other blocks than {self._name} ({error})"
            except (DstError, TimeoutError):
                pass  # of its own rollup node or of the other: the next look tells which
            try:
                async with asyncio.timeout(POLL_S):
                    await self._news.wait()
            except TimeoutError:
                pass

    async def _height_of(self, node: DstClient) -> int | None:
        """Signed there; None without an answer."""
        try:
            async with asyncio.timeout(TRY_S):
                return (await node.status()).sealed_height
        except (DstError, TimeoutError):
            return None

    async def _catch_up(self, to: int, node: DstClient, beacon: BeaconClient) -> None:
        """Raises: InvalidInput for a block that does not extend ours; DstError, TimeoutError."""
        at = (await self._own.status()).sealed_height
        for height in range(at + 1, to + 1):
            async with asyncio.timeout(TRY_S):
                decided = await node.get_decided(Height(height))
                if decided is None:
                    return
                slot = ssz.decode(BeaconBlock, decided.block).slot
                sealed = await beacon.block(slot)
            if sealed is None or not sealed.is_sealed:
                return
            await self._own.take(decided, sealed)
        self._refused = None
