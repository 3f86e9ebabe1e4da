"""The asyncio shell around `dst.sealing`: partial signatures in and out, group signatures kept.

Combination and its one verification run inline: about 3 ms for n = 4, less than a hand-over.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol, assert_never

import msgspec

import dst.sealing
from dst.apis.dst_v1 import EventKind
from dst.crypto import bls, tbls
from dst.middleware.accusations import Accusations
from dst.middleware.consensus import Observe
from dst.middleware.inbox import Inbox
from dst.middleware.outcomes import HeightSealed, Outcomes
from dst.middleware.progress import Progress
from dst.middleware.store import Evidence, Store
from dst.middleware.wire_messages import MAX_RANGE
from dst.qbft.messages import Certificate
from dst.runtime.crash_points import crash_point
from dst.runtime.log import Logger
from dst.runtime.metrics import Metrics
from dst.sealing import effects as fx
from dst.sealing import inputs
from dst.sealing.messages import GroupSignature, Message, PartialRequest, PartialSignature
from dst.sealing.records import PartialRecord
from dst.spec.cluster import ClusterLock, lock_proposer_domain
from dst.spec.domains import signing_root
from dst.spec.errors import ResetRequired
from dst.spec.primitives import (
    BLSSignature,
    Height,
    OperatorIndex,
    Root,
    ShareIndex,
    Term,
)

ACCUSED = frozenset({fx.Reason.BAD_PARTIAL, fx.Reason.CONFLICTING_PARTIAL, fx.Reason.WRONG_ROOT})
"""Refusals kept as evidence: what the culprit signed convinces others, too."""

FOUND_AHEAD = MAX_RANGE
"""Group signatures found beside certificates are kept this far above the decided head, one a peer
and height, until those are imported. Lost ones are asked for again."""

TOLD_WITHIN_S: Final = 1.0
"""Between a decision in the store and in this shell lie milliseconds, unless the operator halts."""


class Network(Protocol):
    def send(self, to: OperatorIndex, message: Message) -> None: ...
    def broadcast(self, message: Message) -> None: ...


@dataclass(frozen=True, slots=True)
class _Tracked:
    """An input, and who waits until its effects are performed (our own partial)."""

    event: inputs.Input
    done: asyncio.Future[None] | None = None


class Sealing:
    def __init__(
        self,
        *,
        config: dst.sealing.Config,
        to_sign: Callable[[Root], Root],
        store: Store,
        network: Network,
        progress: Progress,
        outcomes: Outcomes,
        observe: Observe,
        log: Logger,
        metrics: Metrics,
        monotonic: Callable[[], float],
    ) -> None:
        """`to_sign`: from a block's root to the signing root that shares sign."""
        self._config, self._to_sign = config, to_sign
        self._store, self._network = store, network
        self._progress, self._outcomes, self._observe = progress, outcomes, observe
        self._log, self._metrics = log, metrics
        self._accusations = Accusations(monotonic)
        self._inbox: Inbox[_Tracked] = Inbox("sealing", metrics)
        self._timer: asyncio.TimerHandle | None = None
        self._state = self._restore()
        self._stepped = asyncio.Event()
        self._found: dict[Height, dict[OperatorIndex, GroupSignature]] = {}

    @property
    def unsealed(self) -> int:
        """Decided blocks above the newest sealed one. What lies below is covered by its parent
        roots: a hole there, even one for ever, must not hold transactions back."""
        state, count = self._state, 0
        while Height(state.head - count) in state.open:
            count += 1
        return count

    # --------------------------------------------------------------- inputs, from anywhere

    def decided(self, certificate: Certificate) -> None:
        root = self._to_sign(certificate.root)
        self._put(inputs.BlockDecided(height=certificate.height, root=root))
        for peer, message in self._found.pop(certificate.height, {}).items():
            self._put(inputs.GroupSignatureReceived(link_peer=peer, message=message))

    async def own_partial(self, height: Height, root: Root, signature: BLSSignature) -> None:
        """Our validator's verified signature; returns once it is durable and on its way."""
        await self._until_told(height)
        done = asyncio.get_running_loop().create_future()
        event = inputs.OwnPartial(height=height, root=self._to_sign(root), signature=signature)
        self._inbox.put(_Tracked(event, done))
        await done
        self._observe(EventKind.SIGNED, height=height, root=root)

    async def _until_told(self, height: Height) -> None:
        """Whoever reads the store knows of a decision a moment before this shell does; what it was
        given for a height that it does not know would be lost."""
        if self._state.head < height <= self._store.decided_height():
            with suppress(TimeoutError):
                async with asyncio.timeout(TOLD_WITHIN_S):
                    while self._state.head < height:
                        await self._stepped.wait()

    def message_received(self, peer: OperatorIndex, message: Message, size_bytes: int) -> None:
        event: inputs.Input
        match message:
            case PartialSignature():
                event = inputs.PartialReceived(link_peer=peer, message=message)
            case GroupSignature():
                event = inputs.GroupSignatureReceived(link_peer=peer, message=message)
            case PartialRequest():
                event = inputs.PartialRequested(link_peer=peer, message=message)
        self._inbox.put_from(peer, _Tracked(event), size_bytes)

    def group_signature_received(
        self, peer: OperatorIndex, certificate: Certificate, signature: BLSSignature
    ) -> None:
        """Found beside a proven certificate during catch-up; judged by the core once that is
        decided."""
        message = GroupSignature(
            certificate.term,
            certificate.height,
            self._to_sign(certificate.root),
            signature,
        )
        ahead = certificate.height - self._store.decided_height()
        if ahead <= 0:
            self.message_received(peer, message, len(signature))
        elif ahead <= FOUND_AHEAD:
            self._found.setdefault(certificate.height, {})[peer] = message

    def peer_connected(self, peer: OperatorIndex) -> None:
        self._put(inputs.PeerConnected(peer=peer))

    def _put(self, event: inputs.Input) -> None:
        self._inbox.put(_Tracked(event))

    # ----------------------------------------------------------------------------- loop

    def resume(self) -> None:
        """After a halt, in which every input was dropped: as after a restart."""
        self._state = self._restore()
        self._put(inputs.Start())

    async def run(self) -> None:
        """Until cancelled."""
        self._put(inputs.Start())
        try:
            while True:
                tracked = await self._inbox.get()
                reset = self._progress.reset
                if reset is None:
                    await self._handle(tracked.event)
                _resolve(tracked.done, reset)
        finally:
            if self._timer is not None:
                self._timer.cancel()

    def _restore(self) -> dst.sealing.State:
        unsealed = {height: self._to_sign(root) for height, root in self._store.unsealed().items()}
        return dst.sealing.restore(
            self._config, self._store.decided_height(), unsealed, self._store.own_partials()
        )

    async def _handle(self, event: inputs.Input) -> None:
        transition = dst.sealing.step(self._state, event, self._config)
        self._state = transition.state
        self._stepped.set()
        self._stepped = asyncio.Event()
        self._metrics.set("unsealed_blocks", len(self._state.open))
        for effect in transition.effects:
            await self._perform(effect)

    async def _perform(self, effect: fx.Effect) -> None:
        match effect:
            case fx.Persist(record=record):
                await self._store.append((record,))
                if isinstance(record, PartialRecord):
                    crash_point("partial-after-persist")
            case fx.Broadcast() | fx.Send() if self._progress.is_halted:
                pass  # halted while its record was written
            case fx.Broadcast(message=message):
                self._network.broadcast(message)
            case fx.Send(to=to, message=message):
                self._network.send(to, message)
            case fx.SendStored(to=to, height=height):
                seal = self._store.seal(height)
                if seal is not None:
                    self._network.send(to, seal)
            case fx.SetTimer(delay_ms=delay_ms):
                self._set_timer(delay_ms)
            case fx.Sealed(height=height):
                self._metrics.set("consensus_sealed_height", height)
                self._log.info("sealed", height=height)
                self._outcomes.put(HeightSealed(height=height))
            case fx.Refused():
                await self._refused(effect)
            case _:
                assert_never(effect)

    def _set_timer(self, delay_ms: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(delay_ms / 1000, self._put, inputs.RetransmitDue())

    async def _refused(self, effect: fx.Refused) -> None:
        reason = effect.reason
        self._metrics.inc("sealing_refused_total", reason=reason.value)
        if effect.culprit is None or reason not in ACCUSED:
            is_lie = reason is fx.Reason.BAD_GROUP_SIGNATURE  # said once: then it is a suspect
            say = self._log.warning if is_lie else self._log.debug
            say("refused", reason=reason.value, detail=effect.detail)
            return
        offence = effect.offence
        height = None if offence is None else offence.height
        if not self._accusations.is_first(effect.culprit, height, reason.value):
            return
        name = f"op{effect.culprit + 1}"
        self._log.warning("bad_partial", culprit=name, reason=reason.value, detail=effect.detail)
        proof = b"" if offence is None else msgspec.msgpack.encode(offence)
        await self._store.note_evidence(
            Evidence(height, effect.culprit, reason.value, effect.detail, proof)
        )
        self._observe(
            EventKind.EVIDENCE,
            height=height,
            culprit=effect.culprit + 1,
            reason=reason.value,
            detail=effect.detail,
        )


def _resolve(done: asyncio.Future[None] | None, reset: ResetRequired | None) -> None:
    """Tell whoever waits that the input was handled, or that this operator is halted."""
    if done is None or done.done():
        return
    if reset is None:
        done.set_result(None)
    else:
        done.set_exception(reset)


def signing_root_of(lock: ClusterLock) -> Callable[[Root], Root]:
    """From a block's root to what the shares sign."""
    domain = lock_proposer_domain(lock)
    return lambda root: signing_root(root, domain)


def sealing_config(lock: ClusterLock, operator: OperatorIndex) -> dst.sealing.Config:
    """The sealing core's functions over this cluster's keys."""

    def combine(partials: Mapping[OperatorIndex, BLSSignature]) -> BLSSignature:
        shares = {ShareIndex(index + 1): each for index, each in partials.items()}
        return tbls.recover_group_signature(shares, lock.threshold)

    def verify_group(root: Root, signature: BLSSignature) -> bool:
        return bls.verify(lock.group_public_key, root, signature)

    def verify_partial(index: OperatorIndex, root: Root, signature: BLSSignature) -> bool:
        return bls.verify(lock.share_public_keys[index], root, signature)

    return dst.sealing.Config(
        term=Term(lock.chain.term),
        n=lock.n,
        self_index=operator,
        combine=combine,
        verify_group=verify_group,
        verify_partial=verify_partial,
    )
