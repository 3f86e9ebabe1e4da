"""The L2 genesis file in geth's format: Prague from genesis, its four system contracts, and the
first accounts.

The contracts' code and addresses are those of mainnet, so that a stock execution client follows the
chain.
Source: EIP-4788, EIP-2935, EIP-7002, EIP-7251 (deployed code); go-ethereum `core/genesis.go` for
the format.
"""

from collections.abc import Mapping
from typing import Final

from dst.spec.cluster import ChainConfig
from dst.spec.errors import BadConfig
from dst.spec.primitives import to_hex

INITIAL_BASE_FEE_WEI: Final = 10**9
"""EIP-1559 INITIAL_BASE_FEE."""
DEV_BALANCE_WEI: Final = 10_000 * 10**18

DEV_MNEMONIC: Final = "test test test test test test test test test test test junk"
DEV_ACCOUNTS: Final = (
    "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266",
    "0x70997970c51812dc3a010c7d01b50e0d17dc79c8",
    "0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc",
    "0x90f79bf6eb2c4f870365e785982e1f101e93b906",
    "0x15d34aaf54267db7d7c367839aaf71a00a2c6a65",
    "0x9965507d1a55bcc2695c58ba16fb37d819b0a4dc",
    "0x976ea74026e726554db657fa54763abd0c3a0aa9",
    "0x14dc79964da2c08b23698b3d3cc7ca32193d9955",
    "0x23618e81e3f5cdf7f54c3d65f7fbc0abf5b21e8f",
    "0xa0ee7a142d267c1f36714e4a8f75612f20a79720",
)
"""First ten of m/44'/60'/0'/0/i of the public test mnemonic: everybody knows their keys."""

_BEACON_ROOTS_CODE: Final = (
    "0x3373fffffffffffffffffffffffffffffffffffffffe14604d57602036146024575f5ffd5b5f3580156049"
    "5762001fff810690815414603c575f5ffd5b62001fff01545f5260205ff35b5f5ffd5b62001fff4206428155"
    "5f359062001fff015500"
)
_HISTORY_STORAGE_CODE: Final = (
    "0x3373fffffffffffffffffffffffffffffffffffffffe14604657602036036042575f35600143038111604257"
    "611fff81430311604257611fff9006545f5260205ff35b5f5ffd5b5f35611fff60014303065500"
)
_WITHDRAWAL_QUEUE_CODE: Final = (
    "0x3373fffffffffffffffffffffffffffffffffffffffe1460cb5760115f54807fffffffffffffffffffffff"
    "ffffffffffffffffffffffffffffffffffffffffff146101f457600182026001905f5b5f8211156068578101"
    "9083028483029004916001019190604d565b909390049250505036603814608857366101f457346101f4575f"
    "5260205ff35b34106101f457600154600101600155600354806003026004013381556001015f358155600101"
    "60203590553360601b5f5260385f601437604c5fa0600101600355005b6003546002548082038060101160df"
    "575060105b5f5b8181146101835782810160030260040181604c02815460601b815260140181600101548152"
    "6020019060020154807fffffffffffffffffffffffffffffffff000000000000000000000000000000001682"
    "52906010019060401c908160381c81600701538160301c81600601538160281c81600501538160201c816004"
    "01538160181c81600301538160101c81600201538160081c81600101535360010160e1565b91018092146101"
    "9557906002556101a0565b90505f6002555f6003555b5f54807fffffffffffffffffffffffffffffffffffff"
    "ffffffffffffffffffffffffffff14156101cd57505f5b6001546002828201116101e25750505f6101e8565b"
    "01600290035b5f555f600155604c025ff35b5f5ffd"
)
_CONSOLIDATION_QUEUE_CODE: Final = (
    "0x3373fffffffffffffffffffffffffffffffffffffffe1460d35760115f54807fffffffffffffffffffffff"
    "ffffffffffffffffffffffffffffffffffffffffff1461019a57600182026001905f5b5f8211156068578101"
    "9083028483029004916001019190604d565b9093900492505050366060146088573661019a573461019a575f"
    "5260205ff35b341061019a57600154600101600155600354806004026004013381556001015f358155600101"
    "602035815560010160403590553360601b5f5260605f60143760745fa0600101600355005b60035460025480"
    "82038060021160e7575060025b5f5b8181146101295782810160040260040181607402815460601b81526014"
    "0181600101548152602001816002015481526020019060030154905260010160e9565b910180921461013b57"
    "90600255610146565b90505f6002555f6003555b5f54807fffffffffffffffffffffffffffffffffffffffff"
    "ffffffffffffffffffffffff141561017357505f5b6001546001828201116101885750505f61018e565b0160"
    "0190035b5f555f6001556074025ff35b5f5ffd"
)
SYSTEM_CONTRACTS: Final[Mapping[str, str]] = {
    "0x000f3df6d732807ef1319fb7b8bb8522d0beac02": _BEACON_ROOTS_CODE,
    "0x0000f90827f1c53a10cb7a02335b175320002935": _HISTORY_STORAGE_CODE,
    "0x00000961ef480eb55e80d19ad83579a64c007002": _WITHDRAWAL_QUEUE_CODE,
    "0x0000bbddc7ce488642fb579f8b00f3a590007251": _CONSOLIDATION_QUEUE_CODE,
}
"""EIP-4788, EIP-2935, EIP-7002, EIP-7251."""

