"""What the dealer puts into the L2 genesis file: the execution layer's frame, and the first
accounts.
"""

from collections.abc import Mapping
from typing import Final

from dst.cli.dev_contracts import contract_alloc
from dst.execution.genesis import prague_genesis
from dst.spec.cluster import ChainConfig
from dst.spec.errors import BadConfig

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


def dev_alloc(chain_id: int) -> dict[str, object]:
    """The ten public test accounts, funded, and the contracts that tools take for granted."""
    funded = {address: {"balance": hex(DEV_BALANCE_WEI)} for address in DEV_ACCOUNTS}
    return {**funded, **contract_alloc(chain_id)}


def build_genesis(chain: ChainConfig, alloc: Mapping[str, object]) -> dict[str, object]:
    """Genesis JSON in geth's format with Prague and its system contracts, and the accounts of
    `alloc`.

    Raises: BadConfig when `alloc` redefines a system contract or names an account twice.
    """
    genesis = prague_genesis(
        chain_id=chain.chain_id,
        timestamp=chain.genesis_time,
        gas_limit=chain.gas_limit,
        balances={},
        extra_data=chain.extra_data,
    )
    accounts = genesis["alloc"]
    for address, account in alloc.items():
        key = "0x" + address.lower().removeprefix("0x")
        if key in accounts:
            raise BadConfig(f"alloc: account {key} is given twice or is a system contract")
        accounts[key] = account
    return genesis
