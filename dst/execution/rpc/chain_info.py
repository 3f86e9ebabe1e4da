"""What chain this is, what node this is, and whether it keeps up: `eth_chainId`, `eth_syncing`,
`net_*`, `web3_*`, `eth_config` and their like."""

import zlib
from collections.abc import Mapping
from typing import Final

from dst import __version__
from dst.crypto.keccak import keccak256
from dst.execution.block.requests import DEPOSIT_CONTRACT_ADDRESS
from dst.execution.chain import Chain
from dst.execution.genesis import (
    BEACON_ROOTS_ADDRESS,
    CONSOLIDATION_REQUESTS_ADDRESS,
    HISTORY_STORAGE_ADDRESS,
    WITHDRAWAL_REQUESTS_ADDRESS,
)
from dst.execution.header import Header
from dst.execution.rpc.dispatch import Where, rpc
from dst.execution.rpc.parameters import DataParam
from dst.execution.slots import SlotClock
from dst.spec.primitives import parse_hex, to_hex

CLIENT_VERSION: Final = f"dst/{__version__}"

PROTOCOL_VERSION: Final = hex(68)
"""The last one before a node's history became optional: all blocks are here."""

_PRECOMPILES: Final = (
    "ECREC SHA256 RIPEMD160 ID MODEXP BN254_ADD BN254_MUL BN254_PAIRING BLAKE2F "
    "KZG_POINT_EVALUATION BLS12_G1ADD BLS12_G1MSM BLS12_G2ADD BLS12_G2MSM BLS12_PAIRING_CHECK "
    "BLS12_MAP_FP_TO_G1 BLS12_MAP_FP2_TO_G2"
).split()
"""Prague's, at addresses 1, 2, …; names of EIP-7910."""
_BLOB_SCHEDULE: Final = {"baseFeeUpdateFraction": 5_007_716, "max": 9, "target": 6}
"""Prague's figures, as the genesis file has them; blob transactions are refused all the same."""


class ChainInfo:
    def __init__(self, chain: Chain, clock: SlotClock, peers: int = 0) -> None:
        """peers: how many other nodes this one forwards transactions to."""
        self._chain, self._clock, self._peers = chain, clock, peers
        self._started_at = chain.heads.head.number
        self._namespaces: frozenset[str] = frozenset()

    def serves(self, names: Mapping[str, object]) -> None:
        """Learn the names of the whole table, for rpc_modules."""
        self._namespaces = frozenset(name.partition("_")[0] for name in names)

    @rpc("eth_chainId", where=Where.LOOP)
    async def chain_id(self) -> str:
        """The chain's id (EIP-155)."""
        return hex(self._chain.chain_id)

    @rpc("eth_protocolVersion", where=Where.LOOP)
    async def protocol_version(self) -> str:
        """Version of Ethereum's wire protocol, eth/68: what old tools ask for. Nodes here speak
        none of it to each other."""
        return PROTOCOL_VERSION

    @rpc("net_version", where=Where.LOOP)
    async def version(self) -> str:
        """The chain's id as a decimal string."""
        return str(self._chain.chain_id)

    @rpc("net_listening", where=Where.LOOP)
    async def listening(self) -> bool:
        """Always true."""
        return True

    @rpc("net_peerCount", where=Where.LOOP)
    async def peer_count(self) -> str:
        """How many other nodes this one forwards transactions to."""
        return hex(self._peers)

    @rpc("web3_clientVersion", where=Where.LOOP)
    async def client_version(self) -> str:
        """Name and version of this program."""
        return CLIENT_VERSION

    @rpc("web3_sha3", where=Where.LOOP)
    async def sha3(self, data: DataParam) -> str:
        """Keccak-256 of the bytes."""
        return to_hex(keccak256(parse_hex(data, what="data")))

    @rpc("rpc_modules", where=Where.LOOP)
    async def modules(self) -> dict[str, str]:
        """Namespaces served, each with its version."""
        return dict.fromkeys(sorted(self._namespaces), "1.0")

    @rpc("eth_blockNumber", where=Where.LOOP)
    async def block_number(self) -> str:
        """Number of the head."""
        return hex(self._chain.heads.head.number)

    @rpc("eth_syncing", where=Where.LOOP)
    async def syncing(self) -> dict[str, object] | bool:
        """False while the head is as young as the chain's slots promise; otherwise where it is.

        A head that is old means that this node lags or that the chain stands: `highestBlock` is
        where the chain would be if no slot had been missed.
        """
        return sync_status(self._chain.heads.head, self._clock, self._started_at)

    @rpc("eth_config")
    def config(self) -> dict[str, object]:
        """The fork in force; there is no other (EIP-7910)."""
        fork_id = zlib.crc32(self._chain.genesis_hash)
        current = {
            "activationTime": 0,
            "blobSchedule": _BLOB_SCHEDULE,
            "chainId": hex(self._chain.chain_id),
            "forkId": f"0x{fork_id:08x}",
            "precompiles": {
                name: f"0x{address:040x}"
                for address, name in sorted(enumerate(_PRECOMPILES, 1), key=lambda each: each[1])
            },
            "systemContracts": {
                "BEACON_ROOTS_ADDRESS": to_hex(BEACON_ROOTS_ADDRESS),
                "CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS": to_hex(CONSOLIDATION_REQUESTS_ADDRESS),
                "DEPOSIT_CONTRACT_ADDRESS": to_hex(DEPOSIT_CONTRACT_ADDRESS),
                "HISTORY_STORAGE_ADDRESS": to_hex(HISTORY_STORAGE_ADDRESS),
                "WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS": to_hex(WITHDRAWAL_REQUESTS_ADDRESS),
            },
        }
        return {"current": current, "next": None, "last": None}

    @rpc("eth_capabilities", where=Where.LOOP)
    async def capabilities(self) -> dict[str, object]:
        """From which block on each kind of data is here."""
        heads = self._chain.heads
        whole = {"disabled": False, "oldestBlock": "0x0"}
        kept = {"disabled": False, "oldestBlock": hex(self._chain.oldest_state)}
        return {
            "head": {"number": hex(heads.head.number), "hash": to_hex(heads.head_hash)},
            **dict.fromkeys(("tx", "logs", "receipts", "blocks"), whole),
            **dict.fromkeys(("state", "stateproofs"), kept),
        }


def sync_status(head: Header, clock: SlotClock, started_at: int) -> dict[str, object] | bool:
    """What eth_syncing says, and what a `syncing` subscription tells when it changes."""
    if not clock.is_stale(head):
        return False
    return {
        "startingBlock": hex(started_at),
        "currentBlock": hex(head.number),
        "highestBlock": hex(head.number + clock.slots_behind(head)),
    }
