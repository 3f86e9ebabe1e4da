"""From a hostile body to signed bytes."""

from collections.abc import Sequence
from typing import Any, Final

from eth_account import Account

from devnet.workload.hostile.fields import SINK, Body
from devnet.workload.sender import SignedTransfer

GWEI: Final = 10**9


def sign(body: Body, *, key: str, chain_id: int, nonce: int, gas: int, tip: int) -> SignedTransfer:
    """Args: tip: priority fee in wei; the fee cap is ten times that."""
    transaction: dict[str, Any] = {
        "type": 4 if body.authorizations else 2,
        "chainId": chain_id,
        "nonce": nonce,
        "gas": gas,
        "maxPriorityFeePerGas": tip,
        "maxFeePerGas": 10 * tip,
        "value": 0,
        "data": body.data,
        "accessList": _access_list(body.access_keys),
    }
    if body.to is not None:
        transaction["to"] = body.to
    if body.authorizations:
        transaction["authorizationList"] = _authorizations(body.authorizations, chain_id)
    signed = Account.sign_transaction(transaction, key)
    raw, digest = bytes(signed.raw_transaction), bytes(signed.hash)
    return SignedTransfer(nonce=nonce, hash="0x" + digest.hex(), raw="0x" + raw.hex())


def _access_list(keys: int) -> list[dict[str, Any]]:
    if not keys:
        return []
    return [{"address": SINK, "storageKeys": [f"0x{number:064x}" for number in range(keys)]}]


def _authorizations(count: int, chain_id: int) -> Sequence[Any]:
    """Each by a key of its own: the signers are accounts that nobody has."""
    grant = {"chainId": chain_id, "address": SINK, "nonce": 0}
    keys = (f"0x{0xA0000000 + number:064x}" for number in range(count))
    return [Account.sign_authorization(grant, key) for key in keys]
