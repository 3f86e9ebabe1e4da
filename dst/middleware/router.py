"""Between the links and the shells: decode and hand over what comes in, encode what goes out."""

from collections.abc import Callable
from typing import Protocol

from dst.middleware.accusations import Accusations
from dst.middleware.catch_up import CatchUp
from dst.middleware.clocks import Clocks
from dst.middleware.progress import Progress
from dst.middleware.refusals import Reason, Untrue, count
from dst.middleware.wire_messages import (
    BlockReply,
    DecidedBlocks,
    GetBlock,
    GetDecided,
    Status,
    WireMessage,
    decode_message,
    encode_message,
    stale_below,
)
from dst.p2p.framing import FrameError
from dst.p2p.handshake import Hello
from dst.qbft import messages as qbft
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.sealing import messages as sealing
from dst.spec.errors import InvalidInput
from dst.spec.primitives import Height, OperatorIndex


class ConsensusInputs(Protocol):
    def message_received(
        self, peer: OperatorIndex, message: qbft.Message, size_bytes: int
    ) -> None: ...

    def peer_connected(self, peer: OperatorIndex) -> None: ...

    def peer_lost(self, peer: OperatorIndex) -> None: ...

    def peer_heard(self, peer: OperatorIndex) -> None: ...


class SealingInputs(Protocol):
    def message_received(
        self, peer: OperatorIndex, message: sealing.Message, size_bytes: int
    ) -> None: ...

    def peer_connected(self, peer: OperatorIndex) -> None: ...


class Links(Protocol):
    """`Transport`, as far as sending goes."""

    def send(self, to: OperatorIndex, body: bytes, *, height: Height | None) -> None: ...
    def broadcast(self, body: bytes, *, height: Height | None) -> None: ...
    def up_peers(self) -> tuple[OperatorIndex, ...]: ...
    def raise_floor(self, height: Height) -> None: ...


class PeerLinks:
    """Sends messages; what is too large for a frame is our bug or a hostile block, and is dropped
    with an error."""

    def __init__(self, transport: Links, log: Logger) -> None:
        self._transport, self._log = transport, log

    def send(self, to: OperatorIndex, message: WireMessage) -> None:
        try:
            self._transport.send(to, encode_message(message), height=stale_below(message))
        except FrameError as error:
            self._log.error("message_too_large", kind=type(message).__name__, reason=str(error))

    def broadcast(self, message: WireMessage) -> None:
        try:
            self._transport.broadcast(encode_message(message), height=stale_below(message))
        except FrameError as error:
            self._log.error("message_too_large", kind=type(message).__name__, reason=str(error))

    def up(self) -> tuple[OperatorIndex, ...]:
        return self._transport.up_peers()


class Router:
    """`LinkEvents` for the transport."""

    def __init__(
        self,
        *,
        consensus: ConsensusInputs,
        sealing: SealingInputs,
        catch_up: CatchUp,
        progress: Progress,
        clocks: Clocks,
        log: Logger,
        metrics: Metrics,
        monotonic: Callable[[], float],
    ) -> None:
        self._consensus, self._sealing, self._catch_up = consensus, sealing, catch_up
        self._progress, self._clocks = progress, clocks
        self._log, self._metrics = log, metrics
        self._accusations = Accusations(monotonic)

    def link_up(self, peer: OperatorIndex, hello: Hello) -> None:
        self._progress.peer_claims(peer, hello.decided_height)
        self._catch_up.introduce(peer)
        self._consensus.peer_connected(peer)
        self._sealing.peer_connected(peer)

    def link_down(self, peer: OperatorIndex) -> None:
        """What we say does not arrive; it is said again when the link comes up."""
        self._clocks.forget(peer)

    def clock_told(self, peer: OperatorIndex, clock_s: float, round_trip_s: float) -> None:
        self._clocks.told(peer, clock_s, round_trip_s)

    def peer_lost(self, peer: OperatorIndex) -> None:
        """What it says does not arrive: it is not waited for where it leads."""
        self._metrics.inc("peer_lost_total", peer=f"op{peer + 1}")
        self._log.info("peer_lost", peer=f"op{peer + 1}")
        self._consensus.peer_lost(peer)

    def peer_heard(self, peer: OperatorIndex) -> None:
        self._log.info("peer_heard", peer=f"op{peer + 1}")
        self._consensus.peer_heard(peer)

    def received(self, peer: OperatorIndex, body: bytes) -> None:
        try:
            self._route(peer, decode_message(body), len(body))
        except Untrue as error:
            self._refused(peer, error.reason, str(error))
        except InvalidInput as error:
            self._refused(peer, Reason.UNDECODABLE, str(error))

    def _refused(self, peer: OperatorIndex, reason: Reason, detail: str) -> None:
        count(self._metrics, peer, reason)
        if self._accusations.may_say(peer, reason):
            name = f"op{peer + 1}"
            self._log.warning("bad_message", peer=name, reason=reason.value, detail=detail)

    def _route(self, peer: OperatorIndex, message: WireMessage, size_bytes: int) -> None:
        match message:
            case (
                qbft.ProposalMessage()
                | qbft.PrepareMessage()
                | qbft.CommitMessage()
                | qbft.RoundChangeMessage()
                | qbft.PassMessage()
            ):
                self._consensus.message_received(peer, message, size_bytes)
            case sealing.PartialSignature() | sealing.GroupSignature() | sealing.PartialRequest():
                self._sealing.message_received(peer, message, size_bytes)
            case GetDecided() | DecidedBlocks() | GetBlock() | BlockReply() | Status():
                self._catch_up.received(peer, message, size_bytes)