_FORKS_AT_BLOCK_ZERO: Final = (
    "homesteadBlock",
    "eip150Block",
    "eip155Block",
    "eip158Block",
    "byzantiumBlock",
    "constantinopleBlock",
    "petersburgBlock",
    "istanbulBlock",
    "berlinBlock",
    "londonBlock",
    "mergeNetsplitBlock",
)


def build_genesis(
    *,
    chain_id: int,
    genesis_time: int,
    gas_limit: int,
    extra_data: bytes,
    alloc: Mapping[str, object],
) -> dict[str, object]:
    """The genesis JSON. `alloc` names further accounts; it may not redefine a system contract."""
    accounts: dict[str, object] = {
        address: {"balance": "0x0", "nonce": "0x1", "code": code}
        for address, code in SYSTEM_CONTRACTS.items()
    }
    for address, account in alloc.items():
        key = "0x" + address.lower().removeprefix("0x")
        if key in accounts:
            raise BadConfig(f"alloc: account {key} is given twice or is a system contract")
        accounts[key] = account
    return {
        "config": _chain_rules(chain_id),
        "nonce": "0x0",
        "timestamp": hex(genesis_time),
        "extraData": to_hex(extra_data),
        "gasLimit": hex(gas_limit),
        "difficulty": "0x0",
        "mixHash": to_hex(bytes(32)),
        "coinbase": to_hex(bytes(20)),
        "number": "0x0",
        "gasUsed": "0x0",
        "parentHash": to_hex(bytes(32)),
        "baseFeePerGas": hex(INITIAL_BASE_FEE_WEI),
        "excessBlobGas": "0x0",
        "blobGasUsed": "0x0",
        "alloc": accounts,
    }


def dev_alloc() -> dict[str, object]:
    """The ten public test accounts, funded."""
    return {address: {"balance": hex(DEV_BALANCE_WEI)} for address in DEV_ACCOUNTS}


def _chain_rules(chain_id: int) -> dict[str, object]:
    """geth's chain config: every fork up to Prague active at genesis, proof of stake from block
    0.
    """
    return {
        "chainId": chain_id,
        **dict.fromkeys(_FORKS_AT_BLOCK_ZERO, 0),
        "terminalTotalDifficulty": 0,
        "shanghaiTime": 0,
        "cancunTime": 0,
        "pragueTime": 0,
        "depositContractAddress": "0x00000000219ab540356cbb839cbe05303d7705fa",
        "blobSchedule": {
            "cancun": {"target": 3, "max": 6, "baseFeeUpdateFraction": 3338477},
            "prague": {"target": 6, "max": 9, "baseFeeUpdateFraction": 5007716},
        },
    }


def genesis_of(chain: ChainConfig, alloc: Mapping[str, object]) -> dict[str, object]:
    """`build_genesis` with the constants of a chain."""
    return build_genesis(
        chain_id=chain.chain_id,
        genesis_time=chain.genesis_time,
        gas_limit=chain.gas_limit,
        extra_data=chain.extra_data,
        alloc=alloc,
    )
