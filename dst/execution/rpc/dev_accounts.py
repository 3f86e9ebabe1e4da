"""The ten public test accounts as a node's own: `eth_accounts`, `eth_sendTransaction`, `eth_sign`
and their like. On a dev network only: everybody knows these keys, and any page or program that
reaches this node spends from them."""

import asyncio
from typing import Final

from dst.apis.eth import parse_address
from dst.apis.jsonrpc import REFUSED, RpcError
from dst.apis.typed_data import typed_data_digest
from dst.crypto.account_key import AccountKey
from dst.crypto.hd import ethereum_keys
from dst.crypto.keccak import keccak256
from dst.execution.rpc.dispatch import Where, rpc
from dst.execution.rpc.filling import Filler, show_filled
from dst.execution.rpc.parameters import AddressParam, CallParam, DataParam, TypedDataParam
from dst.execution.rpc.sending import REFUSALS, Submitter
from dst.spec.errors import InvalidInput
from dst.spec.primitives import parse_hex, to_hex
from dst.transactions.unsigned import UnsignedTransaction

DEV_MNEMONIC: Final = "test test test test test test test test test test test junk"
"""The public test mnemonic: no secret. A genesis marked `dev` funds its first accounts."""
DEV_ACCOUNTS: Final = 10

_DEV: Final = ("on a dev network only",)
_UNKNOWN: Final = ("-32000: unknown account",)


def dev_keys() -> tuple[AccountKey, ...]:
    return tuple(AccountKey(key) for key in ethereum_keys(DEV_MNEMONIC, DEV_ACCOUNTS))


class DevAccounts:
    """Without keys (any network that is not a dev one) this family is not served."""

    def __init__(self, keys: tuple[AccountKey, ...], filler: Filler, submitter: Submitter) -> None:
        self._keys = {key.address: key for key in keys}
        self._filler, self._submitter = filler, submitter
        self._one_at_a_time = asyncio.Lock()

    @rpc("eth_sendTransaction", where=Where.LOOP, errors=(*_UNKNOWN, *REFUSALS), limits=_DEV)
    async def send_transaction(self, transaction: CallParam) -> str:
        """Fill in what is left out, sign with the sender's key, give it to the pool; answers the
        hash."""
        # Two at a time would be given the same nonce.
        async with self._one_at_a_time:
            key, filled = await self._fill(transaction)
            return to_hex(await self._submitter.submit(filled.signed_by(key)))

    @rpc("eth_signTransaction", where=Where.LOOP, errors=_UNKNOWN, limits=_DEV)
    async def sign_transaction(self, transaction: CallParam) -> dict[str, object]:
        """Fill in what is left out and sign; nothing is sent."""
        key, filled = await self._fill(transaction)
        shown = show_filled(key.address, filled)
        return {**shown, "raw": to_hex(filled.signed_by(key))}

    @rpc("eth_sign", where=Where.LOOP, errors=_UNKNOWN, limits=_DEV)
    async def sign(self, address: AddressParam, message: DataParam) -> str:
        """Sign a message with Ethereum's prefix (EIP-191): 65 bytes r, s, v."""
        return self._sign_message(address, message)

    @rpc("personal_sign", where=Where.LOOP, errors=_UNKNOWN, limits=_DEV)
    async def personal_sign(self, message: DataParam, address: AddressParam) -> str:
        """eth_sign with its parameters the other way round."""
        return self._sign_message(address, message)

    @rpc("eth_signTypedData_v4", errors=_UNKNOWN, limits=_DEV)
    @rpc("eth_signTypedData", errors=_UNKNOWN, limits=_DEV)
    def sign_typed_data(self, address: AddressParam, data: TypedDataParam) -> str:
        """Sign typed structured data (EIP-712): 65 bytes r, s, v."""
        digest = typed_data_digest(data)
        return to_hex(self._key_of(address).sign(digest).encode())

    def _sign_message(self, address: object, message: object) -> str:
        text = parse_hex(message, what="message")
        key = self._key_of(address)
        prefix = b"\x19Ethereum Signed Message:\n" + str(len(text)).encode()
        return to_hex(key.sign(keccak256(prefix + text)).encode())

    async def _fill(self, transaction: object) -> tuple[AccountKey, UnsignedTransaction]:
        """Raises: InvalidInput, RpcError."""
        if not isinstance(transaction, dict):
            raise InvalidInput("transaction: expected an object")
        key = self._key_of(transaction.get("from"))
        _, filled = await self._filler.fill(transaction)
        return key, filled

    def _key_of(self, address: object) -> AccountKey:
        key = self._keys.get(parse_address(address, "from"))
        if key is None:
            raise RpcError(REFUSED, "unknown account")
        return key


class OwnAccounts:
    """The one question that every network answers."""

    def __init__(self, keys: tuple[AccountKey, ...]) -> None:
        self._addresses = [to_hex(key.address) for key in keys]

    @rpc("eth_accounts", where=Where.LOOP)
    async def accounts(self) -> list[str]:
        """Accounts that this node signs for: the ten public test accounts on a dev network, none
        elsewhere."""
        return self._addresses
