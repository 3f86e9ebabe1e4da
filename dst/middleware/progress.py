"""How far this operator is: what its validator API may offer, and whether it takes part at all.

In this order of precedence: halted by an L1 reset; not voting (`dst.rejoin` decides); behind (the
others have decided more); taking part.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import assert_never

from msgspec.structs import replace

import dst.rejoin
from dst.middleware.store import Halt, Rejoin, Store
from dst.middleware.validator_api import DecidedSlot
from dst.rejoin import Phase, core
from dst.rejoin import state as rejoining
from dst.runtime.log import Logger
from dst.spec.errors import ResetRequired
from dst.spec.primitives import Height, OperatorIndex, Slot, Term, faults_tolerated, quorum


class Progress:
    """`DecidedView` for the validator API; the shells ask it whether to act."""

    def __init__(
        self,
        store: Store,
        *,
        n: int,
        term: Term,
        log: Logger,
        ready: Callable[[], bool] = lambda: True,
    ) -> None:
        """`ready`: the own rollup node could build and judge a block. Asked to begin, not later:
        who votes already is not held back when L1 is lost."""
        self._store, self._term, self._log, self._ready = store, term, log, ready
        self._changed = asyncio.Event()
        self._feeding = asyncio.Lock()
        self._abstain: set[OperatorIndex] = set()
        found = store.rejoin()
        self._state = dst.rejoin.begin(
            n,
            is_new=store.is_new(),
            rejoin=None if found is None else rejoining.Rejoin(vote_above=found.vote_above),
        )
        halt = store.halt()
        self._halt = halt if halt is not None and halt.term >= term else None
        head = store.head_entry()
        self._head_slot = Slot(0) if head is None else head.slot
        self._sign_above = store.sign_above()

    # ------------------------------------------------------- for the validator API

    @property
    def head_slot(self) -> Slot:
        return self._head_slot

    @property
    def is_syncing(self) -> bool:
        return self.is_rejoining or self.is_behind

    @property
    def knows_others(self) -> bool:
        n = self._state.n
        return len(self._state.claims) >= min(faults_tolerated(n) + 1, n - 1)

    @property
    def sign_above(self) -> Slot:
        return self._sign_above

    @property
    def reset(self) -> ResetRequired | None:
        return None if self._halt is None else ResetRequired(self._halt.height, self._halt.detail)

    def at_slot(self, slot: Slot) -> DecidedSlot | None:
        entry = self._store.entry_at_slot(slot)
        if entry is None:
            return None
        return DecidedSlot(height=entry.height, root=entry.root, block=entry.decided.block)

    async def changed(self) -> None:
        await self._changed.wait()

    # -------------------------------------------------------------- for the shells

    @property
    def is_halted(self) -> bool:
        return self._halt is not None

    @property
    def is_rejoining(self) -> bool:
        return self._state.phase in (Phase.ASKING, Phase.WAITING)

    @property
    def is_gathering(self) -> bool:
        return self._state.phase is Phase.GATHERING

    @property
    def takes_part(self) -> bool:
        return not self.is_halted and self._state.phase is Phase.VOTING

    def waits_for(self) -> str | None:
        """Why this operator does not take part, and what ends that, for a person; None when it
        does."""
        if self._halt is not None:
            return f"the next term, or an L1 that shows our origins again: {self._halt.detail}"
        n, above = self._state.n, self._state.vote_above
        match self._state.phase:
            case Phase.GATHERING:
                if not self._ready():
                    return "its rollup node, which needs a first look at L1, to begin"
                needed, heard = core.peers_to_begin(n), _names(self._state.ready)
                if len(self._state.ready) >= needed and self.is_behind:
                    return f"{self.lags()}, to begin"
                return f"{needed} other operators that are ready, to begin; so far: {heard}"
            case Phase.ASKING:
                heard = _names(core.reports(self._state))
                needed = core.reports_needed(n)
                return f"certificates from {needed} operators, votes may be lost; heard: {heard}"
            case Phase.WAITING:
                at = self._store.decided_height()
                return f"height {above}, votes may be lost below; at {at}{self._who_else(n)}"
            case Phase.VOTING:
                return None

    def _who_else(self, n: int) -> str:
        """When those that vote are too few to bring that height."""
        if n - 1 - len(self._abstain) >= quorum(n):
            return ""
        others = ", ".join(map(_name, sorted(self._abstain)))
        return f"; that takes {quorum(n)} that vote, and these do not either: {others}"

    def lags(self) -> str | None:
        """What it lacks of what others have, for a person."""
        if not self.is_behind:
            return None
        first, last = self._store.decided_height() + 1, self.claimed_height()
        return f"certificates of heights {first} to {last}, which others have decided"

    def abstain(self) -> frozenset[OperatorIndex]:
        """Peers that say that they do not vote. Nothing but texts follows from it."""
        return frozenset(self._abstain)

    @property
    def is_behind(self) -> bool:
        """An honest operator has decided what we have not: import first, vote later."""
        return self.claimed_height() > self._store.decided_height()

    def claims(self) -> Mapping[OperatorIndex, Height]:
        """Decided heights that peers report of themselves; true only where certified."""
        return self._state.claims

    def claimed_height(self) -> Height:
        return core.claimed_height(self._state)

    @property
    def votes(self) -> bool:
        """It does, or will as soon as it begins: what peers are told."""
        return self.takes_part or (self.is_gathering and not self.is_halted and self._ready())

    def peer_claims(
        self, peer: OperatorIndex, height: Height, *, votes: bool | None = None
    ) -> None:
        """`votes` None: it did not say."""
        if votes is not None:
            (self._abstain.discard if votes else self._abstain.add)(peer)
        was_syncing = self.is_syncing
        event = rejoining.PeerClaims(peer=peer, height=height, ready=votes)
        self._state = dst.rejoin.step(self._state, event).state
        if self.is_syncing != was_syncing:
            self._announce()

    def unproven(self) -> Mapping[OperatorIndex, Height]:
        """Claims whose certificate has to be asked for."""
        return core.unproven(self._state)

    def peer_proves(self, peer: OperatorIndex, height: Height) -> None:
        """`peer` showed the certificate of a height that it claimed since this node started."""
        event = rejoining.PeerProves(peer=peer, height=height)
        self._state = dst.rejoin.step(self._state, event).state

    def decided(self, slot: Slot) -> None:
        """The store holds one more decision."""
        self._head_slot = max(slot, self._head_slot)
        self._announce()

    async def halt(self, error: ResetRequired) -> Halt | None:
        """Stop for this term: on disk first, one alarm. None: halted already."""
        if self._halt is not None:
            return None
        halt = Halt(self._term, Height(error.first_affected_height), str(error))
        self._halt = halt
        self._log.error(
            "halted_by_l1_reset",
            first_affected_height=halt.height,
            term=halt.term,
            detail=halt.detail,
            do="operators go on only in the next term",
        )
        await self._store.set_halt(halt)
        self._announce()
        return halt

    async def resume(self) -> Halt | None:
        """The rollup node sees no reset (any more): its L1 node was on a fork. The halt that ended,
        if there was one."""
        halt = self._halt
        if halt is None:
            return None
        await self._store.set_halt(None)
        self._halt = None
        self._log.warning("l1_reset_ended", first_affected_height=halt.height, term=halt.term)
        self._announce()
        return halt

    # ---------------------------------------------------------------------- rejoin

    async def vote_forgotten(self) -> None:
        """A decision was reached with a COMMIT of ours that the log does not hold. Before anything
        else is done about it."""
        await self._feed(rejoining.VoteForgotten())

    async def look(self, now: float) -> None:
        """Now and then. now: monotonic seconds."""
        decided = self._store.decided_height()
        await self._feed(rejoining.Tick(now=now, decided=decided, ready=self._ready()))

    async def _feed(self, event: rejoining.Input) -> None:
        """One after another: what is written must be of the state that is held. On disk first,
        where it forbids a vote; where it allows one, too."""
        async with self._feeding:
            before = self._state.phase
            transition = dst.rejoin.step(self._state, event)
            if transition.state.phase is not Phase.VOTING:
                self._state = transition.state
            for effect in transition.effects:
                await self._perform(effect)
            if transition.state.phase is Phase.VOTING:
                self._state = replace(
                    transition.state,
                    claims=self._state.claims,
                    proven=self._state.proven,
                    ready=self._state.ready,
                )
        if self._state.phase is not before:
            self._announce()

    async def _perform(self, effect: rejoining.Effect) -> None:
        match effect:
            case rejoining.Began():
                await self._store.set_began()
            case rejoining.Rejoin(vote_above=None):
                await self._store.set_rejoin(Rejoin(vote_above=None))
                self._log.warning(
                    "votes_are_missing",
                    do="nothing now: it rejoins first. A store that was lost or comes from a backup"
                    " starts with --rejoin",
                )
            case rejoining.Rejoin(vote_above=bound):
                await self._store.set_rejoin(Rejoin(vote_above=bound))
                self._log.info("rejoin_bound", vote_above=bound)
            case rejoining.Rejoined():
                head = self._store.head_entry()
                self._sign_above = Slot(0) if head is None else head.slot
                await self._store.finish_rejoin(self._sign_above)
                self._log.info("rejoined", above_slot=self._sign_above)
            case _:
                assert_never(effect)

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _names(peers: Iterable[OperatorIndex]) -> str:
    return ", ".join(map(_name, sorted(peers))) or "nobody"


def _name(peer: OperatorIndex) -> str:
    return f"op{peer + 1}"
