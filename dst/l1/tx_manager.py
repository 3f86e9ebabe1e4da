"""Gets one transaction mined: nonce from L1, fees from the head, bounded resubmission with bumps.

One transaction is in flight at a time, so the nonce is the account's mined count and a replacement
always replaces our own.
"""

import asyncio
from typing import Final

from dst.crypto.account_key import AccountKey
from dst.crypto.keccak import keccak256
from dst.l1.rpc import L1Client, L1RpcError
from dst.runtime.log import Logger
from dst.spec.errors import InvalidInput, Unavailable
from dst.spec.primitives import Address, Hash32
from dst.transactions.gas import FLOOR_GAS_PER_TOKEN, GAS_TRANSACTION, TOKENS_PER_NONZERO_BYTE
from dst.transactions.transaction import DYNAMIC_FEE_TYPE
from dst.transactions.unsigned import UnsignedTransaction

ATTEMPTS: Final = 4
"""Submissions of one payload before giving up; the next leader covers what was not posted."""
WAIT_SECONDS: Final = 15.0
"""How long one attempt is watched: a slot of mainnet and some."""
POLL_SECONDS: Final = 0.3
PRIORITY_FEE_WEI: Final = 10**9
FEE_BUMP_PERCENT: Final = 25
"""Nodes want at least 10 % to replace a transaction."""
FLOOR_GAS_PER_BYTE: Final = FLOOR_GAS_PER_TOKEN * TOKENS_PER_NONZERO_BYTE


def calldata_gas(data: bytes) -> int:
    """Gas limit that always suffices for a plain call with this calldata to an account without
    code: the calldata floor (EIP-7623) as if no byte were zero."""
    return GAS_TRANSACTION + FLOOR_GAS_PER_BYTE * len(data)


class TxManager:
    """Sends calldata to an address from one account."""

    def __init__(self, client: L1Client, key: AccountKey, chain_id: int, log: Logger) -> None:
        self._client, self._key, self._chain_id, self._log = client, key, chain_id, log

    async def send(self, to: Address, data: bytes) -> int:
        """Submit and wait until mined; the number of the L1 block that holds it.

        Raises: Unavailable when L1 did not take or mine it within the attempts.
        """
        sent: list[Hash32] = []
        for attempt in range(ATTEMPTS):
            try:
                sent.append(await self._submit(to, data, attempt))
            except (Unavailable, InvalidInput) as error:
                self._log.warning("l1_submit_failed", attempt=attempt, error=str(error))
            mined = await self._wait_mined(sent)
            if mined is not None:
                return mined
        raise Unavailable(f"L1 did not mine the transaction in {ATTEMPTS} attempts")

    async def _submit(self, to: Address, data: bytes, attempt: int) -> Hash32:
        head = await self._client.head()
        nonce = await self._client.nonce(self._key.address)
        base_fee = 0 if head is None else head.base_fee
        percent = 100 + FEE_BUMP_PERCENT * attempt
        tip = PRIORITY_FEE_WEI * percent // 100
        unsigned = UnsignedTransaction(
            type_id=DYNAMIC_FEE_TYPE,
            chain_id=self._chain_id,
            nonce=nonce,
            max_priority_fee_per_gas=tip,
            max_fee_per_gas=2 * base_fee * percent // 100 + tip,
            gas=calldata_gas(data),
            to=to,
            value=0,
            data=data,
        )
        raw = unsigned.signed_by(self._key)
        try:
            return await self._client.send_raw_transaction(raw)
        except L1RpcError as error:
            # The first copy may have arrived although its answer did not.
            if "already known" in str(error) or "already imported" in str(error):
                return keccak256(raw)
            raise

    async def _wait_mined(self, sent: list[Hash32]) -> int | None:
        try:
            async with asyncio.timeout(WAIT_SECONDS if sent else POLL_SECONDS * 3):
                while True:
                    for each in sent:
                        number = await self._mined_in(each)
                        if number is not None:
                            return number
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            return None

    async def _mined_in(self, each: Hash32) -> int | None:
        try:
            return await self._client.mined_in(each)
        except (Unavailable, InvalidInput):
            return None
