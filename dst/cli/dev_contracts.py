"""Contracts that tools take for granted on every chain, as accounts of a `dev` genesis.

Foundry deploys with CREATE2 through the deterministic deployment proxy, Safe through its singleton
factory; viem, ethers and wagmi batch reads with Multicall3; wallets and swaps approve through
Permit2. Their runtime code as it stands on Ethereum is in `dev_contracts.json`, with the repository
and the licence of each. Only what may be copied freely is there: CreateX (AGPL) and the ERC-4337
entry points (GPL) are not.

A chain that is not `dev` begins without them: anybody can send the published transactions that put
them there, and the operators may want none.
"""

from pathlib import Path
from typing import Final

import msgspec

from dst.crypto.keccak import keccak256
from dst.spec.primitives import to_hex

_DATA: Final = Path(__file__).with_suffix(".json")

PERMIT2: Final = "0x000000000022d473030f116ddee9f6b43ac78ba3"
_PERMIT2_CHAIN_ID_AT: Final = 6945
_PERMIT2_DOMAIN_AT: Final = 6983
"""Where its two immutables lie: 32-byte operands of PUSH32, counted in bytes of the code."""


class DevContract(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One contract of the data file. `code` is for chain id 1 where it depends on one."""

    name: str
    address: str
    """Lower case."""
    source: str
    """Repository, as owner/name."""
    licence: str
    code: str


def dev_contracts() -> tuple[DevContract, ...]:
    """All of the data file, in its order."""
    return msgspec.json.decode(_DATA.read_bytes(), type=tuple[DevContract, ...])


def contract_alloc(chain_id: int) -> dict[str, object]:
    """Genesis accounts in geth's form; nonce 1, as a deployment leaves a contract (EIP-161)."""
    return {
        contract.address: {"balance": "0x0", "nonce": "0x1", "code": _code_on(contract, chain_id)}
        for contract in dev_contracts()
    }


def _code_on(contract: DevContract, chain_id: int) -> str:
    if contract.address != PERMIT2:
        return contract.code
    code = bytearray.fromhex(contract.code.removeprefix("0x"))
    for at, word in (
        (_PERMIT2_CHAIN_ID_AT, chain_id.to_bytes(32, "big")),
        (_PERMIT2_DOMAIN_AT, permit2_domain_separator(chain_id)),
    ):
        code[at : at + 32] = word
    return to_hex(bytes(code))


def permit2_domain_separator(chain_id: int) -> bytes:
    """What Permit2's constructor caches for its chain. Source: EIP-712 §Definition of
    domainSeparator.
    """
    kind = b"EIP712Domain(string name,uint256 chainId,address verifyingContract)"
    address = bytes.fromhex(PERMIT2.removeprefix("0x")).rjust(32, b"\0")
    words = (keccak256(kind), keccak256(b"Permit2"), chain_id.to_bytes(32, "big"), address)
    return bytes(keccak256(b"".join(words)))
