"""Applies one planned fault and takes it back, recording its receipt again each time a moment
becomes known.

Order of reverts (toxiproxy-measured: a call on a link whose end is frozen can hang): thaw
processes, start processes, then touch links. `restore` does that for whatever still stands when a
run is broken off.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from devnet.clock import now
from devnet.injector.hit import hit_at
from devnet.injector.surface import CannotInject, Links, Nodes
from devnet.injector.targets import leader_name
from devnet.model.fault import CutMode, FaultKind
from devnet.model.history import Event, FaultReceipt, Record
from dst.spec.primitives import quorum

EVENT_LAG_SECONDS: Final = 0.25
"""What happened before the fault reaches us up to so much later (middleware to rollup node to
stream); the place of the hit is read after it, or it would be read one step too early."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFault:
    """A fault with every role and draw resolved: what `resolved.yaml` shows."""

    id: str
    kind: FaultKind
    targets: tuple[str, ...] = ()
    groups: tuple[tuple[str, ...], ...] = ()
    links: tuple[str, ...] = ()
    mode: CutMode = CutMode.DROP
    one_way_ms: int = 0
    aimed_height: int
    """The next height when the fault was aimed."""
    delay_seconds: float = 0.0
    """Drawn wait between the trigger and the call."""


def components_of(fault: PlannedFault, operators: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Live operators by connected component while the fault stands; empty when connectivity is
    untouched."""
    match fault.kind:
        case FaultKind.KILL | FaultKind.FREEZE:
            alive = tuple(name for name in operators if name not in fault.targets)
            return () if len(alive) == len(operators) else (alive,)
        case FaultKind.PARTITION:
            return fault.groups
        case FaultKind.LATENCY:
            return ()


def disturbed_by(fault: PlannedFault, operators: Sequence[str]) -> tuple[str, ...]:
    """Nodes that no longer count as having stayed up: those hit, and those left in a group without
    a quorum."""
    if fault.kind is not FaultKind.PARTITION:
        return fault.targets
    needed = quorum(len(operators))
    return tuple(name for group in fault.groups if len(group) < needed for name in group)


class Injector:
    """One per run.

    Args:
        events: all events recorded so far (for the place of the hit).
        record: the journal's.
    """

    def __init__(
        self,
        *,
        nodes: Nodes,
        links: Links,
        operators: Sequence[str],
        events: Callable[[], list[Event]],
        record: Callable[[Record], None],
    ) -> None:
        self._nodes = nodes
        self._links = links
        self._operators = tuple(operators)
        self._events = events
        self._record = record
        self._standing: dict[str, tuple[PlannedFault, FaultReceipt]] = {}

    async def apply(self, fault: PlannedFault) -> FaultReceipt:
        """Inject and prove. An error is in the receipt, not raised: the run goes on to clean up and
        ends inconclusive."""
        receipt = self._requested(fault)
        self._standing[fault.id] = (fault, receipt)
        try:
            await self._inject(fault)
            receipt = self._note(fault, receipt, applied=now())
            await self._prove(fault)
            receipt = self._note(fault, receipt, verified=now())
            await asyncio.sleep(EVENT_LAG_SECONDS)
            receipt = self._locate(fault, receipt)
        except CannotInject as error:
            receipt = self._note(fault, receipt, error=str(error))
        return receipt

    async def revert(self, fault: PlannedFault) -> FaultReceipt:
        """Take back and prove that the network is whole again."""
        _, receipt = self._standing[fault.id]
        receipt = self._note(fault, receipt, revert_requested=now())
        try:
            await self._take_back(fault)
            receipt = self._note(fault, receipt, reverted=now())
            await self._prove_whole(fault)
            receipt = self._note(fault, receipt, healed=now())
        except CannotInject as error:
            receipt = self._note(fault, receipt, error=f"revert: {error}")
        del self._standing[fault.id]
        return receipt

    async def restore(self) -> list[FaultReceipt]:
        """Revert all that still stands, processes before links."""
        order = (FaultKind.FREEZE, FaultKind.KILL, FaultKind.PARTITION, FaultKind.LATENCY)
        left = sorted((f for f, _ in self._standing.values()), key=lambda f: order.index(f.kind))
        return [await self.revert(fault) for fault in left]

    def _requested(self, fault: PlannedFault) -> FaultReceipt:
        operators = self._operators
        receipt = FaultReceipt(
            id=fault.id,
            kind=str(fault.kind),
            targets=disturbed_by(fault, operators),
            requested=now(),
            components=components_of(fault, operators),
            hits_leader=fault.kind is not FaultKind.LATENCY
            and fault.targets == (leader_name(operators, fault.aimed_height),),
            aimed_height=fault.aimed_height,
            height=fault.aimed_height,
        )
        self._record(receipt)
        return receipt

    def _locate(self, fault: PlannedFault, receipt: FaultReceipt) -> FaultReceipt:
        assert receipt.applied is not None, "located after it was applied"
        hit = hit_at(self._events(), receipt.applied)
        return self._note(fault, receipt, height=hit.height, round=hit.round, phase=str(hit.phase))

    def _note(
        self, fault: PlannedFault, receipt: FaultReceipt, **known: float | int | str
    ) -> FaultReceipt:
        changed = msgspec.structs.replace(receipt, **known)
        self._standing[fault.id] = (fault, changed)
        self._record(changed)
        return changed

    async def _inject(self, fault: PlannedFault) -> None:
        match fault.kind:
            case FaultKind.KILL:
                await self._nodes.kill(fault.targets)
            case FaultKind.FREEZE:
                await self._nodes.freeze(fault.targets)
            case FaultKind.PARTITION:
                await self._links.cut(fault.links, fault.mode)
            case FaultKind.LATENCY:
                await self._links.delay(fault.links, fault.one_way_ms)

    async def _prove(self, fault: PlannedFault) -> None:
        match fault.kind:
            case FaultKind.KILL | FaultKind.FREEZE:
                await self._nodes.probe_down(fault.targets)
            case FaultKind.PARTITION:
                await self._links.probe_cut(fault.links)
            case FaultKind.LATENCY:
                await self._links.probe_delay(fault.links, fault.one_way_ms)

    async def _take_back(self, fault: PlannedFault) -> None:
        match fault.kind:
            case FaultKind.KILL:
                await self._nodes.start(fault.targets)
            case FaultKind.FREEZE:
                await self._nodes.thaw(fault.targets)
            case FaultKind.PARTITION:
                await self._links.heal(fault.links, fault.mode)
            case FaultKind.LATENCY:
                await self._links.delay(fault.links, 0)

    async def _prove_whole(self, fault: PlannedFault) -> None:
        match fault.kind:
            case FaultKind.KILL | FaultKind.FREEZE:
                await self._nodes.probe_up(fault.targets)
            case FaultKind.PARTITION:
                await self._links.probe_whole(fault.links)
            case FaultKind.LATENCY:
                await self._links.probe_delay(fault.links, 0)
