"""What developers' tools ask of a test node (`evm_`, `anvil_`, `hardhat_`), on a dev network.

Here operators agree on every block: what waits for a block or asks about the node makes sense, what
would change the state, the clock or the order of blocks at one node cannot, and is refused by name.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from dst.apis.jsonrpc import METHOD_NOT_FOUND, REFUSED, Method, RpcError
from dst.apis.quantity import parse_count
from dst.execution.chain import Chain
from dst.execution.events import Events
from dst.execution.header import next_base_fee
from dst.execution.rpc.chain_info import CLIENT_VERSION
from dst.execution.rpc.dispatch import Where, rpc
from dst.execution.rpc.parameters import CountParam
from dst.execution.slots import SlotClock
from dst.spec.errors import InvalidInput
from dst.spec.primitives import to_hex

MAX_MINED: Final = 16
"""Blocks that one call waits for."""
EXTRA_SLOTS: Final = 8
"""How many slots longer than asked a call waits before it says that no block came."""

_DEV: Final = ("on a dev network only", f"at most {MAX_MINED} blocks a call")

REFUSED_NAMES: Final = frozenset(
    [
        *(f"evm_{name}" for name in (
            "increaseTime setNextBlockTimestamp setTime setBlockGasLimit setAutomine "
            "setIntervalMining snapshot revert setAccountNonce setAccountBalance setAccountCode "
            "setAccountStorageAt addAccount removeAccount"
        ).split()),
        *(f"{prefix}_{name}" for prefix in ("anvil", "hardhat") for name in (
            "impersonateAccount stopImpersonatingAccount autoImpersonateAccount setBalance "
            "setCode setNonce setStorageAt setCoinbase setNextBlockBaseFeePerGas setMinGasPrice "
            "setPrevRandao dropTransaction reset setLoggingEnabled"
        ).split()),
        *(f"anvil_{name}" for name in (
            "setAutomine setIntervalMining setRpcUrl setChainId increaseTime setTime "
            "setNextBlockTimestamp setBlockTimestampInterval removeBlockTimestampInterval "
            "setBlockGasLimit snapshot revert dumpState loadState dealERC20 dealErc20 "
            "setERC20Allowance addBalance deal dropAllTransactions removePoolTransactions "
            "enableTraces rollback reorg mineDetailed setImmediateTracing"
        ).split()),
    ]
)  # fmt: skip
"""Methods of test nodes that one node of many cannot do."""


class DevTools:
    def __init__(self, chain: Chain, events: Events, clock: SlotClock) -> None:
        self._chain, self._events, self._clock = chain, events, clock

    @rpc("evm_mine", where=Where.LOOP, limits=_DEV)
    async def evm_mine(self) -> str:
        """Wait for the next block: the operators make it, at its slot."""
        await self._wait_for(1)
        return "0x0"

    @rpc("anvil_mine", where=Where.LOOP, limits=_DEV)
    @rpc("hardhat_mine", where=Where.LOOP, limits=_DEV)
    async def mine(self, blocks: CountParam = "0x1", interval: CountParam = None) -> None:
        """Wait for a number of blocks; their distance in time is the chain's."""
        count = parse_count(blocks, what="blocks")
        if interval is not None and parse_count(interval, what="interval"):
            raise RpcError(REFUSED, "blocks come at their slots: no interval can be given")
        if count > MAX_MINED:
            raise InvalidInput(f"blocks: at most {MAX_MINED}")
        await self._wait_for(count)

    @rpc("anvil_getAutomine", where=Where.LOOP, limits=_DEV[:1])
    @rpc("hardhat_getAutomine", where=Where.LOOP, limits=_DEV[:1])
    async def automine(self) -> bool:
        """False: a block comes at its slot."""
        return False

    @rpc("anvil_getIntervalMining", where=Where.LOOP, limits=_DEV[:1])
    async def interval(self) -> int:
        """Seconds of a slot."""
        return self._clock.seconds_per_slot

    @rpc("anvil_nodeInfo", where=Where.LOOP, limits=_DEV[:1])
    async def node_info(self) -> dict[str, object]:
        """Head, fork and fees in the form of anvil."""
        heads = self._chain.heads
        return {
            "currentBlockNumber": hex(heads.head.number),
            "currentBlockTimestamp": heads.head.timestamp,
            "currentBlockHash": to_hex(heads.head_hash),
            "hardFork": "Prague",
            "transactionOrder": "fees",
            "environment": {
                "baseFee": hex(next_base_fee(heads.head)),
                "chainId": self._chain.chain_id,
                "gasLimit": hex(heads.head.gas_limit),
                "gasPrice": hex(next_base_fee(heads.head)),
            },
            "forkConfig": {"forkUrl": None, "forkBlockNumber": None, "forkRetryBackoff": None},
        }

    @rpc("anvil_metadata", where=Where.LOOP, limits=_DEV[:1])
    @rpc("hardhat_metadata", where=Where.LOOP, limits=_DEV[:1])
    async def metadata(self) -> dict[str, object]:
        """Version, chain and head in the form of hardhat and anvil."""
        heads = self._chain.heads
        return {
            "clientVersion": CLIENT_VERSION,
            "chainId": self._chain.chain_id,
            "instanceId": to_hex(self._chain.genesis_hash),
            "latestBlockNumber": heads.head.number,
            "latestBlockHash": to_hex(heads.head_hash),
        }

    async def _wait_for(self, blocks: int) -> None:
        """Raises: RpcError when the chain stands."""
        wanted = self._chain.heads.head.number + blocks
        reached = asyncio.Event()

        def look(_: object) -> None:
            if self._chain.heads.head.number >= wanted:
                reached.set()

        seconds = (blocks + EXTRA_SLOTS) * self._clock.seconds_per_slot
        with self._events.heads.listening(look):
            look(None)
            try:
                async with asyncio.timeout(seconds):
                    await reached.wait()
            except TimeoutError:
                raise RpcError(REFUSED, f"no such block in {seconds} s: the chain stands") from None


def refusals() -> dict[str, Method]:
    """A method for each name that is refused, so that a tool reads why."""
    return {name: _refusal(name) for name in sorted(REFUSED_NAMES)}


def _refusal(name: str) -> Callable[..., Awaitable[object]]:
    async def refuse(_: Any) -> object:
        raise RpcError(
            METHOD_NOT_FOUND,
            f"{name} is not available on a chain whose blocks operators agree on: "
            "no single node can change its state, its clock or its blocks",
        )

    return refuse
