"""One funded account that sends transfers through one operator at a time, as a careful wallet
would.

The hard part is the nonce. An operator that dies after answering may take an unforwarded
transaction with it, and every later nonce of the account would then wait for ever, at operators
that did nothing wrong. So a sender that turns to another operator first gives it, in order, every
transaction of its own that is not on the chain yet. The same signed bytes have the same hash:
submitting twice is harmless, and the checkers see one transaction.
"""

import random
from dataclasses import dataclass
from typing import Any, Final, Protocol

from eth_account import Account

from devnet.probes.rpc import RpcRefused, RpcUnknown

GAS: Final = 21_000
MAX_FEE: Final = 20 * 10**9
"""Wei per gas: far above any base fee of a devnet, so that no transaction waits for a price."""
PRIORITY_FEE: Final = 10**9
MAX_PENDING: Final = 48
"""Per sender: when the chain stands still, the load waits instead of flooding the pools (which
would drop it)."""

KNOWN_ANSWERS: Final = ("already known", "known transaction", "already imported")
"""Error texts that mean: the node holds exactly this transaction."""
TAKEN_ANSWERS: Final = ("nonce too low", "replacement transaction underpriced")
"""Error texts that mean: another transaction has, or will have, this nonce. Trying again is
useless."""


class Endpoint(Protocol):
    """Where a sender submits: a node's JSON-RPC through its client link."""

    name: str

    async def call(self, method: str, *params: Any) -> Any: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedTransfer:
    nonce: int
    hash: str
    raw: str


class Sender:
    """Signs; holds what is not on the chain yet. No I/O."""

    def __init__(
        self,
        *,
        private_key: str,
        chain_id: int,
        nonce: int,
        seed: int,
        max_fee: int = MAX_FEE,
        priority_fee: int = PRIORITY_FEE,
    ) -> None:
        """Fees in wei per gas."""
        self._account = Account.from_key(private_key)
        self._chain_id = chain_id
        self._max_fee, self._priority_fee = max_fee, priority_fee
        self._random = random.Random(seed)
        self.next_nonce = nonce
        self.pending: dict[int, SignedTransfer] = {}

    @property
    def address(self) -> str:
        return str(self._account.address)

    @property
    def is_full(self) -> bool:
        return len(self.pending) >= MAX_PENDING

    def content(self) -> dict[str, Any]:
        """Of the next transaction: 1 wei to an address drawn from the seed, so that two are never
        equal."""
        return {"to": self._random.randbytes(20), "value": 1, "gas": GAS}

    def signed(self, transaction: str, content: dict[str, Any]) -> None:
        """Told of every one, before it is sent. transaction: its hash."""

    def sign_next(self) -> SignedTransfer:
        content = self.content()
        signed = self._account.sign_transaction(
            {
                "type": 2,
                "chainId": self._chain_id,
                "nonce": self.next_nonce,
                "maxFeePerGas": self._max_fee,
                "maxPriorityFeePerGas": self._priority_fee,
                **content,
            }
        )
        transfer = SignedTransfer(
            nonce=self.next_nonce,
            hash="0x" + bytes(signed.hash).hex(),
            raw="0x" + bytes(signed.raw_transaction).hex(),
        )
        self.pending[transfer.nonce] = transfer
        self.next_nonce += 1
        self.signed(transfer.hash, content)
        return transfer

    def forget_below(self, nonce: int) -> None:
        """The chain has everything before `nonce` (the account's transaction count)."""
        for taken in [held for held in self.pending if held < nonce]:
            del self.pending[taken]
        self.next_nonce = max(self.next_nonce, nonce)

    def give_up(self, transfer: SignedTransfer) -> None:
        """Its nonce belongs to another transaction: nobody needs to be given this one."""
        self.pending.pop(transfer.nonce, None)

    def unconfirmed(self) -> list[SignedTransfer]:
        """In order of nonce: what another operator must be given before anything new."""
        return [self.pending[nonce] for nonce in sorted(self.pending)]


def is_known(refusal: RpcRefused) -> bool:
    """Whether the node said no only because it has the transaction already."""
    return any(text in refusal.message.lower() for text in KNOWN_ANSWERS)


def is_taken(refusal: RpcRefused) -> bool:
    """Whether the place of the transaction is another one's (or its own, included by now)."""
    return any(text in refusal.message.lower() for text in TAKEN_ANSWERS)


async def transaction_count(endpoint: Endpoint, address: str, block: str = "latest") -> int | None:
    """The account's nonce there; None when the node cannot say."""
    try:
        return int(await endpoint.call("eth_getTransactionCount", address, block), 16)
    except (RpcRefused, RpcUnknown, TypeError, ValueError):
        return None
