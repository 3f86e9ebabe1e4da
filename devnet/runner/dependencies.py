"""What the nodes say of themselves, and the L1 itself: over probe links, which no fault touches."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import aiohttp

from devnet.faults.surface import CannotInject
from devnet.model.topology import Role, Topology
from devnet.probes.health import probe_url, read_metrics, read_waits, sum_of
from devnet.probes.rpc import Rpc, RpcRefused, RpcUnknown

READ_SECONDS: Final = 2.0
"""Patient: whoever looks is not to take a busy machine for a silent node."""
COUNT_SECONDS: Final = 10.0
"""More so: a flood keeps every middleware busy."""
REORG_SECONDS: Final = 10.0


class LiveTelling:
    """`Telling`."""

    def __init__(self, topology: Topology, session: aiohttp.ClientSession) -> None:
        self._topology, self._session = topology, session

    async def waits_for(self, node: str) -> tuple[str, ...] | None:
        url = f"{probe_url(self._topology, f'{node}.rollup')}/healthz"
        return await read_waits(self._session, url, READ_SECONDS)

    async def metric(self, node: str, name: str) -> float | None:
        text = await self._metrics(f"{node}.rollup")
        return None if text is None else sum_of(text, name)

    async def counted(
        self,
        nodes: Sequence[str],
        name: str,
        labels: Mapping[str, str],
        *,
        role: Role = Role.MIDDLEWARE,
    ) -> Mapping[str, float]:
        texts = await asyncio.gather(
            *(self._metrics(f"{node}.{role}", COUNT_SECONDS) for node in nodes)
        )
        return {
            node: sum_of(text, name, labels)
            for node, text in zip(nodes, texts, strict=True)
            if text is not None
        }

    async def _metrics(self, program: str, seconds: float = READ_SECONDS) -> str | None:
        url = f"{probe_url(self._topology, program)}/metrics"
        return await read_metrics(self._session, url, seconds)


class LiveL1:
    """`L1` over anvil's own JSON-RPC."""

    def __init__(self, topology: Topology, session: aiohttp.ClientSession) -> None:
        self._rpc = Rpc(session, topology.host_url("probe>l1.rpc"), REORG_SECONDS)
        self._dropped: dict[int, str] = {}
        """Number -> hash of the blocks that the last reorg replaced."""

    async def head(self) -> int:
        return int(await self._call("eth_blockNumber"), 16)

    async def reorg(self, depth: int) -> None:
        head = await self.head()
        dropped = {number: await self._hash(number) for number in range(head - depth + 1, head + 1)}
        await self._call("anvil_reorg", depth, [])
        # Had a block come in between, the lowest of these would have stayed.
        self._dropped = {n: text for n, text in dropped.items() if await self._hash(n) != text}

    async def not_reorged(self) -> str:
        if not self._dropped:
            return "L1 dropped no block"
        back = [n for n, text in self._dropped.items() if await self._hash(n) == text]
        return f"L1 shows block {', '.join(map(str, back))} again" if back else ""

    async def _hash(self, number: int) -> str:
        block = await self._call("eth_getBlockByNumber", hex(number), False)
        return str(block["hash"]) if isinstance(block, dict) else ""

    async def _call(self, method: str, *params: Any) -> Any:
        try:
            return await self._rpc.call(method, *params)
        except (RpcRefused, RpcUnknown) as error:
            raise CannotInject(f"L1: {error}") from error
