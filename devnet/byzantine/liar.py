"""What every liar has.

A liar runs the honest code, hears what an operator hears and holds its keys, so that it gets as
deep into the protocol as anybody; what it says is changed word by word on its way out.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Protocol, TypeAlias, TypeVar

from msgspec.structs import replace

from dst.apis.beacon import ProduceRequest
from dst.middleware.wire_messages import WireMessage
from dst.qbft.messages import (
    CommitMessage,
    PassMessage,
    Payload,
    PrepareMessage,
    ProposalMessage,
    RoundChangeMessage,
)
from dst.sealing.messages import GroupSignature, PartialSignature
from dst.spec.beacon import BeaconBlock, ExecutionPayload
from dst.spec.primitives import Address, Height, OperatorIndex, Root, Term

V = TypeVar("V", bound=Payload)
Ask: TypeAlias = Callable[[ProduceRequest], Awaitable[bytes | None]]
"""The honest rollup node's answer: an encoded block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """fellows: all that lie together, the liar itself among them or not. censored: whose
    transactions it leaves out."""

    fellows: frozenset[OperatorIndex] = frozenset()
    censored: Address | None = None


ALONE = Orders()


class Hands(Protocol):
    """What a liar can do beside changing what its operator says."""

    @property
    def term(self) -> Term: ...

    def tell(self, target: int, message: WireMessage) -> None:
        """Say something by itself."""

    def sign(self, payload: Payload) -> bytes:
        """With its operator's key."""

    def now(self) -> float:
        """Seconds."""

    def root_of(self, block: bytes) -> Root:
        """Of an encoded block."""

    def around(self, block: BeaconBlock, payload: ExecutionPayload) -> bytes:
        """That block with another payload, wrapped as an honest rollup node would; encoded."""


class Honest:
    """The base: says what it is told to say."""

    def __init__(
        self, index: int, n: int, rng: Random, hands: Hands, orders: Orders = ALONE
    ) -> None:
        self.index, self.n, self.rng, self.hands = OperatorIndex(index), n, rng, hands
        self.orders = orders

    def say(self, target: int, message: WireMessage) -> tuple[WireMessage, ...]:
        """To `target` instead of `message`: nothing, it, others."""
        return (message,)

    def is_lie(self, target: int, message: WireMessage, said: tuple[WireMessage, ...]) -> bool:
        """Whether it is this that its strategy is named after, not what goes with it."""
        return said != (message,)

    def hears(self, message: WireMessage) -> None:
        """Nothing that it makes use of."""

    async def build(self, ask: Ask, request: ProduceRequest) -> bytes | None:
        """The block to propose."""
        return await ask(request)

    def vouches(self, block: bytes) -> bool:
        """Whether it votes for a block whatever its rollup node says."""
        return False

    @property
    def others(self) -> tuple[OperatorIndex, ...]:
        return tuple(OperatorIndex(each) for each in range(self.n) if each != self.index)

    def signed(self, message: WireMessage, **changes: object) -> WireMessage:
        """A QBFT message with other words, under its own signature."""
        assert isinstance(
            message, ProposalMessage | PrepareMessage | CommitMessage | RoundChangeMessage
        )
        payload: Payload = replace(message.signed.payload, **changes)
        signature = self.hands.sign(payload)
        return replace(
            message, signed=replace(message.signed, payload=payload, signature=signature)
        )

    def _vote(self, payload: V) -> tuple[V, OperatorIndex, bytes]:
        return payload, self.index, self.hands.sign(payload)


class Voting(Honest):
    """Knows by its own votes which height is open: what it hears may be a fellow's lie."""

    def __init__(
        self, index: int, n: int, rng: Random, hands: Hands, orders: Orders = ALONE
    ) -> None:
        super().__init__(index, n, rng, hands, orders)
        self.open_height = Height(1)

    def say(self, target: int, message: WireMessage) -> tuple[WireMessage, ...]:
        if isinstance(message, PrepareMessage | CommitMessage | RoundChangeMessage):
            if message.signed.sender == self.index:
                self.open_height = max(self.open_height, message.signed.payload.height)
        return super().say(target, message)


def place_of(message: WireMessage) -> tuple[int, int] | None:
    """Height and round, as far as it has them."""
    match message:
        case (
            ProposalMessage()
            | PrepareMessage()
            | CommitMessage()
            | RoundChangeMessage()
            | PassMessage()
        ):
            return message.signed.payload.height, message.signed.payload.round
        case PartialSignature() | GroupSignature():
            return message.height, 0
        case _:
            return None


def height_of(message: WireMessage) -> int | None:
    place = place_of(message)
    return None if place is None else place[0]
