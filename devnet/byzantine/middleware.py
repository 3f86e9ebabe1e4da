"""The wrapper: an operator's middleware as it is shipped, with a liar at its links.

Between the shells and the links stands a `Mouth`. It also bends two answers of the rollup node:
which block is built, and whether an own one is valid. Nothing else of the operator lies: its store
holds what the shells promise, and its validator signs what is decided alone.
"""

import time
from collections import deque
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, cast

from devnet.byzantine.liar import Honest, Orders
from devnet.byzantine.names import IS_LIAR, LIES, Strategy
from devnet.byzantine.strategies import LIARS, REMEMBERED
from dst.apis.beacon import BeaconNode, ProduceRequest
from dst.apis.engine import BuiltPayload
from dst.middleware.config import Settings
from dst.middleware.store import Store
from dst.middleware.wire import Middleware, RollupDst, root_of
from dst.middleware.wire_messages import (
    WireMessage,
    decode_message,
    encode_message,
    stale_below,
)
from dst.p2p.framing import FrameError
from dst.p2p.link import LinkEvents
from dst.p2p.transport import Transport
from dst.qbft.messages import Payload, ProposalMessage, signing_digest
from dst.rollup.wrapping import encode_requests, wrap
from dst.runtime.metrics import Metrics
from dst.spec import ssz
from dst.spec.beacon import BeaconBlock, ExecutionPayload
from dst.spec.cluster import genesis_validators_root
from dst.spec.errors import InvalidInput
from dst.spec.judgement import Judgement, Verdict
from dst.spec.primitives import Height, OperatorIndex, Root, Term


class Mouth:
    """What comes out of this operator; the liar's `Hands`. A lie counts once it was told, and only
    where a link is up to tell it on, or to be silent on."""

    def __init__(self, settings: Settings, strategy: Strategy, orders: Orders, seed: int) -> None:
        self.term = Term(settings.lock.chain.term)
        self._settings, self._strategy = settings, strategy
        self._chain = genesis_validators_root(settings.lock)
        self._transport: LyingTransport | None = None
        self._metrics: Metrics | None = None
        self._false_blocks: deque[Root] = deque(maxlen=REMEMBERED)
        """Those that it had built otherwise: proposing one of them is the lie."""
        rng = Random(f"{seed} {strategy} {settings.operator}")
        self.liar: Honest = LIARS[strategy](settings.operator, settings.lock.n, rng, self, orders)

    def open(self, transport: "LyingTransport", metrics: Metrics) -> None:
        self._transport, self._metrics = transport, metrics
        metrics.set(IS_LIAR, 1, strategy=self._strategy)
        metrics.inc(LIES, 0, strategy=self._strategy)

    # --------------------------------------------------------------- the liar's hands

    def now(self) -> float:
        return time.monotonic()

    def root_of(self, block: bytes) -> Root:
        return root_of(block)

    def around(self, block: BeaconBlock, payload: ExecutionPayload) -> bytes:
        requests = encode_requests(block.body.execution_requests)
        built = BuiltPayload(payload=payload, block_value=0, execution_requests=requests)
        lock = self._settings.lock
        return ssz.encode(wrap(lock, block.parent_root, block.slot, block.l1_origin, built))

    def sign(self, payload: Payload) -> bytes:
        return self._settings.identity.sign(signing_digest(self._chain, payload))

    def tell(self, target: int, message: WireMessage) -> None:
        """Never stale, and nothing where it is larger than a frame."""
        assert self._transport is not None, "the mouth is opened with the links"
        try:
            self._transport.utter(OperatorIndex(target), encode_message(message), height=None)
        except FrameError:
            return
        self._lied(OperatorIndex(target))

    # ------------------------------------------------------- what the operator says

    def words(self, target: OperatorIndex, message: WireMessage) -> tuple[WireMessage, ...]:
        return self.liar.say(target, message)

    def has_said(
        self, target: OperatorIndex, message: WireMessage, said: tuple[WireMessage, ...]
    ) -> None:
        """Instead of `message`."""
        if self.liar.is_lie(target, message, said) or self._is_false_block(message):
            self._lied(target)

    def _is_false_block(self, message: WireMessage) -> bool:
        if not isinstance(message, ProposalMessage):
            return False
        return message.signed.payload.root in self._false_blocks

    def _lied(self, target: OperatorIndex) -> None:
        assert self._transport is not None, "the mouth is opened with the links"
        assert self._metrics is not None, "likewise"
        if self._transport.reaches(target):
            self._metrics.inc(LIES, strategy=self._strategy)

    def hears(self, body: bytes) -> None:
        try:
            self.liar.hears(decode_message(body))
        except InvalidInput:
            return  # of another liar

    # ------------------------------------------------- what its rollup node answers

    async def build(self, beacon: BeaconNode, request: ProduceRequest) -> bytes | None:
        answers: list[bytes | None] = []

        async def ask(asked: ProduceRequest) -> bytes | None:
            answers.append(await beacon.produce_block(asked))
            return answers[-1]

        block = await self.liar.build(ask, request)
        if block is not None and block != answers[0]:
            self._false_blocks.append(root_of(block))
        return block

    async def validate(self, rollup: RollupDst, block: bytes, **asked: Any) -> Judgement:
        if self.liar.vouches(block):
            return Judgement(Verdict.VALID)
        return await rollup.validate(block, **asked)


class LyingTransport(Transport):
    """Each peer is told what the liar wants it to hear."""

    def __init__(self, mouth: Mouth, **rest: Any) -> None:
        super().__init__(**rest)
        self._mouth = mouth
        self._everybody = tuple(peer.index for peer in rest["peers"])
        mouth.open(self, rest["metrics"])

    def send(self, to: OperatorIndex, body: bytes, *, height: Height | None) -> None:
        message = decode_message(body)
        said = self._mouth.words(to, message)
        for each in said:
            if each is message:
                self.utter(to, body, height=height)
            else:
                self.utter(to, encode_message(each), height=stale_below(each))
        self._mouth.has_said(to, message, said)

    def broadcast(self, body: bytes, *, height: Height | None) -> None:
        for peer in self._everybody:
            self.send(peer, body, height=height)

    def reaches(self, to: OperatorIndex) -> bool:
        link = self._links.get(to)
        return link is not None and link.is_up

    def utter(self, to: OperatorIndex, body: bytes, *, height: Height | None) -> None:
        super().send(to, body, height=height)

    async def start(self, events: LinkEvents) -> None:
        def received(peer: OperatorIndex, body: bytes) -> None:
            self._mouth.hears(body)
            events.received(peer, body)

        await super().start(cast(LinkEvents, _Bent(events, received=received)))


class _Bent:
    """Some other object, but for the calls that are given."""

    def __init__(self, whole: object, **calls: Callable[..., Any]) -> None:
        self._whole = whole
        self.__dict__.update(calls)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)


def lying(
    settings: Settings,
    store: Store,
    rollup: RollupDst,
    beacon: BeaconNode,
    *,
    strategy: Strategy,
    orders: Orders,
    seed: int,
    **rest: Any,
) -> Middleware:
    """A `Middleware` that follows the strategy."""
    mouth = Mouth(settings, strategy, orders, seed)
    return Middleware(
        settings,
        store,
        cast(RollupDst, _Bent(rollup, validate=partial(mouth.validate, rollup))),
        cast(BeaconNode, _Bent(beacon, produce_block=partial(mouth.build, beacon))),
        transport=partial(LyingTransport, mouth),
        **rest,
    )
