"""Applies one planned fault, looks at it while it stands and takes it back, recording its receipt
again each time a moment becomes known.

`restore` takes back whatever still stands when a run is broken off: processes before links (a call
on a link whose end is frozen can hang).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from devnet.faults.base import Plane
from devnet.faults.surface import CannotInject, NotBack, RanOn, Unmoved, World
from devnet.faults.targets import leader_name
from devnet.injector.hit import hit_at
from devnet.injector.planned import Planned
from devnet.model.clock import now
from devnet.model.history import Event, FaultReceipt, ProgramRanOn, Record

EVENT_LAG_SECONDS: Final = 0.25
"""What happened before the fault reaches us up to so much later (middleware to rollup node to
stream); the place of the hit is read after it, or it would be read one step too early."""
POLL_SECONDS: Final = 0.05
LOOK_EVERY_SECONDS: Final = 1.0
LOOKS_TO_LAPSE: Final = 2
"""In a row: one look can fail for reasons of its own."""
CYCLES_TO_LAPSE: Final = 3
LEAST_QUIET_S: Final = 15.0
"""A fault that goes on and off has lapsed when it was not seen to for so many of its cycles, and so
long: the calls of one take their time, too."""
LOOKS_TO_HEAL: Final = 3
"""In a row: a program that ends again as soon as it serves, or a link that flaps, is caught by one
good look as well."""
HEAL_LOOK_EVERY_SECONDS: Final = 0.25
"""Between good ones: so far apart that half a second is seen, which a block takes to be voted
on."""

_ORDER: Final = tuple(Plane)


class Injector:
    """One per run.

    Args:
        events: all events recorded so far (for the place of the hit).
        record: the journal's.
    """

    def __init__(
        self,
        *,
        world: World,
        events: Callable[[], list[Event]],
        record: Callable[[Record], None],
    ) -> None:
        self._world = world
        self._operators = world.topology.operator_names
        self._events = events
        self._record = record
        self._standing: dict[str, Planned] = {}
        self._receipts: dict[str, FaultReceipt] = {}
        self._begun: dict[str, Planned] = {}
        """Those that were not refused."""

    async def apply(self, fault: Planned) -> FaultReceipt:
        """Inject and prove. An error is in the receipt, not raised: the run goes on to clean up and
        ends inconclusive."""
        receipt = self._requested(fault)
        do, site, world = fault.do, fault.site, self._world
        if taken := self._taken(do.claims(site)):
            return self._note(fault, error=taken)
        self._standing[fault.id] = self._begun[fault.id] = fault
        try:
            await do.inject(site, world)
            receipt = self._note(fault, applied=now())
            await _until_silent(lambda: do.missing(site, world), do.seen_within_s, "not in place")
            receipt = self._note(fault, verified=now(), witness=do.witness(site))
            await asyncio.sleep(EVENT_LAG_SECONDS)
            receipt = self._locate(fault, receipt)
        except CannotInject as error:
            self._tell(error)
            away, unmoved = _unreturned(error), tuple[str, ...]()
            if isinstance(error, _TooLate):
                unmoved = await self._blamed(fault, receipt.requested, do.unmoved(site, world))
            elif isinstance(error, Unmoved):
                busy = self._disturbed_since(receipt.requested, beside=fault)
                unmoved = tuple(node for node in error.nodes if node not in busy)
            self._note(fault, error=str(error))
            receipt = self._give_up(fault, away, unmoved)
        return receipt

    async def watch(self, fault: Planned) -> FaultReceipt:
        """Look again and again, to the moment at which it does not stand any more: it ended early,
        or somebody else took it back. Cancelled when that was meant."""
        complaints, since = 0, 0.0
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            looked = now()
            complaint = await self._look(fault)
            if not complaint:
                complaints = 0
                looks = self._receipts[fault.id].looks + 1
                self._note(fault, looks=looks, witness=fault.do.witness(fault.site))
                continue
            complaints += 1
            since = looked if complaints == 1 else since
            if complaints >= LOOKS_TO_LAPSE:
                lapse = f"it did not stand to its end: {complaint}"
                return self._note(fault, lapsed=since, error=lapse)

    async def keep_up(self, fault: Planned) -> FaultReceipt:
        """What has to go on while it stands, to the moment at which it fails. Cancelled when it is
        to end."""

        period, loop = fault.do.period_s, asyncio.get_running_loop()
        quiet = None if period is None else max(LEAST_QUIET_S, CYCLES_TO_LAPSE * period)
        bound = asyncio.timeout(quiet)

        def seen() -> None:
            self._note(fault, cycles=self._receipts[fault.id].cycles + 1)
            if quiet is not None:
                bound.reschedule(loop.time() + quiet)

        try:
            async with bound:
                await fault.do.keep_up(fault.site, self._world, seen)
        except TimeoutError:
            if not bound.expired():
                raise
            lapse = f"it did not stand to its end: it did not repeat for {quiet:g} s"
            return self._note(fault, lapsed=now(), error=lapse)
        except CannotInject as error:
            self._tell(error)
            return self._note(fault, lapsed=now(), error=f"it could not go on: {error}")
        raise AssertionError(f"{fault.do.name} has nothing more to do, and does not say so")

    def did_not_end(self, fault: Planned, why: str) -> None:
        """What was to end it did not come: it stood for a length that nobody asked for."""
        self._note(fault, error=why)

    async def _look(self, fault: Planned) -> str:
        try:
            return await fault.do.missing(fault.site, self._world)
        except CannotInject as error:
            return str(error)

    async def revert(self, fault: Planned) -> FaultReceipt:
        """Look a last time, take back and prove that the network is whole again."""
        if fault.id not in self._standing:  # it was refused
            return self._receipts[fault.id]
        await self._last_look(fault)
        return await self._take_back(fault)

    async def _last_look(self, fault: Planned) -> None:
        """What nobody has looked at since it was proven may have ended at once."""
        receipt = self._receipts[fault.id]
        if receipt.verified is None or receipt.error:
            return
        looked = now()
        for again in range(LOOKS_TO_LAPSE):
            if again:
                await asyncio.sleep(LOOK_EVERY_SECONDS)
            if not (complaint := await self._look(fault)):
                self._note(fault, looks=receipt.looks + 1, witness=fault.do.witness(fault.site))
                return
        self._note(fault, lapsed=looked, error=f"it did not stand to its end: {complaint}")

    async def _take_back(self, fault: Planned) -> FaultReceipt:
        receipt = self._note(fault, revert_requested=now())
        do, site, world = fault.do, fault.site, self._world
        try:
            await do.take_back(site, world)
            receipt = self._note(fault, reverted=now())
            whole = await _until_silent(
                lambda: do.remaining(site, world),
                do.healed_within_s,
                "not healed",
                in_a_row=LOOKS_TO_HEAL,
            )
            receipt = self._note(fault, healed=whole, whole_looks=LOOKS_TO_HEAL)
        except CannotInject as error:
            self._tell(error)
            away = _unreturned(error)
            if isinstance(error, _TooLate):
                away = await self._not_back(fault)
            receipt = self._note(fault, error=f"revert: {error}")
            receipt = self._give_up(fault, away)
        del self._standing[fault.id]
        return receipt

    async def _not_back(self, fault: Planned) -> tuple[str, ...]:
        """Whose fault it is that something remains, now that the time for it is over."""
        since = self._receipts[fault.id].reverted
        assert since is not None, "asked once it was taken back"
        busy = self._disturbed_since(since, beside=fault)
        look = fault.do.not_back(fault.site, self._world, busy)
        return await self._blamed(fault, since, look)

    async def _blamed(
        self, fault: Planned, since: float, look: Awaitable[tuple[str, ...]]
    ) -> tuple[str, ...]:
        """Of the nodes that a look names, those of which nothing else may be why: no other fault
        since then, and no Toxiproxy over which they cannot be heard."""
        try:
            found = await look
            unread = await self._world.links.silent(found)
        except CannotInject:
            return ()
        busy = self._disturbed_since(since, beside=fault)
        return tuple(node for node in found if node not in busy and node not in unread)

    def _disturbed_since(self, moment: float, *, beside: Planned) -> frozenset[str]:
        """Nodes and links that other faults had to do with, if not from `moment` on then since."""
        found: set[str] = set()
        consensus = {link.name for link in self._world.topology.consensus_links}
        for each in self._begun.values():
            receipt = self._receipts[each.id]
            over = receipt.healed is not None and receipt.healed < moment
            if each.id == beside.id or over or each.do.lets_back:
                continue
            found |= {*receipt.targets, *receipt.returning, *each.site.links}
            # A link of another kind is used by the node that dials it, whatever that is told of.
            dialled = set(each.site.links) - consensus
            found |= {link.partition(">")[0].partition(".")[0] for link in dialled}
        return frozenset(found)

    def _give_up(
        self, fault: Planned, away: tuple[str, ...], unmoved: tuple[str, ...] = ()
    ) -> FaultReceipt:
        receipt = self._receipts[fault.id]
        if not away and not unmoved:
            return receipt
        every = tuple(dict.fromkeys((*receipt.unreturned, *away)))
        blind = tuple(dict.fromkeys((*receipt.unmoved, *unmoved)))
        return self._note(fault, unreturned=every, unmoved=blind, given_up=now())

    async def restore(self) -> list[FaultReceipt]:
        """Revert all that still stands, processes before links. What keeps one from being recorded
        keeps none standing."""
        left = sorted(self._standing.values(), key=lambda fault: _ORDER.index(fault.do.plane))
        done: list[FaultReceipt] = []
        failed: list[Exception] = []
        for fault in left:
            try:
                done.append(await self._take_back(fault))
            except Exception as error:  # the first is raised, once all have been tried
                failed.append(error)
        if failed:
            raise failed[0]
        return done

    def _requested(self, fault: Planned) -> FaultReceipt:
        do, site = fault.do, fault.site
        # Without votes nobody falls silent because others do: only those that are hit.
        votes = not self._world.topology.cluster.is_baseline
        silenced = do.silences(site, self._operators) if votes else site.targets
        leader = leader_name(self._operators, fault.aimed_height)
        receipt = FaultReceipt(
            id=fault.id,
            kind=do.name,
            where=do.told(site),
            targets=do.disturbs(site, self._operators) if votes else site.targets,
            silenced=silenced,
            lying=do.lies(site),
            forgetting=do.forgets(site),
            restarted=do.restarts(site),
            requested=now(),
            repeats=do.repeats,
            forever=fault.forever,
            components=do.components(site, self._operators) if votes else (),
            cut=do.cuts(site) if votes else (),
            hits_leader=do.at_once and site.targets == (leader,) == silenced,
            aimed_height=fault.aimed_height,
            height=fault.aimed_height,
        )
        self._receipts[fault.id] = receipt
        self._record(receipt)
        return receipt

    def _taken(self, claims: frozenset[str]) -> str:
        """Two faults that want the same would undo each other."""
        for other in self._standing.values():
            if both := claims & other.do.claims(other.site):
                return f"{min(both)} is under the fault {other.id} already"
        return ""

    def _locate(self, fault: Planned, receipt: FaultReceipt) -> FaultReceipt:
        assert receipt.applied is not None, "located after it was applied"
        hit = hit_at(self._events(), receipt.applied)
        return self._note(fault, height=hit.height, round=hit.round, phase=str(hit.phase))

    def _tell(self, error: CannotInject) -> None:
        """What is not the harness's failure alone."""
        if not isinstance(error, RanOn):
            return
        for program in error.programs:
            self._record(ProgramRanOn(program=program, seconds=error.seconds, monotonic=now()))

    def _note(self, fault: Planned, **known: float | int | str | tuple[str, ...]) -> FaultReceipt:
        changed = msgspec.structs.replace(self._receipts[fault.id], **known)
        self._receipts[fault.id] = changed
        self._record(changed)
        return changed


class _TooLate(CannotInject):
    """A look found something to complain about to the end of its time."""


def _unreturned(error: CannotInject) -> tuple[str, ...]:
    return error.nodes if isinstance(error, NotBack) else ()


async def _until_silent(
    look: Callable[[], Awaitable[str]], seconds: float, what: str, *, in_a_row: int = 1
) -> float:
    """Look until there is nothing to complain about, so many times in a row; the moment of the
    first of them. Raises: _TooLate with the last complaint; what `look` raises."""
    deadline, good, since = now() + seconds, 0, 0.0
    while good < in_a_row:
        if complaint := await look():
            good = 0
            if now() > deadline:
                raise _TooLate(f"{what} after {seconds:.0f} s: {complaint}")
            await asyncio.sleep(POLL_SECONDS)
            continue
        good += 1
        since = now() if good == 1 else since
        if good < in_a_row:
            await asyncio.sleep(HEAL_LOOK_EVERY_SECONDS)
    return since
