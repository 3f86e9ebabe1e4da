"""What the nodes say of what they depend on, and the L1 itself: over probe links, which no fault
touches."""

from typing import Any, Final

import aiohttp

from devnet.faults.surface import CannotInject
from devnet.model.topology import Topology
from devnet.probes.health import read_metrics, read_waits, sum_of
from devnet.probes.rpc import Rpc, RpcRefused, RpcUnknown

READ_SECONDS: Final = 2.0
"""Patient: whoever looks is not to take a busy machine for a silent node."""
REORG_SECONDS: Final = 10.0


class LiveTelling:
    """`Telling`."""

    def __init__(self, topology: Topology, session: aiohttp.ClientSession) -> None:
        self._topology, self._session = topology, session
        self._noted: dict[tuple[str, str], float] = {}

    async def waits_for(self, node: str) -> tuple[str, ...]:
        return await read_waits(self._session, f"{self._url(node)}/healthz", READ_SECONDS)

    async def metric(self, node: str, name: str) -> float | None:
        text = await read_metrics(self._session, f"{self._url(node)}/metrics", READ_SECONDS)
        return None if text is None else sum_of(text, name)

    async def note(self, node: str, name: str) -> None:
        self._noted[node, name] = await self.metric(node, name) or 0.0

    async def risen(self, node: str, name: str) -> float:
        value = await self.metric(node, name)
        return 0.0 if value is None else value - self._noted.get((node, name), 0.0)

    def _url(self, node: str) -> str:
        return f"http://127.0.0.1:{self._topology.host_port(f'probe>{node}.beacon')}"


class LiveL1:
    """`L1` over anvil's own JSON-RPC."""

    def __init__(self, topology: Topology, session: aiohttp.ClientSession) -> None:
        url = f"http://127.0.0.1:{topology.host_port('probe>l1.rpc')}"
        self._rpc = Rpc(session, url, REORG_SECONDS)
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
