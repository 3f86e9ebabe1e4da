"""How far this operator is: what its validator API may offer, and whether it takes part at all.

Five states, in this order of precedence: halted by an L1 reset; rejoining (votes may be missing
here); gathering (a new store: is the cluster as new?); behind (the others have decided more);
taking part.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from dst.middleware.store import Halt, Rejoin, Store
from dst.middleware.validator_api import DecidedSlot
from dst.runtime.log import Logger
from dst.spec.errors import ResetRequired
from dst.spec.primitives import Height, OperatorIndex, Slot, Term, faults_tolerated, quorum

OPEN_AHEAD: Final = 2
"""A peer that reports D decided may have helped to decide D + 1 without knowing it, and then an
operator that lost its store may have voted at D + 2. Above that it cannot have voted."""


GATHER_S: Final = 2.0
"""A new store that has heard a quorum gives those who claim a decision this long to prove it."""


class Progress:
    """`DecidedView` for the validator API; the shells ask it whether to act."""

    def __init__(self, store: Store, *, n: int, term: Term, log: Logger) -> None:
        self._store, self._n, self._term, self._log = store, n, term, log
        self._claims: dict[OperatorIndex, Height] = {}
        self._proven: dict[OperatorIndex, Height] = {}
        """Claims whose certificate the peer has shown; those of genesis need none."""
        self._changed = asyncio.Event()
        self._rejoin: Rejoin | None = store.rejoin()
        self._is_new = store.is_new()
        self._is_gathering = self._is_new and n > 1
        self._heard_enough_at: float | None = None
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
        return self._rejoin is not None

    @property
    def is_gathering(self) -> bool:
        return self._is_gathering

    @property
    def takes_part(self) -> bool:
        return not (self.is_halted or self.is_rejoining or self.is_gathering)

    def waits_for(self) -> str | None:
        """Why this operator does not take part, and what ends that, for a person; None when it
        does."""
        if self._halt is not None:
            return f"the next term, or an L1 that shows our origins again: {self._halt.detail}"
        if self._rejoin is not None and self._rejoin.vote_above is not None:
            head, above = self._store.decided_height(), self._rejoin.vote_above
            return (
                f"height {above}, above which it may vote again after a lost store; at {head} now"
            )
        if self._rejoin is not None:
            needed = self._reports_needed()
            return f"certificates from {needed} operators, after a lost store; {self._named()}"
        if self._is_gathering:
            needed = quorum(self._n) - 1
            return f"a first word from {needed} operators, to begin together; {self._named()}"
        return None

    def _named(self) -> str:
        """Who has reported and who has not."""
        reported = self._reports() if self.is_rejoining else self._claims
        names = ", ".join(f"op{peer + 1}" for peer in sorted(reported)) or "nobody"
        return f"heard: {names}"

    @property
    def is_behind(self) -> bool:
        """An honest operator has decided what we have not: import first, vote later."""
        return self.claimed_height() > self._store.decided_height()

    def claims(self) -> Mapping[OperatorIndex, Height]:
        """Decided heights that peers report of themselves; true only where certified."""
        return self._claims

    def claimed_height(self) -> Height:
        """The highest decided height that at least one honest peer reports: with f liars, the
        (f+1)-th highest claim."""
        ranked = sorted(self._claims.values(), reverse=True)
        liars = faults_tolerated(self._n)
        return ranked[liars] if len(ranked) > liars else Height(0)

    def peer_claims(self, peer: OperatorIndex, height: Height) -> None:
        was_syncing = self.is_syncing
        self._claims[peer] = max(height, self._claims.get(peer, Height(0)))
        if self.is_syncing != was_syncing:
            self._announce()

    def unproven(self) -> Mapping[OperatorIndex, Height]:
        """What peers claim without a certificate, while a rejoin's bound depends on it, or whether
        a new store is right."""
        needs_bound = self._rejoin is not None and self._rejoin.vote_above is None
        if not (needs_bound or self._is_gathering):
            return {}
        return {
            peer: claim
            for peer, claim in self._claims.items()
            if claim and peer not in self._proven
        }

    def peer_proves(self, peer: OperatorIndex, height: Height) -> None:
        """`peer` showed the certificate of a height that it claimed since this node started."""
        self._proven[peer] = max(height, self._proven.get(peer, Height(0)))

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

    async def decided_on_new_store(self, *, took_part: bool) -> None:
        """A store that `--new` created has its first decisions. One that this operator did not
        help to make means that the cluster is older than the store: votes may be missing."""
        if not self._is_new:
            return
        self._is_new = self._is_gathering = False
        if took_part:
            await self._store.set_proven()
        else:
            await self._rejoin_old_cluster()

    async def advance_gathering(self, now: float) -> None:
        """A new store begins once a quorum has been heard, itself included, and nobody can show a
        decision: so operators start together, and one who came with `--new` to an old cluster does
        not vote where he may have voted before.

        now: monotonic seconds.
        """
        if not self._is_gathering:
            return
        if self._proven:
            self._is_new = self._is_gathering = False
            await self._rejoin_old_cluster()
        elif len(self._claims) >= quorum(self._n) - 1:
            if self._heard_enough_at is None:
                self._heard_enough_at = now
            if not self.unproven() or now - self._heard_enough_at >= GATHER_S:
                self._is_gathering = False
                self._announce()

    async def _rejoin_old_cluster(self) -> None:
        self._rejoin = Rejoin(vote_above=None)
        await self._store.set_rejoin(self._rejoin)
        self._log.warning(
            "store_younger_than_cluster",
            do="nothing now: it rejoins first. After a lost disk start with --rejoin, not --new",
        )
        self._announce()

    async def advance_rejoin(self) -> None:
        """Fix the bound once a quorum of peers reported; finish once it is certified here.

        A report counts with the certificate of its height alone: one liar must not put the bound
        where the chain never comes.
        """
        if self._rejoin is None:
            return
        if self._rejoin.vote_above is None:
            reports = self._reports()
            if len(reports) < self._reports_needed():
                return
            bound = Height(max(reports.values(), default=Height(-OPEN_AHEAD)) + OPEN_AHEAD)
            self._rejoin = Rejoin(vote_above=bound)
            await self._store.set_rejoin(self._rejoin)
            self._log.info("rejoin_bound", vote_above=bound)
        assert self._rejoin.vote_above is not None
        if self._store.decided_height() >= self._rejoin.vote_above:
            head = self._store.head_entry()
            self._sign_above = Slot(0) if head is None else head.slot
            await self._store.finish_rejoin(self._sign_above)
            self._rejoin = None
            self._log.info("rejoined", above_slot=self._sign_above)
            self._announce()

    def _reports(self) -> Mapping[OperatorIndex, Height]:
        """Claims that count: proven ones, and those of genesis."""
        at_genesis = {peer: claim for peer, claim in self._claims.items() if not claim}
        return {**at_genesis, **self._proven}

    def _reports_needed(self) -> int:
        return min(quorum(self._n), self._n - 1)

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
